"""Quantities as people write them: 8GB, 500MiB, 2pp, 0.02, 300ms."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal

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
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0}
_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z%]*)\s*")
_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(\D*?)\s*")
_LONGEST = 40  # no quantity is written in more characters


def _read(text: str, what: str, option: str) -> tuple[str, str]:
    """Split a quantity into its number and its unit, in lower case.

    Raises:
        StudyError: it is none.
    """
    # the length first: the pattern goes back and forth over long runs of digits
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise StudyError(f"{_shown(text)} {what}", key=option)
    return match[1], match[2].lower()


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _LONGEST else f"{text[:_LONGEST]!r}..."


def parse_bytes(text: str, option: str) -> int:
    """Read a number of bytes; units are decimal (GB) or binary (GiB)."""
    what = "is no amount of memory; write it like 8GB or 500MiB"
    number, unit = _read(text, what, option)
    if unit not in _BYTES:
        raise StudyError(f"{_shown(text)} {what}", key=option)
    return round(float(number) * _BYTES[unit])


def parse_fraction(text: str, option: str) -> float:
    """Read a loss: `2pp` and `2%` are 0.02, a bare number is a fraction."""
    what = "is no loss; write it like 2pp or 0.02"
    number, unit = _read(text, what, option)
    if unit not in ("", "pp", "%"):
        raise StudyError(f"{_shown(text)} {what}", key=option)
    # decimal, so that 0.7pp is just what 0.007 is
    value = float(Decimal(number) / (100 if unit else 1))
    if value >= 1:
        way_out = "write less than 100pp" if unit else f"did you mean {number}pp?"
        raise StudyError(f"{text!r} is a loss of everything; {way_out}", key=option)
    return value


def parse_amount(text: str, unit: str) -> float:
    """Read an amount of something with a unit of its own: `2 edits`, or a bare number of them.

    Raises:
        StudyError: it is none, or is one of something else.
    """
    number, said = _AMOUNT.fullmatch(text[:_LONGEST]), f"{_shown(text)} is no amount of {unit}"
    if number is None or len(text) > _LONGEST:
        raise StudyError(f"{said}; write it like `2 {unit}`")
    other = " ".join(number[2].split())
    if other in ("%", "pp"):
        raise StudyError(f"{_shown(text)} is a share, and this is counted in {unit}: `2 {unit}`")
    if other.casefold() not in ("", unit.casefold(), unit.casefold().removesuffix("s")):
        raise StudyError(f"{said}: {other!r} is another unit; write it like `2 {unit}`")
    return float(number[1])


def parse_seconds(text: str, option: str) -> float:
    """Read a time: `300ms`, `2s`; a bare number is seconds."""
    what = "is no time; write it like 2s or 300ms"
    number, unit = _read(text, what, option)
    if unit not in ("", *_SECONDS):
        raise StudyError(f"{_shown(text)} {what}", key=option)
    return float(number) * _SECONDS[unit or "s"]


def parse_price(text: str, option: str) -> float:
    """Read a price: a bare number, in whatever currency."""
    what = "is no price; write a bare number, like 2.50"
    number, unit = _read(text, what, option)
    if unit:
        raise StudyError(f"{_shown(text)} {what}", key=option)
    return float(number)


def parse_named(
    given: Sequence[str], option: str, parse: Callable[[str, str], float]
) -> tuple[float | None, dict[str, float]]:
    """Read values of which some are for one name: `2pp`, `quiz=1pp`.

    Returns:
        The value without a name (the last one counts), and those by name.
    """
    common: float | None = None
    named: dict[str, float] = {}
    for one in given:
        name, is_named, value = one.rpartition("=")
        if is_named:
            named[name.strip()] = parse(value, option)
        else:
            common = parse(value, option)
    return common, named
