"""The layout in which paired studies of quantized models have been published: `<task>_<arm>.jsonl`.

A directory holds one file an arm and task (`mmlu_q4_K_M.jsonl`, `extraction_fp16.jsonl`), a JSON
object a line, and maybe an `experiment_manifest.json`. It becomes a run folder as if quantrial had
asked: raw answers, golds and timings. Recorded scores are compared with re-derived ones and are no
truth of their own.

Of a row, `example_id`, `output`, `gold` and `score` are needed; `arm` and `task` must agree with
the file's name where they are there. A row whose `status` is not ok needs neither output nor score.
Times are nanoseconds: `load_duration_ns`, `prompt_eval_duration_ns`, `eval_duration_ns` and
`total_duration_ns` (of which the load is taken off, as everywhere in a run folder); tokens are
`prompt_eval_count` and `eval_count`. Where there is no `eval_duration_ns`, it follows from
`tokens_per_second`. `timestamp` or `started_at`, `finish_reason` or `done_reason`, and `error` are
kept too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.engines.artifact import Artifact
from quantrial.errors import DataError, StudyError
from quantrial.importers._reference_items import (
    SUBJECT,
    NamedTask,
    ScoreDifference,
    TaskAnswers,
    align,
    chosen_tasks,
    counted,
    notes_of,
    task_of_file,
)
from quantrial.importers._reference_manifest import (
    EXPERIMENT_MANIFEST,
    ArmFacts,
    facts_of,
    quantization_of,
    read_experiment,
    size_rank,
)
from quantrial.importers._reference_rows import AnswerFile, read_answers
from quantrial.importers.base import Imported
from quantrial.paths import is_folder
from quantrial.records import Response
from quantrial.redaction import MASK, settings_without_keys, without_keys
from quantrial.strict_yaml import write_yaml
from quantrial.study import ChoiceTask, parse_study
from quantrial.study.names import name_like
from quantrial.tasks import make_task

if TYPE_CHECKING:
    from quantrial.study import Study

_REFERENCES = ("fp16", "f16", "bf16")
_RULES = ("first_letter", "answer_letter")
_SHOWN = 5  # files of another layout that an error names
_MANY = 0.02  # of recorded scores that differ from the derived ones: another rule made them

_HEADER = """\
# Imported by `quantrial import reference` from answers that another program collected. The run can
# be analysed, decided on, reported and verified like one of your own; nothing is asked again.
"""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the answers do not say: how the study is called and analysed.

    `name` is the directory's, made valid, by default. `scoring` is the rule for letters:
    `first_letter`, the published one, or `answer_letter`. `tasks` selects tasks, all by default;
    `named` says which files hold tasks that were never published, and what they are called.
    """

    name: str | None = None
    seed: int = 0
    margin: float = 0.01
    scoring: str = "first_letter"
    methods: str = "calibrated"
    tasks: tuple[str, ...] = ()
    named: tuple[NamedTask, ...] = ()
    resamples: int = 10_000


_DEFAULTS = ImportOptions()


def read_reference(
    directory: Path, *, reference: str | None = None, options: ImportOptions = _DEFAULTS
) -> Imported:
    """Read published answers.

    Args:
        directory: holds `<task>_<arm>.jsonl` for the tasks `mmlu` and `extraction`, or for those
            that `options.named` names.
        reference: the reference arm; the first of fp16, f16, bf16 by default.
        options: the name, seed, margin, scoring rule and bootstrap draws of the study.

    Raises:
        DataError: no files, one arm only, or a row that is not what it should be (with its line).
        StudyError: no such reference arm, or an option out of range.
    """
    layout = chosen_tasks(options.named, options.tasks)
    files, notes = _read_all(directory, layout)
    _refuse_without_files(files, options, directory)
    experiment = read_experiment(directory)
    kept = settings_without_keys(experiment)
    if kept != experiment:
        notes.append(f"Keys in {EXPERIMENT_MANIFEST} are blotted out here ({MASK}).")
    chosen = _choose(reference, _spellings(files), directory)
    arms = [chosen, *sorted({arm for _, arm in files} - {chosen}, key=size_rank)]
    tasks = {}
    for named in layout:
        own = {arm: files[named.name, arm] for arm in arms if (named.name, arm) in files}
        if own:
            tasks[named.name] = align(named, own)
    facts = {arm: facts_of(kept or {}, _raw(files, arm)) for arm in arms}
    models = {arm: fact.model or arm for arm, fact in facts.items()}
    settings = {"seed": options.seed, "reference": chosen, "margin": options.margin}
    text = study_text(
        {"study": _name(options, directory), **settings},
        tasks,
        models,
        scoring=options.scoring,
        methods=options.methods,
        resamples=options.resamples,
    )
    study = parse_study(text)
    differences = {
        task: answers.score_differences(make_task(task, study.tasks[task]))
        for task, answers in tasks.items()
    }
    notes += _notes(study, tasks, differences)
    notes += _other_scoring(study, tasks, differences)
    return Imported(
        text,
        [item for answers in tasks.values() for item in answers.items.values()],
        responses_of(study, tasks),
        {arm: artifact_of(arm, models[arm], facts[arm]) for arm in arms},
        directory.resolve().name,
        sources={task: source_of(answers, differences[task]) for task, answers in tasks.items()},
        experiment=kept,
        notes=tuple(notes),
        duplicates=tuple(_duplicates(tasks)),
        score_differences=tuple(one for found in differences.values() for one in found),
    )


