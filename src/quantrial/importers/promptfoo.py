"""Results of promptfoo: `promptfoo eval -o out.json` or `-o out.jsonl`.

Follows promptfoo 0.123: `EvaluateSummaryV3` and `EvaluateResult` of its `src/types/index.ts`, how
its `src/evaluator.ts` fills them, and results as users keep them (a bare list, a provider that is
a text, no `failureReason` before 2024). Providers are arms, several in one file. A test is an item,
known by its variables and its description: numbers of tests change with `--filter-*`, and rows
stand in the order in which they ended. Tests that are equal are repeats, so samples of one item.

`success` is primary, as its share is the pass rate that promptfoo prints; `score` and the named
scores come after it. A failed assertion leaves `error`, too: only `failureReason` 2 is a fault. A
test without assertions passes whatever was answered, and one whose grader failed is graded by
nobody: both are unscored.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

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
    listed,
    newest,
    number_keys,
    parse_log,
    repeats,
    short_text,
)
from quantrial.importers.logs import pair_logs
from quantrial.study.names import name_like
from quantrial.tasks.rows import Where

TASK = "tests"  # what the items are called where there is one prompt
_ENDINGS = (".json", ".jsonl")
_HEAD = re.compile(
    rb'\s*\{\s*"evalId"\s*:|\s*\{.{0,2000}?"results"\s*:\s*\{\s*"version"', re.DOTALL
)
_LINE = (b'"testIdx"', b'"promptIdx"', b'"provider"')
_LARGEST = 64 * 2**20  # bytes of one result
_NO_LIST = "has no list of results: needed is `promptfoo eval -o out.json`"
_ERROR = 2  # of `failureReason`: there is no answer to grade
_NO_ASSERTIONS = "No assertions"
_COMPARING = ("select-best", "max-score")
_OF_A_RUN = ("_conversation", "sessionId")  # variables that are no part of a test
_LONGEST_NAME = 40
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def read_promptfoo(logs: LogPaths, *, options: LogOptions | None = None) -> Imported:
    """Read results of promptfoo: files of several providers, or a file of one provider an arm.

    Args:
        logs: files, or folders with one file; by the names of the arms, or without names.
        options: what the results do not say.

    Raises:
        DataError: a file is not what it should be; names its row.
        StudyError: an option does not fit.
    """
    return pair_logs("promptfoo", logs, _read_arm, options or LogOptions(), inside=_read_arms)


def recognises(path: Path) -> Recognised | None:
    """Say whether a path holds results of promptfoo, and of which providers."""
    for file in files_under(path):
        start = start_of(file) if file.suffix in _ENDINGS else b""
        if not _HEAD.match(start) and not all(mark in start for mark in _LINE):
            continue
        try:
            arms = tuple(_of_file(file, LogOptions()).arms)
        except DataError:
            arms = ()
        inside = "" if file == path else f" in {file.name}"
        return Recognised(f"holds results of promptfoo{inside}", arms)
    return None


@dataclass(slots=True)
class _File:
    """One file of results: when it was made, and its arms by the names of their providers."""

    path: Path
    time: str
    arms: dict[str, ArmLog]


def _read_arm(arm: str, path: Path, options: LogOptions) -> ArmLog:
    """Read the one provider of a file, or of several the one that has the arm's name."""
    found = _of_file(_file(path, arm, options), options).arms
    if len(found) == 1:
        return next(iter(found.values()))
    if arm not in found:
        raise DataError(
            f"holds several providers ({listed(list(found))}), and none of them is {arm}: leave "
            "out the arms' names, or give each the name of its provider",
            path=path,
        )
    return found[arm]


def _read_arms(logs: Sequence[Path], options: LogOptions) -> dict[str, ArmLog]:
    """Read all providers of all files."""
    runs: dict[str, dict[str, _File]] = {}
    for path in logs:
        one = _of_file(_file(path, None, options), options)
        for arm in one.arms:
            runs.setdefault(arm, {})[f"{one.time} {one.path}"] = one
    chosen = {}
    for arm, own in runs.items():
        path = newest({run: one.path for run, one in own.items()}, arm, TASK, latest=options.latest)
        chosen[arm] = next(one.arms[arm] for one in own.values() if one.path == path)
    return chosen


def _file(path: Path, arm: str | None, options: LogOptions) -> Path:
    """Return the one file of results that a path holds."""
    if not paths.is_there(path):
        raise DataError("no such file or folder", path=path)
    if not paths.is_folder(path):
        if path.suffix.lower() not in _ENDINGS:
            raise DataError(
                "is neither .json nor .jsonl: write one by `promptfoo eval -o out.json`, or of an "
                "earlier run by `promptfoo export eval latest -o out.json`",
                path=path,
            )
        return path
    found = [one for one in files_under(path) if one.suffix in _ENDINGS]
    if not found:
        raise DataError("holds no .json or .jsonl file: `promptfoo eval -o out.json`", path=path)
    if len(found) == 1:
        return found[0]
    times = {f"{_of_file(one, options).time} {one.name}": one for one in found}
    return newest(times, arm or path.name, TASK, latest=options.latest)


