"""The score interval and score tests of a paired difference, from one construction."""

import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import SupportsIndex, get_args

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats._checks import (
    checked_alpha,
    checked_count,
    checked_float,
    checked_level,
    checked_margin,
    checked_n,
)
from quantrial.stats._null_variance import Null, flip_variance
from quantrial.stats._numerics import (
    bracketed_root,
    normal_cdf,
    normal_quantile,
    special,
    t_quantile,
)
from quantrial.stats.results import Alternative, EquivalenceResult, Interval, TestResult

# Of one changed pair: the smallest continuity correction, in steps of 0.05, that keeps the errors
# of tests at 5 % below 5.5 %; a quarter would cost most of the power where one count decides.
CORRECTION = 0.15
_FEW_CHANGES = 10.0
_MOST_DOUBLINGS = 60
_NEXT_TO = 1e-15  # nearer to the estimate than any bound of a finite sample


@dataclass(frozen=True, slots=True, eq=False)
class PairedScore:
    """The evidence on a paired difference, candidate minus reference, ready for any question.

    A true difference is compared with the observed one in units of the standard error that
    would hold *if it were true*. The interval is every difference that this test does not
    reject, so interval and p-values cannot disagree.

    Attributes:
        estimate: the observed difference; negative is a loss.
        n: items.
        clusters: clusters the items were sampled in, or None.
        changed: items on which the arms differ.
        effective: the number of equally large changes that would carry as much information.
        df: degrees of freedom of the reference t distribution; infinite for the normal.
        method: `score`, `score-strata` or `score-clusters`.
    """

    estimate: float
    n: int
    clusters: int | None
    changed: int
    effective: float
    df: float
    method: str
    # how the difference would scatter if the true one were the argument; None where unknown
    _null: Callable[[float], Null] | None = field(repr=False)
    _correction: float = field(repr=False)  # in the unit of the difference
    _edge: float = field(repr=False)  # no difference lies further from 0 than this

    def effective_at(self, null: float) -> float:
        """Return how many equally large changes would scatter as far as a tested difference asks.

        Unlike `effective` this counts losses that nobody saw: where the observed changes are too
        small to explain the tested difference, few large unseen ones must.

        Args:
            null: the tested difference.

        Returns:
            The number; infinite for right-or-wrong answers, whose error rates are known, and NaN
            where the data carry no test.
        """
        return math.nan if self._null is None else self._null(float(null)).effective

    def approximate(self, null: float) -> bool:
        """Whether the error rate of a claim against this difference may pass 6 % at a nominal 5 %.

        So it is where the tested difference rests on as much as fewer than ten equal changes, and
        over clusters always, whose chances of leaning one way are not known.
        """
        return self.clusters is not None or self.effective_at(null) < _FEW_CHANGES

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return every difference that the two-sided test does not reject.

        Args:
            confidence: level, in (0, 1).

        Returns:
            The interval, around the estimate. Both ends are NaN, with a StatisticsWarning,
            where the data carry none.

        Raises:
            StatisticsError: for a confidence outside (0, 1).
        """
        return self._interval(checked_level(confidence, "confidence"))

    def test(self, null: float = 0.0, alternative: Alternative = "two-sided") -> TestResult:
        """Test the difference against a null value.

        Args:
            null: the hypothesised difference, candidate minus reference.
            alternative: `greater` asks whether the difference exceeds `null`: with null = 0
                superiority, with null = -margin non-inferiority. `less` and `two-sided`
                likewise.

        Returns:
            The p-value and the continuity-corrected statistic behind it. NaN, with a
            StatisticsWarning, where the data carry no test.

        Raises:
            StatisticsError: for a null that is not finite, or an unknown alternative.
        """
        if alternative not in get_args(Alternative):
            choices = ", ".join(get_args(Alternative))
            raise StatisticsError(f"alternative is {alternative!r}; choose one of {choices}")
        value = checked_float(null, "null")
        if not math.isfinite(value):
            raise StatisticsError(f"null is {null!r}; a finite difference is needed")
        if self._null is None and not (value == 0.0 == self.estimate):
            self._warn_unknown()
            p = statistic = math.nan
        elif alternative == "greater":
            statistic = self._distance(value)
            p = self._tail(statistic)
        elif alternative == "less":
            statistic = -self._distance(value, above=True)
            p = self._tail(-statistic)
        else:
            above = self.estimate < value
            distance = max(0.0, self._distance(value, above=above))
            statistic = -distance if above else distance
            p = min(1.0, 2.0 * self._tail(distance))
        return TestResult(p, statistic, alternative, self.method, self.n, self.clusters)

    def equivalence(self, margin: float, alpha: float = 0.05) -> EquivalenceResult:
        """Run two one-sided score tests against -margin and +margin [1]_.

        Args:
            margin: the largest difference that still counts as the same, above 0.
            alpha: level of each one-sided test, in (0, 0.5).

        Returns:
            Both p-values, the verdicts, and the score interval of confidence 1 - 2 alpha. All
            NaN, and no verdict, where the data carry no test.

        Raises:
            StatisticsError: for a margin or alpha out of range.

        Warns:
            StatisticsWarning: where the data carry no test, and where a claim is `approximate`.

        References:
            .. [1] Tango, T. (1998). Equivalence test and confidence interval for the difference
               in proportions for the paired-sample design. Statistics in Medicine 17, 891-908.
        """
        bound = checked_margin(margin)
        level = checked_alpha(alpha)
        if self._null is None:
            self._warn_unknown()
            interval = self._blank(1.0 - 2.0 * level)
            p_lower = p_upper = math.nan
            approximate = False
        else:
            interval = self._interval(1.0 - 2.0 * level)
            p_lower = self._tail(self._distance(-bound))
            p_upper = self._tail(self._distance(bound, above=True))
            if self.clusters is not None:
                warnings.warn(
                    "claims of non-inferiority and equivalence over clusters are approximate",
                    StatisticsWarning,
                    stacklevel=2,
                )
            least = self.effective_at(-bound)
            if p_upper < level:
                least = min(least, self.effective_at(bound))
            approximate = self.clusters is not None or least < _FEW_CHANGES
            if least < _FEW_CHANGES:
                warnings.warn(
                    f"a difference of the margin would rest on at most {least:.1f} equal "
                    f"changes ({self.changed} of {self.n} items changed). Below ten, claims of "
                    "non-inferiority and equivalence are approximate",
                    StatisticsWarning,
                    stacklevel=2,
                )
        return EquivalenceResult(
            estimate=self.estimate,
            margin=bound,
            interval=interval,
            p_lower=p_lower,
            p_upper=p_upper,
            p_value=max(p_lower, p_upper),
            alpha=level,
            equivalent=p_lower < level and p_upper < level,
            non_inferior=p_lower < level,
            method=f"{self.method}-tost",
            n=self.n,
            clusters=self.clusters,
            approximate=approximate,
        )

    def _interval(self, confidence: float) -> Interval:
        if self._null is None:
            self._warn_unknown()
            return self._blank(confidence)
        reach = self._quantile(0.5 + confidence / 2.0)
        low, high = self._end(reach, above=False), self._end(reach, above=True)
        if math.isnan(low + high):
            self._warn_unknown()
            return self._blank(confidence)
        return Interval(low, high, confidence, self.method)

    def _end(self, reach: float, *, above: bool) -> float:
        """Find where the tested difference is `reach` standard errors from the observed one."""
        known = self._null
        sign = 1.0 if above else -1.0

        @functools.cache  # the search asks again about where it starts
        def excess(value: float) -> float:
            null = known(value) if known else Null(math.nan)
            null = null.mirrored() if above else null
            spread = null.reach(reach) * math.sqrt(null.variance)
            return sign * (value - self.estimate) - self._correction - spread

        outer = sign * self._edge
        if math.isinf(outer):
            step = abs(self.estimate) + self._correction
            for _ in range(_MOST_DOUBLINGS):
                outer = self.estimate + sign * step
                if excess(outer) >= 0.0:
                    break
                step *= 2.0
            else:
                return math.nan  # fewer than reach^2 items: no difference is ever rejected
        elif excess(outer) <= 0.0:
            return outer
        inner = self.estimate
        if excess(inner) == 0.0:  # no variance seen: the bound lies further out
            inner += sign * _NEXT_TO
        return bracketed_root(excess, inner, outer)

    def _distance(self, value: float, *, above: bool = False) -> float:
        """Return how far the estimate lies above (or below) `value`, as a normal deviate."""
        gap = self.estimate - value
        gap = (-gap if above else gap) - self._correction
        if self._null is not None and abs(value) < self._edge:
            null = self._null(value)
            if null.variance > 0.0:
                null = null.mirrored() if above else null
                return null.beyond(gap / math.sqrt(null.variance))
        return math.inf if gap > 0.0 else -math.inf

    def _tail(self, distance: float) -> float:
        if math.isinf(self.df):
            return normal_cdf(-distance)
        return float(special().stdtr(self.df, -distance))

    def _quantile(self, probability: float) -> float:
        if math.isinf(self.df):
            return normal_quantile(probability)
        return t_quantile(probability, self.df)

    def _blank(self, confidence: float) -> Interval:
        return Interval(math.nan, math.nan, confidence, self.method)

    def _warn_unknown(self) -> None:
        warnings.warn(
            f"{self.changed} of {self.n} items changed. They carry no interval or test of the "
            "difference. Analyse more items",
            StatisticsWarning,
            stacklevel=4,
        )


def score_flips(
    harmful: SupportsIndex,
    beneficial: SupportsIndex,
    *,
    n: SupportsIndex,
    correction: float = CORRECTION,
) -> PairedScore:
    """Compare two paired proportions by Tango's score method, candidate minus reference.

    Args:
        harmful: pairs where the reference is right and the candidate wrong.
        beneficial: pairs where the reference is wrong and the candidate right.
        n: all pairs, discordant or not, at least 1.
        correction: continuity correction, in pairs. With the default, exact enumeration over
            n = 50..5000 and discordance .002 to .35 gives at least 93.9 % coverage of 95 %
            intervals and at most 5.4 % type-I error; with 0 (the original method [1]_) the
            error reaches 6.8 %. `benchmarks/operating_characteristics.py` measures this.

    Returns:
        The evidence on the difference of proportions in [-1, 1], ready for `interval`, `test`
        (superiority, non-inferiority) and `equivalence`.

    Raises:
        StatisticsError: for counts that are not whole, negative, or sum above n; for a negative
            correction.
        InsufficientDataError: for n = 0.

    Pairs are taken as independent. Zero discordant pairs are no special case: without one, n
    must still reach about z^2 / margin before equivalence can be claimed.

    References:
        .. [1] Tango, T. (1998). Equivalence test and confidence interval for the difference in
           proportions for the paired-sample design. Statistics in Medicine 17, 891-908.

    Example:
        >>> found = score_flips(9, 1, n=100)
        >>> found.estimate, found.interval().high < 0
        (-0.08, True)
    """
    total = checked_n(n, 1, "a paired difference")
    losses = checked_count(harmful, "harmful")
    gains = checked_count(beneficial, "beneficial")
    if losses + gains > total:
        raise StatisticsError(
            f"harmful + beneficial is {losses + gains}, more than n = {total}; n counts all pairs"
        )
    pairs = float(correction)
    if not (math.isfinite(pairs) and pairs >= 0.0):
        raise StatisticsError(f"correction is {correction!r}; a number of pairs >= 0 is needed")
    up, down, all_of = float(gains), float(losses), float(total)
    return PairedScore(
        estimate=(gains - losses) / total,
        n=total,
        clusters=None,
        changed=gains + losses,
        effective=float(gains + losses),
        df=math.inf,
        method="score",
        _null=lambda mean: Null(flip_variance(up, down, all_of, mean) / total),
        _correction=pairs / total,
        _edge=1.0,
    )
