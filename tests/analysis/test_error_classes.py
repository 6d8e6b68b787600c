"""How often an arm errs in which way, and what each costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.fabricated import (
    FAULT,
    NAMES,
    make_item,
    make_study,
    quiz,
    said,
    scored,
)
from quantrial.analysis import TaskOutcomes
from quantrial.analysis.answers.failures import error_table, f1_loss, span_errors
from quantrial.documents import to_dict
from quantrial.errors import DataError
from quantrial.tasks.span_errors import ERROR_CLASSES
from strategies import FEW_WORDS, SPANS

Spans = Sequence[tuple[str, str]]


def outcomes_of(rows: Sequence[tuple[str, Spans]], **outputs: Sequence[Any]) -> TaskOutcomes:
    items = [
        make_item("names", i, {"text": text}, [list(span) for span in gold])
        for i, (text, gold) in enumerate(rows)
    ]
    texts = {
        arm: [one if isinstance(one, str) or one is None else said(*one) for one in row]
        for arm, row in outputs.items()
    }
    study = make_study(tasks={"names": NAMES}, arms=list(outputs) if len(outputs) > 1 else "ab")
    return scored(study, {"names": (items, texts)})["names"]


ROWS = [
    ("John Smith met Mary", [("John Smith", "PER"), ("Mary", "PER")]),
    ("in Oxford", [("Oxford", "LOC")]),
    ("nobody here", []),
    ("in York", [("York", "LOC")]),
    ("in Rome", [("Rome", "LOC")]),
]
REF = [[("John Smith", "PER"), ("Mary", "PER")], [("Oxford", "LOC")], [], [], "I do not know"]
NEW = [[("smith", "per")], [("oxford", "ORG")], [("here", "LOC")], [("York", "LOC")], FAULT]


def test_error_table_by_hand() -> None:
    found = to_dict(error_table(outcomes_of(ROWS, ref=REF, new=NEW), "new"))
    assert (found["n"], found["fp"], found["fn"]) == (4, 3, 3)
    rows = {k: (v["errors"], v["fp"], v["fn"], v["items"]) for k, v in found["classes"].items()}
    assert rows == {
        "spurious": (1, 1, 0, 1),
        "missed": (1, 0, 1, 1),
        "wrong_type": (1, 1, 1, 1),
        "wrong_boundary": (1, 1, 1, 1),
        "both": (0, 0, 0, 0),
        "malformed": (0, 0, 0, 0),
    }
    assert tuple(rows) == ERROR_CLASSES
    assert found["classes"]["spurious"]["examples"] == ["i2"]
    assert found["confusions"] == [{"gold": "LOC", "found": "ORG", "n": 1}]
    ref = to_dict(error_table(outcomes_of(ROWS, ref=REF, new=NEW), "ref"))["classes"]
    assert ref["malformed"]["fn"] == ref["malformed"]["errors"] == 1
    assert ref["missed"]["examples"] == ["i3"]


def test_f1_loss_by_hand() -> None:
    outcomes = outcomes_of(ROWS, ref=REF, new=NEW)
    # on the first four: reference 3 of 4 found (N 6, D 7), candidate 1, 3 false, 3 missing (2, 8)
    middle, size = (6 / 7 + 2 / 8) / 2, 7.5
    expected = {
        "spurious": -middle / size,
        # York was missing, Mary is: no more and no fewer
        "missed": 0.0,
        "wrong_type": -2 / size,
        "wrong_boundary": -2 / size,
        "both": 0.0,
        "malformed": 0.0,
    }
    found = f1_loss(outcomes, "ref", "new")
    assert found == pytest.approx(expected, abs=1e-15)
    assert sum(found.values()) == pytest.approx(2 / 8 - 6 / 7, abs=1e-15)


def test_f1_loss_without_gold_and_without_a_find_is_not_a_number() -> None:
    outcomes = outcomes_of([("x y", [])], ref=[[]], new=[[("x", "PER")]])
    for found in (f1_loss(outcomes, "ref", "new"), f1_loss(outcomes, "ref", "ref")):
        assert tuple(found) == ERROR_CLASSES
        assert all(math.isnan(part) for part in found.values())
    nothing = outcomes_of([("x y", [("x", "PER")])], ref=[[]], new=[None])
    assert all(math.isnan(part) for part in f1_loss(nothing, "ref", "new").values())


def test_an_arm_that_never_parses_by_hand() -> None:
    rows = [("x y", [("x", "PER"), ("y", "PER")]), ("z", [])]
    outcomes = outcomes_of(rows, ref=[[("x", "PER"), ("y", "PER")], []], new=["?", "?"])
    # from 1 to 0, by nothing else
    assert f1_loss(outcomes, "ref", "new") == dict.fromkeys(ERROR_CLASSES, 0.0) | {"malformed": -1}
    assert error_table(outcomes, "new").classes["malformed"].examples == ("i0",)


def test_only_spans_have_classes() -> None:
    quizzed = scored(make_study(), {"quiz": (quiz(1), {"ref": ["A"], "new": ["B"]})})["quiz"]
    with pytest.raises(DataError, match="'quiz' is of kind 'choice'"):
        span_errors(quizzed, "ref")


ANSWER = st.one_of(SPANS.map(sorted), st.sampled_from(["broken", FAULT, None]))
ITEM = st.tuples(FEW_WORDS.filter(bool), SPANS.map(sorted), ANSWER, ANSWER)


@given(st.lists(ITEM, min_size=1, max_size=6))
def test_classes_sum_to_fp_and_fn_property(rows: list[tuple[str, Spans, Any, Any]]) -> None:
    outcomes = outcomes_of(
        [row[:2] for row in rows], ref=[row[2] for row in rows], new=[row[3] for row in rows]
    )
    for arm in outcomes.arms:
        answers = [o for o in outcomes.outcomes[arm] if o is not None]
        table = to_dict(error_table(outcomes, arm))
        assert table["n"] == len(answers)
        for name in ("fp", "fn"):
            total = sum(o.values[name] for o in answers)
            assert table[name] == total
            assert sum(row[name] for row in table["classes"].values()) == total


@given(st.lists(ITEM, min_size=1, max_size=6), st.randoms())
def test_f1_loss_is_additive_property(
    rows: list[tuple[str, Spans, Any, Any]], shuffle: Any
) -> None:
    def loss(rows: Sequence[tuple[str, Spans, Any, Any]], *, swapped: bool = False) -> Any:
        outcomes = outcomes_of(
            [row[:2] for row in rows], ref=[row[2] for row in rows], new=[row[3] for row in rows]
        )
        arms = ("new", "ref") if swapped else ("ref", "new")
        return outcomes, f1_loss(outcomes, *arms)

    outcomes, parts = loss(rows)
    panel = outcomes.panel
    both = panel.answered_by("ref", "new")
    top, bottom = panel.numerators[both][:, :, 0].sum(0), panel.denominators[both][:, :, 0].sum(0)
    if (bottom == 0).any():
        assert all(math.isnan(part) for part in parts.values())
        return
    f1 = dict(zip(panel.arms, top / bottom, strict=True))
    assert sum(parts.values()) == pytest.approx(f1["new"] - f1["ref"], abs=1e-12)
    back = loss(rows, swapped=True)[1]
    assert back == pytest.approx({kind: -part for kind, part in parts.items()}, abs=1e-12)
    mixed = list(rows)
    shuffle.shuffle(mixed)
    assert loss(mixed)[1] == pytest.approx(parts, abs=1e-12)
    assert loss(rows * 2)[1] == pytest.approx(parts, abs=1e-12)
