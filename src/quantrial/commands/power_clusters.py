"""What an earlier run over random clusters tells the next: spread, sizes, how alike they are."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from quantrial.analysis.calibrated import influences
from quantrial.commands.power_assumptions import Seen, checked_difference, split
from quantrial.design.forecast import Clusters, Rates, Spread
from quantrial.errors import InsufficientDataError, StatisticsWarning
from quantrial.stats import intraclass, score_ratios

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.analysis.outcomes import Panel
    from quantrial.commands.power_assumptions import Assumptions


def seen_over_clusters(
    panel: Panel, reference: str, candidate: str, given: Assumptions
) -> Seen | str:
    """Return what the primary endpoint's contrast shows over clusters; a reason where nothing.

    Args:
        panel: the task's scores, with the clusters of its items.
        reference: the arm compared with.
        candidate: the arm compared.
        given: a difference and a correlation that are stated go before those that were seen.
    """
    endpoint = panel.endpoints[0]
    mask, arms, e = panel.locate((reference, candidate), endpoint.name)
    top, bottom = panel.scores(mask, arms, e)
    shares = influences(top, bottom)
    if shares is None or panel.clusters is None or len(shares) < 2:
        return "too few items were answered by both, or an arm has a ratio of nothing"
    labels = panel.clusters[mask]
    proportion = endpoint.type == "proportion"
    changed = (top[:, 0] != top[:, 1]).any() or (bottom[:, 0] != bottom[:, 1]).any()
    if not changed and not (proportion and given.icc is not None):
        more = "state --icc" if proportion else "state --sd, --icc and --cluster-size"
        return f"no score changed, so nothing is known of how changes fall on clusters; {more}"
    icc, notes = given.icc, []
    if icc is None:
        icc, how = _seen_correlation(shares, labels)
        if icc is None:
            return how
        notes.append(how)
    sizes = np.unique(labels, return_counts=True)[1].astype(np.float64)
    clusters = Clusters(float(sizes.mean()), icc, float((sizes**2).sum() / sizes.sum()))
    held, said = tuple(sizes.tolist()), tuple(notes)
    wanted = None if given.difference is None else checked_difference(given.difference)
    if proportion:
        change = top[:, 1] - top[:, 0]
        rates = Rates(float((change < 0).mean()), float((change > 0).mean()))
        if wanted is not None:
            rates = split(rates.harmful + rates.beneficial, wanted)
        return Seen("flips", rates, said, clusters, None, held)
    sd = float(shares.std(ddof=1))
    if wanted is not None:
        return Seen("spread", Spread(sd, wanted), said, clusters, None, held)
    support = 1.0 if endpoint.type == "mean" else None
    pilot = score_ratios(top, bottom, support=support, empty=math.nan)
    return Seen("scores", Spread(sd, pilot.estimate), said, clusters, pilot, held)


def _seen_correlation(
    shares: NDArray[np.float64], labels: NDArray[np.str_]
) -> tuple[float | None, str]:
    """Estimate the correlation, and say how well it is known; None and the reason where not."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StatisticsWarning)
        try:
            found = intraclass(shares, labels)
        except InsufficientDataError as exc:
            return None, f"{exc}; or state --icc"
    if not found.estimate < 1.0:  # NaN too
        return None, f"{caught[-1].message}; state --icc"
    low, high = found.interval.low, found.interval.high
    if math.isnan(high):
        return 0.0, (
            f"intraclass correlation of the differences within its {found.clusters} clusters: "
            f"{found.estimate:.3f}; planned with 0; {caught[-1].message}, so try some --icc too"
        )
    said = (
        f"intraclass correlation of the differences within its {found.clusters} clusters: "
        f"{found.estimate:.3f} (95 % {low:.3f} to {high:.3f})"
    )
    if found.estimate < 0.0:
        said += "; planned with 0"
    said += f"; try --icc {max(high, 0.0):.3f} too"
    if caught:
        said += ". Changes are fewer than clusters, and that interval is too narrow"
    return max(0.0, found.estimate), said
