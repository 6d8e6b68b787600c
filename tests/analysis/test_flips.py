"""Items that turned between two arms."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.fabricated import (
    ADA,
    FAULT,
    NAMES,
    QUIZ,
    ROME,
    make_response,
    make_study,
    quiz,
    quizzed,
    said,
    sentences,
    summary_of,
)
from quantrial.analysis import score_task
from quantrial.analysis.answers.changes import flips, right
from quantrial.documents import to_dict
from quantrial.errors import DataError
from quantrial.tasks import make_task


def test_flips_by_hand() -> None:
    outputs = {
        "ref": ["A", "B", "A", "A", "C", "D", "A"],
        # still right in other words, broken, mended, wrong otherwise, same wrong text, fault, right
        "new": ["(A)", "C", "C", "B", "C", FAULT, "C"],
    }
    task = summary_of(make_study(), {"quiz": (quiz(7), outputs)})["tasks"]["quiz"]
    assert task["flips"] == [
        {
            "reference": "ref",
            "candidate": "new",
            "harmful": 1,
            "beneficial": 2,
            "churn": 2,
            "n": 6,
            "items": {"harmful": ["i1"], "beneficial": ["i2", "i6"]},
        }
    ]


def test_flips_of_spans_ask_for_the_whole_item() -> None:
    study = make_study(tasks={"names": NAMES})
    items = sentences([[ADA, ROME], [ADA, ROME], [ADA]])
    outputs = {
        # partly right is not right: no flip from half to half, nor from half to nothing
        "ref": [said(ADA, ROME), said(ADA), said(ADA)],
        "new": [said(ADA), said(ROME), said(("ada ", "per"))],
    }
    found = summary_of(study, {"names": (items, outputs)})["tasks"]["names"]["flips"][0]
    assert (found["harmful"], found["beneficial"]) == (1, 0)
    assert found["churn"] == 2  # half for another half, and the same entity written otherwise


def test_right_is_unknown_without_an_answer() -> None:
    study, items = make_study(tasks={"quiz": QUIZ}), quiz(2)
    task = make_task("quiz", study.tasks["quiz"])
    found = score_task(task, items, {"new": [make_response(items[0], "new", "B")]})
    assert [right(found, "new", i) for i in range(2)] == [False, None]


def row(harmful: list[str], beneficial: list[str], **counts: int) -> dict[str, Any]:
    return {
        "harmful": len(harmful),
        "beneficial": len(beneficial),
        "items": {"harmful": harmful, "beneficial": beneficial},
        **counts,
    }


def test_flips_by_a_key_by_hand() -> None:
    outputs = {
        "ref": ["A", "B", "A", "A", "C", "D", "A"],
        "new": ["(A)", "C", "C", "B", "C", FAULT, "C"],
    }
    subjects = ["b", "a", "a", "b", "b", "c", "b"]
    outcomes = quizzed(outputs, subject=subjects)
    found = to_dict(flips(outcomes, "ref", "new", "subject"))["strata"]["subject"]
    assert found == {
        "a": row(["i1"], ["i2"], churn=0, n=2),
        "b": row([], ["i6"], churn=2, n=4),
        "c": row([], [], churn=0, n=0),
    }
    assert list(found) == ["a", "b", "c"]
    with pytest.raises(DataError, match="'genre'"):
        flips(outcomes, "ref", "new", "genre")


LETTERED = st.sampled_from(["A", "B", "C", "D", "none", FAULT, None])


@given(st.lists(st.tuples(LETTERED, LETTERED, st.sampled_from("xyz")), min_size=1, max_size=12))
def test_flips_by_a_key_sum_to_the_flips_property(rows: list[tuple[Any, Any, str]]) -> None:
    ref, new, subjects = zip(*rows, strict=True)
    outcomes = quizzed({"ref": ref, "new": new}, subject=subjects)
    whole = flips(outcomes, "ref", "new", "subject")
    for name in ("harmful", "beneficial", "churn", "n"):
        parts = [getattr(row, name) for row in whole.strata["subject"].values()]
        assert sum(parts) == getattr(whole, name)
