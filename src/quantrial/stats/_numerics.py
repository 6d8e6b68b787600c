"""Normal quantiles, roots, and binomial chances, without scipy: importing it costs 0.15 s.

The incomplete beta function and its kin come from `scipy.special`, loaded on first use.

The chance of counts k_1..k_m that are expected to be mu_1..mu_m and sum to n is
exp(remainder(n) - sum of surprise(k_i, mu_i)). No term is larger than what it says, so no digits
cancel, as they do between log-factorials [1]_.

References:
    .. [1] Loader, C. (2000). Fast and accurate computation of binomial probabilities. Bell
       Laboratories.
"""

import functools
import math
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import LazyLoader, find_spec, module_from_spec
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STANDARD = NormalDist()


@functools.lru_cache(maxsize=256)  # a search asks for the same few levels over and over
def normal_quantile(probability: float) -> float:
    """Return the z with P(Z <= z) = probability, for 0 < probability < 1."""
    return _STANDARD.inv_cdf(probability)


def normal_cdf(z: float) -> float:
    """Return P(Z <= z), accurate far into the lower tail."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def t_quantile(probability: float, df: float) -> float:
    """Return the t with P(T <= t) = probability, T of Student's distribution.

    Args:
        probability: between 0 and 1.
        df: degrees of freedom, above 0; not always whole.

    Examples:
        >>> round(t_quantile(0.975, 9), 3)
        2.262
    """
    return float(special().stdtrit(df, probability))


@functools.cache
def special() -> Any:
    """Import `scipy.special` on first use, without the compilers that numpy offers beside arrays.

    scipy takes every public name of numpy, `numpy.f2py` and `numpy.testing` among them. Those two
    are half of the time of this import, and nothing here uses them; they load when somebody does.
    """
    for name in ("f2py", "testing"):
        full = f"numpy.{name}"
        if full not in sys.modules and (spec := find_spec(full)) and spec.loader:
            spec.loader = LazyLoader(spec.loader)
            sys.modules[full] = module = module_from_spec(spec)
            spec.loader.exec_module(module)
            setattr(np, name, module)  # as the import system does
    return import_module("scipy.special")


_MOST_STEPS = 200


def bracketed_root(function: Callable[[float], float], start: float, stop: float) -> float:
    """Find a root of a continuous function whose values at `start` and `stop` differ in sign.

    Inverse quadratic steps where they are safe, halving where not [1]_.

    References:
        .. [1] Chandrupatla, T. R. (1997). A new hybrid quadratic/bisection algorithm for finding
           the zero of a nonlinear function without using derivatives. Advances in Engineering
           Software 28, 145-149.
    """
    a, b = start, stop
    fa, fb = function(a), function(b)
    share = 0.5
    for _ in range(_MOST_STEPS):
        x = a + share * (b - a)
        fx = function(x)
        if (fx > 0.0) == (fa > 0.0):
            c, fc = a, fa
        else:
            c, fc = b, fb
            b, fb = a, fa
        a, fa = x, fx
        best, f_best = (a, fa) if abs(fa) < abs(fb) else (b, fb)
        tolerance = 4.0 * math.ulp(best) + 1e-300
        least = tolerance / max(abs(b - a), tolerance)
        if f_best == 0.0 or least >= 0.5:
            return best
        place = (a - b) / (c - b)
        height = (fa - fb) / (fc - fb)
        share = 0.5
        if height**2 < place and (1.0 - height) ** 2 < 1.0 - place:
            share = fa / (fb - fa) * fc / (fb - fc)
            share += (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        share = min(max(share, least), 1.0 - least)
    return best


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


_REACH = 8.5  # standard deviations enumerated either side; what lies beyond is below 1e-15
_MOST_CELLS = 1_000_000
_MOST_COUNTS = 2_500  # of gains or of losses; from 20,000 on, more of them have a chance
_FEW_CELLS = 1 << 15  # a quarter of a megabyte: tables that small are kept


def likely_outcomes(harm: float, gain: float, n: int) -> tuple[Floats, Floats, Floats] | None:
    """Enumerate the counts of gains and losses among n pairs, with their chances.

    Args:
        harm: chance that a pair is a loss.
        gain: chance that a pair is a gain.
        n: pairs.

    Returns:
        Gains, shape (g, 1); losses, shape (1, l); trinomial chances, shape (g, l). None where
        there are more than a million of them, or more than 2,500 counts of gains or of losses.
    """
    if not countable(harm, gain, n):
        return None
    ranges = likely_range(n, gain), likely_range(n, harm)
    cells = _cells(*ranges)
    return (_remembered if cells <= _FEW_CELLS else _enumerated)(harm, gain, n, ranges)


def countable(harm: float, gain: float, n: int) -> bool:
    """Say whether n pairs have few enough outcomes to enumerate, and to search among."""
    ranges = likely_range(n, gain), likely_range(n, harm)
    return _cells(*ranges) <= _MOST_CELLS and max(map(_cells, ranges)) <= _MOST_COUNTS


def _cells(*ranges: tuple[int, int]) -> int:
    return math.prod(last - first + 1 for first, last in ranges)


def _enumerated(
    harm: float, gain: float, n: int, ranges: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[Floats, Floats, Floats]:
    (a, b), (c, d) = ranges
    gains = np.arange(a, b + 1, dtype=np.float64)[:, None]
    losses = np.arange(c, d + 1, dtype=np.float64)[None, :]
    # of the pairs that stay only the number matters: one value for each sum of gains and losses
    flips = np.arange(a + c, min(b + d, n) + 1, dtype=np.float64)
    stay = np.full(b + d - a - c + 1, math.inf)
    stay[: flips.size] = surprise(n - flips, n * max(0.0, 1.0 - gain - harm))
    logs = remainder(np.array(float(n))) - surprise(gains, n * gain) - surprise(losses, n * harm)
    logs = logs - np.lib.stride_tricks.sliding_window_view(stay, losses.size)
    found = gains, losses, np.exp(logs)
    for array in found:
        array.flags.writeable = False
    return found


# the questions about one contrast ask for the same tables
_remembered = functools.lru_cache(maxsize=64)(_enumerated)


def likely_range(n: int, rate: float, reach: float = _REACH) -> tuple[int, int]:
    """Return the smallest and largest count, of n trials, whose chance matters."""
    if rate in (0.0, 1.0):
        return (round(n * rate),) * 2
    centre, width = n * rate, reach * math.sqrt(n * rate * (1.0 - rate)) + reach**2 / 2.0
    return max(0, math.floor(centre - width)), min(n, math.ceil(centre + width))
