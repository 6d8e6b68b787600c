"""What is made of a run's answers: summary, decision, report, and whether they still follow.

responses ── analyze ──▶ summary.json ── decide ──▶ decision.json
                               └──── report ──▶ report.md, report.html, plots
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

from quantrial import paths
from quantrial.agreement import as_recorded
from quantrial.commands.derived import derive_summary, load_manifest, load_run_study, score_run
from quantrial.errors import (
    QuantrialError,
    RecordError,
    RecordWarning,
    RunFolderError,
    StudyError,
)

if TYPE_CHECKING:
    from quantrial.analysis import TaskOutcomes
    from quantrial.commands.verification import Verification
    from quantrial.decision import Constraints
    from quantrial.documents import Summary
    from quantrial.documents.decision import Decision
    from quantrial.reporting import ReportFiles
    from quantrial.runfolder import RunFolder
    from quantrial.study import Study


FORMS = ("md", "html", "json", "csv", "latex", "model-card", "paragraph", "badge")


def export(run: Path | str, form: str) -> str:
    """Return a run's results in the form that another place takes.

    Args:
        run: the run folder; analysed and decided on first, where that is not done or out of date.
        form: `md` or `html`, the report (which is written into the run folder too); `json`, `csv`
            or `latex`, tables of every endpoint; `model-card`, the block `model-index` of the
            Hugging Face hub; `paragraph`, a summary for a pull request; `badge`, a picture in SVG.

    Raises:
        StudyError: there is no such form.

    Example:
        >>> quantrial.export("runs/mine", "csv").splitlines()[0].split(",")[:3]
        ['study', 'task', 'workload']
    """
    if form not in FORMS:
        there = f"{', '.join(FORMS)}; results(run).write_parquet(path) writes parquet"
        raise StudyError(f"{form!r} is no format; there are {there}", key="--format")
    from quantrial.reporting.exports import EXPORTS

    if form in ("md", "html"):
        files = report(run)
        return paths.read_text(files.markdown if form == "md" else files.html)
    return EXPORTS[form](*load_results(Path(run)), load_manifest(Path(run)))


def analyze(run: Path | str, *, methods: str | None = None) -> dict[str, Any]:
    """Derive `summary.json` from the responses of a run folder, write it and return it.

    Numbers that are there already and follow stay as they are, so that it is the same file on every
    kind of machine.

    Args:
        run: the run folder.
        methods: the set of statistics; the study's by default.

    Warns:
        RecordWarning: another version of the methods had analysed it; says what changed.

    Example:
        >>> summary = quantrial.analyze("runs/mine")
        >>> sorted(summary["tasks"])
        ['names', 'sums']
    """
    return _write_summary(Path(run), derive_summary(Path(run), methods=methods))


def _write_summary(run: Path, derived: dict[str, Any]) -> dict[str, Any]:
    from quantrial.commands.verification.report import derived_anew
    from quantrial.documents.codec import METHODS_VERSION, methods_version
    from quantrial.runfolder import SUMMARY, RunFolder

    folder = RunFolder(run)
    before = _before(folder, SUMMARY)
    if before and methods_version(before) != METHODS_VERSION:
        warn(f"{derived_anew(before, derived)} ({folder.path})", RecordWarning, stacklevel=3)
    document: dict[str, Any] = as_recorded(before, derived)
    folder.keep_line_ends()
    folder.write_document(SUMMARY, document)
    return document


def _before(folder: RunFolder, name: str) -> Mapping[str, Any]:
    """Return a derived document that is there already; empty where there is none to read."""
    try:
        return folder.read_document(name, command="")
    except (RecordError, RunFolderError):
        return {}


def decide(run: Path | str, constraints: Constraints | None = None) -> dict[str, Any]:
    """Derive `decision.json` from `summary.json`, write it and return it.

    Args:
        run: the run folder; analysed first when its summary is missing or older than its responses.
        constraints: what the user cannot give up; what they do not state is taken from the part
            `decision:` of the study file.

    Example:
        >>> mine = quantrial.Constraints(tolerate=0.02)
        >>> quantrial.decide("runs/mine", mine)["constrained"]["text"].partition(",")[0]
        'Under your constraints'
    """
    from quantrial.decision import Constraints
    from quantrial.decision import decide as decide_by_rules
    from quantrial.documents import load_summary
    from quantrial.documents.decision import to_dict
    from quantrial.runfolder import DECISION, SUMMARY, RunFolder

    folder = RunFolder(Path(run))
    summary = _summary(folder)
    of_study = _of_study(folder.path)
    stated = (constraints or Constraints()).over(of_study)
    typed = load_summary(summary, path=folder.path / SUMMARY)
    with sound(folder.path / SUMMARY):
        decision = to_dict(decide_by_rules(typed, stated, of_study=of_study))
    kept: dict[str, Any] = as_recorded(_before(folder, DECISION), decision)
    folder.write_document(DECISION, kept)
    return kept


def _of_study(run: Path) -> Constraints:
    """Return the constraints that the study file states."""
    from quantrial.decision import Constraints

    return Constraints(**dict(load_run_study(run)[0].decision))


def stated_options(run: Path) -> str:
    """Write the options of `decide` that state what the decision of a run is made under.

    Empty without constraints, or without a decision that can be read.
    """
    from quantrial.decision import load_constraints
    from quantrial.reporting.sentences import flags
    from quantrial.runfolder import DECISION, RunFolder

    try:
        decision: Any = RunFolder(run).read_document(DECISION, command="decide")
        options = flags(load_constraints(decision))
    except (RecordError, RunFolderError):
        return ""
    return options.strip()


def load_summary_of(run: Path) -> Summary:
    """Return the summary of a run; derived again where it is missing or out of date."""
    from quantrial.documents import load_summary
    from quantrial.runfolder import SUMMARY, RunFolder

    return load_summary(_summary(RunFolder(run)), path=run / SUMMARY)


def load_results(run: Path) -> tuple[Study, Summary, Decision]:
    """Return study, summary and decision of a run; constraints of an earlier decision are kept."""
    from quantrial.decision import decide as decide_by_rules
    from quantrial.decision import load_constraints
    from quantrial.documents.decision import load_decision, to_dict
    from quantrial.runfolder import DECISION, SUMMARY, RunFolder

    folder = RunFolder(run)
    of_study = _of_study(run)
    summary = load_summary_of(run)
    constraints: Constraints | None = of_study
    if there := (run / DECISION).is_file():
        before = folder.read_document(DECISION, command="decide")
        constraints = load_constraints(before, path=run / DECISION)
    try:
        with sound(run / SUMMARY):
            decided = to_dict(decide_by_rules(summary, constraints, of_study=of_study))
    except StudyError as exc:
        if not there:
            raise
        raise RecordError(
            f"constrained.constraints: {exc}; `quantrial decide` writes it again",
            path=run / DECISION,
        ) from exc
    decision = load_decision(as_recorded(_before(folder, DECISION), decided))
    return load_run_study(run)[0], summary, decision


@contextlib.contextmanager
def sound(path: Path) -> Iterator[None]:
    """Tell of parts of a summary that do not fit together: an arm or an id that is not there.

    Raises:
        RecordError: such a part, with what to do.
    """
    try:
        yield
    except QuantrialError:
        raise
    except (LookupError, ArithmeticError, ValueError) as exc:
        reason = f"{exc} is missing" if isinstance(exc, KeyError) else str(exc)
        raise RecordError(
            f"{reason}; another version of quantrial derived it, or it was edited. `quantrial "
            "analyze` writes it again",
            path=path,
        ) from exc


def report(run: Path | str) -> ReportFiles:
    """Write `report.md`, `report.html` and the plots from the summary and the decision.

    What is missing of the two, or out of date, is derived first; constraints of an earlier decision
    are kept.

    Example:
        >>> quantrial.report("runs/mine").markdown.name
        'report.md'
    """
    return _report(Path(run))


def analyze_and_report(run: Path) -> ReportFiles:
    """Do what `analyze` and `report` do; each answer is read and scored once."""
    from quantrial.runfolder import RunSnapshot

    snapshot = RunSnapshot(run)
    outcomes = score_run(snapshot)
    _write_summary(run, derive_summary(snapshot, outcomes=outcomes))
    snapshot.release_responses()
    return _report(run, outcomes)


def _report(run: Path, outcomes: Mapping[str, TaskOutcomes] | None = None) -> ReportFiles:
    from quantrial.documents.decision import to_dict
    from quantrial.reporting import Results, write_report
    from quantrial.runfolder import DECISION, RunFolder

    folder = RunFolder(run)
    study, summary, decision = load_results(folder.path)
    folder.write_document(DECISION, to_dict(decision))
    scored = outcomes or score_run(run)
    return write_report(run, Results(study, summary, decision, folder.read_manifest(), scored))


def verify(run: Path | str) -> Verification:
    """Derive everything again from the responses and name each place that differs.

    Example:
        >>> quantrial.verify("runs/mine").ok
        True
    """
    from quantrial.commands.verification import verify_run

    return verify_run(Path(run))


def _summary(folder: RunFolder) -> Mapping[str, Any]:
    """Return the summary; derived again when it is missing or older than what it derives from."""
    from quantrial.documents.codec import METHODS_VERSION, methods_version
    from quantrial.runfolder import SUMMARY

    folder.require()
    if not (folder.path / SUMMARY).is_file():
        return analyze(folder.path)
    document: Mapping[str, Any] = folder.read_document(SUMMARY, command="analyze")
    if missing := {"arms", "inputs", "methods", "reference", "tasks"} - document.keys():
        raise RecordError(
            f"{min(missing)!r} is missing; `quantrial analyze` writes it again",
            path=folder.path / SUMMARY,
        )
    if methods_version(document) != METHODS_VERSION:
        return analyze(folder.path, methods=str(document["methods"]))
    if document.get("inputs") != folder.hashes():
        note = f"{folder.path / SUMMARY} was older than the responses; analysed again"
        warn(note, RecordWarning, stacklevel=3)
        return analyze(folder.path, methods=str(document["methods"]))
    return document
