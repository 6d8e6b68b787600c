"""Does the difference between two arms depend on the stratum? One test of arm by stratum."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import InsufficientDataError, StatisticsWarning
from quantrial.stats._checks import (
    checked_codes,
    checked_draws,
    checked_pair,
)
from quantrial.stats._numerics import special
from quantrial.stats.clusters import FEWEST_CLUSTERS
from quantrial.stats.linearised import influences
from quantrial.stats.permutation import share_reached
from quantrial.stats.results import TestResult
from quantrial.stats.strata._changes import (
    LEAST,
    Counted,
    changed_enough,
    changes_of,
    left_out,
    pooled_null,
    pooled_variance,
    right_or_wrong,
    sums_of,
)

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_TIE = 1e-9  # permuted statistics of discrete scores tie often; rounding must not break ties
_BLOCK_CELLS = 1 << 20


def interaction(
    numerators: ArrayLike,
    denominators: ArrayLike,
    strata: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    most: int = 0,
) -> TestResult:
    """Test whether the difference, second ratio minus first, is the same in all strata.

    The statistic is Cochran's Q [1]_: squared distances of the strata's differences from a
    common one, each over its variance. That variance is the one that would hold *if the common
    difference were true* (Tango's [2]_), so a stratum without a changed item is no special case
    and never counts as certain.

    p is the largest of two, of ratios three, from as many draws each:

    - Permutation: each item's change is dealt to the strata anew, whose sizes stay as they are.
      A change is taken at its own stratum's common ratio, in units of its own stratum's
      denominators: 0 for every unchanged item, and -1, 0 or 1 for right and wrong answers. How
      hard a stratum is therefore plays no part; permuting the scores themselves would take a
      difference in level for one in difference. Exact where changes are distributed alike in
      all strata. Where they are not, a variance of each stratum's own makes it valid in large
      samples [3]_ [4]_, but not in small ones: up to 35 % error at a nominal 5 %.
    - Resampling under the null: numbers of losses and gains are drawn for each stratum from
      their likeliest chances under the common difference [5]_, so that each stratum keeps its
      own frequency of change. Half a pair is added to both, so that few changes are not taken
      for the truth; without it the error passes 5.5 %.
    - Of ratios and means, whose changes differ in size: how often answers change stays each
      stratum's own, and how large the changes are is drawn from those of all strata, tilted [7]_
      to the common difference: as they are, and in units of each stratum's median. A small stratum
      that changes often may have met none of the rare large losses that the others show; the two
      resamplings above then take its few equal gains for all there can be.

    Of right and wrong answers they erred in 2.0-5.2 % of 3,000 simulated studies each, with 2 to
    10 strata of 20 to 1000 items, of which 1 % to 50 % changed. Of ratios, strata with fewer than
    20 changed items are left out: what they cannot have shown of their losses decides. Power is low
    where strata have few changes each.

    Args:
        numerators: shape (items, 2): reference, then candidate. Finite.
        denominators: same shape, at least 0; where 0, so is the numerator.
        strata: shape (items,), the label of each item's stratum.
        rng: the only source of randomness.
        resamples: draws of either kind, at least 1; what was observed counts as one more [6]_.
        most: draws in all where fewer than ten of the first are as extreme, so that a small p can
            survive an adjustment for many questions; 0 asks for none more.

    Returns:
        p, (k + 1) / (draws + 1); the statistic is Q. Both are NaN, with a
        StatisticsWarning, where fewer than two strata can be compared or no item changed.

    Raises:
        StatisticsError: for shapes other than (items, 2), one label an item missing, values a
            ratio cannot have, or no resamples.
        InsufficientDataError: without an item.

    Warns:
        StatisticsWarning: where the result is NaN; and where strata were left out because an
            arm's denominators there are all 0, so that it has no ratio, or because too few answers
            of a ratio changed there.

    Differences are compared as they are (in points), not relative to the stratum's level.
    Items are taken as independent. Cost follows the number of distinct changes times strata, or
    where these are many, the number of items.

    References:
        .. [1] Cochran, W. G. (1954). The combination of estimates from different experiments.
           Biometrics 10, 101-129.
        .. [2] Tango, T. (1998). Equivalence test and confidence interval for the difference in
           proportions for the paired-sample design. Statistics in Medicine 17, 891-908.
        .. [3] Chung, E., Romano, J. P. (2013). Exact and asymptotically robust permutation
           tests. Annals of Statistics 41, 484-507.
        .. [4] Pauly, M., Brunner, E., Konietschke, F. (2015). Asymptotic permutation tests in
           general factorial designs. Journal of the Royal Statistical Society B 77, 461-473.
        .. [5] Efron, B., Tibshirani, R. J. (1993). An Introduction to the Bootstrap, section 6.5
           (the parametric bootstrap). Chapman & Hall.
        .. [6] Phipson, B., Smyth, G. K. (2010). Permutation p-values should never be zero.
           Statistical Applications in Genetics and Molecular Biology 9, article 39.
        .. [7] Efron, B. (1981). Nonparametric standard errors and confidence intervals. Canadian
           Journal of Statistics 9, 139-172 (section 11, exponential tilting).

    Example:
        >>> right = [[1, 0]] * 4 + [[1, 1]] * 8 + [[0, 1]] * 4
        >>> strata = ["a"] * 8 + ["b"] * 8
        >>> found = interaction(right, [[1, 1]] * 16, strata, rng=np.random.default_rng(1))
        >>> found.p_value < 0.05
        True
    """
    top, bottom = checked_pair(numerators, denominators)
    draws = checked_draws(resamples)
    n = top.shape[0]
    values, codes = changes_of(top, bottom, checked_codes(strata, n, "strata"))
    equal = right_or_wrong(top, bottom)
    if not equal:
        kept = changed_enough(values, codes)
        values, codes = values[kept], np.unique(codes[kept], return_inverse=True)[1]
    sizes = np.bincount(codes)
    if sizes.size < 2 or not values.any():
        warnings.warn(
            "interaction cannot be tested. The test needs two strata that have a ratio in both "
            f"arms, and a change. Such strata: {sizes.size}. Changed items: "
            f"{np.count_nonzero(values)}",
            StatisticsWarning,
            stacklevel=2,
        )
        return TestResult(math.nan, math.nan, "two-sided", "interaction-permutation", n)
    unit = float((values**2).sum() / np.abs(values).sum())
    seen = sums_of(values, codes, sizes.size)
    observed = float(_statistic(seen[None], sizes, unit)[0])
    least = observed * (1.0 - _TIE) - _TIE

    def reached(drawn: Iterator[Floats]) -> int:
        return sum(int((_statistic(sums, sizes, unit) >= least).sum()) for sums in drawn)

    ways = [
        lambda more: reached(_permuted(values, codes, sizes, more, rng)),
        lambda more: reached(_under_null(seen, sizes, unit, more, rng)),
    ]
    if not equal:
        ways += [
            lambda more: reached(pooled_null(values, codes, more, rng, scaled=False)),
            lambda more: reached(pooled_null(values, codes, more, rng, scaled=True)),
        ]
    p = share_reached(ways, draws, most)
    return TestResult(p, observed, "two-sided", "interaction-permutation", n)


def _statistic(sums: Floats, sizes: Counts, unit: float) -> Floats:
    """Return Q for sums of gains, losses and squares, shape (draws, strata, 3)."""
    counted = Counted.of(sums, sizes, unit)
    means, common = counted.common()
    total: Floats = ((means - common) ** 2 / counted.variance(common)).sum(axis=-1)
    return total


def _under_null(
    sums: Floats, sizes: Counts, unit: float, draws: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Yield sums of changes drawn as if every stratum had the common difference."""
    counted = Counted.of(sums, sizes, unit)
    share, spread = counted.under_null()
    # the variance of -1, 0 and 1 is 2 q + mean (1 - mean), with q the chance of a loss
    loss = np.clip((spread - share * (1.0 - share)) / 2.0, 0.0, 1.0)
    gain = np.clip(loss + share, 0.0, 1.0)
    step = max(1, _BLOCK_CELLS // (sizes.size * 3))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        gains = rng.binomial(sizes, gain, size=(rows, sizes.size))
        rest = np.clip(loss / np.maximum(1.0 - gain, LEAST), 0.0, 1.0)
        losses = rng.binomial(sizes - gains, rest)
        size = counted.size
        yield np.stack([gains * size, losses * size, (gains + losses) * size**2], axis=2)


def _permuted(
    values: Floats,
    codes: NDArray[np.intp],
    sizes: Counts,
    draws: int,
    rng: np.random.Generator,
) -> Iterator[Floats]:
    """Yield the sums of `sums_of` for changes dealt out to the strata anew, in blocks of draws."""
    changed = values[values != 0.0]
    distinct, counts = np.unique(changed, return_counts=True)
    if distinct.size * sizes.size < values.size:
        step = max(1, _BLOCK_CELLS // (sizes.size * 3))
        for start in range(0, draws, step):
            yield _dealt(distinct, counts, sizes, min(step, draws - start), rng)
        return
    step = max(1, _BLOCK_CELLS // values.size)
    parts = (np.maximum(changed, 0.0), np.maximum(-changed, 0.0), changed**2)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        labels = rng.permuted(np.broadcast_to(codes, (rows, codes.size)), axis=1)
        places = labels[:, : changed.size] + np.arange(rows)[:, None] * sizes.size
        yield np.stack(
            [
                np.bincount(
                    places.ravel(), weights=np.tile(part, rows), minlength=rows * sizes.size
                ).reshape(rows, sizes.size)
                for part in parts
            ],
            axis=2,
        )


def _dealt(
    distinct: Floats, counts: Counts, sizes: Counts, rows: int, rng: np.random.Generator
) -> Floats:
    """Deal every distinct change's items out to the strata's places, without replacement."""
    free = np.broadcast_to(sizes, (rows, sizes.size)).copy()
    sums = np.zeros((rows, sizes.size, 3))
    for value, count in zip(distinct.tolist(), counts.tolist(), strict=True):
        shares = np.array([max(value, 0.0), max(-value, 0.0), value**2])
        left = np.full(rows, count)
        elsewhere = free.sum(axis=1)
        for stratum in range(sizes.size):
            elsewhere = elsewhere - free[:, stratum]
            taken = rng.hypergeometric(free[:, stratum], elsewhere, left)
            free[:, stratum] -= taken
            left = left - taken
            sums[:, stratum] += taken[:, None] * shares
    return sums


Codes = NDArray[np.intp]

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
    return TestResult(p, statistic, "two-sided", "interaction-clusters", n, total)


def _usable(bottom: Floats, codes: Codes, groups: Codes) -> NDArray[np.bool_]:
    """Tell the items of strata that have a ratio in both arms, and clusters enough."""
    strata = int(codes.max()) + 1
    pairs = np.unique(np.stack([codes, groups]), axis=1)
    several = np.bincount(pairs[0], minlength=strata) >= FEWEST_CLUSTERS
    sums = [np.bincount(codes, weights=column, minlength=strata) for column in bottom.T]
    there = (sums[0] > 0.0) & (sums[1] > 0.0)
    if not (several & there).all():
        warnings.warn(
            f"{left_out(several & there)}: their items came in fewer than {FEWEST_CLUSTERS} "
            "clusters, or an arm has no ratio there",
            StatisticsWarning,
            stacklevel=3,
        )
    usable: NDArray[np.bool_] = (several & there)[codes]
    return usable


def _renumbered(codes: Codes) -> Codes:
    return np.unique(codes, return_inverse=True)[1].astype(np.intp, copy=False)


def _nothing(n: int, clusters: int, why: str) -> TestResult:
    warnings.warn(
        f"{clusters} clusters cannot test whether strata differ: {why}",
        StatisticsWarning,
        stacklevel=3,
    )
    return TestResult(math.nan, math.nan, "two-sided", "interaction-clusters", n, clusters)


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
    variance: Floats = np.maximum(counted.under_null()[1], LEAST) * counted.size**2 / sizes
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
