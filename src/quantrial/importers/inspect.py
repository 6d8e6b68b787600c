"""Logs of Inspect: `.eval` (a zip of JSON, members by zstd or deflate) and `.json`.

Epochs are samples of one item. A sample with an error is a fault, whatever its scorers said; one
that a scorer gave no number is unscored. Nothing of an archive is extracted to disk.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
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
    parse_log,
    short_text,
)
from quantrial.importers.logs import pair_logs
from quantrial.tasks.rows import Where

if sys.version_info >= (3, 14):
    import zipfile

    from compression.zstd import ZstdError
else:
    from backports.zstd import ZstdError, zipfile

_TORN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, ZstdError, NotImplementedError,
         RuntimeError, EOFError, ValueError)  # fmt: skip
_SAMPLE = re.compile(r"samples/.+\.json")  # an id may hold a slash
_LARGEST = 2**30  # bytes of one member: a sample with images may well be of 100 MB
_LARGEST_IN_ALL = 2**34
_LARGEST_PART = 64 * 2**20  # of a part of a sample that is read
_SMALL = 4 * 2**20  # of a member that is parsed at once
_PARTS = frozenset({"id", "epoch", "input", "choices", "target", "scores", "output", "limit",
                    "error", "invalidation", "messages", "metadata", "attachments"})  # fmt: skip
_SPARED = frozenset({"messages", "metadata", "attachments"})  # parts that may be too large to read
_MOST_LOOKED_AT = 300  # files of a folder
_MARKS = (b'"version"', b'"eval"', b'"task"')  # of the first lines of a .json log
_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
_DEEPEST = 50


def read_inspect(arms: LogPaths, *, options: LogOptions | None = None) -> Imported:
    """Read the logs of Inspect, one file or folder an arm.

    Args:
        arms: where each arm's `.eval` or `.json` files are.
        options: what the logs do not say.

    Raises:
        DataError: a log is not what it should be.
        StudyError: an option does not fit.
    """
    return pair_logs("inspect", arms, _read_arm, options or LogOptions())


def recognises(path: Path) -> Recognised | None:
    """Say whether a path holds logs of Inspect; where they are of one model, its name is theirs."""
    models: dict[str, None] = {}
    seen = ""
    for file in files_under(path, _MOST_LOOKED_AT):
        start = start_of(file, 4096) if file.suffix == ".json" else b""
        if file.suffix != ".eval" and not all(mark in start for mark in _MARKS):
            continue
        seen = seen or file.name
        try:
            told = next(_documents(file))[1].get("eval")
        except DataError:
            continue
        model = told.get("model") if isinstance(told, dict) else None
        models[model.rpartition("/")[2] if isinstance(model, str) else ""] = None
    if not seen:
        return None
    name = next(iter(models)) if len(models) == 1 else ""
    why = "is a log of Inspect" if paths.is_file(path) else f"holds {seen}, a log of Inspect"
    return Recognised(why, (name,) if name else ())


def _read_arm(arm: str, path: Path, options: LogOptions) -> ArmLog:
    files = [path]
    if not paths.is_file(path):
        files = sorted(one for one in path.rglob("*") if one.suffix in (".eval", ".json"))
    runs: dict[str, dict[str, Path]] = {}
    headers: dict[Path, Mapping[str, Any]] = {}
    for file in files:
        header = headers[file] = next(_documents(file))[1]
        told = header.get("eval")
        if not isinstance(told, dict) or not isinstance(told.get("task"), str):
            raise DataError("says no task: needed is a log of Inspect", path=file)
        runs.setdefault(told["task"].rpartition("/")[2], {})[file.name] = file
    if not runs:
        raise DataError("holds no .eval or .json file", path=path)
    chosen = {
        task: newest(own, arm, task, latest=options.latest) for task, own in sorted(runs.items())
    }
    first = headers[next(iter(chosen.values()))]["eval"]
    packages = first.get("packages")
    version = packages.get("inspect_ai") if isinstance(packages, dict) else None
    model = first.get("model")
    log = ArmLog(
        f"Inspect {version or 'of unknown version'}",
        Artifact(model=short_text(model)[:200] if isinstance(model, str) and model else arm),
    )
    for task, file in chosen.items():
        if not options.tasks or task in options.tasks:
            _read_task(log, task, file, options)
    return log


def _documents(path: Path) -> Iterator[tuple[Where, dict[str, Any]]]:
    """Yield the header of a log, then each sample; of both what is read of them."""
    try:
        with paths.open_file(path) as file:
            if path.suffix == ".json":
                yield from _of_json(JsonStream(file, Where(path, 1)), path)
                return
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
                if "header.json" not in names:
                    raise DataError(
                        "has no header: its run did not finish; `inspect log recover` mends it",
                        path=path,
                    )
                wanted = ["header.json", *sorted(filter(_SAMPLE.fullmatch, names))]
                sizes = [archive.getinfo(name).file_size for name in wanted]
                if sum(sizes) > _LARGEST_IN_ALL:
                    raise DataError(f"is larger than {_LARGEST_IN_ALL // 2**30} GB", path=path)
                for number, (name, size) in enumerate(zip(wanted, sizes, strict=True)):
                    where = Where(path, number)
                    if size > _LARGEST:
                        raise where.error(f"is larger than {_LARGEST // 2**20} MB")
                    with archive.open(name) as member:
                        yield where, _member(member, where, small=size <= _SMALL, header=not number)
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror or exc})", path=path) from exc
    except DataError:
        raise
    except _TORN as exc:
        raise DataError(f"is no whole archive ({str(exc)[:80]})", path=path) from exc


def _of_json(stream: JsonStream, path: Path) -> Iterator[tuple[Where, dict[str, Any]]]:
    header: dict[str, Any] = {}
    whole = True
    for name in stream.members():
        if name != "samples":
            header[name] = stream.take(_LARGEST_PART)
            continue
        yield stream.where, header  # what a log says of itself stands before its samples
        whole = False
        if not stream.starts_with(b"["):
            continue
        for number in stream.elements():
            stream.where = Where(path, number)
            if not stream.starts_with(b"{"):
                raise stream.where.error("expected a sample, a JSON object")
            yield stream.where, _parts(stream)
    if whole:
        yield stream.where, header


def _member(member: Any, where: Where, *, small: bool, header: bool) -> dict[str, Any]:
    if not small and not header:
        return _parts(JsonStream(member, where))
    data = member.read(_LARGEST_PART + 1)
    if len(data) > _LARGEST_PART:
        raise where.error(f"is larger than {_LARGEST_PART // 2**20} MB")
    value = parse_log(data, where)
    if not isinstance(value, dict):
        raise where.error("expected a JSON object")
    return value


def _parts(stream: JsonStream) -> dict[str, Any]:
    """Return the parts of a sample that are read."""
    found = {}
    for name in stream.members():
        if name in _PARTS:
            found[name] = stream.take(_LARGEST_PART)
            if stream.cut and name not in _SPARED:
                raise stream.where.error(f"{name!r} is larger than {_LARGEST_PART // 2**20} MB")
    return found


def _read_task(log: ArmLog, task: str, path: Path, options: LogOptions) -> None:
    rows: list[LogRow] = []
    seen: dict[tuple[str, object], LogRow] = {}
    kinds: dict[str, type] = {}
    again = edited = invalid = 0
    documents = _documents(path)
    status = next(documents)[1].get("status")
    for where, sample in documents:
        try:
            row = _row(where, sample)
        except RecursionError as exc:
            raise where.error("is nested too deeply") from exc
        if kinds.setdefault(row.key, type(sample["id"])) is not type(sample["id"]):
            raise where.error(f"id {row.key!r} stands as a text and as a number")
        if seen.setdefault((row.key, sample.get("epoch")), row) is row:
            rows.append(row)
            edited += _is_edited(sample.get("scores"))
            invalid += sample.get("invalidation") is not None
            continue
        if "duplicates" not in options.allow:
            raise where.error(
                f"sample {row.key!r} of {task} stands twice in one epoch; `--allow duplicates` "
                "takes the first one"
            )
        again += 1
    if again:
        log.notes.append(f"{task}: {again:,} rows repeat a sample; the first one counts.")
    if not rows:
        raise DataError(
            f"holds no sample of {task}: its run kept none (`--no-log-samples`), or finished none",
            path=path,
        )
    if status in ("started", "cancelled", "error"):
        log.notes.append(f"{task}: the run in {path.name} ended as {status!r}.")
    if edited:
        log.notes.append(
            f"{task}: {edited:,} of {len(rows):,} samples in {path.name} have a score that was "
            "edited after the run; the edited one counts."
        )
    if invalid:
        log.notes.append(
            f"{task}: {invalid:,} of {len(rows):,} samples in {path.name} were declared invalid; "
            "they are unscored."
        )
    log.tasks[task] = rows
    with paths.open_file(path) as file:
        log.files[path.name] = hashlib.file_digest(file, "sha256").hexdigest()


def _row(where: Where, sample: Mapping[str, Any]) -> LogRow:
    name = sample.get("id")
    if isinstance(name, bool) or not isinstance(name, str | int) or not str(name).isprintable():
        raise where.error(f"'id' is {name!r:.40}; needed is a text or a whole number")
    epoch = sample.get("epoch")
    if epoch is not None and type(epoch) is not int:
        raise where.error(f"'epoch' is {epoch!r:.40}; needed is a whole number")
    held = sample.get("attachments")
    attached = held if isinstance(held, dict) else {}
    asked = json.dumps(_whole(sample.get("input"), attached), sort_keys=True)
    target = sample.get("target")
    output = sample.get("output")
    output = output if isinstance(output, dict) else {}
    said = _whole(output.get("completion"), attached)
    choices = output.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    stop = first.get("stop_reason") if isinstance(first, dict) else None
    limit = sample.get("limit")
    error = sample.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    metadata = sample.get("metadata")
    content = json.dumps([asked, sample.get("choices")], sort_keys=True)
    scores = dict(_scores(sample.get("scores")))
    return LogRow(
        where,
        str(name)[:200],
        "",
        scores if sample.get("invalidation") is None else dict.fromkeys(scores),
        said if isinstance(said, str) else "",
        digest(said),
        hashlib.sha256(content.encode("utf-8", "replace")).hexdigest(),
        short_text(asked),
        target if isinstance(target, str) else json.dumps(target),
        _prompt(sample.get("messages"), attached),
        dict(items_of(metadata if isinstance(metadata, dict) else {})),
        error=None if error is None else str(message),
        finish="length" if limit is not None else stop if isinstance(stop, str) else None,
    )


def _whole(value: Any, attached: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a value with its attachments put back, without the ids that each run draws anew."""
    if isinstance(value, str):
        return attached.get(value.removeprefix("attachment://"), value)
    if depth >= _DEEPEST:
        return None
    if isinstance(value, list):
        return [_whole(one, attached, depth + 1) for one in value]
    if isinstance(value, dict):
        return {k: _whole(one, attached, depth + 1) for k, one in value.items() if k != "id"}
    return value


def _prompt(messages: Any, attached: Mapping[str, Any]) -> str | None:
    """Hash what the model saw before its first answer."""
    if not isinstance(messages, list):
        return None
    shown = []
    for one in messages:
        if not isinstance(one, dict) or one.get("role") == "assistant":
            break
        shown.append([one.get("role"), _whole(one.get("content"), attached)])
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def _scores(found: Any) -> Iterator[tuple[str, float | None]]:
    """Yield each score as a number; a scorer with several values yields one each."""
    for scorer, score in found.items() if isinstance(found, dict) else ():
        value = score.get("value") if isinstance(score, dict) else None
        if isinstance(value, dict):
            for name, one in value.items():
                yield as_name(f"{scorer}_{name}"), _number(one)
        else:
            yield as_name(scorer), _number(value)


def _is_edited(scores: Any) -> bool:
    found = scores.values() if isinstance(scores, dict) else ()
    return any(isinstance(one, dict) and one.get("history") for one in found)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return _LETTERS.get(value)
    return as_number(value)
