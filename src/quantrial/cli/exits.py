"""How a command ends when something is wrong: one line, and a status."""

from __future__ import annotations

import sys
from typing import NoReturn

from quantrial.errors import QuantrialError


def fail(exc: QuantrialError, code: int) -> NoReturn:
    """Print an error as one line and leave: 1, what was checked does not hold; 2, bad input."""
    print(f"error: {exc}", file=sys.stderr)
    sys.exit(code)
