"""From a study file to a run folder: write one, plan it, run it; the demo; answers from elsewhere.

study.yaml ── plan, run ──▶ run folder ◀── import ── answers that another program collected
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.commands.derived import load_run_study, open_study
from quantrial.commands.results import analyze_and_report, load_summary_of
from quantrial.errors import RunFolderError, StudyError
from quantrial.paths import is_there
from quantrial.registry import hint_of
from quantrial.runfolder import DECISION, MANIFEST, RunFolder, encode_document, write_atomically
from quantrial.study import Study, parse_study, read_gate

if TYPE_CHECKING:
    from quantrial.commands.workloads import Started
    from quantrial.design.plan import Plan
    from quantrial.importers import ImportOptions, ImportReport, LogOptions
    from quantrial.importers.beside import BenchmarkReport
    from quantrial.reporting import ReportFiles
    from quantrial.running import Listener
    from quantrial.running.prepare import OpenStudy
    from quantrial.running.runner import RunResult
    from quantrial.study.code import BeforeCode


PRESETS = ("embedded", "ollama-llama31")


def init(
    path: Path | str = "study.yaml",
    *,
    preset: str = "embedded",
    workload: str | None = None,
    items: Path | str | None = None,
    gold: str | None = None,
    generate: int | None = None,
) -> Path:
    """Write a commented study file to start from.

    Args:
        path: where; must not exist yet.
        preset: `embedded` (the demo model, no server) or `ollama-llama31`.
        workload: `routing`, `extraction`, `qa`, `math`, `tools` or `custom`: a study around
            `items`, or around a few examples that are written beside it. `long-context`,
            `instructions` and `languages`: around `items`, or around 300 generated ones.
        items: your own items, a JSONL, CSV, Parquet or Excel file.
        gold: the field of an item with the right answer; by its name by default.
        generate: how many items to make from a seed, in place of `items`.

    Raises:
        StudyError: the file exists already, cannot be written, or there is no such preset or
            workload; or no field of the items is what it needs.
        DataError: the items cannot be read.

    Example:
        >>> quantrial.init("first.yaml").name
        'first.yaml'
    """
    from quantrial.commands.workloads import is_generated

    path = Path(path)
    if workload is not None and is_generated(workload, items, generate):
        return start_generated(path, preset=preset, workload=workload, count=generate)
    if workload is not None or items is not None or gold is not None:
        return start_workload(path, preset=preset, workload=workload, items=items, gold=gold).study
    text = preset_text(preset)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as exc:
        raise StudyError("exists already; name another file", path=path) from exc
    except OSError as exc:
        raise StudyError(f"cannot be written ({exc.strerror})", path=path) from exc
    return path


def start_workload(
    path: Path,
    *,
    preset: str,
    workload: str | None,
    items: Path | str | None = None,
    gold: str | None = None,
) -> Started:
    """Write a study around items, as `init` does; return what was written and found, too."""
    from quantrial.commands.workloads import WORKLOADS, start

    if workload is None:
        raise StudyError(
            f"say what the items are for by --workload: {', '.join(WORKLOADS)}", key="--workload"
        )
    own = None if items is None else Path(items)
    return start(path, workload, preset=preset_text(preset), items=own, gold=gold)


def start_generated(path: Path, *, preset: str, workload: str, count: int | None = None) -> Path:
    """Write a study of items that are made from a seed; return its path.

    Raises:
        StudyError: there is no generator of that name, or the file exists.
    """
    from quantrial.generators.study import COUNT, study_text
    from quantrial.registry import GENERATORS

    GENERATORS.load(workload, key="--workload")
    text = study_text(workload, preset_text(preset), count=count or COUNT)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as exc:
        raise StudyError("exists already; name another file", path=path) from exc
    except OSError as exc:
        raise StudyError(f"cannot be written ({exc.strerror})", path=path) from exc
    return path


def preset_text(preset: str) -> str:
    """Return the text of a preset study file."""
    if preset not in PRESETS:
        raise StudyError(f"{preset!r} is no preset; there are {', '.join(PRESETS)}")
    import importlib.resources

    source = importlib.resources.files("quantrial.presets") / f"{preset}.yaml"
    return source.read_text(encoding="utf-8")


def plan(
    study: Study | OpenStudy | Path | str,
    *,
    base: Path | str = ".",
    probe: bool | None = False,
    tell: Callable[[str], None] | None = None,
    before_code: BeforeCode | None = None,
    gate: Path | str | None = None,
) -> Plan:
    """Say what a study will ask, hold in memory and be able to detect, before anything is spent.

    Args:
        study: a study, or the path of its file.
        base: for a `Study` object: the folder that its relative paths start from.
        probe: load every arm and time a few calls; None to do so where it costs no money and
            little time: every arm on this machine, and not more than 4 GB of weights to load.
        tell: told in a few words what takes a while.
        before_code: called with the study before a probe runs code that the study names; raises to
            refuse it. Without one it is run: calling this is to agree.
        gate: a file of what a pipeline requires, in place of the study's own `gate`.

    Example:
        >>> plan = quantrial.plan("study.yaml")
        >>> plan.calls, plan.fits
        (108, True)
    """
    from quantrial.running.planning import plan_study

    opened = open_study(study, base)
    required = opened.study.gate if gate is None else read_gate(gate)
    found = plan_study(opened, probe=probe, tell=tell, before_code=before_code)
    if required is None:
        return found
    from quantrial.gate import prospects

    return replace(found, gate=tuple(prospects(required, found.tasks, opened.study.alpha)))


def begun(opened: OpenStudy, out: Path | None = None) -> bool:
    """Whether a study was read from a run folder, or its run folder holds an answer already."""
    from quantrial.runfolder import RunFolder

    if opened.folder is not None:
        return True
    run = RunFolder(out if out is not None else Path("runs") / opened.study.study)
    return any(path.stat().st_size for path in run.response_files())


def too_small(opened: OpenStudy) -> list[str]:
    """Say of each task whose items are probably too few for a decision how many it takes."""
    from quantrial.running.planning import task_plans

    plans = task_plans(opened.study, opened.prepared)
    return [one.advice for one in plans if one.too_small and one.advice is not None]


def calls(opened: OpenStudy) -> int:
    """Return how many calls a study asks for in all; it loads its items."""
    return sum(map(len, opened.prepared.items.values())) * len(opened.study.arms)


def run(
    study: Study | OpenStudy | Path | str,
    *,
    out: Path | str | None = None,
    base: Path | str = ".",
    retry_faults: bool = False,
    speed: bool = True,
    listener: Listener | None = None,
    before_code: BeforeCode | None = None,
) -> RunResult:
    """Answer every scheduled call that is not recorded yet; safe to kill and to call again.

    The speed phase, where the study asks for one, comes after them. The result's `unanswered` names
    arms that answered nothing; no speed is measured then.

    Args:
        study: a study, the path of its file, or the path of a run folder to go on with.
        out: the run folder; `runs/<study name>` by default.
        base: for a `Study` object: the folder that its relative paths start from.
        retry_faults: ask the calls that ended in a fault again, and no others.
        speed: whether to measure speed too, where the study asks for it.
        listener: told of the progress.
        before_code: called with the study before code that it names is run (`quantrial.study`
            lists it); raises to refuse it. Without one it is run: calling this is to agree.

    Raises:
        StudyError, DataError, ModelFileError: what is wrong with the study, its items, its models.
        RunChangedError: the folder holds a run of something else.
        RunFolderError: the folder is in use or cannot be written.
        EngineError: an engine cannot be started, or an arm keeps failing.

    Example:
        >>> result = quantrial.run("study.yaml", out="runs/new")
        >>> result.recorded, result.faulted
        (108, 0)
    """
    from quantrial.running.runner import run_study

    opened = open_study(study, base)
    folder = opened.folder
    if folder is None:
        folder = Path(out) if out is not None else Path("runs") / opened.study.study
    elif out is not None and Path(out).resolve() != folder.resolve():
        raise StudyError(f"{folder} is a run folder already; leave out --out to go on with it")
    result = run_study(
        opened,
        folder=folder,
        retry_faults=retry_faults,
        listener=listener,
        before_code=before_code,
    )
    # what only asks faults again measures nothing, and of an arm without answers there is nothing
    if not speed or retry_faults or result.unanswered:
        return result

    return _with_speed(opened, result, listener=listener, before_code=before_code)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo ends with."""

    run: RunResult
    decision: dict[str, Any]
    files: ReportFiles


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What follows from a run's answers: the decision, and where the report is."""

    decision: dict[str, Any]
    files: ReportFiles


