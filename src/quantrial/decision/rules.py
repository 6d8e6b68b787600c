"""The rules: default, pick when, avoid for, stay when, and what to be careful of.

Every entry has a `text`, the ids of its findings in `because`, and their numbers in `evidence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from quantrial.decision.constraints import Constraints, check, constrained
from quantrial.decision.trial import Trial
from quantrial.decision.words import Document, evidence, listed, margin, points, ratio

DECISION_SCHEMA = "quantrial.decision/1"

# What a fall in a secondary endpoint means, and what catches it in production.
_GUARDS = {
    "precision": "It invents entities: schema validation will not see that; check that every text "
    "it returns stands in the input, and sample inputs without entities.",
    "recall": "It misses entities: no validator sees what is absent; audit a sample by hand.",
    "parse_rate": "It breaks the output format: validate the JSON and retry, or constrain "
    "decoding.",
}


def decide_from(summary: Document, constraints: Constraints | None = None) -> dict[str, Any]:
    """Turn a summary into a decision document.

    Raises:
        StudyError: a constraint names a workload that the study does not have, or is out of range.
    """
    constraints = constraints or Constraints()
    trial = Trial(summary)
    check(constraints, trial)
    default = _default(trial)
    decision: dict[str, Any] = {
        "schema": DECISION_SCHEMA,
        "study": summary["study"],
        "methods": summary["methods"],
        "reference": trial.reference,
        "default": default,
        "pick_when": [_pick_when(trial, arm) for arm in trial.cheaper_than(default["arm"])],
        "avoid_for": list(_avoid_for(trial)),
        "stay_when": list(_stay_when(trial)),
        "cautions": list(_cautions(trial)),
        "controls": [_control(trial, arm) for arm in trial.controls],
    }
    if constraints.stated:
        decision["constrained"] = constrained(trial, constraints)
    decision["costs"] = {arm: trial.cost(arm) for arm in trial.by_cost}
    decision["findings"] = trial.findings
    return decision


def _entry(text: str, findings: Sequence[Document | None], **more: Any) -> dict[str, Any]:
    found = {f["id"]: f for f in findings if f is not None}
    return {
        **more,
        "text": text,
        "because": list(found),
        "evidence": [evidence(finding) for finding in found.values()],
    }


def _default(trial: Trial) -> dict[str, Any]:
    """Choose the cheapest arm shown to keep the margin on every task, else the reference."""
    for arm in trial.cheaper:
        if trial.tasks and all(trial.holds(task, arm) for task in trial.tasks):
            found = [trial.primary(task, arm) for task in trial.tasks]
            shown = listed(str(f["verdict"]).replace("_", "-") for f in found if f)
            margins = listed(margin(f["margin"]) for f in found if f)
            text = (
                f"Ship {arm}: {trial.saving(arm)} of {trial.reference}, and a loss of {margins} or "
                f"more is ruled out on {listed(trial.workloads(list(trial.tasks)))} ({shown})."
            )
            return _entry(text, found, arm=arm, missing=[])
    missing = [
        _missing(trial, task, arm)
        for arm in trial.cheaper
        for task in trial.tasks
        if not trial.holds(task, arm)
    ]
    margins = listed(margin(part["margin"]) for part in trial.tasks.values())
    text = (
        f"Stay with {trial.reference}: no cheaper arm is shown to lose less than {margins} on "
        "every workload. " + " ".join(one["text"] for one in missing)
    )
    found = [trial.findings.get(one["because"]) for one in missing]
    return _entry(text.strip(), found, arm=trial.reference, missing=missing)


def _missing(trial: Trial, task: str, arm: str) -> dict[str, Any]:
    """Say what an arm lacks on a task, and how many items would settle it."""
    finding, workload = trial.primary(task, arm), trial.workload(task)
    said: dict[str, Any] = {"arm": arm, "task": task, "because": "", "items_needed": None}
    if finding is None:
        return said | {"text": f"{arm} and {trial.reference} share no answered item on {workload}."}
    said["because"] = finding["id"]
    if finding["verdict"] == "worse":
        return said | {"text": f"{arm} is worse on {workload} ({points(finding['estimate'])})."}
    counts = [count for count in (finding["items_needed"] or {}).values() if count]
    if counts:
        said["items_needed"] = min(counts)
        more = min(counts) - finding["n"]
        settle = (
            f"about {more:,} more items would settle it with 80 % chance, if the truth is as seen"
            if more > 0
            else "repeating a trial of this size would settle it with 80 % chance, if the truth is "
            "as seen"
        )
    elif finding["estimate"] <= -finding["margin"]:
        settle = (
            f"the loss seen ({points(finding['estimate'])}) is itself beyond the margin, so more "
            "items will hardly show less"
        )
    else:
        settle = "too few answers changed to tell how many items would settle it"
    return said | {"text": f"{arm} is undecided on {workload}: {settle}."}


def _pick_when(trial: Trial, arm: str) -> dict[str, Any]:
    worse, undecided = trial.worse(arm), trial.undecided(arm)
    conditions = ["memory or speed binds"]
    if worse:
        conditions.append(f"the work is not {listed(trial.workloads(worse))}, where it is worse")
    if undecided:
        open_losses = listed(_open_loss(trial, task, arm) for task in undecided)
        conditions.append(f"you accept what is not ruled out: {open_losses}")
    guards = list(_guards(trial, arm))
    text = " ".join(
        [
            f"Pick {arm} ({trial.saving(arm)} of {trial.reference}) only when "
            f"{', and '.join(conditions)}.",
            *(guard["text"] for guard in guards),
        ]
    )
    found = [trial.primary(task, arm) for task in trial.tasks]
    found += [trial.findings[guard["because"]] for guard in guards]
    return _entry(
        text,
        found,
        arm=arm,
        worse_on=sorted(set(trial.workloads(worse))),
        undecided_on=sorted(set(trial.workloads(undecided))),
        guards=guards,
    )


def _open_loss(trial: Trial, task: str, arm: str) -> str:
    finding = trial.primary(task, arm)
    floor = finding["equivalence_ci"][0] if finding else None
    if floor is None:
        return f"a loss on {trial.workload(task)}"
    return f"a loss of up to {points(max(-floor, 0.0)).lstrip('+')} on {trial.workload(task)}"


def _guards(trial: Trial, arm: str) -> Iterator[dict[str, Any]]:
    """Name the failure modes that are shown for an arm, each with what guards against it."""
    for task in trial.tasks:
        for endpoint, words in _GUARDS.items():
            finding = trial.secondary(task, endpoint, arm)
            if finding is not None and finding["verdict"] == "worse":
                yield {
                    "task": task,
                    "endpoint": endpoint,
                    "because": finding["id"],
                    "text": f"On {trial.workload(task)}: {words[0].lower()}{words[1:]}",
                }


def _avoid_for(trial: Trial) -> Iterator[dict[str, Any]]:
    for arm in trial.candidates:
        for task in trial.worse(arm):
            finding = trial.primary(task, arm)
            guards = [guard for guard in _guards(trial, arm) if guard["task"] == task]
            loss = points(finding["estimate"]) if finding else ""
            text = f"Avoid {arm} for {trial.workload(task)}: it is worse by {loss[1:]}."
            found = [finding, *(trial.findings[guard["because"]] for guard in guards)]
            yield _entry(text, found, arm=arm, workload=trial.workload(task), task=task)


def _stay_when(trial: Trial) -> Iterator[dict[str, Any]]:
    for arm in trial.cheaper:
        short = [
            finding
            for task in trial.tasks
            if (finding := trial.primary(task, arm)) and finding["verdict"] != "equivalent"
        ]
        if short:
            where = listed(finding["workload"] for finding in short)
            text = (
                f"Stay with {trial.reference} rather than {arm} when accuracy binds on {where}: "
                "there it is not shown equivalent."
            )
            yield _entry(text, short, arm=trial.reference, instead_of=arm)
        speedup = trial.speedup(arm)
        if speedup is not None and speedup <= 1.0:
            text = (
                f"Stay with {trial.reference} rather than {arm} when speed is all you want: {arm} "
                f"decodes at {ratio(speedup)} the reference's speed here."
            )
            yield _entry(text, [], arm=trial.reference, instead_of=arm)


def _control(trial: Trial, arm: str) -> dict[str, Any]:
    worse = trial.worse(arm)
    if worse:
        text = (
            f"The trial can see harm: {arm}, damaged on purpose, is found worse on "
            f"{listed(trial.workloads(worse))}."
        )
    else:
        text = (
            f"Caution: {arm} is damaged on purpose and was found worse on no workload, so this "
            "trial could have missed real harm. Use more or harder items before acting on it."
        )
    found = [trial.primary(task, arm) for task in worse or trial.tasks]
    return _entry(text, found, arm=arm, found_worse=bool(worse))


def _cautions(trial: Trial) -> Iterator[dict[str, Any]]:
    for task, part in trial.tasks.items():
        own = part["endpoints"][part["primary"]]["arms"].get(trial.reference)
        flow, floor = part["flow"], part.get("chance") or 0.0
        said = []
        if own is None:
            said.append(f"{trial.reference} answered nothing on {task}.")
        elif own["estimate"] <= floor or (own["ci"][0] is not None and own["ci"][0] <= floor):
            said.append(
                f"On {task} the reference itself is not above its floor ({100 * floor:.0f} %): a "
                "loss could not show there."
            )
        if flow["missing"]:
            said.append(
                f"{flow['missing']} of {flow['planned']} planned calls on {task} are not asked "
                "yet: this is a look at an unfinished run."
            )
        if flow["faulted"]:
            said.append(
                f"{flow['faulted']} of {flow['planned']} calls on {task} ended in a fault and are "
                "left out, with their pairs."
            )
        for text in said:
            yield _entry(text, [], task=task)
