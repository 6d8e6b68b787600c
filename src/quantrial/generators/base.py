"""What a generator of items is, and what it draws with.

A generator makes any number of items, no two alike, that follow from a seed alone. It also says how
a right answer reads, how the same reads in other words, and how damage reads that low precision is
reported to do: so a study can be tried for what it would see before a model is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from quantrial.records import canonical_json

_Value = TypeVar("_Value")
Row = dict[str, Any]


class Draw:
    """Random numbers from SHA-256 over a name: the same under any version of any library."""

    def __init__(self, *names: object):
        self._name, self._count = "\n".join(map(str, names)), 0

    def share(self) -> float:
        """Draw a number from 0 up to 1."""
        self._count += 1
        digest = hashlib.sha256(f"{self._name}\n{self._count}".encode()).digest()
        return int.from_bytes(digest[:6]) / 2**48

    def number(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both among them."""
        return low + int(self.share() * (high - low + 1))

    def one(self, values: Sequence[_Value]) -> _Value:
        """Draw one of some values."""
        return values[self.number(0, len(values) - 1)]

    def some(self, values: Sequence[_Value], count: int) -> list[_Value]:
        """Draw so many different ones of some values, in an order that is drawn too."""
        keyed = sorted((self.share(), at) for at in range(len(values)))
        return [values[at] for _, at in keyed[:count]]


@dataclass(frozen=True, slots=True)
class Generator:
    """One sort of items.

    Attributes:
        task: the keys of a task of free text: `prompt`, `score`, `max_tokens`, ...
        groups: the groups that items take by turns, under the key `group`.
        make: makes an item of a group; a row with `gold` and what the prompt shows. Names with `_`
            are the generator's own, and no part of the item.
        right: writes a right answer.
        reworded: writes the same answer otherwise: white space, order of keys, "1,200" for 1200.
        damaged: writes an answer with the damage that is reported.
        hurt: the groups in which damage is reported.
        suits: the smallest model that gets some of it right, for the page.
        context: tokens that the longest item and its answer take, roughly.
        margin: what a study around it is written with.
    """

    task: Mapping[str, Any]
    groups: Sequence[str]
    make: Callable[[str, Draw], Row]
    right: Callable[[Row], str]
    reworded: Callable[[Row, Draw], str]
    damaged: Callable[[Row, Draw], str]
    hurt: Sequence[str]
    suits: str
    context: int = 1024
    margin: float = 0.02

    def control(self, row: Row, *, seed: int, share: float = 0.06) -> str:
        """Answer as an arm that is damaged on purpose, in so many of all items.

        Drawn by the seed among the groups in which damage is reported; all else is right.
        """
        draw = Draw("control", seed, row["id"])
        hurt = len(self.hurt) / len(self.groups)
        if row["group"] in self.hurt and draw.share() < share / hurt:
            return self.damaged(row, draw)
        return self.right(row)

    def twin(self, row: Row, *, seed: int) -> str:
        """Answer as an arm that says the same in other words."""
        return self.reworded(row, Draw("twin", seed, row["id"]))

    def rows(self, count: int, seed: int) -> list[Row]:
        """Make so many items, the groups by turns; no two have the same content."""
        rows: list[Row] = []
        seen = set[bytes]()
        for at in range(count):
            group = self.groups[at % len(self.groups)]
            for attempt in range(1000):
                row = self.make(group, Draw("items", seed, at, attempt))
                key = canonical_json({k: v for k, v in row.items() if not k.startswith("_")})
                if key not in seen:
                    seen.add(key)
                    rows.append({**row, "id": f"{at + 1:05}", "group": group})
                    break
            else:
                raise ValueError(f"there are no {count} different items of the group {group!r}")
        return rows


def wrong_digit(text: str, draw: Draw) -> str:
    """Change one digit of a text into another."""
    places = [at for at, sign in enumerate(text) if sign.isdigit()]
    at = draw.one(places)
    other = draw.one([digit for digit in "123456789" if digit != text[at]])
    return f"{text[:at]}{other}{text[at + 1 :]}"


def with_commas(number: int) -> str:
    """Write a whole number with commas between thousands."""
    return f"{number:,}"
