"""Every outcome of n pairs that has a chance worth counting."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from quantrial.stats._binomial import remainder, surprise

Floats = NDArray[np.float64]

REACH = 8.5  # standard deviations enumerated either side; what lies beyond is below 1e-15
_MOST_CELLS = 1_000_000
_FEW_CELLS = 1 << 15  # a quarter of a megabyte: tables that small are kept


def likely_outcomes(
    harm: float, gain: float, n: int, *, reach: float = REACH
) -> tuple[Floats, Floats, Floats] | None:
    """Enumerate the counts of gains and losses among n pairs, with their chances.

    Args:
        harm: chance that a pair is a loss.
        gain: chance that a pair is a gain.
        n: pairs.
        reach: standard deviations either side. What lies beyond has a chance below 1e-15 by
            default; with fewer it is 1 less the sum of the chances.

    Returns:
        Gains, shape (g, 1); losses, shape (1, l); trinomial chances, shape (g, l). None where
        there are more than a million of them by the default reach.
    """
    if _cells(_likely_range(n, gain, REACH), _likely_range(n, harm, REACH)) > _MOST_CELLS:
        return None
    ranges = _likely_range(n, gain, reach), _likely_range(n, harm, reach)
    cells = _cells(*ranges)
    return (_remembered if cells <= _FEW_CELLS else _enumerated)(harm, gain, n, ranges)


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


def _likely_range(n: int, rate: float, reach: float) -> tuple[int, int]:
    """Return the smallest and largest count whose chance matters."""
    if rate in (0.0, 1.0):
        return (round(n * rate),) * 2
    centre, width = n * rate, reach * math.sqrt(n * rate * (1.0 - rate)) + reach**2 / 2.0
    return max(0, math.floor(centre - width)), min(n, math.ceil(centre + width))
