"""What every statistic hands back: small frozen records that repeat the question they answer.

Direction is fixed everywhere: a difference is candidate minus reference, and negative is a loss.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval from `low` to `high`, both in the unit of the estimate.

    Both ends are NaN where the data cannot carry an interval; a zero-width one is never made up.
    `confidence` is NaN where an interval was chosen by what it leaves out, and so has none.
    """

    low: float
    high: float
    confidence: float
    method: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point estimate with its interval, from `n` items (in `clusters` clusters, if any)."""

    estimate: float
    interval: Interval
    n: int
    clusters: int | None = None


@dataclass(frozen=True, slots=True)
class TestResult:
    """A p-value with the statistic behind it.

    `alternative` is about candidate minus reference: `greater` asks whether it exceeds the null.
    """

    __test__: ClassVar[bool] = False  # the name starts with Test; pytest must not collect it

    p_value: float
    statistic: float
    alternative: Alternative
    method: str
    n: int
    clusters: int | None = None


@dataclass(frozen=True, slots=True)
class EquivalenceResult:
    """Two one-sided tests of a difference against -margin and +margin.

    `p_lower` belongs to "the loss is at least the margin" (so `p_lower < alpha` is
    `non_inferior`), `p_upper` to "the gain is at least the margin"; `p_value` is the larger one,
    and `equivalent` says `p_value < alpha`. `interval` has confidence 1 - 2 alpha.
    `approximate`: what a claim rests on is so little that its error rate may pass 6 % at a
    nominal 5 %.
    """

    estimate: float
    margin: float
    interval: Interval
    p_lower: float
    p_upper: float
    p_value: float
    alpha: float
    equivalent: bool
    non_inferior: bool
    method: str
    n: int
    clusters: int | None = None
    approximate: bool = False
