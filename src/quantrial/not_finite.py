"""JSON with numbers that are not finite, which Python writes and JSON lacks: read as missing."""

from __future__ import annotations

import json
import math
from typing import Any

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
