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
from quantrial.tasks.sources._rows import (
    Reading,
    Row,
    Where,
    choice_row,
    decode_text,
    letter_index,
    read_text,
    repeated_option,
)

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
    question = _text(record, "question", where)
    options = _list(record, "options", where)
    for letter, option in zip("ABCDEFGHIJ", options, strict=False):
        if not isinstance(option, str):
            raise where.error(f"option {letter} is {option!r:.40}; expected a text in quotes")
    row = choice_row(
        question,
        options,
        _answer(record, len(options), where),
        _metadata(record, {"question", "options", "answer"}, where),
        where,
    )
    if (repeated := repeated_option(row)) is not None:
        raise where.error(f"the option {repeated!r:.60} is there twice")
    return row


def _answer(record: dict[str, Any], options: int, where: Where) -> int:
    answer = _value(record, "answer", where)
    if isinstance(answer, str):
        return letter_index(answer, options, where)
    if not isinstance(answer, int) or isinstance(answer, bool):
        raise where.error(f"'answer' is {answer!r:.40}; expected an index from 0, or a letter")
    return answer


def _spans(record: dict[str, Any], where: Where) -> Row:
    text = _text(record, "text", where)
    if not text.strip():
        raise where.error("the text is empty")
    gold = []
    for entity in _list(record, "entities", where):
        if (
            not isinstance(entity, list)
            or len(entity) != 2
            or not all(isinstance(part, str) and part.strip() for part in entity)
        ):
            raise where.error(f'the entity {entity!r:.60} is not a pair such as ["Lisbon", "LOC"]')
        if entity[0] not in text:
            raise where.error(f"the entity {entity[0]!r:.60} does not occur in the text")
        gold.append(entity)
    return Row({"text": text}, gold, _metadata(record, {"text", "entities"}, where), where)


def _value(record: dict[str, Any], key: str, where: Where) -> Any:
    if key not in record:
        there = ", ".join(record) or "none"
        raise where.error(f"the key {key!r} is missing; keys there: {there:.80}")
    return record[key]


def _text(record: dict[str, Any], key: str, where: Where) -> str:
    value = _value(record, key, where)
    if not isinstance(value, str):
        raise where.error(f"{key!r} is {value!r:.40}; expected a text in quotes")
    return value


def _list(record: dict[str, Any], key: str, where: Where) -> list[Any]:
    value = _value(record, key, where)
    if not isinstance(value, list):
        raise where.error(f"{key!r} is {value!r:.40}; expected a list")
    return value


def _metadata(record: dict[str, Any], own: set[str], where: Where) -> dict[str, str]:
    metadata = {}
    for key, value in record.items():
        if key in own or value is None:
            continue
        if isinstance(value, (list, dict)):
            raise where.error(f"{key!r} is {value!r:.40}; metadata is a text or a number")
        metadata[key] = scalar_text(value)
    return metadata


def scalar_text(value: str | float | bool) -> str:
    """Turn a metadata value into text, the way JSON writes it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
