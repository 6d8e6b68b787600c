"""What statistics hand back, as values of the documents: NaN is None there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantrial import documents
from quantrial.documents.codec import number

if TYPE_CHECKING:
    from quantrial.stats import Estimate, Interval


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