def _read_all(
    directory: Path, layout: Sequence[NamedTask]
) -> tuple[dict[tuple[str, str], AnswerFile], list[str]]:
    """Read every file of the layout by task and arm, and say which files are none of it."""
    wanted = " and ".join(f"{task.prefix}_<arm>.jsonl" for task in layout)
    if not is_folder(directory):
        raise DataError(f"no such folder; one with files {wanted} is needed", path=directory)
    try:
        paths = sorted(p for p in directory.iterdir() if p.suffix == ".jsonl" and p.is_file())
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror})", path=directory) from exc
    names: dict[str, str] = {}
    files: dict[tuple[str, str], AnswerFile] = {}
    strange: list[str] = []
    notes: list[str] = []
    for path in paths:
        found = task_of_file(path.stem, layout)
        if found is None:
            strange.append(path.name)
            continue
        named, raw = found
        task = named.name
        valid = name_like(raw)
        if not valid:
            raise DataError(f"no arm's name can be made of {raw!r}; rename the file", path=path)
        # two names that a file system may not tell apart are one arm
        arm = names.setdefault(valid.casefold(), valid)
        if (task, arm) in files:
            raise DataError(
                f"stands for the same arm as {files[task, arm].path.name}; rename one", path=path
            )
        if arm != raw:
            notes.append(f"{path.name}: the arm is called {arm!r} here.")
        files[task, arm] = read_answers(path, named.prefix, raw, named.kind)
    if not files:
        said = f"no answers to import: looked for {wanted}"
        if strange:
            said += f"; there are {', '.join(strange[:_SHOWN])}. `--name-task "
            said += "OLD=name:kind:workload` names files of another task"
        raise DataError(said, path=directory)
    if len(names) < 2:
        raise DataError(
            f"only one arm, {next(iter(names.values()))!r}: a comparison needs at least two "
            f"(looked for {wanted})",
            path=directory,
        )
    if strange:
        said = "These files are of no task that was asked for and were not read"
        notes.append(f"{said}: {', '.join(strange)}.")
    return files, notes


def _refuse_without_files(
    files: Collection[tuple[str, str]], options: ImportOptions, directory: Path
) -> None:
    """Refuse what was asked for by name and has no file: a misspelt name would go unnoticed."""
    read = {task for task, _ in files}
    for one in chosen_tasks(options.named, options.tasks):
        asked = "name-task" if one in options.named else "task" if options.tasks else None
        if asked is not None and one.name not in read:
            said = f"there is no file {one.prefix}_<arm>.jsonl of the task {one.name!r}"
            raise StudyError(said, path=directory, key=asked)


def _name(options: ImportOptions, directory: Path) -> str:
    if options.name is not None:
        return options.name
    return name_like(directory.resolve().name) or "imported"


def _raw(files: Mapping[tuple[str, str], AnswerFile], arm: str) -> str:
    """Return an arm's name as the files write it."""
    return next(file.arm for (_, name), file in files.items() if name == arm)


def _spellings(files: Mapping[tuple[str, str], AnswerFile]) -> dict[str, str]:
    """Map every way in which an arm may be named, case aside, to its name."""
    names = {file.arm.casefold(): arm for (_, arm), file in files.items()}
    return names | {arm.casefold(): arm for _, arm in files}


def _choose(reference: str | None, names: Mapping[str, str], directory: Path) -> str:
    arms = ", ".join(sorted(set(names.values()), key=size_rank))
    if reference is None:
        found = next((names[name] for name in _REFERENCES if name in names), None)
        if found is None:
            raise StudyError(
                f"none of {', '.join(_REFERENCES)} is there; name one of the arms: {arms}",
                path=directory,
                key="reference",
            )
        return found
    if reference.casefold() not in names:
        raise StudyError(
            f"there is no arm {reference!r}; the arms are: {arms}", path=directory, key="reference"
        )
    return names[reference.casefold()]


def _duplicates(tasks: Mapping[str, TaskAnswers]) -> list[str]:
    return [
        f"{task}.{arm}: example {row.example_id}: line {row.line} of {file.path.name} is replaced "
        f"by line {file.rows[row.example_id].line}"
        for task, answers in tasks.items()
        for arm, file, row in answers.duplicates()
    ]


