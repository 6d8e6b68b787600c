"""Summaries written by hand, with what the rules of the decision look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial import decision
from quantrial.decision import Constraints
from summaries import completed_dict


def decide_from(
    summary: Mapping[str, Any], constraints: Constraints | None = None, **more: Any
) -> dict[str, Any]:
    """Decide on a summary that is written in part: what it leaves out is None, 0 or empty."""
    return decision.decide_from(completed_dict(summary), constraints, **more)


MARGIN = 0.01
GB = 10**9

# estimate, 95 % interval, p and adjusted p of a difference; then 90 % interval, p and adjusted p
# of equivalence and of non-inferiority
NUMBERS: dict[str, tuple[Any, ...]] = {
    "equivalent": (0.001, (-0.007, 0.009), 0.8, 1.0, (-0.006, 0.008), 0.01, 0.03, 0.004, 0.012),
    "non_inferior": (0.008, (-0.004, 0.02), 0.2, 0.4, (-0.002, 0.018), 0.4, 0.8, 0.01, 0.03),
    "better": (0.03, (0.01, 0.05), 0.002, 0.006, (0.013, 0.047), 0.9, 1.0, 0.0, 0.0),
    "worse": (-0.062, (-0.09, -0.03), 0.0, 0.0, (-0.085, -0.035), 1.0, 1.0, 1.0, 1.0),
    "inconclusive": (-0.004, (-0.03, 0.022), 0.7, 1.0, (-0.026, 0.018), 0.4, 1.0, 0.4, 1.0),
}
OPEN = {"equivalence": 3000, "non_inferiority": 2500, "difference": 90_000}


def contrast(
    task: str, endpoint: str, arm: str, said: str, *, reference: str = "fp16", **changes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make a contrast and its test of equivalence from a verdict; `changes` of either, by key."""
    estimate, ci, p, p_adjusted, eq_ci, eq_p, eq_adjusted, ni_p, ni_adjusted = NUMBERS[said]
    identity = f"{task}.{endpoint}.{arm}.vs.{reference}"
    one = {
        "id": identity,
        "reference": reference,
        "candidate": arm,
        "estimate": estimate,
        "ci": list(ci),
        "confidence": 0.95,
        "ci_method": "bootstrap-percentile",
        "p_value": p,
        "p_method": "mcnemar-exact",
        "p_adjusted": p_adjusted,
        "family": f"{task}.{endpoint}",
        "n": 500,
        "sd_paired": 0.2,
        "verdict": said,
        "items_needed": dict(OPEN) if said == "inconclusive" else None,
    }
    test = {
        "id": f"{identity}.equivalence",
        "reference": reference,
        "candidate": arm,
        "margin": MARGIN,
        "estimate": estimate,
        "ci": list(eq_ci),
        "confidence": 0.9,
        "p_value": eq_p,
        "p_adjusted": eq_adjusted,
        "p_non_inferior": ni_p,
        "p_non_inferior_adjusted": ni_adjusted,
        "method": "bootstrap-tost",
        "equivalent": said == "equivalent",
        "non_inferior": said in ("equivalent", "non_inferior", "better"),
        "approximate": False,
    }
    for key, value in changes.items():
        if key.startswith("test_"):
            test[key.removeprefix("test_")] = value
        else:
            one[key] = value
            if key == "estimate":
                test[key] = value
    return one, test


Verdicts = Mapping[str, str | tuple[str, Mapping[str, Any]]]


def make_task(
    name: str,
    verdicts: Verdicts,
    *,
    workload: str = "reasoning",
    kind: str = "choice",
    secondary: Mapping[str, Verdicts] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Make a task's part of a summary from the verdict of each arm against `fp16`."""
    primary = "accuracy" if kind == "choice" else "micro_f1"
    endpoints = {}
    for endpoint, by_arm in {primary: verdicts, **(secondary or {})}.items():
        found = []
        for arm, one in by_arm.items():
            said, more = (one, {}) if isinstance(one, str) else one
            found.append(contrast(name, endpoint, arm, said, **more))
        own = {"estimate": 0.7, "ci": [0.66, 0.74], "confidence": 0.95, "method": "w", "n": 500}
        endpoints[endpoint] = {
            "arms": {arm: dict(own) for arm in ("fp16", *by_arm)},
            "contrasts": [one for one, _ in found],
            "equivalence": [test for _, test in found],
        }
    flow = {
        "planned": 1500,
        "answered": 1500,
        "faulted": 0,
        "missing": 0,
        "duplicates": 0,
        "analysed_items": 500,
    }
    task = {
        "kind": kind,
        "workload": workload,
        "primary": primary,
        "margin": MARGIN,
        "chance": 0.25 if kind == "choice" else None,
        "flow": flow,
        "endpoints": endpoints,
    }
    return task | changes


def make_arm(
    memory: float | None, quantization: str | None = None, control: str | None = None
) -> dict[str, Any]:
    return {
        "memory_bytes": None if memory is None else round(memory * GB),
        "artifact_sha256": None,
        "quantization": quantization,
        "control": control,
    }


ARMS = {
    "fp16": make_arm(16, "F16"),
    "q8_0": make_arm(8.5, "Q8_0"),
    "q4_K_M": make_arm(4.9, "Q4_K_M"),
}


def make_summary(
    tasks: Mapping[str, Mapping[str, Any]],
    *,
    arms: Mapping[str, Mapping[str, Any]] | None = None,
    speeds: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Make a summary; `speeds` in tokens a second, the same on every task."""
    speeds = {"fp16": 20.0, "q8_0": 32.0, "q4_K_M": 50.0} if speeds is None else speeds
    return {
        "schema": "quantrial.summary/1",
        "study": {"name": "fabricated", "hash": "0" * 64, "seed": 0},
        "methods": "classic",
        "reference": "fp16",
        "alpha": 0.05,
        "arms": {name: dict(arm) for name, arm in (arms or ARMS).items()},
        "tasks": {name: dict(task) for name, task in tasks.items()},
        "speed": {
            name: {arm: {"tokens_per_second": rate} for arm, rate in speeds.items()}
            for name in tasks
        },
    }


def entries(decision: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List every sentence of a decision."""
    found = [decision["default"]]
    for part in ("pick_when", "avoid_for", "stay_when", "cautions", "controls"):
        found += decision[part]
    if "constrained" in decision:
        found.append(decision["constrained"])
        for one in decision["constrained"]["rejected"]:
            found += [
                {**reason, "because": [reason["because"]] if reason["because"] else []}
                for reason in one["breaks"]
            ]
    return found
