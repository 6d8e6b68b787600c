"""Every outcome of n pairs that has a chance worth counting."""

import math

import numpy as np
from numpy.typing import NDArray

from quantrial.stats._binomial import remainder, surprise

Floats = NDArray[np.float64]

_REACH = 8.5  # standard deviations enumerated either side; what lies beyond is below 1e-15
_MOST_CELLS = 1_000_000


def likely_outcomes(harm: float, gain: float, n: int) -> tuple[Floats, Floats, Floats] | None:
    """Enumerate the counts of gains and losses among n pairs, with their chances.

    Args:
        harm: chance that a pair is a loss.
        gain: chance that a pair is a gain.
        n: pairs.

    Returns:
        Gains, shape (g, 1); losses, shape (1, l); trinomial chances, shape (g, l). None where
        there are more than a million of them.
    """
    (a, b), (c, d) = _likely_range(n, gain), _likely_range(n, harm)
    if (b - a + 1) * (d - c + 1) > _MOST_CELLS:
        return None
    gains = np.arange(a, b + 1, dtype=np.float64)[:, None]
    losses = np.arange(c, d + 1, dtype=np.float64)[None, :]
    # of the pairs that stay only the number matters: one value for each sum of gains and losses
    flips = np.arange(a + c, min(b + d, n) + 1, dtype=np.float64)
    stay = np.full(b + d - a - c + 1, math.inf)
    stay[: flips.size] = surprise(n - flips, n * max(0.0, 1.0 - gain - harm))
    logs = remainder(np.array(float(n))) - surprise(gains, n * gain) - surprise(losses, n * harm)
    logs = logs - np.lib.stride_tricks.sliding_window_view(stay, losses.size)
    return gains, losses, np.exp(logs)


def _likely_range(n: int, rate: float) -> tuple[int, int]:
    """Return the smallest and largest count whose chance matters."""
    if rate in (0.0, 1.0):
        return (round(n * rate),) * 2
    centre, reach = n * rate, _REACH * math.sqrt(n * rate * (1.0 - rate)) + _REACH**2 / 2.0
    return max(0, math.floor(centre - reach)), min(n, math.ceil(centre + reach))
