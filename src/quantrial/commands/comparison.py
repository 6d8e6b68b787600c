"""Several runs beside each other: another machine, another version of the model.

Each arm is compared with itself, run by run, on the items that the runs have in common, by the same
statistics that compare arms within a run: the runs take the place of the arms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.commands.derived import score_run
from quantrial.commands.results import load_decision
from quantrial.errors import StudyError
from quantrial.runfolder import RunFolder
from quantrial.words import listed, plural, points, times, times_interval, verdict_word

if TYPE_CHECKING:
    from quantrial.analysis import Sums, TaskOutcomes
    from quantrial.records import Manifest, Response, SpeedRecord
    from quantrial.study import Study

COMPARISON_SCHEMA = "quantrial.comparison/1"

_SHOWN = {
    "cpu": "the processor",
    "cores": "the number of cores",
    "memory_bytes": "the memory",
    "system": "the operating system",
    "machine": "the kind of machine",
    "gpus": "the graphics cards",
}


@dataclass(frozen=True, slots=True)
class _Run:
    label: str
    study: Study
    summary: Mapping[str, Any]
    decision: Mapping[str, Any]
    manifest: Manifest
    outcomes: Mapping[str, TaskOutcomes]
    timed: _Timed


def compare(*runs: Path | str, methods: str | None = None) -> dict[str, Any]:
    """Compare runs with the first one, arm by arm, and pool their results.

    Args:
        runs: two run folders or more; analysed first where that is not done or out of date.
        methods: the set of statistics; the first run's by default.

    Returns:
        `runs`: pick and standing of each; `differ`: what else differs between them, in words;
        `arms`: by arm and task the contrasts of runs (later minus first, negative is a loss) on
        the items both have, flips, and the ratio of speeds of the answers; `speeds`: by arm and
        run the ratio of its decoding speeds, and of its leads on the reference, by speed phases;
        `changes`: the same in words; `rows`: the results of every run in one table.

    Raises:
        StudyError: fewer than two runs, or they share no arm, task or item.
    """
    if len(runs) < 2:
        raise StudyError("two run folders or more are needed", key="RUN")
    opened = [_open(label, path) for label, path in _labelled([Path(run) for run in runs])]
    first = opened[0]
    arms = {
        arm: found
        for arm in first.study.arms
        if (found := _arm(arm, opened, methods or str(first.summary["methods"])))
    }
    if not arms:
        raise StudyError(
            f"{first.label} shares no arm, task and answered item with "
            f"{listed((run.label for run in opened[1:]), 'or')}",
            key="RUN",
        )
    later = [run.timed for run in opened[1:]]
    measured = {arm: _phase_speeds(arm, first.timed, later) for arm in arms}
    speeds = {arm: found for arm, found in measured.items() if found}
    return {
        "schema": COMPARISON_SCHEMA,
        "reference": first.label,
        "methods": methods or first.summary["methods"],
        "runs": {run.label: _standing(run) for run in opened},
        "differ": [said for run in opened[1:] for said in _differ(first, run)],
        "changes": list(_changes(opened, arms, speeds)),
        "arms": arms,
        "speeds": speeds,
        "rows": list(_rows(opened)),
    }


def _labelled(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Name each run by as much of its path as tells it from the others."""
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise StudyError("the same run folder stands twice", key="RUN")
    depth = 1
    while len({path.parts[-depth:] for path in resolved}) < len(resolved):
        depth += 1
    for path, whole in zip(paths, resolved, strict=True):
        yield "/".join(whole.parts[-depth:]), path


def _open(label: str, path: Path) -> _Run:
    study, summary, decision = load_decision(path)
    folder = RunFolder(path)
    timed = _Timed(label, study, folder.read_speed(arms=study.timed_arms))
    return _Run(label, study, summary, decision, folder.read_manifest(), score_run(path), timed)


def _standing(run: _Run) -> dict[str, Any]:
    given = run.decision.get("constrained")
    return {
        "study": run.summary["study"],
        "reference": run.study.reference,
        "pick": given["pick"] if given else run.decision["default"]["arm"],
        "constrained": bool(given),
        "text": (given or run.decision["default"])["text"],
    }