def _notes(
    study: Study,
    tasks: Mapping[str, TaskAnswers],
    differences: Mapping[str, Sequence[ScoreDifference]],
) -> list[str]:
    notes = []
    for task, answers in tasks.items():
        if absent := [arm for arm in study.arms if arm not in answers.files]:
            notes.append(f"{task}: there is no file for {', '.join(absent)}.")
        notes += notes_of(answers, differences[task])
    for task, answers in tasks.items():
        spec = study.tasks[task]
        if not isinstance(spec, ChoiceTask):
            continue
        if missing := answers.without_subject:
            notes.append(
                f"{task}: {counted(missing, 'row has', 'rows have')} no metadata.subject, so "
                "subjects are neither strata nor clusters."
            )
        last = max(str(item.gold) for item in answers.items.values())
        if last > "D" and spec.scoring == "first_letter":
            notes.append(
                f"{task}: golds go up to {last}, but first_letter reads A to D only; "
                "answer_letter reads all."
            )
    return notes


def _other_scoring(
    study: Study,
    tasks: Mapping[str, TaskAnswers],
    differences: Mapping[str, Sequence[ScoreDifference]],
) -> Iterator[str]:
    """Suggest the other rule for letters where it agrees with many more of the recorded scores."""
    for task, answers in tasks.items():
        spec = study.tasks[task]
        if not isinstance(spec, ChoiceTask):
            continue
        compared = sum(row.answered and row.score is not None for row in answers.rows)
        differ = len(differences[task])
        if differ <= _MANY * compared:
            continue
        other = next(rule for rule in _RULES if rule != spec.scoring)
        changed = make_task(task, spec.model_copy(update={"scoring": other}))
        left = len(answers.score_differences(changed))
        said = f"{task}: {differ:,} of {compared:,} recorded scores differ from {spec.scoring}"
        if left < differ:
            yield f"{said}, {left:,} from {other}; `--scoring {other}` reads letters that way."
        else:
            yield f"{said}, and {left:,} from {other}: they were made by another rule."


def study_text(
    settings: Mapping[str, Any],
    tasks: Mapping[str, TaskAnswers],
    models: Mapping[str, str],
    *,
    scoring: str,
    methods: str,
    resamples: int,
) -> str:
    """Write the study file of an imported run.

    Args:
        settings: the study's top-level values: name, seed, reference, margin.
        tasks: the aligned tasks.
        models: the model of each arm, in the study's order.
        scoring: the rule by which letters are read.
        methods: the set of statistics.
        resamples: bootstrap draws.
    """
    declared: dict[str, dict[str, Any]] = {}
    for task, answers in tasks.items():
        declared[task] = {
            "kind": answers.named.kind,
            "workload": answers.named.workload,
            "source": {"type": "imported", "layout": "reference"},
        }
        if answers.named.kind == "choice" and not answers.without_subject:
            declared[task] |= {"stratify": SUBJECT, "cluster": SUBJECT}
        declared[task]["scoring"] = scoring if answers.named.kind == "choice" else "spans_published"
    study = {
        **settings,
        "arms": {arm: {"engine": "imported", "model": model} for arm, model in models.items()},
        "tasks": declared,
        "analysis": {"methods": methods, "resamples": resamples},
    }
    return _HEADER + write_yaml(study)


def artifact_of(arm: str, model: str, facts: ArmFacts) -> Artifact:
    """Say what is known of an arm's model."""
    return Artifact(
        model=model,
        sha256=facts.sha256,
        bytes_on_disk=facts.bytes_on_disk,
        quantization=quantization_of(arm),
    )


def source_of(answers: TaskAnswers, differences: Sequence[ScoreDifference]) -> dict[str, Any]:
    """Say where the answers to a task came from."""
    files = answers.files.values()
    return {
        "files": {file.path.name: file.sha256 for file in files},
        "rows": sum(len(file.rows) + len(file.superseded) for file in files),
        "duplicates": [
            [answers.items[row.example_id].id, f"{file.path.name}:{row.line}"]
            for _, file, row in answers.duplicates()
        ],
        "score_differences": [asdict(one) for one in differences],
    }


def responses_of(
    study: Study, tasks: Mapping[str, TaskAnswers]
) -> dict[tuple[str, str], list[Response]]:
    """Make the responses of every task and arm, in item order.

    Every arm answers one item within one block, as in a run of one's own; the order in which the
    answers were really asked is not known.
    """
    found: dict[tuple[str, str], list[Response]] = {}
    block = 0
    for task, answers in tasks.items():
        for example, item in answers.items.items():
            for place, arm in enumerate(study.arms):
                file = answers.files.get(arm)
                row = None if file is None else file.rows.get(example)
                if row is not None:
                    error, order = row.response.error, block * len(study.arms) + place
                    response = replace(
                        row.response,
                        study=study.study,
                        task=task,
                        arm=arm,
                        item=item.id,
                        order=order,
                        block=block,
                        error=None if error is None else without_keys(error),
                    )
                    found.setdefault((task, arm), []).append(response)
            block += 1
    return found
