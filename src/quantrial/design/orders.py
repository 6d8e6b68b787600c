"""Orders of arms within blocks, balanced so that drift and carry-over touch all arms alike.

They follow from a seed under any version of any library: a schedule is drawn again whenever a run
goes on or is verified, perhaps years later and with another numpy, whose generators do not promise
the same stream for ever. SHA-256 does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol


class Drawing(Protocol):
    """What orders are drawn with: `Draws`, or a generator of numpy."""

    def random(self) -> float:
        """Draw a number from 0 up to 1."""
        ...

    def permutation(self, x: int, /) -> Iterable[Any]:
        """Draw an order of the numbers below `x`."""
        ...


class Draws:
    """Numbers from SHA-256 over a seed, a name and a count."""

    def __init__(self, seed: int, what: str):
        self._seed = f"{seed}\n{what}\n"
        self._count = 0

    def random(self) -> float:
        """Draw a number from 0 up to 1."""
        self._count += 1
        digest = hashlib.sha256(f"{self._seed}{self._count}".encode()).digest()
        return int.from_bytes(digest[:6]) / 2**48

    def permutation(self, x: int, /) -> list[int]:
        """Draw an order of the numbers below `x`."""
        keys = [(self.random(), i) for i in range(x)]
        return [i for _, i in sorted(keys)]


def williams(k: int) -> tuple[tuple[int, ...], ...]:
    """Return the rows of a Williams design for `k` treatments, as numbers 0 to k - 1.

    Every treatment takes every position equally often, and follows every other equally often [1]_:
    k rows where k is even, twice as many where it is odd.

    References:
        .. [1] Williams, E. J. (1949). Experimental designs balanced for the estimation of residual
           effects of treatments. Australian Journal of Scientific Research A 2, 149-168.
    """
    # 0, k-1, 1, k-2, ...: neighbours of the first row differ by every number once
    zigzag = [i // 2 if i % 2 == 0 else k - (i + 1) // 2 for i in range(k)]
    rows = [tuple((first + shift) % k for first in zigzag) for shift in range(k)]
    if k % 2:
        rows += [row[::-1] for row in rows]
    return tuple(rows)


def balanced_orders(
    arms: Sequence[str], blocks: int, *, rng: Drawing
) -> tuple[tuple[str, ...], ...]:
    """Give each block an order of the arms, drawn at random and balanced over the blocks.

    Blocks come in pairs of an order and its reverse (ABBA for two arms), so that a linear drift
    cancels within each pair; the orders run through a Williams design before one comes again.

    Args:
        arms: names of the arms.
        blocks: how many blocks there are.
        rng: draws which arm is which treatment, and the order of the design's rows.
    """
    names = [arms[i] for i in rng.permutation(len(arms))]
    # a reversed row of an even design is a row of it too, so half of the rows stand for all
    rows = williams(len(names))
    halves = [row for i, row in enumerate(rows) if row[::-1] not in rows[:i]]
    orders: list[tuple[str, ...]] = []
    while len(orders) < blocks:
        for i in rng.permutation(len(halves)):
            row = tuple(names[j] for j in halves[i])
            orders += [row, row[::-1]] if rng.random() < 0.5 else [row[::-1], row]
    return tuple(orders[:blocks])
