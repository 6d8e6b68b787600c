"""Tables of one's own: CSV, Parquet and Excel, a row an item and a column a field."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from quantrial.errors import DataError, MissingExtraError
from quantrial.paths import open_file, read_bytes
from quantrial.study import SourcePart
from quantrial.study.memory import json_value
from quantrial.tasks.rows import Asked, Reading, Row, Source, Where, read_text

_LARGEST_CELL = 10_000_000  # characters
_LARGEST_SHEET = 1_000_000_000  # bytes of an Excel file once it is unpacked
_MOST_CELLS = 16_384  # columns of an Excel sheet
_BATCH = 1000
Records = Iterator[tuple[Where, dict[str, Any]]]


class TablePart(SourcePart):
    """What every table says: its file, and one of examples."""

    path: Path
    """The file. Its first row, or its schema, names the fields."""
    dev: Path | None = None
    """A file of the same form that the examples of `shots` are taken from."""


class CsvSource(TablePart):
    """Your own items, a row each: CSV in UTF-8 with a header, or TSV by the ending `.tsv`.

    An empty cell is no value. Only in the gold field, a list or object is read as JSON.
    """

    type: Literal["csv"]
    delimiter: str | None = None
    """The character between cells: `,` by default, a tab in a `.tsv` file."""


class ParquetSource(TablePart):
    """Your own items, a row each: a Parquet file; the extra `tables`."""

    type: Literal["parquet"]


class ExcelSource(TablePart):
    """Your own items, a row each: an Excel file (`.xlsx`) with a header; the extra `tables`.

    A cell of a formula has the value that was last computed.
    """

    type: Literal["excel"]
    sheet: str | None = None
    """Name of the sheet; the first one by default."""


def _csv(source: CsvSource, path: Path) -> tuple[Records, str]:
    text, digest = read_text(path)
    delimiter = source.delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")
    if len(delimiter) != 1:
        raise DataError(f"the delimiter is {delimiter!r}; one character is needed", path=path)
    return csv_records(io.StringIO(text, newline=""), delimiter, path), digest


def csv_records(
    text: Iterable[str], delimiter: str, path: Path, *, unnamed: str | None = None
) -> Records:
    """Yield the rows of a CSV file by the names in its header; an empty cell is None.

    Args:
        text: the lines of the file, their ends as they are.
        delimiter: the character between cells.
        path: where it stands, for messages.
        unnamed: what the first column is called if it has no name; None to refuse that.
    """
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    ended = 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as exc:
            raise DataError(f"is no CSV: {exc}", path=path, line=reader.line_num or None) from exc
        if cells is None:
            return
        where, ended = Where(path, ended + 1), reader.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            if unnamed is not None and not cells[0].strip():
                cells[0] = unnamed
            header = _header(cells, where)
            if len(header) == 1 and (other := next((c for c in ";\t|" if c in cells[0]), None)):
                raise where.error(
                    f"the header is one cell, {cells[0]!r:.80}; if cells end with {other!r}, "
                    f"set `delimiter: {other!r}` in the source"
                )
            continue
        if len(cells) != len(header):
            raise where.error(f"{len(cells)} cells, where the header has {len(header)}")
        values = (cell if cell.strip() else None for cell in cells)
        yield where, dict(zip(header, values, strict=True))


def _header(cells: Sequence[Any], where: Where) -> list[str]:
    names = ["" if cell is None else str(cell).strip() for cell in cells]
    for name in names:
        if not name:
            raise where.error("a column has no name in the header")
        if names.count(name) > 1:
            raise where.error(f"two columns are named {name!r}")
    return names


def _parquet(source: ParquetSource, path: Path) -> tuple[Records, str]:
    with open_file(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return parquet_records(path), digest


def parquet_records(
    path: Path, fields: Mapping[str, Sequence[str] | None] | None = None
) -> Records:
    """Yield the rows of a Parquet file by the names of its columns.

    Args:
        path: the file.
        fields: the columns to read, and of a column of structs the fields; None reads all. What
            the file does not have is left out.
    """
    try:
        import duckdb
    except ImportError as exc:
        raise MissingExtraError(
            "a source of type 'parquet'", package="duckdb", extra="tables"
        ) from exc
    if any(mark in str(path) for mark in "*?["):
        raise DataError(
            "the name holds *, ? or [, which stand for other files: rename it", path=path
        )
    # nothing but this file is read, and nothing is fetched
    alone = str(path).replace("'", "''")
    closed = (
        "SET autoinstall_known_extensions = false; SET autoload_known_extensions = false; "
        f"SET allowed_paths = ['{alone}']; SET enable_external_access = false"
    )
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute(closed)
            wanted = "*"
            if fields is not None:
                wanted = _wanted(connection.read_parquet(str(path)), fields)
            found = connection.execute(f"SELECT {wanted} FROM read_parquet(?)", [str(path)])
            names = _header([column[0] for column in found.description or ()], Where(path, 1))
            number = 0
            while rows := found.fetchmany(_BATCH):
                for row in rows:
                    number += 1
                    where = Where(path, number)
                    yield where, {n: _plain(v, n, where) for n, v in zip(names, row, strict=True)}
    except duckdb.Error as exc:
        # what follows is the query, which nobody wrote
        why = str(exc).partition("\n\nLINE ")[0].strip()
        raise DataError(f"is no Parquet file that can be read: {why}", path=path) from exc


def _wanted(table: Any, fields: Mapping[str, Sequence[str] | None]) -> str:
    """Return the SQL of the columns and fields of a table that are wanted and there."""
    chosen = []
    for name, kind in zip(table.columns, table.types, strict=True):
        inner = fields.get(name)
        if kind.id == "struct" and inner is not None:
            there = [one for one, _ in kind.children if one in inner]
            parts = ", ".join(f'"{one}" := "{name}"."{one}"' for one in there)
            chosen.append(f'struct_pack({parts}) AS "{name}"' if there else f'NULL AS "{name}"')
        elif name in fields:
            chosen.append(f'"{name}"')
    return ", ".join(chosen) or "*"


def _plain(value: Any, name: str, where: Where) -> Any:
    try:
        return json_value(value)
    except ValueError as exc:
        raise where.error(f"the field {name!r} {exc}") from exc


def _excel(source: ExcelSource, path: Path) -> tuple[Records, str]:
    data = read_bytes(path)
    return excel_records(data, source.sheet, path), hashlib.sha256(data).hexdigest()


def excel_records(
    data: bytes, sheet: str | None, path: Path, notes: list[str] | None = None
) -> Records:
    """Yield the rows of a sheet by the names in its first row; `notes` takes what was left out."""
    try:
        import openpyxl
    except ImportError as exc:
        raise MissingExtraError(
            "a source of type 'excel'", package="openpyxl", extra="tables"
        ) from exc
    with _excel_errors(path):
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            if sum(one.file_size for one in members.infolist()) > _LARGEST_SHEET:
                raise DataError("is too large once it is unpacked: save it as CSV", path=path)
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        if sheet is not None and sheet not in book.sheetnames:
            there = ", ".join(book.sheetnames)
            raise DataError(f"has no sheet {sheet!r}; there are: {there:.200}", path=path)
        if notes is not None and sheet is None and len(book.sheetnames) > 1:
            notes.append(
                f"{path.name}: of {len(book.sheetnames)} sheets the first one was read, "
                f"{book.sheetnames[0]!r:.60}."
            )
        header: list[str] | None = None
        rows = book[sheet or book.sheetnames[0]].iter_rows(values_only=True, max_col=_MOST_CELLS)
        for number, cells in enumerate(rows, start=1):
            where, given = Where(path, number), list(cells)
            while given and given[-1] is None:
                given.pop()
            if not given:
                continue
            if header is None:
                header = _header(given, where)
                continue
            if len(given) > len(header):
                raise where.error(f"{len(given)} cells, where the header has {len(header)}")
            given += [None] * (len(header) - len(given))
            yield where, {n: _plain(v, n, where) for n, v in zip(header, given, strict=True)}


@contextlib.contextmanager
def _excel_errors(path: Path) -> Iterator[None]:
    """Turn whatever openpyxl raises of a broken file into a message."""
    try:
        yield
    except DataError:
        raise
    except Exception as exc:  # of its zip, its XML, its numbers of styles, ...
        raise DataError(f"is no Excel file (.xlsx) that can be read: {exc}", path=path) from exc


_READ: Mapping[str, Any] = {"csv": _csv, "parquet": _parquet, "excel": _excel}


def read_table(source: TablePart, asked: Asked) -> Reading:
    """Read a table of items, and one of examples where the study names it.

    Raises:
        DataError: the file is missing or no such table, or a row is wrong (with its line or row).
        MissingExtraError: the package that reads it is not installed.
    """
    files: dict[str, str] = {}

    def rows(path: Path) -> list[Row]:
        path = asked.path(path)
        try:
            records, digest = _READ[source.type](source, path)
        except FileNotFoundError as exc:
            raise DataError("no such file", path=path) from exc
        except OSError as exc:
            raise DataError(f"cannot be read ({exc.strerror})", path=path) from exc
        files[path.name if path.name not in files else f"{path.parent.name}/{path.name}"] = digest
        return [asked.row(record, where) for where, record in records]

    found = rows(source.path)
    return Reading(source.path.name, found, rows(source.dev) if source.dev else (), files)


CSV = Source(CsvSource, read_table, shots_key="dev")
PARQUET = Source(ParquetSource, read_table, shots_key="dev")
EXCEL = Source(ExcelSource, read_table, shots_key="dev")
