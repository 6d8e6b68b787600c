"""What items in random clusters can show: pure. At an intraclass correlation that is assumed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantrial.design.forecast import Ask, Clusters, Method, Rates, Spread, Teller
from quantrial.design.plan import DISCORDANCES, FEWEST_CLUSTERS, POWER, Prospect
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantrial.stats import PairedScore

# intraclass correlations of differences: none, slight, and as strong as they are usually met
CORRELATIONS = (0.0, 0.02, 0.1)
FEW_CLUSTERS = 20  # what `calibrated` warns below
METHOD: Method = "noncentral-t"
_LIKE_THESE = 1_000_000  # items that rates are taken from: enough for any rate to be one of them
_ALL_OF = 1_000  # clusters of one size that stand for any number of them


class OverClusters:
    """Answers over clusters, by the noncentral t; nothing is shown over fewer than five."""

    def __init__(
        self,
        assumed: Rates | Spread,
        asked: Ask,
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
        self.clusters: Clusters | None = clusters
        self.least_items: int | None = None
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
        margin = None if question == "difference" else self.asked.margin
        alpha = self.asked.alpha
        if groups < FEWEST_CLUSTERS:
            return 0.0, METHOD
        if self._score is None:
            found = cluster_power(
                self._sd, self.difference, groups, margin, question=question, alpha=alpha
            )
        else:
            found = score_power_over_clusters(
                self._score, groups, margin, question=question, alpha=alpha
            )
        return (0.0 if math.isnan(found) else found), METHOD

    def rough(self, question: Question, n: int) -> tuple[float, str]:
        """Give what `at` gives: it is fast."""
        return self.at(question, n)

    def items(self, question: Question) -> int | None:
        """Count the items of the clusters for the asked power."""
        margin = None if question == "difference" else self.asked.margin
        power, alpha = self.asked.power, self.asked.alpha
        if self._score is None:
            groups = clusters_for_spread(
                self._sd, self.difference, margin, question=question, power=power, alpha=alpha
            )
        else:
            groups = clusters_for_score(
                self._score, margin, question=question, power=power, alpha=alpha
            )
        return None if groups is None else math.ceil(groups * self._within.size)

    def detectable(self, n: int) -> float | None:
        """Give the smallest difference that clusters of n items find with the asked power."""
        groups = n / self._within.size
        if groups < FEWEST_CLUSTERS or self._widest == 0.0:
            return None
        found = detectable_over_clusters(
            self._widest, groups, power=self.asked.power, alpha=self.asked.alpha
        )
        return found if found <= self._most else None


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
    asked = Ask(n, POWER, margin, alpha)

    def prospect(share: float, correlation: float) -> Prospect:
        assumed = Rates(share / 2.0, share / 2.0) if proportion else Spread(math.sqrt(share))
        within = Clusters(size, correlation, size)
        teller: Teller = OverClusters(assumed, asked, within)
        needed = teller.items("equivalent")
        return Prospect(
            discordance=share,
            detectable=teller.detectable(n),
            items_for_margin=needed,
            power_non_inferior=teller.at("non_inferior", n)[0],
            power_equivalent=teller.at("equivalent", n)[0],
            method=METHOD,
            items_method=METHOD,
            icc=correlation,
            clusters_for_margin=within.holding(needed),
        )

    correlations = CORRELATIONS if icc is None else (icc,)
    return tuple(prospect(share, one) for share in DISCORDANCES for one in correlations)


def cluster_warning(task: str, key: str, clusters: int) -> str | None:
    """Say that so few clusters carry nothing, or little; None where they are many."""
    what = f"{task}: its items come in {clusters} cluster{'' if clusters == 1 else 's'} ({key})"
    if clusters < FEWEST_CLUSTERS:
        return (
            f"{what}, and nothing is claimed over fewer than {FEWEST_CLUSTERS}: `analyze` will "
            "give no interval and no test; sample more, or ask about these only (`stratify`)"
        )
    if clusters < FEW_CLUSTERS:
        return f"{what}; below {FEW_CLUSTERS}, intervals and claims over them are rough"
    return None
