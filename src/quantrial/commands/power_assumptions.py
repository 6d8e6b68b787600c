"""What `power` plans from, and the door: what is missing, contradicts itself or is out of range."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quantrial.design.forecast import Clusters, Rates, Spread
from quantrial.design.plan import DISCORDANCES, TYPICAL
from quantrial.errors import InsufficientDataError, StatisticsWarning, StudyError
from quantrial.stats.clusters import FEWEST_CLUSTERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.analysis.outcomes import Panel
    from quantrial.design.forecast import Clusters, Rates, Spread
    from quantrial.stats import PairedScore


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
    from quantrial.analysis.calibrated import influences
    from quantrial.stats import score_ratios

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
    from quantrial.stats import intraclass

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


MARGIN, ALPHA = 0.01, 0.05
ASSUMED = (
    f"nothing is stated or seen of how often answers flip: {100 * TYPICAL:g} % is taken. Two "
    f"precisions of one model disagree on {100 * DISCORDANCES[0]:g} to {100 * DISCORDANCES[-1]:g} %"
    " of items; --discordance states it, --from RUN takes it from a small run"
)


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What to plan from: one of four, a difference perhaps beside it; else a typical discordance.

    - `harmful` and `beneficial`: shares of items that only the reference, only the candidate gets
      right;
    - `discordance`, the sum of the two, with `difference` (0 unless stated);
    - `sd`, the standard deviation of a paired difference of any score, with `difference`;
    - `run`, an earlier run folder: what it observed, for one `task`, one `candidate`, or all;
      `difference` replaces the observed one.

    Items count as independent unless `icc` says how alike differences within one random cluster
    are, beside `cluster_size` (items in one on average), or `clusters` and a number of items. A run
    over clusters tells them itself; what is stated goes before.

    A difference is candidate minus reference, a fraction; a loss is negative.
    """

    harmful: float | None = None
    beneficial: float | None = None
    discordance: float | None = None
    difference: float | None = None
    sd: float | None = None
    run: Path | str | None = None
    task: str | None = None
    candidate: str | None = None
    icc: float | None = None
    clusters: int | None = None
    cluster_size: float | None = None

    @property
    def is_typical(self) -> bool:
        """Whether nothing is stated or was seen of how often answers flip."""
        stated = (self.harmful, self.beneficial, self.discordance, self.sd, self.run)
        return all(one is None for one in stated)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What an earlier run shows of one contrast.

    `kind` says what it is planned from: `flips` of right and wrong answers, `scores` of any kind,
    or their `spread`, where a difference is stated. Over clusters, `pilot` are such scores, their
    items taken as independent, and `sizes` the items of each cluster.
    """

    kind: str
    assumed: Rates | Spread
    notes: tuple[str, ...] = ()
    clusters: Clusters | None = None
    pilot: PairedScore | None = None
    sizes: tuple[float, ...] = ()


def check_source(given: Assumptions) -> None:
    """Refuse two things that contradict, and a stray option."""
    rates = given.harmful is not None or given.beneficial is not None
    sources = {
        "harmful and beneficial": rates,
        "discordance": given.discordance is not None,
        "sd": given.sd is not None,
        "from (a run)": given.run is not None,
    }
    named = [name for name, there in sources.items() if there]
    if len(named) > 1:
        raise StudyError(f"{' and '.join(named)} contradict each other; plan from one of them")
    if given.run is None and (given.task or given.candidate):
        key = "task" if given.task else "candidate"
        raise StudyError("chooses from an earlier run; name its folder with --from RUN", key=key)
    if not rates:
        return
    if given.difference is not None:
        raise StudyError(
            "follows from harmful and beneficial; leave it out, or state discordance instead",
            key="difference",
        )
    for key, value, other in (
        ("harmful", given.harmful, "beneficial"),
        ("beneficial", given.beneficial, "harmful"),
    ):
        if value is None:
            raise StudyError(f"missing beside {other}; state both (0 if there are none)", key=key)


def check_asked(n: int | None, power: float, margin: float | None, alpha: float | None) -> None:
    """Refuse numbers that no study and no test can have."""
    if n is not None and n < 2:
        raise StudyError(f"{n} is no study; at least 2 items are needed", key="n")
    _inside("power", power, 1.0)
    _inside("margin", MARGIN if margin is None else margin, 1.0)
    _inside("alpha", ALPHA if alpha is None else alpha, 0.5)


def _inside(key: str, value: float, high: float) -> None:
    if not 0.0 < value < high:
        raise StudyError(f"{value:g} is out of range; it lies between 0 and {high:g}", key=key)


def check_clusters(given: Assumptions, n: int | None) -> None:
    """Refuse clusters that cannot be, and more of them than the items settle."""
    if given.icc is not None and not 0.0 <= given.icc < 1.0:
        raise StudyError(
            f"{given.icc:g} is no correlation to plan with; it lies from 0 (none) to below 1",
            key="icc",
        )
    if given.clusters is not None and given.clusters < FEWEST_CLUSTERS:
        raise StudyError(
            f"{given.clusters} are too few: nothing is claimed over fewer than {FEWEST_CLUSTERS}",
            key="clusters",
        )
    size = given.cluster_size
    if size is not None and not (math.isfinite(size) and size >= 1.0):
        raise StudyError(f"{size:g} is no size of a cluster; at least 1 item", key="cluster_size")
    if None not in (n, given.clusters, size):
        raise StudyError("n, clusters and cluster_size: one follows from the others; leave it out")


def placed(
    given: Assumptions, n: int | None, *, seen: Clusters | None = None, observed: int | None = None
) -> tuple[Clusters | None, int | None]:
    """Say what clusters the items come in, None where they are independent, and how many there are.

    Args:
        given: what is stated.
        n: items that are asked about.
        seen: the clusters of an earlier run, its correlation replaced where one is stated.
        observed: the items of an earlier run.
    """
    from quantrial.design.forecast import Clusters

    groups, size = given.clusters, given.cluster_size
    icc = given.icc if seen is None else seen.icc
    if seen is None and icc is groups is size is None:
        return None, n or observed
    if icc is None:
        key = "clusters" if size is None else "cluster_size"
        raise StudyError(
            f"missing beside {key}: how alike differences within a cluster are; 0 is not at all, "
            "an earlier run over clusters tells it (--from RUN)",
            key="icc",
        )
    typical = size
    if size is None and groups is not None and (items := n or (observed if not seen else None)):
        size = typical = items / groups
    elif size is None and seen is not None:
        size, typical = seen.size, seen.typical
    if size is None or typical is None:
        raise StudyError(
            "missing beside icc: the items in a cluster; or state both clusters and n",
            key="cluster_size",
        )
    if size < 1.0:
        raise StudyError(f"{groups} are more than there are items", key="clusters")
    if groups is not None:
        n = n or round(groups * size)
    return Clusters(size, icc, typical), n or observed


def stated(given: Assumptions) -> Rates | Spread:
    """Turn stated assumptions into rates or a spread."""
    from quantrial.design.forecast import Rates, Spread

    if given.sd is not None:
        if not (math.isfinite(given.sd) and given.sd > 0.0):
            raise StudyError(f"{given.sd:g} is no spread to plan from; it is above 0", key="sd")
        return Spread(given.sd, checked_difference(given.difference))
    if given.discordance is not None:
        _share("discordance", given.discordance)
        return split(given.discordance, checked_difference(given.difference))
    if given.is_typical:
        return split(TYPICAL, checked_difference(given.difference))
    harmful, beneficial = given.harmful or 0.0, given.beneficial or 0.0
    _share("harmful", harmful)
    _share("beneficial", beneficial)
    if harmful + beneficial > 1.0:
        raise StudyError(
            f"harmful {harmful:g} and beneficial {beneficial:g} add up to more than 1, "
            "which is every item"
        )
    return Rates(harmful, beneficial)


def _share(key: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise StudyError(f"{value:g} is no share of items; 1 % is 0.01", key=key)


def checked_difference(value: float | None) -> float:
    """Return a difference that two shares can have, 0 where none is stated."""
    if value is None:
        return 0.0
    if not -1.0 <= value <= 1.0:
        raise StudyError(
            f"{value:g} is no difference; half a point lost is -0.005", key="difference"
        )
    return value


def split(discordance: float, difference: float) -> Rates:
    """Share the flips out so that they leave this difference."""
    from quantrial.design.forecast import Rates

    if abs(difference) > discordance * (1.0 + 1e-9):
        raise StudyError(
            f"{difference:g} is more than the discordance {discordance:g} allows: at most every "
            "flip goes one way",
            key="difference",
        )
    return Rates(
        max(0.0, (discordance - difference) / 2.0), max(0.0, (discordance + difference) / 2.0)
    )
