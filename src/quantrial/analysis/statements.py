"""What is said of each candidate over all tasks at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from quantrial.stats import holm, intersection_union, worse_on_any

if TYPE_CHECKING:
    from quantrial.study import Study


def statements(
    study: Study, tasks: Mapping[str, Any], *, unpicked: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """Say three things over all tasks about each candidate, on the primary endpoints.

    `margin_kept_on_all`: a loss of the margin is ruled out on every task, tested by the largest of
    their p-values, NaN where a task has none; like the verdicts on the margin `holds` is not
    adjusted for the number of candidates, `p_adjusted` is (Holm; controls, which are never chosen,
    have none).
    `loss_on_any`: a loss, of whatever size, is there on at least one task. Its p is the smallest
    that a task's verdict on a loss rests on (two-sided, adjusted by Holm over the pairs of arms),
    times the number of tasks that have one: over all candidates and tasks together it errs in at
    most alpha of studies, and it holds nowhere that no verdict of a task finds a loss. Both may
    hold of one candidate.
    `ship`: what the sentence "Ship X" rests on. As `margin_kept_on_all`, but with missing answers
    held against the candidate, and `holds` follows `p_adjusted`, Holm over the candidates of which
    one is chosen (`among`): so an arm that loses the margin on some task is shipped in at most
    alpha of studies. One that was not compared on a task counts among them and is never shipped.
    `missing` counts the answers that are not there, of the candidate and of the reference.
    `tasks` counts those that have a contrast of it with the reference; where none has, nothing is
    said.

    Args:
        study: says the arms, the reference, the level.
        tasks: the summaries of the tasks, by name.
        unpicked: arms that are never chosen: nothing tells them from another one, or they were
            shown other prompts than the reference.
    """
    found: dict[str, dict[str, Any]] = {}
    for candidate in study.arms:
        if candidate == study.reference:
            continue
        kept, lost, held, missing = [], [], [], 0
        for task in tasks.values():
            results = task["endpoints"][task["primary"]]
            for one, test in zip(results["contrasts"], results["equivalence"], strict=True):
                if (one["reference"], one["candidate"]) == (study.reference, candidate):
                    kept.append(test["p_non_inferior"])
                    lost.append(_p_of_a_loss(one["estimate"], one["p_adjusted"]))
                    held.append(_p_with_missing(one, test))
                    missing += _missing(one)
        if not lost:
            continue
        # a task without a contrast shows no loss, and rules none out
        margin, shipped = (
            intersection_union(p) if len(p) == len(tasks) else math.nan for p in (kept, held)
        )
        loss = worse_on_any(lost)
        found[candidate] = {
            "candidate": candidate,
            "reference": study.reference,
            "tasks": len(kept),
            "margin_kept_on_all": {"p_value": margin, "holds": margin < study.alpha},
            "loss_on_any": {"p_value": loss, "holds": loss < study.alpha},
            "ship": {"p_value": shipped, "missing": missing},
        }
    chosen = [one for arm, one in found.items() if not study.arms[arm].control]
    adjusted = holm([one["margin_kept_on_all"]["p_value"] for one in chosen]).tolist()
    for one, p in zip(chosen, adjusted, strict=True):
        one["margin_kept_on_all"]["p_adjusted"] = p
    _allow_for_the_choice(study, found, unpicked)
    yield from found.values()


def _allow_for_the_choice(
    study: Study, found: Mapping[str, dict[str, Any]], unpicked: Collection[str]
) -> None:
    """Adjust what "Ship" rests on for the candidates of which one is chosen, in place."""
    chosen = [
        one["ship"]
        for arm, one in found.items()
        if study.arms[arm].control is None and arm not in unpicked
    ]
    p = [one["p_value"] for one in chosen]
    adjusted = holm([1.0 if math.isnan(each) else each for each in p]).tolist()
    for one, each, after in zip(chosen, p, adjusted, strict=True):
        final = math.nan if math.isnan(each) else after
        one |= {"p_adjusted": final, "among": len(chosen), "holds": final < study.alpha}
    for one in found.values():
        one["ship"] = {"p_adjusted": math.nan, "among": len(chosen), "holds": False} | one["ship"]


def _p_with_missing(one: Mapping[str, Any], test: Mapping[str, Any]) -> float:
    """Return the p of "loses less than the margin", missing answers held against the candidate."""
    worst = one.get("worst_case")
    p: float = test["p_non_inferior"] if worst is None else worst.get("p_non_inferior", math.nan)
    return p


def _missing(one: Mapping[str, Any]) -> int:
    worst = one.get("worst_case") or {}
    return int(worst.get("missing_reference", 0) + worst.get("missing_candidate", 0))


def _p_of_a_loss(estimate: float, p_adjusted: float) -> float:
    """Return the p of the verdict where it is of a loss; a gain says nothing of one."""
    return p_adjusted if estimate < 0 or math.isnan(p_adjusted) else 1.0
