"""Quantiles as numpy gives them, whose own function takes longer to import than to run."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def quantiles(values: NDArray[np.float64], shares: Sequence[float]) -> list[float]:
    """Return the quantiles of a sample, linear between its neighbouring values [1]_.

    Args:
        values: shape (n,), n at least 1, finite.
        shares: each in [0, 1].

    Returns:
        One a share; the same bits as `numpy.quantile`, which imports `numpy.ma`.

    References:
        .. [1] Hyndman, R. J., Fan, Y. (1996). Sample quantiles in statistical packages. The
           American Statistician 50, 361-365. Type 7.
    """
    last = values.size - 1
    places = [share * last for share in shares]
    lower = [min(math.floor(place), last) for place in places]
    upper = [min(at + 1, last) for at in lower]
    ordered = np.partition(values, sorted({*lower, *upper}))
    return [
        _between(float(ordered[low]), float(ordered[high]), place - low)
        for low, high, place in zip(lower, upper, places, strict=True)
    ]


def _between(low: float, high: float, share: float) -> float:
    # from the nearer end, as numpy does: monotone, and exact at both
    step = high - low
    return high - step * (1.0 - share) if share >= 0.5 else low + step * share
