"""A decision under constraints, in words: the pick, or the nearest miss, and why not the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from quantrial.decision.evidence import Evidence
from quantrial.decision.open_questions import (
    kept_all_the_same,
    kept_in_words,
    left_open,
    loss_in_words,
)
from quantrial.decision.pick import Break, choose, costs_more, tasks_that_matter, tolerance
from quantrial.decision.risk import mitigations
from quantrial.decision.shipping import LOSSES, ShipTest, in_words, not_among, shown
from quantrial.documents.decision import (
    Alternative,
    Broken,
    BrokenName,
    Constrained,
    Constraints,
    Finding,
    Guard,
    Pace,
    Picker,
    PickerRow,
    Rejected,
)
from quantrial.errors import StudyError
from quantrial.words import (
    evidence_line,
    limit_words,
    listed,
    margin,
    short_seconds,
    times,
)


def check(constraints: Constraints, evidence: Evidence) -> None:
    """Refuse constraints that no study could meet, or that name what this one does not have.

    Raises:
        StudyError: with the constraint as its key.
    """
    known = sorted({part.workload for part in evidence.tasks.values()})
    for workload in constraints.workloads:
        if workload not in known:
            raise StudyError(
                f"no task of this study has the workload {workload!r}; its workloads are "
                f"{', '.join(known)}",
                key="workloads",
            )
    named = [*evidence.tasks, *(workload for workload in known if workload not in evidence.tasks)]
    for name in constraints.tolerate_by:
        if name not in named:
            raise StudyError(
                f"this study has no task or workload {name!r}; it has {', '.join(named)}",
                key="tolerate",
            )
        about = {
            part.main.unit for task, part in evidence.tasks.items() if name in (task, part.workload)
        }
        if None not in about:
            raise StudyError(
                f"what is tolerated is a share, and {name} is measured in "
                f"{listed(map(str, about))}; its margin in the study file says how much is",
                key="tolerate",
            )
    for arm in constraints.cost_per_hour_by:
        if arm not in evidence.by_cost:
            raise StudyError(
                f"this study has no arm {arm!r} to ship; it has {', '.join(evidence.by_cost)}",
                key="cost_per_hour",
            )
    for key, value in _numbers(constraints):
        if key == "tolerate" and not 0 < value < 1:
            raise StudyError(
                f"must lie between 0 and 1 (0pp and 100pp); got {value:g}", key="tolerate"
            )
        free = key in ("cost_per_hour", "error_cost") and value == 0
        if not free and not (value > 0 and math.isfinite(value)):
            raise StudyError(f"must be above 0; got {value:g}", key=key)


def _numbers(constraints: Constraints) -> Iterator[tuple[str, float]]:
    for one in fields(constraints):
        value = getattr(constraints, one.name)
        if isinstance(value, Mapping):
            for number in value.values():
                yield one.name.removesuffix("_by"), number
        elif value is not None and one.name != "workloads":
            yield one.name, value


def constrained(
    evidence: Evidence, table: Picker, settings: Constraints, of_study: Constraints
) -> Constrained:
    """Pick the cheapest arm that breaks no constraint, or name the nearest miss.

    `of_study` are the constraints of the study file, to tell which of them hold here.
    """
    tasks, answer = tasks_that_matter(table, settings), choose(table, settings)
    pick, other = answer.pick, answer.alternative
    ship = shown(evidence, table, settings)
    breaks = {
        arm: tuple(_in_words(evidence, table, arm, one, ship) for one in broken)
        for arm, broken in answer.breaks.items()
    }
    guards: tuple[Guard, ...] = ()
    found: list[Finding | Pace] = []
    if pick is not None:
        text = f"Under your constraints, ship {pick}"
        if pick == evidence.reference:
            text += ", the reference."
        else:
            losses = {task: _limit(table, settings, task, pick) for task in tasks}
            own = {one.task: one for one in evidence.primaries(pick, tasks)}
            claims = kept_in_words(
                evidence,
                [(own[task], loss, evidence.named(task)) for task, loss in losses.items()],
                _p_in_words(evidence, table, losses, ship.get(pick)),
            )
            text += f". {evidence.cost_in_words(pick)} {' '.join(claims)}"
            guards = tuple(one for one in mitigations(evidence, pick) if one.task in tasks)
            more = (guard.text for guard in guards)
            text = " ".join([text, *more, *_reserved(evidence, losses, pick)])
            found += evidence.primaries(pick, tasks)
        found += [pace] if (pace := evidence.pace(pick)) else []
        found += [evidence.findings[guard.because] for guard in guards]
    else:
        assert other is not None  # the reference could be picked, so it is at least a near miss
        found = [evidence.cited(one.because) for one in breaks[other] if one.because]
        text = f"{limit_words('none')}. The nearest miss is {other}. {_all(breaks[other])}"
    return Constrained(
        constraints=settings,
        of_study=settings.shared(of_study),
        pick=pick,
        p_value=ship[pick].p_adjusted if pick in ship else None,
        guards=guards,
        nearest=pick or other or evidence.reference,
        text=text,
        because=tuple(one.id for one in found),
        evidence=tuple(_line(table, settings, one) for one in found),
        rejected=tuple(
            Rejected(arm=arm, breaks=broken) for arm, broken in breaks.items() if broken
        ),
        alternative=None if other is None else _alternative(table, settings, pick, other, breaks),
    )


def _alternative(
    table: Picker,
    settings: Constraints,
    pick: str | None,
    other: str,
    breaks: Mapping[str, Sequence[Broken]],
) -> Alternative:
    """Say which answer is nearest to this one, and what stands against it."""
    if breaks[other]:
        kind = "nearest miss" if pick is None else "nearest cheaper arm"
        text = f"The {kind} is {other}. {_all(breaks[other])}"
    else:
        more = pick is not None and costs_more(table, settings, other, pick)
        text = f"The next in line is {other}. It keeps all your constraints too"
        text += " and costs more." if more else "."
    names = (BrokenName(constraint=one.constraint, task=one.task) for one in breaks[other])
    return Alternative(arm=other, breaks=tuple(names), text=text)


def _all(broken: Sequence[Broken]) -> str:
    """Say all that an arm breaks, each once."""
    return " ".join(dict.fromkeys(one.text for one in broken))


def _limit(table: Picker, settings: Constraints, task: str, arm: str) -> float:
    """Return the loss that an arm is held against on a task: what is tolerated, else the margin."""
    tolerated = tolerance(table, settings, task)
    return table.tasks[task].arms[arm].margin if tolerated is None else tolerated


def _p_in_words(
    evidence: Evidence, table: Picker, losses: Mapping[str, float], one: ShipTest | None
) -> str:
    """Write the p of the claim; that at another loss than the margin follows from intervals."""
    if one is None or one.p_adjusted is None or one.p_adjusted >= evidence.alpha:
        return ""
    margins = {task: table.tasks[task].arms[one.arm].margin for task in losses}
    return in_words(one, about=any(margins[task] != loss for task, loss in losses.items()))


def _reserved(evidence: Evidence, losses: Mapping[str, float], arm: str) -> Iterator[str]:
    """Say what the claim stands on besides: answers that are missing, few changes."""
    yield from kept_all_the_same(evidence, losses, arm)
    asked = evidence.primaries(arm, losses)
    for over, why in _ROUGH.items():
        where = [
            evidence.named(finding.task)
            for finding in asked
            if finding.approximate and finding.over_clusters is over
        ]
        if where:
            yield f"On {listed(where)} the claim is approximate: {why}."


# by whether items speak for random clusters
_ROUGH = {
    False: "it rests on few changes",
    True: "it speaks for other clusters like these, and how these lean is not known",
}


def _line(table: Picker, settings: Constraints, finding: Finding | Pace) -> str:
    """Write a finding with the interval that the tolerance is held against, where there is one."""
    if finding.kind != "primary":
        return evidence_line(finding)
    return evidence_line(finding, tolerated=tolerance(table, settings, finding.task))


def _in_words(
    evidence: Evidence, table: Picker, arm: str, broken: Break, ship: Mapping[str, ShipTest]
) -> Broken:
    """Give a break its sentence and its finding."""
    finding: Finding | Pace | None
    if broken.task is not None and broken.constraint in {*LOSSES, "choice"}:
        row = table.tasks[broken.task].arms[arm]
        text = _loss(evidence, arm, broken.task, row, broken, ship.get(arm))
        finding = evidence.findings[row.finding] if row.finding else None
    else:
        text = _cost(evidence, arm, broken)
        finding = evidence.pace(arm) if broken.constraint == "min_speedup" else None
    return Broken(
        constraint=broken.constraint,
        task=broken.task,
        value=broken.value,
        limit=broken.limit,
        excess=broken.excess,
        text=text,
        because=None if finding is None else finding.id,
        evidence=() if finding is None else (evidence_line(finding),),
    )


def _cost(evidence: Evidence, arm: str, broken: Break) -> str:
    name, task, value, limit = broken.constraint, broken.task, broken.value, broken.limit or 0
    if name == "evidence":
        if task is None:
            return f"{evidence.missed_harm()}, so it says nothing about {arm}."
        return f"{evidence.no_loss_can_show(task)} of {arm}."
    if name == "identity":
        twin = evidence.identical[arm]
        return f"{arm} {limit_words('identity', twin=twin)}."
    what = {"max_memory": "memory", "min_speedup": "speed", "max_latency": "latency"}[name]
    where = "" if task is None else f" on {evidence.named(task)}"
    if value is None:
        return f"The {what} of {arm}{where} is not known."
    if name == "max_memory":
        unit, units = (1, "bytes") if min(value, limit) < 1e6 else (1e6, "MB")
        source = "peak" if evidence.memory_source == "peak" else "file"
        held = limit_words(source, value=f"{math.ceil(value / unit):,} {units}")
        if source == "file" and "bytes" in evidence.summary.arms[arm].weights_stated:
            held += ", as the study states"
        return f"{arm} {held}; you allow at most {math.floor(limit / unit):,} {units}."
    if name == "min_speedup":
        own, asked = times(value), times(limit)
        than = limit_words("min_speedup", value=own, reference=evidence.reference)
        asked = "slightly more" if own == asked else f"at least {asked}"
        return f"{arm} {than}; you ask for {asked}."
    own, allowed = short_seconds(value), short_seconds(limit)
    allowed = "slightly less" if own == allowed else f"at most {allowed}"
    takes = limit_words("max_latency", value=own, work=evidence.named(task or ""))
    return f"{arm} {takes}; you allow {allowed}."


def _loss(
    evidence: Evidence, arm: str, task: str, row: PickerRow, broken: Break, one: ShipTest | None
) -> str:
    work, limit = evidence.named(task), broken.limit or 0.0
    if why := evidence.why_other_prompts(arm):
        return why
    if row.finding is None:
        none = limit_words("nothing_in_common", reference=evidence.reference, work=work)
        return f"{arm} {none}."
    if broken.constraint == "missing":
        return left_open(evidence, evidence.findings[row.finding], limit)
    if broken.constraint == "choice" and one is not None:
        least = margin(limit, evidence.tasks[task].main.unit)
        again = evidence.findings[row.finding].again
        less = limit_words("loses_less", again=again, limit=least, work=work, alone=not_among(one))
        return f"{arm} {less}."
    accepted = broken.constraint == "tolerate"
    return loss_in_words(evidence, evidence.findings[row.finding], limit, accepted=accepted)
