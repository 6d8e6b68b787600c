"""How an arm fails, not just whether: by kind of task, and item by item between arms."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial.analysis.outcomes import Panel
from quantrial.stats import wilson
from quantrial.tasks import Endpoint

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes

_PERFECT = 1.0


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
    right = sum(o.values["f1"] == _PERFECT for o in empty)
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
    return sum(r is not None and r.finish_reason == "length" for r in outcomes.responses[arm])


def failure_panel(outcomes: TaskOutcomes) -> Panel | None:
    """Score the failure mode that is no endpoint: entity-free items answered correctly (spans).

    None where the task has no such items.
    """
    mask = np.array([not item.gold for item in outcomes.items], dtype=np.bool_)
    if outcomes.task.kind != "spans" or not mask.any():
        return None
    panel = outcomes.panel.subset(mask).without_groups()
    endpoint = Endpoint("entity_free_correct", "proportion", {"correct": 1.0})
    right_there = np.array(
        [
            [right(outcomes, arm, int(i)) or False for arm in panel.arms]
            for i in np.flatnonzero(mask)
        ],
        dtype=np.float64,
    )[:, :, None]
    asked = panel.answered.astype(np.float64)[:, :, None]
    return Panel(panel.arms, (endpoint,), right_there, asked, panel.answered)


def right(outcomes: TaskOutcomes, arm: str, index: int) -> bool | None:
    """Whether an arm's answer to an item is wholly right; None without an answer."""
    outcome = outcomes.outcomes[arm][index]
    if outcome is None:
        return None
    return outcome.values["f1" if outcomes.task.kind == "spans" else "correct"] == _PERFECT


def flips(outcomes: TaskOutcomes, reference: str, candidate: str) -> dict[str, Any]:
    """Count the items whose answer turned, between two arms, among those both answered.

    `harmful`: reference wholly right, candidate not; `beneficial`: the reverse; `churn`: the raw
    text changed and every score stayed. `items` lists the flipped ids.
    """
    harmful: list[str] = []
    beneficial: list[str] = []
    churn = n = 0
    for i, item in enumerate(outcomes.items):
        before, after = outcomes.outcomes[reference][i], outcomes.outcomes[candidate][i]
        old, new = outcomes.responses[reference][i], outcomes.responses[candidate][i]
        if before is None or after is None or old is None or new is None:
            continue
        n += 1
        was, now = right(outcomes, reference, i), right(outcomes, candidate, i)
        if was and not now:
            harmful.append(item.id)
        elif now and not was:
            beneficial.append(item.id)
        if old.output != new.output and before.values == after.values:
            churn += 1
    return {
        "reference": reference,
        "candidate": candidate,
        "harmful": len(harmful),
        "beneficial": len(beneficial),
        "churn": churn,
        "n": n,
        "items": {"harmful": harmful, "beneficial": beneficial},
    }
