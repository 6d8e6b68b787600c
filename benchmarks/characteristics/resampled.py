"""Intervals of a paired difference of ratios of sums that the product does not use: BCa, jackknife.

They stand here for comparison.
"""

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import StatisticsWarning
from quantrial.stats._checks import (
    checked_float,
    checked_level,
    checked_pair,
)
from quantrial.stats._numerics import normal_cdf, normal_quantile, special
from quantrial.stats.resampling import bootstrap_ratios
from quantrial.stats.results import Estimate, Interval

Floats = NDArray[np.float64]

_METHOD = "bootstrap-bca"
_TIE = 1e-12  # resampled differences of discrete scores tie often; rounding must not break ties


def bca_ratios(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    confidence: float = 0.95,
    empty: float = 1.0,
) -> Estimate:
    """Estimate a paired difference of two ratios of sums with a BCa interval, second minus first.

    For comparison, not a default: where fewer than about twenty items differ between the arms
    it covers far less than it says (67-90 % for a nominal 95 %); `score_ratios` holds there.

    The percentiles of the paired bootstrap are moved by a bias correction (the share of
    resamples below the observed difference, ties counted half) and an acceleration (the
    skewness of the delete-one jackknife) [1]_. Deleting an item takes its numerator and
    denominator from the totals, so the jackknife costs one pass over the items.

    Args:
        numerators: shape (items, 2): reference, then candidate. Finite.
        denominators: same shape, at least 0; where 0, so is the numerator.
        rng: the only source of randomness.
        resamples: how many to draw, at least 1.
        confidence: level, in (0, 1).
        empty: the value of 0/0. NaN says it has none: such resamples are left out with a
            warning.

    Returns:
        The observed difference with its interval. Both ends are NaN where the bootstrap knows
        none: no item on which the arms differ, one item, every resample on one side of the
        observed difference, a corrected percentile that does not exist.

    Raises:
        StatisticsError: for shapes other than (items, 2), values a ratio cannot have, no
            resamples, or a confidence outside (0, 1).
        InsufficientDataError: without an item.

    Warns:
        StatisticsWarning: where the interval is NaN, or resamples were left out.

    Items are taken as independent draws from one population. Of a skewed statistic the
    interval is second-order correct [2]_ where many items differ.

    References:
        .. [1] Efron, B. (1987). Better bootstrap confidence intervals. Journal of the American
           Statistical Association 82, 171-185.
        .. [2] DiCiccio, T. J., Efron, B. (1996). Bootstrap confidence intervals. Statistical
           Science 11, 189-228.

    Example:
        >>> right = [[1, 1], [1, 0], [0, 0], [1, 1], [0, 1], [1, 0]]
        >>> found = bca_ratios(right, [[1, 1]] * 6, rng=np.random.default_rng(1))
        >>> round(found.estimate, 3)
        -0.167
    """
    level = checked_level(confidence, "confidence")
    top, bottom = checked_pair(numerators, denominators)
    n, value = top.shape[0], checked_float(empty, "empty")
    contrast = bootstrap_ratios(top, bottom, rng=rng, resamples=resamples, empty=value).difference(
        candidate=1, reference=0
    )
    known = contrast.replicates[~np.isnan(contrast.replicates)]
    if known.size < contrast.replicates.size:
        warnings.warn(
            f"{contrast.replicates.size - known.size} of {contrast.replicates.size} resamples "
            "have no value (a denominator of 0) and are left out of the interval",
            StatisticsWarning,
            stacklevel=2,
        )
    low = high = math.nan
    if known.size > 0 and np.ptp(known) > _TIE and not math.isnan(contrast.estimate):
        bias = _bias_correction(known, contrast.estimate)
        skew = _acceleration(without_each(top, bottom, value))
        tails = [
            _corrected(normal_quantile(tail), bias, skew)
            for tail in ((1.0 - level) / 2.0, (1.0 + level) / 2.0)
        ]
        if not any(math.isnan(tail) for tail in tails):
            low, high = np.quantile(known, tails).tolist()
    if not high - low > _TIE:
        low = high = math.nan
        warnings.warn(
            f"the resamples of {n} item(s) carry no BCa interval (they do not vary, or lie on "
            "one side of the observed difference); use `score_ratios`, or analyse more items",
            StatisticsWarning,
            stacklevel=2,
        )
    return Estimate(contrast.estimate, Interval(low, high, level, _METHOD), n)


