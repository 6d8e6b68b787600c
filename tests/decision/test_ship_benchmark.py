"""The fast way of the benchmark to a decision, held to whole decisions of the same answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.fabricated import FAULT, QUIZ, make_study, quiz, scored
from characteristics.cells import Cell, grid
from characteristics.shipping import Bools, Study, decide, lacking, losses
from characteristics.tables import verdicts
from decision.fabricated import decide_from
from operating_characteristics import measure
from summaries import summarise


def whole(study: Study) -> tuple[str, list[float | None], list[float | None]]:
    """Score, summarise and decide; the default, and each candidate's p, alone and as shipped."""
    tasks, arms, n = study.right.shape
    names = [f"a{arm}" for arm in range(arms)]
    items = {f"t{task}": quiz(n, task=f"t{task}") for task in range(tasks)}
    made = make_study(
        arms=names,
        tasks=dict.fromkeys(items, QUIZ),
        margin=study.margin,
        analysis={"resamples": 100},
    )
    data = {
        name: (rows, {arm: said(rows, study, task, a) for a, arm in enumerate(names)})
        for task, (name, rows) in enumerate(items.items())
    }
    records = {
        arm: {"bytes_on_disk": 100 - a, "sha256": f"file {a}", "quantization": None}
        for a, arm in enumerate(names)
    }
    summary = summarise(made, scored(made, data), arms=records, methods="calibrated")
    decision = decide_from(summary)
    own = {one["arm"]: one for one in decision["ship"]}
    assert {one["candidate"]: one["ship"]["p_adjusted"] for one in summary["statements"]} == {
        arm: one["p_adjusted"] for arm, one in own.items()
    }
    candidates = [own[arm] for arm in names[1:]]
    return (
        decision["default"]["arm"],
        [one["p_value"] for one in candidates],
        [one["p_adjusted"] for one in candidates],
    )


def said(items: Any, study: Study, task: int, arm: int) -> list[str]:
    """Answer as drawn; wrong answers are of another letter, missing ones a fault."""
    right, answered = study.right[task, arm], study.answered[task, arm]
    wrong = {"A": "B", "B": "C", "C": "D", "D": "A"}
    letters = [item.gold if r else wrong[item.gold] for item, r in zip(items, right, strict=True)]
    return [one if a else FAULT for one, a in zip(letters, answered, strict=True)]


def drawn(rng: np.random.Generator) -> Study:
    """Draw a small study in which anything may happen: losses, gains, faults of any arm."""
    tasks, arms, n = int(rng.integers(1, 3)), int(rng.integers(2, 5)), int(rng.integers(60, 140))
    right: Bools = np.repeat(rng.random((tasks, 1, n)) < 0.7, arms, axis=1)
    right[:, 1:] ^= rng.random((tasks, arms - 1, n)) < rng.choice([0.0, 0.02, 0.08, 0.2])
    answered = rng.random(right.shape) >= rng.choice([0.0, 0.0, 0.02, 0.1])
    return Study(right, answered, float(rng.choice([0.05, 0.1, 0.15])))


def test_the_fast_way_decides_as_the_whole_way_does() -> None:
    rng, shipped = np.random.default_rng(5), 0
    for _ in range(25):
        study = drawn(rng)
        fast = decide(study)
        default, alone, _ = whole(study)
        assert default == f"a{fast.default}"
        assert alone == pytest.approx(list(fast.p), rel=1e-9)
        shipped += fast.default > 0
    assert 4 <= shipped <= 21  # both ways are taken


@pytest.mark.parametrize("why", ["random", "hard", "own", "both", "sound"])
def test_what_lacks_answers_loses_just_the_margin_if_these_are_wrong(why: str) -> None:
    cell = Cell("missing", "", 400_000, 0.08, margin=0.05)
    study = lacking(cell, why, 0.1, 1, np.random.default_rng(3))
    right = study.right[0] & study.answered[0]
    assert 1.0 - study.answered[0, 1].mean() == pytest.approx(0.1, abs=0.002)
    loss = 0.07 if why == "sound" else 0.05
    assert right[0].mean() - right[1].mean() == pytest.approx(loss, abs=0.004)


def test_the_grid_asks_of_one_to_five_candidates_over_one_to_three_tasks() -> None:
    cells = list(grid(1.0))
    shapes = {cell.kind.rsplit(" ", 1)[1] for cell in cells if cell.family == "ship"}
    assert shapes == {f"{c}x{t}" for c in range(1, 6) for t in range(1, 4)}
    whys = {cell.kind.split()[0] for cell in cells if cell.family == "missing"}
    assert whys == {"random", "hard", "own", "both", "sound"}
    assert losses("cheapest", 3, 2, 0.05).tolist() == [[0, 0, 0.05], [0, 0, 0]]


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("missing", "random 0.1 1"),
        ("missing", "own 0.2 1"),
        ("missing", "hard 0.05 3"),
        ("ship", "all 3x1"),
        ("ship", "cheapest 2x2"),
        ("ship", "everywhere 5x1"),
    ],
)
def test_an_arm_that_loses_the_margin_is_seldom_shipped_against_simulation(
    family: str, kind: str
) -> None:
    cell = Cell(family, kind, 300, 0.08, margin=0.05, replications=1500)
    figures = measure(cell)["figures"]
    (limited,) = [
        (name, value, holds)
        for _, name, value, holds, _ in verdicts([measure(cell)])
        if holds is not None
    ]
    assert limited[2], limited
    # what was done before: pairs left out, each arm by a test of its own
    if family == "missing":
        assert figures["missing answers left out: ships it"] > 0.3
    if kind.startswith(("all 3", "everywhere 5")):
        assert figures["one test each: ships an arm that loses the margin"] > 0.08


def test_few_missing_answers_do_not_keep_a_sound_arm_from_being_shipped() -> None:
    cell = Cell("missing", "sound 0.002 1", 1000, 0.04, margin=0.03, replications=300)
    assert measure(cell)["figures"]["sound arm shipped"] > 0.8
    assert measure(replace(cell, kind="sound 0.2 1"))["figures"]["sound arm shipped"] == 0.0
