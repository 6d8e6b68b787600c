"""Micro-F1 over the fields of a JSON object, as the scorer `json` counts them.

Each item has so many fields with a right value. A field is right (a hit), wrong (invented and
missed), missing, or invented where there is no right value. A candidate's answer that changes has
one or more fields changed, or cannot be read at all. Written after the correction of F1 was chosen.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.integer[Any]]
Answers = tuple[Numbers, Numbers, Numbers, Numbers, Numbers]  # gold; hits, invented; both after


def _values(n: int, fields: int, absent: float, rng: np.random.Generator) -> tuple[Numbers, ...]:
    """How many fields have a right value, how many of them are hit, how many are invented."""
    gold = rng.binomial(fields, 1.0 - absent, n)
    # some documents are harder than others
    hits = rng.binomial(gold, rng.beta(6.0, 1.5, n))
    wrong = rng.binomial(gold - hits, 0.8)
    return gold, hits, wrong + rng.binomial(fields - gold, 0.05)


def _changed(
    gold: Numbers, hits: Numbers, invented: Numbers, lost: Numbers, mended: Numbers
) -> tuple[Numbers, Numbers]:
    """Hits that turn into wrong values, and wrong values that are mended."""
    lost, mended = np.minimum(lost, hits), np.minimum(mended, np.minimum(invented, gold - hits))
    return hits - lost + mended, invented + lost - mended


def _invoices(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """Five fields; a value or two go wrong, and in one change of four one is mended."""
    gold, hits, invented = _values(n, 5, 0.0, rng)
    up = rng.random(n) < 0.25
    step = rng.geometric(0.7, n)
    after, extra = _changed(gold, hits, invented, np.where(up, 0, step), np.where(up, step, 0))
    return gold, hits, invented, np.where(moves, after, hits), np.where(moves, extra, invented)


def _broken(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """The same, and one change of eight is no JSON any more: all is missed."""
    gold, hits, invented, after, extra = _invoices(n, moves, rng)
    gone = moves & (rng.random(n) < 1 / 8)
    return gold, hits, invented, np.where(gone, 0, after), np.where(gone, 0, extra)


def _forms(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """Twelve fields, a third without a value; changes fill such fields in, or lose several."""
    gold, hits, invented = _values(n, 12, 0.35, rng)
    lost = rng.binomial(hits, rng.beta(0.5, 2.0, n))
    filled = rng.binomial(12 - gold, 0.2)
    mended = np.where(rng.random(n) < 0.3, 1, 0)
    after, extra = _changed(gold, hits, invented, lost, mended)
    return (
        gold,
        hits,
        invented,
        np.where(moves, after, hits),
        np.where(moves, extra + filled, invented),
    )


FIELDS: dict[str, Callable[[int, NDArray[np.bool_], np.random.Generator], Answers]] = {
    "invoices": _invoices,
    "broken": _broken,
    "forms": _forms,
}
