"""`power`: what it plans from, and one forecast for every thing to plan from.

What is missing, contradicts itself or is out of range is refused before anything is computed.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quantrial.commands.derived import derive_summary, score_run
from quantrial.commands.results import sound
from quantrial.design.clustered import ClusterModel
from quantrial.design.forecast import (
    Clusters,
    Forecast,
    Pilot,
    PilotModel,
    PowerModel,
    PowerQuery,
    Rates,
    Spread,
    forecast,
)
from quantrial.design.plan import DISCORDANCES, TYPICAL
from quantrial.documents import Contrast, Summary, TaskSummary, load_summary
from quantrial.documents.codec import METHODS_VERSION, methods_version
from quantrial.errors import InsufficientDataError, StatisticsWarning, StudyError
from quantrial.runfolder import SUMMARY, RunFolder
from quantrial.stats import clopper_pearson, intraclass, score_ratios
from quantrial.stats.clusters import FEWEST_CLUSTERS
from quantrial.words import drawn_in_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.analysis.outcomes import Panel
    from quantrial.stats import PairedScore

MARGIN, ALPHA = 0.01, 0.05
ASSUMED = (
    f"no rate of flips is given, so {100 * TYPICAL:g} % is assumed. Two precisions of one model "
    f"disagree on {100 * DISCORDANCES[0]:g} to {100 * DISCORDANCES[-1]:g} % of items. "
    "--discordance gives another rate; --from RUN takes it from an earlier run"
)
_SIMULATED = (
    "simulated: 400 studies are drawn from the run's own items and tested. A power near 80 % is "
    "accurate to about 4 points. The curve is an approximation"
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


@dataclass(frozen=True, slots=True)
class Scenario:
    """One forecast and what it rests on; task, candidate, endpoint and items of an earlier run."""

    title: str
    task: str | None
    candidate: str | None
    endpoint: str | None
    observed: int | None
    forecast: Forecast
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PowerStudy:
    """Every scenario that was asked for, and notes on what could not be planned."""

    scenarios: tuple[Scenario, ...]
    notes: tuple[str, ...] = ()


def power(
    assumed: Assumptions | Path | str,
    *,
    n: int | None = None,
    power: float = 0.8,
    margin: float | None = None,
    alpha: float | None = None,
) -> PowerStudy:
    """Say what n items would show, how many it takes, and what difference they would find.

    Args:
        assumed: what to plan from; a path is an earlier run folder.
        n: items; of an earlier run its own number by default, else only the items are counted.
        power: the chance of a yes to count items for.
        margin: the largest loss that counts as the same; the run's, or 0.01.
        alpha: the level of the tests; the run's, or 0.05.

    Raises:
        StudyError: assumptions that are missing, contradict each other or are out of range.
        RunFolderError, RecordError: the run folder or its summary cannot be used.

    Example:
        >>> given = quantrial.Assumptions(harmful=0.02, beneficial=0.02)
        >>> found = quantrial.power(given, n=500, margin=0.03).scenarios[0].forecast
        >>> [(answer.question, answer.items) for answer in found.answers][1]
        ('non_inferior', 329)
    """
    if not isinstance(assumed, Assumptions):
        assumed = Assumptions(run=assumed)
    _check_source(assumed)
    _check_query(n, power, margin, alpha)
    _check_clusters(assumed, n)
    if assumed.run is not None:
        run = Path(assumed.run)
        with sound(run / SUMMARY):
            return _from_run(run, assumed, n, power, margin, alpha)
    truth = _stated(assumed)
    clusters, n = _placed(assumed, n)
    query = PowerQuery(n, power, margin or MARGIN, alpha or ALPHA)
    model = None if clusters is None else ClusterModel(truth, query, clusters)
    notes = (ASSUMED,) if assumed.is_typical else ()
    found = forecast(truth, query, model)
    return PowerStudy((Scenario("", None, None, None, None, found, notes),))


def _check_source(given: Assumptions) -> None:
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
        raise StudyError("needs an earlier run; name its folder with --from RUN", key=key)
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
            raise StudyError(f"needed with {other}; give both (0 if there are none)", key=key)


def _check_query(n: int | None, power: float, margin: float | None, alpha: float | None) -> None:
    """Refuse numbers that no study and no test can have."""
    if n is not None and n < 2:
        raise StudyError(f"{n} is too few; a study needs at least 2 items", key="n")
    _inside("power", power, 1.0)
    _inside("margin", MARGIN if margin is None else margin, 1.0)
    _inside("alpha", ALPHA if alpha is None else alpha, 0.5)


def _inside(key: str, value: float, high: float) -> None:
    if not 0.0 < value < high:
        raise StudyError(f"{value:g} is out of range; it lies between 0 and {high:g}", key=key)


def _check_clusters(given: Assumptions, n: int | None) -> None:
    """Refuse clusters that cannot be, and more of them than the items settle."""
    if given.icc is not None and not 0.0 <= given.icc < 1.0:
        raise StudyError(
            f"{given.icc:g} is out of range; an intraclass correlation is at least 0 and below 1",
            key="icc",
        )
    if given.clusters is not None and given.clusters < FEWEST_CLUSTERS:
        raise StudyError(
            f"{given.clusters} are too few; a claim needs at least {FEWEST_CLUSTERS}",
            key="clusters",
        )
    size = given.cluster_size
    if size is not None and not (math.isfinite(size) and size >= 1.0):
        raise StudyError(
            f"{size:g} is too small; a cluster holds at least 1 item", key="cluster_size"
        )
    if None not in (n, given.clusters, size):
        raise StudyError(
            "n, clusters and cluster_size: one follows from the other two; leave one out"
        )


def _placed(
    given: Assumptions, n: int | None, *, seen: Clusters | None = None, observed: int | None = None
) -> tuple[Clusters | None, int | None]:
    """Say what clusters the items come in, None where they are independent, and how many there are.

    Args:
        given: what is stated.
        n: items that are asked about.
        seen: the clusters of an earlier run, its correlation replaced where one is stated.
        observed: the items of an earlier run.
    """
    groups, size = given.clusters, given.cluster_size
    icc = given.icc if seen is None else seen.icc
    if seen is None and icc is groups is size is None:
        return None, n or observed
    if icc is None:
        key = "clusters" if size is None else "cluster_size"
        raise StudyError(
            f"needed with {key}: how alike differences within a cluster are, from 0 (not at all) "
            "to below 1. An earlier run over clusters can give it (--from RUN)",
            key="icc",
        )
    typical = size
    if size is None and groups is not None and (items := n or (observed if not seen else None)):
        size = typical = items / groups
    elif size is None and seen is not None:
        size, typical = seen.size, seen.typical
    if size is None or typical is None:
        raise StudyError(
            "needed with icc: the items per cluster; or give both clusters and n",
            key="cluster_size",
        )
    if size < 1.0:
        raise StudyError(f"{groups} are more than there are items", key="clusters")
    if groups is not None:
        n = n or round(groups * size)
    return Clusters(size, icc, typical), n or observed


def _stated(given: Assumptions) -> Rates | Spread:
    """Turn stated assumptions into rates or a spread."""
    if given.sd is not None:
        if not (math.isfinite(given.sd) and given.sd > 0.0):
            raise StudyError(
                f"{given.sd:g} is out of range; a standard deviation is above 0", key="sd"
            )
        return Spread(given.sd, _difference(given.difference))
    if given.discordance is not None:
        _share("discordance", given.discordance)
        return _split(given.discordance, _difference(given.difference))
    if given.is_typical:
        return _split(TYPICAL, _difference(given.difference))
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
        raise StudyError(
            f"{value:g} is out of range; a share of items is 0 to 1 (1 % is 0.01)", key=key
        )


def _difference(value: float | None) -> float:
    """Return a difference that two shares can have, 0 where none is stated."""
    if value is None:
        return 0.0
    if not -1.0 <= value <= 1.0:
        raise StudyError(
            f"{value:g} is out of range; a difference is -1 to 1 (half a point lost is -0.005)",
            key="difference",
        )
    return value


def _split(discordance: float, difference: float) -> Rates:
    """Share the flips out so that they leave this difference."""
    if abs(difference) > discordance * (1.0 + 1e-9):
        raise StudyError(
            f"{difference:g} is more than the discordance {discordance:g} allows: at most every "
            "flip goes one way",
            key="difference",
        )
    return Rates(
        max(0.0, (discordance - difference) / 2.0), max(0.0, (discordance + difference) / 2.0)
    )


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
    from quantrial.analysis.methods.calibrated import influences

    endpoint = panel.endpoints[0]
    mask, arms, e = panel.locate((reference, candidate), endpoint.name)
    top, bottom = panel.pair(mask, arms, e)
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
    wanted = None if given.difference is None else _difference(given.difference)
    if proportion:
        change = top[:, 1] - top[:, 0]
        rates = Rates(float((change < 0).mean()), float((change > 0).mean()))
        if wanted is not None:
            rates = _split(rates.harmful + rates.beneficial, wanted)
        return Seen("flips", rates, said, clusters, None, held)
    sd = float(shares.std(ddof=1))
    if wanted is not None:
        return Seen("spread", Spread(sd, wanted), said, clusters, None, held)
    pilot = score_ratios(top, bottom, support=endpoint.span, empty=math.nan)
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


def _from_run(
    run: Path,
    given: Assumptions,
    n: int | None,
    power: float,
    margin: float | None,
    alpha: float | None,
) -> PowerStudy:
    folder = RunFolder(run)
    folder.require()
    document = folder.read_document(SUMMARY, command="analyze")
    if methods_version(document) != METHODS_VERSION:  # it may lack what is read here
        document = derive_summary(run, methods=str(document.get("methods")))
    summary = load_summary(document, path=run / SUMMARY)
    scenarios, notes = [], []
    scored = functools.cache(lambda: score_run(run))  # only where scores are needed
    tasks = _chosen("task", given.task, list(summary.tasks))
    for task, contrast in _contrasts(summary, tasks, _candidates(summary, given.candidate)):
        part, reference, candidate = summary.tasks[task], contrast.reference, contrast.candidate
        # a run over random clusters has another interval; over too few of them it has none
        clustered = contrast.ci_method == "refused" or "cluster" in contrast.ci_method
        seen = (
            seen_over_clusters(scored()[task].panel, reference, candidate, given)
            if clustered
            else _observed(part, contrast, given.difference)
        )
        if isinstance(seen, str):
            notes.append(f"{task}, {candidate}: {seen}")
            continue
        clusters, items = _placed(given, n, seen=seen.clusters, observed=max(2, contrast.n))
        unit, own = part.main.unit, part.margin
        if margin is not None and unit is not None:
            notes.append(
                f"{task}: the margin {100 * margin:g} pp is a share, and {part.primary} is "
                f"measured in {unit}; planned with the run's own instead"
            )
        elif margin is not None:
            own = margin
        query = PowerQuery(
            items, power, own, alpha or summary.alpha, unit, lower=part.main.direction == "lower"
        )
        model: PowerModel | None = None
        if clusters is not None:
            sizes = seen.sizes if clusters == seen.clusters else ()
            model = ClusterModel(seen.assumed, query, clusters, pilot=seen.pilot, sizes=sizes)
        elif seen.kind == "scores" and isinstance(seen.assumed, Spread):
            panel = scored()[task].panel
            pilot = _pilot(panel, reference, candidate, seed=summary.study.seed)
            model = PilotModel(pilot, seen.assumed, query)
        notes += [
            f"{task}: {drawn_in_words(one)}"
            for one in part.drawing
            if (one.reference, one.candidate) == (reference, candidate)
        ]
        scenarios.append(
            Scenario(
                f"{task}, {candidate} against {reference} ({seen.kind} of {run})",
                task,
                candidate,
                part.primary,
                contrast.n,
                forecast(seen.assumed, query, model),
                (*seen.notes, _SIMULATED) if isinstance(model, PilotModel) else seen.notes,
            )
        )
    if not scenarios:
        raise StudyError("; ".join(notes) or "no contrast to plan from", path=run)
    return PowerStudy(tuple(scenarios), tuple(notes))


def _pilot(panel: Panel, reference: str, candidate: str, *, seed: int) -> Pilot:
    """Return the scores of a run's own items, to draw studies from."""
    mask, arms, e = panel.locate((reference, candidate), panel.endpoints[0].name)
    return Pilot(*panel.pair(mask, arms, e), panel.endpoints[0].span, seed)


