"""How an arm fails, not just whether: what it gets wrong, by kind of task."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial.analysis.outcomes import Panel
from quantrial.analysis.text_signs import is_truncated, panel_without, sign_panels
from quantrial.stats import wilson
from quantrial.tasks import Endpoint

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.tasks import FailureMode


def failure_modes(outcomes: TaskOutcomes, arm: str, *, alpha: float) -> dict[str, Any]:
    """Describe one arm's failures on one task, on the items it answered."""

    def rate(successes: int, n: int) -> dict[str, Any]:
        if not n:
            return {"rate": None, "ci": None}
        found = wilson(successes, n, confidence=1.0 - alpha)
        return {"rate": found.estimate, "ci": [found.interval.low, found.interval.high]}

    pairs = [
        (item, outcome)
        for item, outcome in zip(outcomes.items, outcomes.outcomes[arm], strict=True)
        if outcome is not None
    ]
    cut = sum(one is not None and bool(is_truncated(one)) for one in outcomes.given(arm))
    return outcomes.task.failures(pairs, rate) | {"truncated": cut}


def failure_panels(outcomes: TaskOutcomes) -> list[Panel]:
    """Score the failure modes that are no endpoint of the task, one panel of one endpoint each.

    Those of the kind of task, then the signs of `sign_panels` on all items, and `answered`: the
    share of calls without a fault. Every endpoint is a share of items that are well, so that
    negative is a loss; one that nothing can be said of is left out, and so is an item whose answer
    does not tell. Panels keep the clusters and strata of the task.
    """
    panels = [_mode(outcomes, mode) for mode in outcomes.task.failure_modes]
    panels += [*sign_panels(outcomes), _answered(outcomes)]
    return [panel for panel in panels if panel is not None]


def _answered(outcomes: TaskOutcomes) -> Panel | None:
    """Score the share of calls that were answered, of those that were made and recorded.

    None where no call ended in a fault.
    """
    if not any(outcomes.faults.values()):
        return None
    lost = [
        [
            False if response is not None else True if item.id in outcomes.faults[arm] else None
            for item, response in zip(outcomes.items, outcomes.responses[arm], strict=True)
        ]
        for arm in outcomes.arms
    ]
    panel = panel_without(outcomes, "answered", lost)
    # no outcome is missing here: where no call was made, or none is known, there is nothing to tell
    return None if panel is None else replace(panel, untold=~panel.answered)


def _mode(outcomes: TaskOutcomes, mode: FailureMode) -> Panel | None:
    """Score one failure mode of the kind of task."""
    shown = [
        [
            None if outcome is None else mode.shows(outcomes.task, item, outcome)
            for item, outcome in zip(outcomes.items, outcomes.outcomes[arm], strict=True)
        ]
        for arm in outcomes.arms
    ]
    if mode.applies is None:
        return panel_without(outcomes, mode.name, shown)
    mask = np.array([mode.applies(item) for item in outcomes.items], dtype=np.bool_)
    if not mask.any():
        return None
    panel = outcomes.panel.subset(mask)
    rows = [[row[i] is False for row in shown] for i in np.flatnonzero(mask)]
    return replace(
        panel,
        endpoints=(Endpoint(mode.name, "proportion", {"correct": 1.0}),),
        numerators=np.array(rows, dtype=np.float64)[:, :, None],
        denominators=panel.answered.astype(np.float64)[:, :, None],
    )
