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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from quantrial import paths
from quantrial.engines.artifact import Artifact
from quantrial.errors import DataError
from quantrial.importers.auto import files_under, start_of
from quantrial.importers.base import Imported, LogPaths, Recognised
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
    parse_log,
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
_LARGEST = 512 * 2**20
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
    """Read a file: its rows by provider and prompt, told by notes what deserves a look."""
    hashed = hashlib.sha256()
    header: dict[str, Any] = {}
    rows: list[_Result] = [
        _Result(where, row, _provider(where, row)) for where, row in _results(path, header, hashed)
    ]
    if not rows:
        raise DataError("holds no result", path=path)
    rows.sort(key=lambda one: one.test if one.test is not None else math.inf)
    by_provider: dict[str, list[_Result]] = {}
    for one in rows:
        by_provider.setdefault(one.provider, []).append(one)
    several = any(len({one.prompt for one in own}) > 1 for own in by_provider.values())
    tasks = _task_names(rows) if several else {}
    arms = {}
    for name, provider in _arm_names(list(by_provider), path).items():
        own = by_provider[provider]
        log = ArmLog(
            f"promptfoo {header.get('version') or 'of unknown version'}",
            Artifact(model=short_text(own[0].model)[:200]),
            files={path.name: hashed.hexdigest()},
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
    stated = header.get("stated")
    if stated is not None and stated != len(rows):
        first.notes.append(
            f"{path.name}: promptfoo counted {stated:,} results, the file holds {len(rows):,}."
        )
    if several:
        first.notes += [
            f"{task} are the answers to the prompt {short_text(_prompt_label(rows, prompt))!r:.80}."
            for prompt, task in tasks.items()
        ]
    return _File(path, str(header.get("time") or ""), arms)


def _results(
    path: Path, header: dict[str, Any], hashed: Any
) -> Iterator[tuple[Where, dict[str, Any]]]:
    """Yield the results of a file; fill in what it says of itself."""
    try:
        with paths.open_file(path) as file:
            if path.suffix.lower() == ".jsonl":
                for number, line in enumerate(file, 1):
                    hashed.update(line)
                    if line.strip():
                        where = Where(path, number)
                        yield (
                            where,
                            _object(parse_log(line.removeprefix(b"\xef\xbb\xbf"), where), where),
                        )
                return
            data = file.read(_LARGEST + 1)
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror or exc})", path=path) from exc
    if len(data) > _LARGEST:
        raise DataError(
            f"is larger than {_LARGEST // 2**20} MB: write lines by `-o out.jsonl`", path=path
        )
    hashed.update(data)
    whole = parse_log(data.removeprefix(b"\xef\xbb\xbf"), Where(path, 1))
    if isinstance(whole, dict):
        told = whole.get("metadata")
        header["version"] = _text(told.get("promptfooVersion"))[:40] if _is_object(told) else ""
        inner = whole.get("results")
        whole = inner if isinstance(inner, dict | list) else whole
    if isinstance(whole, dict):
        header["time"] = _text(whole.get("timestamp"))[:40]
        stats = whole.get("stats")
        counts = (
            [stats.get(one) for one in ("successes", "failures", "errors")]
            if _is_object(stats)
            else []
        )
        if counts and all(type(one) is int and 0 <= one < 2**53 for one in counts):
            header["stated"] = sum(counts)
        whole = whole.get("results")
    if not isinstance(whole, list):
        raise DataError("has no list of results: needed is `promptfoo eval -o out.json`", path=path)
    for number, one in enumerate(whole, 1):
        yield Where(path, number), _object(one, Where(path, number))


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


def _provider(where: Where, row: Mapping[str, Any]) -> str:
    found = row.get("provider")
    if isinstance(found, dict):
        found = found.get("label") or found.get("id")
    if not isinstance(found, str) or not found.strip():
        raise where.error("'provider' has no label and no id: it would be the arm's name")
    return found