def conclude(run: Path | str) -> Conclusion:
    """Analyse a run whose answers are all in, decide and report.

    Constraints of an earlier decision are kept.
    """
    from quantrial.runfolder import DECISION, RunFolder

    files = analyze_and_report(Path(run))
    return Conclusion(dict(RunFolder(Path(run)).read_document(DECISION, command="decide")), files)


def without_scores(run: Path | str) -> tuple[str, ...]:
    """Name the tasks of which no answer has a score, though there are answers."""
    tasks = load_summary_of(Path(run)).tasks
    return tuple(
        name
        for name, part in tasks.items()
        if not any(own.n for own in part.main.arms.values()) and part.flow.answered
    )


def demo(out: Path | str = "runs/demo", *, listener: Listener | None = None) -> DemoResult:
    """Run, analyse, decide and report the `embedded` preset.

    Example:
        >>> quantrial.demo("runs/demo").run.recorded  # doctest: +SKIP
        1560
    """
    from quantrial.running.prepare import OpenStudy
    from quantrial.running.runner import run_study

    text = preset_text("embedded")
    opened = OpenStudy(parse_study(text), text, Path())
    result = run_study(opened, folder=Path(out), listener=listener)
    result = _with_speed(opened, result, listener=listener)
    found = conclude(out)
    return DemoResult(result, found.decision, found.files)


