"""Whole decisions: which arm is shipped, of several candidates, over tasks, with missing answers.

Right and wrong answers decide everything here, and few pairs of counts occur, so each test is asked
once and remembered. What is picked from the tests is the product's own rule (`pick.choose`). A test
holds this way to whole decisions that are made of the same answers.
"""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from characteristics.cells import Cell, Measured
from quantrial.decision.pick import choose
from quantrial.documents.decision import (
    Constraints,
    Picker,
    PickerArm,
    PickerLevel,
    PickerRow,
    PickerTask,
)
from quantrial.stats import holm, mcnemar, score_flips, wilson

Bools = NDArray[np.bool_]
ALPHA = 0.05
RIGHT = 0.7  # share of items that the reference gets right
CHANCE = 0.25  # of a question with four options


@dataclass(frozen=True)
class Study:
    """Answers to one study's tasks, shape (tasks, arms, items): the reference, then by cost.

    The first candidate costs most. `right` means nothing where there is no answer.
    """

    right: Bools
    answered: Bools
    margin: float


@dataclass(frozen=True)
class Decided:
    """What is shipped (an arm's number; 0 is the reference), by rule; each candidate's own p."""

    default: int
    fixed_sequence: int
    pairwise: int  # where missing answers are left out, each arm by a test of its own
    p: tuple[float, ...]


@functools.cache
def _one_sided(harmful: int, beneficial: int, n: int, margin: float) -> tuple[float, float]:
    """Return p of "loses less than the margin" and of "gains less"."""
    score = score_flips(harmful, beneficial, n=n)
    return score.test(-margin, "greater").p_value, score.test(margin, "less").p_value


@functools.cache
def _two_sided(harmful: int, beneficial: int, n: int) -> float:
    return mcnemar(harmful, beneficial, n=n, method="midp").p_value


@functools.cache
def _at_floor(right: int, n: int) -> bool:
    return wilson(right, n, confidence=1.0 - ALPHA).interval.low <= CHANCE


def decide(study: Study) -> Decided:
    """Decide as `quantrial analyze` and `quantrial decide` do."""
    arms = study.right.shape[1]
    rows = [_rows(study, task) for task in range(len(study.right))]
    own = [max(row[arm][1] if row[arm] else math.inf for row in rows) for arm in range(1, arms)]
    kept = [all(row[arm] and row[arm][0] for row in rows) for arm in range(1, arms)]
    seen = [all(row[arm] and row[arm][2] for row in rows) for arm in range(1, arms)]
    sequence = 0
    for arm in range(1, arms):
        if not (kept[arm - 1] and own[arm - 1] < ALPHA):
            break
        sequence = arm
    return Decided(
        default=int(choose(_table(study, rows), Constraints()).pick or 0),
        fixed_sequence=sequence,
        pairwise=max((arm for arm in range(1, arms) if seen[arm - 1]), default=0),
        p=tuple(own),
    )


def _rows(study: Study, task: int) -> list[Any]:
    """Say of each arm whether its verdict keeps the margin, its p, and whether pairs alone do.

    None of the reference, and of an arm that shares no answered item with it.
    """
    answered = study.answered[task]
    right, wrong = study.right[task] & answered, ~study.right[task] & answered
    lost, both = _counts(right, wrong), _counts(answered, answered)
    # missing answers: the candidate's count as wrong, the reference's as right
    first = right[:1] | ~answered[:1]
    worst = _counts(first, ~right)[0], _counts(right, ~first)[:, 0]
    flips = {
        (one, other): (int(lost[one, other]), int(lost[other, one]), int(both[one, other]))
        for one, other in itertools.combinations(range(len(right)), 2)
        if both[one, other]
    }
    adjusted = dict(
        zip(flips, holm([_two_sided(*counts) for counts in flips.values()]), strict=True)
    )
    rows: list[Any] = [None]
    for arm in range(1, len(right)):
        if (0, arm) not in flips:
            rows.append(None)
            continue
        harmful, beneficial, n = flips[0, arm]
        loss, gain = _one_sided(harmful, beneficial, n, study.margin)
        worse = adjusted[0, arm] < ALPHA and beneficial <= harmful
        kept = loss < ALPHA and (gain < ALPHA or not worse)
        p, _ = _one_sided(int(worst[0][arm]), int(worst[1][arm]), right.shape[1], study.margin)
        rows.append((kept, p, kept))
    return rows


