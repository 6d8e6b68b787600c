"""Whether the arms of a study fit in memory: each alone, and all at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that each arm takes (weights and KV cache), and what the machine has left.

    An arm that a server holds already takes nothing.
    None stands for what is not known. `one_at_a_time` says that the engine of some arm holds one
    model only, whatever there is room for.
    """

    each: Mapping[str, int | None]
    available: int | None
    one_at_a_time: bool

    @property
    def needed(self) -> int | None:
        """Bytes that are needed at once: of all arms, or of the largest where one is held."""
        sizes = [size for size in self.each.values() if size is not None]
        if len(sizes) < len(self.each):
            return None
        return max(sizes, default=0) if self.one_at_a_time else sum(sizes)

    @property
    def together(self) -> bool | None:
        """Whether all arms can be in memory at once; None where that is not known."""
        if self.one_at_a_time:
            return False
        if self.needed is None or self.available is None:
            return None
        return self.needed <= self.available

    @property
    def too_large(self) -> tuple[str, ...]:
        """The arms that do not fit even alone."""
        if self.available is None:
            return ()
        return tuple(
            arm for arm, size in self.each.items() if size is not None and size > self.available
        )


def memory_of(arms: Mapping[str, Mapping[str, Any]], available: int | None) -> Memory:
    """Add up what arms take in memory.

    Args:
        arms: the manifest's record of each arm.
        available: bytes that are free for them; None where that is not known.
    """
    return Memory(
        each={name: _bytes(arm) for name, arm in arms.items()},
        available=available,
        one_at_a_time=any(arm.get("one_at_a_time") for arm in arms.values()),
    )


def _bytes(arm: Mapping[str, Any]) -> int | None:
    if arm.get("resident"):
        return 0
    weights = arm.get("bytes_on_disk")
    return None if weights is None else int(weights) + int(arm.get("kv_bytes") or 0)
