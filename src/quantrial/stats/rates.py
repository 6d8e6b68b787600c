"""Rates that are ratios of sums (tokens a second, seconds a call), from repeated blocks."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats._checks import checked_level, checked_sums, checked_vector
from quantrial.stats._normal import special
from quantrial.stats.results import Estimate, Interval

Floats = NDArray[np.float64]

METHOD = "log-t-over-blocks"


def pooled_rate(amounts: ArrayLike, divisors: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Estimate a rate, the sum of `amounts` over the sum of `divisors`, from independent blocks.

    Args:
        amounts: shape (blocks,), above 0: what was done in each block, tokens for one.
        divisors: shape (blocks,), above 0: what it is divided by, seconds for one.
        confidence: of the interval.

    Returns:
        The pooled rate and its interval: Student's t with blocks - 1 degrees of freedom on the
        logarithm, whose variance is the delta method's [1]_. From one block the interval is NaN.

    Raises:
        StatisticsError: values that are not above 0, or shapes that differ.
        InsufficientDataError: without a block.

    References:
        .. [1] Cochran, W. G. (1977). Sampling Techniques, 3rd ed., chapter 6. Wiley.
    """
    top, bottom = _checked(amounts, divisors, columns=1)
    return _estimate(top, bottom, np.array([1.0]), confidence)


def rate_ratio(amounts: ArrayLike, divisors: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Estimate by how much one rate is another, second column over first, paired by block.

    Each rate is the sum of its amounts over the sum of its divisors, and the ratio is that of the
    two: never a mean of ratios, which overweighs short blocks. What slows a block down slows both
    columns of it, and drops out of the interval.

    Args:
        amounts: shape (blocks, 2), above 0: reference, then candidate.
        divisors: same shape, above 0.
        confidence: of the interval.

    Returns:
        The ratio (above 1: the candidate's rate is higher) and its interval: Student's t with
        blocks - 1 degrees of freedom on the logarithm of the ratio, whose variance is the delta
        method's [1]_. From one block the interval is NaN.

    Raises:
        StatisticsError: values that are not above 0, or shapes other than (blocks, 2).
        InsufficientDataError: without a block.

    Blocks are taken as independent. A linear drift within blocks alternates in sign where orders
    are reversed from block to block; it then widens the interval and does not bias the ratio.

    References:
        .. [1] Cochran, W. G. (1977). Sampling Techniques, 3rd ed., chapter 6. Wiley.
    """
    top, bottom = _checked(amounts, divisors, columns=2)
    return _estimate(top, bottom, np.array([-1.0, 1.0]), confidence)


def drift(values: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Estimate the change from the first value to the last along a straight line.

    Ordinary least squares over the positions 0 to n - 1, the slope times n - 1, with Student's t
    on n - 2 degrees of freedom [1]_. Of logarithms it is the logarithm of a ratio.

    Args:
        values: shape (n,), finite, in the order they came.
        confidence: of the interval.

    Returns:
        The change, in the unit of the values. From two values the interval is NaN.

    Raises:
        InsufficientDataError: for fewer than two values.

    References:
        .. [1] Draper, N. R., Smith, H. (1998). Applied Regression Analysis, 3rd ed., chapter 1.
    """
    y = checked_vector(values, "values")
    level = checked_level(confidence, "confidence")
    n = y.size
    if n < 2:
        raise InsufficientDataError(f"{n} value(s) have no direction; at least two are needed")
    x = np.arange(n, dtype=np.float64) - (n - 1) / 2.0
    square = float((x**2).sum())
    slope = float((x * y).sum()) / square
    change, half = slope * (n - 1), math.nan
    if n > 2:
        left = y - y.mean() - slope * x
        error = math.sqrt(float((left**2).sum()) / (n - 2) / square) * (n - 1)
        half = _quantile(n - 2, level) * error
    return Estimate(change, Interval(change - half, change + half, level, "least-squares-t"), n)


def _checked(amounts: ArrayLike, divisors: ArrayLike, *, columns: int) -> tuple[Floats, Floats]:
    top, bottom = np.asarray(amounts, np.float64), np.asarray(divisors, np.float64)
    if columns == 1 and top.ndim == bottom.ndim == 1:
        top, bottom = top[:, None], bottom[:, None]
    top, bottom = checked_sums(top, bottom)
    if top.shape[1] != columns:
        raise StatisticsError(
            f"amounts have shape {np.shape(amounts)}; "
            + ("two columns are needed: reference, candidate" if columns == 2 else "one is needed")
        )
    if not ((top > 0.0).all() and (bottom > 0.0).all()):
        raise StatisticsError(
            "an amount or a divisor is 0; leave out blocks in which nothing was measured"
        )
    return top, bottom


def _estimate(top: Floats, bottom: Floats, signs: Floats, confidence: float) -> Estimate:
    """Pool the columns; `signs` says which logarithms of rates are added and which taken off."""
    level = checked_level(confidence, "confidence")
    blocks = top.shape[0]
    logarithm = float((np.log(top.sum(axis=0) / bottom.sum(axis=0)) * signs).sum())
    ratio = math.exp(logarithm)
    if blocks < 2:
        return Estimate(ratio, Interval(math.nan, math.nan, level, METHOD), blocks)
    # each block's share in the logarithm; they average to 0
    shares = ((top / top.mean(axis=0) - bottom / bottom.mean(axis=0)) * signs).sum(axis=1)
    error = math.sqrt(float((shares**2).sum()) / (blocks - 1) / blocks)
    half = _quantile(blocks - 1, level) * error
    low, high = math.exp(logarithm - half), math.exp(logarithm + half)
    return Estimate(ratio, Interval(low, high, level, METHOD), blocks)


def _quantile(df: int, confidence: float) -> float:
    return float(special().stdtrit(df, 0.5 + confidence / 2.0))
