"""Derive everything again from the responses, and name every place that differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import quantrial
from quantrial.agreement import as_recorded
from quantrial.analysis.versions import METHODS_VERSION, methods_version
from quantrial.commands.derived import derive_summary, score_run
from quantrial.commands.drifts import Drift, document_drifts, line_end_notes, missing
from quantrial.commands.verification_inputs import (
    input_drifts,
    order_drifts,
    require_run,
    speed_drifts,
    unknown_files,
)
from quantrial.commands.verification_report import ReportCheck, older_report_drifts, report_files
from quantrial.commands.versions import made_by_other_methods, only_words
from quantrial.decision import Constraints, decide_from, load_constraints
from quantrial.errors import (
    QuantrialError,
    RecordError,
    RunChangedError,
    RunFolderError,
    StudyError,
)
from quantrial.runfolder import DECISION, SUMMARY, RunSnapshot
from quantrial.study import load_study

if TYPE_CHECKING:
    from quantrial.analysis import TaskOutcomes
    from quantrial.study import Study

__all__ = ["Drift", "Verification", "document_drifts", "verify_run"]

# what an edited document makes of code that reads it as what it was
_UNREADABLE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found. `drifts` must be empty; `warnings` deserve a look and do not fail.

    `notes` say what is no edit (line ends, files that belong to nobody) and what was not compared.
    `derived` is whether this version's rules made the summary, so that all was derived again.
    """

    folder: Path
    drifts: tuple[Drift, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    derived: bool = True

    @property
    def ok(self) -> bool:
        """Whether everything recorded follows from the responses."""
        return not self.drifts


def verify_run(folder: Path) -> Verification:
    """Verify a run folder: records, order, hashes, summary, decision, report.

    Raises:
        RecordError: a file of the run is missing, or cannot be read as what it should be; it names
            its place.
        RunFolderError: this is no run folder.
    """
    run = RunSnapshot(folder)
    require_run(run)
    if not (folder / SUMMARY).is_file():
        raise RecordError("not there yet: `quantrial analyze` makes it", path=folder / SUMMARY)
    recorded = run.read_document(SUMMARY, command="analyze")
    check = _Check(run, load_study(run.study_path), recorded)
    return check.verification()


class _Check:
    """One verification: what is read once, and what was found so far."""

    def __init__(self, run: RunSnapshot, study: Study, recorded: Mapping[str, Any]) -> None:
        self._run = run
        self._study = study
        self._recorded = recorded
        self._notes: list[str] = []
        self._made = report_files(run)
        self._outcomes: dict[str, TaskOutcomes] = {}

    def verification(self) -> Verification:
        run, recorded = self._run, self._recorded
        drifts = list(input_drifts(run, recorded.get("inputs")))
        edited = bool(drifts)
        derived = self._derived(edited=edited)
        if derived is None:
            return self._found(drifts, ())
        drifts += [*order_drifts(run, self._study), *speed_drifts(run, self._study)]
        run.release_responses()
        current = methods_version(recorded) == METHODS_VERSION
        if current:
            drifts += self._results(derived)
        else:
            self._notes.append(made_by_other_methods(run.path, recorded, derived))
            drifts += older_report_drifts(run)
        warnings = [one["text"] for one in derived["assay"] if one["status"] in ("warn", "fail")]
        version = run.read_manifest().software.get("quantrial")
        if version not in (None, quantrial.__version__):
            warnings.append(
                f"the run was made by quantrial {version}; this is {quantrial.__version__}"
            )
        return self._found(drifts, warnings, derived=current)

    def _found(self, drifts: list[Drift], warnings: Any, *, derived: bool = True) -> Verification:
        run = self._run
        ends = line_end_notes(run.with_windows_line_ends)
        notes = [*self._notes, *ends, *unknown_files(run, self._made)]
        return Verification(self._run.path, tuple(drifts), tuple(warnings), tuple(notes), derived)

    def _derived(self, *, edited: bool) -> dict[str, Any] | None:
        """Derive the summary; None where nothing follows from files that were edited."""
        methods = self._recorded.get("methods")
        if methods not in ("calibrated", "classic"):
            raise RecordError(
                f"methods is {methods!r:.60}, which is no set of statistics",
                path=self._run.path / SUMMARY,
            )
        try:
            self._outcomes = score_run(self._run)
            return derive_summary(self._run, methods=methods, outcomes=self._outcomes)
        except RunChangedError:
            raise
        except RunFolderError:
            if edited:
                return None
            raise
        except QuantrialError:
            raise
        except _UNREADABLE as exc:
            if edited:
                return None
            raise RecordError(
                f"no summary can be derived from what is recorded ({type(exc).__name__}: {exc}); "
                "a file of the run was edited",
                path=self._run.path,
            ) from exc

    def _results(self, derived: dict[str, Any]) -> Iterator[Drift]:
        """Check summary, decision and report, each against what the one before it gives."""
        recorded = self._recorded
        found, summary = self._settled(SUMMARY, recorded, derived)
        yield from found
        if not (self._run.path / DECISION).is_file():
            yield missing(DECISION, "`quantrial decide` makes it")
            return
        decision: Any = self._run.read_document(DECISION, command="decide")
        options = _options(decision)
        if isinstance(options, Drift):
            yield options
            return
        if decision.get("methods") != summary["methods"]:
            since = f"summary.json was made by {summary['methods']} since"
            yield self._stale("methods", decision.get("methods"), since, options)
            return
        decided = self._decided(decision, summary)
        if isinstance(decided, Drift):
            yield decided
            return
        if not found and decision.get("made_of") != decided["made_of"]:
            since = "summary.json was analysed since"
            yield self._stale("made_of", "an earlier summary.json", since, options)
            return
        found, decided = self._settled(DECISION, decision, decided)
        yield from found
        report = ReportCheck(self._run, self._study, summary, decided, outcomes=self._outcomes)
        yield from report.drifts(options)
        self._notes += report.notes
        self._made = report.made

    def _settled(
        self, file: str, recorded: Mapping[str, Any], derived: dict[str, Any]
    ) -> tuple[list[Drift], Any]:
        """Return where a document drifts, and the document that the next one is made of.

        Its numbers are the recorded ones where these follow: the next one was made of them.
        """
        apart = ("inputs", "quantrial")  # files have hashes of their own; the version is said
        pair = [
            {key: value for key, value in one.items() if key not in apart}
            for one in (recorded, derived)
        ]
        drifts = document_drifts(file, *pair)
        maker = self._recorded.get("quantrial")
        if drifts and maker != quantrial.__version__ and only_words(*pair):
            self._notes.append(
                f"{file} was written by quantrial {maker}; this is {quantrial.__version__}, which "
                "derives the same numbers and words some sentences otherwise"
            )
            return [], recorded
        return drifts, as_recorded(recorded, derived)

    def _stale(self, key: str, recorded: Any, since: str, options: str) -> Drift:
        """Say that the decision is merely older than the summary, and what to run."""
        run = self._run.path
        remedy = f"`quantrial decide {run}{options}`, then `quantrial report {run}`"
        return Drift(DECISION, key, recorded, since, remedy)

    def _decided(self, decision: Any, summary: Mapping[str, Any]) -> dict[str, Any] | Drift:
        """Decide again under the constraints of a decision; a drift where these make no sense."""
        of_study = Constraints(**dict(self._study.decision))
        try:
            return decide_from(summary, load_constraints(decision), of_study=of_study)
        except (StudyError, *_UNREADABLE) as exc:
            return _not_written(decision, exc)


def _options(decision: Mapping[str, Any]) -> str | Drift:
    """Write the options of `decide` that a decision was made under; a drift where it cannot be."""
    from quantrial.reporting.sentences import flags

    try:
        return flags(decision["constrained"]) if load_constraints(decision) else ""
    except _UNREADABLE as exc:
        return _not_written(decision, exc)


def _not_written(decision: Mapping[str, Any], exc: Exception) -> Drift:
    said = f"`quantrial decide` writes no such constraints ({exc})"
    return Drift(DECISION, "constrained", decision.get("constrained"), said)
