"""The variance of one item's difference, estimated as if the true mean were a given value.

Both functions maximise the likelihood of what was observed under that constraint: over three
cells for paired proportions [1]_, over all observed values for scores of any kind [2]_. On
differences of -1, 0 and 1 they agree.

References:
    .. [1] Tango, T. (1998). Equivalence test and confidence interval for the difference in
       proportions for the paired-sample design. Statistics in Medicine 17, 891-908.
    .. [2] Owen, A. B. (1990). Empirical likelihood ratio confidence regions. Annals of
       Statistics 18, 90-120.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MOST_STEPS = 100


def cell_variance(gains: Floats, losses: Floats, n: int, mean: float) -> Floats:
    """Variance of one difference in {-1, 0, 1}, its mean held at `mean`.

    Args:
        gains: counts of +1, any shape.
        losses: counts of -1, same shape.
        n: pairs, the zeros among them.
        mean: between -1 and 1.

    Returns:
        The variance, same shape: 2 q + mean (1 - mean), with q the likeliest share of losses.
    """
    linear = (2.0 * n - gains + losses) * mean - gains - losses
    constant = -losses * mean * (1.0 - mean)
    root = np.sqrt(np.maximum(linear * linear - 8.0 * n * constant, 0.0))
    positive = linear > 0.0
    # two forms of the same root; each loses its digits where the other keeps them
    bottom = np.where(positive, linear + root, 1.0)
    q = np.where(positive, -2.0 * constant / bottom, (root - linear) / (4.0 * n))
    q = np.clip(q, max(0.0, -mean), (1.0 - mean) / 2.0)
    return np.maximum(2.0 * q + mean * (1.0 - mean), 0.0)


def value_variance(values: Floats, counts: Floats, mean: float, edge: float) -> float:
    """Variance of one difference with the observed support, its mean held at `mean`.

    Args:
        values: the distinct differences, none further from 0 than `edge`.
        counts: how often each was seen.
        mean: between -edge and edge.
        edge: -edge and edge belong to the support too, seen or not; the likeliest distribution
            puts mass there where the observed values alone cannot carry the mean.

    Returns:
        The variance about `mean`.
    """
    if abs(mean) >= edge:
        return 0.0
    n = counts.sum()
    offsets = values - mean
    low, high = -1.0 / (edge - mean), 1.0 / (edge + mean)
    # weights are 1 / (n (1 + tilt * offset)); written so that they stay exact at the two ends
    for tilt, room, corner in (
        (low, (edge - values) / (edge - mean), edge - mean),
        (high, (edge + values) / (edge + mean), -edge - mean),
    ):
        if room.min() > 0.0:
            slope = float((counts * offsets / room).sum())
            if slope * tilt >= 0.0:  # even the largest tilt leaves the mean short: the corner helps
                shares = counts / (n * room)
                rest = max(0.0, 1.0 - float(shares.sum()))
                return float((shares * offsets**2).sum()) + rest * corner**2
    tilt = _tilt(offsets, counts, low, high)
    return float((counts * offsets**2 / (1.0 + tilt * offsets)).sum() / n)


def _tilt(offsets: Floats, counts: Floats, low: float, high: float) -> float:
    """Solve sum(counts * offsets / (1 + tilt * offsets)) = 0 between two poles.

    The sum falls in tilt; Newton's steps are taken where they stay inside the bracket.
    """
    tilt = 0.0
    for _ in range(_MOST_STEPS):
        terms = offsets / (1.0 + tilt * offsets)
        slope = float((counts * terms).sum())
        if slope > 0.0:
            low = tilt
        else:
            high = tilt
        steepness = float((counts * terms**2).sum())
        step = slope / steepness if steepness > 0.0 else 0.0
        following = tilt + step
        if not low < following < high:
            following = (low + high) / 2.0
        if abs(following - tilt) <= 1e-14 * max(abs(following), 1e-3 * (high - low)):
            return following
        tilt = following
    return tilt
