"""The power of the tests of paired proportions, from the rates of flips, by enumeration."""

import functools
import math
from dataclasses import dataclass
from typing import Literal, SupportsIndex, get_args

import numpy as np
from numpy.typing import NDArray

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats._checks import checked_alpha, checked_level, checked_margin, checked_n
from quantrial.stats._null_variance import cell_variance
from quantrial.stats._numerics import (
    half_tail,
    likely_outcomes,
    normal_cdf,
    normal_quantile,
    t_quantile,
)
from quantrial.stats.clusters import FEWEST_CLUSTERS
from quantrial.stats.score import CORRECTION

Question = Literal["difference", "non_inferior", "equivalent"]
Floats = NDArray[np.float64]

_STRETCH = 1024  # numbers of flips whose critical counts are found, and kept, together


@dataclass(frozen=True, slots=True)
class PowerResult:
    """The chance that a study of `n` pairs answers yes, if the rates are as stated.

    `method` is `exact` where every outcome was enumerated, else `normal-approximation`.
    """

    power: float
    question: Question
    n: int
    harmful_rate: float
    beneficial_rate: float
    margin: float | None
    alpha: float
    method: str


def checked_rates(harmful_rate: float, beneficial_rate: float) -> tuple[float, float]:
    """Return the rates of flips; refuse what is none."""
    harm, gain = float(harmful_rate), float(beneficial_rate)
    if not (harm >= 0.0 and gain >= 0.0 and harm + gain <= 1.0):
        raise StatisticsError(
            f"the rates are {harmful_rate!r} and {beneficial_rate!r}; give the shares of pairs "
            "that flip each way, each at least 0 and together at most 1"
        )
    return harm, gain


def checked_question(question: Question, margin: float | None, alpha: float) -> float | None:
    """Return the margin that the question is about, None for a difference; refuse what is none."""
    if question not in get_args(Question):
        choices = ", ".join(get_args(Question))
        raise StatisticsError(f"question is {question!r}; choose one of {choices}")
    if question == "difference":
        checked_level(alpha, "alpha")
        return None
    checked_alpha(alpha)
    if margin is None:
        raise StatisticsError(f"the question {question!r} needs a margin, and none was given")
    return checked_margin(margin)


def flip_power(
    harmful_rate: float,
    beneficial_rate: float,
    n: SupportsIndex,
    *,
    question: Question,
    margin: float | None = None,
    alpha: float = 0.05,
) -> PowerResult:
    """Compute the power of McNemar's mid-p test or of Tango's score tests.

    Args:
        harmful_rate: share of pairs where only the reference is right.
        beneficial_rate: share of pairs where only the candidate is right.
        n: pairs, at least 1.
        question: `difference` (two-sided mid-p at level alpha [1]_), `non_inferior` or
            `equivalent` (score tests as `score_flips` makes them, one-sided at alpha [2]_).
        margin: the margin of the last two, above 0.
        alpha: level of the test.

    Returns:
        The power. Exact, by enumeration of every outcome with a chance that matters, up to
        a million of them (n around 10^4, or 20,000 flips that all go one way); the normal
        approximation beyond.

    Raises:
        StatisticsError: for rates, margin or alpha out of range.
        InsufficientDataError: for n = 0.

    References:
        .. [1] Fagerland, M. W., Lydersen, S., Laake, P. (2013). The McNemar test for binary
           matched-pairs data. BMC Medical Research Methodology 13, 91.
        .. [2] Tango, T. (1998). Equivalence test and confidence interval for the difference in
           proportions for the paired-sample design. Statistics in Medicine 17, 891-908.

    Example:
        >>> found = flip_power(0.08, 0.02, 200, question="difference")
        >>> round(found.power, 2), found.method
        (0.79, 'exact')
    """
    total = checked_n(n, 1, "power")
    harm, gain = checked_rates(harmful_rate, beneficial_rate)
    bound = checked_question(question, margin, alpha)
    outcomes = likely_outcomes(harm, gain, total)
    if outcomes is None:
        power = normal_power(total, harm, gain, question, bound, alpha)
        method = "normal-approximation"
    else:
        gains, losses, chances = outcomes
        yes = _rejects(gains, losses, total, question, bound, alpha)
        power, method = float(chances[yes].sum()), "exact"
    return PowerResult(min(power, 1.0), question, total, harm, gain, bound, alpha, method)