def _counts(one: Bools, other: Bools) -> NDArray[np.float32]:
    """Count, for each arm of one and of the other, the items on which both are true."""
    found: NDArray[np.float32] = one.astype(np.float32) @ other.astype(np.float32).T
    return found


def _table(study: Study, rows: list[list[Any]]) -> Picker:
    """Write the table that a pick is made from; bounds are not asked for at the margin."""
    arms = study.right.shape[1]
    tasks = {}
    for task, row in enumerate(rows):
        own = {"0": _row(study, finding=None, bound=0.0, holds=True)}
        for arm in range(1, arms):
            found = row[arm] or (False, 1.0, False)
            own[str(arm)] = _row(
                study,
                finding=None if row[arm] is None else str(arm),
                bound=None,
                holds=bool(found[0] and found[1] < ALPHA),
                among=tuple(
                    PickerLevel(bound=None, holds=bool(found[0] and found[1] < ALPHA / k))
                    for k in range(2, arms)
                ),
            )
        right, answered = study.right[task, 0], study.answered[task, 0]
        floor = _at_floor(int((right & answered).sum()), int(answered.sum()))
        tasks[str(task)] = PickerTask(
            workload=str(task), margin=study.margin, at_floor=floor, arms=own
        )
    return Picker(
        reference="0",
        insensitive=False,
        memory_source=None,
        arms={
            str(arm): PickerArm(
                rank=arms - arm, tier=None, control=False, memory=None, speedup=None, twin=None
            )
            for arm in range(arms)
        },
        tasks=tasks,
    )


def _row(study: Study, **found: Any) -> PickerRow:
    return PickerRow(estimate=None, margin=study.margin, worse=False, latency=None, **found)


def ship(cell: Cell) -> Measured:
    """How often an arm is shipped that loses the margin on some task, and a sound one, by rule.

    `kind`: what the candidates lose, then candidates x tasks. Each loses on its own items. What the
    last one is, the cheapest, and what the first one, that costs most: see `losses`.
    """
    what, shape = cell.kind.rsplit(" ", 1)
    candidates, tasks = map(int, shape.split("x"))
    lost = losses(what, candidates, tasks, cell.margin)
    sound = [arm + 1 for arm in range(candidates) if (lost[:, arm] < cell.margin).all()]
    rng, found = cell.rng(), []
    for _ in range(cell.replications):
        study = Study(
            _answers(cell, lost, rng),
            np.ones((tasks, candidates + 1, cell.n), dtype=np.bool_),
            cell.margin,
        )
        found.append(decide(study))
    figures = {}
    rules: dict[str, Callable[[Decided], int]] = {
        "Holm": lambda one: one.default,
        "fixed sequence": lambda one: one.fixed_sequence,
        "one test each": lambda one: one.pairwise,
    }
    for rule, of in rules.items():
        shipped = [of(one) for one in found]
        if len(sound) < candidates:
            wrong = np.mean([arm > 0 and arm not in sound for arm in shipped])
            figures[f"{rule}: ships an arm that loses the margin"] = float(wrong)
        if sound and rule != "one test each":
            figures[f"{what}, {rule}: ships a sound arm"] = float(
                np.mean([arm in sound for arm in shipped])
            )
            figures[f"{what}, {rule}: ships the cheapest sound arm"] = float(
                np.mean([arm == sound[-1] for arm in shipped])
            )
    return Measured(figures)


