"""What follows from a run folder: its study, its scored answers, its summary. It writes nothing."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial import paths
from quantrial.errors import RecordError, RunChangedError, RunFolderError
from quantrial.study import Study, parse_study, read_study_text, with_inputs

if TYPE_CHECKING:
    from quantrial.analysis import TaskOutcomes
    from quantrial.records import ArmRecord, Manifest
    from quantrial.runfolder import RunFolder
    from quantrial.running.prepare import OpenStudy


def open_study(study: Study | OpenStudy | Path | str, base: Path | str = ".") -> OpenStudy:
    """Read a study from its file or its run folder; `base` is for a `Study` object."""
    from quantrial.running.prepare import OpenStudy
    from quantrial.strict_yaml import write_yaml

    if isinstance(study, OpenStudy):
        return study
    if isinstance(study, Study):
        study = with_inputs(study, Path(base))
        return OpenStudy(study, write_yaml(study.canonical()), Path(base))
    path = Path(study)
    if paths.is_folder(path):
        return OpenStudy(*load_run_study(path), path)
    text = read_study_text(path)
    written = parse_study(text, path=path)
    study = with_inputs(written, path.parent)
    if study.canonical() != written.canonical():  # what files say stands in it now
        text = write_yaml(study.canonical())
    return OpenStudy(study, text, path.parent)


def load_run_study(run: Path | RunFolder) -> tuple[Study, str, Path]:
    """Return the study that a run folder holds, its text and where its relative paths start."""
    from quantrial.runfolder import MANIFEST, RunFolder

    folder = RunFolder.at(run)
    folder.require()
    text = read_study_text(folder.study_path)
    base = folder.read_manifest().study.get("base")
    if not isinstance(base, str):
        raise RecordError(
            f"study.base is {base!r:.40}; a path is needed", path=folder.path / MANIFEST
        )
    study = with_inputs(_parsed(text, folder.study_path), folder.path)
    return study, text, folder.path / base


@functools.lru_cache(maxsize=4)  # scoring, analysis, decision and report each ask for it
def _parsed(text: str, path: Path) -> Study:
    return parse_study(text, path=path)


def load_manifest(run: Path) -> Manifest:
    """Return what ran."""
    from quantrial.runfolder import RunFolder

    return RunFolder(run).read_manifest()


def score_run(run: Path | RunFolder) -> dict[str, TaskOutcomes]:
    """Score every response of a run folder, task by task.

    Raises:
        CodeNotAllowedError: code of the study scores, and the command line did not allow it.
    """
    from quantrial.analysis import score_task
    from quantrial.analysis.answers.reading import opens_thought
    from quantrial.runfolder import ITEMS, MANIFEST, RunFolder
    from quantrial.scorers.guarded import before_scoring
    from quantrial.tasks import make_task

    folder = RunFolder.at(run)
    folder.require()
    study, _, _ = load_run_study(folder)
    manifest = folder.read_manifest()
    if "hash" not in manifest.study:
        raise RecordError("study.hash is missing", path=folder.path / MANIFEST)
    if not study.is_of(manifest.study["hash"], early=not manifest.design):
        raise RunChangedError(
            "study.yaml was edited after the run began; restore it", path=folder.study_path
        )
    if missing := study.arms.keys() - manifest.arms.keys():
        raise RecordError(f"arm {min(missing)!r} is missing", path=folder.path / MANIFEST)
    items = folder.read_items()
    if strange := items.keys() - study.tasks.keys():
        raise RecordError(
            f"items of task {min(strange)!r}, which the study does not have",
            path=folder.path / ITEMS,
        )
    _refuse_strange_files(folder, study)
    before_scoring(study)
    tasks = {name: make_task(name, spec) for name, spec in study.tasks.items()}
    by_id = {name: {item.id: item for item in items.get(name, [])} for name in tasks}
    responses = {
        name: {arm: folder.read_responses(name, arm, known=set(by_id[name])) for arm in study.arms}
        for name in tasks
    }
    seen = {
        (name, arm): opens_thought(task, by_id[name], responses[name][arm])
        for name, task in tasks.items()
        for arm in study.arms
    }
    opened = _opened(study, manifest.arms, seen)
    return {
        name: score_task(
            tasks[name],
            items.get(name, []),
            responses[name],
            cluster=spec.cluster,
            stratum=spec.stratify,
            equal_items=spec.equal_items,
            reference=study.reference,
            recorded=spec.source.all_recorded,
            opened=opened[name],
        )
        for name, spec in study.tasks.items()
    }


def _opened(
    study: Study,
    arms: Mapping[str, ArmRecord],
    seen: Mapping[tuple[str, str], bool | None],
) -> dict[str, dict[str, bool | None]]:
    """Say by task and arm whether the template opens a thought.

    A template does the same to every chat of its arm: what it made of the first item is recorded
    where an engine could tell, and the answers `seen` to any task tell of the others.
    """
    from quantrial.analysis.answers.reading import together

    told: dict[str, dict[str, bool | None]] = {}
    for name, spec in study.tasks.items():
        alike = [one for one, it in study.tasks.items() if it.prompt_format == spec.prompt_format]
        told[name] = {}
        for arm in study.arms:
            known = None
            if spec.prompt_format == "chat" and arms[arm].template_applied_sha256:
                known = arms[arm].template_opens_thought is not None
            told[name][arm] = together([known, *(seen[one, arm] for one in alike)])
    return told


def _refuse_strange_files(folder: RunFolder, study: Study) -> None:
    expected = {folder.responses_path(task, arm) for task in study.tasks for arm in study.arms}
    for path in folder.response_files():
        if path not in expected:
            raise RecordError(
                "responses of a task or arm that the study does not have; its tasks are "
                f"{', '.join(study.tasks)}, its arms {', '.join(study.arms)}",
                path=path,
            )


def derive_summary(
    run: Path | RunFolder,
    *,
    methods: str | None = None,
    outcomes: Mapping[str, TaskOutcomes] | None = None,
) -> dict[str, Any]:
    """Derive the summary without writing it.

    Args:
        run: the run folder.
        methods: the set of statistics; the study's by default.
        outcomes: what `score_run` gives, where that is known already.
    """
    from quantrial.analysis import question_of, summarise
    from quantrial.documents import to_dict
    from quantrial.record_checks import with_probes
    from quantrial.runfolder import RunFolder, RunSnapshot

    folder = run if isinstance(run, RunFolder) else RunSnapshot(run)
    if outcomes is None:
        outcomes = score_run(folder)
    study, _, _ = load_run_study(folder)
    if not any(scored.flow.answered for scored in outcomes.values()):
        faulted = sum(scored.flow.faulted for scored in outcomes.values())
        raise RunFolderError(_unanswered(folder.path, study, faulted), path=folder.path)
    manifest = folder.read_manifest()
    question = question_of(study)
    if methods is not None:
        question = replace(question, methods=methods)
    summary = summarise(
        question,
        outcomes,
        arms=with_probes(manifest.arms, manifest.sessions),
        speed_records=folder.read_speed(arms=study.timed_arms),
        sources={name: task.get("source") or {} for name, task in manifest.tasks.items()},
    )
    return to_dict(summary) | {"inputs": folder.hashes()}


def _unanswered(run: Path, study: Study, faulted: int) -> str:
    """Say why there is nothing to analyse, and what would change that."""
    if any(task.source.type == "imported" for task in study.tasks.values()):
        why = f" ({faulted:,} ended in a fault)" if faulted else ""
        return (
            f"what was imported holds no answer{why}; `quantrial import` reads other files into a "
            "new folder"
        )
    if faulted:
        return (
            f"no call was answered, {faulted:,} ended in a fault; "
            f"`quantrial run {run} --retry-faults` asks them again"
        )
    return f"no answer is recorded yet; `quantrial run {run}` asks"
