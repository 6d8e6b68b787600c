"""Which arms are in memory: all of them, or the one that is asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from quantrial.engines.settled import seconds_of
from quantrial.running.arms import naming

if TYPE_CHECKING:
    from quantrial.engines.base import Engine


class Residence:
    """Loads arms before they are asked, and unloads the others where they do not fit together."""

    def __init__(self, engines: Mapping[str, Engine], *, together: bool):
        self._engines = engines
        self._together = together
        self._loaded: set[str] = set()
        self._untold: dict[str, float] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.loads: Counter[str] = Counter()

    def ready(self, arm: str) -> None:
        """Have an arm loaded, and where one is held at a time, every other one unloaded first."""
        if arm in self._loaded:
            return  # an arm that died is loaded again by its next call
        if not self._together:
            for other in self._loaded - {arm}:
                self._engines[other].close()
            self._loaded &= {arm}
        with naming(arm, self._engines[arm]):
            seconds = seconds_of(self._engines[arm].start()) or 0.0
        self._loaded.add(arm)
        if seconds > 0:
            self._untold[arm] = seconds
            self._count(arm, seconds)

    def told(self, arm: str, seconds: float | None) -> float | None:
        """Return the load that an answer of an arm came after, None where it followed another.

        `seconds` is what the engine itself says: it also loads an arm again that died.
        """
        mine = self._untold.pop(arm, None)
        if mine is None and seconds is not None:
            self._count(arm, seconds)
        return mine if seconds is None else seconds

    def _count(self, arm: str, seconds: float) -> None:
        self.seconds[arm] += seconds
        self.loads[arm] += 1
