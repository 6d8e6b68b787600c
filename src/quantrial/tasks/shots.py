"""Which solved examples stand before an item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantrial.records import Item


def shots_for(item: Item, shots: Sequence[Item], k: int) -> tuple[Item, ...]:
    """Choose the `k` examples of an item: the first of its own subject, as MMLU is published.

    Where the item has no `subject`, or fewer than `k` examples share it, the first `k` of all.
    Every arm therefore sees the same examples in the same order.
    """
    subject = item.metadata.get("subject")
    if subject is not None:
        own = [shot for shot in shots if shot.metadata.get("subject") == subject][:k]
        if len(own) == k:
            return tuple(own)
    return tuple(shots[:k])
