"""What every reader makes: checked rows, and where each came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantrial.errors import DataError
from quantrial.tasks.choice import LETTERS


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


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader found: rows, examples, and the files they are in by the hash of their bytes."""

    id: str
    rows: Sequence[Row]
    shots: Sequence[Row] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = None


def read_text(path: Path) -> tuple[str, str]:
    """Read a UTF-8 file; return its text without a byte order mark, and the SHA-256 of its bytes.

    Raises:
        DataError: the file is missing, unreadable, empty, or not UTF-8 (with byte and line).
    """
    try:
        data = path.read_bytes()
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


def choice_row(
    question: str, options: Sequence[str], answer: int, metadata: Mapping[str, str], where: Where
) -> Row:
    """Check the parts of a multiple-choice item and make its row; `answer` is an index from 0."""
    if not question.strip():
        raise where.error("the question is empty")
    if not 2 <= len(options) <= len(LETTERS):
        raise where.error(f"{len(options)} options; 2 to {len(LETTERS)} are needed")
    if empty := [
        letter for letter, text in zip(LETTERS, options, strict=False) if not text.strip()
    ]:
        raise where.error(f"option {empty[0]} is empty")
    if not 0 <= answer < len(options):
        raise where.error(
            f"the answer is index {answer}, but there are {len(options)} options: "
            f"0 to {len(options) - 1} is possible"
        )
    content = {"question": question, "options": list(options)}
    return Row(content, LETTERS[answer], metadata, where)


def letter_index(letter: str, options: int, where: Where) -> int:
    """Turn an answer's letter into its index, checking that there is such an option."""
    index = LETTERS.find(letter.strip().upper()) if len(letter.strip()) == 1 else -1
    if not 0 <= index < options:
        raise where.error(
            f"the answer is {letter!r:.40}; with {options} options it is a letter from A to "
            f"{LETTERS[max(options, 1) - 1 : options] or LETTERS[-1]}"
        )
    return index


def repeated_option(row: Row) -> str | None:
    """Return the first option text that an item lists twice."""
    seen: set[str] = set()
    for option in row.content.get("options", ()):
        if (bare := option.strip()) in seen:
            return str(bare)
        seen.add(bare)
    return None
