"""The rules: default, pick when, avoid for, stay when, and what to be careful of.

Every entry has a `text`, the ids of its findings in `because`, and their numbers in `evidence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from msgspec import UNSET

from quantrial.agreement import fingerprint
from quantrial.decision.cautions import cautions
from quantrial.decision.constrained import check, constrained
from quantrial.decision.evidence import Evidence, MarginTest, cited, keeps_margin
from quantrial.decision.open_questions import (
    answers_missing,
    kept_all_the_same,
    kept_in_words,
    what_is_missing,
)
from quantrial.decision.risk import mitigations, risks
from quantrial.decision.sensitivity import sensitivity
from quantrial.decision.shipping import Shipping, ShipTest, in_words, not_among
from quantrial.decision.table import picker
from quantrial.documents import Summary, load_summary
from quantrial.documents import to_dict as summary_document
from quantrial.documents.decision import (
    AvoidFor,
    Constraints,
    Control,
    Decision,
    Default,
    Finding,
    Methods,
    Missing,
    PickWhen,
    StayWhen,
    to_dict,
)
from quantrial.words import by_margin, listed, margin, size, times, verdict_word

DECISION_SCHEMA: Final = "quantrial.decision/1"


def decide_from(
    summary: Mapping[str, Any],
    constraints: Constraints | None = None,
    *,
    of_study: Constraints | None = None,
) -> dict[str, Any]:
    """Turn `summary.json` into `decision.json`; see `decide`.

    Raises:
        RecordError: the summary is not what this version's summaries are.
    """
    return to_dict(decide(load_summary(summary), constraints, of_study=of_study))


def decide(
    summary: Summary,
    constraints: Constraints | None = None,
    *,
    of_study: Constraints | None = None,
) -> Decision:
    """Turn a summary into a decision.

    Args:
        summary: what was found.
        constraints: all that hold.
        of_study: those of the study file, so that the decision can tell which were taken from it.

    Raises:
        StudyError: a constraint names a workload that the study does not have, or is out of range.
    """
    constraints = constraints or Constraints()
    evidence = Evidence(summary)
    check(constraints, evidence)
    table = picker(evidence)
    ship = Shipping.of(evidence, table, Constraints())
    default = _default(evidence, ship)
    guarded = {guard.because for arm in evidence.candidates for guard in mitigations(evidence, arm)}
    return Decision(
        schema=DECISION_SCHEMA,
        study=summary.study,
        methods=cast(Methods, summary.methods),
        made_of=made_of(summary),
        reference=evidence.reference,
        default=default,
        pick_when=tuple(
            _pick_when(evidence, arm, ship)
            for arm in evidence.cheaper_than(default.arm)
            if arm not in evidence.identical and arm not in evidence.other_prompts
        ),
        avoid_for=tuple(_avoid_for(evidence, default)),
        stay_when=tuple(_stay_when(evidence, constraints, ship, default)),
        cautions=cautions(evidence, guarded),
        controls=tuple(_control(evidence, arm) for arm in evidence.controls),
        constrained=(
            constrained(evidence, table, constraints, of_study or Constraints())
            if constraints.stated
            else UNSET
        ),
        risk=tuple(risks(evidence, constraints)),
        sensitivity=sensitivity(evidence, table, constraints),
        ordered_by=evidence.ordered_by,
        costs={arm: evidence.cost(arm) for arm in evidence.by_cost},
        ship=ship.documents(evidence),
        picker=table,
        findings=evidence.findings,
        paces=evidence.paces,
    )


def made_of(summary: Summary) -> dict[str, str]:
    """Name the summary that a decision is made of, by what it says."""
    of_files = ("inputs", "quantrial")  # a file may change, and no number with it
    content = {
        key: value for key, value in summary_document(summary).items() if key not in of_files
    }
    return {"summary.json": fingerprint(content)}


def _default(evidence: Evidence, ship: Shipping) -> Default:
    """Choose the cheapest arm shown to keep the margin on every task, else the reference.

    With missing answers held against it, and the choice among the candidates allowed for.
    `conclusive` is false where the study could not have seen harm, or no cheaper arm was shown what
    the reference was: then nothing cheaper is shipped.
    """
    reference, tasks = evidence.reference, evidence.tasks
    blind = evidence.blindness()
    known = [arm for arm in evidence.cheaper if arm not in evidence.identical]
    if known and all(arm in evidence.other_prompts for arm in known):
        blind = [*blind, f"Every cheaper arm was shown other prompts than {reference}."]
    if ship.pick in known:
        return _ship(evidence, ship.pick, ship.shown.get(ship.pick))
    missing = [
        what_is_missing(evidence, task, arm)
        for arm in known
        for task in tasks
        if not evidence.holds(task, arm)
    ]
    missing += [_alone(evidence, ship.shown[arm]) for arm in known if arm in ship.alone]
    why = blind or [_why_stay(evidence, known)]
    text = " ".join(
        [f"Stay with {reference}.", *why, *dict.fromkeys(part.text for part in missing)]
    )
    found = [evidence.findings[part.because] for part in missing if part.because]
    return Default(
        arm=reference, missing=tuple(missing), conclusive=not blind, **cited(text, found)
    )


def _why_stay(evidence: Evidence, known: Sequence[str]) -> str:
    """Say why no cheaper arm is shipped; `known` are those that differ from the others."""
    if not evidence.candidates:
        return "This study has no other arm to ship."
    if not evidence.cheaper:
        return "No other arm is known to cost less."
    if not known:
        single = len(evidence.cheaper) == 1
        return (
            f"{listed(evidence.cheaper)} {'looks' if single else 'look'} identical to another arm "
            "of this study."
        )
    parts = {
        evidence.named(task): margin(part.margin, part.main.unit)
        for task, part in evidence.tasks.items()
    }
    margins = by_margin((bar, work) for work, bar in parts.items())
    where = margins.replace(" on ", " or more on ", 1)
    if len(parts) > 1:
        same = len(set(parts.values())) == 1
        lost = f"{next(iter(parts.values()))} or more" if same else "the margin or more"
        where = f"{lost} on at least one workload{'' if same else f' ({margins})'}"
    against = {part.main.against for part in evidence.tasks.values()}
    verb = {"gold": "lose", "reference": "change"}
    could = " or ".join(verb[one] for one in verb if one in against)
    beyond = f", beyond what {evidence.reference} itself changes" if "reference" in against else ""
    cheaper = f"The cheaper arm {known[0]}" if len(known) == 1 else "Every cheaper arm"
    if len(known) < len(evidence.cheaper):
        cheaper = "Every cheaper arm that differs from the others"
    return f"{cheaper} could {could} {where}{beyond}."


def _ship(evidence: Evidence, arm: str, one: ShipTest | None) -> Default:
    found = evidence.primaries(arm)
    claims = kept_in_words(
        evidence,
        [
            (f, f.margin, f"{evidence.named(f.task)} ({verdict_word(f.verdict, f.against)})")
            for f in found
        ],
        in_words(one),
    )
    arm_mitigations = mitigations(evidence, arm)
    text = " ".join(
        [
            f"Ship {arm}. {evidence.cost_in_words(arm)}",
            *claims,
            *_small_losses(evidence, found),
            *kept_all_the_same(evidence, {f.task: f.margin for f in found}, arm),
            *(mitigation.text for mitigation in arm_mitigations),
        ]
    )
    guarded = (evidence.findings[mitigation.because] for mitigation in arm_mitigations)
    return Default(
        arm=arm,
        missing=(),
        conclusive=True,
        guards=arm_mitigations,
        p_value=None if one is None else one.p_adjusted,
        **cited(text, [*found, *guarded, evidence.pace(arm)]),
    )


def _small_losses(evidence: Evidence, found: Sequence[Finding]) -> Iterator[str]:
    """Say which losses are proven though they are within the margin."""
    for finding in found:
        if finding.also == "worse" and finding.estimate is not None:
            what = f"That more answers change on {evidence.named(finding.task)}"
            if finding.again is None:
                what = f"A loss on {evidence.named(finding.task)}"
            yield (
                f"{what} is proven, but within the margin "
                f"({size(finding.estimate, finding.unit)}, estimated)."
            )


def _alone(evidence: Evidence, one: ShipTest) -> Missing:
    """Say what an arm lacks that passes by itself and not as one of several."""
    weakest = max(evidence.primaries(one.arm), key=lambda f: MarginTest.of(f).p or 0.0)
    return Missing(
        arm=one.arm,
        task=weakest.task,
        because=weakest.id,
        items_needed=None,
        text=f"{one.arm} keeps the margin {not_among(one)}. Use more items or fewer candidates.",
    )


def _pick_when(evidence: Evidence, arm: str, ship: Shipping) -> PickWhen:
    worse, undecided = evidence.worse(arm), evidence.undecided(arm)
    speedup = evidence.speedup(arm)
    slower = speedup is not None and speedup <= 1.0
    kept = [evidence.named(task) for task in evidence.tasks if evidence.holds(task, arm)]
    lost = [evidence.named(finding.task) for finding in evidence.primaries(arm, worse)]
    changed = bool(worse) and all(evidence.again(task) for task in worse)
    sentences = [
        f"Pick {arm} only when you need to save {'memory' if slower else 'memory or time'}."
    ]
    if worse and len(worse) < len(evidence.tasks) and not changed:
        sentences.append(f"Do not pick it for {listed(lost, 'or')}.")
    elif worse:
        accepted = "that more answers change" if changed else "a loss"
        sentences.append(f"Then you accept {accepted} on {listed(lost)}.")
    if undecided:
        losses = listed(_open_loss(evidence, task, arm) for task in undecided)
        alone = f"Use it for {listed(kept, 'or')} alone, or accept"
        accept = alone if kept and not worse else "Then you accept"
        noun = "loss"
        if all(evidence.again(task) for task in undecided):
            noun = f"further change, beyond that of {evidence.reference} itself,"
        sentences.append(f"{accept} a possible {noun} of {losses}.")
    sentences.append(evidence.cost_in_words(arm))
    if arm in ship.alone:
        sentences.append(f"It keeps the margin {not_among(ship.shown[arm])}.")
    elif kept:
        sentences.append(f"It keeps the margin on {listed(kept)}.")
    if evidence.blindness():
        sentences.append("This study cannot show a loss of it.")
    arm_mitigations = mitigations(evidence, arm)
    small = _small_losses(evidence, evidence.primaries(arm))
    text = " ".join([*sentences, *small, *(mitigation.text for mitigation in arm_mitigations)])
    guarded = (evidence.findings[mitigation.because] for mitigation in arm_mitigations)
    return PickWhen(
        arm=arm,
        worse_on=evidence.workloads(worse),
        undecided_on=evidence.workloads(undecided),
        guards=arm_mitigations,
        **cited(text, [*evidence.primaries(arm), *guarded, evidence.pace(arm)]),
    )


def _open_loss(evidence: Evidence, task: str, arm: str) -> str:
    """Say how much may be lost on a task: `up to 7.9 pp on extraction`."""
    finding, work = evidence.primary(task, arm), evidence.named(task)
    floor = MarginTest.of(finding).ci[0] if finding else None
    if finding is None or floor is None:
        return f"unknown size on {work}"
    gaps = f" ({answers_missing(finding)})" if keeps_margin(finding) else ""
    unit = finding.unit
    small = floor > -finding.margin
    bar = margin(finding.margin, unit) if small else f"up to {size(floor, unit)}"
    return f"{bar} on {work}{gaps}"


def _avoid_for(evidence: Evidence, default: Default) -> Iterator[AvoidFor]:
    for arm in evidence.candidates:
        for finding in evidence.primaries(arm, evidence.worse(arm)):
            task = finding.task
            if finding.again is not None:  # a changed answer may be better
                continue
            lost = size(finding.estimate or 0.0, finding.unit)
            # the reasons to stay with the reference name the size of this loss
            known = finding.id in default.because
            why = "" if known else f": it loses {lost} there (estimated)"
            text = f"Avoid {arm} for {evidence.named(task)}{why}."
            arm_mitigations = [part for part in mitigations(evidence, arm) if part.task == task]
            found = [
                finding,
                *(evidence.findings[mitigation.because] for mitigation in arm_mitigations),
            ]
            yield AvoidFor(
                arm=arm, workload=evidence.tasks[task].workload, task=task, **cited(text, found)
            )


# How a verdict short of equivalence is said of an arm on some workloads.
_SHORT = {
    "worse": "is worse on {}",
    "inconclusive": "could lose the margin or more on {}",
    "missing": "lacks too many answers on {}",
    "choice": "keeps the margin only when tested alone on {}",
    "non_inferior": "could gain the margin or more on {}",
}
_SHORT_AGAIN = {
    **_SHORT,
    "worse": "changes more answers on {}",
    "inconclusive": "could change the margin or more on {}",
    "non_inferior": "could change fewer answers, by the margin or more, on {}",
}


def _short(finding: Finding, ship: Shipping) -> str:
    """Say how a finding stands: its verdict, unless something keeps that from being enough."""
    if keeps_margin(finding) and not MarginTest.of(finding).holds:
        return "missing"
    return "choice" if finding.candidate in ship.alone else finding.verdict


def _stay_when(
    evidence: Evidence, constraints: Constraints, ship: Shipping, default: Default
) -> Iterator[StayWhen]:
    bar, reference = constraints.min_speedup, evidence.reference
    for arm in evidence.cheaper:
        by_verdict: dict[tuple[str, bool], list[Finding]] = {}
        for finding in evidence.primaries(arm):
            key = _short(finding, ship), finding.again is not None
            by_verdict.setdefault(key, []).append(finding)
        keys = [(verdict, again) for verdict in _SHORT for again in (False, True)]
        short = {key: by_verdict[key] for key in keys if key in by_verdict}
        if short:
            why = listed(
                (_SHORT_AGAIN if again else _SHORT)[verdict].format(
                    listed(evidence.named(f.task) for f in found)
                )
                for (verdict, again), found in short.items()
            )
            when = (
                "any change of quality matters, even a gain"
                if {verdict for verdict, _ in short} == {"non_inferior"}
                else "quality matters most"
            )
            if all(again for _, again in short):
                when = "answers must not change"
            found = [finding for part in short.values() for finding in part]
            # the reasons to stay with the reference say what is worse or undecided
            known = (
                default.arm == reference
                and {verdict for verdict, _ in short} <= {"worse", "inconclusive"}
                and {finding.id for finding in found} <= set(default.because)
            )
            reason = "" if known else f": {arm} {why}"
            text = f"Stay with {reference} instead of {arm} when {when}{reason}."
            yield StayWhen(arm=reference, instead_of=arm, **cited(text, found))
        speedup = evidence.speedup(arm)
        if speedup is None:
            continue
        asked = bar is not None and speedup < bar
        if not asked and speedup > 1.0:
            continue
        at = f"{arm} decodes {times(speedup)} as fast as {reference}"
        if asked and bar is not None:
            same = times(bar) == times(speedup)
            at += ", slightly less than you ask for" if same else f"; you ask for {times(bar)}"
        text = f"Stay with {reference} instead of {arm} when speed is the reason to change: {at}."
        yield StayWhen(arm=reference, instead_of=arm, **cited(text, [evidence.pace(arm)]))


def _control(evidence: Evidence, arm: str) -> Control:
    worse = evidence.worse(arm)
    if worse:
        text = (
            f"This study can see harm: {arm} is damaged on purpose, and was found "
            f"{'to differ more' if all(map(evidence.again, worse)) else 'worse'} on "
            f"{listed(map(evidence.named, worse))}."
        )
    else:
        text = (
            f"This study can miss real harm: {arm} is damaged on purpose, and was found worse "
            "nowhere. Use more or harder items before you act on it."
        )
    found = evidence.primaries(arm, worse or evidence.tasks)
    return Control(arm=arm, found_worse=bool(worse), **cited(text, found))
