"""What every part of a typed document is made of."""

from __future__ import annotations

import msgspec

Number = int | float
"""A number of JSON: which of the two it was is kept, so that it is written back the same."""

Interval = tuple[Number | None, Number | None]
"""Lower and upper end; None where there is none."""


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

    def at_floor(self, chance: float | None) -> bool:
        """Whether this is not shown to be above chance: a loss against it could not show."""
        least = self.limit(0)
        return least is not None and least <= (chance or 0.0)
