"""What every part of a typed document is made of."""

from __future__ import annotations

from typing import Literal

import msgspec

Number = int | float
"""A number of JSON: which of the two it was is kept, so that it is written back the same."""

Interval = tuple[Number | None, Number | None]
"""Lower and upper end; None where there is none."""


Direction = Literal["higher", "lower"]
Against = Literal["gold", "reference"]
"""Which values are better."""


def turned(value: Number | None) -> Number | None:
    """Return a difference with the other sign."""
    return None if value is None else 0 - value


def turned_ends(ends: Interval) -> Interval:
    """Return an interval of the difference with the other sign."""
    return turned(ends[1]), turned(ends[0])


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One object of a document. Attributes are its keys; one with a default is a key left out."""


class Estimate(Part, frozen=True, kw_only=True):
    """An estimate with its interval, and the `n` items, answers or blocks that it is from."""

    estimate: Number | None
    ci: Interval
    confidence: Number | None
    method: str
    n: int

    def limit(self, end: int) -> Number | None:
        """Return an end of the interval (0, 1); the estimate where there is none."""
        known = None if self.estimate is None else self.ci[end]
        return self.estimate if known is None else known

    def at_floor(self, floor: float | None, direction: Direction = "higher") -> bool:
        """Whether this is not shown to be better than the floor: a loss could not show there.

        `floor` is what takes no skill; None where even the worst value has one beyond it.
        """
        end = self.limit(1 if direction == "lower" else 0)
        if end is None or floor is None:
            return False
        return end >= floor if direction == "lower" else end <= floor
