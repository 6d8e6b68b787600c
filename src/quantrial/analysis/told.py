"""What statistics hand back, as parts of a document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from quantrial.stats import Estimate, Interval


def told_interval(interval: Interval) -> dict[str, Any]:
    """Tell an interval with its level and how it was made."""
    return {
        "ci": [interval.low, interval.high],
        "confidence": interval.confidence,
        "method": interval.method,
    }


def told_estimate(one: Estimate) -> dict[str, Any]:
    """Tell an estimate with its interval and the items it is from."""
    return {"estimate": one.estimate, **told_interval(one.interval), "n": one.n}


def plain(value: Any) -> Any:
    """Turn numpy numbers and NaN into what JSON can say: NaN is null."""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, Mapping)):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
