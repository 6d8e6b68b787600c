"""JSON of a file, read strictly: UTF-8, and no key twice, whose first value would be lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson

from quantrial.errors import RecordError
from quantrial.not_finite import read_with_nulls


def parse_json(
    data: bytes, *, path: Path | str, line: int | None = None, nulls: bool = False
) -> Any:
    """Parse one JSON text.

    Args:
        data: the text.
        path: the file it stands in, and `line`, for errors.
        line: counted from 1; None of a whole file.
        nulls: numbers that are not finite, which JSON lacks and Python writes, are read as null.

    Raises:
        RecordError: not UTF-8, not JSON, or an object that holds a key twice; it names the place.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as bad:
            raise RecordError(
                f"not UTF-8 (byte {bad.start} is 0x{data[bad.start]:02x})", path=path, line=line
            ) from exc
        value = read_with_nulls(data, exc) if nulls else None
        if value is None:
            raise RecordError(f"not valid JSON ({exc})", path=path, line=line) from exc
    if not _as_written(value, data):
        _refuse_doubles(data, path, line)
    return value


def _as_written(value: Any, data: bytes) -> bool:
    """Whether this is a line as this package writes it: nothing stands in it that was not read."""
    try:
        return orjson.dumps(value) == data.removesuffix(b"\r")
    except TypeError:  # nested more deeply than is ever written
        return False


def _refuse_doubles(data: bytes, path: Path | str, line: int | None) -> None:
    def pairs(found: list[tuple[str, Any]]) -> None:
        seen = set[str]()
        for key, _ in found:
            if key in seen:
                raise RecordError(f"the key {key!r:.60} stands twice", path=path, line=line)
            seen.add(key)

    try:
        json.loads(data, object_pairs_hook=pairs, parse_int=str)
    except RecursionError as exc:
        raise RecordError("not valid JSON: nested too deeply", path=path, line=line) from exc
