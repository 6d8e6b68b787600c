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

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_MOST_STEPS = 100
_NEAR = 1e-13  # of the range of tilts: after a step of Newton's, the error is far below its size


def cell_variance(gains: Floats, losses: Floats, n: ArrayLike, mean: float | Floats) -> Floats:
    """Variance of one difference in {-1, 0, 1}, its mean held at `mean`.

    Args:
        gains: counts of +1, any shape.
        losses: counts of -1, same shape.
        n: pairs, the zeros among them; one number, or any that broadcast.
        mean: between -1 and 1; likewise.

    Returns:
        The variance, same shape: 2 q + mean (1 - mean), with q the likeliest share of losses.
    """
    pairs = np.asarray(n, dtype=np.float64)
    linear = (2.0 * pairs - gains + losses) * mean - gains - losses
    constant = -losses * mean * (1.0 - mean)
    root = np.sqrt(np.maximum(linear * linear - 8.0 * pairs * constant, 0.0))
    positive = linear > 0.0
    # two forms of the same root; each loses its digits where the other keeps them
    bottom = np.where(positive, linear + root, 1.0)
    q = np.where(positive, -2.0 * constant / bottom, (root - linear) / (4.0 * pairs))
    q = np.clip(q, np.maximum(0.0, -mean), (1.0 - mean) / 2.0)
    return np.maximum(2.0 * q + mean * (1.0 - mean), 0.0)


def flip_variance(gains: float, losses: float, n: float, mean: float) -> float:
    """Return `cell_variance` of one table, bit for bit, without the cost of arrays."""
    linear = (2.0 * n - gains + losses) * mean - gains - losses
    constant = -losses * mean * (1.0 - mean)
    root = math.sqrt(max(linear * linear - 8.0 * n * constant, 0.0))
    q = -2.0 * constant / (linear + root) if linear > 0.0 else (root - linear) / (4.0 * n)
    q = min(max(q, 0.0, -mean), (1.0 - mean) / 2.0)
    return max(2.0 * q + mean * (1.0 - mean), 0.0)


def _sum(terms: Floats) -> float:
    return float(np.add.reduce(terms))  # half the time of `terms.sum()` where terms are few


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
    n = _sum(counts)
    offsets = values - mean
    # weights are 1 / (n (1 + tilt * offset)); the tilt has the sign of the mean of the offsets
    if _sum(counts * offsets) < 0.0:
        low, high = -1.0 / (edge - mean), 0.0
        room, corner = (edge - values) / (edge - mean), edge - mean  # 1 + low * offset, exactly
    else:
        low, high = 0.0, 1.0 / (edge + mean)
        room, corner = (edge + values) / (edge + mean), -edge - mean  # 1 + high * offset, exactly
    if room.min() > 0.0:
        shares = counts / room
        if _sum(shares * offsets) * corner <= 0.0:
            # even the largest tilt leaves the mean short: the corner helps
            rest = max(0.0, 1.0 - _sum(shares) / n)
            return _sum(shares * offsets**2) / n + rest * corner**2
    tilt = _tilt(offsets, counts, low, high)
    return _sum(counts * offsets**2 / (1.0 + tilt * offsets)) / n


def _tilt(offsets: Floats, counts: Floats, low: float, high: float) -> float:
    """Solve sum(counts * offsets / (1 + tilt * offsets)) = 0 between two poles.

    The sum falls in tilt; Newton's steps are taken where they stay inside the bracket.
    """
    tilt, near = 0.0, _NEAR * (high - low)
    for _ in range(_MOST_STEPS):
        terms = offsets / (1.0 + tilt * offsets)
        weighed = counts * terms
        slope = _sum(weighed)
        if slope > 0.0:
            low = tilt
        else:
            high = tilt
        steepness = _sum(weighed * terms)
        step = slope / steepness if steepness > 0.0 else 0.0
        if abs(step) <= near:
            return tilt + step
        inside = low < tilt + step < high
        tilt = tilt + step if inside else (low + high) / 2.0
    return tilt