def import_reference(
    directory: Path | str,
    out: Path | str,
    *,
    reference: str | None = None,
    options: ImportOptions | None = None,
) -> ImportReport:
    """Read answers in the layout of published studies into a new run folder.

    Args:
        directory: holds `<task>_<arm>.jsonl` files, and perhaps `experiment_manifest.json`.
        out: the run folder; must not exist yet.
        reference: the reference arm; the first of fp16, f16, bf16 by default.
        options: name, seed, margin, scoring.

    Raises:
        DataError: a malformed line, with its file and number.
        RunFolderError: `out` exists already.

    Example:
        >>> quantrial.import_reference("published", "runs/published").arms
        ('fp16', 'q8_0', 'q4_K_M')
    """
    from quantrial import importers

    return importers.import_answers(
        "reference",
        Path(directory),
        Path(out),
        reference=reference,
        options=options or importers.ImportOptions(),
    )


def read_log(
    form: str,
    logs: Mapping[str, Path | str] | Sequence[Path | str] | Path | str,
    out: Path | str,
    *,
    options: LogOptions | None = None,
    beside: Sequence[tuple[str, Path | str]] = (),
) -> ImportReport:
    """Read logs of another program, one of each arm, into a new run folder.

    Args:
        form: what made them, such as `lm-eval` or `inspect`; `auto` guesses, and the first notes
            of the report say what and why.
        logs: where each arm's logs are, by the name that the arm shall have; for formats that name
            the arms themselves, and for `auto`, one path or several.
        out: the run folder; must not exist yet.
        options: reference, margin, tasks, filters, metrics, and what is let through.
        beside: what llama-bench, vLLM or llama-perplexity measured of arms, by the arm's name; it
            stands in notes beside the verdict.

    Raises:
        DataError: the logs do not pair, or a line of one is malformed.
        RunFolderError: `out` exists already.

    Example:
        >>> quantrial.read_log("lm-eval", {"f16": "out/f16", "q4": "out/q4"}, "runs/x").arms
        ('f16', 'q4')
    """
    from quantrial import importers

    found: Mapping[str, Path] | Sequence[Path]
    if isinstance(logs, Mapping):
        found = {arm: Path(path) for arm, path in logs.items()}
    else:
        found = [Path(path) for path in ([logs] if isinstance(logs, Path | str) else logs)]
    evidence = [(arm, Path(path)) for arm, path in beside]
    return importers.import_answers(form, found, Path(out), options=options, beside=evidence)


