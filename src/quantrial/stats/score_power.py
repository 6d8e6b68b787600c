"""Items that the score tests of ratios and means need, if the truth is as seen in a sample."""

import math
from collections.abc import Callable
from typing import Literal, SupportsIndex, get_args

from quantrial.errors import StatisticsError
from quantrial.stats._checks import checked_alpha, checked_level, checked_margin, checked_n
from quantrial.stats._normal import normal_cdf, normal_quantile
from quantrial.stats._null_variance import Null
from quantrial.stats.score import PairedScore
from quantrial.stats.spread_power import smallest_count

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
