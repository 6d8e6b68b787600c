"""A decision under constraints, in words: the pick, or the nearest miss, and why not the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quantrial.decision.guards import guards_of
from quantrial.decision.pick import choose, costs_more, matter, tolerance
from quantrial.decision.shipping import LOSSES, Shown, in_words, not_among, shown
from quantrial.decision.trial import Trial
from quantrial.decision.unanswered import kept_all_the_same, left_open
from quantrial.decision.words import Document, by_margin, evidence
from quantrial.documents.decision import Constraints
from quantrial.precision import stated_of
from quantrial.words import listed, margin, points, short_seconds, size, times


def constrained(
    trial: Trial, table: Document, limits: Constraints, of_study: Constraints
) -> dict[str, Any]:
    """Pick the cheapest arm that breaks no constraint, or name the nearest miss.

    `of_study` are the constraints of the study file, to tell which of them hold here.
    """
    settings = limits.document()
    tasks, answer = matter(table, settings), choose(table, settings)
    pick, other = answer["pick"], answer["alternative"]
    ship = shown(trial, table, settings)
    breaks = {
        arm: [_in_words(trial, table, arm, one, ship) for one in broken]
        for arm, broken in answer["breaks"].items()
    }
    guards: list[dict[str, Any]] = []
    if pick is not None:
        because = [
            finding["id"]
            for task in tasks
            if pick != trial.reference and (finding := trial.primary(task, pick))
        ]
        because += [pace["id"]] if (pace := trial.pace(pick)) else []
        text = f"Under your constraints, ship {pick}"
        if pick == trial.reference:
            text += ", the reference."
        else:
            losses = {task: _limit(table, settings, task, pick) for task in tasks}
            kept = by_margin((loss, trial.named(task)) for task, loss in losses.items())
            p = _p_in_words(trial, table, losses, ship.get(pick))
            text += f": {trial.saving(pick)}; shown to lose less than {kept}{p}."
            guards = [one for one in guards_of(trial, pick) if one["task"] in tasks]
            more = (guard["text"] for guard in guards)
            text = " ".join([text, *more, *_reserved(trial, losses, pick)])
            because += [guard["because"] for guard in guards]
    else:
        because = [one["because"] for one in breaks[other] if one["because"]]
        text = (
            f"No arm keeps all your constraints. The nearest miss is {other}: "
            + "; ".join(dict.fromkeys(one["text"] for one in breaks[other]))
            + "."
        )
    return {
        "constraints": settings,
        "of_study": list(limits.shared(of_study)),
        "pick": pick,
        "p_value": ship[pick].p_adjusted if pick in ship else None,
        "guards": guards,
        "nearest": other if pick is None else pick,
        "text": text,
        "because": because,
        "evidence": [_evidence(trial, table, settings, finding) for finding in because],
        "rejected": [{"arm": arm, "breaks": broken} for arm, broken in breaks.items() if broken],
        "alternative": _alternative(table, settings, pick, other, breaks),
    }


def _alternative(
    table: Document,
    settings: Document,
    pick: str | None,
    other: str | None,
    breaks: Mapping[str, Sequence[Document]],
) -> dict[str, Any] | None:
    """Say which answer is nearest to this one, and what stands against it."""
    if other is None:
        return None
    if not breaks[other]:
        text = f"The next in line is {other}, which keeps all your constraints too"
        if pick is not None and costs_more(table, settings, other, pick):
            text += " and costs more"
        text += "."
    else:
        what = "; ".join(dict.fromkeys(one["text"] for one in breaks[other]))
        kind = "nearest miss" if pick is None else "nearest cheaper arm"
        text = f"The {kind} is {other}: {what}."
    return {
        "arm": other,
        "breaks": [{k: one[k] for k in ("constraint", "task")} for one in breaks[other]],
        "text": text,
    }


def _limit(table: Document, settings: Document, task: str, arm: str) -> float:
    """Return the loss that an arm is held against on a task: what is tolerated, else the margin."""
    tolerated = tolerance(table, settings, task)
    own: float = table["tasks"][task]["arms"][arm]["margin"]
    return own if tolerated is None else tolerated


def _p_in_words(
    trial: Trial, table: Document, losses: Mapping[str, float], one: Shown | None
) -> str:
    """Write the p of the claim; that at another loss than the margin follows from intervals."""
    if one is None or one.p_adjusted is None or one.p_adjusted >= trial.summary["alpha"]:
        return ""
    rows = {task: table["tasks"][task]["arms"][one.arm] for task in losses}
    return in_words(one, about=any(rows[task]["margin"] != loss for task, loss in losses.items()))


def _reserved(trial: Trial, losses: Mapping[str, float], arm: str) -> Iterator[str]:
    """Say what the claim stands on besides: answers that are missing, few changes."""
    yield from kept_all_the_same(trial, losses, arm)
    asked = [finding for task in losses if (finding := trial.primary(task, arm))]
    for over, why in _ROUGH.items():
        where = [
            trial.named(finding["task"])
            for finding in asked
            if finding["approximate"] and finding["over_clusters"] is over
        ]
        if where:
            yield f"On {listed(where)} the claim is approximate: {why}."


# by whether items speak for random clusters
_ROUGH = {
    False: "it rests on few changes",
    True: "it speaks for clusters like these, whose chances of leaning one way are not known",
}


def _evidence(trial: Trial, table: Document, settings: Document, finding: str) -> str:
    """Write a finding with the interval that the tolerance is held against, where there is one."""
    found = trial.findings[finding]
    if found["kind"] != "primary":
        return evidence(found)
    return evidence(found, tolerated=tolerance(table, settings, found["task"]))


def _in_words(
    trial: Trial, table: Document, arm: str, broken: Document, ship: Mapping[str, Shown]
) -> dict[str, Any]:
    """Give a break its sentence and its finding."""
    task = broken["task"]
    row = None if task is None else table["tasks"][task]["arms"][arm]
    loss = broken["constraint"] in {*LOSSES, "choice"}
    finding: Document | None = None
    if loss and row and row["finding"]:
        finding = trial.findings[row["finding"]]
    elif broken["constraint"] == "min_speedup":
        finding = trial.pace(arm)
    return {
        **broken,
        "text": _loss(trial, arm, row, broken, ship.get(arm))
        if loss and row
        else _cost(trial, arm, broken),
        "because": None if finding is None else finding["id"],
        "evidence": [] if finding is None else [evidence(finding)],
    }


def _cost(trial: Trial, arm: str, broken: Document) -> str:
    name, task, value, limit = (broken[k] for k in ("constraint", "task", "value", "limit"))
    if name == "evidence":
        if task is None:
            return f"the trial did not see harm done on purpose, so it shows nothing of {arm}"
        return (
            f"{trial.reference} is not shown to be above its floor on {trial.named(task)}, so a "
            f"loss of {arm} could not show there"
        )
    if name == "identity":
        return f"nothing tells {arm} from {trial.twins[arm]}, so this trial shows nothing of it"
    what = {"max_memory": "memory", "min_speedup": "speed", "max_latency": "latency"}[name]
    where = "" if task is None else f" on {trial.named(task)}"
    if value is None:
        return f"the {what} of {arm}{where} is not known"
    if name == "max_memory":
        unit, name = (1, "bytes") if min(value, limit) < 1e6 else (1e6, "MB")
        verb, what = ("needs", "for its weights")
        if trial.memory_source == "peak":
            verb, what = ("holds", "at its peak")
        elif "bytes" in stated_of(trial.summary["arms"][arm]):
            what = "for its weights, as the study states"
        return (
            f"{arm} {verb} {math.ceil(value / unit):,} {name} {what}, at most "
            f"{math.floor(limit / unit):,} {name} are allowed"
        )
    if name == "min_speedup":
        return (
            f"{arm} decodes at {times(value)} the reference's speed, "
            f"at least {times(limit)} is asked for"
        )
    return (
        f"{arm} takes {short_seconds(value)} an answer{where}, "
        f"at most {short_seconds(limit)} are allowed"
    )


def _loss(trial: Trial, arm: str, row: Document, broken: Document, one: Shown | None) -> str:
    work, bound, limit = trial.named(broken["task"]), row["bound"], broken["limit"]
    if why := trial.said_of_prompts(arm):
        return why
    if row["finding"] is None:
        return f"{arm} shares no answered item with the reference on {work}"
    if broken["constraint"] == "missing":
        return f"{arm} is {left_open(trial, trial.findings[row['finding']], limit)}"
    if broken["constraint"] == "choice" and one is not None:
        return f"{arm} is shown to lose less than {margin(limit)} on {work} {not_among(one)}"
    within = broken["constraint"] == "tolerate" and bound is not None and bound > -limit
    if row["worse"] and not within:
        return f"{arm} is worse on {work} ({points(row['estimate'])})"
    if broken["constraint"] == "quality" or bound is None or bound > -limit:
        return f"{arm} is not shown to lose less than {margin(limit)} on {work}"
    return f"{arm} may lose up to {size(bound)} on {work}, less than {margin(limit)} is tolerated"
