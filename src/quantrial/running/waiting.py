"""Time and trouble: the clocks of a run, how long it waits before it asks again, when it stops.

Servers can be gone for a while: started anew, or not ready yet. Nothing listens, connections break
off before anything was asked, or a proxy answers 502 or 503. What fails so says nothing of the
call: it does not count against the attempts a call has, nor for the breaker, until the study's
`restart_timeout` is over.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from quantrial.engines.replies import REPEAT_LIMIT, ends_in_repeats
from quantrial.errors import EngineError

if TYPE_CHECKING:
    from threading import Event

    from quantrial.running.asking import Attempt


LONGEST = 10.0  # seconds between two attempts: who waits for a server wants to see it come back


def wait_for_server(times: int, retry_after: float | None) -> float:
    """Say how many seconds to wait for a server that was gone so many times in a row."""
    seconds = wait_before(times, retry_after)
    return seconds if retry_after is not None else min(seconds, LONGEST)


class Outages:
    """Since when the server of each arm is gone."""

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
        return max(self._clock.steady() - self._since[arm][0], waited) < self._timeout

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


FIRST_WAIT = 1.0  # seconds
FACTOR = 3.0
LONGEST_WAIT = 60.0
# A server may ask for longer; an hour's silence would look like a run that hangs.
LONGEST_ASKED = 300.0

# An arm that fails this often in a row will go on failing; the study stops while little is lost.
BREAKER = 10


def wait_before(attempt: int, retry_after: float | None) -> float:
    """Say how many seconds to wait after a failed attempt.

    What the other side asked for is waited for, up to a limit; else 1 s, 3 s, 9 s and so on, up to
    a minute, and up to half as long again: clients that failed together do not come back together.
    The jitter is drawn by the system and not from the study's seed, since a delay touches no
    answer, and two runs of one study would else knock in step.

    Args:
        attempt: how many attempts have failed, from 1.
        retry_after: seconds the other side asked for, where it did.
    """
    if retry_after is not None:
        return min(max(retry_after, 0.0), LONGEST_ASKED)
    jitter = int.from_bytes(os.urandom(4)) / 2**32
    return min(FIRST_WAIT * FACTOR ** (attempt - 1), LONGEST_WAIT) * (1 + jitter / 2)


# Why an answer ended that its server breaks off at the same place whenever it is asked for.
BROKEN_OFF = "broken_off"


@dataclass(frozen=True, slots=True)
class _Ending:
    """How an attempt failed; `text` is what had come of an answer, None where that is not known."""

    error: str | None
    text: tuple[str, str | None] | None = None


class Endings:
    """Remembers how attempts failed, to tell a fault of the machinery from one of the answer.

    A server that hands over the same text each time, and breaks off at the same place, does so for
    what stands there (a loop that it ends without a word, characters that it cannot write). To
    leave such an item out would leave out the answers that show damage. Only calls that failed and
    are not answered are remembered, so little is kept.
    """

    def __init__(self) -> None:
        self._seen: defaultdict[int, list[_Ending]] = defaultdict(list)

    def restore(self, at: int, status: str, error: str | None) -> None:
        """Take note of an attempt of an earlier session, of which only the error was recorded."""
        if status == "engine_error":
            self._seen[at].append(_Ending(error))
        elif status == "ok":
            self._seen.pop(at, None)

    def note(self, at: int, found: Attempt, *, last: bool) -> Attempt:
        """Take note of an attempt at call `at`; turn it into an answer where that is what it is.

        It is where the `last` attempt broke off with as much of an answer as at least one before
        it, and none of the others broke off elsewhere. The answer is a truncated one and ends by
        `broken_off`, or by `repeat_limit` where it goes round in circles.
        """
        if found.status != "engine_error":
            self._seen.pop(at, None)
            return found
        partial = found.partial
        if partial is None:
            return found
        text = (partial.output, partial.thought)
        earlier, unknown = self._seen[at], (None, found.error)
        # one whose text is not known and that failed with the same words, which say the place
        alike = [one for one in earlier if text == one.text or unknown == (one.text, one.error)]
        astray = [one for one in earlier if one.text not in (None, text)]
        earlier.append(_Ending(found.error, text))
        if not last:
            return found
        del self._seen[at]
        if astray or not alike:
            return found
        why = REPEAT_LIMIT if ends_in_repeats(partial.output) else BROKEN_OFF
        whole = replace(partial, finish_reason=why, at_limit=False)
        return replace(found, reply=whole, status="ok", error=None, final=True, partial=None)


class Breaker:
    """Counts faults in a row on each arm, and stops the run at too many.

    With several slots one crash takes all calls that are under way along, so each slot has its own
    allowance.
    """

    def __init__(self, slots: int):
        self._limit = BREAKER * slots
        self._in_a_row: Counter[str] = Counter()

    def watch(self, arm: str, status: str, error: str | None) -> None:
        """Take note of an attempt.

        Raises:
            EngineError: the arm failed too often in a row.
        """
        # an overflow is the prompt's doing, and says nothing of the engine
        if status in ("ok", "context_overflow"):
            self._in_a_row[arm] = 0
            return
        self._in_a_row[arm] += 1
        if self._in_a_row[arm] >= self._limit:
            raise EngineError(
                f"arm {arm!r} failed {self._limit} times in a row, last with: {error}. The run "
                "stops here; what is recorded is kept. Once the cause is mended, the same command "
                "goes on, and `quantrial run --retry-faults` asks again what ended in a fault"
            )
