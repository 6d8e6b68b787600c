"""JSON read strictly, and values of foreign programs as JSON that every reader can read.

A file is UTF-8 and holds no key twice, whose first value would be lost. What came over a wire can
hold halves of pairs of UTF-16, numbers that no JSON reader has, or objects of a program: each
becomes the nearest value that can be written down, and a number that is not finite is missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from quantrial.errors import RecordError

_DIGITS = 20  # of the largest whole number of 64 bits, or of the smallest with its sign


def read_with_nulls(data: bytes, said: Exception) -> Any:
    """Read what strict JSON refused for a number that is not finite alone, each such as null.

    NaN, Infinity, and numbers beyond the largest float. None where the data are no JSON even so.

    Args:
        data: one JSON text.
        said: why it was refused.
    """
    if b"NaN" not in data and b"Infinity" not in data and "infinity" not in str(said):
        return None
    try:
        return json.loads(data, parse_constant=_finite, parse_float=_finite, parse_int=whole_number)
    except (ValueError, RecursionError):
        return None


def whole_number(number: str) -> int | float | None:
    """Read a whole number of JSON so that it can be written again.

    Beyond 64 bits it is the nearest float, beyond the largest float None. To be handed to
    `json.loads` as `parse_int`: of a million digits Python makes no number, or takes an hour for
    it.
    """
    if len(number) <= _DIGITS and -(2**63) <= (value := int(number)) < 2**64:
        return value
    return _finite(number)


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


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
        try:
            refuse_lost(data)
        except ValueError as exc:
            raise RecordError(str(exc), path=path, line=line) from exc
    return value


def _as_written(value: Any, data: bytes) -> bool:
    """Whether this is a line as this package writes it: nothing stands in it that was not read."""
    try:
        return orjson.dumps(value) == data.removesuffix(b"\r")
    except TypeError:  # nested more deeply than is ever written
        return False


def refuse_lost(data: str | bytes, parse_int: Callable[[str], Any] = str) -> None:
    """Refuse JSON that was read and of which something was lost.

    Raises:
        ValueError: an object holds a key twice, it is nested too deeply to look, or `parse_int`
            refuses a whole number.
    """

    def pairs(found: list[tuple[str, Any]]) -> None:
        seen = set[str]()
        for key, _ in found:
            if key in seen:
                raise ValueError(f"the key {key!r:.60} occurs twice")
            seen.add(key)

    try:
        json.loads(data, object_pairs_hook=pairs, parse_int=parse_int)
    except RecursionError as exc:
        raise ValueError("not valid JSON: nested too deeply") from exc


def exact_whole(number: str) -> None:
    """Refuse a whole number beyond 64 bits, of which a reader makes the nearest float.

    Raises:
        ValueError: it is one.
    """
    if len(number) > _DIGITS or not -(2**63) <= int(number) < 2**64:
        raise ValueError(
            f"the whole number {number:.30} is beyond 64 bits and would be rounded; write it in "
            "quotes"
        )
