"""Intervals for a family of contrasts that tell the same story as Holm's decisions."""

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats._checks import checked_level
from quantrial.stats.multiplicity import holm
from quantrial.stats.results import Interval
from quantrial.stats.score import PairedScore


def holm_intervals(
    scores: Sequence[PairedScore],
    p_values: ArrayLike,
    *,
    alpha: float = 0.05,
    adjusted: ArrayLike | None = None,
    family: int | None = None,
) -> list[Interval]:
    """Return one interval a contrast, which excludes 0 where Holm's method rejects no difference.

    Bonferroni's interval, of confidence 1 - alpha / m for m contrasts, wherever Holm and
    Bonferroni decide alike. A contrast that only Holm rejects, because others fell before it,
    gets the widest interval of confidence 1 - alpha / k, for whole k below m, at which its p still
    rejects: at least that of the step at which Holm rejected it [1]_. That one is chosen because
    it leaves 0 out, so it has no confidence of its own: NaN.

    Args:
        scores: the evidence on each of m contrasts, candidate minus reference.
        p_values: shape (m,), the two-sided p of no difference of each, not adjusted; NaN for one
            that could not be tested.
        alpha: the family-wise error rate, in (0, 1).
        adjusted: shape (m,), the adjusted p where the family is larger than these contrasts; by
            default Holm's over `p_values`.
        family: how many questions share alpha; by default as many as have a p. Those that no data
            could have answered need not be counted.

    Returns:
        One interval a contrast, in the order given, each stating its confidence: 1 - alpha / m, or
        NaN where it was narrowed to leave out 0. A contrast with p NaN does not count towards m,
        and the ends of its interval are NaN.

    Raises:
        StatisticsError: for lengths that differ, a p-value outside [0, 1], or an alpha outside
            (0, 1).

    Warns:
        StatisticsWarning: where an interval and the decision disagree, or the data carry no
            interval.

    What holds, under any dependence between the contrasts:

    - Where p and interval come from one construction (`score.test().p_value`), an interval
      excludes 0 exactly when Holm rejects: the adjusted p is below alpha. The chance that any
      interval excludes a true 0 is then at most alpha.
    - All intervals of confidence 1 - alpha / m together cover their true differences with
      chance at least 1 - alpha.
    - A narrowed one shows the side of 0 that was decided for, and promises no more. Of intervals
      that are looked at because they leave 0 out, none covers where 0 is the truth, so whatever
      level they state is wrong there. Regions that match Holm's decisions and cover all
      differences at once are known, but say no more than "not 0" about rejected contrasts unless
      all are rejected [2]_ [3]_.
    - With p from another test (mid-p McNemar, sign-flip), p alone decides, the error rate of
      the decisions is Holm's, and near the limit the two may disagree, which a warning says.

    References:
        .. [1] Holm, S. (1979). A simple sequentially rejective multiple test procedure.
           Scandinavian Journal of Statistics 6, 65-70.
        .. [2] Strassburger, K., Bretz, F. (2008). Compatible simultaneous lower confidence
           bounds for the Holm procedure and other Bonferroni-based closed tests. Statistics in
           Medicine 27, 4914-4927.
        .. [3] Guilbaud, O. (2008). Simultaneous confidence regions corresponding to Holm's
           step-down procedure and other closed-testing procedures. Biometrical Journal 50,
           678-692.

    Example:
        >>> from quantrial.stats import score_flips
        >>> scores = [score_flips(9, 1, n=100), score_flips(4, 3, n=100)]
        >>> p_values = [one.test().p_value for one in scores]
        >>> [one.high < 0 for one in holm_intervals(scores, p_values)]
        [True, False]
    """
    level = checked_level(alpha, "alpha")
    within = holm(p_values)
    p = np.asarray(p_values, dtype=np.float64)
    decided = within if adjusted is None else np.asarray(adjusted, dtype=np.float64)
    if not p.size == decided.size == len(scores):
        raise StatisticsError(
            f"{len(scores)} score(s), {p.size} p-value(s) and {decided.size} adjusted one(s) were "
            "given; one each a contrast is needed"
        )
    known = int((~np.isnan(p)).sum())
    size = known if family is None else family
    intervals, at_odds = [], 0
    for score, raw, final in zip(scores, p.tolist(), decided.tolist(), strict=True):
        whole = 1.0 - level / max(size, 1)
        if math.isnan(raw):
            intervals.append(Interval(math.nan, math.nan, whole, score.method))
            continue
        rejected = final < level
        interval = score.interval(whole)
        if rejected and (split := split_of(raw, level, size)) < size:
            narrowed = score.interval(1.0 - level / split)
            interval = without_level(narrowed) if excludes_zero(narrowed) else interval
        at_odds += not math.isnan(interval.low) and excludes_zero(interval) != rejected
        intervals.append(interval)
    if at_odds:
        warnings.warn(
            f"{at_odds} of {size} intervals and Holm's decision disagree about 0; take p and "
            "interval from one construction (`score.test()`), or report the decision by p",
            StatisticsWarning,
            stacklevel=2,
        )
    return intervals


def excludes_zero(interval: Interval) -> bool:
    """Whether 0 lies outside an interval; not outside one that is NaN."""
    return interval.low > 0.0 or interval.high < 0.0


def split_of(p: float, alpha: float, family: int) -> int:
    """Return the largest share of alpha, up to the whole family's, at which p still rejects."""
    return next((k for k in range(family, 1, -1) if p * k < alpha), 1)


def without_level(interval: Interval) -> Interval:
    """Return an interval that was narrowed until it left out 0: it has no confidence (NaN)."""
    return dataclasses.replace(interval, confidence=math.nan)
