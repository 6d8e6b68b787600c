"""What pairing was worth, and which items told nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import quantrial
from quantrial.analysis import Panel
from quantrial.analysis.answers.drawing import pairing
from quantrial.documents import load_summary
from quantrial.reporting.sections.flow import worth_in_words
from quantrial.tasks import Endpoint
from studies import arm, write_study

RIGHT = Endpoint("correct", "proportion", {"correct": 1.0})


def panel(rows: list[tuple[int, int]], **changes: Any) -> Panel:
    scores = np.array(rows, dtype=np.float64)
    return Panel(
        ("f16", "q4"),
        (RIGHT,),
        scores[:, :, None],
        np.ones((*scores.shape, 1)),
        np.ones(scores.shape, dtype=np.bool_),
        **changes,
    )


# both right on 80 of 100 items, one alone on 10 and on 4, neither on 6
ROWS = [(1, 1)] * 80 + [(1, 0)] * 10 + [(0, 1)] * 4 + [(0, 0)] * 6


def test_variances_by_hand() -> None:
    (one,) = pairing(panel(ROWS), [("f16", "q4")])
    # of the difference: 14 items of +-1, mean -0.06; of each arm p (1 - p), p = 0.90 and 0.84
    assert one.paired == pytest.approx(0.14 - 0.06**2)
    assert one.unpaired == pytest.approx(0.90 * 0.10 + 0.84 * 0.16)
    assert one.worth == pytest.approx(100 * 0.1364 / 0.2244)  # about 61 of the 100


def test_answers_that_change_at_random_are_worth_as_many_by_hand() -> None:
    # independent: as many of each of the four kinds
    (one,) = pairing(panel([(1, 1), (1, 0), (0, 1), (0, 0)] * 25), [("f16", "q4")])
    assert one.worth == pytest.approx(100.0)


def test_items_that_come_twice_count_as_clusters_by_hand() -> None:
    twice = np.repeat(np.arange(100).astype(str), 2)
    doubled = panel([row for row in ROWS for _ in (0, 1)], clusters=twice)
    (one,), (single,) = pairing(doubled, [("f16", "q4")]), pairing(panel(ROWS), [("f16", "q4")])
    assert one.n == 200
    assert one.worth == pytest.approx(2 * (single.worth or 0))
    # two items of a cluster that always agree carry twice the variance an item
    assert one.paired == pytest.approx(2 * single.paired)


def test_scores_that_do_not_differ_are_said(tmp_path: Path) -> None:
    (one,) = pairing(panel([(1, 1), (0, 0)] * 10), [("f16", "q4")])
    assert one.worth is None
    task = SimpleNamespace(pairing=(one,), saturation=None)
    summary = SimpleNamespace(tasks={"t": task}, arms={}, named=str)
    (said,) = worth_in_words(cast(Any, summary))
    assert said.startswith("What pairing was worth on t cannot be told: the scores do not differ")


def test_a_run_counts_saturated_items_by_hand(tmp_path: Path) -> None:
    arms = {
        "f16": arm("f16", 400, ["A", "A", "A", "B"]),
        "q4_0": arm("q4", 100, ["A", "A", "C", "B"]),
        "broken": {**arm("f16", 400, ["B"]), "control": "positive"},
    }
    tasks = {
        "sums": {
            "kind": "choice",
            "workload": "reasoning",
            "source": {"type": "jsonl", "path": "questions.jsonl"},
        }
    }
    quantrial.run(write_study(tmp_path, arms=arms, tasks=tasks), out=tmp_path / "run")
    summary = load_summary(quantrial.analyze(tmp_path / "run"))
    scored = {"f16": {}, "q4_0": {}}  # type: dict[str, dict[str, float]]
    for row in quantrial.results(tmp_path / "run").items:
        if row["arm"] in scored and row["endpoint"] == "accuracy":
            scored[row["arm"]][row["item"]] = row["score"]
    both = [(scored["f16"][item], scored["q4_0"][item]) for item in scored["f16"]]
    one = summary.tasks["sums"].saturation
    assert one is not None
    assert (one.n, one.arms) == (24, 2)
    assert (one.right, one.wrong) == (both.count((1.0, 1.0)), both.count((0.0, 0.0)))
    assert one.right + one.wrong < 24
    assert one.right > 0
    said = " ".join(worth_in_words(summary))
    share = round(100 * (one.right + one.wrong) / 24)
    assert f"answers {one.right} right (saturated), and {one.wrong} wrong" in said
    assert f"{24 - one.right - one.wrong} items, {share} % fewer" in said
