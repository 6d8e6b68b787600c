"""Options of an engine, checked once at the door: unknown names and wrong values are refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from quantrial.errors import StudyError
from quantrial.registry import hint_of, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOUNS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    list: "a list",
    dict: "a mapping",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option: the type of its value, what it is when not said, its smallest value, or all."""

    type: type
    default: Any = None
    low: float | None = None
    choices: tuple[str, ...] = ()


def read_options(
    given: Mapping[str, Any], known: Mapping[str, Option], *, key: str
) -> dict[str, Any]:
    """Return every known option with its value, filling in defaults.

    Raises:
        StudyError: an unknown option (naming the nearest known one), or a value of the wrong type,
            below the smallest allowed, or not among those allowed; `key` is where the options stand
            in the study.
    """
    for name in given:
        if name not in known:
            hint = hint_of(str(name), known, "options here: ")
            raise StudyError(f"unknown option; {hint}", key=f"{key}.{name}")
    return {
        name: _checked(given[name], option, key=f"{key}.{name}")
        if given.get(name) is not None
        else option.default
        for name, option in known.items()
    }


def _checked(value: Any, option: Option, *, key: str) -> Any:
    if option.type is str and isinstance(value, date):
        value = value.isoformat()  # YAML makes a day of 2026-11-30
    # bool is an int in Python, and never what a number means in a study file
    numeric = option.type is float and isinstance(value, int)
    fits = isinstance(value, option.type) or numeric
    if not fits or (isinstance(value, bool) and option.type is not bool):
        noun = _NOUNS.get(option.type, f"a {option.type.__name__}")
        raise StudyError(f"expected {noun}, got {value!r:.60}", key=key)
    if option.low is not None and value < option.low:
        raise StudyError(f"should be at least {option.low:g}, got {value!r}", key=key)
    if option.choices and value not in option.choices:
        near = nearest(str(value), option.choices)
        hint = f"; did you mean {near!r}?" if near else ""
        raise StudyError(
            f"expected one of {', '.join(option.choices)}; got {value!r:.60}{hint}", key=key
        )
    return option.type(value) if numeric else value
