from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec import structs

from analysis.fabricated import (
    FAULT,
    QUIZ,
    answered,
    make_response,
    make_study,
    quiz,
    right_on,
    scored,
    summary_of,
)
from quantrial.analysis import TaskOutcomes, score_task
from quantrial.documents import Flow
from quantrial.errors import DataError
from quantrial.records import Response
from quantrial.tasks import Task, make_task
from summaries import make


@pytest.fixture
def task() -> Task:
    return make_task("quiz", make_study().tasks["quiz"])


def flow(found: TaskOutcomes) -> Flow:
    """Return what became of the calls, without what is counted by arm."""
    return structs.replace(found.flow, retries={}, faults={})


def calls(
    planned: int, answered: int, faulted: int, missing: int, duplicates: int, analysed_items: int
) -> Flow:
    return make(
        Flow,
        planned=planned,
        answered=answered,
        faulted=faulted,
        missing=missing,
        duplicates=duplicates,
        analysed_items=analysed_items,
    )


def test_a_second_answer_enters_no_comparison_and_is_no_duplicate(task: Task) -> None:
    items = quiz(2)
    given = [
        make_response(items[0], "ref", "A"),
        make_response(items[1], "ref", FAULT),
        make_response(items[0], "ref", "D", replicate=1),
        make_response(items[1], "ref", "B", replicate=1, attempt=2),
    ]
    found = score_task(task, items, {"ref": given})
    assert flow(found) == calls(2, 1, faulted=1, missing=0, duplicates=0, analysed_items=1)
    assert found.flow.retries == {"ref": 0}
    assert [r and r.output for r in found.responses["ref"]] == ["A", None]
    assert {at: r.output for at, (r, _) in found.again["ref"].items()} == {0: "D", 1: "B"}


def test_columns_are_in_the_order_of_the_items_and_arms(task: Task) -> None:
    items = quiz(3)
    given = {"new": answered(items, "new", "AAA")[::-1], "ref": answered(items, "ref", "ABC")}
    found = score_task(task, items, given)
    assert found.arms == ("new", "ref")
    assert found.panel.numerators[:, :, 0].tolist() == [[1, 1], [0, 1], [0, 1]]
    assert found.panel.denominators[:, :, 0].tolist() == [[1, 1], [1, 1], [1, 1]]
    assert found.panel.answered.all()
    assert found.panel.clusters is None


def test_a_fault_leaves_its_pair_out_and_no_other() -> None:
    # new lost item 0, old lost item 1: three items for each pair with ref, two for old and new
    study = make_study(arms=("ref", "new", "old"))
    items = quiz(4)
    outputs = {"ref": "ABCD", "new": [FAULT, "B", "C", "A"], "old": ["A", FAULT, "C", "D"]}
    found = summary_of(study, {"quiz": (items, outputs)})["tasks"]["quiz"]
    accuracy = found["endpoints"]["accuracy"]
    assert {(c["candidate"], c["reference"]): c["n"] for c in accuracy["contrasts"]} == {
        ("new", "ref"): 3,
        ("old", "ref"): 3,
        ("old", "new"): 2,
    }
    assert {arm: one["n"] for arm, one in accuracy["arms"].items()} == {
        "ref": 4,
        "new": 3,
        "old": 3,
    }
    assert accuracy["arms"]["new"]["estimate"] == 2 / 3  # a fault is not a wrong answer
    assert {(f["candidate"], f["reference"]): f["n"] for f in found["flips"]} == {
        ("new", "ref"): 3,
        ("old", "ref"): 3,
        ("old", "new"): 2,
    }
    assert found["flow"] == {
        "planned": 12,
        "answered": 10,
        "faulted": 2,
        "missing": 0,
        "duplicates": 0,
        "analysed_items": 2,
        "retries": {"ref": 0, "new": 0, "old": 0},
        "faults": {"ref": 0, "new": 1, "old": 1},
        "unlike_items": 0,
        "unhashed_items": 0,
        "unlike_tokens": 0,
        "uncounted_items": 0,
        "token_mismatches": [],
        "unsteady": {},
    }


