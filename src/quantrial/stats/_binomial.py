"""Binomial and multinomial chances that stay exact for large counts, without `scipy.special`.

The chance of counts k_1..k_m that are expected to be mu_1..mu_m and sum to n is
exp(remainder(n) - sum of surprise(k_i, mu_i)). No term is larger than what it says, so no digits
cancel, as they do between log-factorials [1]_.

References:
    .. [1] Loader, C. (2000). Fast and accurate computation of binomial probabilities. Bell
       Laboratories.
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SERIES_FROM = 16  # the series below is exact to the last bit from here on
_TABLED = 4096  # of counts below, looking up is faster than computing
_SMALL = np.array(
    [0.0, *(math.lgamma(k + 1.0) - k * math.log(k) + k for k in range(1, _SERIES_FROM))]
)


def remainder(counts: Floats) -> Floats:
    """Return log k! - (k log k - k) of counts k: Stirling's formula and what it leaves out."""
    if counts.size and counts.max() < _TABLED:
        found: Floats = _table()[counts.astype(np.intp)]
        return found
    return _remainder(counts)


@functools.cache
def _table() -> Floats:
    return _remainder(np.arange(_TABLED, dtype=np.float64))


def _remainder(counts: Floats) -> Floats:
    small = counts < _SERIES_FROM
    k = np.where(small, float(_SERIES_FROM), counts)
    square = 1.0 / (k * k)
    series: Floats = np.full(k.shape, 1.0 / 1188.0)
    for divisor in (-1680.0, 1260.0, -360.0, 12.0):
        series = series * square + 1.0 / divisor
    large: Floats = 0.5 * np.log(2.0 * math.pi * k) + series / k
    return np.where(small, _SMALL[np.where(small, counts, 0.0).astype(np.intp)], large)


def surprise(counts: Floats, expected: float) -> Floats:
    """Return a count's share in minus the log of the chance; infinite where it cannot be."""
    if expected == 0.0:
        return np.where(counts > 0.0, math.inf, 0.0)
    excess = counts - expected
    share = np.where(counts > 0.0, excess / expected, 0.0)
    result: Floats = remainder(counts) + counts * np.log1p(share) - excess
    return result


def half_tail(count: int, trials: int) -> tuple[float, float]:
    """Return P(X <= count) and P(X = count), X binomial with chance 1/2; count <= trials / 2."""
    if count < 0:
        return 0.0, 0.0
    pair = np.array([count, trials - count], dtype=np.float64)
    log_term = remainder(np.array(float(trials))) - surprise(pair, trials / 2.0).sum()
    term = math.exp(float(log_term)) if trials else 1.0
    # what lies further down than this is less than the last bit
    fewest = max(0, count - 7 * math.isqrt(trials) - 64)
    below = np.arange(count, fewest, -1, dtype=np.float64)
    shares = np.cumprod(below / (trials + 1.0 - below))
    return term * (1.0 + float(shares[::-1].sum())), term
