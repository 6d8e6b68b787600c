"""What each item adds to a difference of two ratios, and how alike that is within clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantrial.errors import InsufficientDataError
from quantrial.stats import Estimate, intraclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quantrial.analysis.outcomes import Panel


def influences(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return each item's influence on the difference of two ratios of sums, about 0 on average.

    Args:
        top: numerators, shape (items, 2): reference, candidate.
        bottom: denominators, same shape.

    Returns:
        Shape (items,); None where an arm has a ratio of nothing.
    """
    sums = bottom.sum(axis=0)
    if (sums == 0.0).any():
        return None
    parts = len(top) * (top - top.sum(axis=0) / sums * bottom) / sums
    found: NDArray[np.float64] = parts[:, 1] - parts[:, 0]
    return found


def correlation(panel: Panel, reference: str, candidate: str, endpoint: str) -> Estimate:
    """Estimate the intraclass correlation of candidate minus reference within the panel's clusters.

    Raises:
        InsufficientDataError: for no clusters or fewer than five, clusters of one item each, and
            an arm with a ratio of nothing.
    """
    mask, arms, e = panel.locate((reference, candidate), endpoint)
    shares = influences(*panel.scores(mask, arms, e))
    if panel.clusters is None or shares is None:
        raise InsufficientDataError("items are in no clusters, or an arm has a ratio of nothing")
    return intraclass(shares, panel.clusters[mask])
