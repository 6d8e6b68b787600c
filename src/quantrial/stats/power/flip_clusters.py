"""Power of the tests of paired right-or-wrong answers over clusters, by simulated studies."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import StatisticsError
from quantrial.stats._checks import checked_alpha, checked_float, checked_margin, checked_vector
from quantrial.stats._null_variance import cell_variance
from quantrial.stats._numerics import t_quantile
from quantrial.stats.clusters import FEWEST_CLUSTERS, freedom_of_sizes
from quantrial.stats.power.flips import Question
from quantrial.stats.score import CORRECTION

Floats = NDArray[np.float64]

MOST_STUDIES = 2_000
_FEWEST_STUDIES = 400
_CELLS = 100_000  # clusters times studies
_SEED = 20


@dataclass(frozen=True, slots=True)
class FlipStudies:
    """Simulated studies in clusters: what is needed of them to test; one entry a study.

    `gains` and `losses` are shape (studies,); `widening` is how many times the item-level variance
    each study's own clusters show, at least 1, on `df` degrees of freedom.
    """

    gains: Floats
    losses: Floats
    widening: Floats
    n: int
    df: float

    def share(self, question: Question, margin: float | None = None, *, alpha: float) -> float:
        """Return the share of studies whose test answers yes.

        Args:
            question: `difference` (two-sided at alpha), `non_inferior` or `equivalent`.
            margin: of the last two, above 0.
            alpha: level.

        Raises:
            StatisticsError: for a margin or alpha out of range, or a margin that is missing.
        """
        level = checked_alpha(alpha)
        if question == "difference":
            far = self._beyond(0.0, level / 2.0) | self._beyond(0.0, level / 2.0, above=True)
            return float(far.mean())
        bound = min(
            checked_margin(math.nan if margin is None else margin), math.nextafter(1.0, 0.0)
        )
        yes = self._beyond(-bound, level)
        if question == "equivalent":
            yes &= self._beyond(bound, level, above=True)
        return float(yes.mean())

    def _beyond(self, null: float, level: float, *, above: bool = False) -> NDArray[np.bool_]:
        """Say which studies lie above `null` (or below it) at this level."""
        gap = self.gains - self.losses - self.n * null
        spread = np.sqrt(
            self.widening * self.n * cell_variance(self.gains, self.losses, self.n, null)
        )
        critical = t_quantile(1.0 - level, self.df)
        found: NDArray[np.bool_] = (-gap if above else gap) - CORRECTION > critical * spread
        return found


def flip_studies(harm: float, gain: float, icc: float, sizes: ArrayLike) -> FlipStudies:
    """Draw studies of paired right-or-wrong answers in random clusters, always the same ones.

    Each cluster has rates of its own, Dirichlet about the overall ones, so that any two of its
    differences correlate by `icc` [1]_: where flips are rare and alike, most clusters have none
    and a few have many.

    Args:
        harm: share of items that the candidate loses.
        gain: share that it gains.
        icc: intraclass correlation of the paired differences, 0 to below 1.
        sizes: shape (clusters,), items of each, whole and above 0; at least 5.

    Returns:
        2,000 studies, of more than 50 clusters fewer, but at least 400: a share near 80 % is
        known to 1 point, of many clusters to 2.

    Raises:
        StatisticsError: for rates, a correlation or sizes out of range.

    References:
        .. [1] Mosimann, J. E. (1962). On the compound multinomial distribution, the multivariate
           beta-distribution, and correlations among proportions. Biometrika 49, 65-82.
    """
    losing, gaining = checked_float(harm, "harm"), checked_float(gain, "gain")
    rho = checked_float(icc, "icc")
    rate = losing + gaining
    if not (losing >= 0.0 and gaining >= 0.0 and rate <= 1.0 and 0.0 <= rho < 1.0):
        raise StatisticsError(
            f"harm, gain and icc are {harm!r}, {gain!r} and {icc!r}; rates from 0 that sum to at "
            "most 1 and a correlation from 0 to below 1 are needed"
        )
    held = checked_vector(sizes, "sizes")
    if held.size < FEWEST_CLUSTERS or not ((held > 0.0) & (held == np.floor(held))).all():
        raise StatisticsError(f"sizes are {held.tolist()[:5]}...; at least 5 whole ones above 0")
    studies = min(MOST_STUDIES, max(_FEWEST_STUDIES, _CELLS // held.size))
    return _tested(*_drawn(losing, gaining, rho, held.astype(np.int64), studies), held)


def _tested(gains: NDArray[np.int64], losses: NDArray[np.int64], held: Floats) -> FlipStudies:
    """Gather what the tests need from gains and losses, shape (clusters, studies)."""
    n, net = int(held.sum()), (gains - losses).astype(np.float64)
    up, down = gains.sum(axis=0).astype(np.float64), losses.sum(axis=0).astype(np.float64)
    mean = (up - down) / n
    # as `cluster_variance` has them, times n^2
    away = net - held[:, None] * mean
    robust = (away**2 / (1.0 - held[:, None] / n)).sum(axis=0)
    item_level = (up + down - n * mean**2) * n / (n - 1)
    widening = np.ones(mean.size)
    np.divide(robust, item_level, out=widening, where=item_level > 0.0)
    return FlipStudies(up, down, np.maximum(widening, 1.0), n, freedom_of_sizes(held))


def _drawn(
    harm: float, gain: float, icc: float, sizes: NDArray[np.int64], studies: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw gains and losses, shape (clusters, studies)."""
    rate, shape = harm + gain, (sizes.size, studies)
    if rate == 0.0:
        return np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    # a stream each, so that more clusters only add to those of fewer
    rates, flips, leans, ways = np.random.default_rng(_SEED).spawn(4)
    changing: Floats | float = rate
    leaning: Floats | float = gain / rate
    if icc > 0.0:  # a Dirichlet's parts: how much changes, and which share of that is gained
        weight = 1.0 / icc - 1.0
        if rate < 1.0:
            changing = rates.beta(weight * rate, weight * (1.0 - rate), shape)
        if harm > 0.0 and gain > 0.0:
            leaning = leans.beta(weight * gain, weight * harm, shape)
    changed = flips.binomial(sizes[:, None], changing, shape)
    gained = ways.binomial(changed, leaning)
    return gained, changed - gained
