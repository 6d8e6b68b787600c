"""Looks at a study before its last item: bounds that keep the error, and one p over all looks.

A test statistic is looked at K times, at shares t_1 < ... < t_K = 1 of the items. Under the null it
is a Brownian motion B with z_k = B(t_k) / sqrt(t_k), whatever is counted, since information grows
with items. Of the level alpha, alpha t^2 is spent by the share t [1]_. The chance that a bound was
crossed follows from the density of those paths that have crossed none, look by look [2]_.

One integrator gives bounds and p, so that p <= alpha exactly where a bound was crossed.

References:
    .. [1] Kim, K., DeMets, D. L. (1987). Design and analysis of group sequential tests based on the
       type I error spending rate function. Biometrika 74, 149-154.
    .. [2] Armitage, P., McPherson, C. K., Rowe, B. C. (1969). Repeated significance tests on
       accumulating data. Journal of the Royal Statistical Society A 132, 235-244.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantrial.stats._numerics import bracketed_root, special

Floats = NDArray[np.float64]

_NODES = 400  # of Gauss and Legendre over the values of B before a look
_FAR = 9.0  # standard deviations below which no path is followed
_LARGEST = 12.0  # a bound that is crossed with a chance of less than 1e-32


@dataclass(frozen=True, slots=True)
class LookBounds:
    """Bounds of z at each look, and what they were made for.

    Attributes:
        shares: of the items, at each look; the last is 1.
        bounds: z at or beyond them is a claim; with two sides, its size is.
        alpha: the chance to cross one where there is nothing.
        sides: 1, large values alone; 2, both.
    """

    shares: tuple[float, ...]
    bounds: tuple[float, ...]
    alpha: float
    sides: int


def look_bounds(shares: Sequence[float], *, alpha: float = 0.05, sides: int = 1) -> LookBounds:
    """Compute the bounds of z at looks that spend alpha t^2 by the share t of the items.

    Args:
        shares: of the items, at each look: rising, above 0, the last 1.
        alpha: the chance to cross a bound at any look where there is nothing, over all looks.
        sides: 1 or 2.

    Returns:
        The bounds, falling from look to look where these are evenly spaced.

    Raises:
        ValueError: shares do not rise to 1, or the level or the number of sides is none.

    Examples:
        >>> found = look_bounds([0.5, 1.0])
        >>> [round(bound, 3) for bound in found.bounds]
        [2.241, 1.7]
    """
    times = _checked(shares, alpha, sides)
    path = _Path(times, sides)
    bounds: list[float] = []
    before = 0.0
    for share in times:
        spent = alpha * (share**2 - before**2)
        bounds.append(path.bound(spent))
        path.go_on(bounds[-1])
        before = share
    return LookBounds(tuple(times), tuple(bounds), alpha, sides)


def sequential_p(z: Sequence[float], bounds: LookBounds) -> float:
    """Compute one p from what was seen at the looks so far; valid whoever stopped, and why.

    It is the chance that, where there is nothing, some look goes as far beyond its bound in
    proportion as the farthest one did. So it is at most alpha exactly where a bound was crossed,
    and it only falls from look to look.

    Args:
        z: the statistic at the first looks, as many as were taken. NaN was no look.
        bounds: of all looks that were planned.

    Returns:
        The p; 1 where nothing points in the direction of a claim.

    Raises:
        ValueError: more looks were taken than planned.

    Examples:
        >>> found = look_bounds([0.5, 1.0])
        >>> round(sequential_p([2.241], found), 3), sequential_p([-1.0], found)
        (0.05, 1.0)
    """
    if len(z) > len(bounds.bounds):
        raise ValueError(f"{len(z)} looks were taken, and {len(bounds.bounds)} were planned")
    seen = [abs(one) if bounds.sides == 2 else one for one in z]
    ratios = [
        one / bound for one, bound in zip(seen, bounds.bounds, strict=False) if not math.isnan(one)
    ]
    farthest = max(ratios, default=0.0)
    if farthest <= 0.0:
        return 1.0
    return crossing(bounds.shares, [farthest * bound for bound in bounds.bounds], bounds.sides)


def crossing(shares: Sequence[float], limits: Sequence[float], sides: int = 1) -> float:
    """Compute the chance that z reaches a limit at some look where there is nothing."""
    path = _Path(shares, sides)
    total = 0.0
    for limit in limits:
        total += path.beyond(limit)
        path.go_on(limit)
    return min(total, 1.0)


def _checked(shares: Sequence[float], alpha: float, sides: int) -> list[float]:
    times = [float(share) for share in shares]
    rising = all(a < b for a, b in itertools.pairwise(times))
    if not times or not rising or not times[0] > 0.0 or times[-1] != 1.0:
        raise ValueError(f"shares should rise from above 0 to 1; got {times}")
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha should be above 0 and below 0.5; got {alpha}")
    if sides not in (1, 2):
        raise ValueError(f"sides should be 1 or 2; got {sides}")
    return times


class _Path:
    """The density of B over the paths that have reached no limit so far, on nodes of a quadrature.

    `go_on` takes one look; `beyond` asks about the next one.
    """

    def __init__(self, shares: Sequence[float], sides: int):
        self._times, self._sides = shares, sides
        self._nodes, self._weights = np.polynomial.legendre.leggauss(_NODES)
        self._look = 0
        self._at: Floats = np.zeros(1)  # B, where paths are
        self._mass: Floats = np.ones(1)  # and how many of all

    def beyond(self, limit: float) -> float:
        """Return the chance that the next look is the first to reach a limit of z."""
        now, step = self._step()
        reach = limit * math.sqrt(now)
        ndtr = special().ndtr
        chance = float(np.sum(self._mass * ndtr((self._at - reach) / step)))
        if self._sides == 2:
            chance += float(np.sum(self._mass * ndtr((-reach - self._at) / step)))
        return chance

    def bound(self, spent: float) -> float:
        """Return the limit that the next look reaches first with a given chance."""
        return bracketed_root(lambda limit: self.beyond(limit) - spent, 0.0, _LARGEST)

    def go_on(self, limit: float) -> None:
        """Take the next look: keep the paths that are below the limit then."""
        now, step = self._step()
        high = limit * math.sqrt(now)
        low = -high if self._sides == 2 else -_FAR * math.sqrt(now)
        high = max(min(high, _FAR * math.sqrt(now)), low)
        at = low + (self._nodes + 1.0) * (high - low) / 2.0
        distance = (at[:, None] - self._at[None, :]) / step
        density = np.exp(-0.5 * distance**2) @ self._mass / (step * math.sqrt(2.0 * math.pi))
        self._at, self._mass = at, density * self._weights * (high - low) / 2.0
        self._look += 1

    def _step(self) -> tuple[float, float]:
        """Return the share at the next look, and the standard deviation of B since the last."""
        now = self._times[self._look]
        before = self._times[self._look - 1] if self._look else 0.0
        return now, math.sqrt(now - before)
