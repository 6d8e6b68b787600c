"""Whether numbers are the same: what is stored beside what is derived again, maybe elsewhere.

Linear algebra gives other last bits on another kind of processor, by up to some 1e-11 of a number.
The one rule of what counts as the same stands here, and so does how numbers are rounded before they
reach a page or a drawing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# half a unit in the ninth significant digit: a change there is always found
_RELATIVE = 5e-10
# what is left where numbers of ordinary size cancel; a probability never comes of cancelling
_NOTHING = 1e-14
# digits of a number in a text, of one that a page computes with, and of one that is drawn
_TEXT_DIGITS = 12
TABLE_DIGITS = 10
DRAWING_DIGITS = 7
_FINGERPRINT_DIGITS = 6
_LISTS = (list, tuple)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two documents differ: the keys that lead there, and both values.

    A value is `ABSENT` where one of the documents has none.
    """

    path: tuple[str | int, ...]
    recorded: Any
    derived: Any

    @property
    def key(self) -> str:
        """The place as one dotted key: `tasks.quiz.contrasts[2].estimate`."""
        said = ""
        for step in self.path:
            said += f"[{step}]" if isinstance(step, int) else f".{step}" if said else step
        return said


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


def same(one: Any, other: Any, *, probability: bool = False) -> bool:
    """Whether two values are the same: numbers within half a unit of the ninth digit, else equal.

    Args:
        one: a value. Whole numbers are the same only if they are equal.
        other: the other value.
        probability: whether they are probabilities, which are told apart however small they are.
    """
    if not (_is_number(one) and _is_number(other)):
        return type(one) is type(other) and bool(one == other)
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    floor = 0.0 if probability else _NOTHING
    return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=floor)


def differences(recorded: Any, derived: Any) -> Iterator[Difference]:
    """Compare a recorded document with the derived one, key by key."""
    return _differences((), recorded, derived, probability=False)


def as_recorded(recorded: Any, derived: Any) -> Any:
    """Return the derived document, with each number as it is recorded where the two are the same.

    What is made of the result is then the same as what was made of the recorded numbers, wherever
    they are derived again.
    """
    return _as_recorded(recorded, derived, probability=False)


def rounded(value: float, digits: int = _TEXT_DIGITS) -> float:
    """Round a number to significant digits, so that its last bits decide nothing."""
    return float(f"{value:.{digits}g}")


def fixed(value: float, digits: int, form: str = "") -> str:
    """Write a number with so many decimals, the same on every kind of processor.

    A number half way between two texts is rounded before it is written: 12.249999999999998 and
    12.250000000000002 are both 12.25.

    Args:
        value: the number.
        digits: how many decimals.
        form: what stands before the decimals in Python's form: `+`, `,` or both.
    """
    return format(rounded(value), f"{form}.{digits}f")


def all_rounded(document: Any, digits: int) -> Any:
    """Round every number of a document that is not whole to significant digits."""
    if isinstance(document, Mapping):
        return {key: all_rounded(value, digits) for key, value in document.items()}
    if isinstance(document, _LISTS):
        return [all_rounded(value, digits) for value in document]
    return rounded(document, digits) if isinstance(document, float) else document


def fingerprint(document: Any) -> str:
    """Name a document by what it says; the same wherever it was derived."""
    said = all_rounded(document, _FINGERPRINT_DIGITS)
    # outside text may hold half of a character, which the faster encoder refuses
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def _differences(
    path: tuple[str | int, ...], recorded: Any, derived: Any, *, probability: bool
) -> Iterator[Difference]:
    if isinstance(recorded, Mapping) and isinstance(derived, Mapping):
        for name in dict.fromkeys([*recorded, *derived]):
            yield from _differences(
                (*path, name),
                recorded.get(name, ABSENT),
                derived.get(name, ABSENT),
                probability=_holds_p(name, derived.get(name)) or probability,
            )
    elif isinstance(recorded, _LISTS) and isinstance(derived, _LISTS):
        if len(recorded) != len(derived):
            yield Difference(path, f"{len(recorded)} entries", len(derived))
        for i, (one, other) in enumerate(zip(recorded, derived, strict=False)):
            yield from _differences((*path, i), one, other, probability=probability)
    elif not same(recorded, derived, probability=probability):
        yield Difference(path, recorded, derived)


def _as_recorded(recorded: Any, derived: Any, *, probability: bool) -> Any:
    if isinstance(recorded, Mapping) and isinstance(derived, Mapping):
        return {
            name: _as_recorded(
                recorded.get(name, ABSENT),
                value,
                probability=_holds_p(name, value) or probability,
            )
            for name, value in derived.items()
        }
    if isinstance(recorded, _LISTS) and isinstance(derived, _LISTS):
        if len(recorded) != len(derived):
            return derived
        pairs = zip(recorded, derived, strict=True)
        return [_as_recorded(*pair, probability=probability) for pair in pairs]
    return recorded if same(recorded, derived, probability=probability) else derived


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _holds_p(name: str, value: Any) -> bool:
    """Whether a key holds a p (`p_value`, `equivalence_p`), or those of several tests by name.

    An arm may be called `p` too: what stands under its name are no numbers alone.
    """
    if "p" not in name.split("_"):
        return False
    if isinstance(value, Mapping):
        return all(one is None or _is_number(one) for one in value.values())
    return True