def _of_file(path: Path, options: LogOptions) -> _File:
    """Read a file: its rows by provider and prompt, with notes of what deserves a look."""
    header: dict[str, Any] = {}
    results = [_result(where, row) for where, row in _results(path, header)]
    if not results:
        raise DataError("holds no result", path=path)
    with paths.open_file(path) as file:
        hashed = hashlib.file_digest(file, "sha256").hexdigest()
    results.sort(key=lambda one: one.test if one.test is not None else math.inf)
    by_provider: dict[str, list[_Result]] = {}
    for one in results:
        by_provider.setdefault(one.provider, []).append(one)
    several = any(len({one.prompt for one in own}) > 1 for own in by_provider.values())
    labels = {one.prompt: one.label for one in results}
    tasks = _task_names(labels) if several else {}
    version = _text(_part(header, "metadata").get("promptfooVersion"))[:40]
    arms = {}
    for name, provider in _arm_names(list(by_provider), path).items():
        own = by_provider[provider]
        log = ArmLog(
            f"promptfoo {short_text(version) or 'of unknown version'}",
            Artifact(model=short_text(own[0].model)[:200]),
            files={path.name: hashed},
        )
        for prompt in dict.fromkeys(one.prompt for one in own):
            task = tasks.get(prompt, TASK)
            asked = [one for one in own if one.prompt == prompt]
            log.tasks[task] = _task(name, task, asked, log.notes, options)
        if name not in name_like(provider):
            log.notes.append(f"{name} is the provider {short_text(provider)!r:.80}.")
        log.notes += _notes(name, own)
        arms[name] = log
    first = next(iter(arms.values()))
    stats = _part(header, "stats")
    counts = [stats.get(one) for one in ("successes", "failures", "errors")]
    stated = sum(one for one in counts if type(one) is int)
    if all(type(one) is int for one in counts) and stated != len(results):
        first.notes.append(
            f"{path.name}: promptfoo counted {stated:,} results, the file holds {len(results):,}."
        )
    first.notes += [
        f"{task} are the answers to the prompt {short_text(labels[prompt])!r:.80}."
        for prompt, task in tasks.items()
    ]
    return _File(path, _text(header.get("timestamp"))[:40], arms)


def _results(path: Path, header: dict[str, Any]) -> Iterator[tuple[Where, dict[str, Any]]]:
    """Yield the results of a file; fill in what it says of itself."""
    try:
        with paths.open_file(path) as file:
            if path.suffix.lower() == ".jsonl":
                for number, line in enumerate(file, 1):
                    if line.strip():
                        where = Where(path, number)
                        value = parse_log(line.removeprefix(b"\xef\xbb\xbf"), where)
                        yield where, _object(value, where)
                return
            stream = JsonStream(file, Where(path, 1))
            if stream.starts_with(b"["):
                yield from _elements(stream, path)
                return
            if not stream.starts_with(b"{"):
                raise DataError(_NO_LIST, path=path)
            yield from _summary(stream, path, header)
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror or exc})", path=path) from exc


def _summary(
    stream: JsonStream, path: Path, header: dict[str, Any], depth: int = 0
) -> Iterator[tuple[Where, dict[str, Any]]]:
    """Go through what `-o out.json` writes, and the summary in it, or through a summary alone."""
    found = False
    for name in stream.members():
        if name == "results":
            found = True
            if stream.starts_with(b"["):
                yield from _elements(stream, path)
            elif stream.starts_with(b"{") and not depth:
                yield from _summary(stream, path, header, 1)
            else:
                found = False
        elif name in {"metadata", "timestamp", "stats"}:
            header[name] = stream.take(_LARGEST)
    if not found:
        raise DataError(_NO_LIST, path=path)


def _elements(stream: JsonStream, path: Path) -> Iterator[tuple[Where, dict[str, Any]]]:
    for number in stream.elements():
        where = stream.where = Where(path, number)
        value = stream.take(_LARGEST)
        if stream.cut:
            raise where.error(f"is larger than {_LARGEST // 2**20} MB")
        yield where, _object(value, where)


def _object(value: Any, where: Where) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise where.error("expected a result, a JSON object")
    return value


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