def losses(what: str, candidates: int, tasks: int, margin: float) -> NDArray[np.float64]:
    """Return what each candidate loses on each task, shape (tasks, candidates).

    `all`: all lose just the margin on the first task, nothing on the others; `everywhere`: on all
    of them. `cheapest` and `dearest`: that one alone, on the first task. `equal`: none loses
    anything. `declining`: the cheaper, the more, up to most of the margin; `declining, last lost`:
    so, and the last just the margin.
    """
    lost = np.zeros((tasks, candidates))
    if what in ("all", "everywhere"):
        lost[: 1 if what == "all" else tasks] = margin
    elif what == "cheapest":
        lost[0, -1] = margin
    elif what == "dearest":
        lost[0, 0] = margin
    elif what.startswith("declining"):
        lost[:] = margin * np.arange(candidates) / (2 * candidates)
        if what.endswith("last lost"):
            lost[0, -1] = margin
    return lost


def _answers(cell: Cell, lost: NDArray[np.float64], rng: np.random.Generator) -> Bools:
    """Draw right and wrong answers: of each candidate's flips, so many more are losses."""
    tasks, candidates = lost.shape
    right = np.empty((tasks, candidates + 1, cell.n), dtype=np.bool_)
    right[:, 0] = rng.random((tasks, cell.n)) < RIGHT
    luck = rng.random((tasks, candidates, cell.n))
    gain = (cell.rate - cell.margin) / 2.0
    before = right[:, :1]
    lose = luck < (gain + lost[:, :, None]) / RIGHT
    win = luck < gain / (1.0 - RIGHT)
    right[:, 1:] = np.where(before, ~lose, win)
    return right


def missing(cell: Cell) -> Measured:
    """How often an arm is shipped that loses just the margin once missing answers count as wrong.

    `kind`: why answers are missing, their share, and how many candidates there are, all like this;
    see `lacking`. Beside it: how often one would be shipped were missing answers left out.
    """
    why, share, candidates = cell.kind.rsplit(" ", 2)
    rng, found = cell.rng(), []
    for _ in range(cell.replications):
        found.append(decide(lacking(cell, why, float(share), int(candidates), rng)))
    shipped = float(np.mean([one.default > 0 for one in found]))
    left_out = float(np.mean([one.pairwise > 0 for one in found]))
    if why == "sound":
        return Measured(
            {"sound arm shipped": shipped, "missing answers left out: sound arm shipped": left_out}
        )
    return Measured(
        {
            "ships an arm that loses the margin": shipped,
            "missing answers left out: ships it": left_out,
        }
    )


def lacking(cell: Cell, why: str, share: float, candidates: int, rng: np.random.Generator) -> Study:
    """Draw answers of which the candidates lack a share; each loses the margin if these are wrong.

    `random`: whatever the item. `hard`: on items of which the reference gets so many right that
    this alone is the loss. `own`: just where it would have lost, so that what is answered shows
    gains only. `both`: as `random`, and the reference lacks half as many. `sound`: as `random`, and
    the candidate loses nothing but by what it lacks.
    """
    n, margin, right = cell.n, cell.margin, np.empty((candidates + 1, cell.n), dtype=np.bool_)
    answered = np.ones_like(right)
    right[0] = rng.random(n) < RIGHT
    if why == "both":
        answered[0] = rng.random(n) >= share / 2.0
    missed = share * RIGHT  # the part of the loss that is missing where the reference is right
    if why == "hard":
        missed = min(share, margin)
    elif why == "own":
        missed = share
    # what the answers lose more than they gain, so that all in all it is the margin
    rest = margin - missed
    if why == "both":
        rest = (1.0 - share) * RIGHT - (RIGHT * (1.0 - share / 2.0) - margin)
    elif why == "sound":
        rest = 0.0
    turned = abs(rest) if why == "own" else max(cell.rate, abs(rest))
    lost, won = (turned + rest) / 2.0, (turned - rest) / 2.0
    for arm in range(1, candidates + 1):
        of_right, of_wrong = missed / RIGHT, (share - missed) / (1.0 - RIGHT)
        answered[arm] = rng.random(n) >= np.where(right[0], of_right, of_wrong)
        luck = rng.random(n)
        lose = luck < lost / (RIGHT * (1.0 - of_right))
        win = luck < won / ((1.0 - RIGHT) * (1.0 - of_wrong))
        right[arm] = np.where(right[0], ~lose, win)
    return Study(right[None], answered[None], margin)
