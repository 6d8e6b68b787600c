"""`power`: one forecast for every thing to plan from, stated or seen in an earlier run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantrial.commands.power_assumptions import (
    ALPHA,
    ASSUMED,
    MARGIN,
    Assumptions,
    Seen,
    check_asked,
    check_clusters,
    check_source,
    checked_difference,
    placed,
    split,
    stated,
)
from quantrial.documents import Contrast, Summary, TaskSummary, load_summary
from quantrial.errors import StudyError

if TYPE_CHECKING:
    from quantrial.analysis import TaskOutcomes
    from quantrial.analysis.outcomes import Panel
    from quantrial.design.forecast import Ask, Clusters, Forecast, Rates, Spread, Teller

_STUDIES = (
    "simulated: 400 studies are drawn from the run's own items and tested; a power near 80 % is "
    "known to about 4 points, and the curve is an approximation"
)


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
    check_source(assumed)
    check_asked(n, power, margin, alpha)
    check_clusters(assumed, n)
    if assumed.run is not None:
        from quantrial.commands.results import sound
        from quantrial.runfolder import SUMMARY

        run = Path(assumed.run)
        with sound(run / SUMMARY):
            return _from_run(run, assumed, n, power, margin, alpha)
    from quantrial.design.forecast import Ask, forecast

    truth = stated(assumed)
    clusters, n = placed(assumed, n)
    asked = Ask(n, power, MARGIN if margin is None else margin, alpha or ALPHA)
    teller = None if clusters is None else _over_clusters(truth, asked, clusters)
    notes = (ASSUMED,) if assumed.is_typical else ()
    found = forecast(truth, asked, teller)
    return PowerStudy((Scenario("", None, None, None, None, found, notes),))


def _over_clusters(
    truth: Rates | Spread, asked: Ask, clusters: Clusters, seen: Seen | None = None
) -> Teller:
    from quantrial.design.clustered import OverClusters

    if seen is None:
        return OverClusters(truth, asked, clusters)
    sizes = seen.sizes if clusters == seen.clusters else ()
    return OverClusters(truth, asked, clusters, pilot=seen.pilot, sizes=sizes)


def _from_run(
    run: Path,
    given: Assumptions,
    n: int | None,
    power: float,
    margin: float | None,
    alpha: float | None,
) -> PowerStudy:
    from quantrial.analysis.versions import METHODS_VERSION, methods_version
    from quantrial.commands.derived import derive_summary
    from quantrial.commands.power_assumptions import seen_over_clusters
    from quantrial.design.forecast import Ask, forecast
    from quantrial.runfolder import SUMMARY, RunFolder

    folder = RunFolder(run)
    folder.require()
    document = folder.read_document(SUMMARY, command="analyze")
    if methods_version(document) != METHODS_VERSION:  # it may lack what is read here
        document = derive_summary(run, methods=str(document.get("methods")))
    summary = load_summary(document, path=run / SUMMARY)
    scenarios, notes = [], []
    scored = _Scored(run)
    tasks = _chosen("task", given.task, list(summary.tasks))
    for task, contrast in _contrasts(summary, tasks, _candidates(summary, given.candidate)):
        part, candidate = summary.tasks[task], contrast.candidate
        reference, observed = contrast.reference, contrast.n
        seen = (
            seen_over_clusters(scored.panel(task), reference, candidate, given)
            if _is_clustered(contrast)
            else _observed(part, contrast, given.difference)
        )
        if isinstance(seen, str):
            notes.append(f"{task}, {candidate}: {seen}")
            continue
        clusters, items = placed(given, n, seen=seen.clusters, observed=max(2, observed))
        asked = Ask(items, power, part.margin if margin is None else margin, alpha or summary.alpha)
        kind, said, teller = seen.kind, seen.notes, None
        if clusters is not None:
            teller = _over_clusters(seen.assumed, asked, clusters, seen)
        elif kind == "scores":
            seed = summary.study.seed
            teller = _drawn(scored.panel(task), reference, candidate, seed, seen, asked)
            said = (*said, _STUDIES)
        scenarios.append(
            Scenario(
                f"{task}, {candidate} against {reference} ({kind} of {run})",
                task,
                candidate,
                part.primary,
                observed,
                forecast(seen.assumed, asked, teller),
                said,
            )
        )
    if not scenarios:
        raise StudyError("; ".join(notes) or "no contrast to plan from", path=run)
    return PowerStudy(tuple(scenarios), tuple(notes))


class _Scored:
    """A run's scores, derived once and only where they are needed."""

    def __init__(self, run: Path):
        self._run = run
        self._tasks: dict[str, TaskOutcomes] = {}

    def panel(self, task: str) -> Panel:
        from quantrial.commands.derived import score_run

        if not self._tasks:
            self._tasks = score_run(self._run)
        return self._tasks[task].panel


def _drawn(
    panel: Panel, reference: str, candidate: str, seed: int, seen: Seen, asked: Ask
) -> Teller:
    """Answer by studies drawn from the run's own items."""
    from quantrial.design.forecast import Spread
    from quantrial.design.simulation import Drawn, Pilot

    mask, arms, e = panel.locate((reference, candidate), panel.endpoints[0].name)
    top, bottom = panel.scores(mask, arms, e)
    support = 1.0 if panel.endpoints[0].type == "mean" else None
    assert isinstance(seen.assumed, Spread)
    return Drawn(Pilot(top, bottom, support, seed), seen.assumed, asked)


def _is_clustered(contrast: Contrast) -> bool:
    """Whether a run asked about random clusters; it is refused over them alone."""
    return contrast.ci_method == "refused" or "cluster" in contrast.ci_method


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
    from quantrial.design.forecast import Rates, Spread

    if part.main.arms[contrast.candidate].method != "wilson":
        sd, estimate = contrast.sd_paired, contrast.estimate
        if estimate is None:
            return "the run has no value of this difference (a ratio of nothing); state --sd"
        if sd is None or not sd > 0.0:
            return "the scores do not differ, so their spread is not known; state --sd"
        if difference is not None:
            return Seen("spread", Spread(sd, checked_difference(difference)))
        return Seen("scores", Spread(sd, estimate))
    pair = (contrast.reference, contrast.candidate)
    flips = {(f.reference, f.candidate): f for f in part.flips}[pair]
    harmful, beneficial, n = flips.harmful, flips.beneficial, flips.n
    if n == 0:
        return "no item was answered by both"
    rates = Rates(harmful / n, beneficial / n)
    if difference is not None:
        rates = split(rates.harmful + rates.beneficial, checked_difference(difference))
    return Seen("flips", rates, (_trust(harmful + beneficial, n),))


def _trust(changed: int, n: int) -> str:
    """Say what discordance a pilot's flips leave open."""
    from quantrial.stats import clopper_pearson

    ends = clopper_pearson(changed, n).interval
    return (
        f"{changed} of {n} answers changed; a discordance from {100 * ends.low:.1f} to "
        f"{100 * ends.high:.1f} % would fit (95 %), so try --discordance {ends.high:.3f} too"
    )
