"""Several runs beside each other: another machine, another version of the model.

Each arm is compared with itself, run by run, on the items that the runs have in common, by the same
statistics that compare arms within a run: the runs take the place of the arms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.commands.derived import score_run
from quantrial.commands.results import load_results
from quantrial.documents import endpoints_to_dict, to_dict
from quantrial.errors import StudyError
from quantrial.runfolder import RunFolder
from quantrial.words import (
    difference,
    difference_interval,
    listed,
    plural,
    times,
    times_interval,
    verdict_word,
)

if TYPE_CHECKING:
    from quantrial.analysis import Sums, TaskContrasts, TaskOutcomes
    from quantrial.documents import Contrast, Estimate, Summary
    from quantrial.documents.decision import Decision
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
    summary: Summary
    decision: Decision
    manifest: Manifest
    outcomes: Mapping[str, TaskOutcomes]
    speed_records: Sequence[SpeedRecord]

    @property
    def pick(self) -> str | None:
        """The arm that its decision names, under constraints where some were stated."""
        given = self.decision.constrained
        return given.pick if given else self.decision.default.arm

    def lengths(self) -> tuple[tuple[int, int], ...]:
        """Return the lengths that its speed phase asked for; none without one."""
        return () if self.study.speed is None else self.study.speed.shapes

    def sums(self, *arms: str) -> Sums | None:
        """Return decoded tokens and seconds by block, in a column for each arm."""
        from quantrial.analysis import decode_sums, question_of

        question = question_of(self.study).speed
        return None if question is None else decode_sums(question, self.speed_records, arms)


@dataclass(frozen=True, slots=True)
class _TaskComparison:
    """One arm on one task: the runs in place of arms, on the items that they share.

    By run, `left_out` counts the items that others do not share, `same_texts` those that it
    answered in the very words of the first run. `partial`: an answer may be right in part.
    """

    items: int
    left_out: dict[str, int]
    results: TaskContrasts
    same_texts: dict[str, int]
    answer_speed: dict[str, _SpeedRatio | None]
    partial: bool


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

    Example:
        >>> found = quantrial.compare("runs/mine", "runs/other")
        >>> len(found["runs"]), found["reference"]
        (2, 'mine')
    """
    if len(runs) < 2:
        raise StudyError("two run folders or more are needed", key="RUN")
    opened = [_open(label, path) for label, path in _labelled([Path(run) for run in runs])]
    first = opened[0]
    arms = {
        arm: found
        for arm in first.study.arms
        if (found := _arm(arm, opened, methods or first.summary.methods))
    }
    if not arms:
        raise StudyError(
            f"{first.label} shares no arm, task and answered item with "
            f"{listed((run.label for run in opened[1:]), 'or')}",
            key="RUN",
        )
    measured = {arm: _phase_speeds(arm, first, opened[1:]) for arm in arms}
    speeds = {arm: found for arm, found in measured.items() if found}
    return {
        "schema": COMPARISON_SCHEMA,
        "reference": first.label,
        "methods": methods or first.summary.methods,
        "runs": {run.label: _standing(run) for run in opened},
        "differ": [said for run in opened[1:] for said in _differ(first, run)],
        "changes": list(_changes(opened, arms, speeds)),
        "arms": {arm: _documents(tasks) for arm, tasks in arms.items()},
        "speeds": {
            arm: {label: one.document() for label, one in runs.items()}
            for arm, runs in speeds.items()
        },
        "rows": list(_rows(opened)),
    }


