"""Score inference on differences of ratios and means, through each item's influence."""

import functools
import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats._checks import (
    checked_codes,
    checked_float,
    checked_pair,
)
from quantrial.stats._null_variance import Null, value_moments
from quantrial.stats.clusters import FEW_CLUSTERS, cluster_variance
from quantrial.stats.score import CORRECTION, PairedScore

Floats = NDArray[np.float64]

_REMEMBERED = 256  # variances of one contrast
_NOTHING = 1e-12  # changes that leave both ratios as they are have influences of rounding only
_PRIOR = 4.0  # items, as many as Agresti and Coull add; with 2 intervals cover 92 %
_PART_AT_STAKE = 0.5  # a changed answer often loses part of what it had
# Of the largest change, where no bound is known: a quarter of one lets errors reach 9 %.
_UNBOUNDED_CORRECTION = 0.5


def _share_within(values: Floats, codes: NDArray[np.intp]) -> float:
    """Return the share of the item-level variance that is left when the strata are fixed.

    What lies between the strata comes off: the squares of their means about the overall one, less
    what chance alone makes of these. A mean counts as if `_PRIOR` items of the overall mean had
    been seen besides, so that a stratum without a loss, or with nothing else, is never certain.
    """
    n = values.size
    spread = float(np.var(values))
    if spread == 0.0:
        return 1.0
    sizes = np.bincount(codes)
    means = np.bincount(codes, weights=values) / sizes
    chance = spread * n / (n - 1) * (1.0 / sizes - 1.0 / n)
    pull = sizes / (sizes + _PRIOR)
    between = float((sizes / n * pull**2 * ((means - values.mean()) ** 2 - chance)).sum())
    return min(1.0, 1.0 - between / spread)


def _stake(top: Floats, bottom: Floats) -> float:
    """Return what an item that scores puts at stake on average, as an influence on the ratio."""
    scoring = np.count_nonzero(top, axis=0)
    scored = np.abs(top).sum(axis=0) / np.maximum(scoring, 1)
    return float((scored / (bottom.sum(axis=0) / top.shape[0])).max())


def _checked_support(support: float | None, largest: float) -> float | None:
    if support is None:
        return None
    edge = checked_float(support, "support")
    if not (math.isfinite(edge) and edge > 0.0 and edge >= largest * (1.0 - 1e-9)):
        raise StatisticsError(
            f"support is {support!r}, but one item's difference is as large as {largest:.6g}; "
            "state the largest size one item's difference can have, or leave it out"
        )
    return edge


@dataclass(frozen=True, slots=True)
class Influences:
    """What each item adds to a difference of two ratios of sums (delta method).

    Attributes:
        difference: of the ratios, second arm minus first.
        parts: shape (items,), how each item pulls the difference away from itself; they sum to 0.
        weights: shape (items,), how much of another true difference an item would carry: its
            denominators, each arm's in proportion to the variance it brings [1]_; their mean is 1.

    References:
        .. [1] Fieller, E. C. (1954). Some problems in interval estimation. Journal of the Royal
           Statistical Society B 16, 175-185.
    """

    difference: float
    parts: Floats
    weights: Floats

    def values(self) -> Floats:
        """Return each item's share in the difference; they average to it."""
        return self.parts + self.difference


def influences(top: Floats, bottom: Floats, empty: float) -> tuple[float, Influences | None]:
    """Return the difference of two ratios of sums, and each item's influence on it.

    The influences are None where an arm's denominator is 0 throughout: `empty` is its value
    then, and nothing is known of its error.
    """
    sums = bottom.sum(axis=0)
    ratios = [
        float(t / b) if b > 0.0 else empty for t, b in zip(top.sum(axis=0), sums, strict=True)
    ]
    difference = ratios[1] - ratios[0]
    if (sums == 0.0).any():
        return difference, None
    means = sums / top.shape[0]
    parts = (top - bottom * np.array(ratios)) / means
    own = (parts * parts).sum(axis=0)
    shares = own / own.sum() if own.sum() > 0.0 else np.array([0.5, 0.5])
    weights = (bottom / means) @ shares
    return difference, Influences(difference, parts[:, 1] - parts[:, 0], weights)


