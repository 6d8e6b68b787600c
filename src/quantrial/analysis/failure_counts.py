"""What is counted rather than right or wrong: invented entities, the length of answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial.analysis.error_classes import spurious_counts
from quantrial.analysis.outcomes import Panel
from quantrial.tasks import Endpoint

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes

SPURIOUS, LENGTH = "spurious_per_sentence", "output_length"


def spurious_per_sentence(outcomes: TaskOutcomes, arm: str) -> dict[str, Any]:
    """Count the entities an arm invents (they overlap no gold), in answers that could be read."""
    counts = [count for count in spurious_counts(outcomes, arm) if count is not None]
    n, total = len(counts), sum(counts)
    return {"n": n, "spurious": total, "per_sentence": total / n if n else None}


def unread(outcomes: TaskOutcomes) -> Iterator[tuple[str, str]]:
    """Say of each arm with answers that could not be read that what these invent is not known."""
    if not outcomes.task.error_classes:
        return
    for arm in outcomes.arms:
        given = [one for one in outcomes.outcomes[arm] if one is not None]
        lost = sum(not one.parsed for one in given)
        if lost:
            yield (
                arm,
                f"{lost} of {len(given)} answers could not be read; what they invent is not known, "
                f"so no_spurious and {SPURIOUS} compare the other items only",
            )


def count_panels(outcomes: TaskOutcomes) -> Iterator[tuple[Panel, str]]:
    """Score what answers of this kind of task have too much of, each counted as -1, and its unit.

    Negative is then a loss: at -0.5 a candidate invents one entity more than the reference in every
    second sentence. An answer that does not tell (a malformed one) is left out. There is none of
    what no arm shows.
    """
    for mode in outcomes.task.counts:
        counts = [
            [
                None if outcome is None else mode.of(outcomes.task, item, outcome)
                for item, outcome in zip(outcomes.items, outcomes.outcomes[arm], strict=True)
            ]
            for arm in outcomes.arms
        ]
        if any(any(row) for row in counts):
            yield _panel(outcomes, mode.name, counts, sign=-1.0), mode.unit


def length_panel(outcomes: TaskOutcomes) -> tuple[Panel, str] | None:
    """Score the length of each answer, and say in what; a longer one is neither better nor worse.

    In tokens where the engines tell them of every answer, else in characters. None where nothing
    was answered.
    """
    if not outcomes.panel.answered.any():
        return None
    tokens = [
        [None if r is None else r.completion_tokens for r in outcomes.responses[arm]]
        for arm in outcomes.arms
    ]
    known = np.array([[count is not None for count in row] for row in tokens]).T
    if (known == outcomes.panel.answered).all():
        return _panel(outcomes, LENGTH, tokens), "tokens"
    characters = [
        [None if r is None else len(r.output) for r in outcomes.responses[arm]]
        for arm in outcomes.arms
    ]
    return _panel(outcomes, LENGTH, characters), "characters"


def _panel(
    outcomes: TaskOutcomes, name: str, counts: Sequence[Sequence[int | None]], *, sign: float = 1.0
) -> Panel:
    """Take counts by arm and item as a mean over items; items of None are left out."""
    answered = np.array([[count is not None for count in row] for row in counts]).T
    values = np.array([[float(count or 0) for count in row] for row in counts]).T
    return Panel(
        outcomes.arms,
        # no count is known to be the largest: the statistics of a ratio assume none
        (Endpoint(name, "ratio", {name: 1.0}),),
        (sign * values)[:, :, None],
        answered.astype(np.float64)[:, :, None],
        answered,
        outcomes.panel.clusters,
        outcomes.panel.strata,
        outcomes.panel.untold_where(~answered),
        outcomes.panel.by_content,
        outcomes.panel.asked,
    )
