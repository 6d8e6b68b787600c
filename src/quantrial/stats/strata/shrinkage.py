"""Differences of strata, pulled towards their mean as far as they could differ by chance."""

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats._checks import checked_codes, checked_pair, checked_vector
from quantrial.stats._numerics import bracketed_root
from quantrial.stats.linearised import influences

Floats = NDArray[np.float64]

_MOST_DOUBLINGS = 60


@dataclass(frozen=True, slots=True, eq=False)
class ShrunkenResult:
    """Differences of strata beside their shrunken values, candidate minus reference.

    Attributes:
        raw: shape (strata,), the differences as observed; negative is a loss.
        estimates: shape (strata,), the same, each pulled to `mean`.
        weights: shape (strata,), what each keeps of its distance from `mean`: 1 is all of it,
            0 nothing.
        variances: shape (strata,), the sampling variances that were used, those of strata
            without a changed item replaced.
        mean: the differences' mean, weighted by their precision.
        variance_between: how much true differences vary over strata; 0 where chance alone
            explains what was observed.
        replaced: strata whose variance of 0 was replaced.
        method: `paule-mandel`.
    """

    raw: Floats
    estimates: Floats
    weights: Floats
    variances: Floats
    mean: float
    variance_between: float
    replaced: int
    method: str


def shrunken(
    estimates: ArrayLike, variances: ArrayLike, *, sizes: ArrayLike | None = None
) -> ShrunkenResult:
    """Shrink differences of strata towards their mean (empirical Bayes).

    The best-looking and the worst-looking of many strata are so partly by luck. Each difference
    keeps the share b / (b + v) of its distance from the mean [1]_, where v is its sampling
    variance and b the variance between strata, estimated by Paule and Mandel's method of
    moments [2]_ [3]_: b makes the squared distances, each over b + v, sum to their degrees of
    freedom.

    Args:
        estimates: shape (strata,), differences, candidate minus reference. Finite.
        variances: shape (strata,), their sampling variances, at least 0. A variance of 0 (no
            changed item in the stratum) is ignorance, not certainty, and is replaced: with
            `sizes`, by the variance of one item pooled over all strata, over the stratum's own
            size; without, by the mean of the variances above 0.
        sizes: shape (strata,), items in each, above 0.

    Returns:
        Raw and shrunken differences, their mean, and the variance between strata. All but `raw`
        are NaN, with a StatisticsWarning, where no variance is above 0.

    Raises:
        StatisticsError: for lengths that differ, values that are not finite, a negative
            variance, or a size that is not above 0.
        InsufficientDataError: for fewer than two strata.

    Warns:
        StatisticsWarning: where no variance is above 0.

    Strata are taken as independent, and their true differences as scattered around one mean.
    With fewer than four strata the variance between them is hardly known, and shrunken
    differences need not be closer to the truth than raw ones [1]_. The values are for
    describing strata: they carry no interval and no test.

    References:
        .. [1] Efron, B., Morris, C. (1975). Data analysis using Stein's estimator and its
           generalizations. Journal of the American Statistical Association 70, 311-319.
        .. [2] Paule, R. C., Mandel, J. (1982). Consensus values and weighting factors. Journal
           of Research of the National Bureau of Standards 87, 377-385.
        .. [3] DerSimonian, R., Kacker, R. (2007). Random-effects model for meta-analysis of
           clinical trials: an update. Contemporary Clinical Trials 28, 105-114.

    Example:
        >>> found = shrunken([-0.10, 0.02, -0.01], [0.01, 0.01, 0.01])
        >>> round(found.mean, 2), found.variance_between
        (-0.03, 0.0)
    """
    raw = checked_vector(estimates, "estimates")
    given = checked_vector(variances, "variances")
    if raw.size != given.size:
        raise StatisticsError(
            f"estimates has {raw.size} value(s) and variances {given.size}; one each a stratum "
            "is needed"
        )
    if raw.size < 2:
        raise InsufficientDataError(
            f"{raw.size} stratum was given; shrinkage needs at least two to have a mean to go to"
        )
    if (given < 0.0).any():
        raise StatisticsError(f"variances go down to {given.min()}; each must be at least 0")
    used = _without_zeros(given, _checked_sizes(sizes, raw.size))
    if used is None:
        warnings.warn(
            f"none of {raw.size} strata has a variance above 0, so nothing is known of their "
            "errors. Report the raw differences, or analyse more items",
            StatisticsWarning,
            stacklevel=2,
        )
        blank = np.full(raw.size, math.nan)
        return ShrunkenResult(
            raw=raw,
            estimates=blank,
            weights=blank,
            variances=blank,
            mean=math.nan,
            variance_between=math.nan,
            replaced=raw.size,
            method="paule-mandel",
        )
    between = _variance_between(raw, used)
    mean = _mean(raw, used + between)
    weights = between / (between + used)
    return ShrunkenResult(
        raw=raw,
        estimates=mean + weights * (raw - mean),
        weights=weights,
        variances=used,
        mean=mean,
        variance_between=between,
        replaced=int((given == 0.0).sum()),
        method="paule-mandel",
    )


