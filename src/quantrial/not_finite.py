"""JSON with numbers that are not finite, which Python writes and JSON lacks: read as missing."""

from __future__ import annotations

import json
import math
from typing import Any


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
        return json.loads(data, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None
