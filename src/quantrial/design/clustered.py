"""What items in random clusters can show: pure. Beside independence, at stated correlations."""

from __future__ import annotations

import math

from quantrial.design.plan import DISCORDANCES, Prospect
from quantrial.stats import (
    Question,
    cluster_power,
    clusters_for_spread,
    detectable_over_clusters,
)

# intraclass correlations of differences: none, slight, and as strong as they are usually met
CORRELATIONS = (0.0, 0.02, 0.1)
FEWEST_CLUSTERS, FEW_CLUSTERS = 5, 20  # what `calibrated` refuses below, and warns below
METHOD = "noncentral-t"


def cluster_prospects(
    n: int, clusters: int, margin: float, *, alpha: float
) -> tuple[Prospect, ...]:
    """Say what items in so many clusters show at each discordance and correlation within them.

    Args:
        n: items.
        clusters: that they come in; nothing is said of fewer than five.
        margin: the largest loss that still counts as the same.
        alpha: level of the tests.
    """
    if clusters < FEWEST_CLUSTERS:
        return ()
    size = n / clusters

    def prospect(share: float, icc: float) -> Prospect:
        sd = math.sqrt(share * (1.0 + (size - 1.0) * icc) / size)  # of a cluster's mean

        def chance(question: Question) -> float:
            return cluster_power(sd, 0.0, clusters, margin, question=question, alpha=alpha)

        needed = clusters_for_spread(sd, 0.0, margin, question="equivalent", alpha=alpha)
        return Prospect(
            discordance=share,
            detectable=detectable_over_clusters(sd, clusters, alpha=alpha),
            items_for_margin=None if needed is None else math.ceil(needed * size),
            power_non_inferior=chance("non_inferior"),
            power_equivalent=chance("equivalent"),
            method=METHOD,
            items_method=METHOD,
            icc=icc,
        )

    return tuple(prospect(share, icc) for share in DISCORDANCES for icc in CORRELATIONS)


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
