"""The cluster-robust variance of a mean, with degrees of freedom that fit few clusters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from quantrial.errors import InsufficientDataError
from quantrial.stats._checks import checked_codes, checked_vector

_FEWEST_CLUSTERS = 5


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
    """
    array = checked_vector(values, "values")
    n = array.size
    codes = checked_codes(clusters, n, "clusters")
    sizes = np.bincount(codes).astype(np.float64)
    if sizes.size < _FEWEST_CLUSTERS:
        raise InsufficientDataError(
            f"{sizes.size} cluster(s) were given and at least {_FEWEST_CLUSTERS} are needed to "
            "speak for clusters that were not sampled; ask about these clusters only (strata), "
            "or sample more"
        )
    mean = float(array.mean())
    centred = array - mean
    totals = np.bincount(codes, weights=centred)
    # a cluster of n_g items pulls the mean towards itself by n_g / n; CR2 undoes that
    relief = 1.0 / (1.0 - sizes / n)
    variance = float((totals**2 * relief).sum()) / n**2
    # the Gram matrix of the clusters' contributions under independence is
    # sizes on the diagonal, -sqrt(relief_g relief_h) n_g n_h / n off it, all over n^2
    pull = relief * sizes**2
    squared_trace = float(sizes.sum()) ** 2
    cross = (float(pull.sum()) ** 2 - float((pull**2).sum())) / n**2
    df = squared_trace / (float((sizes**2).sum()) + cross)
    return ClusterVariance(
        mean=mean,
        variance=variance,
        item_level=float((centred**2).sum()) / (n * (n - 1)),
        df=df,
        n=n,
        clusters=sizes.size,
        method="cr2-satterthwaite",
    )
