"""Which statistic answers which question, in `calibrated`: methods that keep their promise.

Intervals and tests of equivalence come from one construction, Tango's score method, which works
with few changed answers and with none; see `docs/methods.md` for what was simulated.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from quantrial.analysis.methods import (
    MOST_DRAWS,
    MOST_ITEMS,
    POWER,
    QUESTIONS,
    Contrast,
    Methods,
    items_from_spread,
)
from quantrial.errors import InsufficientDataError, StatisticsWarning
from quantrial.stats import (
    EquivalenceResult,
    Estimate,
    Interval,
    MarginQuestion,
    PairedScore,
    Question,
    TestResult,
    cluster_variance,
    clusters_for_score,
    holm,
    holm_intervals,
    items_for_flips,
    items_for_score,
    mcnemar,
    score_flips,
    score_ratios,
    sign_flip,
    wilson,
)
from quantrial.stats.error.multiplicity import excludes_zero, split_of, without_level
from quantrial.stats.power.flip_items import planning_rates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_REFUSED = "refused"  # too few clusters to speak for others
_LEAST_TO_PLAN = 2  # items: one alone says nothing of how they vary


class Calibrated(Methods):
    """Score intervals and tests; McNemar's mid-p and the sign-flip test for a difference.

    Fixed strata lessen the error ("these subjects"); random clusters raise it ("subjects like
    these"). Below five clusters nothing is claimed over them: interval and tests are NaN, and a
    warning says why.
    """

    name = "calibrated"

    @functools.cached_property
    def _scores(self) -> dict[tuple[int, int, int], PairedScore]:
        return {}  # by reference, candidate and endpoint

    def arm(self, arm: str, endpoint: str) -> Estimate:
        """Estimate one arm on the items it answered; over clusters, of those like these."""
        mask, (a,), e = self.panel.locate((arm,), endpoint)
        n, confidence = int(mask.sum()), 1.0 - self.alpha
        top, bottom = (sums[:, 0] for sums in self.panel.scores(mask, (a,), e))
        measure, clusters = self.panel.endpoints[e], self.panel.clusters
        if measure.type == "proportion" and clusters is None:
            return wilson(round(float(top.sum())), n, confidence=confidence)
        if bottom.sum() == 0.0:
            return Estimate(math.nan, Interval(math.nan, math.nan, confidence, "score"), n)
        # a ratio is its difference from an arm that always has the least value, or nothing
        least, nothing, one = measure.low or 0.0, np.zeros(n), np.ones(n)
        ask = functools.partial(
            score_ratios,
            np.stack([nothing, top - least * bottom]).T,
            np.stack([one, bottom]).T,
            support=measure.span,
        )
        try:
            score = ask() if clusters is None else ask(clusters=clusters[mask])
        except InsufficientDataError as exc:
            warnings.warn(f"{exc}. No interval is given", StatisticsWarning, stacklevel=2)
            nowhere = Interval(math.nan, math.nan, confidence, _REFUSED)
            return Estimate(ask().estimate + least, nowhere, n)
        interval = score.interval(confidence)
        low, high = interval.low + least, interval.high + least
        # NaN stays NaN: it comes first
        low = low if measure.low is None else max(low, measure.low)
        high = high if measure.high is None else min(high, measure.high)
        return Estimate(score.estimate + least, Interval(low, high, confidence, score.method), n)

    def contrast(
        self, reference: str, candidate: str, endpoint: str, *, brief: bool = False
    ) -> Contrast:
        """Estimate candidate minus reference on the items both answered; positive is a gain."""
        mask, (r, c), e = self.panel.locate((reference, candidate), endpoint)
        top, bottom = self.panel.pair(mask, (r, c), e)
        score = self._scores[r, c, e] = self._grouped(mask, top, bottom, e)
        refused = score.method == _REFUSED
        nan, level = math.nan, 1.0 - self.alpha
        nothing = Interval(nan, nan, level, score.method)
        if math.isnan(score.estimate) or refused:
            if not refused:  # an arm with a ratio of nothing: no value to compare
                warnings.warn(
                    "an arm has no ratio (its denominator is 0 throughout), so it is not compared",
                    StatisticsWarning,
                    stacklevel=2,
                )
            return Contrast(
                reference, candidate, score.estimate, nothing, nan, "none", score.n, nan
            )
        test = self._difference(mask, top, bottom, (r, c, e))
        clusters = None if self.panel.clusters is None else self.panel.clusters[mask]
        return Contrast(
            reference,
            candidate,
            score.estimate,
            nothing if brief else self._possible(score.interval(level), e),
            test.p_value,
            test.method,
            score.n,
            nan if brief else spread(top, bottom, clusters),
            score.clusters,
        )

    def equivalence(
        self, reference: str, candidate: str, endpoint: str, margin: float
    ) -> EquivalenceResult:
        """Test candidate minus reference against both margins."""
        score, e = self._score(reference, candidate, endpoint)
        with warnings.catch_warnings():
            if score.method == _REFUSED:  # which was said when it was
                warnings.simplefilter("ignore", StatisticsWarning)
            found = score.equivalence(margin, self.alpha)
        return dataclasses.replace(found, interval=self._possible(found.interval, e))

    def lower_bound(
        self, reference: str, candidate: str, endpoint: str, *, among: int = 1
    ) -> float:
        """Return the lower end of the interval of a one-sided test at alpha / `among`."""
        score, e = self._score(reference, candidate, endpoint)
        return self._possible(score.interval(1.0 - 2.0 * self.alpha / among), e).low

    def _score(self, reference: str, candidate: str, endpoint: str) -> tuple[PairedScore, int]:
        """Return the evidence on a contrast, made once, and the endpoint's column."""
        mask, (r, c), e = self.panel.locate((reference, candidate), endpoint)
        if (r, c, e) not in self._scores:
            self._scores[r, c, e] = self._grouped(mask, *self.panel.pair(mask, (r, c), e), e)
        return self._scores[r, c, e], e

    def _possible(self, interval: Interval, endpoint: int) -> Interval:
        """Cut an interval to the differences that two arms can have; NaN stays NaN."""
        widest = self.panel.endpoints[endpoint].widest
        low, high = max(interval.low, -widest), min(interval.high, widest)
        return dataclasses.replace(interval, low=low, high=high)

    def simultaneous(
        self,
        contrasts: Sequence[Contrast],
        endpoint: str,
        *,
        adjusted: Sequence[float] | None = None,
        family: int | None = None,
    ) -> list[Interval]:
        """Widen intervals to the size of their family, so that they match its decisions.

        Where a difference is decided on and the interval still holds 0 (because others fell first,
        or because p and interval come from two constructions), the widest interval of confidence
        1 - alpha / k, for a smaller whole k, that leaves 0 out is taken; it has no confidence of
        its own.
        """
        scores, e = [], 0
        for one in contrasts:
            _, (r, c), e = self.panel.locate((one.reference, one.candidate), endpoint)
            scores.append(self._scores[r, c, e])
        p_values = [one.p_value for one in contrasts]
        decided = holm(p_values).tolist() if adjusted is None else adjusted
        size = sum(not math.isnan(p) for p in p_values) if family is None else family
        with warnings.catch_warnings():
            # what carries no interval was said of the contrast; where the two still disagree about
            # 0, the summary says so in its own words
            warnings.simplefilter("ignore", StatisticsWarning)
            intervals = holm_intervals(
                scores, p_values, alpha=self.alpha, adjusted=decided, family=size
            )
        narrowed = [
            self._narrowed(interval, score, size) if p < self.alpha else interval
            for interval, score, p in zip(intervals, scores, decided, strict=True)
        ]
        return [self._possible(interval, e) for interval in narrowed]

    def _narrowed(self, interval: Interval, score: PairedScore, family: int) -> Interval:
        """Return the widest interval that leaves 0 out; as it was where none does."""
        if not interval.low <= 0.0 <= interval.high:  # NaN too
            return interval
        # the interval of confidence 1 - alpha / k leaves 0 out where its own p is below alpha / k
        split = split_of(score.test().p_value, self.alpha, family)
        less = score.interval(1.0 - self.alpha / split)
        return without_level(less) if excludes_zero(less) else interval

    def items_needed(
        self,
        contrast: Contrast,
        endpoint: str,
        margin: float | None,
        *,
        family: int,
        margins: int = 1,
    ) -> dict[str, int | None]:
        """Plan proportions from their rates of flips, by enumeration; else by approximation.

        What the tests at the margin need follows from the tests themselves, a difference from the
        spread. Over clusters, clusters are counted, and their items at the mean size.
        """
        mask, (r, c), e = self.panel.locate((contrast.reference, contrast.candidate), endpoint)
        difference, at_margin = self.alpha / family, self.alpha / margins
        if contrast.n < _LEAST_TO_PLAN:
            return dict.fromkeys(QUESTIONS)
        if self.panel.clusters is not None:
            return self._items_of_clusters(
                self._scores[r, c, e], margin, (at_margin, at_margin, difference)
            )
        top, bottom = self.panel.pair(mask, (r, c), e)
        # a mean of scores that are all 0 or 1 is a proportion, whatever its name
        binary = self.panel.endpoints[e].span == 1.0 and bool(
            np.isin(top, (0.0, 1.0)).all() and (bottom == 1.0).all()
        )
        if margin is None or not binary:
            found = items_from_spread(contrast, None, alpha=self.alpha, family=family)
            return found | self._items_of_score(self._scores[r, c, e], margin, at_margin)
        harmful, beneficial = planning_rates(*_flips(top), len(top))

        def items(question: Question) -> int | None:
            level = difference if question == "difference" else at_margin
            return _items(harmful, beneficial, question, margin, level)

        return {
            "equivalence": items("equivalent"),
            "non_inferiority": items("non_inferior"),
            "difference": items("difference"),
        }

    def _items_of_score(
        self, score: PairedScore, margin: float | None, alpha: float
    ) -> dict[str, int | None]:
        found: dict[str, int | None] = {}
        # where no item changed there is no spread to plan from
        if margin is None or math.isnan(score.estimate) or not score.changed:
            return found
        asked: tuple[tuple[str, MarginQuestion], ...] = (
            ("equivalence", "equivalent"),
            ("non_inferiority", "non_inferior"),
        )
        for name, question in asked:
            items = items_for_score(score, margin, question=question, power=POWER, alpha=alpha)
            found[name] = items if items and items <= MOST_ITEMS else None
        return found

    def _items_of_clusters(
        self, score: PairedScore, margin: float | None, alphas: tuple[float, float, float]
    ) -> dict[str, int | None]:
        found: dict[str, int | None] = dict.fromkeys(QUESTIONS)
        if score.clusters is None or not score.changed:  # refused; or nothing to plan from
            return found
        asked: tuple[Question, ...] = ("equivalent", "non_inferior", "difference")
        for name, question, alpha in zip(QUESTIONS, asked, alphas, strict=True):
            if margin is None and question != "difference":
                continue
            groups = clusters_for_score(score, margin, question=question, power=POWER, alpha=alpha)
            items = None if groups is None else math.ceil(groups * score.n / score.clusters)
            found[name] = items if items and items <= MOST_ITEMS else None
        return found

    def _difference(
        self,
        mask: NDArray[np.bool_],
        top: NDArray[np.float64],
        bottom: NDArray[np.float64],
        where: tuple[int, int, int],
    ) -> TestResult:
        if self.panel.clusters is not None:
            # p and interval of one construction: the signs of five clusters have no p below .0625
            return self._scores[where].test()
        if self.panel.endpoints[where[2]].type == "proportion":
            return mcnemar(*_flips(top), n=len(top), method="midp")
        return sign_flip(
            top,
            bottom,
            rng=np.random.default_rng([*self.seed, *where]),
            resamples=self.resamples,
            most=0 if self.panel.endpoints[where[2]].name == self.primary else MOST_DRAWS,
        )

    def _grouped(
        self,
        mask: NDArray[np.bool_],
        top: NDArray[np.float64],
        bottom: NDArray[np.float64],
        endpoint: int,
    ) -> PairedScore:
        """Score with clusters or strata; a warning where clusters are too few."""
        panel = self.panel
        support = panel.endpoints[endpoint].span
        score = functools.partial(score_ratios, top, bottom, support=support, empty=math.nan)
        strata = None if panel.strata is None else panel.strata[mask]
        if panel.clusters is not None:
            try:
                return score(clusters=panel.clusters[mask])
            except InsufficientDataError as exc:
                # never silently items or strata instead: the study asks about groups like these
                warnings.warn(f"{exc}. Nothing is claimed", StatisticsWarning, stacklevel=4)
                return dataclasses.replace(score(), method=_REFUSED, _null=None)
        if strata is not None:
            return score(strata=strata)
        if panel.endpoints[endpoint].type == "proportion":
            # the same method, from two counts in place of n influences
            return score_flips(*_flips(top), n=len(top))
        return score()


@functools.lru_cache(maxsize=4096)  # strata of one size share their few rates of flips
def _items(
    harmful: float, beneficial: float, question: Question, margin: float, alpha: float
) -> int | None:
    return items_for_flips(
        harmful, beneficial, question=question, margin=margin, power=POWER, alpha=alpha
    )


def _flips(right: NDArray[np.float64]) -> tuple[int, int]:
    """Count harmful and beneficial flips in scores of 0 and 1, reference and candidate."""
    before, after = right[:, 0] > 0.5, right[:, 1] > 0.5
    return int((before & ~after).sum()), int((after & ~before).sum())


def influences(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return each item's influence on the difference of two ratios of sums, about 0 on average.

    Args:
        top: numerators, shape (items, 2): reference, candidate.
        bottom: denominators, same shape.

    Returns:
        Shape (items,); None where an arm has a ratio of nothing.
    """
    sums = bottom.sum(axis=0)
    if (sums == 0.0).any():
        return None
    parts = len(top) * (top - top.sum(axis=0) / sums * bottom) / sums
    found: NDArray[np.float64] = parts[:, 1] - parts[:, 0]
    return found


def spread(
    top: NDArray[np.float64], bottom: NDArray[np.float64], clusters: NDArray[np.str_] | None
) -> float:
    """Return the spread of a paired difference: of changes, or of influences on the ratio.

    Over clusters it is the standard error of the estimate, as if items were independent; NaN where
    they are too few to know one.
    """
    n = len(top)
    if n < 2:
        return math.nan
    shares = influences(top, bottom)
    if shares is None:
        return math.nan
    if clusters is None:
        return float(shares.std(ddof=1))
    try:
        found = cluster_variance(shares, clusters)
    except InsufficientDataError:
        return math.nan
    return math.sqrt(max(found.variance, found.item_level) * n)
