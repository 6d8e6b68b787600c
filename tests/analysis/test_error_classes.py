from __future__ import annotations

import math
from collections import Counter
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
from quantrial.analysis.error_classes import (
    ERROR_CLASSES,
    SpanError,
    classify,
    error_table,
    f1_loss,
    span_errors,
)
from quantrial.errors import DataError

Spans = Sequence[tuple[str, str]]

SENTENCE = "Yesterday John Smith and Mary of New York University met in York, near Oxford"
PER_JOHN, PER_MARY = ("john smith", "PER"), ("mary", "PER")
ORG_NYU, LOC_YORK = ("new york university", "ORG"), ("york", "LOC")


def kinds(gold: Spans, found: Spans | None, text: str = SENTENCE) -> list[tuple[str, Any, Any]]:
    errors = classify(gold, found, text).errors
    return sorted(((e.kind, e.found and e.found[0], e.gold and e.gold[0]) for e in errors), key=str)


@pytest.mark.parametrize(
    ("gold", "found", "expected"),
    [
        ([PER_JOHN], [PER_JOHN], []),
        ([], [], []),
        ([], [PER_MARY], [("spurious", "mary", None)]),
        ([PER_MARY], [], [("missed", None, "mary")]),
        ([PER_JOHN], [("john smith", "LOC")], [("wrong_type", "john smith", "john smith")]),
        ([PER_JOHN], [("smith", "PER")], [("wrong_boundary", "smith", "john smith")]),
        ([PER_JOHN], [("smith and", "PER")], [("wrong_boundary", "smith and", "john smith")]),
        ([PER_JOHN], [("john", "ORG")], [("both", "john", "john smith")]),
        ([PER_JOHN], None, [("malformed", None, "john smith")]),
        ([], None, []),
        # not a whole word: "smi" stands nowhere
        ([PER_JOHN], [("smi", "PER")], [("missed", None, "john smith"), ("spurious", "smi", None)]),
    ],
)  # fmt: skip
def test_every_class_by_hand(gold: Spans, found: Spans | None, expected: list[Any]) -> None:
    assert kinds(gold, found) == expected


def test_best_pairs_first_by_hand() -> None:
    # the same text beats the same type, which beats neither
    found = [("john smith", "ORG"), ("john", "PER"), ("smith", "ORG")]
    assert kinds([PER_JOHN], found) == [
        ("both", "smith", None),
        ("wrong_boundary", "john", None),
        ("wrong_type", "john smith", "john smith"),
    ]
    # of the same type, the one with more words in common
    assert kinds([ORG_NYU], [("university", "ORG"), ("york university", "ORG")]) == [
        ("wrong_boundary", "university", None),
        ("wrong_boundary", "york university", "new york university"),
    ]


def test_one_wrong_span_over_two_gold_ones_by_hand() -> None:
    assert kinds([PER_JOHN, PER_MARY], [("john smith and mary", "PER")]) == [
        ("wrong_boundary", "john smith and mary", "john smith"),
        ("wrong_boundary", None, "mary"),
    ]


def test_a_span_beside_a_right_one_that_it_overlaps_is_not_spurious() -> None:
    assert kinds([PER_JOHN], [PER_JOHN, ("smith", "PER")]) == [("wrong_boundary", "smith", None)]
    assert kinds([PER_JOHN], [PER_JOHN, ("john smith", "ORG")]) == [
        ("wrong_type", "john smith", None)
    ]


def test_places_in_the_sentence_tell_two_mentions_apart_by_hand() -> None:
    # York stands in the university's name, and elsewhere too
    assert kinds([ORG_NYU, LOC_YORK], [ORG_NYU]) == [("missed", None, "york")]
    assert kinds([ORG_NYU, LOC_YORK], [LOC_YORK]) == [("missed", None, "new york university")]
    assert kinds([ORG_NYU], [ORG_NYU, LOC_YORK]) == [("spurious", "york", None)]
    # where it stands nowhere else, it is part of the longer one
    text = "New York University is old"
    assert kinds([ORG_NYU], [ORG_NYU, LOC_YORK], text) == [("both", "york", None)]
    assert kinds([ORG_NYU, LOC_YORK], [ORG_NYU], text) == [("both", None, "york")]
    # the words are shared, the places are not
    text = "Bank of England and University of Oxford"
    assert kinds([("bank of england", "ORG")], [("university of oxford", "ORG")], text) == [
        ("missed", None, "bank of england"),
        ("spurious", "university of oxford", None),
    ]


@pytest.mark.parametrize(
    ("gold", "found", "kind"),
    [
        ("barack obama", "barak obama", "wrong_boundary"),  # one of two words
        ("united nations", "the united nations", "wrong_boundary"),
        ("bank of england", "university of oxford", "spurious"),  # one of three
        ("rome", "romeo", "spurious"),
        ("rome", "!?", "spurious"),
    ],
)
def test_without_a_place_words_decide_by_hand(gold: str, found: str, kind: str) -> None:
    for text in ("", "Something else"):
        assert {e.kind for e in classify([(gold, "X")], [(found, "X")], text).errors} - {
            "missed"
        } == {kind}


