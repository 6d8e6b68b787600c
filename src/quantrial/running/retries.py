"""How long to wait before asking again, and when to stop asking."""

from __future__ import annotations

import os
from collections import Counter

from quantrial.errors import EngineError

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
