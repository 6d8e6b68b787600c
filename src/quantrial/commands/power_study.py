"""`power`: one forecast for every thing to plan from, stated or seen in an earlier run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.errors import RecordError, StudyError

if TYPE_CHECKING:
    from quantrial.analysis import TaskOutcomes
    from quantrial.design.forecast import Ask, Forecast, Rates, Spread, Teller

_MARGIN, _ALPHA = 0.01, 0.05
_STUDIES = (
    "simulated: 400 studies are drawn from the run's own items and tested; a power near 80 % is "
    "known to about 4 points, and the curve is an approximation"
)


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What to plan from: one of four, a difference perhaps beside it.

    - `harmful` and `beneficial`: shares of items that only the reference, only the candidate gets
      right;
    - `discordance`, the sum of the two, with `difference` (0 unless stated);
    - `sd`, the standard deviation of a paired difference of any score, with `difference`;
    - `run`, an earlier run folder: what it observed, for one `task`, one `candidate`, or all;
      `difference` replaces the observed one.

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
    """
    if not isinstance(assumed, Assumptions):
        assumed = Assumptions(run=assumed)
    _check_source(assumed)
    _check_asked(n, power, margin, alpha)
    if assumed.run is not None:
        return _from_run(Path(assumed.run), assumed, n, power, margin, alpha)
    from quantrial.design.forecast import Ask, forecast

    asked = Ask(n, power, _MARGIN if margin is None else margin, alpha or _ALPHA)
    return PowerStudy((Scenario("", None, None, None, None, forecast(_stated(assumed), asked)),))


# --- the door ----------------------------------------------------------------------------------


def _check_source(given: Assumptions) -> None:
    """Refuse nothing to plan from, two things that contradict, and a stray option."""
    rates = given.harmful is not None or given.beneficial is not None
    sources = {
        "harmful and beneficial": rates,
        "discordance": given.discordance is not None,
        "sd": given.sd is not None,
        "from (a run)": given.run is not None,
    }
    named = [name for name, there in sources.items() if there]
    if not named:
        raise StudyError(
            "nothing to plan from: state harmful and beneficial (shares of items), or discordance,"
            " or sd, or an earlier run (--from RUN)"
        )
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


def _check_asked(n: int | None, power: float, margin: float | None, alpha: float | None) -> None:
    if n is not None and n < 2:
        raise StudyError(f"{n} is no study; at least 2 items are needed", key="n")
    _inside("power", power, 1.0)
    _inside("margin", _MARGIN if margin is None else margin, 1.0)
    _inside("alpha", _ALPHA if alpha is None else alpha, 0.5)


def _inside(key: str, value: float, high: float) -> None:
    if not 0.0 < value < high:
        raise StudyError(f"{value:g} is out of range; it lies between 0 and {high:g}", key=key)


def _stated(given: Assumptions) -> Rates | Spread:
    """Turn stated assumptions into rates or a spread."""
    from quantrial.design.forecast import Rates, Spread

    if given.sd is not None:
        if not (math.isfinite(given.sd) and given.sd > 0.0):
            raise StudyError(f"{given.sd:g} is no spread to plan from; it is above 0", key="sd")
        return Spread(given.sd, _checked_difference(given.difference))
    if given.discordance is not None:
        _share("discordance", given.discordance)
        return _split(given.discordance, _checked_difference(given.difference))
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


def _checked_difference(value: float | None) -> float:
    if value is None:
        return 0.0
    if not -1.0 <= value <= 1.0:
        raise StudyError(
            f"{value:g} is no difference; half a point lost is -0.005", key="difference"
        )
    return value


def _split(discordance: float, difference: float) -> Rates:
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


# --- an earlier run ----------------------------------------------------------------------------


def _from_run(
    run: Path,
    given: Assumptions,
    n: int | None,
    power: float,
    margin: float | None,
    alpha: float | None,
) -> PowerStudy:
    from quantrial.design.forecast import Ask, Spread, forecast
    from quantrial.running.store import SUMMARY, RunFolder

    folder = RunFolder(run)
    folder.require()
    summary: Mapping[str, Any] = folder.read_document(SUMMARY, command="analyze")
    scenarios, notes = [], []
    scores: dict[str, TaskOutcomes] = {}
    try:
        tasks = _chosen("task", given.task, list(summary["tasks"]))
        for task, contrast in _contrasts(summary, tasks, _candidates(summary, given.candidate)):
            part, candidate = summary["tasks"][task], contrast["candidate"]
            observed = int(contrast["n"])
            assumed, said = _observed(part, contrast, given.difference)
            if assumed is None:
                notes.append(f"{task}, {candidate}: {said[0]}")
                continue
            asked = Ask(
                n or max(2, observed),
                power,
                part["margin"] if margin is None else margin,
                alpha or summary["alpha"],
            )
            teller, kind = None, "flips"
            if isinstance(assumed, Spread):
                kind = "spread"
                if given.difference is None and "cluster" not in contrast["ci_method"]:
                    kind, seed = "scores", summary["study"]["seed"]
                    teller = _drawn(
                        run, scores, contrast, task=task, seed=seed, spread=assumed, asked=asked
                    )
                    said = (*said, _STUDIES)
            scenarios.append(
                Scenario(
                    f"{task}, {candidate} against {contrast['reference']} ({kind} of {run})",
                    task,
                    candidate,
                    part["primary"],
                    observed,
                    forecast(assumed, asked, teller),
                    said,
                )
            )
    except (KeyError, TypeError, AttributeError) as exc:
        raise RecordError(
            f"not a summary as `quantrial analyze` writes it ({type(exc).__name__}: {exc})",
            path=run / SUMMARY,
        ) from exc
    if not scenarios:
        raise StudyError("; ".join(notes) or "no contrast to plan from", path=run)
    return PowerStudy(tuple(scenarios), tuple(notes))


