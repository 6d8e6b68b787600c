"""The gate of a pipeline: a run held against requirements."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quantrial import paths
from quantrial.commands.derived import derive_summary, load_run_study, score_run
from quantrial.commands.results import load_summary_of, sound
from quantrial.errors import DataError, StudyError
from quantrial.study import GatePart, parse_gate, read_gate
from quantrial.units import parse_fraction

if TYPE_CHECKING:
    from quantrial.gate import GateResult, MustPass, Outcome
    from quantrial.importers import LogOptions
    from quantrial.runfolder import RunFolder


def check_gate(
    run: Path | str,
    gate: GatePart | Mapping[str, Any] | Path | str | None = None,
    *,
    baseline: Path | str | None = None,
) -> GateResult:
    """Hold a run against what a pipeline requires: each line met, violated, undecided or invalid.

    Args:
        run: the run folder; analysed first where that is not done or out of date.
        gate: the requirements, as a part of a study file has them, or a YAML file of them; by
            default the part `gate` of the run's own study.
        baseline: a folder that `save_baseline` made; its answers stand for the reference's.

    Raises:
        StudyError: nothing is required, or a requirement names what the run does not have.
        RecordError: the baseline was edited, or is of other items, prompts or weights.

    Example:
        >>> result = quantrial.check_gate("runs/mine", {"require": [{"no_worse_than": "20pp"}]})
        >>> result.exit_code in (0, 1, 3, 4)
        True
    """
    from quantrial.decision.evidence import Evidence
    from quantrial.gate import judge
    from quantrial.runfolder import SUMMARY, RunFolder

    path = Path(run)
    required = _required(path, gate)
    if baseline is not None:
        return _against(path, required, Path(baseline))
    evidence = Evidence(load_summary_of(path))
    with sound(path / SUMMARY):
        return judge(evidence, required, _must_pass(RunFolder(path), required, evidence))


def save_baseline(
    run: Path | str, out: Path | str, *, outcomes_only: bool = False
) -> tuple[Path, ...]:
    """Keep the reference's answers of a run as small files to commit: a baseline for the gate.

    Args:
        run: the run folder.
        out: the folder to write; a baseline that is there is replaced.
        outcomes_only: keep what each answer scored, and no text of it.

    Returns:
        The files that were written.

    Raises:
        RunFolderError: `out` holds something else, or the reference answered nothing.

    Example:
        >>> [path.name for path in quantrial.save_baseline("runs/mine", "baseline")]
        ['baseline.json', 'sums.jsonl', 'names.jsonl']
    """
    from quantrial.gate import baseline
    from quantrial.runfolder import RunSnapshot

    folder = RunSnapshot(run)
    study = load_run_study(folder)[0]
    return baseline.save(Path(out), folder, study, score_run(folder) if outcomes_only else None)


def _against(run: Path, required: GatePart, path: Path) -> GateResult:
    """Hold a run's candidates against the answers of a baseline."""
    from quantrial.decision.evidence import Evidence
    from quantrial.documents import load_summary
    from quantrial.gate import baseline, judge
    from quantrial.runfolder import SUMMARY, RunSnapshot
    from quantrial.tasks import make_task

    folder = RunSnapshot(run)
    study = load_run_study(folder)[0]
    kept = baseline.load(path)
    notes = baseline.refuse_other(folder, study, kept)
    samples = {name: make_task(name, part).samples for name, part in study.tasks.items()}
    replaced = baseline.BaselineRun(run, kept, samples)
    scored = score_run(replaced)
    if kept.outcomes_only:
        scored = baseline.with_outcomes(scored, kept)
        for number, one in enumerate(required.require):
            named = {e.name for part in scored.values() for e in part.task.endpoints}
            if one.endpoint is not None and one.endpoint not in named:
                raise StudyError(
                    f"{one.endpoint} is read from texts, and the baseline keeps outcomes alone",
                    key=f"gate.require.{number}.endpoint",
                )
    evidence = Evidence(load_summary(derive_summary(replaced, outcomes=scored), path=run / SUMMARY))
    with sound(run / SUMMARY):
        result = judge(evidence, required, _must_pass(replaced, required, evidence))
    return replace(result, notes=notes)


def _required(run: Path, gate: GatePart | Mapping[str, Any] | Path | str | None) -> GatePart:
    if isinstance(gate, GatePart):
        return gate
    if isinstance(gate, Path | str):
        return read_gate(gate)
    if gate is not None:
        return parse_gate(dict(gate))
    own = load_run_study(run)[0].gate
    if own is None:
        raise StudyError(
            "nothing is required: give `--gate FILE` or `--non-inferior 2pp`, or write `gate:` "
            "into the study file",
            key="gate",
        )
    return own