def _candidates(summary: Summary, chosen: str | None) -> Sequence[str]:
    """Return the chosen arm, or every candidate; a control is one only when it is asked for."""
    arms = [arm for arm in summary.arms if arm != summary.reference]
    if chosen is not None:
        return _chosen("candidate", chosen, arms)
    return [arm for arm in arms if not summary.arms[arm].control]


def _chosen(key: str, chosen: str | None, there: Sequence[str]) -> Sequence[str]:
    if chosen is None:
        return there
    if chosen not in there:
        raise StudyError(f"the run has no {chosen!r}; it has {', '.join(there)}", key=key)
    return [chosen]


def _contrasts(
    summary: Summary, tasks: Sequence[str], candidates: Sequence[str]
) -> Iterator[tuple[str, Contrast]]:
    for task in tasks:
        for contrast in summary.tasks[task].main.contrasts:
            if contrast.reference == summary.reference and contrast.candidate in candidates:
                yield task, contrast


def _observed(part: TaskSummary, contrast: Contrast, difference: float | None) -> Seen | str:
    """Return what a run observed of a contrast of independent items; a reason where nothing.

    Flips tell everything of a proportion, whose arms have a Wilson interval; of other scores the
    spread is taken.
    """
    if part.main.arms[contrast.candidate].method != "wilson":
        sd, estimate = contrast.sd_paired, contrast.gain.estimate
        if estimate is None:
            return "the run has no value of this difference (a ratio of nothing); state --sd"
        if sd is None or not sd > 0.0:
            return "the scores do not differ, so their spread is not known; state --sd"
        if difference is not None:
            return Seen("spread", Spread(sd, _difference(difference)))
        return Seen("scores", Spread(sd, estimate))
    pair = (contrast.reference, contrast.candidate)
    flips = {(f.reference, f.candidate): f for f in part.flips}[pair]
    harmful, beneficial, n = flips.harmful, flips.beneficial, flips.n
    if n == 0:
        return "no item was answered by both"
    rates = Rates(harmful / n, beneficial / n)
    if difference is not None:
        rates = _split(rates.harmful + rates.beneficial, _difference(difference))
    return Seen("flips", rates, (_trust(harmful + beneficial, n),))


def _trust(changed: int, n: int) -> str:
    """Say what discordance a pilot's flips leave open."""
    ends = clopper_pearson(changed, n).interval
    return (
        f"{changed} of {n} answers changed. A discordance from {100 * ends.low:.1f} to "
        f"{100 * ends.high:.1f} % fits that (95 %); try --discordance {ends.high:.3f} too"
    )
