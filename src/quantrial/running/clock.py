"""The two clocks of a run: one that says what time it is, one that only goes forward."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threading import Event

# A wall clock that differs from the steady one by more than this was set, or the machine slept.
JUMP = 5.0


class Clock:
    """Time as the machine has it; tests put another one in its place.

    Durations are taken from the steady clock alone. It stands still while a machine sleeps (on
    Linux and macOS), and does not care when the time of day is set.
    """

    def wall(self) -> float:
        """Seconds since 1970, as the machine believes."""
        return time.time()

    def steady(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Do nothing for a while."""
        time.sleep(seconds)

    def wait(self, event: Event, seconds: float) -> None:
        """Do nothing for a while, or until an event is set."""
        event.wait(seconds)

    def stamp(self) -> str:
        """The time of day in UTC, to the millisecond."""
        moment = datetime.fromtimestamp(self.wall(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
