"""What every executor does, and what an attempt is. It records nothing and decides nothing.

The driver (`quantrial.running.session`) hands out jobs and takes their attempts back, in its own
thread. It alone writes the run folder, counts faults and says what is asked again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from quantrial.running.asking import Attempt, attempt

if TYPE_CHECKING:
    from quantrial.design.schedule import Call
    from quantrial.engines.base import Engine, Request
    from quantrial.running.waiting import Clock


@dataclass(frozen=True, slots=True)
class Job:
    """One call to carry out: ask it, or, where `rest` is not 0, wait so many seconds in its place.

    A call that failed keeps its slot while it rests, so that fewer calls meet a server in trouble.
    `waited` is how many seconds it has waited for a server that is gone, `gone` how many times in a
    row it met nobody.
    """

    call: Call
    request: Request
    prompt_hash: str
    rest: float = 0.0
    gone: int = 0
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class TimedAttempt:
    """What came of asking once, and when.

    `started` is the time of day; `took` is in seconds by the steady clock; `jumped` is how many
    seconds the time of day went on by itself meanwhile.
    """

    attempt: Attempt
    started: str
    took: float
    jumped: float


def timed_attempt(engine: Engine, request: Request, clock: Clock) -> TimedAttempt:
    """Ask once, and take the time.

    Raises:
        ModelChangedError: another model stands behind the arm than before.
    """
    started, wall, steady = clock.stamp(), clock.wall(), clock.steady()
    found = attempt(engine, request)
    took = clock.steady() - steady
    return TimedAttempt(found, started, took, clock.wall() - wall - took)


class Executor(AbstractContextManager["Executor"], Protocol):
    """Carries out the jobs of one arm at a time; leaving it ends what is under way."""

    def run(
        self, arm: str, jobs: Iterator[Job | None]
    ) -> Iterator[tuple[Job, TimedAttempt | None]]:
        """Yield each job with what came of it, None for one that rested.

        Args:
            arm: the arm.
            jobs: what to carry out. It depends on what was yielded before, so it is asked only for
                what can begin at once. None says that nothing can, before another job has come
                back; with none under way it is the end.

        Raises:
            ModelChangedError: another model stands behind the arm than before.
        """
        ...
