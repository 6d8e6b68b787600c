"""Draws that follow from a seed under any version of any library.

A schedule is drawn again whenever a run goes on or is verified, perhaps years later and with
another numpy, whose generators do not promise the same stream for ever. SHA-256 does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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
