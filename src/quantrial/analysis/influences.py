"""What each item adds to a difference of two ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
