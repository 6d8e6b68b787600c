"""Output whose reader has gone (`quantrial plan study.yaml | head -1`), or never was: no failure.

A command goes on as if somebody read it: a run is not stopped because a pager was closed, and the
exit code says what the command found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO, cast


class _Unread:
    """A text stream that goes on when its reader has gone; all else is the stream's own."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write; where nobody reads any more, into nothing."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._into_nothing()
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for text in lines:
            self.write(text)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._into_nothing()

    def _into_nothing(self) -> None:
        # what is still buffered goes there too, so that Python has nothing to complain of at exit
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def survive_broken_pipes() -> None:
    """Let standard output and standard error outlive their readers, or never have had one."""
    sys.stdout = cast("TextIO", _Unread(sys.stdout or _nowhere()))
    sys.stderr = cast("TextIO", _Unread(sys.stderr or _nowhere()))


def _nowhere() -> TextIO:
    """Open what takes the place of a stream that was closed before the command began (`>&-`)."""
    return Path(os.devnull).open("w", encoding="utf-8")


def flush_all() -> None:
    """Write what is buffered while somebody may still find fault with it quietly."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
