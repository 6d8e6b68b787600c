"""The cluster-robust variance of a mean, with degrees of freedom that fit few clusters."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import InsufficientDataError, StatisticsWarning
from quantrial.stats._checks import checked_codes, checked_level, checked_vector
from quantrial.stats._numerics import special
from quantrial.stats.results import Estimate, Interval

Floats = NDArray[np.float64]

FEWEST_CLUSTERS = 5  # fewer cannot speak for others
FEW_CLUSTERS = 20  # below, intervals and claims over them are rough


@dataclass(frozen=True, slots=True)
class ClusterVariance:
    """The variance of a mean over items that came in clusters.

    `item_level` is what it would be if the items were independent, `variance` the
    cluster-robust one (which may be the smaller by chance), `df` its degrees of freedom.
    """

    mean: float
    variance: float
    item_level: float
    df: float
    n: int
    clusters: int
    method: str


def checked_clusters(
    values: ArrayLike, clusters: ArrayLike
) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Return values, the code of each one's cluster, and the clusters' sizes."""
    array = checked_vector(values, "values")
    codes = checked_codes(clusters, array.size, "clusters")
    sizes = np.bincount(codes).astype(np.float64)
    if sizes.size < FEWEST_CLUSTERS:
        raise InsufficientDataError(
            f"{sizes.size} cluster(s) were given and at least {FEWEST_CLUSTERS} are needed to "
            "speak for clusters that were not sampled; ask about these clusters only (strata), "
            "or sample more"
        )
    return array, codes, sizes


def cluster_variance(values: ArrayLike, clusters: ArrayLike) -> ClusterVariance:
    """Estimate the variance of the mean of clustered values (CR2, Satterthwaite).

    Args:
        values: shape (items,), finite; influences or differences, any unit.
        clusters: shape (items,), the cluster of each item. Clusters are taken as a random
            sample of many, items within one as dependent in any way.

    Returns:
        The bias-reduced variance of the mean [1]_ and Satterthwaite degrees of freedom, both
        under the working model of independent items [2]_. With equal clusters df is their
        number less one.

    Raises:
        StatisticsError: for values that are not finite, or labels of another length.
        InsufficientDataError: for fewer than 5 clusters: so few cannot speak for others.

    References:
        .. [1] Bell, R. M., McCaffrey, D. F. (2002). Bias reduction in standard errors for
           linear regression with multi-stage samples. Survey Methodology 28, 169-181.
        .. [2] Pustejovsky, J. E., Tipton, E. (2018). Small-sample methods for cluster-robust
           variance estimation and hypothesis testing in fixed effects models. Journal of
           Business & Economic Statistics 36, 672-683.

    Example:
        >>> clusters = [number // 2 for number in range(48)]
        >>> found = cluster_variance([1, 1, 0, 0, 1, 0] * 8, clusters)
        >>> found.mean, found.clusters
        (0.5, 24)
    """
    array, codes, sizes = checked_clusters(values, clusters)
    n = array.size
    mean = float(array.mean())
    centred = array - mean
    totals = np.bincount(codes, weights=centred)
    # a cluster of n_g items pulls the mean towards itself by n_g / n; CR2 undoes that
    relief = 1.0 / (1.0 - sizes / n)
    return ClusterVariance(
        mean=mean,
        variance=float((totals**2 * relief).sum()) / n**2,
        item_level=float((centred**2).sum()) / (n * (n - 1)),
        df=freedom_of_sizes(sizes),
        n=n,
        clusters=sizes.size,
        method="cr2-satterthwaite",
    )


def freedom_of_sizes(sizes: Floats) -> float:
    """Return the Satterthwaite degrees of freedom of CR2 for clusters of these sizes."""
    n = float(sizes.sum())
    # the Gram matrix of the clusters' contributions under independence is
    # sizes on the diagonal, -sqrt(relief_g relief_h) n_g n_h / n off it, all over n^2; relief as
    # in `cluster_variance`
    pull = sizes**2 / (1.0 - sizes / n)
    cross = (float(pull.sum()) ** 2 - float((pull**2).sum())) / n**2
    return n**2 / (float((sizes**2).sum()) + cross)


