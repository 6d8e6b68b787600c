"""The distribution of one item's difference, estimated as if the true mean were a given value.

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
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_MOST_STEPS = 100
_STRAIGHT = 1e-5  # below this skewness over 6 a cubic root loses more digits than a parabola
_NEAR = 1e-13  # of the range of tilts: after a step of Newton's, the error is far below its size


@dataclass(frozen=True, slots=True)
class Null:
    """How an observed difference would scatter if the true one were a given value.

    Attributes:
        variance: of the observed difference.
        skewness: of the observed difference.
        effective: the number of equally large changes that would have its tails.
    """

    variance: float
    skewness: float = 0.0
    effective: float = math.inf

    def beyond(self, distance: float) -> float:
        """Return the normal deviate that is as far out as `distance` standard errors above.

        Hall's monotone cubic removes the skewness [1]_.

        References:
            .. [1] Hall, P. (1992). On the removal of skewness by transformation. Journal of the
               Royal Statistical Society B 54, 221-228.
        """
        a = self.skewness / 6.0
        return distance - a * distance**2 + a * a * distance**3 / 3.0 + a

    def reach(self, deviate: float) -> float:
        """Return the distance above, in standard errors, that is as far out as a normal deviate."""
        a = self.skewness / 6.0
        straight = deviate - a
        if abs(a) < _STRAIGHT:
            return straight + a * straight**2
        return (1.0 - math.cbrt(1.0 - 3.0 * a * straight)) / a

    def mirrored(self) -> "Null":
        """Return the same, seen from the other side."""
        return Null(self.variance, -self.skewness, self.effective)


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


def value_moments(
    offsets: Floats, counts: Floats, ends: tuple[float, float]
) -> tuple[float, float, float]:
    """Second to fourth moment of one difference about the mean it is held at.

    Args:
        offsets: the distinct differences less that mean, all between the ends.
        counts: how often each was seen.
        ends: the ends of the support, less that mean, seen or not: one below 0 and one above.
            The likeliest distribution puts mass there where the observed values alone cannot
            carry the mean.
    """
    n = _sum(counts)
    if _sum(counts * offsets) < 0.0:
        corner, low, high = ends[1], -1.0 / ends[1], 0.0
    else:
        corner, low, high = ends[0], 0.0, -1.0 / ends[0]
    # weights are 1 / (n (1 + tilt * offset)); the tilt has the sign of the mean of the offsets
    room = (corner - offsets) / corner  # 1 + tilt * offset at the largest tilt, exactly
    if room.min() > 0.0:
        shares = counts / room
        if _sum(shares * offsets) * corner <= 0.0:
            # even the largest tilt leaves the mean short: the corner helps
            rest = max(0.0, 1.0 - _sum(shares) / n)
            return _moments(shares / n, offsets, rest, corner)
    tilt = _tilt(offsets, counts, low, high)
    return _moments(counts / (1.0 + tilt * offsets) / n, offsets, 0.0, corner)


def _moments(
    shares: Floats, offsets: Floats, rest: float, corner: float
) -> tuple[float, float, float]:
    weighed = shares * offsets * offsets
    second, third = _sum(weighed) + rest * corner**2, _sum(weighed * offsets) + rest * corner**3
    return second, third, _sum(weighed * offsets * offsets) + rest * corner**4


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
