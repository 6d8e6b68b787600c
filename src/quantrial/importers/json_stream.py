"""Large JSON, read from a stream: the values that are wanted, the others passed over.

A log may hold hundreds of megabytes of events, pictures or prompts around a few scores. Memory
holds a piece of the stream and the value that is being taken, never the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol

from quantrial.errors import DataError
from quantrial.importers.log_rows import parse_log
from quantrial.tasks.rows import Where

_PIECE = 1 << 20  # bytes read at a time
_LONGEST_KEY = 1 << 16
_DEEPEST = 1000  # levels; deeper values are none of a log
_BLANK = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb"[^\s,\]}\"\[{]*+")
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
# all up to the next bracket, whole strings with it; it stops before a string that does not end here
_FLAT = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)


class Readable(Protocol):
    """What yields bytes: a file, or a member of an archive."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""


class JsonStream:
    """A JSON text that is read once, from its start to its end.

    Stand at a value; then take it, or go through what it holds. Of what `members` and `elements`
    yield, a value that was not taken is passed over.

    Attributes:
        where: what errors name.
        cut: whether the value that was taken last was too large.
    """

    def __init__(self, file: Readable, where: Where) -> None:
        self.where = where
        self._file = file
        self._piece = b""
        self._at = 0
        self._kept: bytearray | None = None
        self._from = 0
        self._most = 0
        self._values = 0  # that were begun, to see whether one was taken
        self.cut = False
        if self._more() and self._piece.startswith(b"\xef\xbb\xbf"):
            self._at = 3

    def starts_with(self, mark: bytes) -> bool:
        """Whether the next value starts so, with `{` or `[`."""
        return self._next() == mark

    def members(self) -> Iterator[str]:
        """Yield the names of an object's members; at each, its value is next."""
        for _ in self._parts(b"{", b"}"):
            name = self._value(_LONGEST_KEY)
            if not isinstance(name, str) or self._next() != b":":
                raise self._error("expected a name and a colon")
            self._at += 1
            yield from self._one(name)

    def elements(self) -> Iterator[int]:
        """Yield the numbers of a list's elements, from 1; at each, its value is next."""
        for number in self._parts(b"[", b"]"):
            yield from self._one(number)

    def take(self, most: int) -> Any:
        """Read the next value; of more bytes than that, None, and it is `cut`."""
        self._values += 1
        return self._value(most)

    def _one(self, part: Any) -> Iterator[Any]:
        before = self._values
        yield part
        if self._values == before:
            self._pass()

    def _parts(self, start: bytes, end: bytes) -> Iterator[int]:
        """Stand at each part of an object or list."""
        self._values += 1
        if self._next() != start:
            raise self._error(f"expected {start.decode()}")
        self._at += 1
        number = 0
        while (mark := self._next()) != end or number:
            if number:
                if mark == end:
                    break
                if mark != b",":
                    raise self._error(f"expected a comma or {end.decode()}")
                self._at += 1
                self._next()
            number += 1
            yield number
        self._at += 1

    def _value(self, most: int) -> Any:
        self._next()
        self._kept, self._from, self._most = bytearray(), self._at, most
        self._pass()
        kept, self._kept = self._kept, None
        self.cut = kept is None or len(kept) + self._at - self._from > most
        if kept is None or self.cut:
            return None
        return parse_log(bytes(kept + self._piece[self._from : self._at]), self.where)

    def _more(self) -> bool:
        """Read another piece; what is behind goes, except what is kept."""
        data = self._file.read(_PIECE)
        if self._kept is not None:
            self._kept += self._piece[self._from : self._at]
            self._from = 0
            if len(self._kept) > self._most:
                self._kept = None
        self._piece = self._piece[self._at :] + data
        self._at = 0
        return bool(data)

    def _next(self) -> bytes:
        """Go to the next byte that is no blank, and return it."""
        while True:
            found = _BLANK.match(self._piece, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._piece):
                return self._piece[self._at : self._at + 1]
            if not self._more():
                raise self._error("ends too early")

    def _pass(self) -> None:
        mark = self._next()
        if mark == b'"':
            self._at += 1
            self._pass_string()
        elif mark in b"{[":
            self._at += 1
            self._pass_inside()
        elif mark in b",:]}":
            raise self._error("expected a value")
        else:
            self._to_end_of(_SCALAR)

    def _pass_string(self) -> None:
        """Pass over the rest of a string and the mark at its end."""
        while True:
            self._at = self._end_of(_IN_STRING)
            if self._piece[self._at : self._at + 1] == b'"':
                self._at += 1
                return
            if not self._more():
                raise self._error("ends in a text")

    def _pass_inside(self) -> None:
        """Pass over the rest of an object or list, and all that it holds."""
        depth = 1
        while depth:
            self._at = self._end_of(_FLAT)
            mark = self._piece[self._at : self._at + 1]
            if not mark:
                if not self._more():
                    raise self._error("ends too early")
                continue
            self._at += 1
            if mark == b'"':
                self._pass_string()
            else:
                depth += 1 if mark in b"{[" else -1
            if depth > _DEEPEST:
                raise self._error("is nested too deeply")

    def _to_end_of(self, pattern: re.Pattern[bytes]) -> None:
        while True:
            self._at = self._end_of(pattern)
            if self._at < len(self._piece) or not self._more():
                return

    def _end_of(self, pattern: re.Pattern[bytes]) -> int:
        found = pattern.match(self._piece, self._at)
        return found.end() if found else self._at

    def _error(self, said: str) -> DataError:
        return self.where.error(f"is no JSON ({said})")