_METHOD = "anova"
_NOTHING = 1e-12  # of the values' sum of squares: what rounding leaves of values that do not vary


def intraclass(values: ArrayLike, clusters: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Estimate the intraclass correlation of values in clusters: of paired differences, for one.

    The share of their variance that lies between clusters: 0 where items of one cluster are no
    more alike than others, 1 where they are the same. By the analysis of variance for clusters of
    any size [1]_, so it can fall below 0 by chance, and does in about half of samples without a
    correlation.

    Args:
        values: shape (items,), finite; differences or influences, any unit.
        clusters: shape (items,), the cluster of each item. Clusters are taken as a random sample.
        confidence: level of the interval, in (0, 1).

    Returns:
        The estimate; and the interval of the F ratio [2]_, in which the mean size of clusters
        enters as it does in the estimate. It is exact for normal values in clusters of one size.
        In 240 simulated situations (differences of -1, 0 and 1, and normal values; 5 to 57
        clusters, equal and unequal; correlations of 0 to .3; 1,000 samples each) it covered 92.4 %
        or more of 95 %, and up to 100 %, where changed items were at least as many as clusters;
        where they were fewer, as little as 80 %.

    Raises:
        StatisticsError: for values that are not finite, labels of another length, or a confidence
            out of range.
        InsufficientDataError: for fewer than 5 clusters, and where each holds one item.

    Warns:
        StatisticsWarning: where nothing varies (all NaN), where nothing varies within clusters or
            between them (the interval is NaN), and where the interval may cover too little.

    References:
        .. [1] Donner, A. (1986). A review of inference procedures for the intraclass correlation
           coefficient in the one-way random effects model. International Statistical Review 54,
           67-82.
        .. [2] Donner, A., Wells, G. (1986). A comparison of confidence interval methods for the
           intraclass correlation coefficient. Biometrics 42, 401-412.

    Example:
        >>> clusters = [number // 2 for number in range(48)]
        >>> found = intraclass([1, 1, 0, 0, 1, 0] * 8, clusters)
        >>> round(found.estimate, 2)
        0.35
    """
    level = checked_level(confidence, "confidence")
    array, codes, sizes = checked_clusters(values, clusters)
    n, groups = array.size, sizes.size
    if n == groups:
        raise InsufficientDataError(
            f"{n} items came in as many clusters; how alike items of one cluster are shows only "
            "where a cluster holds two"
        )
    centred = array - array.mean()
    totals = np.bincount(codes, weights=centred)
    all_of = float((centred**2).sum())
    between = float((totals**2 / sizes).sum())
    nothing = _NOTHING * float((array**2).sum())
    size = (n - float((sizes**2).sum()) / n) / (groups - 1)  # the mean size, as unequal ones count
    nowhere = Interval(math.nan, math.nan, level, _METHOD)
    if all_of <= nothing:
        _warn("all values are equal, so how alike those of one cluster are is not known")
        return Estimate(math.nan, nowhere, n, groups)
    if all_of - between <= nothing:
        _warn("values vary between clusters only; no interval of their correlation is known")
        return Estimate(1.0, nowhere, n, groups)
    if between <= nothing:
        _warn("values vary within clusters only; no interval of their correlation is known")
        return Estimate(-1.0 / (size - 1.0), nowhere, n, groups)
    effective = float((array**2).sum()) ** 2 / float((array**4).sum())
    if effective < groups:
        _warn(
            f"{groups} clusters hold as much as {effective:.0f} equal changes; the interval of the "
            "intraclass correlation covers too little where changes are fewer than clusters"
        )
    ratio = (between / (groups - 1)) / ((all_of - between) / (n - groups))

    def correlation(f: float) -> float:
        return (f - 1.0) / (f + size - 1.0)

    tail = (1.0 - level) / 2.0
    upper, lower = (float(special().fdtri(groups - 1, n - groups, p)) for p in (1.0 - tail, tail))
    interval = Interval(correlation(ratio / upper), correlation(ratio / lower), level, _METHOD)
    return Estimate(correlation(ratio), interval, n, groups)


def _warn(message: str) -> None:
    warnings.warn(message, StatisticsWarning, stacklevel=3)