def most_fewer(fewest: int, most: int, alpha: float) -> Floats:
    """Return for each of fewest..most flips the largest smaller count that mid-p rejects, or -1."""
    first = fewest // _STRETCH
    found = [_critical_counts(s * _STRETCH, alpha) for s in range(first, most // _STRETCH + 1)]
    return np.concatenate(found)[fewest - first * _STRETCH :]


@functools.lru_cache(maxsize=64)
def _critical_counts(start: int, alpha: float) -> Floats:
    """Return the largest smaller count that mid-p rejects for start, start + 1, ... flips.

    One more flip moves the tail by half of the last probability, and the count by 0 or 1.
    """
    count, over = -1, start // 2 + 1
    while over - count > 1:
        middle = (count + over) // 2
        tail, term = half_tail(middle, start)
        if start > 0 and 2.0 * tail - term < alpha:
            count = middle
        else:
            over = middle
    tail, term = half_tail(count, start)
    counts = np.empty(_STRETCH)
    counts[0] = count
    for flips in range(start + 1, start + _STRETCH):
        tail -= term / 2.0
        term *= flips / (2.0 * (flips - count))
        following = term * (flips - count) / (count + 1) if count >= 0 else 0.5**flips
        # mid-p of the next count: twice its tail less its own probability
        if 2.0 * tail + following < alpha and count + 1 <= flips // 2:
            count, tail, term = count + 1, tail + following, following
        counts[flips - start] = count
    return counts


def _rejects(
    gains: Floats, losses: Floats, n: int, question: Question, margin: float | None, alpha: float
) -> NDArray[np.bool_]:
    """Say for every outcome whether the test answers yes."""
    if margin is None:
        flips = gains + losses
        fewest = int(flips.min())
        most = most_fewer(fewest, int(flips.max()), alpha)
        different: NDArray[np.bool_] = (
            np.minimum(gains, losses) <= most[flips.astype(np.intp) - fewest]
        )
        return different
    critical = normal_quantile(1.0 - alpha)
    if margin >= 1.0:
        margin = math.nextafter(1.0, 0.0)
    gap = gains - losses
    spread = np.sqrt(n * cell_variance(gains, losses, n, -margin))
    yes: NDArray[np.bool_] = gap + n * margin - CORRECTION > critical * spread
    if question == "equivalent":
        spread = np.sqrt(n * cell_variance(gains, losses, n, margin))
        yes &= n * margin - gap - CORRECTION > critical * spread
    return yes


def normal_power(
    n: int, harm: float, gain: float, question: Question, margin: float | None, alpha: float
) -> float:
    """Approximate the power of n pairs; their difference must vary."""
    true = gain - harm
    sd = math.sqrt(harm + gain - true**2)  # more outcomes than can be counted: above 0
    scale = math.sqrt(n) / sd
    if margin is None:
        critical = normal_quantile(1.0 - alpha / 2.0)
        return normal_cdf(true * scale - critical) + normal_cdf(-true * scale - critical)
    critical = normal_quantile(1.0 - alpha)
    lower = normal_cdf((margin + true) * scale - critical)
    if question == "non_inferior":
        return lower
    return max(0.0, lower + normal_cdf((margin - true) * scale - critical) - 1.0)


def least_items(margin: float, *, alpha: float = 0.05, clusters: int | None = None) -> int:
    """Count the pairs below which no result can show equivalence, not even without a flip.

    Non-inferiority may be shown with fewer: by gains, which take a loss of the margin further away.

    Args:
        margin: the largest difference that still counts as the same, in (0, 1).
        alpha: level of each one-sided score test, in (0, 0.5).
        clusters: random clusters that the pairs come in, at least 5; None: they are independent.
            Fewer degrees of freedom ask for more pairs; those of clusters of one size are taken,
            the most that so many can have.

    Returns:
        The smallest n at which zero discordant pairs are non-inferior and equivalent by the
        score tests (298 for one percentage point at 5 %, where a loss of the whole margin stays
        unseen with chance .050; without their correction 268, and chance .068).

    Raises:
        StatisticsError: for a margin or alpha out of range.
        InsufficientDataError: for fewer than 5 clusters: nothing is claimed over so few.

    Example:
        >>> least_items(0.03)
        98
    """
    bound = checked_level(checked_margin(margin), "the margin")
    level = 1.0 - checked_alpha(alpha)
    if clusters is None:
        reach = normal_quantile(level)
    elif clusters < FEWEST_CLUSTERS:
        raise InsufficientDataError(
            f"{clusters} cluster(s): nothing is claimed over fewer than {FEWEST_CLUSTERS}"
        )
    else:
        reach = t_quantile(level, clusters - 1.0)
    # n margin - correction > reach sqrt(n margin (1 - margin)), a quadratic in sqrt(n)
    spread = reach * math.sqrt(bound * (1.0 - bound))
    root = (spread + math.sqrt(spread**2 + 4.0 * bound * CORRECTION)) / (2.0 * bound)
    return math.floor(root**2) + 1
