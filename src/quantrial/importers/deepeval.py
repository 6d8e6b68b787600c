"""Test runs of DeepEval: the JSON files that `DEEPEVAL_RESULTS_FOLDER` collects.

Follows DeepEval 4: `TestRun`, `LLMApiTestCase` and `MetricData`, by their names in JSON. Names and
order of test cases are numbers, so an item is known by its input and what was expected; equal ones
are samples. `success` is primary: no metric failed, but for flaky ones. Scores of metrics come
after it. A metric with an `error` was not measured: its case is unscored. Nothing says of which
metrics fewer is better; thresholds do, where a score below one passes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quantrial import paths
from quantrial.engines.artifact import Artifact
from quantrial.errors import DataError
from quantrial.importers.auto import files_under, start_of
from quantrial.importers.base import Imported, LogPaths, Recognised
from quantrial.importers.json_stream import JsonStream
from quantrial.importers.log_rows import (
    ArmLog,
    LogOptions,
    LogRow,
    as_name,
    as_number,
    digest,
    items_of,
    newest,
    number_keys,
    repeats,
    short_text,
)
from quantrial.importers.logs import pair_logs
from quantrial.study.names import name_like
from quantrial.tasks.rows import Where

TASK = "cases"  # what the items are called
_MARKS = (b'"testCases"', b'"metricsData"')
_ENDINGS = ("", ".json")  # early versions give the files no ending
_LARGEST = 64 * 2**20  # bytes of one test case
_LONGEST_NAME = 40
_CASES, _CONVERSATIONS = "testCases", "conversationalTestCases"


def read_deepeval(logs: LogPaths, *, options: LogOptions | None = None) -> Imported:
    """Read test runs of DeepEval, a file or folder an arm.

    Args:
        logs: where each arm's test run is; without names, each is called after the model or
            identifier that it states.
        options: what the test runs do not say.

    Raises:
        DataError: a file is not what it should be; names its case.
        StudyError: an option does not fit.
    """
    return pair_logs("deepeval", logs, _read_arm, options or LogOptions(), inside=_read_arms)


def recognises(path: Path) -> Recognised | None:
    """Say whether a path holds a test run of DeepEval."""
    for file in files_under(path):
        start = start_of(file) if file.suffix in _ENDINGS else b""
        if all(mark in start for mark in _MARKS):
            inside = "" if file == path else f" in {file.name}"
            return Recognised(f"holds a test run of DeepEval{inside}")
    return None


def _read_arms(logs: Sequence[Path], options: LogOptions) -> dict[str, ArmLog]:
    found: dict[str, ArmLog] = {}
    for path in logs:
        log = _read_arm("", path, options)
        arm = name_like(log.artifact.model)
        if not arm or arm in found:
            said = f"is of {arm}, as another file is" if arm else "says no model or identifier"
            raise DataError(f"{said}: name each, as in f16=a.json q4=b.json", path=path)
        found[arm] = log
    return found


def _read_arm(arm: str, path: Path, options: LogOptions) -> ArmLog:
    if not paths.is_there(path):
        raise DataError("no such file or folder", path=path)
    files = [one for one in files_under(path) if one.suffix in _ENDINGS]
    if not files:
        raise DataError(
            "holds no test run in JSON: set DEEPEVAL_RESULTS_FOLDER for `deepeval test run`",
            path=path,
        )
    file = newest({one.name: one for one in files}, arm or path.name, TASK, latest=options.latest)
    header: dict[str, Any] = {}
    log = ArmLog("DeepEval of unknown version", Artifact(model=arm))
    rows, thresholds = [], _Thresholds()
    for where, case in _cases(file, header):
        try:
            rows.append(_row(where, case, thresholds))
        except RecursionError as exc:
            raise where.error("is nested too deeply") from exc
    if not rows:
        raise DataError("holds no test case of one answer", path=file)
    stated = header.get("hyperparameters")
    model = (stated.get("model") if isinstance(stated, dict) else None) or header.get("identifier")
    if isinstance(model, str) and model:
        log.artifact = Artifact(model=short_text(model)[:200])
    number_keys(rows)
    log.notes += repeats(rows, TASK, arm or log.artifact.model, "equal inputs")
    if left := header.get(_CONVERSATIONS):
        log.notes.append(f"{file.name}: {left:,} conversations are left out; cases of one answer "
                         "are read.")  # fmt: skip
    if failed := sum(not any(v is not None for v in row.scores.values()) for row in rows):
        log.notes.append(f"{file.name}: {failed:,} of {len(rows):,} cases have a metric that was "
                         "not measured; they are unscored.")  # fmt: skip
    log.lower |= thresholds.lower()
    with paths.open_file(file) as opened:
        log.files[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
    log.tasks[TASK] = rows
    return log


def _cases(path: Path, header: dict[str, Any]) -> Iterator[tuple[Where, dict[str, Any]]]:
    """Yield the test cases of a file; fill in what it says of itself."""
    try:
        with paths.open_file(path) as file:
            stream = JsonStream(file, Where(path, 1))
            if not stream.starts_with(b"{"):
                raise DataError("expected a test run, a JSON object", path=path)
            yield from _of_run(stream, path, header)
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror or exc})", path=path) from exc
    if _CASES not in header:
        raise DataError(f"has no list {_CASES!r}: needed is a test run of DeepEval", path=path)


def _of_run(
    stream: JsonStream, path: Path, header: dict[str, Any], depth: int = 0
) -> Iterator[tuple[Where, dict[str, Any]]]:
    for name in stream.members():
        if name in {_CASES, _CONVERSATIONS} and stream.starts_with(b"["):
            header[name] = 0
            for number in stream.elements():
                where = stream.where = Where(path, number)
                header[name] = number
                if name == _CONVERSATIONS:
                    continue
                case = stream.take(_LARGEST)
                if stream.cut:
                    raise where.error(f"is larger than {_LARGEST // 2**20} MB")
                if not isinstance(case, dict):
                    raise where.error("expected a test case, a JSON object")
                yield where, case
        elif name == "testRunData" and not depth and stream.starts_with(b"{"):
            yield from _of_run(stream, path, header, 1)
        elif name in {"hyperparameters", "identifier"}:
            header[name] = stream.take(_LARGEST)


class _Thresholds:
    """On which side of its threshold each metric passes."""

    def __init__(self) -> None:
        self.against: dict[str, list[int]] = {}

    def add(self, name: str, metric: Mapping[str, Any]) -> None:
        """Count what speaks against passing from the threshold up, and what against down."""
        score, bar = as_number(metric.get("score")), as_number(metric.get("threshold"))
        passed = metric.get("success")
        if score is None or bar is None or not isinstance(passed, bool):
            return
        counts = self.against.setdefault(name, [0, 0])
        counts[0] += passed != (score >= bar)
        counts[1] += passed != (score <= bar)

    def lower(self) -> set[str]:
        """Return the metrics of which fewer is better."""
        return {name for name, (up, down) in self.against.items() if up and not down}


def _row(where: Where, case: Mapping[str, Any], thresholds: _Thresholds) -> LogRow:
    asked, said, gold = case.get("input"), case.get("actualOutput"), case.get("expectedOutput")
    if not isinstance(asked, str) or not asked:
        raise where.error(f"'input' is {asked!r:.40}; needed is a text")
    metrics = case.get("metricsData")
    measured = [
        one for one in (metrics if isinstance(metrics, list) else ()) if isinstance(one, dict)
    ]
    passed = case.get("success")
    scores: dict[str, float | None] = {
        "success": float(passed) if isinstance(passed, bool) else None
    }
    outcomes, failed = [], False
    for one in measured:
        name, at = as_name(str(one.get("name"))), 2
        while name in scores:
            name, at = f"{as_name(str(one.get('name')))[:60]}_{at}", at + 1
        scores[name] = as_number(one.get("score"))
        thresholds.add(name, one)
        failed |= bool(one.get("error"))
        if one.get("flaky") is not True:
            outcomes.append(one.get("success"))
    if failed:
        scores = dict.fromkeys(scores)
    checked = {}
    if scores["success"] is not None and outcomes and all(type(one) is bool for one in outcomes):
        checked["success"] = scores["success"] == float(all(outcomes))
    metadata = case.get("metadata")
    content = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()
    start = name_like(asked[:200])[:_LONGEST_NAME].rstrip("-")
    return LogRow(
        where,
        f"{start or 'case'}-{content[:8]}",
        "",
        scores,
        said if isinstance(said, str) else "",
        digest(said),
        content,
        short_text(asked),
        gold if isinstance(gold, str) else json.dumps(gold) if gold is not None else "",
        None,
        dict(items_of(metadata if isinstance(metadata, dict) else {})),
        checked=checked,
    )
