"""In which order the arms are asked: pure, and decided before the first call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One planned question: `order` is its global position, `block` its run of items."""

    order: int
    block: int
    task: str
    item: str
    arm: str
    replicate: int = 0


def round_robin(
    items: Mapping[str, Sequence[str]], arms: Sequence[str], *, seed: int
) -> tuple[Call, ...]:
    """Ask every item of every arm before the next item, the arm order rotated from item to item.

    Each arm takes each position in turn, so none always follows a rest or a busy moment. The first
    order is drawn from the seed. A block is one item. Tasks follow one another.

    Args:
        items: item ids by task, in the order they are asked.
        arms: names of the arms.
        seed: the study's.
    """
    first = sorted(arms, key=lambda arm: hashlib.sha256(f"{seed}\0{arm}".encode()).digest())
    calls: list[Call] = []
    block = 0
    for task, ids in items.items():
        for item in ids:
            turn = block % len(first)
            for arm in (*first[turn:], *first[:turn]):
                calls.append(Call(len(calls), block, task, item, arm))
            block += 1
    return tuple(calls)