def _arm(arm: str, opened: Sequence[_Run], methods: str) -> dict[str, Any] | None:
    """Compare one arm over the runs that have it; the runs take the place of arms."""
    from quantrial.analysis import score_task, summarise
    from quantrial.documents import to_dict

    first = opened[0]
    having = [run for run in opened if arm in run.study.arms]
    if len(having) < 2:
        return None
    outcomes, shared = {}, {}
    for task, own in first.outcomes.items():
        runs = [run for run in having if _same_task(first, run, task)]
        ids = set.intersection(*(_answered(run, task, arm) for run in runs))
        ids -= _other_words(runs, task, arm, ids)
        if len(runs) < 2 or not ids:
            continue
        spec = first.study.tasks[task]
        outcomes[task] = score_task(
            own.task,
            [item for item in own.items if item.id in ids],
            {
                run.label: [r for r in run.outcomes[task].responses[arm] if r and r.item in ids]
                for run in runs
            },
            cluster=spec.cluster,
            stratum=spec.stratify,
            equal_items=spec.equal_items,
            opened={run.label: run.outcomes[task].opened.get(arm) for run in runs},
        )
        shared[task] = {
            "items": len(ids),
            "left_out": {run.label: len(run.outcomes[task].items) - len(ids) for run in runs},
        }
    if not outcomes:
        return None
    of_runs = {run.label: run for run in having}
    study = first.study.model_copy(
        update={
            "reference": first.label,
            "speed": None,  # speed phases are compared apart
            "arms": {name: run.study.arms[arm] for name, run in of_runs.items()},
            "tasks": {task: first.study.tasks[task] for task in outcomes},
        }
    )
    records = {name: run.manifest.arms[arm] for name, run in of_runs.items()}
    summary = to_dict(summarise(study, outcomes, arms=records, methods=methods))
    return {
        task: {
            **shared[task],
            "workload": part["workload"],
            "primary": part["primary"],
            "endpoints": part["endpoints"],
            "flips": part["flips"],
            "same_texts": _same_texts(outcomes[task]),
            "answer_speed": _answer_speeds(
                {name: outcomes[task].responses[name] for name in outcomes[task].arms},
                alpha=study.alpha,
            ),
        }
        for task, part in summary["tasks"].items()
    }


def _same_texts(scored: TaskOutcomes) -> dict[str, int]:
    """Count the items that a run answered in the very words of the first run."""
    first, *later = scored.arms
    return {
        name: sum(
            a is not None and b is not None and a.output == b.output
            for a, b in zip(scored.responses[first], scored.responses[name], strict=True)
        )
        for name in later
    }


def _same_task(first: _Run, run: _Run, task: str) -> bool:
    return task in run.outcomes and run.study.tasks[task].kind == first.study.tasks[task].kind


def _answered(run: _Run, task: str, arm: str) -> set[str]:
    return {r.item for r in run.outcomes[task].responses[arm] if r is not None}


def _other_words(runs: Sequence[_Run], task: str, arm: str, ids: set[str]) -> set[str]:
    """Return the items that the arm was not shown in the same words in every run."""
    shown: dict[str, set[str | None]] = {}
    for run in runs:
        for response in run.outcomes[task].responses[arm]:
            if response is not None and response.item in ids:
                shown.setdefault(response.item, set()).add(response.prompt_sha256)
    return {item for item, prompts in shown.items() if len(prompts) > 1}