def _labelled(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Name each run by as much of its path as tells it from the others."""
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise StudyError("the same run folder is given twice", key="RUN")
    depth = 1
    while len({path.parts[-depth:] for path in resolved}) < len(resolved):
        depth += 1
    for path, whole in zip(paths, resolved, strict=True):
        yield "/".join(whole.parts[-depth:]), path


def _open(label: str, path: Path) -> _Run:
    study, summary, decision = load_results(path)
    folder = RunFolder(path)
    return _Run(
        label,
        study,
        summary,
        decision,
        folder.read_manifest(),
        score_run(path),
        folder.read_speed(arms=study.timed_arms),
    )


def _standing(run: _Run) -> dict[str, Any]:
    given, default = run.decision.constrained, run.decision.default
    return {
        "study": to_dict(run.summary.study),
        "reference": run.study.reference,
        "pick": run.pick,
        "constrained": bool(given),
        "text": given.text if given else default.text,
    }


def _arm(arm: str, opened: Sequence[_Run], methods: str) -> dict[str, _TaskComparison]:
    """Compare one arm over the runs that have it; the runs take the place of arms."""
    from quantrial.analysis import contrasts_of, question_of, score_task

    first = opened[0]
    having = [run for run in opened if arm in run.study.arms]
    if len(having) < 2:
        return {}
    outcomes: dict[str, TaskOutcomes] = {}
    left_out: dict[str, dict[str, int]] = {}
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
        left_out[task] = {run.label: len(run.outcomes[task].items) - len(ids) for run in runs}
    if not outcomes:
        return {}
    asked = question_of(first.study)
    question = replace(
        asked,
        reference=first.label,
        methods=methods,
        arms={run.label: run.study.arms[arm].control for run in having},
        tasks={task: asked.tasks[task] for task in outcomes},
    )
    return {
        task: _TaskComparison(
            items=len(outcomes[task].items),
            left_out=left_out[task],
            results=part,
            same_texts=_same_texts(outcomes[task]),
            answer_speed=_answer_speeds(
                {name: outcomes[task].responses[name] for name in outcomes[task].arms},
                alpha=question.alpha,
            ),
            partial=outcomes[task].task.endpoints[0].type != "proportion",
        )
        for task, part in contrasts_of(question, outcomes).items()
    }


def _documents(tasks: Mapping[str, _TaskComparison]) -> dict[str, Any]:
    """Write an arm's comparison for JSON."""
    return {
        task: {
            "items": one.items,
            "left_out": one.left_out,
            "workload": one.results.workload,
            "primary": one.results.primary,
            "endpoints": endpoints_to_dict(one.results.endpoints, one.results.primary),
            "flips": [to_dict(flips) for flips in one.results.flips],
            "same_texts": one.same_texts,
            "answer_speed": {
                label: None if speed is None else speed.document()
                for label, speed in one.answer_speed.items()
            },
        }
        for task, one in tasks.items()
    }


def _same_texts(scored: TaskOutcomes) -> dict[str, int]:
    """Count the items that a run answered in the very words of the first run."""
    first, *later = scored.arms
    return {
        name: sum(
            a is not None and b is not None and a.has_text and a.said == b.said
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
    if run.summary.methods != first.summary.methods:
        yield f"{both} were analysed by different sets of methods."
    if run.study.reference != first.study.reference:
        yield f"{both} have different references: {run.study.reference}, {first.study.reference}."
    for task in first.study.tasks:
        if task not in run.study.tasks:
            continue
        if run.study.primary_margin(task) != first.study.primary_margin(task):
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
    if run.lengths() != first.lengths():
        yield f"{both} have no speed phase of the same lengths; speeds are those of the answers."
    hosts = first.manifest.host, run.manifest.host
    changed = [words for key, words in _SHOWN.items() if hosts[0].get(key) != hosts[1].get(key)]
    if changed:
        yield f"{both} differ in {listed(changed)}."
    versions = [one.manifest.software.get("quantrial") for one in (first, run)]
    if versions[0] != versions[1]:
        yield f"{both} were made by different versions of quantrial."


def _changes(
    opened: Sequence[_Run],
    arms: Mapping[str, Mapping[str, _TaskComparison]],
    speeds: Mapping[str, Mapping[str, _PhaseSpeeds]],
) -> Iterator[dict[str, Any]]:
    picks = {run.label: run.pick or "none" for run in opened}
    if len(set(picks.values())) == 1:
        text = f"The pick is the same in every run: {next(iter(picks.values()))}."
    else:
        each = listed(f"{pick} in {label}" for label, pick in picks.items())
        text = f"The pick is not the same in every run: {each}."
    yield {"kind": "pick", "text": text}
    first = opened[0]
    for arm, tasks in arms.items():
        for task, part in tasks.items():
            for one in part.results.endpoints[part.results.primary].contrasts:
                if one.reference == first.label:
                    phased = one.candidate in speeds.get(arm, {})
                    text = _contrast_change(arm, part, one, phased=phased)
                    yield {
                        "kind": "contrast",
                        "arm": arm,
                        "task": task,
                        "id": one.id,
                        "text": text,
                    }
    yield from _speed_changes(first, speeds)
    for run in opened[1:]:
        yield from _verdicts(first, run)


def _contrast_change(arm: str, part: _TaskComparison, one: Contrast, *, phased: bool) -> str:
    """Say what changed in an arm; its speed where no speed phases tell of it (`phased`)."""
    interval = "no interval" if None in one.ci else difference_interval(one.ci, one.unit)
    flips = next(
        found
        for found in part.results.flips
        if (found.reference, found.candidate) == (one.reference, one.candidate)
    )
    whole = "wholly " if part.partial else ""
    text = f"{arm} on {part.results.workload}: {one.candidate} against {one.reference} "
    if part.same_texts[one.candidate] == one.n:
        text += f"gave the same {plural(one.n, 'answer')}, word for word"
    else:
        text += (
            f"{difference(one.estimate, one.unit)} ({interval}) on {plural(one.n, 'item')}: "
            f"{verdict_word(one.verdict or 'unknown')}; {flips.harmful} answers no "
            f"longer {whole}right, {flips.beneficial} newly {whole}right"
        )
    speed = None if phased else part.answer_speed.get(one.candidate)
    if speed is not None:
        text += f"; {speed} the decoding speed, of its answers"
    return f"{text}."


def _verdicts(first: _Run, run: _Run) -> Iterator[dict[str, Any]]:
    """Say where a candidate stands otherwise against the reference of its own run."""
    for task, part in first.decision.picker.tasks.items():
        for arm in part.arms:
            verdict, other = _verdict_of(first, task, arm), _verdict_of(run, task, arm)
            if verdict and other and verdict != other:
                text = (
                    f"Against the reference of its own run, {arm} on {part.workload} is "
                    f"{verdict} in {first.label} and {other} in {run.label}."
                )
                yield {"kind": "verdict", "arm": arm, "task": task, "text": text}


def _verdict_of(run: _Run, task: str, arm: str) -> str | None:
    """Name an arm's verdict against its own reference; None where it was not compared."""
    part = run.decision.picker.tasks.get(task)
    row = None if part is None else part.arms.get(arm)
    if row is None or not row.finding:
        return None
    return verdict_word(run.decision.findings[row.finding].verdict)


def _rows(opened: Sequence[_Run]) -> Iterator[dict[str, Any]]:
    from quantrial.reporting.exports import rows

    for run in opened:
        for row in rows(run.summary, run.decision):
            yield {"run": run.label, **asdict(row)}


@dataclass(frozen=True, slots=True)
class _SpeedRatio:
    """The ratio of two speeds; `unit` is what its `n` are."""

    value: Estimate
    unit: str

    def document(self) -> dict[str, Any]:
        """Return the ratio as it stands in JSON."""
        return to_dict(self.value) | {"unit": self.unit}

    def __str__(self) -> str:
        low, high = self.value.ci
        reach = "no interval" if low is None or high is None else times_interval((low, high))
        return f"{times(self.value.estimate or math.nan)} ({reach})"

    @property
    def change(self) -> str:
        """What is shown of a lead that changed by this ratio."""
        low, high = self.value.ci
        if low is None or high is None or low <= 1.0 <= high:
            return "no change is shown"
        return "it gained" if low > 1.0 else "it lost"


@dataclass(frozen=True, slots=True)
class _PhaseSpeeds:
    """How an arm's decoding speed compares with that in the first run, by speed phases.

    `rate` is the ratio of its speeds (later over first), `lead` the ratio of its ratios to the
    reference's; that is None of the reference itself and where runs have different references.
    """

    rate: _SpeedRatio
    lead: _SpeedRatio | None

    def document(self) -> dict[str, Any]:
        """Return both as they stand in JSON."""
        lead = None if self.lead is None else self.lead.document()
        return {"rate": self.rate.document(), "lead": lead}


def _phase_speeds(arm: str, first: _Run, later: Sequence[_Run]) -> dict[str, _PhaseSpeeds]:
    """Compare an arm's decoding speed in later runs with that in the first.

    Runs are left out that have no speed phase of the same lengths, or whose engine does not time
    decoding.
    """
    found = {}
    for run in later:
        if not first.lengths() or run.lengths() != first.lengths():
            continue
        reference = first.study.reference
        rate = _between(first.sums(arm), run.sums(arm), first.study.alpha)
        if rate is None:
            continue
        lead = None
        if run.study.reference == reference != arm:
            lead = _between(first.sums(reference, arm), run.sums(reference, arm), first.study.alpha)
        found[run.label] = _PhaseSpeeds(rate, lead)
    return found


def _answer_speeds(
    responses: Mapping[str, Sequence[Response | None]], *, alpha: float
) -> dict[str, _SpeedRatio | None]:
    """Compare the decoding speed of the answers in later runs with that in the first."""
    from quantrial.analysis import answer_sums

    sums = {label: answer_sums(answers) for label, answers in responses.items()}
    first = next(iter(sums))
    return {
        label: _between(sums[first], own, alpha) for label, own in sums.items() if label != first
    }


def _between(first: Sums | None, second: Sums | None, alpha: float) -> _SpeedRatio | None:
    from quantrial.analysis.values import estimate_of
    from quantrial.stats import ratio_between

    if first is None or second is None:
        return None
    found = ratio_between(
        (first.amounts, first.seconds), (second.amounts, second.seconds), confidence=1.0 - alpha
    )
    units = dict.fromkeys((first.unit, second.unit))
    return _SpeedRatio(estimate_of(found), " and ".join(units))


def _speed_changes(
    first: _Run, speeds: Mapping[str, Mapping[str, _PhaseSpeeds]]
) -> Iterator[dict[str, Any]]:
    """Say how fast each arm decodes in other runs, and whether its lead changed."""
    for arm, runs in speeds.items():
        for label, one in runs.items():
            text = (
                f"{arm} in {label} decodes at {one.rate} its speed in {first.label}, by their "
                "speed phases"
            )
            if (lead := one.lead) is not None:
                text += (
                    f"; its speed relative to {first.study.reference} is {lead} what it was: "
                    f"{lead.change}"
                )
            yield {"kind": "speed", "arm": arm, "run": label, "text": f"{text}."}
