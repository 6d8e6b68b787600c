"""A number in the text: its grouped digits, currency, percent, fraction and exponent are read."""

from __future__ import annotations

import decimal
import math
import re
import unicodedata
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from pydantic import Field

from quantrial.scorers.base import Said, Score, Scorer, ScorerPart
from quantrial.tasks.base import Endpoint

Mark = Literal["point", "comma"]

NUMERIC_MATCH = Endpoint(
    "numeric_match",
    "proportion",
    {"correct": 1.0},
    meaning="The share of answers whose number is right, within the tolerance.",
)

_MOST = 1000  # digits of a number, and the largest power of ten beside it
_MINUS = "-−–－"  # noqa: RUF001
_GAPS = "'’\u00a0\u2009\u202f"  # what groups digits, whatever the decimal mark is
_DIGITS = rf"\d++(?:[.,{_GAPS}]\d++)*+"
# The whole of what could be one number, so that no part of it is ever taken for another one: of
# "1.5.2024" nothing is read, and "3/4/2024" is no fraction. Nothing repeats what it gives back.
_TOKEN = re.compile(
    rf"(?=[{_MINUS}+\d.,$€£¥₹])(?<![A-Za-z_\d\u00c0-\u024f^])(?<!\d[.,])(?<!\^\{{)(?:(?<![\w)])(?P<sign>[{_MINUS}+]))?"
    rf"(?:[$€£¥₹]\s?(?P<inner>[{_MINUS}+])?)?(?P<digits>{_DIGITS}|(?<![\w.,])[.,]\d++)"
    rf"(?:e(?P<exponent>[{_MINUS}+]?\d++))?"
    r"(?:(?:\s?(?:[×x*·⋅]|\\times|\\cdot)\s?(?P<ten>10))?\s?\^\s?\{?"
    rf"(?P<power>[{_MINUS}+]?\d++)\}}?)?"
    r"(?:\s(?P<upper>\d++)(?=\s?/\s?\d))?"
    rf"(?P<below>(?:\s?/\s?{_DIGITS})*+)"
    r"(?P<percent>\s?(?:[%％٪]|per\s?cent\b))?",  # noqa: RUF001
    re.IGNORECASE,
)
_FRACTION = re.compile(r"\\[dt]?frac\s?\{\s?(-?\d++)\s?\}\s?\{\s?(\d++)\s?\}")
_BOXED = re.compile(r"\$?\\boxed\{(.*)\}\$?")  # of a gold that is one, in TeX
_CURRENCY = re.compile(r"\A[A-Z]{3}\s+|\s*[$€£¥₹]\Z|\s+[A-Z]{3}\Z")
_JOINED = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞]|\\[dt]?frac)")  # a whole number and its fraction
_ONE_CHARACTER = {
    place: unicodedata.normalize("NFKC", chr(place)).replace("\u2044", "/")
    for place in (*range(0xBC, 0xBF), *range(0x2150, 0x215F))
} | {0x2044: "/"}
_EXACT = decimal.Context(prec=4 * _MOST, Emax=10 * _MOST, Emin=-10 * _MOST, traps=[])


def _grouped(comma: str, point: str) -> re.Pattern[str]:
    gap = f"[{comma}{_GAPS}]"
    western = rf"(?!0)\d{{1,3}}(?P<gap>{gap})\d{{3}}(?:(?P=gap)\d{{3}})*+"
    indian = rf"(?!0)\d{{1,2}}(?:{comma}\d\d(?!\d))++{comma}\d{{3}}"
    return re.compile(rf"(?P<whole>{western}|{indian}|\d++)?(?:{point}(?P<part>\d++))?")


_FORMS: Mapping[Mark, re.Pattern[str]] = {
    "point": _grouped(",", r"\."),
    "comma": _grouped(r"\.", ","),
}


