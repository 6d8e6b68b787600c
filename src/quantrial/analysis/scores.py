"""Two columns of scores compared as the two arms of a run are, without a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantrial import documents
from quantrial.analysis.bounds import Bounds
from quantrial.analysis.comparison import METHODS
from quantrial.analysis.contrasts import (
    Choice,
    Notes,
    draft,
    judge,
    measure,
    simultaneous_intervals,
    write,
)
from quantrial.analysis.values import estimate_of
from quantrial.errors import StudyError

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import Panel


def compare_panel(
    panel: Panel,
    *,
    name: str = "scores",
    margin: float | None,
    alpha: float,
    seed: int,
    methods: str = "calibrated",
    resamples: int = 10_000,
) -> documents.ScoreComparison:
    """Compare the second arm of a panel with the first one, on the panel's only endpoint.

    The numbers are those that a run of two arms has on its primary endpoint, from the same scores.

    Args:
        panel: the scores of two arms; every item has a score of both.
        name: what ids begin with, and what draws are told from others by: a run's task.
        margin: in the endpoint's unit; None where only a difference is asked about.
        alpha: the level.
        seed: of what is drawn.
        methods: the set of statistics.
        resamples: draws.

    Raises:
        StudyError: there is no such set of statistics.
    """
    if methods not in METHODS:
        raise StudyError(
            f"there is no set of methods {methods!r}; there is {', '.join(METHODS)}", key="methods"
        )
    (endpoint,), (reference, candidate) = panel.endpoints, panel.arms
    notes, label = Notes(), f"{name}.{endpoint.name}"
    bound = METHODS[methods](
        panel, seed=seed, label=name, resamples=resamples, alpha=alpha, primary=endpoint.name
    )
    arms = {}
    for arm in panel.arms:
        with notes.at(f"{endpoint.name}, {arm}"):
            arms[arm] = estimate_of(bound.arm(arm, endpoint.name))
    measured = measure(
        bound,
        [(reference, candidate)],
        endpoint=endpoint.name,
        label=label,
        margin=margin,
        notes=notes,
    )
    choice = Choice(reference, (candidate,))
    drafts = draft(measured, family=label, bounds=Bounds(None), choice=choice)
    (each,), adjusted = drafts, [drafts[0].p_adjusted]
    (interval,), said = simultaneous_intervals(drafts, adjusted, family=1, alpha=alpha)
    for one in said:
        notes.add(endpoint.name, one)
    contrast = write(
        each,
        judge(each, each.p_adjusted, family=1, alpha=alpha),
        p_adjusted=each.p_adjusted,
        family=label,
        simultaneous=interval,
    )
    return documents.ScoreComparison(
        endpoint=endpoint.name,
        arms=arms,
        contrasts=(contrast,),
        unit=endpoint.unit,
        direction=endpoint.direction,
        low=endpoint.low,
        high=endpoint.high,
        label=endpoint.label,
        margin=margin,
        alpha=alpha,
        methods=methods,
        seed=seed,
        clusters=None if panel.clusters is None else len(np.unique(panel.clusters)),
        turned=_turned(panel) if endpoint.type == "proportion" else None,
        warnings=tuple(notes.sentences()),
    )


def _turned(panel: Panel) -> documents.TurnedScores:
    """Count the items on which one of the two arms alone is right."""
    right = panel.numerators[:, :, 0] == panel.endpoints[0].best
    return documents.TurnedScores(
        harmful=int((right[:, 0] & ~right[:, 1]).sum()),
        beneficial=int((right[:, 1] & ~right[:, 0]).sum()),
    )
