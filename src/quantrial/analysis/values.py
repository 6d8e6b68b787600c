"""What statistics hand back, as values of the documents: NaN is None there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quantrial import documents

if TYPE_CHECKING:
    from quantrial.stats import Estimate, Interval


def number(value: float | None) -> float | None:
    """Return a number, None where it is NaN."""
    return None if value is None or math.isnan(value) else value


def nan(value: float | None) -> float:
    """Return a number, NaN where it is None: as statistics take what is not known."""
    return math.nan if value is None else value


def ends(interval: Interval) -> documents.Interval:
    """Return both ends of an interval."""
    return number(interval.low), number(interval.high)


def estimate_of(one: Estimate) -> documents.Estimate:
    """Turn an estimate into the document's, with its interval and the items it is from."""
    return documents.Estimate(
        estimate=number(one.estimate),
        ci=ends(one.interval),
        confidence=number(one.interval.confidence),
        method=one.interval.method,
        n=one.n,
    )
