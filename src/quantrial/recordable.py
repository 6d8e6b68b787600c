"""Values of foreign programs as JSON that every reader can read: the one place that makes them so.

What came over a wire can hold halves of pairs of UTF-16, numbers that no JSON reader has, or
objects of a program. Each becomes the nearest value that can be written down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_DEEPEST = 100  # levels; orjson writes no more than 254, and a record has some of its own
_LARGEST = 2**63  # the first whole number that some readers of JSON do not have
_MOST_BITS = 10_000  # of a whole number that is written out


def readable(text: str) -> str:
    """Replace what cannot be written as UTF-8 (halves of pairs) by question marks."""
    return text.encode("utf-8", "replace").decode()


def recordable(value: Any, *, _depth: int = 0) -> Any:
    """Return a value of JSON that can be written down and read again; the same where it is one.

    Halves of pairs become `?`, a number that is not finite null, a whole number beyond 64 bits and
    anything else its text, and what is nested over 100 levels deep a note of that.
    """
    if value is None or isinstance(value, bool | str | int | float):
        return _plain(value)
    if _depth >= _DEEPEST:
        return "nested too deeply to be kept"
    if isinstance(value, Mapping):
        return {
            readable(str(name)): recordable(one, _depth=_depth + 1) for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [recordable(one, _depth=_depth + 1) for one in value]
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    return readable(str(value))


def _plain(value: bool | str | float | None) -> bool | str | float | None:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool):
        return value
    return int(value) if -_LARGEST <= value < _LARGEST else _large(value)


def _large(number: int) -> str:
    bits = number.bit_length()
    return str(number) if bits <= _MOST_BITS else f"a whole number of {bits:,} bits"
