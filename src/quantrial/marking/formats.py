"""How a marked number is written: `pp`, `%`, `int`, `p`, ... and how many digits: `pp.2`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from quantrial.agreement import fixed
from quantrial.errors import FormatError
from quantrial.inert import clean
from quantrial.words import VERDICT_WORDS

_MINUS = "\N{MINUS SIGN}"

FORMATS = {
    "pp": "a difference in percentage points, signed: +1.6",
    "loss": "the size of a difference in percentage points: 1.6",
    "%": "a fraction in percent: 58.5",
    "x": "a number: 1.27",
    "int": "a whole number: 1,405",
    "p": "a p-value: .013, < .001",
    "MB": "bytes in millions: 145",
    "GB": "bytes in billions: 8.5",
    "verdict": "a verdict, as people read it: undecided",
    "text": "a text, as it stands",
}
_DIGITS = {"pp": 1, "loss": 1, "%": 1, "x": 2, "MB": 0, "GB": 1}
_NAMED = re.compile(r"(?P<name>pp|loss|%|x|int|p|MB|GB|verdict|text)(?:\.(?P<digits>\d))?")


def written(value: Any, form: str) -> str:
    """Write a value of a run's documents; a pair of numbers as an interval: `−2.6 to +2.6`.

    Raises:
        FormatError: there is no such format, or it does not fit the value.
    """
    match = _NAMED.fullmatch(form)
    if match is None or (match["digits"] and match["name"] not in _DIGITS):
        raise FormatError(f"{form!r} is no format; there are {', '.join(FORMATS)}")
    name = match["name"]
    digits = int(match["digits"]) if match["digits"] else _DIGITS.get(name, 0)
    if value is None:
        return "unknown"
    if name == "verdict":
        if value in VERDICT_WORDS:
            return VERDICT_WORDS[value]
        known = ", ".join(VERDICT_WORDS)
        raise FormatError(f"verdict needs one of {known}; {value!r:.60} is none")
    if name == "text":
        if isinstance(value, (str, bool)):
            return clean(str(value)).replace("<", "\\<")
        raise FormatError(f"text needs a text; {value!r:.60} is none")
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return " to ".join(written(end, form) for end in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FormatError(f"{form} needs a number; {value!r:.60} is none")
    return _number(float(value), name, digits)


def _number(value: float, name: str, digits: int) -> str:
    if name == "p":
        if value < 0.001:
            return "< .001"
        return "1" if value >= 0.9995 else fixed(value, 3).removeprefix("0")
    scale = {"pp": 100.0, "loss": 100.0, "%": 100.0, "MB": 1e-6, "GB": 1e-9}.get(name, 1.0)
    shown = fixed((abs(value) if name == "loss" else value) * scale, digits, "+,")
    zero = not re.search(r"[1-9]", shown)
    if zero or (name != "pp" and shown.startswith("+")):
        shown = shown[1:]
    return shown.replace("-", _MINUS)
