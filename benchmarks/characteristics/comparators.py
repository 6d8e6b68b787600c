"""Statistics that the product does not use, for comparison with those that it does.

Jeffreys' interval, Hochberg's adjustment, and over clusters CR1 and the wild bootstrap.
"""

import dataclasses
import math
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import StatisticsError
from quantrial.stats import ClusterVariance, Estimate, Interval, TestResult, cluster_variance
from quantrial.stats._checks import checked_draws, checked_level, checked_n
from quantrial.stats._numerics import special
from quantrial.stats.clusters import checked_clusters
from quantrial.stats.error.multiplicity import checked_p_values
from quantrial.stats.proportions import checked_successes

Floats = NDArray[np.float64]

_ENUMERATE_UP_TO = 12  # clusters; 2^12 signs cost less than the usual 10,000 draws
_TIE = 1e-9  # rounding must not break ties between equal statistics
_BLOCK_CELLS = 1 << 20


def jeffreys(successes: SupportsIndex, n: SupportsIndex, *, confidence: float = 0.95) -> Estimate:
    """Estimate a proportion with the equal-tailed Jeffreys interval.

    Args:
        successes: items answered correctly, 0..n.
        n: items, at least 1.
        confidence: level of the interval, in (0, 1).

    Returns:
        The share of successes with the posterior interval under the prior Beta(1/2, 1/2), its
        end put at 0 (or 1) where no success (or failure) was seen [1]_.

    Raises:
        StatisticsError: for counts that are not whole, negative, or above n.
        InsufficientDataError: for n = 0.

    References:
        .. [1] Brown, L. D., Cai, T. T., DasGupta, A. (2001). Interval estimation for a binomial
           proportion. Statistical Science 16, 101-133.

    Example:
        >>> found = jeffreys(8, 10).interval
        >>> round(found.low, 3), round(found.high, 3)
        (0.497, 0.956)
    """
    level = checked_level(confidence, "confidence")
    total = checked_n(n, 1, "a proportion")
    count = checked_successes(successes, total)
    quantile, tail = special().betaincinv, (1.0 - level) / 2.0
    shape = (count + 0.5, total - count + 0.5)
    low = 0.0 if count == 0 else float(quantile(*shape, tail))
    high = 1.0 if count == total else float(quantile(*shape, 1.0 - tail))
    return Estimate(count / total, Interval(low, high, level, "jeffreys"), total)


def hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values by Hochberg's step-up method, never larger than Holm's.

    Args:
        p_values: shape (m,), one a contrast, each in [0, 1] or NaN.

    Returns:
        Shape (m,), in the order given; NaN stays NaN and does not count.

    Raises:
        StatisticsError: for a p-value outside [0, 1] or a shape other than (m,).

    Controls the family-wise error rate for independent or positively dependent tests [1]_;
    contrasts against one shared reference are, contrasts in a ring of all pairs need not be.

    References:
        .. [1] Hochberg, Y. (1988). A sharper Bonferroni procedure for multiple tests of
           significance. Biometrika 75, 800-802.

    Example:
        >>> hochberg([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.04, 0.04]
    """
    p = checked_p_values(p_values)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(-p[known], kind="stable")]
    factors = np.arange(1, order.size + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(p[order] * factors), 1.0)
    return adjusted


def cr1_variance(values: ArrayLike, clusters: ArrayLike) -> ClusterVariance:
    """Estimate the variance of the mean of clustered values by the usual sandwich (CR1).

    Args:
        values: shape (items,), finite; influences or differences, any unit.
        clusters: shape (items,), the cluster of each item.

    Returns:
        The sandwich times G / (G - 1) with df = G - 1 [1]_, which holds for clusters of equal size
        only; there it agrees with `cluster_variance`.

    Raises:
        StatisticsError: for values that are not finite, or labels of another length.
        InsufficientDataError: for fewer than 5 clusters.

    References:
        .. [1] Liang, K.-Y., Zeger, S. L. (1986). Longitudinal data analysis using generalized
           linear models. Biometrika 73, 13-22.
    """
    array, codes, sizes = checked_clusters(values, clusters)
    totals = np.bincount(codes, weights=array - array.mean())
    df = float(sizes.size - 1)
    variance = float((totals**2).sum()) * sizes.size / df / array.size**2
    bias_reduced = cluster_variance(values, clusters)
    return dataclasses.replace(bias_reduced, variance=variance, df=df, method="cr1")


def wild_clusters(
    values: ArrayLike,
    clusters: ArrayLike,
    *,
    rng: np.random.Generator,
    null: float = 0.0,
    resamples: int = 10_000,
) -> TestResult:
    """Test the mean of clustered values against `null` by the wild cluster bootstrap.

    For comparison, not a default: with five clusters it covers about 88 % at a nominal 95 %.
    Each cluster's departures from `null` keep or change their sign together, at random; p is
    the share of such draws whose t (by `cr1`) lies at least as far out as the observed one [1]_.

    Args:
        values: shape (items,), finite; influences or differences, any unit.
        clusters: shape (items,), the cluster of each item.
        rng: the only source of randomness; not used for 12 clusters or fewer, where every
            combination of signs is counted.
        null: the hypothesised mean.
        resamples: signs to draw, at least 1; the observed ones count as one more.

    Returns:
        The two-sided p; the statistic is the observed t, NaN where no cluster departs from the
        mean. Where all values equal `null`, p is 1.

    Raises:
        StatisticsError: for values that are not finite, labels of another length, no resamples,
            or a null that is not finite.
        InsufficientDataError: for fewer than 5 clusters.

    References:
        .. [1] Cameron, A. C., Gelbach, J. B., Miller, D. L. (2008). Bootstrap-based improvements
           for inference with clustered errors. Review of Economics and Statistics 90, 414-427.

    Example:
        >>> clusters = [number // 2 for number in range(48)]
        >>> found = wild_clusters([1, 1, 0, 0, 1, 1] * 8, clusters, rng=np.random.default_rng(1))
        >>> found.p_value < 0.05
        True
    """
    array, codes, sizes = checked_clusters(values, clusters)
    draws = checked_draws(resamples)
    if not math.isfinite(null):
        raise StatisticsError(f"null is {null!r}; a finite mean is needed")
    groups = sizes.size
    totals = np.bincount(codes, weights=array - null).astype(np.float64)
    observed = float(_t_of_signs(np.ones((1, groups)), totals, sizes)[0])
    least = abs(observed) * (1.0 - _TIE) if math.isfinite(observed) else math.inf
    if not totals.any():
        return TestResult(1.0, math.nan, "two-sided", "wild-cluster", array.size, groups)
    if groups <= _ENUMERATE_UP_TO:
        flipped = (np.arange(2**groups)[:, None] >> np.arange(groups)) & 1
        signs = 1.0 - 2.0 * flipped.astype(np.float64)
        p = float(np.mean(np.abs(_t_of_signs(signs, totals, sizes)) >= least))
        method = "wild-cluster-exact"
    else:
        count, step = 1, max(1, _BLOCK_CELLS // groups)
        for start in range(0, draws, step):
            rows = min(step, draws - start)
            signs = 2.0 * rng.integers(0, 2, size=(rows, groups)).astype(np.float64) - 1.0
            count += int((np.abs(_t_of_signs(signs, totals, sizes)) >= least).sum())
        p, method = count / (draws + 1), "wild-cluster"
    return TestResult(p, observed, "two-sided", method, array.size, groups)


def _t_of_signs(signs: Floats, totals: Floats, sizes: Floats) -> Floats:
    """Return t by CR1 for each row of signs, infinite where clusters do not depart at all."""
    n, groups = float(sizes.sum()), sizes.size
    flipped = signs * totals
    mean = flipped.sum(axis=1) / n
    left = flipped - mean[:, None] * sizes
    error = np.sqrt((left**2).sum(axis=1) * groups / (groups - 1)) / n
    t: Floats = np.full(mean.shape, math.inf)
    np.divide(mean, error, out=t, where=error > _TIE * np.abs(mean))
    return t