def without_each(top: Floats, bottom: Floats, empty: float) -> Floats:
    """Return the difference with each item left out in turn, shape (items,)."""
    tops, bottoms = top.sum(axis=0) - top, bottom.sum(axis=0) - bottom
    # what rounding leaves of a total that is gone is not a denominator
    bottoms[np.abs(bottoms) <= _TIE * bottom.sum(axis=0)] = 0.0
    ratios = np.full(top.shape, empty)
    np.divide(tops, bottoms, out=ratios, where=bottoms > 0.0)
    difference: Floats = ratios[:, 1] - ratios[:, 0]
    return difference


def _bias_correction(replicates: Floats, estimate: float) -> float:
    """Return z0 of [1]_: the normal quantile of the share of resamples below the estimate."""
    below = float(np.mean(replicates < estimate - _TIE))
    share = below + float(np.mean(np.abs(replicates - estimate) <= _TIE)) / 2.0
    return normal_quantile(share) if 0.0 < share < 1.0 else math.nan


def _acceleration(left_out: Floats) -> float:
    """Return a of [1]_ from the delete-one differences."""
    pulls = left_out.mean() - left_out
    square = float((pulls**2).sum())
    return float((pulls**3).sum()) / (6.0 * square**1.5) if square > 0.0 else math.nan


def _corrected(z: float, bias: float, skew: float) -> float:
    """Return the share of resamples below the end that z stands for."""
    room = 1.0 - skew * (bias + z)
    # past the pole the order of the two ends would turn round; NaN compares false
    return normal_cdf(bias + (bias + z) / room) if room > 0.0 else math.nan


_JACKKNIFE = "jackknife-t"
_NOTHING = 1e-15


def jackknife_ratios(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    confidence: float = 0.95,
    empty: float = 1.0,
) -> Estimate:
    """Estimate a paired difference of two ratios of sums by the jackknife, second minus first.

    For comparison, not a default: where fewer than about twenty items differ between the arms
    it covers far less than it says (71-90 % for a nominal 95 %); `score_ratios` holds there. Of
    means it is the paired t interval exactly.

    Args:
        numerators: shape (items, 2): reference, then candidate. Finite.
        denominators: same shape, at least 0; where 0, so is the numerator.
        confidence: level, in (0, 1).
        empty: the value of 0/0.

    Returns:
        The observed difference with the interval of the delete-one jackknife on t(n - 1) [1]_.
        Both ends are NaN where it knows none: one item, no item on which the arms differ.

    Raises:
        StatisticsError: for shapes other than (items, 2), values a ratio cannot have, or a
            confidence outside (0, 1).
        InsufficientDataError: without an item.

    Warns:
        StatisticsWarning: where the interval is NaN.

    Items are taken as independent draws from one population.

    References:
        .. [1] Efron, B., Tibshirani, R. J. (1993). An Introduction to the Bootstrap, chapter 11.
           Chapman & Hall.

    Example:
        >>> right = [[1, 1], [1, 0], [0, 0], [1, 1], [0, 1], [1, 0]]
        >>> round(jackknife_ratios(right, [[1, 1]] * 6).estimate, 3)
        -0.167
    """
    level = checked_level(confidence, "confidence")
    top, bottom = checked_pair(numerators, denominators)
    n, value = top.shape[0], checked_float(empty, "empty")
    totals = zip(top.sum(axis=0), bottom.sum(axis=0), strict=True)
    reference, candidate = (float(t / b) if b > 0.0 else value for t, b in totals)
    difference = candidate - reference
    low = high = error = math.nan
    if n > 1:
        error = math.sqrt((n - 1) * float(np.var(without_each(top, bottom, value))))
    if error > _NOTHING:
        reach = float(special().stdtrit(n - 1, 0.5 + level / 2.0)) * error
        low, high = difference - reach, difference + reach
    else:
        warnings.warn(
            f"leaving out each of {n} item(s) changes nothing, so the jackknife knows no "
            "interval; use `score_ratios`, or analyse more items",
            StatisticsWarning,
            stacklevel=2,
        )
    return Estimate(difference, Interval(low, high, level, _JACKKNIFE), n)
