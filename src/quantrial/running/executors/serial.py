"""One call at a time, in the thread of the driver: an interrupt reaches the engine at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from quantrial.running.executors.base import Job, TimedAttempt, timed_attempt

if TYPE_CHECKING:
    from quantrial.engines.base import Engine
    from quantrial.running.waiting import Clock


class SerialExecutor:
    """Carries out one job after another."""

    def __init__(self, engines: Mapping[str, Engine], clock: Clock):
        self._engines = engines
        self._clock = clock

    def __enter__(self) -> SerialExecutor:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is under way."""

    def run(
        self, arm: str, jobs: Iterator[Job | None]
    ) -> Iterator[tuple[Job, TimedAttempt | None]]:
        """Yield each job with what came of it, as `Executor.run`."""
        while (job := next(jobs, None)) is not None:
            if job.rest:
                self._clock.sleep(job.rest)
                yield job, None
            else:
                yield job, timed_attempt(self._engines[arm], job.request, self._clock)
