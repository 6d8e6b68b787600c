"""Does the difference between two arms depend on the stratum, where items came in clusters?"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import InsufficientDataError, StatisticsWarning
from quantrial.stats._checks import checked_codes, checked_pair
from quantrial.stats._influences import influences
from quantrial.stats._normal import special
from quantrial.stats._null_variance import cell_variance
from quantrial.stats._pooled_changes import pooled_variance
from quantrial.stats._strata_changes import (
    LEAST,
    PRIOR,
    Counted,
    changed_enough,
    changes_of,
    right_or_wrong,
    sums_of,
)
from quantrial.stats.clusters import FEWEST_CLUSTERS
from quantrial.stats.results import TestResult

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

_METHOD = "interaction-clusters"
_ALIKE = (0.0, 1.0)  # correlations within a cluster's part of a stratum, the two extremes
LEAST_FREEDOM = 4.0  # for each contrast of strata; about as many as five clusters a stratum have
_ROUNDING = 1e-9
# Degrees of freedom that come off, or half of them where that is less: clusters that lean are not
# normal, and where strata differ in how often answers change, fewer clusters count than are there.
_LESS = 3.5


def cluster_interaction(
    numerators: ArrayLike, denominators: ArrayLike, strata: ArrayLike, clusters: ArrayLike
) -> TestResult:
    """Test whether the difference, second ratio minus first, is the same in all strata.

    For items that came in random clusters, which may lie within strata or across them. A Wald
    test of the strata's differences with a cluster-robust variance, referred to an approximate
    Hotelling T-squared distribution whose degrees of freedom fit few clusters [1]_. What departs
    from that test makes it the more cautious:

    - The variance is the jackknife's (CR3) [2]_ in place of CR2: biased upwards under dependence
      of any kind, where CR2 is unbiased for independent items only.
    - No stratum's variance is below the item-level one that would hold if the strata had a common
      difference, with half a pair of losses and of gains added (as in `interaction`): a stratum
      without a changed item never counts as certain. Of ratios and means it is no less than if its
      changes were as large as those of all strata, since few of them may have met no rare large
      loss (as in `interaction`; strata with fewer than 20 changed items are left out).
    - Degrees of freedom are the smaller of two, for items that are independent and for items of
      one cluster that are all alike, less 3.5, or halved where that leaves more. Where they were
      fewer than four for each contrast (strata less one), there is no test.

    With 10 to 57 clusters, within strata and across them, it errs in at most 4.5 % up to an
    intraclass correlation of .1 (`benchmarks/operating_characteristics.py`). Few clusters a
    stratum, or few changes, leave it little power.

    Args:
        numerators: shape (items, 2): reference, then candidate. Finite.
        denominators: same shape, at least 0; where 0, so is the numerator.
        strata: shape (items,), the label of each item's stratum.
        clusters: shape (items,), the label of each item's cluster.

    Returns:
        p; the statistic is F. Both are NaN, with a StatisticsWarning, where fewer than two strata
        can be compared, no item changed, or the clusters are too few for so many strata.

    Raises:
        StatisticsError: for shapes other than (items, 2), one label an item missing, or values a
            ratio cannot have.
        InsufficientDataError: without an item, or for fewer than 5 clusters.

    Warns:
        StatisticsWarning: where the result is NaN; and where strata are left out because their
            items came in fewer than 5 clusters, because an arm's denominators there are all 0, or
            because too few answers of a ratio changed there.

    References:
        .. [1] Pustejovsky, J. E., Tipton, E. (2018). Small-sample methods for cluster-robust
           variance estimation and hypothesis testing in fixed effects models. Journal of
           Business & Economic Statistics 36, 672-683.
        .. [2] Bell, R. M., McCaffrey, D. F. (2002). Bias reduction in standard errors for
           linear regression with multi-stage samples. Survey Methodology 28, 169-181.

    Example:
        >>> right = [[1, 0]] * 12 + [[1, 1]] * 24 + [[0, 1]] * 12
        >>> clusters = [number // 2 for number in range(48)]
        >>> found = cluster_interaction(right, [[1, 1]] * 48, ["a"] * 24 + ["b"] * 24, clusters)
        >>> found.p_value < 0.05
        True
    """
    top, bottom = checked_pair(numerators, denominators)
    n = top.shape[0]
    codes = checked_codes(strata, n, "strata")
    groups = checked_codes(clusters, n, "clusters")
    total = int(groups.max()) + 1
    if total < FEWEST_CLUSTERS:
        raise InsufficientDataError(
            f"{total} cluster(s) were given and at least {FEWEST_CLUSTERS} are needed to speak for "
            "clusters that were not sampled; sample more"
        )
    kept = _usable(bottom, codes, groups)
    top, bottom = top[kept], bottom[kept]
    codes, groups = _renumbered(codes[kept]), _renumbered(groups[kept])
    few = "it needs two strata of at least 5 clusters, and a change"
    if not kept.any():
        return _nothing(n, total, few)
    changes, equal = changes_of(top, bottom, codes)[0], right_or_wrong(top, bottom)
    if not equal:
        enough = changed_enough(changes, codes)
        top, bottom, changes = top[enough], bottom[enough], changes[enough]
        codes, groups = _renumbered(codes[enough]), _renumbered(groups[enough])
    if codes.max(initial=0) == 0 or not changes.any():
        return _nothing(n, total, few)
    parts = _Parts.of(top, bottom, codes, groups)
    least = _least_variance(changes, codes)
    for scaled in () if equal else (False, True):
        least = np.maximum(least, pooled_variance(changes, codes, scaled=scaled))
    relief, variance = _jackknife(parts)
    variance[np.diag_indices_from(variance)] += np.maximum(0.0, least - np.diag(variance))
    items = least * parts.sizes
    freedom = min(_freedom(parts.counts, relief, items, alike) for alike in _ALIKE)
    if freedom < LEAST_FREEDOM * (least.size - 1) * (1.0 - _ROUNDING):
        return _nothing(n, total, f"they are too few, or too unequal, for {least.size} strata")
    statistic, numerator, denominator = _wald(
        parts.differences, variance, max(freedom / 2.0, freedom - _LESS)
    )
    p = float(special().fdtrc(numerator, denominator, statistic))
    return TestResult(p, statistic, "two-sided", _METHOD, n, total)


def _usable(bottom: Floats, codes: Codes, groups: Codes) -> NDArray[np.bool_]:
    """Tell the items of strata that have a ratio in both arms, and clusters enough."""
    strata = int(codes.max()) + 1
    pairs = np.unique(np.stack([codes, groups]), axis=1)
    several = np.bincount(pairs[0], minlength=strata) >= FEWEST_CLUSTERS
    sums = [np.bincount(codes, weights=column, minlength=strata) for column in bottom.T]
    there = (sums[0] > 0.0) & (sums[1] > 0.0)
    if not (several & there).all():
        warnings.warn(
            f"{int((~(several & there)).sum())} of {strata} strata are left out: their items came "
            f"in fewer than {FEWEST_CLUSTERS} clusters, or an arm has no ratio there",
            StatisticsWarning,
            stacklevel=3,
        )
    usable: NDArray[np.bool_] = (several & there)[codes]
    return usable


def _renumbered(codes: Codes) -> Codes:
    return np.unique(codes, return_inverse=True)[1].astype(np.intp, copy=False)


def _nothing(n: int, clusters: int, why: str) -> TestResult:
    warnings.warn(
        f"{clusters} clusters carry no test of whether strata differ: {why}",
        StatisticsWarning,
        stacklevel=3,
    )
    return TestResult(math.nan, math.nan, "two-sided", _METHOD, n, clusters)


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The strata's differences, and what each cluster's part of a stratum adds to them.

    `counts` and `residuals` have shape (clusters, strata): items, and the sum of their influences
    less the stratum's difference.
    """

    differences: Floats
    counts: Floats
    residuals: Floats

    @property
    def sizes(self) -> Floats:
        total: Floats = self.counts.sum(axis=0)
        return total

    @classmethod
    def of(cls, top: Floats, bottom: Floats, codes: Codes, groups: Codes) -> "_Parts":
        shape = (int(groups.max()) + 1, int(codes.max()) + 1)
        differences, residuals = np.zeros(shape[1]), np.zeros(shape)
        for stratum in range(shape[1]):
            inside = codes == stratum
            differences[stratum], known = influences(top[inside], bottom[inside], math.nan)
            if known is not None:  # `_usable` saw to that
                residuals[:, stratum] = np.bincount(
                    groups[inside], weights=known.parts, minlength=shape[0]
                )
        counts = np.bincount(groups * shape[1] + codes, minlength=shape[0] * shape[1])
        return cls(differences, counts.reshape(shape).astype(np.float64), residuals)


def _least_variance(changes: Floats, codes: Codes) -> Floats:
    """Return the item-level variance of each stratum's difference if all had one in common."""
    sizes = np.bincount(codes)
    unit = float((changes**2).sum() / np.abs(changes).sum())
    counted = Counted.of(sums_of(changes, codes, sizes.size), sizes, unit)
    share = np.clip(counted.common()[1] / counted.size, -1.0, 1.0)
    cells = cell_variance(counted.gains + PRIOR, counted.losses + PRIOR, sizes + 2.0 * PRIOR, share)
    variance: Floats = np.maximum(cells, LEAST) * counted.size**2 / sizes
    return variance


def _jackknife(parts: _Parts) -> tuple[Floats, Floats]:
    """Return the clusters' weights on the strata's differences, and these' covariance [2]."""
    # what a stratum's mean loses without a cluster's part of it makes up for that part's own pull
    relief = 1.0 / (parts.sizes * (1.0 - parts.counts / parts.sizes))
    scores = parts.residuals * relief
    return relief, scores.T @ scores


def _wald(differences: Floats, variance: Floats, freedom: float) -> tuple[float, int, float]:
    """Return F and its degrees of freedom [1]."""
    numerator = differences.size - 1
    denominator = freedom - numerator + 1.0
    contrast = np.eye(numerator, numerator + 1)
    contrast[:, -1] = -1.0
    gaps = contrast @ differences
    wald = float(gaps @ np.linalg.solve(contrast @ variance @ contrast.T, gaps))
    return denominator / (freedom * numerator) * wald, numerator, denominator


def _freedom(counts: Floats, relief: Floats, items: Floats, alike: float) -> float:
    """Return the degrees of freedom of the variance of contrasts between strata [1].

    Under a working model: items of stratum h have variance `items[h]`, and those of one cluster in
    it the correlation `alike`; nothing else is dependent. A cluster's score in stratum h then has
    covariance with another's in the same stratum only, and the sums over pairs of clusters are
    those of matrices of rank two and a diagonal.
    """
    sizes = counts.sum(axis=0)
    shares = counts / sizes
    spread = counts + alike * counts * (counts - 1.0)  # variance of a cluster's total
    total = spread.sum(axis=0)
    x, z, diagonal = relief * shares, relief * spread, relief**2 * spread
    own = -2.0 * x * z + total * x**2
    expected = items * (diagonal + own).sum(axis=0)  # of the variance of each stratum's difference
    xx, xz, zz = x.T @ x, x.T @ z, z.T @ z
    pairs = (
        diagonal.T @ diagonal
        + diagonal.T @ own
        + own.T @ diagonal
        + 2.0 * (xz * xz.T + zz * xx)
        - 2.0 * xx * (total * xz.T)
        - 2.0 * xx * (total[:, None] * xz)
        + total[:, None] * total * xx**2
    )
    pairs = pairs * items[:, None] * items
    weights = 1.0 / expected
    inner = np.diag(weights) - np.outer(weights, weights) / weights.sum()
    own_weights = np.diag(inner)
    strata = float(sizes.size)
    spread_of = float(((np.outer(own_weights, own_weights) + inner**2) * pairs).sum())
    return (strata - 1.0) * strata / spread_of
