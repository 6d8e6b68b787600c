"""A row of the table of a pick, as it would be were its estimate another."""

from __future__ import annotations

import math
from typing import Any

from quantrial.decision.pick import loss_ruled_out
from quantrial.decision.words import Document


def shifts(row: Document, tolerated: float | None) -> list[float]:
    """List by how much an estimate must move for a bound to pass what is tolerated, least first.

    Where test and bound disagree, how far the estimate is from it is not known.
    """
    bar = row["margin"] if tolerated is None else tolerated
    found = []
    for among, level in enumerate((row, *row.get("among", ())), 1):
        kept = loss_ruled_out(row, tolerated, among)
        if level["bound"] is not None and kept == (level["bound"] > -bar):
            bound = -bar if kept else math.nextafter(-bar, 0.0)
            found.append(bound - level["bound"])
    return sorted(found, key=abs)


def moved(row: Document, by: float) -> dict[str, Any]:
    """Return a row whose estimate and bounds are another by so much."""
    levels = [_level_moved(level, row["margin"], by) for level in row.get("among", ())]
    return {
        **row,
        **_level_moved(row, row["margin"], by),
        "estimate": row["estimate"] + by,
        **({"among": levels} if levels else {}),
    }


def _level_moved(level: Document, margin: float, by: float) -> dict[str, Any]:
    if level["bound"] is None:
        return {"bound": None, "holds": level["holds"]}
    bound = level["bound"] + by
    return {"bound": bound, "holds": bound > -margin}
