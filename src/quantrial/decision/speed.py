"""What the speed phase adds to a decision: findings of pace, and what they are marked with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quantrial.decision.words import Document
from quantrial.findings import is_finding

# Conditions of the machine under which a figure of speed is not what a quiet one would show.
_DISTURBED = {
    "busy": "other processes were using the machine",
    "swap": "the machine was swapping",
    "throttled": "the processor slowed down for heat",
    "battery": "the machine ran on its battery",
}


def paces(summary: Document) -> Iterator[dict[str, Any]]:
    """Yield a finding for every candidate's decoding speed; none without a speed phase.

    `estimate` is a ratio to the reference's speed; the verdict is `faster` or `slower` where the
    interval lies to one side of 1 and the adjusted p shows it, else `inconclusive`.
    """
    phase = summary.get("speed_phase") or {}
    for one in phase.get("ratios", ()):
        low, high = one["ci"]
        if one["measure"] != "decode" or low is None or high is None:
            continue
        yield {
            "id": one["id"],
            "kind": "speed",
            "task": None,
            "endpoint": "decoding speed",
            "reference": one["reference"],
            "candidate": one["candidate"],
            "estimate": one["estimate"],
            "ci": one["ci"],
            "confidence": one["confidence"],
            "n": one["n"],
            "verdict": _verdict(one, summary["alpha"]),
        }


def _verdict(one: Document, alpha: float) -> str:
    low, high = one["ci"]
    if "p_alarm" in one and not is_finding(one, alpha):
        return "inconclusive"
    return "faster" if low > 1.0 else "slower" if high < 1.0 else "inconclusive"


def disturbances(summary: Document) -> list[str]:
    """Say what disturbed the machine while speed was measured."""
    marks = (summary.get("speed_phase") or {}).get("marks", ())
    return [_DISTURBED[one["mark"]] for one in marks if one["mark"] in _DISTURBED]
