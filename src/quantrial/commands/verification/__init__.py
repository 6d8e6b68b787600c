"""Derive everything again from the responses, and name every place that differs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial._version import __version__
from quantrial.agreement import as_recorded
from quantrial.commands.derived import derive_summary, score_run
from quantrial.commands.verification.report import (
    Drift,
    ReportCheck,
    document_drifts,
    line_end_notes,
    made_by_other_methods,
    missing,
    older_report_drifts,
    only_words,
    report_files,
    short,
)
from quantrial.decision import Constraints, decide_from, load_constraints
from quantrial.documents import load_summary
from quantrial.documents.codec import METHODS_VERSION, methods_version
from quantrial.documents.decision import load_decision
from quantrial.errors import (
    DocumentError,
    QuantrialError,
    RecordError,
    RunChangedError,
    RunFolderError,
    StudyError,
)
from quantrial.paths import is_file, is_there, read_bytes
from quantrial.runfolder import (
    ATTRIBUTES,
    DECISION,
    ITEMS,
    LOCK,
    LOGS,
    MANIFEST,
    ORIGIN,
    RESPONSES,
    SCORERS,
    SPEED,
    STUDY,
    SUMMARY,
    RunFolder,
    RunSnapshot,
)
from quantrial.running.ordering import planned_calls, recorded_order
from quantrial.running.speed_phase import Prompted, prompt_hash, speed_request
from quantrial.study import code_in, load_study
from quantrial.words import listed

if TYPE_CHECKING:
    from quantrial.analysis import TaskOutcomes
    from quantrial.marking import DocumentCheck
    from quantrial.study import Study


_TITLE = re.compile(r"<title>(quantrial: [^<]*)</title>")
_NEEDED = (STUDY, ITEMS, MANIFEST)
_NAMED = 5  # files that a note lists


def require_run(run: RunFolder) -> None:
    """Make sure that this is a run folder, whole.

    Raises:
        RunFolderError: it is none.
        RecordError: it is one, and a file that every run has is missing.
    """
    begun = [n for n in (MANIFEST, SUMMARY, DECISION, RESPONSES) if is_there(run.path / n)]
    missing = [name for name in _NEEDED if not is_file(run.path / name)]
    if begun and missing:
        raise RecordError(
            "missing; every run has this file from the start, so it was removed",
            path=run.path / missing[0],
        )
    run.require()


def input_drifts(run: RunSnapshot, recorded: Any) -> Iterator[Drift]:
    """Compare the files that results derive from with their hashes in the summary."""
    if not isinstance(recorded, Mapping):
        yield Drift(SUMMARY, "inputs", recorded, "hashes of the files it derives from are needed")
        return
    there = run.hashes()
    for name in sorted(recorded.keys() | there.keys()):
        if name not in there:
            yield Drift(name, "file", "missing", "it was there when the run was analysed")
        elif recorded.get(name) != there[name]:
            yield Drift(
                name,
                "sha256",
                recorded.get(name),
                f"the file now has {short(there[name])}: it changed after the analysis",
            )


def order_drifts(run: RunFolder, study: Study) -> Iterator[Drift]:
    """Check every response against the schedule that the study and the items give."""
    items = run.read_items()
    imported = any(spec.source.type == "imported" for spec in study.tasks.values())
    if imported:
        return
    ids = {task: [item.id for item in items.get(task, [])] for task in study.tasks}
    order = recorded_order(
        run.read_manifest(), sum(map(len, ids.values())), path=run.path / MANIFEST
    )
    planned = {
        (call.task, call.item, call.arm, call.replicate): (call.order, call.block)
        for call in planned_calls(order, ids, study)
    }
    prompts: dict[tuple[str, str], tuple[str | None, str]] = {}
    for task in study.tasks:
        for arm in study.arms:
            name = run.responses_path(task, arm).relative_to(run.path).as_posix()
            for response in run.read_responses(task, arm, known=set(ids[task])):
                key = (task, response.item, arm, response.replicate)
                place = f"item {response.item}, attempt {response.attempt}"
                at = (response.order, response.block)
                if planned.get(key) != at:
                    yield Drift(
                        name, f"{place}: order and block", at, f"planned {planned.get(key)}"
                    )
                if response.study != study.study:
                    yield Drift(name, f"{place}: study", response.study, f"is {study.study!r}")
                seen, first = prompts.setdefault(
                    (task, response.item), (response.prompt_sha256, arm)
                )
                if seen != response.prompt_sha256:
                    yield Drift(
                        name,
                        f"{place}: prompt_sha256",
                        response.prompt_sha256,
                        f"arm {first} saw {short(seen)}",
                    )


def origin_drifts(run: RunFolder, study: Study) -> Iterator[Drift]:
    """Hold recorded scores against the file that they came from, of which the run keeps a copy."""
    from quantrial.importers.scores import scores_in

    recorded = run.read_manifest().tasks
    for task, spec in study.tasks.items():
        if spec.kind != "recorded":
            continue
        record = recorded.get(task)
        source = record.get("source") if isinstance(record, Mapping) else None
        files = source.get("files") if isinstance(source, Mapping) else None
        if not isinstance(files, Mapping) or not files:
            yield Drift(MANIFEST, f"tasks.{task}.source.files", files, "needed are their hashes")
            continue
        there: dict[tuple[str, str], Mapping[str, float]] = {}
        for name, known in files.items():
            place, path = f"{ORIGIN}/{name}", run.path / ORIGIN / Path(name).name
            if not is_file(path):
                yield Drift(place, "file", "missing", f"the scores of {task} came from it")
                return
            now = hashlib.sha256(read_bytes(path)).hexdigest()
            if now != known:
                since = f"the file now has {short(now)}: it changed after the import"
                yield Drift(place, "sha256", known, since)
                return
            there |= scores_in(path, task, spec)
        for arm in study.arms:
            name = run.responses_path(task, arm).relative_to(run.path).as_posix()
            for response in run.read_responses(task, arm, known=None):
                given = there.get((response.item, arm))
                if response.scores != given:
                    place = f"item {response.item}: scores"
                    yield Drift(name, place, response.scores, f"what was imported says {given}")


def speed_drifts(run: RunFolder, study: Study) -> Iterator[Drift]:
    """Check that every arm was shown the prompts that the study gives."""
    for number, record in enumerate(run.read_speed(arms=study.timed_arms), start=1):
        if record.kind != "measured":
            continue
        what = Prompted(record.shape, record.block, record.form)
        request = speed_request(what, (), seed=study.seed, timeout=1.0)
        expected = prompt_hash(request)
        if record.prompt_sha256 != expected:
            place = f"call {number}, block {record.block} of arm {record.arm}: prompt_sha256"
            yield Drift(SPEED, place, record.prompt_sha256, f"the study gives {short(expected)}")


def unknown_files(run: RunFolder, made: Collection[str]) -> Iterator[str]:
    """Say which files of the folder belong to nobody.

    Args:
        run: the run folder.
        made: the files of the report, by their path in the folder.
    """
    known = {*_NEEDED, SPEED, SUMMARY, DECISION, ATTRIBUTES, LOCK, LOGS, RESPONSES, SCORERS}
    known |= {".git", ORIGIN, *made}
    known |= {Path(name).parts[0] for name in made}
    found = [path for path in run.path.iterdir() if path.name not in known]
    for folder in sorted({str(Path(name).parent) for name in made} - {"."}):
        if (run.path / folder).is_dir():
            found += [
                path
                for path in (run.path / folder).iterdir()
                if path.relative_to(run.path).as_posix() not in made
            ]
    responses = set(run.response_files())
    if (run.path / RESPONSES).is_dir():
        found += [path for path in (run.path / RESPONSES).iterdir() if path not in responses]
    if not found:
        return
    names = sorted(path.relative_to(run.path).as_posix() for path in found)
    listed = ", ".join(names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    belongs = "belongs" if len(names) == 1 else "belong"
    yield f"{listed}{more} {belongs} to no part of this run, and nothing was derived from it"


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


def verify_document(
    path: Path | str, *, run: Path | str | None = None, write: bool = False
) -> DocumentCheck:
    """Hold the marked numbers of a Markdown file, or a badge, against a run.

    Args:
        path: the file; `docs/marked-numbers.md` tells how numbers are marked. Or the `.svg` of a
            badge.
        run: the run folder; by default the one that the file itself names.
        write: put the run's numbers in place of those that differ; draw the badge anew.

    Raises:
        DocumentError: the file cannot be read or written, or holds no mark.

    Example:
        >>> quantrial.verify_document("README.md", run="runs/mine").ok
        True
    """
    from quantrial.marking import check_document

    if Path(path).suffix.lower() == ".svg":
        return _check_badge(Path(path), run, write=write)
    return check_document(
        Path(path), None if run is None else Path(run), _read_documents, write=write
    )


def _check_badge(path: Path, run: Path | str | None, *, write: bool) -> DocumentCheck:
    """Hold a badge against the one that the run gives: nothing in it may differ.

    Raises:
        DocumentError: no run is named, or the file is no badge or cannot be read or written.
    """
    from quantrial.commands.results import export
    from quantrial.marking import DocumentCheck, MarkProblem

    if run is None:
        raise DocumentError("is a badge; name its run by --run", path=path)
    try:
        shown = read_bytes(path).decode("utf-8", "replace").replace("\r\n", "\n")
    except OSError as exc:
        raise DocumentError(f"cannot be read ({exc.strerror})", path=path) from exc
    if (said := _TITLE.search(shown)) is None:
        raise DocumentError(
            "is no badge; `quantrial report RUN --format badge -o badge.svg` writes one", path=path
        )
    right = export(run, "badge")
    if shown == right:
        return DocumentCheck(path, 1, ())
    if write:
        try:
            path.write_bytes(right.encode())
        except OSError as exc:
            raise DocumentError(f"cannot be written ({exc.strerror})", path=path) from exc
        return DocumentCheck(path, 1, (), refreshed=1)
    told = _TITLE.search(right)
    message = f"says {short(said[1])!r}, the run gives {told[1] if told else ''!r}"
    if told and told[1] == said[1]:
        message = "its title is the run's, but the picture or the study is another"
    return DocumentCheck(path, 1, (MarkProblem(1, "badge", message),))


def _read_documents(run: Path) -> dict[str, Any]:
    """Read the derived documents of a run folder, and its manifest, as they stand."""
    folder = RunFolder(run)
    folder.require()
    found: dict[str, Any] = {"summary": folder.read_document(SUMMARY, command="analyze")}
    if is_file(run / DECISION):
        found["decision"] = folder.read_document(DECISION, command="decide")
    found["manifest"] = folder.read_document(MANIFEST, command="run")
    return found


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
        drifts += origin_drifts(run, self._study)
        if any(spec.kind == "redacted" for spec in self._study.tasks.values()):
            self._notes.append(
                "the texts of this run were replaced by keyed hashes. Summary, decision, report "
                "and plots were derived again from its recorded scores. Scores cannot be derived "
                "from answers here, nor prompts and the order of calls from the study"
            )
        run.release_responses()
        current = methods_version(recorded) == METHODS_VERSION
        if current:
            drifts += self._results(derived)
        else:
            self._notes.append(made_by_other_methods(run.path, recorded, derived))
            drifts += older_report_drifts(run)
        warnings = [one["text"] for one in derived["assay"] if one["status"] in ("warn", "fail")]
        warnings += self._other_files()
        version = run.read_manifest().software.get("quantrial")
        if version not in (None, __version__):
            warnings.append(f"the run was made by quantrial {version}; this is {__version__}")
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
                f"methods is {methods!r:.60}; expected calibrated or classic",
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
        if found:
            self._notes += self._scorers()
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
        from quantrial.reporting import Results

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
        results = Results(
            self._study,
            load_summary(summary),
            load_decision(decided),
            self._run.read_manifest(),
            self._outcomes,
        )
        report = ReportCheck(self._run, results)
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
        if drifts and maker != __version__ and only_words(*pair):
            self._notes.append(
                f"{file} was written by quantrial {maker}; this is {__version__}, which "
                "derives the same numbers and words some sentences otherwise"
            )
            return [], recorded
        return drifts, as_recorded(recorded, derived)

    def _scorers(self) -> Iterator[str]:
        """Say of which tasks the scorer is another one than when the run was made."""
        tasks = self._run.read_manifest().tasks
        recorded = {name: tasks.get(name, {}).get("scorer") for name in self._outcomes}
        changed = [
            name
            for name, scored in self._outcomes.items()
            if recorded[name] not in (None, scored.task.scorer_id())
        ]
        if changed:
            yield (
                f"the code that scores {listed(changed)} changed since the run: what differs may "
                "be its scores, and no answer that was edited"
            )
        if unknown := [name for name, scorer in recorded.items() if scorer is None]:
            yield (
                f"the run does not record the code that scored {listed(unknown)}: whether it "
                "changed since is not known"
            )

    def _other_files(self) -> Iterator[str]:
        """Say which files of the study score otherwise than when the run began."""
        began = {one.get("key"): one.get("sha256") for one in self._run.read_manifest().code}
        for code in code_in(self._study, "score"):
            if began.get(code.key) != code.sha256:
                yield (
                    f"{code.key}: {code.runs} scores, and the file changed since the run began; "
                    "the answers are those of the run"
                )

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
        return flags(load_constraints(decision))
    except _UNREADABLE as exc:
        return _not_written(decision, exc)


def _not_written(decision: Mapping[str, Any], exc: Exception) -> Drift:
    said = f"`quantrial decide` writes no such constraints ({exc})"
    return Drift(DECISION, "constrained", decision.get("constrained"), said)
