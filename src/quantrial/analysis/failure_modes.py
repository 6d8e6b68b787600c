"""How an arm fails, not just whether: what it gets wrong, by kind of task."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial.analysis.error_classes import spurious_counts
from quantrial.analysis.flips import PERFECT, right
from quantrial.analysis.outcomes import Panel
from quantrial.analysis.text_signs import is_truncated, panel_without, sign_panels
from quantrial.stats import wilson
from quantrial.tasks import Endpoint

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes


def failure_modes(outcomes: TaskOutcomes, arm: str, *, alpha: float) -> dict[str, Any]:
    """Describe one arm's failures on one task, on the items it answered."""
    if outcomes.task.kind == "spans":
        return _spans(outcomes, arm, alpha)
    return _choice(outcomes, arm, alpha)


def _choice(outcomes: TaskOutcomes, arm: str, alpha: float) -> dict[str, Any]:
    scored = [o for o in outcomes.outcomes[arm] if o is not None]
    n = len(scored)
    letters = Counter(str(o.answer) for o in scored if o.answer is not None)
    golds = Counter(
        str(item.gold)
        for item, o in zip(outcomes.items, outcomes.outcomes[arm], strict=True)
        if o is not None
    )
    unparsed = sum(not o.parsed for o in scored)
    return {
        "n": n,
        "unparsed": unparsed,
        "unparsed_rate": unparsed / n if n else None,
        "letters": dict(sorted(letters.items())),
        "gold_letters": dict(sorted(golds.items())),
        "truncated": _truncated(outcomes, arm),
    }


def _spans(outcomes: TaskOutcomes, arm: str, alpha: float) -> dict[str, Any]:
    pairs = [
        (item, o)
        for item, o in zip(outcomes.items, outcomes.outcomes[arm], strict=True)
        if o is not None
    ]
    tp, fp, fn = (int(sum(o.values[name] for _, o in pairs)) for name in ("tp", "fp", "fn"))
    parsed = sum(o.parsed for _, o in pairs)
    empty = [o for item, o in pairs if not item.gold]
    right = sum(o.values["f1"] == PERFECT for o in empty)
    entity_free: dict[str, Any] = {"n": len(empty), "correct": right, "rate": None, "ci": None}
    if empty:
        rate = wilson(right, len(empty), confidence=1.0 - alpha)
        entity_free |= {"rate": rate.estimate, "ci": [rate.interval.low, rate.interval.high]}
    return {
        "n": len(pairs),
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "parsed": parsed,
        "parse_rate": parsed / len(pairs) if pairs else None,
        "entity_free": entity_free,
        "truncated": _truncated(outcomes, arm),
    }


def _truncated(outcomes: TaskOutcomes, arm: str) -> int:
    return sum(one is not None and bool(is_truncated(one)) for one in outcomes.given(arm))


def failure_panels(outcomes: TaskOutcomes) -> list[Panel]:
    """Score the failure modes that are no endpoint of the task, one panel of one endpoint each.

    `entity_free_correct` on entity-free items and `no_spurious` (spans), `parse_rate` (choice),
    then the signs of `sign_panels` on all items, and `answered`: the share of calls without a
    fault. Every endpoint is a share of items that are well,
    so that negative is a loss; one that nothing can be said of is left out. What a
    malformed answer invents is not known, so `no_spurious` leaves its item out; `parse_rate` speaks
    of it. Panels keep the clusters and strata of the
    task.
    """
    if outcomes.task.kind == "spans":
        panels = [_entity_free(outcomes), _no_spurious(outcomes)]
    else:
        panels = [_parse_rate(outcomes)]
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


def _entity_free(outcomes: TaskOutcomes) -> Panel | None:
    mask = np.array([not item.gold for item in outcomes.items], dtype=np.bool_)
    if outcomes.task.kind != "spans" or not mask.any():
        return None
    panel = outcomes.panel.subset(mask)
    endpoint = Endpoint("entity_free_correct", "proportion", {"correct": 1.0})
    rows = [
        [right(outcomes, arm, int(i)) or False for arm in panel.arms] for i in np.flatnonzero(mask)
    ]
    return replace(
        panel,
        endpoints=(endpoint,),
        numerators=np.array(rows, dtype=np.float64)[:, :, None],
        denominators=panel.answered.astype(np.float64)[:, :, None],
    )


def _parse_rate(outcomes: TaskOutcomes) -> Panel | None:
    shown = [
        [None if outcome is None else not outcome.parsed for outcome in outcomes.outcomes[arm]]
        for arm in outcomes.arms
    ]
    return panel_without(outcomes, "parse_rate", shown)


def _no_spurious(outcomes: TaskOutcomes) -> Panel | None:
    shown = [
        [None if count is None else count > 0 for count in spurious_counts(outcomes, arm)]
        for arm in outcomes.arms
    ]
    return panel_without(outcomes, "no_spurious", shown)
