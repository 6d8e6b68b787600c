"""Every outcome of n pairs that has a chance worth counting."""

import math

import numpy as np
from numpy.typing import NDArray

from quantrial.stats._normal import special

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
    log_gamma, times_log = special().gammaln, special().xlogy
    rest = n - gains - losses
    possible = rest >= 0
    kept = np.where(possible, rest, 0.0)
    logs = (
        log_gamma(n + 1.0)
        - log_gamma(gains + 1.0)
        - log_gamma(losses + 1.0)
        - log_gamma(kept + 1.0)
        + times_log(gains, gain)
        + times_log(losses, harm)
        + times_log(kept, max(0.0, 1.0 - gain - harm))
    )
    return gains, losses, np.where(possible, np.exp(logs), 0.0)


def _likely_range(n: int, rate: float) -> tuple[int, int]:
    """Return the smallest and largest count whose chance matters."""
    if rate in (0.0, 1.0):
        return (round(n * rate),) * 2
    centre, reach = n * rate, _REACH * math.sqrt(n * rate * (1.0 - rate)) + _REACH**2 / 2.0
    return max(0, math.floor(centre - reach)), min(n, math.ceil(centre + reach))
