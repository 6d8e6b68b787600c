"""Clusters that the tests over clusters need, if the truth is as seen in a sample of them."""

import dataclasses
import math
from collections.abc import Callable

from numpy.typing import ArrayLike

from quantrial.errors import StatisticsError
from quantrial.stats._checks import (
    checked_float,
    checked_level,
    checked_margin,
    checked_vector,
)
from quantrial.stats._null_variance import Null
from quantrial.stats._numerics import special
from quantrial.stats.clusters import FEWEST_CLUSTERS, freedom_of_sizes
from quantrial.stats.power.flips import Question, checked_question
from quantrial.stats.power.items import smallest_count
from quantrial.stats.score import PairedScore


def clusters_for_score(
    score: PairedScore,
    margin: float | None = None,
    *,
    question: Question,
    power: float = 0.8,
    alpha: float = 0.05,
) -> int | None:
    """Count the clusters with which a test over clusters answers yes with this power.

    The true difference, the variance between clusters and their sizes are taken to be those of
    `score`; what grows is the number of clusters, and with it the degrees of freedom of the test.

    Args:
        score: the evidence of a sample in clusters (a pilot), candidate minus reference.
        margin: the largest difference that still counts as the same, above 0; not asked of a
            difference.
        question: `difference` (two-sided at alpha), `non_inferior` or `equivalent` (one-sided).
        power: chance of a yes, in (0, 1).
        alpha: level of the test.

    Returns:
        The number of clusters, at least 5: below that nothing is claimed over them. None where no
        number will do (no difference was seen; the estimate lies at or beyond the margin), and
        where the sample carries no test.

    Raises:
        StatisticsError: for a score without clusters, an unknown question, a question about a
            margin without one, or a margin, power or alpha out of range.

    The statistic is taken as noncentral t [1]_; that its variance differs under the tested and the
    true difference is allowed for.

    References:
        .. [1] Donner, A., Klar, N. (1996). Statistical considerations in the design and analysis
           of community intervention trials. Journal of Clinical Epidemiology 49, 435-439.

    Example:
        >>> from quantrial.stats import score_ratios
        >>> clusters = [number // 2 for number in range(48)]
        >>> right = [[1, 1], [1, 0], [0, 0], [1, 1], [0, 1], [1, 0]] * 8
        >>> found = score_ratios(right, [[1, 1]] * 48, clusters=clusters)
        >>> clusters_for_score(found, question="difference")
        75
    """
    target = checked_level(power, "power")
    chance = _chance(score, margin, question, alpha)
    if chance is None or not _possible(score.estimate, margin, question):
        return None
    return smallest_count(lambda groups: groups >= FEWEST_CLUSTERS and chance(groups) >= target)


def score_power_over_clusters(
    score: PairedScore,
    clusters: float,
    margin: float | None = None,
    *,
    question: Question,
    alpha: float = 0.05,
) -> float:
    """Approximate the power of a test over clusters, as `clusters_for_score` does.

    Args:
        score: the evidence of a sample in clusters (a pilot), candidate minus reference.
        clusters: how many of these a study has; below 5 nothing is claimed over them.
        margin: the largest difference that still counts as the same, above 0; not asked of a
            difference.
        question: `difference` (two-sided at alpha), `non_inferior` or `equivalent` (one-sided).
        alpha: level of the test.

    Returns:
        The chance of a yes, 0 below 5 clusters. NaN where the sample carries no test.

    Raises:
        StatisticsError: as for `clusters_for_score`.

    Reference as for `clusters_for_score`.

    Example:
        >>> from quantrial.stats import score_ratios
        >>> clusters = [number // 2 for number in range(48)]
        >>> right = [[1, 1], [1, 0], [0, 0], [1, 1], [0, 1], [1, 0]] * 8
        >>> found = score_ratios(right, [[1, 1]] * 48, clusters=clusters)
        >>> round(score_power_over_clusters(found, 60, question="difference"), 2)
        0.7
    """
    chance = _chance(score, margin, question, alpha)
    if chance is None:
        return math.nan
    return 0.0 if clusters < FEWEST_CLUSTERS else min(1.0, max(0.0, chance(clusters)))


