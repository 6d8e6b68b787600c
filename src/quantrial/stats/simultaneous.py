"""Intervals for a family of contrasts that tell the same story as Holm's decisions."""

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
    scores: Sequence[PairedScore], p_values: ArrayLike, *, alpha: float = 0.05
) -> list[Interval]:
    """Return one interval a contrast, which excludes 0 where Holm's method rejects no difference.

    Bonferroni's interval, of confidence 1 - alpha / m for m contrasts, wherever Holm and
    Bonferroni decide alike. A contrast that only Holm rejects, because others fell before it,
    gets the highest confidence 1 - alpha / k, for whole k below m, at which its p still
    rejects: at least that of the step at which Holm rejected it [1]_.

    Args:
        scores: the evidence on each of m contrasts, candidate minus reference.
        p_values: shape (m,), the two-sided p of no difference of each, not adjusted; NaN for one
            that could not be tested.
        alpha: the family-wise error rate, in (0, 1).

    Returns:
        One interval a contrast, in the order given, each stating its own confidence. A contrast
        with p NaN does not count towards m, and its interval is NaN.

    Raises:
        StatisticsError: for lengths that differ, a p-value outside [0, 1], or an alpha outside
            (0, 1).

    Warns:
        StatisticsWarning: where an interval and Holm's decision disagree, or the data carry no
            interval.

    What holds, under any dependence between the contrasts:

    - Where p and interval come from one construction (`score.test().p_value`), an interval
      excludes 0 exactly when Holm rejects: the adjusted p is below alpha. The chance that any
      interval excludes a true 0 is then at most alpha.
    - All intervals of confidence 1 - alpha / m together cover their true differences with
      chance at least 1 - alpha. One of lower confidence promises that confidence for itself
      alone. Regions that match Holm's decisions and cover all differences at once are known,
      but say no more than "not 0" about rejected contrasts unless all are rejected [2]_ [3]_.
    - With p from another test (mid-p McNemar, sign-flip), p alone decides, the error rate of
      the decisions is Holm's, and each interval keeps its own confidence; near the limit the
      two may disagree, which a warning says.

    References:
        .. [1] Holm, S. (1979). A simple sequentially rejective multiple test procedure.
           Scandinavian Journal of Statistics 6, 65-70.
        .. [2] Strassburger, K., Bretz, F. (2008). Compatible simultaneous lower confidence
           bounds for the Holm procedure and other Bonferroni-based closed tests. Statistics in
           Medicine 27, 4914-4927.
        .. [3] Guilbaud, O. (2008). Simultaneous confidence regions corresponding to Holm's
           step-down procedure and other closed-testing procedures. Biometrical Journal 50,
           678-692.
    """
    level = checked_level(alpha, "alpha")
    adjusted = holm(p_values)
    p = np.asarray(p_values, dtype=np.float64)
    if p.size != len(scores):
        raise StatisticsError(
            f"{len(scores)} score(s) and {p.size} p-value(s) were given; one each a contrast is "
            "needed"
        )
    family = int((~np.isnan(p)).sum())
    intervals, at_odds = [], 0
    for score, raw, final in zip(scores, p.tolist(), adjusted.tolist(), strict=True):
        if math.isnan(raw):
            intervals.append(
                Interval(math.nan, math.nan, 1.0 - level / max(family, 1), score.method)
            )
            continue
        rejected = final < level
        split = _split(raw, level, family) if rejected else family
        interval = score.interval(1.0 - level / split)
        excludes = interval.low > 0.0 or interval.high < 0.0
        at_odds += not math.isnan(interval.low) and excludes != rejected
        intervals.append(interval)
    if at_odds:
        warnings.warn(
            f"{at_odds} of {family} intervals and Holm's decision disagree about 0; take p and "
            "interval from one construction (`score.test()`), or report the decision by p",
            StatisticsWarning,
            stacklevel=2,
        )
    return intervals


def _split(p: float, alpha: float, family: int) -> int:
    """Return the largest share of alpha, up to the whole family's, at which p still rejects."""
    return next((k for k in range(family, 1, -1) if p * k < alpha), 1)
