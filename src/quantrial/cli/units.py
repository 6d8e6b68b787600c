"""Quantities as people write them: 8GB, 500MiB, 2pp, 0.02."""

from __future__ import annotations

import re

from quantrial.errors import StudyError

_BYTES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z%]*)\s*")


def parse_bytes(text: str, option: str) -> int:
    """Read a number of bytes; units are decimal (GB) or binary (GiB)."""
    match = _QUANTITY.fullmatch(text)
    if match is None or not match[2] or match[2].lower() not in _BYTES:
        raise StudyError(
            f"{text!r} is no amount of memory; write it like 8GB or 500MiB", key=option
        )
    return round(float(match[1]) * _BYTES[match[2].lower()])


def parse_fraction(text: str, option: str) -> float:
    """Read a loss: `2pp` and `2%` are 0.02, a bare number is a fraction."""
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2].lower() not in ("", "pp", "%"):
        raise StudyError(f"{text!r} is no loss; write it like 2pp or 0.02", key=option)
    value = float(match[1]) / (100 if match[2] else 1)
    if value >= 1:
        raise StudyError(
            f"{text!r} is a loss of everything; did you mean {match[1]}pp?", key=option
        )
    return value
