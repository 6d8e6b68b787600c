"""JSONL of one's own, and the bundled set, which has the same form."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import orjson

from quantrial.errors import DataError
from quantrial.study import JsonlSource
from quantrial.tasks.sources._choice_row import choice_record, repeated_option
from quantrial.tasks.sources._rows import (
    KEYS,
    Reading,
    Row,
    Where,
    decode_text,
    find,
    metadata_of,
    read_text,
)
from quantrial.tasks.sources._span_row import entity_row

Kind = Literal["choice", "spans"]


def read_jsonl(source: JsonlSource, kind: Kind, path: Path, dev: Path | None) -> Reading:
    """Read a file of items, and one of examples where the study names it."""
    files: dict[str, str] = {}
    rows = _file(path, kind, files)
    return Reading(source.path.name, rows, _file(dev, kind, files) if dev else (), files)


def read_bundled(kind: Kind) -> Reading:
    """Read the items that come with quantrial."""
    folder = resources.files("quantrial.tasks") / "bundled"
    files: dict[str, str] = {}
    read: dict[str, list[Row]] = {}
    for name in (f"{kind}.jsonl", f"{kind}_dev.jsonl"):
        resource = folder / name
        if not resource.is_file():
            continue
        data = resource.read_bytes()
        files[name] = hashlib.sha256(data).hexdigest()
        read[name] = list(jsonl_rows(decode_text(data, name), name, kind))
    if f"{kind}.jsonl" not in read:
        raise DataError("the bundled items are missing: install quantrial again", path=str(folder))
    return Reading(
        f"bundled/{kind}", read[f"{kind}.jsonl"], read.get(f"{kind}_dev.jsonl", ()), files
    )


def _file(path: Path, kind: Kind, files: dict[str, str]) -> list[Row]:
    text, digest = read_text(path)
    files[path.name if path.name not in files else f"{path.parent.name}/{path.name}"] = digest
    return list(jsonl_rows(text, path, kind))


def jsonl_rows(text: str, path: Path | str, kind: Kind) -> Iterator[Row]:
    """Parse one file's text, a row for every line that is not blank."""
    parse: Callable[[dict[str, Any], Where], Row] = _choice if kind == "choice" else _spans
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = Where(path, number)
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as exc:
            raise where.error(f"not valid JSON ({exc})") from exc
        if not isinstance(record, dict):
            raise where.error(f"expected a JSON object, got {line.strip()!r:.40}")
        yield parse(record, where)


def _choice(record: dict[str, Any], where: Where) -> Row:
    row = choice_record(record, where, KEYS)
    if (repeated := repeated_option(row)) is not None:
        raise where.error(f"the option {repeated!r:.60} is there twice")
    return row


def _spans(record: dict[str, Any], where: Where) -> Row:
    text = record[find(record, ("text",), where, KEYS)]
    if not isinstance(text, str):
        raise where.error(f"'text' is {text!r:.40}; expected {KEYS.text}")
    entities = record[find(record, ("entities",), where, KEYS)]
    metadata = metadata_of(record, {"text", "entities"}, where, KEYS)
    return entity_row(text, entities, metadata, where)