def shrunken_ratios(
    numerators: ArrayLike, denominators: ArrayLike, strata: ArrayLike
) -> ShrunkenResult:
    """Shrink the strata's differences of two paired ratios, second minus first (see `shrunken`).

    A difference's sampling variance is that of its items' influences, over their number (delta
    method [1]_).

    Args:
        numerators: shape (items, 2): reference, then candidate. Finite.
        denominators: same shape, at least 0; where 0, so is the numerator.
        strata: shape (items,), the label of each item's stratum.

    Returns:
        Raw and shrunken differences, in the sorted order of the labels. NaN stands for a stratum of
        one item, and for one where an arm's denominators are all 0, so that it has no ratio; such
        a stratum has no part in the mean.

    Raises:
        StatisticsError: for shapes other than (items, 2), one label an item missing, or values a
            ratio cannot have.
        InsufficientDataError: without an item, or where fewer than two strata have a difference
            and a variance.

    Warns:
        StatisticsWarning: where no item changed in any stratum; all but `raw` are NaN then.

    Items are taken as independent: what clusters share would count as a difference of strata.

    References:
        .. [1] Cochran, W. G. (1977). Sampling Techniques, 3rd edition, section 6.4. Wiley.

    Example:
        >>> right = [[1, 1], [1, 0], [0, 0], [1, 1], [0, 1], [1, 0], [1, 1], [0, 0]]
        >>> found = shrunken_ratios(right, [[1, 1]] * 8, ["a"] * 4 + ["b"] * 4)
        >>> found.raw.tolist()
        [-0.25, 0.0]
    """
    top, bottom = checked_pair(numerators, denominators)
    codes = checked_codes(strata, top.shape[0], "strata")
    sizes = np.bincount(codes)
    raw, variances = (np.full(sizes.size, math.nan) for _ in range(2))
    for stratum, size in enumerate(sizes.tolist()):
        inside = codes == stratum
        difference, known = influences(top[inside], bottom[inside], math.nan)
        if known is not None and size > 1:
            raw[stratum] = difference
            variances[stratum] = known.parts.var(ddof=1) / size
    usable = ~np.isnan(variances)
    found = shrunken(raw[usable], variances[usable], sizes=sizes[usable])

    def whole(values: Floats) -> Floats:
        placed = np.full(sizes.size, math.nan)
        placed[usable] = values
        return placed

    return replace(
        found,
        raw=raw,
        estimates=whole(found.estimates),
        weights=whole(found.weights),
        variances=whole(found.variances),
    )


def _checked_sizes(sizes: ArrayLike | None, strata: int) -> Floats | None:
    if sizes is None:
        return None
    array = checked_vector(sizes, "sizes")
    if array.size != strata or (array <= 0.0).any():
        raise StatisticsError(
            f"sizes has {array.size} value(s) for {strata} strata; one above 0 each is needed"
        )
    return array


def _without_zeros(variances: Floats, sizes: Floats | None) -> Floats | None:
    """Put what the other strata say in the place of variances of 0; None where they are all 0."""
    unknown = variances == 0.0
    if unknown.all():
        return None
    if sizes is None:
        return np.where(unknown, variances[~unknown].mean(), variances)
    # one item's variance is size times the mean's, and each item counts once
    of_one_item = float((sizes * (sizes * variances)).sum() / sizes.sum())
    return np.where(unknown, of_one_item / sizes, variances)


def _mean(values: Floats, variances: Floats) -> float:
    shares = variances.min() / variances  # in proportion to precision, and never infinite
    return float((shares * values).sum() / shares.sum())


def _variance_between(values: Floats, variances: Floats) -> float:
    """Solve Paule and Mandel's equation; 0 where even 0 leaves less than is expected by chance."""

    def excess(between: float) -> float:
        spread = variances + between
        squares = (values - _mean(values, spread)) ** 2 / spread
        return float(squares.sum()) - (values.size - 1)

    if excess(0.0) <= 0.0:
        return 0.0
    # the squared distances of all from any one of them bound the answer
    largest = float(np.ptp(values)) ** 2 * values.size + float(variances.max())
    for _ in range(_MOST_DOUBLINGS):
        if excess(largest) < 0.0:
            break
        largest *= 2.0
    return bracketed_root(excess, 0.0, largest)