def score_ratios(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    support: float | None = None,
    empty: float = 1.0,
) -> PairedScore:
    """Compare two paired ratios of sums (micro-F1, means), second column minus first.

    Tango's score method [1]_ carried over from 0/1 answers to scores of any kind: each item's
    influence on the difference (delta method) takes the place of -1, 0 and 1, and the variance
    under a tested difference comes from the likeliest distribution of influences that has this
    mean [2]_, with the largest influence of either sign in its support. Another true difference
    falls on items in proportion to their denominators [4]_, the skewness of the distribution is
    removed from the statistic [5]_, and the continuity correction is half of the largest
    influence. With a known `support` it is 0.15 of one typical change, as Tango's: on 0/1 scores
    with `support=1` it is Tango's method exactly.

    Args:
        numerators: shape (items, 2): reference, then candidate. Finite.
        denominators: same shape, at least 0; where 0, so is the numerator.
        strata: shape (items,), labels of fixed groups the sample was drawn from in proportion
            to their weight ("these subjects"); differences between them are no error, as far as
            the items show them: each stratum's mean is drawn to the overall one by four items of
            prior weight [3]_, so few items a stratum, and strata that are alike, gain nothing.
            Never wider than without strata.
        clusters: shape (items,), labels of random groups ("subjects like these"): the variance
            is raised to the cluster-robust one, never below the item-level one, on
            Satterthwaite degrees of freedom. Not together with strata.
        support: the largest size that one item's difference can have, where it is known (1 for
            scores in [0, 1] over a denominator of 1). Without it the largest one seen, but no
            less than half of what an item that scores contributes on average, plus the size of
            the tested difference, stands in: that only small changes were seen is no evidence
            that an item cannot lose its score.
        empty: the value of an arm whose denominator is 0 throughout.

    Returns:
        The evidence on the difference, ready for `interval`, `test` and `equivalence`. Without
        a changed item and without `support` these are NaN with a warning: nothing is known
        about how large a change would be.

    Raises:
        StatisticsError: for shapes other than (items, 2), values a ratio cannot have, both
            strata and clusters, or a support smaller than what was seen.
        InsufficientDataError: without an item, or for fewer than 5 clusters.

    Warns:
        StatisticsWarning: below 20 clusters. Claims over clusters are approximate at any number:
            `approximate` says so, and `equivalence` warns.

    Items (or clusters) are taken as independent. Of a dozen items or fewer, of unequal length, an
    interval of high confidence may not exist (Fieller's sets are not bounded then): NaN. For a
    difference test of ratios prefer `sign_flip`, which is exact.

    References:
        .. [1] Tango, T. (1998). Equivalence test and confidence interval for the difference in
           proportions for the paired-sample design. Statistics in Medicine 17, 891-908.
        .. [2] Owen, A. B. (1990). Empirical likelihood ratio confidence regions. Annals of
           Statistics 18, 90-120.
        .. [3] Agresti, A., Coull, B. A. (1998). Approximate is better than "exact" for interval
           estimation of binomial proportions. The American Statistician 52, 119-126.
        .. [4] Fieller, E. C. (1954). Some problems in interval estimation. Journal of the Royal
           Statistical Society B 16, 175-185.
        .. [5] Hall, P. (1992). On the removal of skewness by transformation. Journal of the
           Royal Statistical Society B 54, 221-228.

    Example:
        >>> right = [[1, 1], [1, 0], [0, 0], [1, 1], [0, 1], [1, 0]]
        >>> found = score_ratios(right, [[1, 1]] * 6)
        >>> round(found.estimate, 3), found.changed
        (-0.167, 3)
    """
    top, bottom = checked_pair(numerators, denominators)
    if strata is not None and clusters is not None:
        raise StatisticsError(
            "both strata and clusters were given; say whether the groups are fixed (strata) or a "
            "sample of many (clusters)"
        )
    n = top.shape[0]
    changed = (top[:, 0] != top[:, 1]) | (bottom[:, 0] != bottom[:, 1])
    difference, known = influences(top, bottom, checked_float(empty, "empty"))
    scale, df, groups, method = 1.0, math.inf, None, "score"
    shares = known.values() if known is not None else np.zeros(n)
    item_level = float(np.var(shares)) / max(n - 1, 1)
    if strata is not None:
        method = "score-strata"
        scale = _share_within(shares, checked_codes(strata, n, "strata"))
    if clusters is not None:
        method = "score-clusters"
        robust = cluster_variance(shares, clusters)
        groups, df = robust.clusters, robust.df
        scale = max(1.0, robust.variance / item_level) if item_level > 0.0 else 1.0
        if groups < FEW_CLUSTERS:
            warnings.warn(
                f"{groups} clusters are few. Intervals and claims over clusters are approximate "
                "below 20",
                StatisticsWarning,
                stacklevel=2,
            )
    return _from_influences(
        PairedScore(
            estimate=difference,
            n=n,
            clusters=groups,
            changed=int(changed.sum()),
            effective=math.nan,
            df=df,
            method=method,
            _null=None,
            _correction=0.0,
            _edge=math.inf,
        ),
        known,
        scale,
        support,
        _PART_AT_STAKE * _stake(top, bottom) if known is not None else 0.0,
    )


