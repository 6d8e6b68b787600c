"""Values of YAML: what a text without quotes stands for, and whether all readers agree on it.

Values are those of YAML 1.2's core schema. Many programs read YAML 1.1, where `1:30` is 90 and `no`
is false: what the two versions read as different values is refused, with what to write instead.

References:
    YAML 1.2.2, chapter 10.3, https://yaml.org/spec/1.2.2/#103-core-schema
    YAML 1.1 types, https://yaml.org/type/
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from quantrial.inert import clean

PREFIX = "tag:yaml.org,2002:"
_LONGEST_SHOWN = 40
_INT_BITS = 63
_NULL = {"", "~", "null", "Null", "NULL"}


class ValueNotReadError(Exception):
    """A scalar stands for no value that is read; the message says why, without a place."""


def _in_any_case(words: dict[str, bool]) -> dict[str, bool]:
    return {
        form: value
        for word, value in words.items()
        for form in (word, word.capitalize(), word.upper())
    }


_BOOL = _in_any_case({"true": True, "false": False})
_BOOL_1_1 = _in_any_case({"yes": True, "no": False, "on": True, "off": False})
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# A number of YAML 1.2 that YAML 1.1 may take for a text.
NUMBER_1_2 = re.compile(f"(?:{_FLOAT.pattern}|{_OCTAL.pattern})$")
_LONE = re.compile("[\ud800-\udfff]")


def plain_value(text: str) -> Any:
    """Resolve a scalar without quotes.

    Raises:
        ValueNotReadError: two versions of YAML differ on it, or it is no finite number, or no
            integer of 64 bits.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _NOT_FINITE.fullmatch(text):
        raise ValueNotReadError(f"is {text}; a finite number is needed")
    check_alike(text)
    if _DECIMAL.fullmatch(text):
        return _integer(text, 10)
    if _HEXADECIMAL.fullmatch(text):
        return _integer(text, 16)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueNotReadError(f"is {shown(text)}, too large for a number")
        return value
    return whole_text(text)


def tagged_value(text: str, name: str) -> Any:
    """Resolve a scalar whose tag says what it is: `int`, `float`, `bool`, `null` or `str`.

    Raises:
        ValueNotReadError: it is not that.
    """
    if name == "str":
        return whole_text(text)
    value = plain_value(text)
    if name == "float" and type(value) is int:
        return float(value)
    if type(value) is not {"int": int, "float": float, "bool": bool, "null": type(None)}[name]:
        raise ValueNotReadError(f"is {shown(text)}, which is no !!{name}")
    return value


def whole_text(text: str) -> str:
    """Return a text that can be written as UTF-8 and handed to any program.

    Raises:
        ValueNotReadError: it holds a NUL, or half of a character.
    """
    if "\0" in text:
        raise ValueNotReadError("holds a NUL character, which no text here may")
    if _LONE.search(text):
        # JSON writes a character beyond the first 65,536 as two escapes
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if lone := _LONE.search(text):
            code = f"\\u{ord(lone[0]):04x}"
            raise ValueNotReadError(f"holds {code}, half of a character; write it whole")
    return text


def check_alike(text: str, *, as_key: bool = False) -> None:
    """Refuse what YAML 1.1 and 1.2 read as different values, with what to write instead.

    Args:
        text: a scalar without quotes.
        as_key: it is a key, so that no number or boolean can be meant.

    Raises:
        ValueNotReadError: they differ.
    """
    readings = _readings(text)
    if readings is None:
        return
    old, new = (one or "a text" for one in readings)
    ways = [f"'{shown(text)}' in quotes"]
    if not as_key:
        ways.append(" or ".join(dict.fromkeys(one for one in readings if one)))
    raise ValueNotReadError(
        f"{shown(text)} is {old} in YAML 1.1 and {new} in YAML 1.2; write {', or '.join(ways)}"
    )


def shown(text: str) -> str:
    """Cut a text to what a message has room for."""
    text = clean(text[: _LONGEST_SHOWN + 1])
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _integer(text: str, base: int) -> int:
    digits = text.removeprefix("0x").lstrip("+-0")
    # longer ones are not even converted: that takes a time of its own
    value = int(text, base) if len(digits) <= _INT_BITS else None
    if value is None or not -(2**_INT_BITS) <= value < 2**_INT_BITS:
        raise ValueNotReadError(f"is {shown(text)}, which does not fit into 64 bits")
    return value


def _readings(text: str) -> tuple[str | None, str | None] | None:
    """Say what a plain scalar is in YAML 1.1 and in 1.2, None for a text; None where they agree."""
    if text in _BOOL_1_1:
        return str(_BOOL_1_1[text]).lower(), None
    if _OCTAL.fullmatch(text):
        return None, _number(text, 8)
    new = _number(text, 10) if _DECIMAL.fullmatch(text) else None
    if new is None and (_FLOAT.fullmatch(text) or _HEXADECIMAL.fullmatch(text)):
        return None  # YAML 1.1 takes 1e3 for a text, and nobody means one
    old = _number_1_1(text)
    return None if old == new else (old, new)


def _number(text: str, base: int) -> str:
    """Write a whole number as decimal digits, or say that it is one where it is long."""
    return "a number" if len(text) > _LONGEST_SHOWN else str(int(text, base))


def _number_1_1(text: str) -> str | None:
    """Write what YAML 1.1 takes for a number, as PyYAML reads it; None where it is none."""
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    if tag not in (PREFIX + "int", PREFIX + "float"):
        return None
    if len(text) > _LONGEST_SHOWN:
        return "a number"
    node = yaml.ScalarNode(tag, text)
    try:
        if tag == PREFIX + "int":
            return str(_CONSTRUCTOR.construct_yaml_int(node))
        return repr(_CONSTRUCTOR.construct_yaml_float(node))
    except ValueError:  # `0x_` is a number without digits
        return "a number"


_RESOLVER: Any = yaml.resolver.Resolver()
_CONSTRUCTOR = yaml.constructor.SafeConstructor()
