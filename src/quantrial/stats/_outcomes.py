"""Every outcome of n pairs that has a chance worth counting."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from quantrial.stats._binomial import remainder, surprise

Floats = NDArray[np.float64]

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
