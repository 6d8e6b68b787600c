"""Engines that may have to fetch their model first, and say so before anything is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable


@runtime_checkable
class Fetching(Protocol):
    """An engine whose model can be missing where it runs, and fetched from elsewhere."""

    model: str  # as a study writes it

    def missing(self) -> bool:
        """Whether the model would have to be fetched."""
        ...

    def fetch_bytes(self) -> int | None:
        """Say how much that is; None where it cannot be found out. Fetches nothing."""
        ...

    def pull(self) -> Iterator[tuple[str, int, int]]:
        """Fetch it; yields what is being done, bytes done and bytes in all (0 while unknown)."""
        ...
