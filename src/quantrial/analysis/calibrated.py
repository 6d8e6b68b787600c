"""Which statistic answers which question, in `calibrated`: methods that keep their promise.

Intervals and tests of equivalence come from one construction, Tango's score method, which works
with few changed answers and with none; see `docs/methods.md` for what was simulated.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from quantrial.analysis.methods import POWER, Contrast, items_from_spread
from quantrial.errors import InsufficientDataError, StatisticsWarning
from quantrial.stats import (
    EquivalenceResult,
    Estimate,
    Interval,
    PairedScore,
    Question,
    TestResult,
    items_for_flips,
    least_items,
    mcnemar,
    score_ratios,
    sign_flip,
    wilson,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.analysis.outcomes import Panel


class Calibrated:
    """Score intervals and tests; McNemar's mid-p and the sign-flip test for a difference.

    Fixed strata lessen the error ("these subjects"); random clusters raise it ("subjects like
    these"). Below five clusters nothing is claimed over them: interval and tests are NaN, and a
    warning says why.
    """

    name = "calibrated"

    def __init__(self, panel: Panel, *, seed: int, label: str, resamples: int, alpha: float):
        self.panel = panel
        self.alpha = alpha
        self.resamples = resamples
        # the label keeps the draws of one task or stratum the same whatever else is analysed
        self.seed = [seed, *hashlib.sha256(label.encode()).digest()[:8]]
        self._scores: dict[tuple[int, int, int], PairedScore] = {}

    def arm(self, arm: str, endpoint: str) -> Estimate:
        """Estimate one arm on the items it answered."""
        mask, (a,), e = self._where((arm,), endpoint)
        n, confidence = int(mask.sum()), 1.0 - self.alpha
        top, bottom = self.panel.numerators[mask, a, e], self.panel.denominators[mask, a, e]
        kind = self.panel.endpoints[e].type
        if kind == "proportion":
            return wilson(round(float(top.sum())), n, confidence=confidence)
        if bottom.sum() == 0.0:
            return Estimate(math.nan, Interval(math.nan, math.nan, confidence, "score"), n)
        # a ratio is its difference from an arm that never scores
        nothing, one = np.zeros(n), np.ones(n)
        score = score_ratios(
            np.stack([nothing, top], axis=1),
            np.stack([one, bottom], axis=1),
            support=1.0 if kind == "mean" else None,
        )
        interval = score.interval(confidence)
        low, high = max(interval.low, 0.0), min(interval.high, 1.0)  # NaN stays NaN: it comes first
        return Estimate(score.estimate, Interval(low, high, confidence, "score"), n)

    def contrast(self, reference: str, candidate: str, endpoint: str) -> Contrast:
        """Estimate candidate minus reference on the items both answered."""
        mask, (r, c), e = self._where((reference, candidate), endpoint)
        score = self._score(mask, r, c, e)
        test = self._difference(mask, r, c, e)
        return Contrast(
            reference,
            candidate,
            score.estimate,
            score.interval(1.0 - self.alpha),
            test.p_value,
            test.method,
            score.n,
            self._sd(mask, r, c, e),
        )

    def equivalence(
        self, reference: str, candidate: str, endpoint: str, margin: float
    ) -> EquivalenceResult:
        """Test candidate minus reference against both margins."""
        mask, (r, c), e = self._where((reference, candidate), endpoint)
        return self._score(mask, r, c, e).equivalence(margin, self.alpha)

    def items_needed(
        self, contrast: Contrast, endpoint: str, margin: float
    ) -> dict[str, int | None]:
        """Plan proportions from their rates of flips, by enumeration; else from the spread."""
        mask, (r, c), e = self._where((contrast.reference, contrast.candidate), endpoint)
        if self.panel.endpoints[e].type != "proportion" or self.panel.clusters is not None:
            return items_from_spread(contrast, margin, alpha=self.alpha)
        before, after = (self.panel.numerators[mask, column, e] > 0.5 for column in (r, c))
        harmful, beneficial = float((before & ~after).mean()), float((after & ~before).mean())
        if harmful + beneficial == 0.0:
            # no answer changed: the fewest items whose silence would rule the margin out
            least = least_items(margin, alpha=self.alpha)
            return {"equivalence": least, "non_inferiority": least, "difference": None}

        def items(question: Question) -> int | None:
            return items_for_flips(
                harmful, beneficial, question=question, margin=margin, power=POWER, alpha=self.alpha
            )

        return {
            "equivalence": items("equivalent"),
            "non_inferiority": items("non_inferior"),
            "difference": items("difference"),
        }

    def _difference(self, mask: NDArray[np.bool_], r: int, c: int, e: int) -> TestResult:
        clusters = None if self.panel.clusters is None else self.panel.clusters[mask]
        if self.panel.endpoints[e].type == "proportion" and clusters is None:
            before = self.panel.numerators[mask, r, e] > 0.5
            after = self.panel.numerators[mask, c, e] > 0.5
            return mcnemar(
                int((before & ~after).sum()),
                int((after & ~before).sum()),
                n=int(mask.sum()),
                method="midp",
            )
        return sign_flip(
            self.panel.numerators[mask][:, [r, c], e],
            self.panel.denominators[mask][:, [r, c], e],
            rng=np.random.default_rng([*self.seed, r, c, e]),
            resamples=self.resamples,
            clusters=clusters,
        )

    def _score(self, mask: NDArray[np.bool_], r: int, c: int, e: int) -> PairedScore:
        if (r, c, e) not in self._scores:
            top = self.panel.numerators[mask][:, [r, c], e]
            bottom = self.panel.denominators[mask][:, [r, c], e]
            # one item moves a proportion or a mean by at most 1; a pooled ratio has no such bound
            support = None if self.panel.endpoints[e].type == "ratio" else 1.0
            self._scores[r, c, e] = self._grouped(mask, top, bottom, support)
        return self._scores[r, c, e]

    def _grouped(
        self,
        mask: NDArray[np.bool_],
        top: NDArray[np.float64],
        bottom: NDArray[np.float64],
        support: float | None,
    ) -> PairedScore:
        """Score with clusters or strata; a warning where they carry too little."""
        panel = self.panel
        strata = None if panel.strata is None else panel.strata[mask]
        if panel.clusters is not None:
            try:
                return score_ratios(top, bottom, clusters=panel.clusters[mask], support=support)
            except InsufficientDataError as exc:
                # never silently items or strata instead: the study asks about groups like these
                warnings.warn(f"{exc}; nothing is claimed", StatisticsWarning, stacklevel=4)
                return dataclasses.replace(
                    score_ratios(top, bottom, support=support), method="refused", _variance=None
                )
        if strata is not None:
            try:
                return score_ratios(top, bottom, strata=strata, support=support)
            except InsufficientDataError as exc:
                warnings.warn(
                    f"{exc}; items are taken as one group", StatisticsWarning, stacklevel=4
                )
        return score_ratios(top, bottom, support=support)

    def _sd(self, mask: NDArray[np.bool_], r: int, c: int, e: int) -> float:
        """Return the spread of a paired difference: of changes, or of influences on the ratio."""
        n = int(mask.sum())
        if n < 2:
            return math.nan
        top, bottom = self.panel.numerators[mask], self.panel.denominators[mask]
        shares = np.zeros(n)
        for column, sign in ((c, 1.0), (r, -1.0)):
            total = bottom[:, column, e].sum()
            if total == 0.0:
                return math.nan
            ratio = top[:, column, e].sum() / total
            shares += sign * n * (top[:, column, e] - ratio * bottom[:, column, e]) / total
        return float(shares.std(ddof=1))

    def _where(
        self, arms: tuple[str, ...], endpoint: str
    ) -> tuple[NDArray[np.bool_], list[int], int]:
        columns = [self.panel.arms.index(arm) for arm in arms]
        names = [e.name for e in self.panel.endpoints]
        return self.panel.answered_by(*arms), columns, names.index(endpoint)