@dataclass(slots=True)
class _Result:
    """One result: what it is of, what deserves a note, and its row, whose key has no number yet."""

    row: LogRow
    provider: str
    model: str
    prompt: str
    label: str
    test: int | None
    column: int | None
    cached: bool
    empty: bool  # the provider gave nothing back
    ungraded: bool  # no assertion looked at the answer
    judge_failed: bool
    kinds: frozenset[str]  # of its assertions


def _result(where: Where, row: Mapping[str, Any]) -> _Result:
    """Read one result; of its texts the start is kept, and hashes.

    Raises:
        DataError: it has no provider, or is nested too deeply.
    """
    told, asked, response = row.get("provider"), _part(row, "prompt"), _part(row, "response")
    provider = (told.get("label") or told.get("id")) if _is_object(told) else told
    if not isinstance(provider, str) or not provider.strip():
        raise where.error("'provider' has no label and no id: it would be the arm's name")
    grading = _part(row, "gradingResult")
    parts = list(_components(grading))
    kinds = frozenset(_text(_part(one, "assertion").get("type")) for one in parts)
    ungraded = grading.get("reason") == _NO_ASSERTIONS
    judge_failed = any(_part(one, "metadata").get("graderError") is True for one in parts)
    test, column = row.get("testIdx"), row.get("promptIdx")
    label = _text(asked.get("label"))
    prompt = _text(row.get("promptId")) or label
    try:
        logged = _row(where, row, by_hand="human" in kinds)
    except RecursionError as exc:
        raise where.error("is nested too deeply") from exc
    if ungraded or judge_failed:
        logged.scores = dict.fromkeys(logged.scores)
    return _Result(
        logged,
        provider,
        (_text(told.get("id")) if _is_object(told) else "") or provider,
        prompt,
        label or prompt,
        test if type(test) is int else None,
        column if type(column) is int else None,
        response.get("cached") is True,
        logged.error is None and "response" in row and response.get("output") is None,
        ungraded,
        judge_failed,
        kinds,
    )


def _row(where: Where, row: Mapping[str, Any], *, by_hand: bool) -> LogRow:
    case, response = _part(row, "testCase"), _part(row, "response")
    own, given = _part(row, "vars"), _part(case, "vars")
    # outputs that an earlier test stored are variables, too, but no part of the test
    variables = {
        name: value
        for name, value in (own or given).items()
        if (name in given if given else name not in _OF_A_RUN)
    }
    about = case.get("description") or row.get("description")
    asserts, bar = case.get("assert") or [], case.get("threshold")
    if not variables and not about and not asserts:
        variables = {"testIdx": row.get("testIdx")}
    known = json.dumps([variables, about], sort_keys=True)
    gold = json.dumps(asserts if bar is None else {"assert": asserts, "threshold": bar})
    words = next((f"{one}" for one in (about, *variables.values()) if type(one) in {str, int}), "")
    name = name_like(words[:200])[:_LONGEST_NAME].rstrip("-") or "test"
    output = response.get("output")
    asked = _text(_part(row, "prompt").get("raw"))
    fault = _fault(row, response)
    scores = {} if fault is not None else _scores(row)
    derived = None
    if scores.get("success") is not None and bar is None and not by_hand:
        derived = _derived(output, asserts, own)
    said = output if isinstance(output, str) else json.dumps(output)
    return LogRow(
        where,
        f"{name}-{_sha256(known)[:8]}",
        "",
        scores,
        "" if output is None else short_text(said),
        digest(output),
        _sha256(known),
        short_text(asked or known),
        gold,
        _sha256(asked) if asked else None,
        dict(items_of({**own, **_part(case, "metadata")})),
        error=fault,
        finish=_text(response.get("finishReason"))[:40] or None,
        checked={} if derived is None else {"success": scores["success"] == float(derived)},
    )


def _fault(row: Mapping[str, Any], response: Mapping[str, Any]) -> str | None:
    """Return why there is no answer."""
    reason, said = row.get("failureReason"), row.get("error") or response.get("error")
    if reason is None:  # before it was written, what was graded had a result
        failed = bool(said) and not row.get("gradingResult") and row.get("success") is not True
    else:
        failed = reason == _ERROR
    return (said if isinstance(said, str) and said else "no answer") if failed else None


def _scores(row: Mapping[str, Any]) -> dict[str, float | None]:
    passed = row.get("success")
    scores = {
        "success": float(passed) if passed in (True, False) else None,
        "score": as_number(row.get("score")),
    }
    for metric, value in _part(row, "namedScores").items():
        name = as_name(metric)
        scores[f"named_{name}" if name in scores else name] = as_number(value)
    return scores