def _differ(first: _Run, run: _Run) -> Iterator[str]:
    """Say what differs between two runs besides what is compared."""
    both = f"{run.label} and {first.label}"
    if run.summary["methods"] != first.summary["methods"]:
        yield f"{both} were analysed by different sets of methods."
    if run.study.reference != first.study.reference:
        yield f"{both} have different references: {run.study.reference}, {first.study.reference}."
    for task in first.study.tasks:
        if task in run.study.tasks and run.study.margin_of(task) != first.study.margin_of(task):
            yield f"{both} have different margins on {task}; {first.label}'s is used here."
    for task in first.study.tasks:
        if not _same_task(first, run, task):
            continue
        lost = {
            item
            for arm in first.study.arms
            if arm in run.study.arms
            for item in _other_words((first, run), task, arm, _answered(first, task, arm))
        }
        if lost:
            were = "was" if len(lost) == 1 else "were"
            yield (
                f"{plural(len(lost), 'item')} of {task} {were} asked in other words in {both}, "
                "and left out."
            )
    for task in first.study.tasks.keys() ^ run.study.tasks.keys():
        yield f"Only one of {both} has the task {task}."
    for arm in first.study.arms.keys() ^ run.study.arms.keys():
        yield f"Only one of {both} has the arm {arm}."
    for arm in (name for name in first.study.arms if name in run.study.arms):
        digests = [one.manifest.arms[arm].get("sha256") for one in (first, run)]
        if digests[0] != digests[1]:
            yield f"The file of {arm} is not the same in {both}."
    if run.timed.lengths() != first.timed.lengths():
        yield f"{both} have no speed phase of the same lengths; speeds are those of the answers."
    hosts = first.manifest.host, run.manifest.host
    changed = [words for key, words in _SHOWN.items() if hosts[0].get(key) != hosts[1].get(key)]
    if changed:
        yield f"{both} differ in {listed(changed)}."
    versions = [one.manifest.software.get("quantrial") for one in (first, run)]
    if versions[0] != versions[1]:
        yield f"{both} were made by different versions of quantrial."