def _must_pass(folder: RunFolder, gate: GatePart, evidence: Any) -> Sequence[MustPass]:
    """Find the items that must pass, by task, and which of them an arm did not answer."""
    if not gate.must_pass:
        return ()
    from quantrial.gate import MustPass

    items = folder.read_items()
    found: dict[str, set[str]] = {}
    for number, wanted in enumerate(gate.must_pass):
        key, is_pair, value = wanted.partition("=")
        named = [
            (task, item.id)
            for task, of_task in items.items()
            for item in of_task
            if item.id == wanted or (is_pair and str(item.metadata.get(key)) == value)
        ]
        if not named:
            raise StudyError(
                f"the run has no item {wanted!r}; give an id or `key=value` of their metadata",
                key=f"gate.must_pass.{number}",
            )
        for task, item in named:
            found.setdefault(task, set()).add(item)
    lists = []
    for task, ids in found.items():
        unanswered = {}
        for arm in evidence.candidates:
            answered = [
                {one.item for one in folder.read_responses(task, each) if one.status == "ok"}
                for each in (arm, evidence.reference)
            ]
            unanswered[arm] = frozenset(ids - (answered[0] & answered[1]))
        lists.append(MustPass(task, frozenset(ids), unanswered))
    return lists


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check of two logs, tables or files of predictions says.

    Attributes:
        verdict: PASS, FAIL, UNDECIDED or INVALID: the gate's outcome.
        gate: the gate's result: of each task a line with its interval, and what was not checked.
        notes: what was read, and what deserves a look.
        run: the run folder, where one was asked for.
    """

    verdict: Literal["PASS", "FAIL", "UNDECIDED", "INVALID"]
    gate: GateResult
    notes: tuple[str, ...]
    run: Path | None

    @property
    def ok(self) -> bool:
        """Whether the loss is ruled out."""
        return self.gate.ok

    @property
    def exit_code(self) -> int:
        """0 for PASS, 1 for FAIL, 3 for UNDECIDED, 4 for INVALID."""
        return self.gate.exit_code


def check(
    reference: Path | str,
    candidate: Path | str,
    *,
    margin: str | float,
    gold: Path | str | None = None,
    out: Path | str | None = None,
    options: LogOptions | None = None,
) -> CheckResult:
    """Say whether a candidate loses less than a margin, from logs or files that are there already.

    Both are logs of one harness, tables of scores with a column of ids and one of scores, or files
    of predictions: a line an answer, or ids and answers as JSONL, CSV and the like. Predictions are
    scored by exact match unless `options` name a scorer.

    Args:
        reference: the log or file of the arm that is compared with; `f16=PATH` names the arm.
        candidate: that of the other one.
        margin: the loss that has to be ruled out: `"2pp"` or 0.02.
        gold: the right answers of predictions: a line each, or with ids.
        out: a run folder to keep; nothing is kept without one.
        options: what the logs do not say: a `LogOptions`, or a `TableOptions` for tables.

    Raises:
        DataError, RecordError: a file is not what it should be, or the two do not pair.
        StudyError: the margin or an option does not fit, or scores are no shares.

    Example:
        >>> found = quantrial.check("out/f16", "out/q4", margin="2pp")
        >>> found.verdict, found.exit_code
        ('UNDECIDED', 3)
    """
    from quantrial import importers

    if isinstance(margin, str):
        margin = parse_fraction(margin, "margin")
    required = parse_gate({"require": [{"non_inferior": margin}]})
    asked = options or importers.LogOptions()
    logs = importers.two_arms(reference, candidate)
    form = "table"
    if gold is not None:
        asked = importers.table_options(asked, gold_file=Path(gold))
    elif getattr(asked, "scorer", None) is None:
        form = "auto"
    if form == "auto":
        try:
            importers.guess(logs)
        except DataError as exc:
            if not all(map(paths.is_there, logs.values())):
                raise
            raise DataError(f"{exc}. Predictions need right answers: --gold FILE") from exc
    asked = replace(asked, margin=margin, reference=next(iter(logs)))
    with tempfile.TemporaryDirectory(prefix="quantrial-") as temporary:
        folder = Path(temporary, "check") if out is None else Path(out)
        found = importers.import_answers(form, logs, folder, options=asked)
        gate = check_gate(folder, required)
    return CheckResult(VERDICTS[gate.outcome], gate, found.notes, None if out is None else folder)


VERDICTS: Mapping[Outcome, Literal["PASS", "FAIL", "UNDECIDED", "INVALID"]] = {
    "met": "PASS",
    "violated": "FAIL",
    "undecided": "UNDECIDED",
    "invalid": "INVALID",
}


def write_outputs(result: GateResult, *, junit: Path | None, summary: Path | None) -> None:
    """Write a gate's result for a pipeline.

    Args:
        result: what `check_gate` returned.
        junit: a file of JUnit XML, written anew.
        summary: a file of Markdown, to which is appended, as `$GITHUB_STEP_SUMMARY` asks for.

    Raises:
        StudyError: one of them cannot be written.
    """
    from quantrial import gate
    from quantrial.runfolder import write_atomically

    place = junit
    try:
        if junit is not None:
            write_atomically(junit, gate.junit(result).encode())
        place = summary
        if summary is not None:
            with paths.open_to_append(summary) as file:
                file.write(gate.markdown(result).encode())
    except OSError as exc:
        raise StudyError(f"cannot be written ({exc.strerror})", path=place) from exc
