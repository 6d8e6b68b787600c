"""How a command ends: a file written, or one line on what is wrong, and a status."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

from quantrial.cli.terminal import line
from quantrial.errors import StudyError


def write_text(path: Path, text: str) -> None:
    """Write what was asked for into a file, and say so."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise StudyError(f"cannot be written ({exc.strerror})", path=path) from exc
    line(f"{path} written")


def fail(exc: Exception, code: int) -> NoReturn:
    """Print an error as one line and leave: 1, what was checked does not hold; 2, bad input."""
    line(f"error: {exc}", error=True)
    sys.exit(code)
