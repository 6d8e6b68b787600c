"""Files of tables, row by row, and what a cell says: an id, a score, a text."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

import orjson

from quantrial import paths
from quantrial.errors import DataError
from quantrial.importers.auto import start_of
from quantrial.strict_json import parse_json
from quantrial.tasks.rows import Where, decode_text
from quantrial.tasks.sources._tables import Records, csv_records, excel_records, parquet_records

LINE, ANSWER = "line", "answer"  # the columns of a file of lines
KEYS = ("id", "item_id", "item", "key", "doc_id", "sample_id", "example_id", "question_id",
        "test_id", "idx", "index", LINE)  # fmt: skip
ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".xlsx", ".xlsm")
_TRUE = frozenset({"true", "yes", "y", "t", "correct", "right", "pass", "passed"})
_FALSE = frozenset({"false", "no", "n", "f", "incorrect", "wrong", "fail", "failed"})
_NONE = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none", "-"})
_COMMA = re.compile(r"-?\d+,\d+")
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # the marks of UTF-16
_LARGEST_ARRAY = 512 * 2**20  # bytes of a JSON array, which is read whole
_LONGEST_LINE = 32 * 2**20  # characters
_LONGEST_NAME = 200
_LONGEST_NUMBER = 40
_FORMULA: Final = "=+@"


def id_of(value: Any, where: Where, column: str) -> str:
    """Return the name of an item or arm.

    Raises:
        DataError: it is none.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise where.error(f"{column!r} is empty")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)  # as a sheet, or a column with gaps, holds whole numbers
    name = str(value).strip() if isinstance(value, str | int) else ""
    if isinstance(value, bool) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise where.error(
            f"{column!r} is {value!r:.60}; needed is a whole number or a text of up to "
            f"{_LONGEST_NAME} characters"
        )
    return name


def score_of(value: Any, where: Where, column: str) -> float | None:
    """Read a score: a number, or right or wrong in words; None where there is none.

    Raises:
        DataError: it is something else.
    """
    if isinstance(value, str):
        text = value.strip()
        word = text.casefold()
        if word in _NONE:
            return None
        if word in _TRUE or word in _FALSE:
            return float(word in _TRUE)
        try:
            number = float(text) if len(text) <= _LONGEST_NUMBER and "_" not in text else None
        except ValueError:
            number = None
        if number is None:
            if text[:1] in _FORMULA:
                hint = "a formula is not computed; save its values"
            elif _COMMA.fullmatch(text):
                hint = "write a decimal point"
            elif text.endswith("%"):
                hint = "write 85% as 0.85"
            else:
                hint = "needed is a number, true or false, or nothing"
            raise where.error(f"{column!r} is {text!r:.60}; {hint}")
        value = number
    if value is None:
        return None
    if not isinstance(value, bool | int | float):
        raise where.error(f"{column!r} is {value!r:.60}; needed is a number, true or false")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise where.error(f"{column!r} is no finite number; leave it empty where there is none")
    return number


_DEEPEST = 4  # lists within lists


