"""Engines whose server decides by itself how many models it holds in memory."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Sharing(Protocol):
    """An engine that can ask its server whether the model is in memory, and have it loaded anew."""

    def in_memory(self) -> bool:
        """Whether the model is in memory now; loads nothing."""
        ...

    def reload(self) -> float:
        """Have the model unloaded and loaded again; return the seconds that loading took."""
        ...
