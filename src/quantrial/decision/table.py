"""The table that a pick is made from, `decision["picker"]`: what the rules look at, and no more."""

from __future__ import annotations

from typing import Any

from quantrial.assay import at_floor
from quantrial.decision.cautions import unseen_controls
from quantrial.decision.trial import Trial


def picker(trial: Trial) -> dict[str, Any]:
    """Write the table of a trial: plain JSON values, arms in order of cost, controls last."""
    arms = [*trial.by_cost, *trial.controls]
    return {
        "reference": trial.reference,
        "insensitive": unseen_controls(trial),
        "memory_source": trial.memory_source,
        "arms": {
            arm: {
                "rank": rank,
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
    return {
        "finding": finding["id"],
        "estimate": finding["estimate"],
        # the lower end of the interval that belongs to the one-sided test; none bounds what an arm
        # loses that was shown other prompts
        "bound": None if arm in trial.other_prompts else finding["equivalence_ci"][0],
        "margin": finding["margin"],
        "holds": trial.holds(task, arm),
        "worse": finding["verdict"] == "worse",
        "latency": latency,
    }