def test_last_answer_wins_and_duplicates_are_counted(task: Task) -> None:
    items = quiz(2)
    first, second = items
    given = [
        make_response(first, "new", "B"),
        make_response(second, "new", "B"),
        make_response(first, "new", "C"),
        make_response(first, "new", "A"),
    ]
    found = score_task(task, items, {"new": given})
    assert flow(found) == calls(2, 2, 0, 0, duplicates=2, analysed_items=2)
    assert [r.output for r in found.responses["new"] if r] == ["A", "B"]
    assert found.panel.numerators[:, 0, 0].tolist() == [1, 1]


@pytest.mark.parametrize("outputs", [[FAULT, "A"], ["A", FAULT], [FAULT, "A", FAULT, FAULT]])
def test_an_answer_among_faults_is_the_answer(task: Task, outputs: list[str]) -> None:
    items = quiz(1)
    given = [make_response(items[0], "new", output) for output in outputs]
    assert flow(score_task(task, items, {"new": given})) == calls(1, 1, 0, 0, 0, 1)


@pytest.mark.parametrize("status", ["engine_error", "timeout", "context_overflow"])
def test_every_fault_counts_once_a_call(task: Task, status: str) -> None:
    items = quiz(3)
    given = [make_response(items[0], "new", FAULT, status=status, attempt=k) for k in (1, 2, 3)]
    found = score_task(task, items, {"new": [*given, make_response(items[1], "new", "B")]})
    # the third item was never asked
    assert flow(found) == calls(3, 1, faulted=1, missing=1, duplicates=0, analysed_items=1)
    assert (found.flow.retries, found.flow.faults) == ({"new": 2}, {"new": 1})
    assert found.outcomes["new"][0] is None
    assert found.outcomes["new"][2] is None


def test_clusters_follow_the_items() -> None:
    study = make_study(tasks={"quiz": QUIZ | {"cluster": "book"}})
    items = quiz(3, book=["x", "y", "x"])
    outputs = {"ref": "ABC", "new": "ABC"}
    panel = scored(study, {"quiz": (items, outputs)})["quiz"].panel
    assert panel.clusters is not None
    assert panel.clusters.tolist() == ["x", "y", "x"]
    subset = panel.subset(np.array([False, True, True]))
    assert subset.clusters is not None
    assert subset.clusters.tolist() == ["y", "x"]
    assert panel.without_groups().clusters is None


@pytest.mark.parametrize("key", ["cluster", "stratify"])
def test_an_item_without_the_key_is_named(key: str) -> None:
    study = make_study(tasks={"quiz": QUIZ | {key: "book"}})
    items = quiz(2, subject=["law", "law"])
    with pytest.raises(DataError, match=r"item .i0. of task .quiz. has no .book.*it has subject"):
        summary_of(study, {"quiz": (items, {"ref": "AB", "new": "AB"})})


def test_answered_by(task: Task) -> None:
    items = quiz(3)
    outputs: dict[str, Sequence[str | None]] = {
        "ref": ["A", None, "C"],
        "new": ["A", "B", FAULT],
        "none": [None, None, FAULT],
    }
    given = {arm: answered(items, arm, row) for arm, row in outputs.items()}
    panel = score_task(task, items, given).panel
    assert panel.answered_by("ref").tolist() == [True, False, True]
    assert panel.answered_by("ref", "new").tolist() == [True, False, False]
    assert panel.arms_with_answers() == ["ref", "new"]


def test_no_responses_at_all(task: Task) -> None:
    empty: dict[str, list[Response]] = {"ref": [], "new": []}
    assert flow(score_task(task, quiz(3), empty)) == calls(6, 0, 0, 6, 0, 0)
    assert flow(score_task(task, [], empty)) == calls(0, 0, 0, 0, 0, 0)


def test_right_on_is_what_it_says() -> None:
    items = quiz(5)
    assert right_on(items, {0, 2}) == ["A", "C", "C", "A", "B"]