def read_benchmarks(
    program: str,
    files: Mapping[str, Path | str],
    out: Path | str | None = None,
    *,
    reference: str | None = None,
) -> BenchmarkReport:
    """Compare what a benchmark measured of each arm with what it measured of the reference.

    A benchmark answers no items, so alone it decides nothing. In a run it is evidence beside the
    verdict: it goes into the notes, and the report is written again.

    Args:
        program: `llama-bench`, `llama-perplexity` or `vllm`.
        files: the file of each arm.
        out: a run that has these arms; or a folder to make, for `benchmarks.md` and
            `benchmarks.json`. By default nothing is written.
        reference: by default that of the run; else an arm with a name like f16, or the first.

    Raises:
        StudyError: there is no such program, arm or reference.
        DataError: a file is not of this program, or does not fit that of the reference.
        RunFolderError: `out` is there and no run, or cannot be written.

    Example:
        >>> found = quantrial.read_benchmarks("llama-bench", {"f16": "a.json", "q4": "b.json"})
        >>> found.findings[0].partition(" as fast")[0]
        'q4 writes 2 times (95 % interval 1.63 to 2.46)'
    """
    from quantrial.importers.beside import BENCHMARKS, BenchmarkReport, notes_beside
    from quantrial.importers.logs import usual_reference

    if program not in BENCHMARKS:
        hint = hint_of(program, tuple(BENCHMARKS), "there is: ")
        raise StudyError(f"no such benchmark: {program!r}; {hint}", key="program")
    given = [(arm, Path(path)) for arm, path in files.items()]
    folder = None if out is None else Path(out)
    if folder is None or not is_there(folder / MANIFEST):
        if folder is not None and is_there(folder):
            raise RunFolderError(
                "is there and no run; name a run with these arms, or a new folder", path=folder
            )
        arms, usual = tuple(files), usual_reference(tuple(files)) or ""
        chosen = reference or usual
        _known_arm(chosen, arms)
        notes = notes_beside(given, arms, chosen, program=program)
        found = BenchmarkReport(program, arms, chosen, notes, folder)
        if folder is not None:
            text = "\n".join([f"# {BENCHMARKS[program]}", "", *(f"- {note}" for note in notes)])
            write_atomically(folder / "benchmarks.md", f"{text}\n".encode())
            write_atomically(
                folder / "benchmarks.json", encode_document(asdict(replace(found, folder=None)))
            )
        return found
    study, _, _ = load_run_study(RunFolder(folder))
    chosen = reference or study.reference
    _known_arm(chosen, tuple(study.arms))
    notes = notes_beside(given, tuple(study.arms), chosen, program=program)
    run = RunFolder(folder)
    with run.locked():
        manifest = run.read_manifest()
        new = [note for note in notes if note not in manifest.notes]
        run.write_manifest(replace(manifest, notes=(*manifest.notes, *new)))
    if is_there(folder / DECISION):
        analyze_and_report(folder)
    return BenchmarkReport(program, tuple(files), chosen, notes, folder, in_run=True)


def _known_arm(name: str, arms: Sequence[str]) -> None:
    if name not in arms:
        hint = hint_of(name, arms, "there is: ")
        raise StudyError(f"there is no arm {name!r}; {hint}", key="--reference")


def _with_speed(
    opened: OpenStudy,
    result: RunResult,
    *,
    listener: Listener | None,
    before_code: BeforeCode | None = None,
) -> RunResult:
    """Measure speed where the study asks for it; return the result with what was measured."""
    # `running` measures, `analysis` says when it is enough
    from quantrial.analysis import question_of, standing
    from quantrial.running.speed_phase import measure_speed

    question = question_of(opened.study).speed
    if question is None:
        return result
    measured = measure_speed(
        opened.study,
        base=opened.base,
        folder=result.folder,
        judge=lambda records: standing(question, records),
        listener=listener,
        before_code=before_code,
    )
    return replace(result, speed=measured)