def _drawn(
    run: Path,
    scores: dict[str, TaskOutcomes],
    contrast: Mapping[str, Any],
    *,
    task: str,
    seed: int,
    spread: Spread,
    asked: Ask,
) -> Teller:
    """Answer by studies drawn from the run's own items; `scores` keeps what was scored before."""
    from quantrial.commands.derived import score_run
    from quantrial.design.simulation import Drawn, Pilot

    if not scores:
        scores |= score_run(run)
    panel = scores[task].panel
    pair = (contrast["reference"], contrast["candidate"])
    mask, arms, e = panel.locate(pair, panel.endpoints[0].name)
    top, bottom = panel.scores(mask, arms, e)
    support = 1.0 if panel.endpoints[0].type == "mean" else None
    return Drawn(Pilot(top, bottom, support, seed), spread, asked)


def _candidates(summary: Mapping[str, Any], chosen: str | None) -> Sequence[str]:
    """Return the chosen arm, or every candidate; a control is one only when it is asked for."""
    arms = [arm for arm in summary["arms"] if arm != summary["reference"]]
    if chosen is not None:
        return _chosen("candidate", chosen, arms)
    return [arm for arm in arms if not summary["arms"][arm].get("control")]


def _chosen(key: str, chosen: str | None, there: Sequence[str]) -> Sequence[str]:
    if chosen is None:
        return there
    if chosen not in there:
        raise StudyError(f"the run has no {chosen!r}; it has {', '.join(there)}", key=key)
    return [chosen]


def _contrasts(
    summary: Mapping[str, Any], tasks: Sequence[str], candidates: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for task in tasks:
        part = summary["tasks"][task]
        for contrast in part["endpoints"][part["primary"]]["contrasts"]:
            if (
                contrast["reference"] == summary["reference"]
                and contrast["candidate"] in candidates
            ):
                yield task, contrast


def _observed(
    part: Mapping[str, Any], contrast: Mapping[str, Any], difference: float | None
) -> tuple[Rates | Spread | None, tuple[str, ...]]:
    """Return what a run observed of a contrast, and notes on how far to trust it.

    Flips tell everything of a proportion, whose arms have a Wilson interval; of other scores the
    spread is taken. None, with the reason, where there is nothing to plan from.
    """
    from quantrial.design.forecast import Rates, Spread

    arms = part["endpoints"][part["primary"]]["arms"]
    notes = []
    clustered = "cluster" in contrast["ci_method"]
    if contrast["ci_method"] == "refused":
        return None, ("its clusters are too few to know how much they differ; at least 5",)
    if clustered:
        notes.append(
            "the run's items come in clusters: the spread holds their observed design effect, and "
            "more items are those of more clusters like these"
        )
    if clustered or arms[contrast["candidate"]]["method"] != "wilson":
        sd, estimate = contrast["sd_paired"], contrast["estimate"]
        if sd is None or estimate is None or not sd > 0.0:
            return None, ("the scores do not differ, so their spread is not known; state --sd",)
        return Spread(
            sd, estimate if difference is None else _checked_difference(difference)
        ), tuple(notes)
    pair = (contrast["reference"], contrast["candidate"])
    flips = next(f for f in part["flips"] if (f["reference"], f["candidate"]) == pair)
    harmful, beneficial, n = (int(flips[key]) for key in ("harmful", "beneficial", "n"))
    if n == 0:
        return None, ("no item was answered by both",)
    rates = Rates(harmful / n, beneficial / n)
    notes.append(_trust(harmful + beneficial, n))
    if difference is not None:
        rates = _split(rates.harmful + rates.beneficial, _checked_difference(difference))
    return rates, tuple(notes)


def _trust(changed: int, n: int) -> str:
    """Say what discordance a pilot's flips leave open."""
    from quantrial.stats import clopper_pearson

    ends = clopper_pearson(changed, n).interval
    return (
        f"{changed} of {n} answers changed; a discordance from {100 * ends.low:.1f} to "
        f"{100 * ends.high:.1f} % would fit (95 %), so try --discordance {ends.high:.3f} too"
    )
