"""Which statistic answers which question, in `classic`: what careful practitioners publish."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from quantrial.analysis.methods import Contrast
from quantrial.stats import (
    EquivalenceResult,
    Estimate,
    PairedBootstrap,
    RatioBootstrap,
    bootstrap_ratios,
    mcnemar,
    wilson,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.analysis.outcomes import Panel


class Classic:
    """Wilson and percentile bootstrap; McNemar and the centred bootstrap; TOST by the bootstrap.

    All arms and endpoints of a panel share their resamples. A panel with clusters resamples
    clusters for differences and their equivalence; intervals of one arm resample items either way.
    """

    name = "classic"

    def __init__(self, panel: Panel, *, seed: int, label: str, resamples: int, alpha: float):
        self.panel = panel
        self.alpha = alpha
        self.resamples = resamples
        # the label keeps the draws of one task or stratum the same whatever else is analysed
        self.seed = [seed, *hashlib.sha256(label.encode()).digest()[:8]]
        self._drawn: dict[bytes, RatioBootstrap] = {}

    def arm(self, arm: str, endpoint: str) -> Estimate:
        """Estimate one arm on the items it answered."""
        mask, (a,), e = self._where((arm,), endpoint)
        confidence = 1.0 - self.alpha
        if self.panel.endpoints[e].type == "proportion":
            successes = round(float(self.panel.numerators[mask, a, e].sum()))
            return wilson(successes, int(mask.sum()), confidence=confidence)
        return self._bootstrap(mask, clustered=False).estimate(self._column(a, e), confidence)

    def contrast(self, reference: str, candidate: str, endpoint: str) -> Contrast:
        """Estimate candidate minus reference on the items both answered."""
        mask, (r, c), e = self._where((reference, candidate), endpoint)
        difference = self._difference(mask, r, c, e)
        interval = difference.interval(1.0 - self.alpha)
        if self.panel.endpoints[e].type == "proportion":
            right_r = self.panel.numerators[mask, r, e] > 0.5
            right_c = self.panel.numerators[mask, c, e] > 0.5
            test = mcnemar(
                int((right_r & ~right_c).sum()),
                int((right_c & ~right_r).sum()),
                n=int(mask.sum()),
            )
            p_value, p_method = test.p_value, test.method
        else:
            p_value, p_method = difference.p_value(), f"{difference.method}-centred"
        # the standard error of any estimator, told as the spread of a paired difference
        sd = float(np.nanstd(difference.replicates, ddof=1) * np.sqrt(difference.n))
        return Contrast(
            reference, candidate, difference.estimate, interval, p_value, p_method, difference.n, sd
        )

    def equivalence(
        self, reference: str, candidate: str, endpoint: str, margin: float
    ) -> EquivalenceResult:
        """Test candidate minus reference against both margins."""
        mask, (r, c), e = self._where((reference, candidate), endpoint)
        return self._difference(mask, r, c, e).tost(margin, self.alpha)

    def _where(
        self, arms: tuple[str, ...], endpoint: str
    ) -> tuple[NDArray[np.bool_], list[int], int]:
        columns = [self.panel.arms.index(arm) for arm in arms]
        names = [e.name for e in self.panel.endpoints]
        return self.panel.answered_by(*arms), columns, names.index(endpoint)

    def _column(self, arm: int, endpoint: int) -> int:
        return arm * len(self.panel.endpoints) + endpoint

    def _difference(
        self, mask: NDArray[np.bool_], reference: int, candidate: int, endpoint: int
    ) -> PairedBootstrap:
        return self._bootstrap(mask, clustered=self.panel.clusters is not None).difference(
            candidate=self._column(candidate, endpoint),
            reference=self._column(reference, endpoint),
        )

    def _bootstrap(self, mask: NDArray[np.bool_], *, clustered: bool) -> RatioBootstrap:
        key = mask.tobytes() + bytes([clustered])
        if key not in self._drawn:
            panel = self.panel.subset(mask)
            self._drawn[key] = bootstrap_ratios(
                panel.numerators.reshape(len(panel.numerators), -1),
                panel.denominators.reshape(len(panel.denominators), -1),
                rng=np.random.default_rng(self.seed),
                resamples=self.resamples,
                clusters=panel.clusters if clustered else None,
            )
        return self._drawn[key]