def text_of(value: Any) -> str:
    """Return what a cell says as a text, JSON as it is written; "" of an empty one."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)


def only_text(value: Any) -> Any:
    """Return the text that a list holds alone, as logs write the one answer to a request.

    Lists within lists are looked through (lm-eval's `resps`); what is no such list stays as it is.
    """
    inner = value
    for _ in range(_DEEPEST):
        if not isinstance(inner, list) or len(inner) != 1:
            break
        inner = inner[0]
    return inner if isinstance(inner, str) else value


def records_of(
    path: Path, sheet: str | None = None, notes: list[str] | None = None, *, lines: bool = False
) -> Records:
    """Yield the rows of a table by the names of their columns, one after the other.

    Args:
        path: CSV, TSV, JSONL, a JSON array, Parquet or Excel: what it is, its content says.
        sheet: of an Excel file.
        notes: takes what deserves a look.
        lines: a file of another ending holds an answer a line, and a list in JSON may hold
            answers; their numbers are the items' ids.

    Raises:
        DataError, RecordError: it cannot be read, or a row is wrong.
        MissingExtraError: what reads it is not installed.
    """
    try:
        start = start_of(path)
        if not start:
            if not paths.is_there(path):
                raise DataError("no such file", path=path)
            raise DataError("is empty" if paths.is_file(path) else "is no file", path=path)
        if lines and path.suffix.lower() not in ENDINGS and not _has_ids(start):
            yield from _lines(path, start)
        else:
            yield from _records(path, start, sheet, notes, lines=lines)
    except UnicodeDecodeError:
        decode_text(paths.read_bytes(path), path)  # says where
        raise
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror or exc})", path=path) from exc


def _lines(path: Path, start: bytes) -> Records:
    encoding = "utf-16" if start[:2] in _WIDE else "utf-8-sig"
    with io.TextIOWrapper(paths.open_file(path), encoding=encoding) as text:
        for number, line in enumerate(_bounded(text, path), start=1):
            yield Where(path, number), {LINE: number, ANSWER: line.rstrip("\n")}


def _bounded(text: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of a file; one that would fill the memory is refused."""
    number = 0
    while line := text.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise Where(path, number).error(
                f"is longer than {_LONGEST_LINE // 2**20} million characters"
            )
        yield line


def _has_ids(start: bytes) -> bool:
    """Whether the first line of a file of any ending is an object with an id."""
    try:
        first = orjson.loads(start.partition(b"\n")[0])
    except orjson.JSONDecodeError:
        return False
    return isinstance(first, dict) and not {name.casefold() for name in first}.isdisjoint(KEYS)


def _records(
    path: Path, start: bytes, sheet: str | None, notes: list[str] | None, *, lines: bool
) -> Records:
    if start.startswith(b"PAR1"):
        return parquet_records(path)
    if start.startswith(b"PK\x03\x04"):
        return excel_records(paths.read_bytes(path), sheet, path, notes)
    for mark, what in (
        (b"\xd0\xcf\x11\xe0", "is an old Excel file (.xls): save it as .xlsx"),
        (b"\x1f\x8b", "is packed by gzip: unpack it"),
        (b"\x28\xb5\x2f\xfd", "is packed by zstd: unpack it"),
        (b"SQLite format 3\0", "is a database: export the table as CSV"),
    ):
        if start.startswith(mark):
            raise DataError(what, path=path)
    if b"\0" in start and start[:2] not in _WIDE:
        raise DataError("holds NUL bytes, as UTF-16 does: save it as UTF-8", path=path)
    encoding = "utf-16" if start[:2] in _WIDE else "utf-8-sig"
    head = start.decode(encoding, "replace").lstrip()
    if not head:
        raise DataError("is empty", path=path)
    return _text_records(path, encoding, head, lines=lines)


def _text_records(path: Path, encoding: str, head: str, *, lines: bool) -> Records:
    ending = path.suffix.lower()
    is_json = ending in (".json", ".jsonl", ".ndjson") or head[0] in "[{"
    with io.TextIOWrapper(paths.open_file(path), encoding=encoding, newline="") as text:
        if ending in (".csv", ".tsv") or not is_json:
            first = head.split("\n", 1)[0]
            # ties go to the comma
            delimiter = max(",;\t|", key=first.count)
            yield from csv_records(_bounded(text, path), delimiter, path, unnamed="index")
        elif head[0] == "[":
            if path.stat().st_size > _LARGEST_ARRAY:
                raise DataError(
                    f"is one JSON array of more than {_LARGEST_ARRAY // 2**20} MB: write JSONL",
                    path=path,
                )
            whole = parse_json(text.read().encode(), path=path, nulls=True)
            for number, one in enumerate(whole, start=1):
                yield _object(one, Where(path, number), lines=lines)
        else:
            for number, line in enumerate(_bounded(text, path), start=1):
                if line.strip():
                    found = parse_json(line.encode(), path=path, line=number, nulls=True)
                    yield _object(found, Where(path, number), lines=lines)


def _object(value: Any, where: Where, *, lines: bool) -> tuple[Where, dict[str, Any]]:
    if lines and (value is None or isinstance(value, str | int | float)):
        return where, {LINE: where.line, ANSWER: value}  # a list of answers
    if not isinstance(value, dict):
        raise where.error(f"expected an object of JSON, got {value!r:.40}")
    return where, value