def _derived(output: Any, asserts: Any, variables: Mapping[str, Any]) -> bool | None:
    """Grade an answer again, where its assertions compare texts and nothing else."""
    if not isinstance(asserts, list) or not asserts or not isinstance(output, str):
        return None
    passed = []
    for one in asserts:
        if not _is_object(one) or set(one) - {"type", "value", "metric"}:
            return None
        wanted, kind = one.get("value"), _text(one.get("type"))
        compare = _COMPARE.get(kind.removeprefix("not-"))
        if compare is None or not isinstance(wanted, str) or wanted.startswith("file://"):
            return None
        wanted = _VARIABLE.sub(lambda found: _text(variables.get(found[1])) or found[0], wanted)
        if "{{" in wanted or "{%" in wanted:
            return None
        passed.append(compare(output, wanted) != kind.startswith("not-"))
    return all(passed)


_COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "equals": lambda said, wanted: said == wanted,
    "contains": lambda said, wanted: wanted in said,
    "icontains": lambda said, wanted: wanted.lower() in said.lower(),
    "starts-with": lambda said, wanted: said.startswith(wanted),
}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _components(grading: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield what each assertion gave, those of sets of assertions, too."""
    found = grading.get("componentResults")
    for one in found if isinstance(found, list) and depth < 4 else ():
        if isinstance(one, dict):
            yield one
            yield from _components(one, depth + 1)


def _task(
    arm: str, task: str, results: Sequence[_Result], notes: list[str], options: LogOptions
) -> list[LogRow]:
    """Return the rows of one arm and prompt; equal tests have one key.

    Raises:
        DataError: a result stands twice, or is of two providers of one name.
    """
    columns = {one.column for one in results} - {None}
    if len(columns) > 1:
        raise results[-1].row.where.error(
            f"{len(columns)} providers are both called {results[-1].provider!r:.60}, or a prompt "
            "stands twice: give each provider a `label` of its own"
        )
    first: dict[int, LogRow] = {}
    rows, again = [], []
    for one in results:
        row = one.row
        if one.test is not None and first.setdefault(one.test, row) is not row:
            if "duplicates" not in options.allow:
                raise row.where.error(
                    f"test {one.test} of {arm} stands here again, after {first[one.test].where}; "
                    "`--allow duplicates` takes the first one"
                )
            again.append(str(one.test))
        else:
            rows.append(row)
    number_keys(rows)
    if again:
        notes.append(
            f"{arm}: {len(again):,} results repeat a test ({listed(again)}); the first one counts."
        )
    notes += repeats(rows, task, arm, "`--repeat`, or equal tests")
    return rows


def _notes(arm: str, results: Sequence[_Result]) -> Iterator[str]:
    """Say of an arm's results what deserves a look."""
    count = len(results)
    if cached := sum(one.cached for one in results):
        yield (
            f"{arm}: {cached:,} of {count:,} answers came from promptfoo's cache, which tells "
            "models apart by address and name only; `--no-cache` asks anew."
        )
    if ungraded := sum(one.ungraded for one in results):
        yield (
            f"{arm}: {ungraded:,} of {count:,} results have no assertion, so promptfoo lets "
            "them pass; they are unscored."
        )
    if failed := sum(one.judge_failed for one in results):
        yield f"{arm}: the grader itself failed on {failed:,} of {count:,} results; unscored."
    if rated := sum("human" in one.kinds for one in results):
        yield f"{arm}: {rated:,} of {count:,} results were rated by hand."
    if empty := sum(one.empty for one in results):
        yield f"{arm}: {empty:,} of {count:,} responses have no output; promptfoo fails them."
    if any(kind in one.kinds for one in results for kind in _COMPARING):
        yield (
            f"{arm}: {' and '.join(_COMPARING)} hold the providers' answers against each other, so "
            "such a score is not an arm's own."
        )


def _arm_names(providers: Sequence[str], path: Path) -> dict[str, str]:
    """Name the arms by their providers; of ids that begin alike, by what tells them apart."""
    parts = [re.split("[:/]", one) for one in providers]
    while len(parts) > 1 and all(len(one) > 1 for one in parts) and len({p[0] for p in parts}) == 1:
        parts = [one[1:] for one in parts]
    names = [name_like("-".join(one)) or f"arm-{n}" for n, one in enumerate(parts, 1)]
    for name, provider in zip(names, providers, strict=True):
        if names.count(name) > 1:
            raise DataError(
                f"several providers would be called {name}, one of them {provider!r:.80}: give "
                "each a `label` of letters and digits",
                path=path,
            )
    return dict(zip(names, providers, strict=True))


def _task_names(labels: Mapping[str, str]) -> dict[str, str]:
    """Name each prompt by its label, or by its hash where that is long or not its own."""
    short = {one: name_like(label) for one, label in labels.items()}
    counts = Counter(short.values())
    return {
        one: name
        if name and counts[name] == 1 and len(labels[one]) <= _LONGEST_NAME
        else f"prompt-{_sha256(one)[:8]}"
        for one, name in short.items()
    }