class NumberReader:
    """Reads numbers of texts, exactly.

    `mark` is what stands before decimals: a `point`, as in 1,234.5, or a `comma`, as in 1.234,5.
    With `share`, 12 % is 0.12 and not 12.
    """

    def __init__(self, mark: Mark = "point", *, share: bool = False):
        self._form = _FORMS[mark]
        self._share = share

    def read(self, text: str, take: Literal["last", "first"] = "last") -> Fraction | None:
        """Read the last or first number of a text; None where there is none.

        Nor is one read of what only looks like a number: a date, a version, digits grouped
        otherwise, a division by zero, more than 1,000 digits. Time is linear in the text's length.
        """
        tokens = _TOKEN.finditer(_prepared(text))
        one = next(tokens, None) if take == "first" else next(iter(deque(tokens, maxlen=1)), None)
        return None if one is None else self._value(one)

    def exact(self, value: Any) -> Fraction:
        """Return a number of JSON, or of a text that holds nothing else but a currency.

        A text may be a worked solution that ends in `#### 72`, as those of GSM8K, or the mark of a
        final answer in TeX, boxed. A float is the shortest decimal number that it stands for: 0.1
        is one tenth.

        Raises:
            ValueError: it is none, or has more than 1,000 digits.
        """
        if isinstance(value, int) and not isinstance(value, bool):
            if value.bit_length() > 3 * _MOST:
                raise ValueError(f"a whole number of {value.bit_length():,} bits is too large")
            return Fraction(value)
        if isinstance(value, float) and math.isfinite(value):
            return Fraction(repr(value))
        given = value
        if isinstance(value, str):
            value = value.rpartition("####")[2]
            if boxed := _BOXED.fullmatch(value.strip()[: 3 * _MOST]):
                value = boxed[1]
        if isinstance(value, str) and len(value) < 3 * _MOST:
            bare = _CURRENCY.sub("", _prepared(value).strip())
            token = _TOKEN.fullmatch(bare)
            if token and (found := self._value(token)) is not None:
                return found
        raise ValueError(f"{given!r:.40} is no number; expected one such as 12, 0.5 or '3/4'")

    def _value(self, token: re.Match[str]) -> Fraction | None:
        value = self._plain(token["digits"])
        below = [one.strip() for one in token["below"].split("/")[1:]]
        if value is None or len(below) > 1 or (token["exponent"] and token["power"]):
            return None
        if token["power"] and token["ten"] is None:
            if value != 10:  # a power of another number is left to be worked out
                return None
            value = Fraction(1)
        if written_power := token["exponent"] or token["power"]:
            if (power := _power(written_power)) is None:
                return None
            value *= Fraction(10) ** power
        if below:
            divisor, upper = self._plain(below[0]), self._plain(token["upper"] or "0")
            if not divisor or upper is None:
                return None
            value = value + upper / divisor if token["upper"] else value / divisor
        if self._share and token["percent"]:
            value /= 100
        signs = (token["sign"] or "") + (token["inner"] or "")
        return -value if sum(sign in _MINUS for sign in signs) == 1 else value

    def _plain(self, digits: str) -> Fraction | None:
        if len(digits) > 2 * _MOST or not (form := self._form.fullmatch(digits)):
            return None
        whole, part = re.sub(r"\D", "", form["whole"] or ""), form["part"] or ""
        if len(whole) + len(part) > _MOST:
            return None
        return Fraction(int(whole + part), 10 ** len(part))


def _prepared(text: str) -> str:
    return _FRACTION.sub(r"\1/\2", _JOINED.sub(" ", text)).translate(_ONE_CHARACTER)


def written(value: Fraction) -> str:
    """Write a number as a decimal one where that is exact, else as a fraction in lowest terms."""
    _EXACT.clear_flags()
    quotient = _EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))
    if _EXACT.flags[decimal.Inexact]:
        return f"{value.numerator}/{value.denominator}"
    plain = quotient.normalize(_EXACT)
    return f"{plain:f}" if -7 < plain.adjusted() < 21 else str(plain)


def near(found: Fraction, gold: Fraction, absolute: float, relative: float = 0.0) -> bool:
    """Whether a number is right within the larger of two tolerances, exactly."""
    widest = max(Fraction(repr(absolute)), Fraction(repr(relative)) * abs(gold))
    return abs(found - gold) <= widest


def _power(text: str) -> int | None:
    if len(text) > 9:
        return None
    power = int(text.lstrip(_MINUS + "+"))
    if power > _MOST:
        return None
    return -power if text[0] in _MINUS else power


class NumberPart(ScorerPart):
    """A number of the answer equals the right one, within a tolerance.

    Read are 1,234 and 1'234, $5, 12 %, 3/4, 1 1/2, -2, 1e3 and 2 × 10^3. Words and units are left
    out: "5 million" is 5. The right number is a number, or a text that holds nothing else,
    or one after `####`, as in GSM8K.
    """

    scorer: Literal["number"]
    abs: float = Field(default=0.0, ge=0)
    """How far a right answer may be off."""
    rel: float = Field(default=0.0, ge=0)
    """The same as a share of the right number: 0.01 is one percent of it. The larger one counts."""
    take: Literal["last", "first"] = "last"
    """Which number of an answer counts."""
    decimal: Mark = "point"
    """The decimal mark: `point` as in 1,234.5, `comma` as in 1.234,5."""
    percent: Literal["number", "share"] = "number"
    """What 12 % is: the `number` 12, or the `share` 0.12."""


class Number(Scorer):
    """Whether the answer's number is right."""

    part = NumberPart
    compares = True
    endpoints = (NUMERIC_MATCH,)
    right = NUMERIC_MATCH.name

    def __init__(self, spec: NumberPart):
        super().__init__(spec)
        self._reader = NumberReader(spec.decimal, share=spec.percent == "share")

    def check(self, gold: Any) -> None:
        """Refuse what is no finite number."""
        self._reader.exact(gold)

    def schema(self) -> Mapping[str, Any]:
        """Hold decoding to a number of JSON."""
        return {"type": "number"}

    def as_gold(self, text: str, said: Said) -> Any:
        """Return the number of an answer, as a text."""
        if (found := self._reader.read(text, self.spec.take)) is None:
            raise ValueError("it names no number")
        return written(found)

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """1 for a number within the tolerance, else 0."""
        found = self._reader.read(text, self.spec.take)
        if found is None:
            return Score({"correct": 0.0}, parsed=False)
        right = near(found, self._reader.exact(gold), self.spec.abs, self.spec.rel)
        return Score({"correct": float(right)}, answer=written(found))
