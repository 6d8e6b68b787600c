"""Servers that are gone for a while: started anew, or not ready yet. A run waits for them.

Nothing listens, connections break off before anything was asked, or a proxy answers 502 or 503.
What fails so says nothing of the call: it does not count against the attempts a call has, nor for
the breaker, until the study's `restart_timeout` is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantrial.errors import EngineError
from quantrial.running.retries import wait_before

if TYPE_CHECKING:
    from quantrial.running.clock import Clock

LONGEST = 10.0  # seconds between two attempts: who waits for a server wants to see it come back


def wait_for_server(times: int, retry_after: float | None) -> float:
    """Say how many seconds to wait for a server that was gone so many times in a row."""
    seconds = wait_before(times, retry_after)
    return seconds if retry_after is not None else min(seconds, LONGEST)


class Outages:
    """Since when the server of each arm is gone. Callers hold the session's lock."""

    def __init__(self, timeout: float, clock: Clock):
        """Wait for each server up to `timeout` seconds; 0 to wait for none."""
        self.notes: list[str] = []
        self._timeout = timeout
        self._clock = clock
        self._since: dict[str, tuple[float, str]] = {}

    def begins(self, arm: str, error: str | None) -> str | None:
        """Take note that a server is gone; say so where that is new, and how long it may be."""
        if arm in self._since or not self._timeout:
            return None
        self._since[arm] = self._clock.steady(), self._clock.stamp()
        return f"{arm}: {error}. Waiting for it, for up to {self._timeout:g} s"

    def lasts(self, arm: str, waited: float) -> bool:
        """Whether a server that is gone is still to be waited for.

        Args:
            arm: the arm that it serves.
            waited: seconds that the asking call has waited for it already.
        """
        if arm not in self._since:
            return False
        gone = self._clock.steady() - self._since[arm][0]
        return max(gone, waited) < self._timeout

    def ends(self, arm: str) -> None:
        """Take note that a server answers."""
        if (since := self._since.pop(arm, None)) is not None:
            gone = self._clock.steady() - since[0]
            self.notes.append(
                f"the server of {arm} was gone for {gone:.0f} s from {since[1]} on: it was waited "
                "for, and calls that met nobody were asked again"
            )

    def given_up(self, arm: str, error: str | None) -> EngineError:
        """Make the error of a server that did not come back."""
        return EngineError(
            f"the server of arm {arm!r} did not come back within {self._timeout:g} s, last with: "
            f"{error}. The run stops here; what is recorded is kept. Once it is back, the same "
            "command goes on; `restart_timeout` under `design` says how long to wait"
        )