def in_clusters(score: PairedScore, icc: float, sizes: ArrayLike) -> PairedScore:
    """Say what the evidence of items taken as independent would be of items in such clusters.

    To plan a study over clusters from a sample without them, or at another intraclass correlation
    than a sample happened to have.

    Args:
        score: the evidence of items taken as independent.
        icc: intraclass correlation of the paired differences, 0 to below 1.
        sizes: shape (clusters,), items of each, above 0; at least 2.

    Returns:
        The evidence of as many items as the clusters hold: the item-level variance times the
        design effect 1 + (m - 1) icc, m the size of the cluster of a typical item [1]_, on the
        degrees of freedom that `cluster_variance` has for such sizes. Where fewer than about 20
        right-or-wrong answers flip, power from it is a lower bound: so few fall singly on clusters,
        and the test sees less spread than the design effect says. `flip_clusters` draws studies.

    Raises:
        StatisticsError: for a score that has clusters already, a correlation out of range, sizes
            of 0 or below, or fewer than 2.

    References:
        .. [1] Donner, A., Klar, N. (1996). Statistical considerations in the design and analysis
           of community intervention trials. Journal of Clinical Epidemiology 49, 435-439.

    Example:
        >>> from quantrial.stats import score_flips
        >>> alone = score_flips(9, 1, n=100).interval()
        >>> grouped = in_clusters(score_flips(9, 1, n=100), 0.1, [5] * 20).interval()
        >>> grouped.low < alone.low
        True
    """
    rho = checked_float(icc, "icc")
    if not 0.0 <= rho < 1.0:
        raise StatisticsError(f"icc is {icc!r}; a correlation from 0 to below 1 is needed")
    if score.clusters is not None:
        raise StatisticsError("the score is over clusters already; give one without them")
    held = checked_vector(sizes, "sizes")
    if held.size < _LEAST or not (held > 0.0).all():
        raise StatisticsError(
            f"{held.size} size(s) of clusters were given, the least "
            f"{held.min(initial=math.inf):g}; at least 2 are needed, all above 0"
        )
    items = float(held.sum())
    effect = 1.0 + max(0.0, float((held**2).sum()) / items - 1.0) * rho
    known, scale = score._null, score.n / items

    def null(mean: float) -> Null:
        return Null(effect * scale * known(mean).variance if known else math.nan)

    return dataclasses.replace(
        score,
        n=round(items),
        clusters=held.size,
        df=freedom_of_sizes(held),
        method="score-clusters",
        _null=None if known is None else null,
        _correction=score._correction * scale,
    )


def _possible(true: float, margin: float | None, question: Question) -> bool:
    """Whether any number of clusters would show it, if this is the true difference."""
    if question == "difference":
        return true != 0.0
    bound = math.nan if margin is None else margin
    return true > -bound and (question != "equivalent" or true < bound)


Chance = Callable[[float], float]

_LEAST = 2  # clusters that have a spread
_HALVINGS = 30


def _chance(
    score: PairedScore, margin: float | None, question: Question, alpha: float
) -> Chance | None:
    """Return the chance of a yes by the number of clusters; None where there is no test."""
    if score.clusters is None:
        raise StatisticsError("the score knows no clusters; plan items with items_for_score")
    bound, true = checked_question(question, margin, alpha), score.estimate
    if score._null is None:
        return None
    if bound is None:
        level, at_zero = alpha / 2.0, _tail(score, 0.0)
        return lambda groups: at_zero(groups, true, level) + at_zero(groups, -true, level)
    below, above = _tail(score, -bound), _tail(score, bound)
    if question == "non_inferior":
        return lambda groups: below(groups, bound + true, alpha)
    return lambda groups: (
        below(groups, bound + true, alpha) + above(groups, bound - true, alpha) - 1.0
    )


def _tail(score: PairedScore, null: float) -> Callable[[float, float, float], float]:
    """Return the chance that so many clusters reject `null`, which lies so far from the truth."""
    known, groups = score._null, score.clusters
    if known is None or groups is None:
        return lambda *_: 0.0
    # of a single cluster, under the tested and the true difference
    tested, true = (math.sqrt(groups * known(value).variance) for value in (null, score.estimate))
    correction, freedom = score._correction * groups, score.df / (groups - 1)
    functions = special()

    def chance(more: float, distance: float, level: float) -> float:
        df = freedom * (more - 1)
        reach = math.sqrt(more) * (distance - correction / more)
        critical = float(functions.stdtrit(df, 1.0 - level)) * tested
        if true <= 0.0:
            return float(reach > critical)
        return 1.0 - float(functions.nctdtr(df, reach / true, critical / true))

    return chance


