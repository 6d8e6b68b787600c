"""What a sample can detect and how many items it takes, from the spread of paired differences.

Normal approximations; for scores of any kind.
"""

import math
import warnings
from collections.abc import Callable
from typing import Literal, SupportsIndex, get_args

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats._checks import checked_alpha, checked_level, checked_margin, checked_n
from quantrial.stats._null_variance import Null
from quantrial.stats._numerics import normal_cdf, normal_quantile
from quantrial.stats.score import PairedScore

_MOST_ITEMS = 2**62  # a search that passes this has no answer anyone could use


def _checked_sd(sd: float) -> float | None:
    """Return the standard deviation, or None (with a warning) where it is zero."""
    value = float(sd)
    if not (math.isfinite(value) and value >= 0.0):
        raise StatisticsError(
            f"sd is {sd!r}; give the standard deviation of the paired differences, finite and >= 0"
        )
    if value == 0.0:
        warnings.warn(
            "the paired differences do not vary, so nothing can be planned from them; "
            "state a standard deviation, or run a larger pilot",
            StatisticsWarning,
            stacklevel=3,
        )
        return None
    return value


def _checked_estimate(estimate: float, name: str) -> float:
    value = float(estimate)
    if not math.isfinite(value):
        raise StatisticsError(f"{name} is {estimate!r}; a finite difference is needed")
    return value


def _reach(power: float, alpha: float, *, sides: int) -> float:
    """Return how many standard errors a difference needs to be found with this power."""
    critical = normal_quantile(1.0 - checked_level(alpha, "alpha") / sides)
    return critical + normal_quantile(checked_level(power, "power"))


def _pairs(reach: float, spread: float, distance: float) -> int:
    return max(2, math.ceil((max(reach, 0.0) * spread / distance) ** 2))


