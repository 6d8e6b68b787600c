"""Rates that are ratios of sums (tokens a second, seconds a call), from repeated blocks; drift."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats._checks import checked_level, checked_sums, checked_vector
from quantrial.stats._numerics import special, t_quantile
from quantrial.stats.results import Estimate, Interval

Floats = NDArray[np.float64]

METHOD = "log-t-over-blocks"
BETWEEN = "log-welch-over-blocks"


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

    Example:
        >>> round(pooled_rate([10, 21, 29], [1, 2, 3]).estimate, 2)
        10.0
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

    Example:
        >>> round(rate_ratio([[10, 20], [11, 22.5], [12, 23.5]], [[1, 1]] * 3).estimate, 2)
        2.0
    """
    top, bottom = _checked(amounts, divisors, columns=2)
    return _estimate(top, bottom, np.array([-1.0, 1.0]), confidence)


def ratio_between(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Estimate by how much a rate, or a ratio of two, is another in a second, independent sample.

    What is compared was measured at another time or on another machine, so nothing drops out by
    pairing: the variances of the two logarithms add up.

    Args:
        first: amounts and divisors by block, each of shape (blocks,) for a rate or (blocks, 2) for
            a ratio, its columns reference and candidate: what `pooled_rate` and `rate_ratio` take.
        second: the same of the other sample; the number of blocks may differ.
        confidence: of the interval.

    Returns:
        The second over the first (above 1: it is higher there) and its interval: Student's t on the
        logarithm, with the degrees of freedom of Welch and Satterthwaite [1]_; `n` counts all
        blocks. From one block on either side, or blocks that do not vary, the interval is NaN.

    Raises:
        StatisticsError: values that are not above 0, or shapes that differ.
        InsufficientDataError: without a block.

    References:
        .. [1] Welch, B. L. (1947). The generalization of 'Student's' problem when several different
           population variances are involved. Biometrika 34.

    Example:
        >>> slow = ([10, 11, 9], [1, 1, 1])
        >>> fast = ([20, 21, 19], [1, 1, 1])
        >>> round(ratio_between(slow, fast).estimate, 2)
        2.0
    """
    level = checked_level(confidence, "confidence")
    parts = []
    for amounts, divisors in (first, second):
        columns = 2 if np.ndim(amounts) == 2 else 1
        top, bottom = _checked(amounts, divisors, columns=columns)
        parts.append(_logarithm(top, bottom, np.array([-1.0, 1.0])[-columns:]))
    (before, own, n), (after, other, m) = parts
    ratio, total = math.exp(after - before), own + other
    if min(n, m) < 2 or total == 0.0:
        return Estimate(ratio, Interval(math.nan, math.nan, level, BETWEEN), n + m)
    df = total**2 / (own**2 / (n - 1) + other**2 / (m - 1))
    half = _quantile(df, level) * math.sqrt(total)
    low, high = ratio * math.exp(-half), ratio * math.exp(half)
    return Estimate(ratio, Interval(low, high, level, BETWEEN), n + m)


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

    Example:
        >>> round(drift([10.0, 11.0, 12.0, 13.0, 14.1]).estimate, 2)
        4.08
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


def p_of_none(one: Estimate, *, df: int, ratio: bool) -> float:
    """Return the two-sided p of "no change" that an interval by Student's t implies.

    Args:
        one: with its interval, of `rate_ratio` (`ratio`: no change is 1) or `drift` (it is 0).
        df: the degrees of freedom that the interval has.
        ratio: whether the interval was made on the logarithm.

    NaN where there is no interval, or one without a width.
    """
    ends = one.estimate, one.interval.high
    distance, high = (math.log(end) if ratio else end for end in ends)
    half = high - distance
    if math.isnan(half) or half == 0.0:
        return math.nan
    t = abs(distance) / half * _quantile(df, one.interval.confidence)
    return 2.0 * float(special().stdtr(df, -t))


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
    logarithm, variance, blocks = _logarithm(top, bottom, signs)
    ratio = math.exp(logarithm)
    if blocks < 2:
        return Estimate(ratio, Interval(math.nan, math.nan, level, METHOD), blocks)
    half = _quantile(blocks - 1, level) * math.sqrt(variance)
    low, high = math.exp(logarithm - half), math.exp(logarithm + half)
    return Estimate(ratio, Interval(low, high, level, METHOD), blocks)


def _logarithm(top: Floats, bottom: Floats, signs: Floats) -> tuple[float, float, int]:
    """Return the logarithm, its variance (0 from one block, which tells none), the blocks."""
    blocks = int(top.shape[0])
    logarithm = float((np.log(top.sum(axis=0) / bottom.sum(axis=0)) * signs).sum())
    if blocks < 2:
        return logarithm, 0.0, blocks
    # each block's share in the logarithm; they average to 0
    shares = ((top / top.mean(axis=0) - bottom / bottom.mean(axis=0)) * signs).sum(axis=1)
    return logarithm, float((shares**2).sum()) / (blocks - 1) / blocks, blocks


def _quantile(df: float, confidence: float) -> float:
    return t_quantile(0.5 + confidence / 2.0, df)


_ROUNDS = 500
_CLOSE = 1e-12


@dataclass(frozen=True, slots=True)
class Calls:
    """One row a call, all of shape (calls,): what was done, how long it took, when and by whom.

    `amounts` and `seconds` are above 0; `positions` say when, 0 at the first call of the run and 1
    at the last; `arms` and `blocks` are numbers from 0.
    """

    amounts: ArrayLike
    seconds: ArrayLike
    positions: ArrayLike
    arms: ArrayLike
    blocks: ArrayLike


def common_drift(calls: Calls, *, confidence: float = 0.95) -> Estimate:
    """Estimate by how much a machine slowed down over a run, along a straight line.

    Least squares of each call's seconds for an amount, relative to its arm's own rate, on the
    position within the run, weighted by amounts; each arm has a level of its own and all share the
    slope, so that arms asked at different times do not pass for a drift. The variance is robust
    within blocks [1]_.

    Args:
        calls: the calls.
        confidence: of the interval.

    Returns:
        The relative change in seconds for an amount from position 0 to 1 (0.2: a fifth slower), its
        interval by Student's t with blocks - 1 degrees of freedom, and the number of blocks. From
        fewer than three blocks the interval is NaN.

    Raises:
        StatisticsError: an amount or a duration that is not above 0.
        InsufficientDataError: all calls of each arm stand at one position.

    References:
        .. [1] Liang, K.-Y., Zeger, S. L. (1986). Longitudinal data analysis using generalized
           linear models. Biometrika 73.

    Example:
        >>> seconds = [1.0, 1.1, 1.0, 1.1, 1.2, 1.1, 1.2, 1.3]
        >>> when = [0, 0.1, 0.3, 0.4, 0.6, 0.7, 0.9, 1]
        >>> calls = Calls([9] * 8, seconds, when, [0, 1] * 4, [0, 0, 1, 1, 2, 2, 3, 3])
        >>> round(common_drift(calls).estimate, 2)
        0.21
    """
    level = checked_level(confidence, "confidence")
    amounts, seconds = _positive(calls)
    positions = np.asarray(calls.positions, np.float64)
    arms, blocks = np.asarray(calls.arms), np.asarray(calls.blocks)
    relative, centred = np.empty_like(seconds), np.empty_like(seconds)
    for arm in np.unique(arms):
        own = arms == arm
        relative[own] = seconds[own] / amounts[own] * (amounts[own].sum() / seconds[own].sum()) - 1
        centred[own] = positions[own] - np.average(positions[own], weights=amounts[own])
    square = float((amounts * centred**2).sum())
    if square == 0.0:
        raise InsufficientDataError("every arm was asked at one moment only; there is no drift")
    slope = float((amounts * centred * relative).sum()) / square
    groups, group = np.unique(blocks, return_inverse=True)
    n, half = int(groups.size), math.nan
    if n > 2:
        scores = np.bincount(group, weights=amounts * centred * (relative - slope * centred))
        error = math.sqrt(n / (n - 1) * float((scores**2).sum())) / square
        half = _student(0.5 + level / 2.0, n - 1) * error
    interval = Interval(slope - half, slope + half, level, "block-robust-t")
    return Estimate(slope, interval, n)


def block_paces(amounts: ArrayLike, seconds: ArrayLike) -> tuple[Floats, Floats]:
    """Split what arms took in each block into the arm's own rate and the block's pace.

    The seconds of an arm in a block are taken as its amount there, times the arm's seconds for an
    amount, times the block's pace: the multiplicative model of a two-way table, whose likeliest
    values (Poisson) reproduce the sums of every arm and block [1]_.

    Args:
        amounts: shape (blocks, arms), 0 where an arm did nothing in a block.
        seconds: same shape.

    Returns:
        Seconds for an amount of each arm at the mean pace, shape (arms,); the pace of each block,
        shape (blocks,), averaging to 1 over the amounts (1.1: a tenth slower). All NaN where blocks
        and arms do not hang together, since then an arm cannot be told from its block.

    Raises:
        StatisticsError: shapes that differ, or negative values.

    References:
        .. [1] Bishop, Y. M. M., Fienberg, S. E., Holland, P. W. (1975). Discrete Multivariate
           Analysis, 3.5. MIT Press.

    Example:
        >>> rates, paces = block_paces([[10, 20], [10, 20]], [[1, 1], [2, 2]])
        >>> bool(rates[1] / rates[0] < 1), paces.round(2).tolist()
        (True, [0.67, 1.33])
    """
    done, took = np.asarray(amounts, np.float64), np.asarray(seconds, np.float64)
    if done.ndim != 2 or done.shape != took.shape or (done < 0).any() or (took < 0).any():
        raise StatisticsError(
            f"amounts of shape {done.shape} and seconds of shape {took.shape}: two tables of one "
            "shape (blocks, arms) and no negative value are needed"
        )
    blocks, arms = done.shape
    if not _connected(done > 0):
        return np.full(arms, math.nan), np.full(blocks, math.nan)
    paces = np.ones(blocks)
    rates = took.sum(axis=0) / done.sum(axis=0)
    for _ in range(_ROUNDS):
        before = paces
        paces = took.sum(axis=1) / (done @ rates)
        rates = took.sum(axis=0) / (paces @ done)
        if np.abs(paces / before - 1.0).max() < _CLOSE:
            break
    mean = float(np.average(paces, weights=done.sum(axis=1)))
    return rates * mean, paces / mean


def _connected(table: NDArray[np.bool_]) -> bool:
    """Say whether every block and arm with entries is reached from the first one."""
    if table.size == 0 or not (table.any(axis=0).all() and table.any(axis=1).all()):
        return False
    reached: set[int] = {0}
    for _ in range(table.shape[1]):
        rows = table[:, sorted(reached)].any(axis=1)
        reached |= set(np.flatnonzero(table[rows].any(axis=0)).tolist())
    return len(reached) == int(table.shape[1])


def _student(p: float, df: int) -> float:
    """Return a quantile of Student's t by expansion in 1 / df, within 1 % from 2 degrees on.

    Abramowitz, M., Stegun, I. A. (1964). Handbook of Mathematical Functions, 26.7.5. It saves
    loading scipy, which takes longer than all of this.
    """
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / float(df) ** (i + 1) for i, term in enumerate(terms))


def _positive(calls: Calls) -> tuple[Floats, Floats]:
    amounts = np.asarray(calls.amounts, np.float64)
    seconds = np.asarray(calls.seconds, np.float64)
    if amounts.shape != seconds.shape or not ((amounts > 0).all() and (seconds > 0).all()):
        raise StatisticsError("amounts and seconds are needed for each call, all above 0")
    if amounts.size == 0:
        raise InsufficientDataError("there are no calls")
    return amounts, seconds