def cluster_power(
    sd: float,
    difference: float,
    clusters: float,
    margin: float | None = None,
    *,
    question: Question,
    alpha: float = 0.05,
) -> float:
    """Compute the power of a t test over clusters of one size.

    Args:
        sd: standard deviation of a cluster's mean difference, above 0: of items with standard
            deviation s and intraclass correlation r, m a cluster, s sqrt((1 + (m - 1) r) / m).
        difference: the true one, candidate minus reference.
        clusters: how many, at least 2.
        margin: the largest difference that still counts as the same; not asked of a difference.
        question: `difference` (two-sided at alpha), `non_inferior` or `equivalent` (one-sided).
        alpha: level of the test.

    Returns:
        The chance of a yes, from the noncentral t (equivalence: the two tests' less one, at
        least 0).

    Raises:
        StatisticsError: for a spread, margin or alpha out of range, or fewer than 2 clusters.

    Reference as for `clusters_for_score`.

    Example:
        >>> round(cluster_power(0.3, 0.2, 20, question="difference"), 2)
        0.81
    """
    if not (math.isfinite(sd) and sd > 0.0 and clusters >= _LEAST):
        raise StatisticsError(f"sd is {sd!r} over {clusters!r} clusters; above 0, at least 2")
    functions, df = special(), clusters - 1.0
    error = sd / math.sqrt(clusters)

    def beyond(distance: float, level: float) -> float:
        critical = float(functions.stdtrit(df, 1.0 - level))
        return 1.0 - float(functions.nctdtr(df, distance / error, critical))

    bound = checked_question(question, margin, alpha)
    if bound is None:
        return beyond(difference, alpha / 2.0) + beyond(-difference, alpha / 2.0)
    found = beyond(bound + difference, alpha)
    if question == "equivalent":
        found += beyond(bound - difference, alpha) - 1.0
    return max(0.0, found)


def clusters_for_spread(
    sd: float,
    difference: float,
    margin: float | None = None,
    *,
    question: Question,
    power: float = 0.8,
    alpha: float = 0.05,
) -> int | None:
    """Count the clusters with which `cluster_power` reaches a power.

    Args:
        sd: standard deviation of a cluster's mean difference, above 0.
        difference: the true one, candidate minus reference.
        margin: the largest difference that still counts as the same; not asked of a difference.
        question: as for `cluster_power`.
        power: chance of a yes, in (0, 1).
        alpha: level of the test.

    Returns:
        The clusters, at least 5. None where no number will do.

    Raises:
        StatisticsError: for a spread, margin, power or alpha out of range.

    Reference as for `clusters_for_score`.

    Example:
        >>> clusters_for_spread(0.3, 0.2, question="difference")
        20
    """
    target = checked_level(power, "power")
    if question != "difference":
        checked_margin(math.nan if margin is None else margin)
    if not _possible(difference, margin, question):
        return None

    def enough(groups: int) -> bool:
        if groups < FEWEST_CLUSTERS:
            return False
        found = cluster_power(sd, difference, groups, margin, question=question, alpha=alpha)
        return found >= target

    return smallest_count(enough)


def detectable_over_clusters(
    sd: float, clusters: float, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Find the true difference that a two-sided test over clusters finds with this power.

    Args:
        sd: standard deviation of a cluster's mean difference, above 0.
        clusters: how many, at least 2.
        power: chance of finding it, in (0, 1).
        alpha: two-sided level, in (0, 1).

    Returns:
        The difference, above 0.

    Raises:
        StatisticsError: for a spread, power or alpha out of range, or fewer than 2 clusters.

    Reference as for `clusters_for_score`.

    Example:
        >>> round(detectable_over_clusters(0.3, 20), 2)
        0.2
    """
    target = checked_level(power, "power")
    low, high = 0.0, sd
    while cluster_power(sd, high, clusters, question="difference", alpha=alpha) < target:
        high *= 2.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        found = cluster_power(sd, middle, clusters, question="difference", alpha=alpha)
        low, high = (low, middle) if found >= target else (middle, high)
    return high