def detectable_difference(
    sd: float, n: SupportsIndex, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Find the smallest true difference that a two-sided test of n pairs finds with this power.

    (z_{1-alpha/2} + z_{power}) * sd / sqrt(n), the usual normal approximation [1]_.

    Args:
        sd: standard deviation of the paired differences, in the unit of the endpoint.
        n: pairs, at least 2.
        power: chance of finding it, in (0, 1).
        alpha: two-sided level, in (0, 1).

    Returns:
        The difference, in the unit of `sd`, above 0. NaN, with a warning, where sd is 0.

    Raises:
        StatisticsError: for a negative or non-finite sd, or a level outside (0, 1).
        InsufficientDataError: for n below 2.

    Warns:
        StatisticsWarning: where sd is 0.

    References:
        .. [1] Chow, S.-C., Shao, J., Wang, H., Lokhnygina, Y. (2017). Sample Size Calculations
           in Clinical Research, 3rd edition, section 3.1. CRC Press.

    Example:
        >>> round(detectable_difference(0.3, 400), 3)  # 0.3 * (1.96 + 0.842) / 20
        0.042
    """
    total = checked_n(n, 2, "a detectable difference")
    reach = _reach(power, alpha, sides=2)
    spread = _checked_sd(sd)
    return math.nan if spread is None else reach * spread / math.sqrt(total)


def items_for_difference(
    sd: float, difference: float, *, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """Count the pairs a two-sided test needs to find a true difference with this power.

    Args:
        sd: standard deviation of the paired differences, in the unit of the endpoint.
        difference: the true difference, candidate minus reference; only its size matters.
        power: chance of finding it, in (0, 1).
        alpha: two-sided level, in (0, 1).

    Returns:
        The number of pairs, at least 2. None where no number will do: the difference is 0; and
        where sd is 0 (with a warning), as nothing is known to plan from.

    Raises:
        StatisticsError: for a negative or non-finite sd, a non-finite difference, or a level
            outside (0, 1).

    Warns:
        StatisticsWarning: where sd is 0.

    Inverts `detectable_difference`; same reference.

    Example:
        >>> items_for_difference(0.3, 0.05)  # (0.3 / 0.05 * (1.96 + 0.842)) ** 2
        283
    """
    size = abs(_checked_estimate(difference, "difference"))
    reach = _reach(power, alpha, sides=2)
    spread = _checked_sd(sd)
    return None if spread is None or size == 0.0 else _pairs(reach, spread, size)


def items_for_non_inferiority(
    sd: float, estimate: float, margin: float, *, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """Count the pairs a one-sided test needs to show that a loss is smaller than the margin.

    Args:
        sd: standard deviation of the paired differences, in the unit of the endpoint.
        estimate: the true difference to plan for, candidate minus reference.
        margin: the largest loss that still counts as the same, above 0.
        power: chance of showing it, in (0, 1).
        alpha: one-sided level, in (0, 1).

    Returns:
        The number of pairs, at least 2. None where no number will do: the estimate itself is a
        loss of the margin or more; and where sd is 0 (with a warning).

    Raises:
        StatisticsError: for a negative or non-finite sd, a non-finite estimate, a margin that
            is not above 0, or a level outside (0, 1).

    Warns:
        StatisticsWarning: where sd is 0.

    Normal approximation [1]_.

    References:
        .. [1] Chow, S.-C., Shao, J., Wang, H., Lokhnygina, Y. (2017). Sample Size Calculations
           in Clinical Research, 3rd edition, section 3.1. CRC Press.

    Example:
        >>> items_for_non_inferiority(0.3, 0.0, 0.05)  # (0.3 / 0.05 * (1.645 + 0.842)) ** 2
        223
    """
    distance = _checked_estimate(estimate, "estimate") + checked_margin(margin)
    reach = _reach(power, alpha, sides=1)
    spread = _checked_sd(sd)
    return None if spread is None or distance <= 0.0 else _pairs(reach, spread, distance)


def smallest_count(enough: Callable[[int], bool]) -> int | None:
    """Search an n >= 2 with enough(n) but not enough(n - 1); None where it grows absurd."""
    high = 2
    while not enough(high):
        high *= 2
        if high > _MOST_ITEMS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high


def items_for_equivalence(
    sd: float, estimate: float, margin: float, *, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """Count the pairs two one-sided tests need to show a difference within -margin..margin.

    Args:
        sd: standard deviation of the paired differences, in the unit of the endpoint.
        estimate: the true difference to plan for, candidate minus reference.
        margin: the largest difference that still counts as the same, above 0.
        power: chance of showing it, in (0, 1).
        alpha: level of each one-sided test, in (0, 1).

    Returns:
        The number of pairs, at least 2. None where no number will do: the estimate itself is
        the margin or more away from 0; and where sd is 0 (with a warning).

    Raises:
        StatisticsError: for a negative or non-finite sd, a non-finite estimate, a margin that
            is not above 0, or a level outside (0, 1).

    Warns:
        StatisticsWarning: where sd is 0.

    Normal approximation; both tests count, whichever side the estimate lies on [1]_.

    References:
        .. [1] Chow, S.-C., Shao, J., Wang, H., Lokhnygina, Y. (2017). Sample Size Calculations
           in Clinical Research, 3rd edition, section 3.1. CRC Press.

    Example:
        >>> items_for_equivalence(0.3, 0.0, 0.05)  # (0.3 / 0.05 * (1.645 + 1.282)) ** 2
        309
    """
    true = _checked_estimate(estimate, "estimate")
    bound = checked_margin(margin)
    critical = normal_quantile(1.0 - checked_level(alpha, "alpha"))
    target = checked_level(power, "power")
    spread = _checked_sd(sd)
    if spread is None or abs(true) >= bound:
        return None

    def enough(n: int) -> bool:
        scale = math.sqrt(n) / spread
        upper = normal_cdf((bound - true) * scale - critical)
        lower = normal_cdf((bound + true) * scale - critical)
        return upper + lower - 1.0 >= target

    return smallest_count(enough)


MarginQuestion = Literal["non_inferior", "equivalent"]


def items_for_score(
    score: PairedScore,
    margin: float,
    *,
    question: MarginQuestion,
    power: float = 0.8,
    alpha: float = 0.05,
) -> int | None:
    """Count the items with which a score test rules the margin out with this power.

    The true difference and the spread of items are taken to be those of `score`. What tells it
    from a plan by a standard deviation is that the test's own spread is used, the one that would
    hold at the margin, and its continuity correction: where few items changed, and by much, the
    test asks for far more than the standard deviation suggests. On the chance that no item at all
    changes, nothing could be claimed of a pooled ratio; it is allowed for.

    Args:
        score: the evidence of a sample (a pilot), candidate minus reference.
        margin: the largest loss that still counts as the same, above 0.
        question: `non_inferior` or `equivalent`.
        power: chance of showing it, in (0, 1).
        alpha: level of each one-sided test, in (0, 0.5).

    Returns:
        The number of items. None where no number will do (the estimate itself lies at or beyond
        the margin), and where the sample carries no test.

    Raises:
        StatisticsError: for an unknown question, or a margin, power or alpha out of range.

    Normal approximation: the estimate is taken as normal around the truth [1]_, the variance under
    a tested difference as in a sample of that size [2]_. Over clusters, more items are those of
    more clusters like these; degrees of freedom are taken as infinite.

    References:
        .. [1] Chow, S.-C., Shao, J., Wang, H., Lokhnygina, Y. (2017). Sample Size Calculations
           in Clinical Research, 3rd edition, section 3.1. CRC Press.
        .. [2] Tango, T. (1998). Equivalence test and confidence interval for the difference in
           proportions for the paired-sample design. Statistics in Medicine 17, 891-908.

    Example:
        >>> from quantrial.stats import score_flips
        >>> items_for_score(score_flips(4, 4, n=100), 0.03, question="non_inferior")
        598
    """
    target, bound = checked_level(power, "power"), checked_margin(margin)
    chance = _power_by_items(score, bound, question, alpha)
    true = score.estimate
    inside = abs(true) < bound if question == "equivalent" else true > -bound
    if chance is None or not inside:
        return None
    return smallest_count(lambda items: chance(items) >= target)


def score_power(
    score: PairedScore,
    n: SupportsIndex,
    margin: float,
    *,
    question: MarginQuestion,
    alpha: float = 0.05,
) -> float:
    """Approximate the power of a score test at the margin with n items, as `items_for_score` does.

    Args:
        score: the evidence of a sample (a pilot), candidate minus reference.
        n: items, at least 1.
        margin: the largest loss that still counts as the same, above 0.
        question: `non_inferior` or `equivalent`.
        alpha: level of each one-sided test, in (0, 0.5).

    Returns:
        The chance of showing it; NaN where the sample carries no test.

    Raises:
        StatisticsError: for an unknown question, or a margin or alpha out of range.
        InsufficientDataError: for n = 0.

    References as for `items_for_score`.

    Example:
        >>> from quantrial.stats import score_flips
        >>> found = score_power(score_flips(4, 4, n=100), 598, 0.03, question="non_inferior")
        >>> round(found, 2)
        0.8
    """
    chance = _power_by_items(score, checked_margin(margin), question, alpha)
    items = checked_n(n, 1, "power")
    return math.nan if chance is None else max(0.0, chance(items))


def _power_by_items(
    score: PairedScore, bound: float, question: MarginQuestion, alpha: float
) -> Callable[[int], float] | None:
    if question not in get_args(MarginQuestion):
        choices = ", ".join(get_args(MarginQuestion))
        raise StatisticsError(f"question is {question!r}; choose one of {choices}")
    critical = normal_quantile(1.0 - checked_alpha(alpha))
    true, known, n = score.estimate, score._null, score.n
    if known is None:
        return None
    correction = score._correction * n
    spread = math.sqrt(n * known(true).variance)
    below, above = known(-bound), known(bound).mirrored()

    def chance(items: int, distance: float, null: Null) -> float:
        root = math.sqrt(items)
        scaled = Null(n * null.variance, null.skewness * math.sqrt(n / items))
        reach = (distance - correction / items) * root
        reach -= scaled.reach(critical) * math.sqrt(scaled.variance)
        if spread > 0.0:
            return normal_cdf(reach / spread)
        return float(reach > 0.0)

    def power(items: int) -> float:
        found = chance(items, bound + true, below)
        if question == "equivalent":
            found += chance(items, bound - true, above) - 1.0
        # without a changed item a score of no known support carries no test at all
        silent = (1.0 - score.changed / n) ** items if math.isinf(score._edge) else 0.0
        return found * (1.0 - silent)

    return power
