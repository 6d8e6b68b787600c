"""The rules: default, pick when, avoid for, stay when, and what to be careful of.

Every entry has a `text`, the ids of its findings in `because`, and their numbers in `evidence`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quantrial.agreement import fingerprint
from quantrial.decision.cautions import blindness, cautions
from quantrial.decision.constrained import constrained
from quantrial.decision.constraints import check
from quantrial.decision.guards import guards_of
from quantrial.decision.risk import risk
from quantrial.decision.sensitivity import sensitivity
from quantrial.decision.settle import missing as missing_on
from quantrial.decision.shipping import Shipping, Shown, in_words, not_among
from quantrial.decision.table import picker
from quantrial.decision.trial import Held, Trial, keeps_margin
from quantrial.decision.unanswered import answers_missing, kept_all_the_same
from quantrial.decision.words import Document, by_margin, entry
from quantrial.documents.decision import Constraints
from quantrial.words import listed, margin, size, times, verdict_word

DECISION_SCHEMA = "quantrial.decision/1"


def decide_from(
    summary: Document,
    constraints: Constraints | None = None,
    *,
    of_study: Constraints | None = None,
) -> dict[str, Any]:
    """Turn a summary into a decision document.

    Args:
        summary: what was found.
        constraints: all that hold.
        of_study: those of the study file, so that the decision can tell which were taken from it.

    Raises:
        StudyError: a constraint names a workload that the study does not have, or is out of range.
    """
    constraints = constraints or Constraints()
    trial = Trial(summary)
    check(constraints, trial)
    table = picker(trial)
    ship = Shipping.of(trial, table, {})
    default = _default(trial, ship)
    cited = {guard["because"] for arm in trial.candidates for guard in guards_of(trial, arm)}
    decision: dict[str, Any] = {
        "schema": DECISION_SCHEMA,
        "study": summary["study"],
        "methods": summary["methods"],
        "made_of": made_of(summary),
        "reference": trial.reference,
        "default": default,
        "pick_when": [
            _pick_when(trial, arm, ship)
            for arm in trial.cheaper_than(default["arm"])
            if arm not in trial.twins and arm not in trial.other_prompts
        ],
        "avoid_for": list(_avoid_for(trial)),
        "stay_when": list(_stay_when(trial, constraints, ship)),
        "cautions": cautions(trial, cited),
        "controls": [_control(trial, arm) for arm in trial.controls],
    }
    if constraints.stated:
        stated = of_study or Constraints()
        decision["constrained"] = constrained(trial, table, constraints, stated)
    decision["risk"] = risk(trial, constraints.document())
    decision["sensitivity"] = sensitivity(trial, table, constraints.document())
    decision["ordered_by"] = trial.ordered_by
    decision["costs"] = {arm: trial.cost(arm) for arm in trial.by_cost}
    decision["ship"] = ship.to_list(trial)
    decision["picker"] = table
    decision["findings"] = trial.findings
    return decision


def made_of(summary: Document) -> dict[str, str]:
    """Name the summary that a decision is made of, by what it says."""
    of_files = ("inputs", "quantrial")  # a file may change, and no number with it
    said = {key: value for key, value in summary.items() if key not in of_files}
    return {"summary.json": fingerprint(said)}


def _default(trial: Trial, ship: Shipping) -> dict[str, Any]:
    """Choose the cheapest arm shown to keep the margin on every task, else the reference.

    With missing answers held against it, and the choice among the candidates allowed for.
    `conclusive` is false where the trial could not have seen harm, or no cheaper arm was shown what
    the reference was: then nothing cheaper is shipped.
    """
    blind = blindness(trial)
    known = [arm for arm in trial.cheaper if arm not in trial.twins]
    if known and all(arm in trial.other_prompts for arm in known):
        blind = [*blind, f"no cheaper arm was shown the prompts that {trial.reference} was"]
    if ship.pick in known:
        return _ship(trial, ship.pick, ship.shown.get(ship.pick))
    missing = [
        missing_on(trial, task, arm)
        for arm in known
        for task in trial.tasks
        if not trial.holds(task, arm)
    ]
    missing += [_alone(trial, ship.shown[arm]) for arm in known if arm in ship.alone]
    if not trial.candidates:
        why = "this study has no other arm to ship"
    elif not trial.cheaper:
        why = "no other arm of this study is known to cost less"
    elif not known:
        why = f"nothing tells {listed(trial.cheaper)} from another arm"
    else:
        kept = by_margin((part["margin"], trial.named(t)) for t, part in trial.tasks.items())
        if len(trial.tasks) > 1:
            kept = f"the margin on every workload ({kept})"
        left_out = len(known) < len(trial.cheaper)
        told = " that can be told from another" if left_out else ""
        why = f"no cheaper arm{told} is shown to lose less than {kept}"
    if blind:
        opening = f"Stay with {trial.reference}, for want of evidence: {'; '.join(blind)}."
    else:
        opening = f"Stay with {trial.reference}: {why}."
    text = " ".join([opening, *dict.fromkeys(one["text"] for one in missing)])
    found = [trial.findings[one["because"]] for one in missing if one["because"]]
    return entry(text, found, arm=trial.reference, missing=missing, conclusive=not blind)


def _ship(trial: Trial, arm: str, one: Shown | None) -> dict[str, Any]:
    found: list[Document | None] = [trial.primary(task, arm) for task in trial.tasks]
    kept = by_margin(
        (f["margin"], f"{trial.named(f['task'])} ({verdict_word(f['verdict'])})")
        for f in found
        if f
    )
    guards = list(guards_of(trial, arm))
    text = " ".join(
        [
            f"Ship {arm}: {trial.saving(arm)}; shown to lose less than {kept}{in_words(one)}.",
            *kept_all_the_same(trial, {f["task"]: f["margin"] for f in found if f}, arm),
            *(guard["text"] for guard in guards),
        ]
    )
    found += [trial.findings[guard["because"]] for guard in guards]
    found.append(trial.pace(arm))
    p = None if one is None else one.p_adjusted
    more = {"missing": [], "conclusive": True, "guards": guards, "p_value": p}
    return entry(text, found, arm=arm, **more)


def _alone(trial: Trial, one: Shown) -> dict[str, Any]:
    """Say what an arm lacks that passes by itself and not as one of several."""
    found = [f for task in trial.tasks if (f := trial.primary(task, one.arm))]
    weakest = max(found, key=lambda f: Held.of(f).p or 0.0)
    return {
        "arm": one.arm,
        "task": weakest["task"],
        "because": weakest["id"],
        "items_needed": None,
        "text": f"{one.arm} keeps the margin {not_among(one)}: more items, or fewer candidates, "
        "would settle it.",
    }


def _pick_when(trial: Trial, arm: str, ship: Shipping) -> dict[str, Any]:
    worse, undecided = trial.worse(arm), trial.undecided(arm)
    speedup = trial.speedup(arm)
    slower = speedup is not None and speedup <= 1.0
    conditions = ["memory binds" if slower else "memory or speed binds"]
    if worse:
        where = [trial.named(task) for task in worse]
        if len(worse) < len(trial.tasks):
            conditions.append(f"the work is not {listed(where, 'or')}, where it is worse")
        else:
            losses = [_seen_loss(trial, task, arm) for task in worse]
            conditions.append(f"you accept a loss (it is worse by an estimated {listed(losses)})")
    if undecided:
        open_losses = listed(_open_loss(trial, task, arm) for task in undecided)
        accepted = f"you accept what is not ruled out: {open_losses}"
        kept = [trial.named(task) for task in trial.tasks if trial.holds(task, arm)]
        if kept and not worse:
            alone = f"the work is {listed(kept, 'or')} alone, where it keeps the margin"
            accepted = f"either {alone}, or {accepted}"
        conditions.append(accepted)
    if arm in ship.alone:
        conditions.append(f"you accept that it keeps the margin {not_among(ship.shown[arm])}")
    if blindness(trial):
        conditions.append("you accept that this trial could not have seen a loss")
    guards = list(guards_of(trial, arm))
    text = " ".join(
        [
            f"Pick {arm} ({trial.saving(arm)}) only when {', and '.join(conditions)}.",
            *(guard["text"] for guard in guards),
        ]
    )
    found = [trial.primary(task, arm) for task in trial.tasks]
    found += [trial.findings[guard["because"]] for guard in guards]
    found.append(trial.pace(arm))
    return entry(
        text,
        found,
        arm=arm,
        worse_on=sorted(set(trial.workloads(worse))),
        undecided_on=sorted(set(trial.workloads(undecided))),
        guards=guards,
    )


def _seen_loss(trial: Trial, task: str, arm: str) -> str:
    finding = trial.primary(task, arm)
    return f"{size(finding['estimate'])} on {trial.named(task)}" if finding else ""


def _open_loss(trial: Trial, task: str, arm: str) -> str:
    finding, work = trial.primary(task, arm), trial.named(task)
    floor = Held.of(finding).ci[0] if finding else None
    if finding is None or floor is None:
        return f"a loss of unknown size on {work}"
    gaps = f" ({answers_missing(finding)})" if keeps_margin(finding) else ""
    if floor > -finding["margin"]:
        return f"a loss of {margin(finding['margin'])} on {work}{gaps}"
    return f"a loss of up to {size(floor)} on {work}{gaps}"


def _avoid_for(trial: Trial) -> Iterator[dict[str, Any]]:
    for arm in trial.candidates:
        for task in trial.worse(arm):
            finding = trial.primary(task, arm)
            guards = [guard for guard in guards_of(trial, arm) if guard["task"] == task]
            loss = size(finding["estimate"]) if finding else ""
            text = (
                f"Avoid {arm} for {trial.named(task)}: it is worse there, by an estimated {loss}."
            )
            found = [finding, *(trial.findings[guard["because"]] for guard in guards)]
            yield entry(text, found, arm=arm, workload=trial.workload(task), task=task)


# How a verdict short of equivalence is said of an arm on some workloads.
_SHORT = {
    "worse": "is worse on {}",
    "inconclusive": "is not shown to keep the margin on {}",
    "missing": "is undecided, for want of answers, on {}",
    "choice": "is not shown to keep the margin, one of several candidates as it is, on {}",
    "non_inferior": "is non-inferior, but not shown equivalent, on {}",
}


def _short(finding: Document, ship: Shipping) -> str:
    """Say how a finding stands: its verdict, unless something keeps that from being enough."""
    if keeps_margin(finding) and not Held.of(finding).holds:
        return "missing"
    return "choice" if finding["candidate"] in ship.alone else str(finding["verdict"])


def _stay_when(trial: Trial, constraints: Constraints, ship: Shipping) -> Iterator[dict[str, Any]]:
    bar = constraints.min_speedup
    for arm in trial.cheaper:
        by_verdict: dict[str, list[Document]] = {}
        for task in trial.tasks:
            if finding := trial.primary(task, arm):
                stands = _short(finding, ship)
                by_verdict.setdefault(stands, []).append(finding)
        short = {verdict: by_verdict[verdict] for verdict in _SHORT if verdict in by_verdict}
        if short:
            why = listed(
                _SHORT[verdict].format(listed(trial.named(f["task"]) for f in found))
                for verdict, found in short.items()
            )
            when = (
                "any change of quality matters, even a gain"
                if list(short) == ["non_inferior"]
                else "accuracy binds"
            )
            text = f"Stay with {trial.reference} rather than {arm} when {when}: {arm} {why}."
            found = [finding for part in short.values() for finding in part]
            yield entry(text, found, arm=trial.reference, instead_of=arm)
        speedup = trial.speedup(arm)
        if speedup is None:
            continue
        at = f"{arm} decodes at {times(speedup)} the reference's speed here"
        stay = f"Stay with {trial.reference} rather than {arm} when speed is the reason to change"
        if bar is not None and speedup < bar:
            text = f"{stay}: {at}, short of the {times(bar)} asked for."
        elif speedup <= 1.0:
            text = f"{stay}: {at}."
        else:
            continue
        yield entry(text, [trial.pace(arm)], arm=trial.reference, instead_of=arm)


def _control(trial: Trial, arm: str) -> dict[str, Any]:
    worse = trial.worse(arm)
    if worse:
        text = (
            f"The trial can see harm: {arm}, damaged on purpose, is found worse on "
            f"{listed(map(trial.named, worse))}."
        )
    else:
        text = (
            f"Caution: {arm} is damaged on purpose and was found worse on no workload, so this "
            "trial could have missed real harm. Use more or harder items before acting on it."
        )
    found = [trial.primary(task, arm) for task in worse or trial.tasks]
    return entry(text, found, arm=arm, found_worse=bool(worse))
