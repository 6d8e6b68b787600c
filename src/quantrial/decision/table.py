"""The table that a pick is made from, `decision["picker"]`: what the rules look at, and no more."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

from quantrial.agreement import TABLE_DIGITS, all_rounded
from quantrial.assay import at_floor
from quantrial.decision.cautions import unseen_controls
from quantrial.decision.trial import Held, Trial, keeps_margin
from quantrial.decision.words import Document

_NORMAL = NormalDist()


def picker(trial: Trial) -> dict[str, Any]:
    """Write the table of a trial: plain JSON values, arms in order of cost, controls last."""
    arms = [*trial.by_cost, *trial.controls]
    tiers = trial.tiers()
    table = {
        "reference": trial.reference,
        "insensitive": unseen_controls(trial),
        "memory_source": trial.memory_source,
        "arms": {
            arm: {
                "rank": rank,
                "tier": tiers.get(arm),
                "control": arm in trial.controls,
                "memory": trial.memory(arm),
                "speedup": trial.speedup(arm),
                "twin": trial.twins.get(arm),
                **({"other_prompts": True} if arm in trial.other_prompts else {}),
            }
            for rank, arm in enumerate(arms)
        },
        "tasks": {
            task: {
                "workload": trial.workload(task),
                "margin": part["margin"],
                "at_floor": at_floor(part, trial.reference),
                "arms": {arm: _row(trial, task, arm) for arm in arms},
            }
            for task, part in trial.tasks.items()
        },
    }
    # the page picks from it: its last bits are to decide nothing there, and nothing here
    rounded: dict[str, Any] = all_rounded(table, TABLE_DIGITS)
    return rounded


def _row(trial: Trial, task: str, arm: str) -> dict[str, Any]:
    """Write what is known of an arm on a task; the reference loses nothing against itself."""
    latency = trial.latency(task, arm)
    if arm == trial.reference:
        margin = trial.tasks[task]["margin"]
        loss = {"estimate": 0.0, "bound": 0.0, "margin": margin, "holds": True, "worse": False}
        return {"finding": None, **loss, "latency": latency}
    finding = trial.primary(task, arm)
    if finding is None:
        margin = trial.tasks[task]["margin"]
        loss = {"estimate": None, "bound": None, "margin": margin, "holds": False, "worse": False}
        return {"finding": None, **loss, "latency": latency}
    held = Held.of(finding)
    row = {
        "finding": finding["id"],
        "estimate": finding["estimate"],
        # the lower end of the interval that belongs to the one-sided test; none bounds what an arm
        # loses that was shown other prompts
        "bound": None if arm in trial.other_prompts else held.ci[0],
        "margin": finding["margin"],
        "holds": trial.holds(task, arm),
        "worse": finding["verdict"] == "worse",
        "latency": latency,
    }
    if arm in trial.other_prompts:
        return row
    if held.missing:
        row["missing"] = held.missing
        bound = finding["equivalence_ci"][0]
        row["answered"] = {"bound": bound, "holds": keeps_margin(finding)}
    levels = range(2, len(trial.candidates) + 1)
    if arm in trial.candidates and levels:
        row["among"] = [_at_level(trial, finding, held, among) for among in levels]
    return row


def _at_level(trial: Trial, finding: Document, held: Held, among: int) -> dict[str, Any]:
    """Write what is ruled out where the arm is one of so many candidates."""
    alpha = trial.summary["alpha"]
    if len(held.lower_bounds) >= among:
        bound = held.lower_bounds[among - 1]
    else:  # a summary of an earlier version: by the normal approximation
        bound = _further(held, finding["equivalence_confidence"], alpha / among)
    below = held.p is not None and held.p < alpha / among
    return {"bound": bound, "holds": held.holds and below}


def _further(held: Held, confidence: float, level: float) -> float | None:
    """Return the bound at a stricter level, in proportion to the one that is known."""
    estimate, bound = held.estimate, held.ci[0]
    if estimate is None or bound is None:
        return None
    reach = _NORMAL.inv_cdf(1.0 - level) / _NORMAL.inv_cdf((1.0 + confidence) / 2.0)
    return estimate - reach * (estimate - bound)
