"""The executors of this package: the calls of an arm one after another, or several at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from quantrial.running.asking import Job, TimedAttempt, timed_attempt

if TYPE_CHECKING:
    from quantrial.engines.base import Engine
    from quantrial.running.waiting import Clock

GRACE = 5.0  # seconds that calls have to end in after an interrupt, so that they are recorded


class SerialExecutor:
    """Carries out one job after another, in the driver's thread, so that it can be interrupted."""

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


class ThreadExecutor:
    """Carries out up to `slots` jobs at once, each in a thread."""

    def __init__(self, engines: Mapping[str, Engine], clock: Clock, slots: int):
        self._engines = engines
        self._clock = clock
        self._slots = slots
        self._stopping = threading.Event()

    def __enter__(self) -> ThreadExecutor:
        self._stopping.clear()
        self._pool = ThreadPoolExecutor(self._slots, thread_name_prefix="slot")
        return self

    def __exit__(self, *exc: object) -> None:
        """Take no more results: calls still under way end when their engine is closed."""
        self._stopping.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def run(
        self, arm: str, jobs: Iterator[Job | None]
    ) -> Iterator[tuple[Job, TimedAttempt | None]]:
        """Yield each job with what came of it as it comes, as `Executor.run`."""
        under_way: dict[Future[TimedAttempt | None], Job] = {}
        while True:
            while len(under_way) < self._slots and (job := next(jobs, None)) is not None:
                under_way[self._pool.submit(self._carry_out, arm, job)] = job
            if not under_way:
                return
            interrupt = None
            try:
                done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt as exc:  # another one ends it at once
                interrupt = exc
                self._stopping.set()
                done, _ = wait(under_way, GRACE)
            # answers before an error that ends the run, so that they are recorded
            for future in sorted(done, key=lambda one: one.exception() is not None):
                yield under_way.pop(future), future.result()
            if interrupt is not None:
                raise interrupt

    def _carry_out(self, arm: str, job: Job) -> TimedAttempt | None:
        if job.rest:
            self._clock.wait(self._stopping, job.rest)
            return None
        return timed_attempt(self._engines[arm], job.request, self._clock)
