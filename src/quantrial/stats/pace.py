"""How the pace of a machine drifted while several arms worked on it in turn."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats._checks import checked_level
from quantrial.stats.results import Estimate, Interval

Floats = NDArray[np.float64]

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
