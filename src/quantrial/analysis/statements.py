"""What is said of each candidate over all tasks at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from quantrial.stats import holm, intersection_union, worse_on_any

if TYPE_CHECKING:
    from quantrial.study import Study


def statements(study: Study, tasks: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Say two things over all tasks about each candidate, on the primary endpoints.

    `margin_kept_on_all`: a loss of the margin is ruled out on every task, tested by the largest of
    their p-values, NaN where a task has none; like the verdicts on the margin `holds` is not
    adjusted for the number of candidates, `p_adjusted` is (Holm; controls, which are never chosen,
    have none).
    `loss_on_any`: a loss, of whatever size, is there on at least one task. Its p is the smallest
    that a task's verdict on a loss rests on (two-sided, adjusted by Holm over the pairs of arms),
    times the number of tasks that have one: over all candidates and tasks together it errs in at
    most alpha of studies, and it holds nowhere that no verdict of a task finds a loss. Both may
    hold of one candidate. `tasks` counts those that have a contrast of it with the reference; where
    none has, nothing is said.

    Args:
        study: says the arms, the reference, the level.
        tasks: the summaries of the tasks, by name.
    """
    found: dict[str, dict[str, Any]] = {}
    for candidate in study.arms:
        if candidate == study.reference:
            continue
        kept, lost = [], []
        for task in tasks.values():
            results = task["endpoints"][task["primary"]]
            for one, test in zip(results["contrasts"], results["equivalence"], strict=True):
                if (one["reference"], one["candidate"]) == (study.reference, candidate):
                    kept.append(test["p_non_inferior"])
                    lost.append(_p_of_a_loss(one["estimate"], one["p_adjusted"]))
        if not lost:
            continue
        # a task without a contrast shows no loss, and rules none out
        margin = intersection_union(kept) if len(kept) == len(tasks) else math.nan
        loss = worse_on_any(lost)
        found[candidate] = {
            "candidate": candidate,
            "reference": study.reference,
            "tasks": len(kept),
            "margin_kept_on_all": {"p_value": margin, "holds": margin < study.alpha},
            "loss_on_any": {"p_value": loss, "holds": loss < study.alpha},
        }
    chosen = [one for arm, one in found.items() if not study.arms[arm].control]
    adjusted = holm([one["margin_kept_on_all"]["p_value"] for one in chosen]).tolist()
    for one, p in zip(chosen, adjusted, strict=True):
        one["margin_kept_on_all"]["p_adjusted"] = p
    yield from found.values()


def _p_of_a_loss(estimate: float, p_adjusted: float) -> float:
    """Return the p of the verdict where it is of a loss; a gain says nothing of one."""
    return p_adjusted if estimate < 0 or math.isnan(p_adjusted) else 1.0
