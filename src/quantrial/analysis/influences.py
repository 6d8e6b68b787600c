"""What each item adds to a difference of two ratios, and how these shares spread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quantrial.errors import InsufficientDataError
from quantrial.stats import cluster_variance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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


def spread(
    top: NDArray[np.float64], bottom: NDArray[np.float64], clusters: NDArray[np.str_] | None
) -> float:
    """Return the spread of a paired difference: of changes, or of influences on the ratio.

    Over clusters it is the standard error of the estimate, told as if items were independent; NaN
    where they are too few to know one.
    """
    n = len(top)
    if n < 2:
        return math.nan
    shares = influences(top, bottom)
    if shares is None:
        return math.nan
    if clusters is None:
        return float(shares.std(ddof=1))
    try:
        found = cluster_variance(shares, clusters)
    except InsufficientDataError:
        return math.nan
    return math.sqrt(max(found.variance, found.item_level) * n)
