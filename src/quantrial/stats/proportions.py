"""One proportion, and the difference test for two paired ones."""

import math
from typing import Literal, SupportsIndex, get_args

from quantrial.errors import StatisticsError
from quantrial.stats._binomial import half_tail
from quantrial.stats._checks import checked_count, checked_level, checked_n
from quantrial.stats._normal import normal_quantile, special
from quantrial.stats.results import Estimate, Interval, TestResult

McNemarMethod = Literal["auto", "exact", "yates", "asymptotic", "midp"]

_EXACT_UP_TO = 25  # discordant pairs; the threshold published studies use
_BIG_INTEGER_UP_TO = 1000  # trials; above, exact integers cost more than they are worth


def _checked_successes(successes: SupportsIndex, n: int) -> int:
    count = checked_count(successes, "successes")
    if count > n:
        raise StatisticsError(f"successes is {count} of n = {n}; it cannot exceed n")
    return count


def wilson(successes: SupportsIndex, n: SupportsIndex, *, confidence: float = 0.95) -> Estimate:
    """Estimate a proportion with the Wilson score interval.

    Args:
        successes: items answered correctly, 0..n.
        n: items, at least 1.
        confidence: level of the interval, in (0, 1).

    Returns:
        The share of successes; the interval lies in [0, 1] and never has zero width.

    Raises:
        StatisticsError: for counts that are not whole, negative, or above n.
        InsufficientDataError: for n = 0.

    Items are taken as independent. Without a single success (or failure) the interval still has
    the width the score test gives it [1]_.

    References:
        .. [1] Wilson, E. B. (1927). Probable inference, the law of succession, and statistical
           inference. Journal of the American Statistical Association 22, 209-212.

    Example:
        >>> found = wilson(8, 10).interval
        >>> round(found.low, 3), round(found.high, 3)
        (0.49, 0.943)
    """
    level = checked_level(confidence, "confidence")
    total = checked_n(n, 1, "a proportion")
    count = _checked_successes(successes, total)
    z = normal_quantile(0.5 + level / 2.0)
    share = count / total
    shrink = 1.0 + z * z / total
    centre = (share + z * z / (2.0 * total)) / shrink
    half = z * math.sqrt(share * (1.0 - share) / total + z * z / (4.0 * total * total)) / shrink
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == total else min(1.0, centre + half)
    return Estimate(share, Interval(low, high, level, "wilson"), total)


def clopper_pearson(
    successes: SupportsIndex, n: SupportsIndex, *, confidence: float = 0.95
) -> Estimate:
    """Estimate a proportion with the exact (Clopper-Pearson) interval.

    Args:
        successes: items answered correctly, 0..n.
        n: items, at least 1.
        confidence: level of the interval, in (0, 1).

    Returns:
        The share of successes with an interval that covers at least as often as it says, and
        usually more often [1]_.

    Raises:
        StatisticsError: for counts that are not whole, negative, or above n.
        InsufficientDataError: for n = 0.

    References:
        .. [1] Clopper, C. J., Pearson, E. S. (1934). The use of confidence or fiducial limits
           illustrated in the case of the binomial. Biometrika 26, 404-413.

    Example:
        >>> round(clopper_pearson(0, 10).interval.high, 4)  # 1 - 0.025 ** (1 / 10)
        0.3085
    """
    level = checked_level(confidence, "confidence")
    total = checked_n(n, 1, "a proportion")
    count = _checked_successes(successes, total)
    quantile, tail = special().betaincinv, (1.0 - level) / 2.0
    low = 0.0 if count == 0 else float(quantile(count, total - count + 1, tail))
    high = 1.0 if count == total else float(quantile(count + 1, total - count, 1.0 - tail))
    return Estimate(count / total, Interval(low, high, level, "clopper-pearson"), total)


