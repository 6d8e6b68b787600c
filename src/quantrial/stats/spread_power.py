"""What a sample can detect and how many items it takes, from the spread of paired differences.

Normal approximations; for scores of any kind.
"""

import math
import warnings
from collections.abc import Callable
from typing import SupportsIndex

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats._checks import checked_level, checked_margin, checked_n
from quantrial.stats._normal import normal_cdf, normal_quantile

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
    reach = normal_quantile(1.0 - checked_level(alpha, "alpha") / 2.0)
    reach += normal_quantile(checked_level(power, "power"))
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
    reach = normal_quantile(1.0 - checked_level(alpha, "alpha") / 2.0)
    reach += normal_quantile(checked_level(power, "power"))
    spread = _checked_sd(sd)
    if spread is None or size == 0.0:
        return None
    return max(2, math.ceil((max(reach, 0.0) * spread / size) ** 2))


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
    reach = normal_quantile(1.0 - checked_level(alpha, "alpha"))
    reach += normal_quantile(checked_level(power, "power"))
    spread = _checked_sd(sd)
    if spread is None or distance <= 0.0:
        return None
    return max(2, math.ceil((max(reach, 0.0) * spread / distance) ** 2))


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
