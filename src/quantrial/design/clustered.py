"""What items in random clusters can show: pure. At an intraclass correlation that is assumed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantrial.design.forecast import Clusters, Method, PowerModel, PowerQuery, Rates, Spread
from quantrial.design.plan import DISCORDANCES, POWER, Prospect, prospect
from quantrial.stats import (
    Question,
    cluster_power,
    clusters_for_score,
    clusters_for_spread,
    detectable_over_clusters,
    in_clusters,
    least_items,
    score_flips,
    score_power_over_clusters,
)
from quantrial.stats.clusters import FEW_CLUSTERS, FEWEST_CLUSTERS
from quantrial.stats.power.flip_clusters import FlipStudies, flip_studies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantrial.stats import PairedScore

# intraclass correlations of differences: none, slight, and as strong as they are usually met
CORRELATIONS = (0.0, 0.02, 0.1)
METHOD: Method = "noncentral-t"
DRAWN: Method = "simulation"
FEW_FLIPS = 200  # expected over the design effect; of fewer the noncentral t says too little
_MOST_DRAWN = 20_000  # clusters whose studies are drawn within a second
_STEP = 1.25  # from one number of clusters to the next, where an answer is looked for
_HALVINGS = 10  # of the discordance, for what can be detected
_LIKE_THESE = 1_000_000  # items that rates are taken from: enough for any rate to be one of them
_ALL_OF = 1_000  # clusters of one size that stand for any number of them


class ClusterModel(PowerModel):
    """Power over clusters; nothing is shown over fewer than five.

    Of rates by simulated studies where the flips that are expected are worth fewer than `FEW_FLIPS`
    independent ones; else, and of other scores, by the noncentral t.
    """

    def __init__(
        self,
        assumed: Rates | Spread,
        asked: PowerQuery,
        clusters: Clusters,
        *,
        pilot: PairedScore | None = None,
        sizes: Sequence[float] = (),
    ):
        """Plan from rates of flips, a spread of items, or the scores of a pilot.

        Args:
            assumed: rates, or the spread of a paired difference of items (not of clusters).
            asked: items, power, margin, alpha.
            clusters: what the items come in.
            pilot: the evidence of a sample, its items taken as independent; with a spread.
            sizes: the pilot's own clusters, where a study's will be like them; else of one size.
        """
        self.asked, self._within = asked, clusters
        self.clusters = clusters
        self._rates = assumed if isinstance(assumed, Rates) else None
        self._sizes = sorted(sizes)
        self._known: dict[int, FlipStudies] = {}
        score = pilot
        if isinstance(assumed, Rates):
            self.difference = assumed.beneficial - assumed.harmful
            discordance = assumed.beneficial + assumed.harmful
            self.sd = math.sqrt(max(0.0, discordance - self.difference**2))
            self.least_items = self._least()
            # at the smallest difference that is found, nearly as many flips go the other way
            widest, self._most = math.sqrt(discordance), discordance
            score = score_flips(
                round(assumed.harmful * _LIKE_THESE),
                round(assumed.beneficial * _LIKE_THESE),
                n=_LIKE_THESE,
            )
        else:
            self.difference, self.sd = assumed.difference, assumed.sd
            widest, self._most = assumed.sd, math.inf
        of_one = math.sqrt(clusters.effect / clusters.size)
        self._sd, self._widest = self.sd * of_one, widest * of_one
        held = np.asarray(sizes or [clusters.size] * _ALL_OF, dtype=np.float64)
        self._score = None if score is None else in_clusters(score, clusters.icc, held)

    def _least(self) -> int:
        """Count the items of the fewest clusters that show equivalence without a single flip."""
        size, margin, alpha = self._within.size, self.asked.margin, self.asked.alpha
        groups = FEWEST_CLUSTERS
        while groups * size < least_items(margin, alpha=alpha, clusters=groups):
            groups += 1
        return math.ceil(groups * size)

    def at(self, question: Question, n: int) -> tuple[float, str]:
        """Give the chance that as many clusters as hold n items show it."""
        groups = n / self._within.size
        margin, alpha = self.margin_for(question), self.asked.alpha
        if groups < FEWEST_CLUSTERS:
            return 0.0, METHOD
        if self._rates is not None and self._few(n):
            if n not in self._known:
                self._known[n] = self._studies(self._rates, n)
            return self._known[n].share(question, margin, alpha=alpha), DRAWN
        if self._score is None:
            found = cluster_power(
                self._sd, self.difference, groups, margin, question=question, alpha=alpha
            )
        else:
            found = score_power_over_clusters(
                self._score, groups, margin, question=question, alpha=alpha
            )
        return (0.0 if math.isnan(found) else found), METHOD

    def items(self, question: Question) -> int | None:
        """Count the items of the clusters for the asked power.

        Of simulated studies, those from which on the chance stays there: the fewer flips there
        are, the likelier none is seen, so that a smaller study may show more than a larger one.
        """
        size = self._within.size
        if self.difference == 0.0 and self.sd == 0.0:
            return None if question == "difference" else self.least_items
        margin, power, alpha = self.margin_for(question), self.asked.power, self.asked.alpha
        if self._score is None:
            groups = clusters_for_spread(
                self._sd, self.difference, margin, question=question, power=power, alpha=alpha
            )
        else:
            groups = clusters_for_score(
                self._score, margin, question=question, power=power, alpha=alpha
            )
        if groups is None or self._rates is None or not self._few(math.ceil(groups * size)):
            return None if groups is None else math.ceil(groups * size)

        def enough(count: int) -> bool:
            return self.at(question, math.ceil(count * size))[0] >= power

        while not enough(groups):
            groups = math.ceil(groups * _STEP)
        below = groups
        while below == groups and groups > FEWEST_CLUSTERS:
            below = max(FEWEST_CLUSTERS, math.floor(groups / _STEP))
            groups = below if enough(below) else groups
        while groups - below > 1:
            middle = (groups + below) // 2
            groups, below = (middle, below) if enough(middle) else (groups, middle)
        return math.ceil(groups * size)

    def detectable(self, n: int) -> float | None:
        """Give the smallest difference that clusters of n items find with the asked power."""
        groups = n / self._within.size
        if groups < FEWEST_CLUSTERS or self._widest == 0.0:
            return None
        if self._rates is not None and self._few(n):
            return self._drawn_detectable(n)
        found = detectable_over_clusters(
            self._widest, groups, power=self.asked.power, alpha=self.asked.alpha
        )
        return found if found <= self._most else None

    def _drawn_detectable(self, n: int) -> float | None:
        """Give the smallest difference, at the assumed discordance, that drawn studies find."""

        def found(difference: float) -> bool:
            rates = Rates((self._most + difference) / 2.0, (self._most - difference) / 2.0)
            drawn = self._studies(rates, n)
            return drawn.share("difference", alpha=self.asked.alpha) >= self.asked.power

        if not found(self._most):
            return None
        low, high = 0.0, self._most
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            low, high = (low, middle) if found(middle) else (middle, high)
        return high

    def _few(self, n: int) -> bool:
        """Whether so few items are expected to flip that studies are drawn."""
        worth = n * self._most / self._within.effect
        return worth < FEW_FLIPS and n / self._within.size <= _MOST_DRAWN

    def _studies(self, rates: Rates, n: int) -> FlipStudies:
        groups = round(n / self._within.size)
        if self._sizes:  # as many like them
            there = (np.arange(groups) + 0.5) * len(self._sizes) / groups
            held = np.asarray(self._sizes)[there.astype(np.intp)]
        else:
            held = np.full(groups, n // groups)
            held[: n % groups] += 1
        return flip_studies(rates.harmful, rates.beneficial, self._within.icc, held)


def cluster_prospects(
    n: int,
    clusters: int,
    margin: float,
    *,
    alpha: float,
    proportion: bool = False,
    icc: float | None = None,
) -> tuple[Prospect, ...]:
    """Say what items in so many clusters show at each discordance and correlation within them.

    Args:
        n: items.
        clusters: that they come in; nothing is said of fewer than five.
        margin: the largest loss that still counts as the same.
        alpha: level of the tests.
        proportion: whether items are right or wrong; else sqrt(discordance) is the spread of a
            paired difference without a true difference.
        icc: the intraclass correlation of paired differences; by default several are shown.
    """
    if clusters < FEWEST_CLUSTERS:
        return ()
    size = n / clusters
    asked = PowerQuery(n, POWER, margin, alpha)

    def prospect_at(share: float, icc: float) -> Prospect:
        assumed = Rates(share / 2.0, share / 2.0) if proportion else Spread(math.sqrt(share))
        model = ClusterModel(assumed, asked, Clusters(size, icc, size))
        return prospect(model, n, share, icc)

    correlations = CORRELATIONS if icc is None else (icc,)
    return tuple(prospect_at(share, one) for share in DISCORDANCES for one in correlations)


def cluster_warning(task: str, key: str, clusters: int) -> str | None:
    """Say that so few clusters carry nothing, or little; None where they are many."""
    what = f"{task}: its items come in {clusters} cluster{'' if clusters == 1 else 's'} ({key})"
    if clusters < FEWEST_CLUSTERS:
        return (
            f"{what}; an interval or a test needs at least {FEWEST_CLUSTERS}. Sample more "
            "clusters, or ask about these only (`stratify`)"
        )
    if clusters < FEW_CLUSTERS:
        return f"{what}; with fewer than {FEW_CLUSTERS}, intervals and tests are approximate"
    return None