def jeffreys(successes: SupportsIndex, n: SupportsIndex, *, confidence: float = 0.95) -> Estimate:
    """Estimate a proportion with the equal-tailed Jeffreys interval.

    Args:
        successes: items answered correctly, 0..n.
        n: items, at least 1.
        confidence: level of the interval, in (0, 1).

    Returns:
        The share of successes with the posterior interval under the prior Beta(1/2, 1/2), its
        end put at 0 (or 1) where no success (or failure) was seen [1]_.

    Raises:
        StatisticsError: for counts that are not whole, negative, or above n.
        InsufficientDataError: for n = 0.

    References:
        .. [1] Brown, L. D., Cai, T. T., DasGupta, A. (2001). Interval estimation for a binomial
           proportion. Statistical Science 16, 101-133.

    Example:
        >>> found = jeffreys(8, 10).interval
        >>> round(found.low, 3), round(found.high, 3)
        (0.497, 0.956)
    """
    level = checked_level(confidence, "confidence")
    total = checked_n(n, 1, "a proportion")
    count = _checked_successes(successes, total)
    quantile, tail = special().betaincinv, (1.0 - level) / 2.0
    shape = (count + 0.5, total - count + 0.5)
    low = 0.0 if count == 0 else float(quantile(*shape, tail))
    high = 1.0 if count == total else float(quantile(*shape, 1.0 - tail))
    return Estimate(count / total, Interval(low, high, level, "jeffreys"), total)


def _half_tail(successes: int, trials: int) -> tuple[float, float]:
    """Return P(X <= successes) and P(X = successes) for X binomial with probability 1/2.

    No more than half of the trials may be successes.
    """
    if trials <= _BIG_INTEGER_UP_TO:
        term, tail = 1, 1
        for k in range(successes):
            term = term * (trials - k) // (k + 1)
            tail += term
        return tail / 2**trials, term / 2**trials
    return half_tail(successes, trials)


def mcnemar(
    harmful: SupportsIndex,
    beneficial: SupportsIndex,
    *,
    n: SupportsIndex,
    method: McNemarMethod = "auto",
) -> TestResult:
    """Test whether harmful and beneficial flips are equally likely (McNemar, two-sided).

    Args:
        harmful: pairs where the reference is right and the candidate wrong.
        beneficial: pairs where the reference is wrong and the candidate right.
        n: all pairs, discordant or not, at least 1.
        method: `exact` binomial (conservative) [1]_, `midp` (exact less half the probability of
            what was observed) [2]_, `asymptotic` chi-square, `yates` (chi-square with continuity
            correction), or `auto`: exact up to 25 discordant pairs, yates above.

    Returns:
        The p-value; the statistic is the smaller count for `exact` and `midp`, else the
        chi-square on one degree of freedom. `method` names the one that was used. Without a
        discordant pair p is 1 and the statistic 0: nothing speaks for a difference.

    Raises:
        StatisticsError: for counts that are not whole, negative, or sum above n; for an unknown
            method.
        InsufficientDataError: for n = 0.

    Pairs are taken as independent. p does not depend on the number of concordant pairs.

    References:
        .. [1] McNemar, Q. (1947). Note on the sampling error of the difference between
           correlated proportions or percentages. Psychometrika 12, 153-157.
        .. [2] Fagerland, M. W., Lydersen, S., Laake, P. (2013). The McNemar test for binary
           matched-pairs data: mid-p and asymptotic are better than exact conditional. BMC
           Medical Research Methodology 13, 91.

    Example:
        >>> mcnemar(8, 0, n=100, method="exact").p_value  # 2 / 2**8
        0.0078125
    """
    if method not in get_args(McNemarMethod):
        choices = ", ".join(get_args(McNemarMethod))
        raise StatisticsError(f"method is {method!r}; choose one of {choices}")
    total = checked_n(n, 1, "a paired test")
    losses = checked_count(harmful, "harmful")
    gains = checked_count(beneficial, "beneficial")
    discordant = losses + gains
    if discordant > total:
        raise StatisticsError(
            f"harmful + beneficial is {discordant}, more than n = {total}; n counts all pairs"
        )
    used = method
    if method == "auto":
        used = "exact" if discordant <= _EXACT_UP_TO else "yates"
    label = f"mcnemar-{used}"
    if discordant == 0:
        return TestResult(1.0, 0.0, "two-sided", label, total)
    if used in ("exact", "midp"):
        smaller = min(losses, gains)
        tail, term = _half_tail(smaller, discordant)
        p = 2.0 * tail if used == "exact" else 2.0 * tail - term
        return TestResult(min(p, 1.0), float(smaller), "two-sided", label, total)
    gap = float(abs(losses - gains))
    if used == "yates":
        gap = max(gap - 1.0, 0.0)
    chi_square = gap * gap / discordant
    p = math.erfc(math.sqrt(chi_square / 2.0))
    return TestResult(p, chi_square, "two-sided", label, total)