def test_words_of_many_scripts_by_hand() -> None:
    assert kinds([("東京都", "LOC")], [("東京", "LOC")], "私は東京都に住む") == [
        ("wrong_boundary", "東京", "東京都")
    ]
    # an accent that is a sign of its own is part of its word
    assert kinds([("jose\u0301 ruiz", "PER")], [("jose\u0301", "PER")], "Jose\u0301 Ruiz") == [
        ("wrong_boundary", "jose\u0301", "jose\u0301 ruiz")
    ]
    assert kinds([("u.s .", "LOC")], [("u.s.", "LOC")], "The U.S. won") == [
        ("wrong_boundary", "u.s.", "u.s .")
    ]


WORDS = st.sampled_from(["a", "b", "c", "d"])
TEXT = st.lists(WORDS, max_size=7).map(" ".join)
SPANS = st.frozensets(
    st.tuples(st.lists(WORDS, min_size=1, max_size=3).map(" ".join), st.sampled_from(["X", "Y"])),
    max_size=4,
)


@given(SPANS, SPANS, TEXT)
def test_every_wrong_span_has_one_class_property(
    gold: frozenset[tuple[str, str]], found: frozenset[tuple[str, str]], text: str
) -> None:
    errors = classify(gold, found, text)
    assert Counter(e.found for e in errors.errors if e.found) == Counter(found - gold)
    assert Counter(e.gold for e in errors.errors if e.gold) == Counter(gold - found)
    for kind in ("missed", "malformed"):
        assert errors.fp(kind) == 0
    assert errors.fn("spurious") == 0
    for e in errors.errors:
        if e.found and e.gold:
            same = (e.found[0] == e.gold[0], e.found[1] == e.gold[1])
            assert (
                e.kind
                == {
                    (True, False): "wrong_type",
                    (False, True): "wrong_boundary",
                    (False, False): "both",
                }[same]
            )


@given(SPANS, SPANS, TEXT)
def test_arms_swapped_swap_found_and_gold_property(
    gold: frozenset[tuple[str, str]], found: frozenset[tuple[str, str]], text: str
) -> None:
    # texts of their own: a text that both name takes its place from the gold
    names = {text for text, _ in gold}
    found = frozenset(span for span in found if span[0] not in names)
    there, back = classify(gold, found, text), classify(found, gold, text)
    assert len(there.errors) == len(back.errors)
    assert there.fp("spurious") == back.fn("missed")
    assert there.fn("missed") == back.fp("spurious")


@given(st.lists(st.tuples(TEXT, st.sampled_from("XY")), max_size=5), SPANS, TEXT, st.randoms())
def test_order_does_not_matter_property(gold: Spans, found: Any, text: str, shuffle: Any) -> None:
    mixed, other = list(gold), list(found)
    shuffle.shuffle(mixed)
    shuffle.shuffle(other)
    assert classify(gold, found, text) == classify(mixed, other, text)
    assert classify(gold, found, text) == classify(gold + mixed, other + other, text)  # type: ignore[operator]


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
    found = error_table(outcomes_of(ROWS, ref=REF, new=NEW), "new")
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
    ref = error_table(outcomes_of(ROWS, ref=REF, new=NEW), "ref")["classes"]
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
    assert error_table(outcomes, "new")["classes"]["malformed"]["examples"] == ["i0"]


def test_only_spans_have_classes() -> None:
    quizzed = scored(make_study(), {"quiz": (quiz(1), {"ref": ["A"], "new": ["B"]})})["quiz"]
    with pytest.raises(DataError, match="'quiz' is of kind 'choice'"):
        span_errors(quizzed, "ref")


ANSWER = st.one_of(SPANS.map(sorted), st.sampled_from(["broken", FAULT, None]))
ITEM = st.tuples(TEXT.filter(bool), SPANS.map(sorted), ANSWER, ANSWER)


@given(st.lists(ITEM, min_size=1, max_size=6))
def test_classes_sum_to_fp_and_fn_property(rows: list[tuple[str, Spans, Any, Any]]) -> None:
    outcomes = outcomes_of(
        [row[:2] for row in rows], ref=[row[2] for row in rows], new=[row[3] for row in rows]
    )
    for arm in outcomes.arms:
        answers = [o for o in outcomes.outcomes[arm] if o is not None]
        table = error_table(outcomes, arm)
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


def test_errors_are_what_they_say() -> None:
    assert classify([PER_JOHN], [("john smith", "ORG")]).errors == (
        SpanError("wrong_type", ("john smith", "ORG"), PER_JOHN),
    )