@dataclass(slots=True)
class _Result:
    """One result: what it is of, and what promptfoo made of it."""

    where: Where
    row: Mapping[str, Any]
    provider: str
    prompt: str = ""
    test: int | None = None
    model: str = ""
    cached: bool = False
    ungraded: bool = False  # no assertion looked at the answer
    judge_failed: bool = False
    kinds: frozenset[str] = field(default_factory=frozenset)  # of its assertions

    def __post_init__(self) -> None:
        row = self.row
        asked = _part(row, "prompt")
        self.prompt = _text(row.get("promptId")) or _text(asked.get("label"))
        number = row.get("testIdx")
        self.test = number if type(number) is int else None
        told = row.get("provider")
        self.model = _text(told.get("id")) if _is_object(told) else ""
        self.model = self.model or self.provider
        self.cached = _part(row, "response").get("cached") is True
        grading = _part(row, "gradingResult")
        self.ungraded = grading.get("reason") == _NO_ASSERTIONS
        parts = list(_components(grading))
        self.judge_failed = any(_part(one, "metadata").get("graderError") is True for one in parts)
        self.kinds = frozenset(_text(_part(one, "assertion").get("type")) for one in parts)

    def identity(self) -> tuple[str, str]:
        """Return what a test is known by, and what it asserts."""
        case = _part(self.row, "testCase")
        own, given = _part(self.row, "vars"), _part(case, "vars")
        # outputs that an earlier test stored are variables, too, but no part of the test
        known = {
            name: value
            for name, value in (own or given).items()
            if (name in given if given else name not in _OF_A_RUN)
        }
        about = case.get("description") or self.row.get("description")
        asserts, bar = case.get("assert") or [], case.get("threshold")
        if not known and not about and not asserts:
            known = {"testIdx": self.test}
        return (
            json.dumps([known, about], sort_keys=True),
            json.dumps(asserts if bar is None else {"assert": asserts, "threshold": bar}),
        )

    def logged(self, key: str, known: str, gold: str) -> LogRow:
        """Return the row of a log."""
        row, case = self.row, _part(self.row, "testCase")
        response = _part(row, "response")
        output = response.get("output")
        asked = _text(_part(row, "prompt").get("raw"))
        said = output if isinstance(output, str) else json.dumps(output)
        fault = self._fault(response)
        scores = {} if fault is not None else self._scores()
        derived = self._derived(output, gold) if scores.get("success") is not None else None
        return LogRow(
            self.where,
            key,
            "",
            scores,
            "" if output is None else said,
            digest(output),
            _sha256(known),
            short_text(asked or known),
            gold,
            _sha256(asked) if asked else None,
            dict(items_of({**_part(row, "vars"), **_part(case, "metadata")})),
            error=fault,
            finish=_text(response.get("finishReason"))[:40] or None,
            checked={} if derived is None else {"success": scores["success"] == float(derived)},
        )

    def _fault(self, response: Mapping[str, Any]) -> str | None:
        """Return why there is no answer."""
        row = self.row
        reason, said = row.get("failureReason"), row.get("error") or response.get("error")
        if reason is None:  # before it was written, what was graded had a result
            failed = bool(said) and not row.get("gradingResult") and row.get("success") is not True
        else:
            failed = reason == _ERROR
        return (said if isinstance(said, str) and said else "no answer") if failed else None

    def _scores(self) -> dict[str, float | None]:
        row, unscored = self.row, self.ungraded or self.judge_failed
        passed = row.get("success")
        scores = {
            "success": float(passed) if passed in (True, False) else None,
            "score": as_number(row.get("score")),
        }
        for metric, value in _part(row, "namedScores").items():
            name = as_name(metric)
            scores[f"named_{name}" if name in scores else name] = as_number(value)
        return dict.fromkeys(scores) if unscored else scores

    def _derived(self, output: Any, gold: str) -> bool | None:
        """Grade an answer again, where its assertions compare texts and nothing else."""
        asserts = json.loads(gold)
        if not isinstance(asserts, list) or not asserts or "human" in self.kinds:
            return None
        own = _part(self.row, "vars")
        passed = []
        for one in asserts:
            if (
                not _is_object(one)
                or set(one) - {"type", "value", "metric"}
                or not isinstance(output, str)
            ):
                return None
            wanted, kind = one.get("value"), _text(one.get("type"))
            compare = _COMPARE.get(kind.removeprefix("not-"))
            if compare is None or not isinstance(wanted, str) or wanted.startswith("file://"):
                return None
            wanted = _VARIABLE.sub(
                lambda found: _text(own.get(found[1], found[0])) or found[0], wanted
            )
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
        DataError: a result stands twice, is of two providers of one name, or nested too deeply.
    """
    columns = {n for one in results if type(n := one.row.get("promptIdx")) is int}
    if len(columns) > 1:
        raise results[-1].where.error(
            f"{len(columns)} providers are both called {results[-1].provider!r:.60}, or a prompt "
            "stands twice: give each provider a `label` of its own"
        )
    first: dict[int, _Result] = {}
    asserted: dict[str, dict[str, str]] = {}
    rows: dict[str, list[LogRow]] = {}
    again = []
    for one in results:
        if one.test is not None and first.setdefault(one.test, one) is not one:
            if "duplicates" not in options.allow:
                raise one.where.error(
                    f"test {one.test} of {arm} stands here again, after {first[one.test].where}; "
                    "`--allow duplicates` takes the first one"
                )
            again.append(str(one.test))
            continue
        try:
            known, gold = one.identity()
            keys = asserted.setdefault(known, {})
            if gold not in keys:
                keys[gold] = _key(known) + (f"-{len(keys) + 1}" if keys else "")
            row = one.logged(keys[gold], known, gold)
        except RecursionError as exc:
            raise one.where.error("is nested too deeply") from exc
        rows.setdefault(row.key, []).append(row)
    if again:
        notes.append(f"{arm}: {len(again):,} results repeat a test ({listed(again)}); the first "
                     "one counts.")  # fmt: skip
    if repeats := Counter(len(own) for own in rows.values() if len(own) > 1):
        counts = " or ".join(str(one) for one in sorted(repeats))
        notes.append(
            f"{task}: {repeats.total():,} tests of {arm} were asked {counts} times (`--repeat`, or "
            "equal tests); an item's score is their mean."
        )
    return [row for own in rows.values() for row in own]


def _key(known: str) -> str:
    """Name an item by its description or its first variable, and by the hash of both."""
    variables, about = json.loads(known)
    words = next((f"{one}" for one in (about, *variables.values()) if type(one) in {str, int}), "")
    name = name_like(words[:200])[:_LONGEST_NAME].rstrip("-")
    return f"{name or 'test'}-{_sha256(known)[:8]}"


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
    empty = [
        one
        for one in results
        if one.row.get("failureReason") != _ERROR
        and _is_object(one.row.get("response"))
        and one.row["response"].get("output") is None
    ]
    if empty:
        yield f"{arm}: {len(empty):,} of {count:,} responses have no output; promptfoo fails them."
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


def _prompt_label(rows: Sequence[_Result], prompt: str) -> str:
    asked = next(_part(one.row, "prompt") for one in rows if one.prompt == prompt)
    return _text(asked.get("label")) or prompt


def _task_names(rows: Sequence[_Result]) -> dict[str, str]:
    """Name each prompt by its label, or by its hash where that is long or not its own."""
    labels = {one: _prompt_label(rows, one) for one in dict.fromkeys(row.prompt for row in rows)}
    short = {one: name_like(label) for one, label in labels.items()}
    counts = Counter(short.values())
    return {
        one: name
        if name and counts[name] == 1 and len(labels[one]) <= _LONGEST_NAME
        else f"prompt-{_sha256(one)[:8]}"
        for one, name in short.items()
    }