def _from_influences(
    blank: PairedScore, known: Influences | None, scale: float, support: float | None, least: float
) -> PairedScore:
    """Complete a score that lacks its null; `least` is the least support to allow for."""
    if known is None:
        return blank
    n, difference = blank.n, known.difference
    values = known.values()
    largest = float(np.abs(values).max())
    limit = _checked_support(support, largest)
    if limit is None and (blank.changed == 0 or n == 1 or largest <= _NOTHING):
        return blank
    if limit is not None:  # an influence of one whole item is 1 but for rounding
        values, largest = np.clip(values, -limit, limit), min(largest, limit)
    if blank.changed == 0:
        known, largest = Influences(difference, np.zeros(n), known.weights), 0.0
        values = known.values()
    square, fourth = float((values**2).sum()), float((values**4).sum())
    # sqrt(fourth / square) is the size of one change; it is 1 where all changes are of size 1
    unit = math.sqrt(fourth / square) if square > 0.0 else (limit or 0.0)
    # changes of the largest possible size only are Tango's case, whose error rates are known
    rough = limit is None or unit < limit * (1.0 - 1e-9)
    parts, weights, counts = _distinct(known)
    # clusters lend their own shape to the sum, which is not known
    skewed = rough and math.isinf(blank.df)

    @functools.lru_cache(maxsize=_REMEMBERED)  # intervals of all confidences start alike
    def null(mean: float) -> Null:
        offsets = parts + (difference - mean) * weights
        far = float(np.abs(offsets + mean).max())
        edge = max(far, limit) if limit is not None else max(far, least) + abs(mean)
        if abs(mean) >= edge:
            return Null(0.0)
        second, third, fourth = value_moments(offsets, counts, (-edge - mean, edge - mean))
        if not (rough and second > 0.0):
            return Null(scale * second / n)
        skewness = third / second**1.5 / math.sqrt(n) if skewed else 0.0
        return Null(scale * second / n, skewness, n * second * second / fourth)

    return PairedScore(
        estimate=blank.estimate,
        n=n,
        clusters=blank.clusters,
        changed=blank.changed,
        effective=square * square / fourth if fourth > 0.0 else 0.0,
        df=blank.df,
        method=blank.method,
        _null=null if scale > 0.0 else None,
        _correction=(_UNBOUNDED_CORRECTION * largest if limit is None else CORRECTION * unit) / n,
        _edge=math.inf if limit is None else limit,
    )


def _distinct(known: Influences) -> tuple[Floats, Floats, Floats]:
    """Collapse items of equal influence: parts, weights, and how many items have both."""
    pairs, counts = np.unique(known.parts + 1j * known.weights, return_counts=True)
    return pairs.real.copy(), pairs.imag.copy(), counts.astype(np.float64)
