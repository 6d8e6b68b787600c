"""Adjust p-values and intervals for the number of questions asked of one family."""

import dataclasses
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats._checks import checked_level
from quantrial.stats.results import Interval
from quantrial.stats.score import PairedScore


def checked_p_values(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values, one a contrast, each in [0, 1] or NaN."""
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise StatisticsError(f"p_values has shape {p.shape}; one p-value a contrast is needed")
    known = p[~np.isnan(p)]
    if ((known < 0.0) | (known > 1.0)).any():
        raise StatisticsError(
            f"p_values range from {known.min()} to {known.max()}; each must lie in [0, 1] or be NaN"
        )
    return p


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values by Holm's step-down method, which controls the family-wise error rate.

    Args:
        p_values: shape (m,), one a contrast, each in [0, 1] or NaN.

    Returns:
        Shape (m,), in the order given. NaN (a contrast that could not be tested) stays NaN and
        does not count towards the size of the family. An empty family gives an empty array.

    Raises:
        StatisticsError: for a p-value outside [0, 1] or a shape other than (m,).

    Holds under any dependence between the tests [1]_.

    References:
        .. [1] Holm, S. (1979). A simple sequentially rejective multiple test procedure.
           Scandinavian Journal of Statistics 6, 65-70.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    p = checked_p_values(p_values)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


@dataclass(frozen=True, slots=True)
class FamilyUnit:
    """Questions that together take one share of alpha.

    `p_values` are adjusted among themselves by Holm's method; with a `gate` they are asked only
    once its own p has been low enough. A gate of None or NaN (it could not be tested) is none.
    """

    p_values: tuple[float, ...]
    gate: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AdjustedUnit:
    """The adjusted p-values of a unit, in its order; `gate` is NaN where there is none."""

    p_values: NDArray[np.float64]
    gate: float


def holm_in_units(units: Sequence[FamilyUnit]) -> list[AdjustedUnit]:
    """Adjust p-values of one family that is made of units, by Holm's method over the units.

    Every unit is tested at alpha over the number of units that still hold a question not
    rejected. Within a unit the gate comes first, then the others by Holm's method at the unit's
    level. Only a unit all of whose questions were rejected passes its share on to the others.

    Args:
        units: the family; a unit of one p-value without a gate is a question on its own.

    Returns:
        For each unit its adjusted p-values: the smallest alpha at which the procedure rejects,
        at most 1. NaN (a question that could not be tested) stays NaN and does not count; nor does
        a unit of nothing else.

    Raises:
        StatisticsError: for a p-value outside [0, 1].

    Controls the family-wise error rate under any dependence [1]_ [2]_: up to the first false
    rejection only units without a true null have passed their share on, so each of the m units
    with one is tested at no more than alpha / m, and makes its first false rejection with no more
    than that chance: at its gate, or, where the gate is false, by Holm's method. Of units of one
    question it is Holm's method itself.

    References:
        .. [1] Dmitrienko, A., Offen, W. W., Westfall, P. H. (2003). Gatekeeping strategies for
           clinical trials that do not require all primary effects to be significant. Statistics
           in Medicine 22, 2387-2400.
        .. [2] Bretz, F., Maurer, W., Brannath, W., Posch, M. (2009). A graphical approach to
           sequentially rejective multiple test procedures. Statistics in Medicine 28, 586-604.

    Example:
        >>> units = [FamilyUnit((0.01, 0.02)), FamilyUnit((0.03,))]
        >>> [one.p_values.tolist() for one in holm_in_units(units)]
        [[0.04, 0.04], [0.04]]
    """
    within = [_within(unit) for unit in units]
    last = [_largest(one) for one in within]  # the share of alpha at which a unit is done with
    adjusted = []
    for place, unit in enumerate(within):
        others = sorted(q for i, q in enumerate(last) if i != place and not math.isnan(q))
        adjusted.append(
            AdjustedUnit(
                np.array([_over_units(q, others) for q in unit.p_values.tolist()]),
                _over_units(unit.gate, others),
            )
        )
    return adjusted


def _within(unit: FamilyUnit) -> AdjustedUnit:
    """Adjust a unit as if it were alone."""
    gate = math.nan if unit.gate is None else float(checked_p_values([unit.gate])[0])
    inside = holm(unit.p_values)
    return AdjustedUnit(inside if math.isnan(gate) else np.maximum(inside, gate), gate)


def _largest(unit: AdjustedUnit) -> float:
    known = [q for q in (*unit.p_values.tolist(), unit.gate) if not math.isnan(q)]
    return max(known, default=math.nan)


def _over_units(q: float, others: Sequence[float]) -> float:
    """Return the smallest alpha at which a question is rejected after some other units are."""
    if math.isnan(q):
        return q
    count = len(others) + 1
    lowest, done = 1.0, 0.0
    for k in range(count):  # the k other units with the lowest p are done with
        lowest = min(lowest, max(done, (count - k) * q))
        if k < len(others):
            done = max(done, (count - k) * others[k])
    return lowest


def fixed_sequence(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values of questions asked in a fixed order, each only if all before held.

    Args:
        p_values: shape (m,), in the order of asking ("non-inferior", then "equivalent").

    Returns:
        Shape (m,): the largest p so far. From the first NaN on, NaN: the gate was not passed.

    Raises:
        StatisticsError: for a p-value outside [0, 1] or a shape other than (m,).

    Controls the family-wise error rate under any dependence, without splitting alpha [1]_,
    provided the order was fixed before the data were seen.

    References:
        .. [1] Maurer, W., Hothorn, L. A., Lehmacher, W. (1995). Multiple comparisons in drug
           clinical trials and preclinical assays: a-priori ordered hypotheses. In: Biometrie in
           der chemisch-pharmazeutischen Industrie 6, 3-18. Fischer.

    Example:
        >>> fixed_sequence([0.01, 0.04, 0.02]).tolist()
        [0.01, 0.04, 0.04]
    """
    return np.maximum.accumulate(checked_p_values(p_values))


def intersection_union(p_values: ArrayLike) -> float:
    """Combine p-values into one for "all of the claims hold" (no task loses the margin).

    Args:
        p_values: shape (m,), at least one, one a claim.

    Returns:
        The largest p-value, which needs no adjustment [1]_; NaN if any claim could not be
        tested.

    Raises:
        StatisticsError: for a p-value outside [0, 1], another shape, or no p-value.

    References:
        .. [1] Berger, R. L. (1982). Multiparameter hypothesis testing and acceptance sampling.
           Technometrics 24, 295-300.

    Example:
        >>> intersection_union([0.01, 0.04, 0.03])
        0.04
    """
    p = checked_p_values(p_values)
    if p.size == 0:
        raise StatisticsError("no p-value was given; a claim about all of none says nothing")
    return float(p.max())


def worse_on_any(p_values: ArrayLike) -> float:
    """Combine p-values into one for "at least one of the claims holds" (a loss on some task).

    Args:
        p_values: shape (m,), at least one: for each task the p of its own claim (the candidate
            is worse on it), each in [0, 1] or NaN.

    Returns:
        The adjusted minimum: the smallest p times the number of tasks, at most 1. It is the
        smallest of Holm's adjusted p-values, so whenever it is below alpha, Holm names the
        task. NaN (a task that could not be tested) does not count; NaN where none could.

    Raises:
        StatisticsError: for a p-value outside [0, 1], another shape, or no p-value.

    Controls the error rate under any dependence between the tasks, by Bonferroni's
    inequality [1]_ [2]_. It is the other half of `intersection_union`: "on every task" needs
    every claim and no adjustment, "on some task" needs one claim and pays for having looked at
    all.

    References:
        .. [1] Dunn, O. J. (1961). Multiple comparisons among means. Journal of the American
           Statistical Association 56, 52-64.
        .. [2] Holm, S. (1979). A simple sequentially rejective multiple test procedure.
           Scandinavian Journal of Statistics 6, 65-70.

    Example:
        >>> worse_on_any([0.01, 0.04, 0.03])
        0.03
    """
    p = checked_p_values(p_values)
    if p.size == 0:
        raise StatisticsError("no p-value was given; a claim about any of none says nothing")
    known = p[~np.isnan(p)]
    return min(1.0, float(known.min()) * known.size) if known.size else float("nan")


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