def _changes(
    opened: Sequence[_Run], arms: Mapping[str, Any], speeds: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    standings = {run.label: _standing(run)["pick"] for run in opened}
    if len(set(standings.values())) == 1:
        text = f"The pick is the same in every run: {next(iter(standings.values())) or 'none'}."
    else:
        told = listed(f"{pick or 'none'} in {label}" for label, pick in standings.items())
        text = f"The pick is not the same in every run: {told}."
    yield {"kind": "pick", "text": text}
    first = opened[0]
    for arm, tasks in arms.items():
        for task, part in tasks.items():
            contrasts = part["endpoints"][part["primary"]]["contrasts"]
            for one in contrasts:
                if one["reference"] == first.label:
                    phased = one["candidate"] in speeds.get(arm, {})
                    yield _contrast_change(arm, task, part, one, phased=phased)
    yield from _speed_changes(first.timed, speeds)
    for run in opened[1:]:
        yield from _verdicts(first, run)


def _contrast_change(
    arm: str, task: str, part: Mapping[str, Any], one: Mapping[str, Any], *, phased: bool
) -> dict[str, Any]:
    """Say what changed in an arm; its speed where no speed phases tell of it (`phased`)."""
    low, high = one["ci"]
    interval = "no interval" if low is None else f"{points(low, unit='')} to {points(high)}"
    flips = next(
        f for f in part["flips"]
        if (f["reference"], f["candidate"]) == (one["reference"], one["candidate"])
    )  # fmt: skip
    text = f"{arm} on {part['workload']}: {one['candidate']} against {one['reference']} "
    if part["same_texts"][one["candidate"]] == one["n"]:
        text += f"gave the same {plural(one['n'], 'answer')}, word for word"
    else:
        text += (
            f"{points(one['estimate'])} ({interval}) on {plural(one['n'], 'item')}: "
            f"{verdict_word(one['verdict'] or 'unknown')}; {flips['harmful']} answers newly "
            f"wrong, {flips['beneficial']} newly right"
        )
    speed = None if phased else part["answer_speed"].get(one["candidate"])
    if speed is not None:
        text += f"; {_times_with_interval(speed)} the decoding speed, of its answers"
    return {"kind": "contrast", "arm": arm, "task": task, "id": one["id"], "text": f"{text}."}


def _verdicts(first: _Run, run: _Run) -> Iterator[dict[str, Any]]:
    """Say where a candidate stands otherwise against the reference of its own run."""
    for task, part in first.decision["picker"]["tasks"].items():
        for arm, row in part["arms"].items():
            other = run.decision["picker"]["tasks"].get(task, {}).get("arms", {}).get(arm)
            if other is None or not (row["finding"] and other["finding"]):
                continue
            verdicts = [
                verdict_word(one.decision["findings"][found["finding"]]["verdict"])
                for one, found in ((first, row), (run, other))
            ]
            if verdicts[0] != verdicts[1]:
                text = (
                    f"Against the reference of its own run, {arm} on {part['workload']} is "
                    f"{verdicts[0]} in {first.label} and {verdicts[1]} in {run.label}."
                )
                yield {"kind": "verdict", "arm": arm, "task": task, "text": text}


def _rows(opened: Sequence[_Run]) -> Iterator[dict[str, Any]]:
    from quantrial.reporting.exports import rows

    for run in opened:
        for row in rows(run.summary, run.decision):
            yield {"run": run.label, **row}


@dataclass(frozen=True, slots=True)
class _Timed:
    """A run's calls of the speed phase, and the study that asked for them."""

    label: str
    study: Study
    records: Sequence[SpeedRecord]

    def lengths(self) -> tuple[tuple[int, int], ...]:
        """Return the lengths that were asked for; none without a speed phase."""
        return () if self.study.speed is None else self.study.speed.shapes

    def sums(self, *arms: str) -> Sums | None:
        """Return decoded tokens and seconds by block, in a column for each arm."""
        from quantrial.analysis import decode_sums

        return decode_sums(self.study, self.records, arms)


def _phase_speeds(arm: str, first: _Timed, later: Sequence[_Timed]) -> dict[str, Any]:
    """Compare the decoding speed of an arm in later runs with that in the first, by speed phases.

    Returns:
        By run `rate`, the ratio of its speeds (later over first), and `lead`, the ratio of its
        ratios to the reference's; each None where it is not known: without a speed phase of the
        same lengths in both runs, for an engine that does not time decoding, or, of `lead`, for
        the reference itself and where the runs have different references.
    """
    found = {}
    for run in later:
        if not first.lengths() or run.lengths() != first.lengths():
            continue
        reference = first.study.reference
        same = run.study.reference == reference != arm
        rate = _between(first.sums(arm), run.sums(arm), first.study.alpha)
        lead = _between(first.sums(reference, arm), run.sums(reference, arm), first.study.alpha)
        if rate is not None:
            found[run.label] = {"rate": rate, "lead": lead if same else None}
    return found


def _answer_speeds(
    responses: Mapping[str, Sequence[Response | None]], *, alpha: float
) -> dict[str, Any]:
    """Compare the decoding speed of the answers in later runs with that in the first."""
    from quantrial.analysis import answer_sums

    sums = {label: answer_sums(answers) for label, answers in responses.items()}
    first = next(iter(sums))
    return {
        label: _between(sums[first], own, alpha) for label, own in sums.items() if label != first
    }


def _between(first: Sums | None, second: Sums | None, alpha: float) -> dict[str, Any] | None:
    from quantrial.analysis.values import estimate_of
    from quantrial.documents import to_dict
    from quantrial.stats import ratio_between

    if first is None or second is None:
        return None
    found = ratio_between(
        (first.amounts, first.seconds), (second.amounts, second.seconds), confidence=1.0 - alpha
    )
    units = dict.fromkeys((first.unit, second.unit))
    return to_dict(estimate_of(found)) | {"unit": " and ".join(units)}


def _times_with_interval(one: Mapping[str, Any]) -> str:
    """Write a ratio with its interval: `1.30 times (1.25 to 1.36)`."""
    reach = "no interval" if None in one["ci"] else times_interval(one["ci"])
    return f"{times(one['estimate'])} ({reach})"


def _speed_changes(
    first: _Timed, speeds: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Say how fast each arm decodes in other runs, and whether its lead changed."""
    for arm, runs in speeds.items():
        for label, one in runs.items():
            text = (
                f"{arm} in {label} decodes at {_times_with_interval(one['rate'])} its speed in "
                f"{first.label}, by their speed phases"
            )
            if (lead := one["lead"]) is not None:
                text += (
                    f"; its speed relative to {first.study.reference} is "
                    f"{_times_with_interval(lead)} what it was: {_verdict(lead)}"
                )
            yield {"kind": "speed", "arm": arm, "run": label, "text": f"{text}."}


def _verdict(lead: Mapping[str, Any]) -> str:
    low, high = lead["ci"]
    if low is None or low <= 1.0 <= high:
        return "no change is shown"
    return "it gained" if low > 1.0 else "it lost"
