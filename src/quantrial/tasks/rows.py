"""What every reader makes: rows with where each came from; and how their parts are found."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from quantrial.errors import DataError, PathError
from quantrial.paths import expanded, read_bytes

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.study import SourcePart

OF_CONTENT = "content"  # the revision of a source that has no other: what it holds


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a source: the path for messages, the line (or row) counted from 1."""

    path: Path | str
    line: int

    def error(self, message: str) -> DataError:
        """Make the error that names this place."""
        return DataError(message, path=self.path, line=self.line)

    def __str__(self) -> str:
        name = self.path.name if isinstance(self.path, Path) else self.path
        return f"{name}:{self.line}"


@dataclass(frozen=True, slots=True)
class Row:
    """One item before it has an id."""

    content: Mapping[str, Any]
    gold: Any
    metadata: Mapping[str, str]
    where: Where
    id: str | None = None  # by the source; else it follows from content and gold


ReadRow = Callable[[dict[str, Any], Where], Row]
"""Reads an item from an object of JSON, or from a row of a table."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader found: rows, examples, and the files they are in by the hash of their bytes."""

    id: str
    rows: Sequence[Row]
    shots: Sequence[Row] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source is read for: a task of a `kind`, with so many solved examples before an item.

    `base` is the folder that relative paths start from, `key` where the source stands in the study,
    `row` reads an item from an object of JSON.
    """

    kind: str
    base: Path
    key: str
    row: ReadRow
    shots: int = 0

    def path(self, path: Path) -> Path:
        """Return where a path of the study leads.

        Raises:
            DataError: it is none.
        """
        try:
            return expanded(path, self.base)
        except PathError as exc:
            raise DataError(exc.problem, path=path) from exc


@dataclass(frozen=True, slots=True)
class FetchedSource:
    """What reading a source may download.

    `name(part)` is what it is called, `is_there(part, base)` says whether reading would download
    nothing, `fetch_bytes(part, base)` how many bytes at most (None: not known). `is_there` asks
    nobody; relative paths start from `base`.
    """

    name: Callable[[Any], str]
    is_there: Callable[[Any, Path], bool]
    fetch_bytes: Callable[[Any, Path], int | None]


@dataclass(frozen=True, slots=True)
class Source:
    """A source, as an entry point of the group `quantrial.sources`.

    `part` is the model of its part of the study file, `read(part, asked)` reads it. `kind` is the
    kind of task its items are of; None where they are what the task asks for. `shots_key` names
    what offers solved examples, and `by_subject` says whether an item takes those of its own
    subject alone, as MMLU is published. `fetching` is there where reading may download.
    """

    part: type[SourcePart]
    read: Callable[[Any, Asked], Reading]
    kind: str | None = None
    shots_key: str | None = None
    by_subject: bool = False
    fetching: FetchedSource | None = None


def read_text(path: Path) -> tuple[str, str]:
    """Read a UTF-8 file; return its text without a byte order mark, and the SHA-256 of its bytes.

    Raises:
        DataError: the file is missing, unreadable, empty, or not UTF-8 (with byte and line).
    """
    try:
        data = read_bytes(path)
    except FileNotFoundError as exc:
        raise DataError("no such file", path=path) from exc
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror})", path=path) from exc
    return decode_text(data, path), hashlib.sha256(data).hexdigest()


def decode_text(data: bytes, path: Path | str) -> str:
    """Decode UTF-8, naming byte and line where it is not."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise DataError(
            f"not UTF-8 (byte {exc.start} is 0x{data[exc.start]:02x}): save it as UTF-8",
            path=path,
            line=line,
        ) from exc
    if not text.strip():
        raise DataError("the file is empty", path=path)
    return text


@dataclass(frozen=True, slots=True)
class Form:
    """How a reader's rows name their parts: for messages, and which name of the choices is first.

    `text` is what a text looks like there; a `nested` value among the metadata is refused, or left
    out.
    """

    part: Literal["column", "key"]
    text: str
    choices: tuple[str, ...]
    nested: Literal["refuse", "leave out"]


COLUMNS = Form("column", "a text", ("choices", "options"), "leave out")
KEYS = Form("key", "a text in quotes", ("options", "choices"), "refuse")


def find(record: Mapping[str, Any], names: Sequence[str], where: Where, form: Form) -> str:
    """Return the first of these names that a record has.

    Raises:
        DataError: it has none of them.
    """
    for name in names:
        if name in record:
            return name
    there = ", ".join(record) or "none"
    if form.part == "key":
        raise where.error(f"the key {names[0]!r} is missing; keys there: {there:.80}")
    raise where.error(f"no column {' or '.join(map(repr, names))}; columns: {there}")


def metadata_of(
    record: Mapping[str, Any], own: Collection[str], where: Where, form: Form
) -> dict[str, str]:
    """Turn what is no part of an item into its metadata, in texts.

    What is null or not a number (a missing value of a table) is left out.
    """
    metadata = {}
    for name, value in record.items():
        if name in own or value is None or (isinstance(value, float) and not math.isfinite(value)):
            continue
        if isinstance(value, (str, int, float)):
            # as JSON writes it
            metadata[name] = value if isinstance(value, str) else orjson.dumps(value).decode()
        elif form.nested == "refuse":
            raise where.error(f"{name!r} is {value!r:.40}; expected a text or a number")
    return metadata


def plain(text: str) -> str:
    """Bring a text to a form in which two that read the same are one."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def name_in_template(field: str) -> str:
    """Return what a template calls a field: `Customer text` is `Customer_text` there."""
    name = re.sub(r"\W", "_", field)
    return f"_{name}" if name[:1].isdigit() else name


def shots_for(item: Item, shots: Sequence[Item], k: int) -> tuple[Item, ...]:
    """Choose the `k` examples of an item: the first of its own subject, as MMLU is published.

    Where the item has no `subject`, or fewer than `k` examples share it, the first `k` of all.
    Every arm therefore sees the same examples in the same order.
    """
    subject = item.metadata.get("subject")
    if subject is not None:
        own = [shot for shot in shots if shot.metadata.get("subject") == subject][:k]
        if len(own) == k:
            return tuple(own)
    return tuple(shots[:k])
