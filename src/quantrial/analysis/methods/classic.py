"""Which statistic answers which question, in `classic`: what careful practitioners publish."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from quantrial.analysis.methods import Contrast, Methods, items_from_spread
from quantrial.errors import StatisticsWarning
from quantrial.stats import (
    EquivalenceResult,
    Estimate,
    Interval,
    PairedBootstrap,
    RatioBootstrap,
    bootstrap_ratios,
    mcnemar,
    wilson,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


_FEW_CLUSTERS = 20  # below, percentile intervals of resampled clusters cover less than they say
_TIE = 1e-12  # below, resampled differences differ by rounding only


class Classic(Methods):
    """Wilson and percentile bootstrap; McNemar and the centred bootstrap; TOST by the bootstrap.

    All arms and endpoints of a panel share their resamples. A panel with clusters resamples
    clusters for differences and their equivalence; intervals of one arm resample items either way.
    A pooled ratio of nothing (no span in the gold, none found) has no value: it is NaN.
    """

    name = "classic"

    @functools.cached_property
    def _drawn(self) -> dict[bytes, tuple[RatioBootstrap, NDArray[np.intp]]]:
        return {}  # by the items that are resampled

    def arm(self, arm: str, endpoint: str) -> Estimate:
        """Estimate one arm on the items it answered."""
        mask, (a,), e = self.panel.locate((arm,), endpoint)
        confidence = 1.0 - self.alpha
        if self.panel.endpoints[e].type == "proportion":
            top, _ = self.panel.scores(mask, (a,), e)
            return wilson(round(float(top.sum())), int(mask.sum()), confidence=confidence)
        drawn, arms = self._bootstrap(mask, clustered=False)
        return drawn.estimate(self._column(arms, a, e), confidence)

    def contrast(
        self, reference: str, candidate: str, endpoint: str, *, brief: bool = False
    ) -> Contrast:
        """Estimate candidate minus reference on the items both answered; positive is a gain."""
        mask, (r, c), e = self.panel.locate((reference, candidate), endpoint)
        difference = self._difference(mask, r, c, e)
        confidence = 1.0 - self.alpha
        if brief:
            interval = Interval(math.nan, math.nan, confidence, "none")
        else:
            interval = difference.interval(confidence)
        if difference.clusters is not None and difference.clusters < _FEW_CLUSTERS:
            warnings.warn(
                f"{difference.clusters} clusters were resampled. With fewer than "
                f"{_FEW_CLUSTERS}, intervals are too narrow and equivalence is claimed too often",
                StatisticsWarning,
                stacklevel=2,
            )
        if self.panel.endpoints[e].type == "proportion":
            top, _ = self.panel.pair(mask, (r, c), e)
            right_r, right_c = (top > 0.5).T
            test = mcnemar(
                int((right_r & ~right_c).sum()), int((right_c & ~right_r).sum()), n=len(top)
            )
            p_value, p_method = test.p_value, test.method
            if difference.clusters is not None:
                warnings.warn(
                    "McNemar's p takes items as independent, though clusters are declared. The "
                    "interval and the test of equivalence allow for them",
                    StatisticsWarning,
                    stacklevel=2,
                )
        else:
            p_value, p_method = difference.p_value(), f"{difference.method}-centred"
        return Contrast(
            reference,
            candidate,
            difference.estimate,
            interval,
            p_value,
            p_method,
            difference.n,
            math.nan if brief else self._sd(mask, (r, c, e), difference),
        )

    def _sd(
        self, mask: NDArray[np.bool_], where: tuple[int, int, int], difference: PairedBootstrap
    ) -> float:
        """Return the spread of a paired difference; NaN from a single item or cluster.

        Where a difference is a mean over independent items, their standard deviation; else the
        standard error of the estimate, written as if it were one.
        """
        reference, candidate, endpoint = where
        units = difference.n if difference.clusters is None else difference.clusters
        if units < 2 or math.isnan(difference.estimate):
            return math.nan
        if difference.clusters is None and self.panel.endpoints[endpoint].type != "ratio":
            top, _ = self.panel.scores(mask, (reference, candidate), endpoint)
            return float((top[:, 1] - top[:, 0]).std(ddof=1))
        known = difference.replicates[~np.isnan(difference.replicates)]
        if known.size < 2 or np.ptp(known) <= _TIE:
            return 0.0
        return float(known.std(ddof=1) * math.sqrt(difference.n))

    def equivalence(
        self, reference: str, candidate: str, endpoint: str, margin: float
    ) -> EquivalenceResult:
        """Test candidate minus reference against both margins."""
        mask, (r, c), e = self.panel.locate((reference, candidate), endpoint)
        return self._difference(mask, r, c, e).tost(margin, self.alpha)

    def lower_bound(
        self, reference: str, candidate: str, endpoint: str, *, among: int = 1
    ) -> float:
        """Return the lower end of the percentile interval that leaves out alpha / `among` below."""
        mask, (r, c), e = self.panel.locate((reference, candidate), endpoint)
        difference = self._difference(mask, r, c, e)
        return difference.interval(1.0 - 2.0 * self.alpha / among).low

    def items_needed(
        self,
        contrast: Contrast,
        endpoint: str,
        margin: float | None,
        *,
        family: int,
        margins: int = 1,
    ) -> dict[str, int | None]:
        """Plan from the spread of a paired difference."""
        return items_from_spread(contrast, margin, alpha=self.alpha, family=family, margins=margins)

    def simultaneous(
        self,
        contrasts: Sequence[Contrast],
        endpoint: str,
        *,
        adjusted: Sequence[float] | None = None,
        family: int | None = None,
    ) -> None:
        """Published practice has none."""

    def _column(self, arms: NDArray[np.intp], arm: int, endpoint: int) -> int:
        return int(np.searchsorted(arms, arm)) * len(self.panel.endpoints) + endpoint

    def _difference(
        self, mask: NDArray[np.bool_], reference: int, candidate: int, endpoint: int
    ) -> PairedBootstrap:
        if self.panel.endpoints[endpoint].direction == "lower":  # so that positive is a gain
            reference, candidate = candidate, reference
        drawn, arms = self._bootstrap(mask, clustered=self.panel.clusters is not None)
        return drawn.difference(
            candidate=self._column(arms, candidate, endpoint),
            reference=self._column(arms, reference, endpoint),
        )

    def _bootstrap(
        self, mask: NDArray[np.bool_], *, clustered: bool
    ) -> tuple[RatioBootstrap, NDArray[np.intp]]:
        """Resample the items of a mask; with the arms that answered all of them."""
        key = mask.tobytes() + bytes([clustered])
        if key not in self._drawn:
            panel = self.panel.subset(mask)
            # an arm that left one out is left out: its columns mean nothing
            arms = np.flatnonzero([column.all() for column in panel.answered.T])
            if arms.size == len(panel.arms):
                sums = panel.numerators, panel.denominators
            else:
                sums = panel.numerators[:, arms], panel.denominators[:, arms]
            empty = [math.nan if e.type == "ratio" else 1.0 for e in panel.endpoints]
            numerators, denominators = (part.reshape(len(part), -1) for part in sums)
            drawn = bootstrap_ratios(
                numerators,
                denominators,
                rng=np.random.default_rng(self.seed),
                resamples=self.resamples,
                clusters=panel.clusters if clustered else None,
                empty=np.tile(empty, len(arms)),
            )
            self._drawn[key] = drawn, arms
        return self._drawn[key]
