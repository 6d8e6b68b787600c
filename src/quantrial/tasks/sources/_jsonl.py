"""JSONL of one's own, and the bundled set, which has the same form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import orjson

from quantrial.errors import DataError, StudyError
from quantrial.registry import OWN, TASKS
from quantrial.strict_json import exact_whole, refuse_lost
from quantrial.study import BundledSource, JsonlSource
from quantrial.tasks.rows import Asked, Reading, ReadRow, Row, Source, Where, decode_text, read_text


def read_jsonl(source: JsonlSource, asked: Asked) -> Reading:
    """Read a file of items, and one of examples where the study names it."""
    row, path, dev = asked.row, asked.path(source.path), source.dev and asked.path(source.dev)
    files: dict[str, str] = {}
    rows = _file(path, row, files)
    return Reading(source.path.name, rows, _file(dev, row, files) if dev else (), files)


def read_bundled(_: BundledSource, asked: Asked) -> Reading:
    """Read the items that come with quantrial."""
    kind = asked.kind
    folder = resources.files("quantrial.tasks") / "bundled"
    files: dict[str, str] = {}
    read: dict[str, list[Row]] = {}
    for name in (f"{kind}.jsonl", f"{kind}_dev.jsonl"):
        resource = folder / name
        if not resource.is_file():
            continue
        data = resource.read_bytes()
        files[name] = hashlib.sha256(data).hexdigest()
        read[name] = list(jsonl_rows(decode_text(data, name), name, asked.row))
    if f"{kind}.jsonl" not in read:
        if kind not in OWN[TASKS.group]:
            raise StudyError(f"no items of kind {kind!r} are bundled", key=f"{asked.key}.type")
        raise DataError("the bundled items are missing: install quantrial again", path=str(folder))
    return Reading(
        f"bundled/{kind}", read[f"{kind}.jsonl"], read.get(f"{kind}_dev.jsonl", ()), files
    )


JSONL = Source(JsonlSource, read_jsonl, shots_key="dev")
BUNDLED = Source(BundledSource, read_bundled)


def _file(path: Path, parse: ReadRow, files: dict[str, str]) -> list[Row]:
    text, digest = read_text(path)
    files[path.name if path.name not in files else f"{path.parent.name}/{path.name}"] = digest
    return list(jsonl_rows(text, path, parse))


def jsonl_rows(text: str, path: Path | str, parse: ReadRow) -> Iterator[Row]:
    """Parse one file's text, a row for every line that is not blank."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = Where(path, number)
        hint = "; write one object a line, without brackets around all" if line[:1] == "[" else ""
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as exc:
            raise where.error(f"not valid JSON ({exc}){hint}") from exc
        if not isinstance(record, dict):
            raise where.error(f"expected a JSON object, got {line.strip()!r:.40}{hint}")
        try:
            refuse_lost(line, exact_whole)
        except ValueError as exc:
            raise where.error(str(exc)) from exc
        yield parse(record, where)
