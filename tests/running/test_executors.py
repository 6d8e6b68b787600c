"""Executors carry calls out, in whatever order and number; what is recorded does not hang on it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import wait
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.engines.base import Engine
from quantrial.running import executors, session
from quantrial.running.asking import Executor, Job, TimedAttempt, attempt, timed_attempt
from quantrial.running.executors import SerialExecutor
from quantrial.running.waiting import Clock
from studies import arm, read_lines, write_study

REPLIES = ["A", "B", "no letter"]
OF_TIME = ("timing", "started_at")  # what differs between two runs of one study


class BackwardsExecutor(SerialExecutor):
    """Takes up to four calls and carries them out last one first."""

    def __init__(self, engines: Mapping[str, Engine], clock: Clock):
        super().__init__(engines, clock)
        self.batches: list[int] = []

    def run(
        self, arm: str, jobs: Iterator[Job | None]
    ) -> Iterator[tuple[Job, TimedAttempt | None]]:
        while batch := list(islice(iter(lambda: next(jobs, None), None), 4)):
            self.batches.append(len(batch))
            for job in reversed(batch):
                engine = self._engines[arm]
                yield job, None if job.rest else timed_attempt(engine, job.request, self._clock)


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> list[BackwardsExecutor]:
    made: list[BackwardsExecutor] = []

    def factory(slots: int, engines: Mapping[str, Engine], clock: Clock) -> Executor:
        made.append(BackwardsExecutor(engines, clock))
        return made[-1]

    monkeypatch.setattr(session, "executor_for", factory)
    return made


def records(run: Path) -> list[dict[str, Any]]:
    found = [r for path in (run / "responses").glob("*.jsonl") for r in read_lines(path)]
    kept = [{key: r[key] for key in r.keys() - set(OF_TIME)} for r in found]
    return sorted(kept, key=lambda r: (r["order"], r["attempt"]))


def test_another_executor_gives_the_same_recorded_run(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    arms = {name: arm(name, 1, REPLIES) for name in ("f16", "q8_0")}
    study = write_study(tmp_path, arms=arms, design={"repeat_reference": 4})
    quantrial.run(study, out=tmp_path / "serial")
    made: list[BackwardsExecutor] = request.getfixturevalue("backwards")
    quantrial.run(study, out=tmp_path / "backwards")
    assert made
    assert records(tmp_path / "backwards") == records(tmp_path / "serial")
    summaries = [quantrial.analyze(tmp_path / name) for name in ("serial", "backwards")]
    assert summaries[0]["tasks"] == summaries[1]["tasks"]


def test_another_executor_asks_faults_again_and_loses_nothing(
    tmp_path: Path, backwards: list[BackwardsExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "sleep", lambda self, seconds: None)
    # arms that do not fit together are asked in long turns, so that there is something to turn
    broken = arm("q8", 10**15, ["A"], faults=[{"call": 9, "times": 2}, {"call": 20, "times": 1}])
    arms = {"f16": arm("f16", 10**15, ["A"]), "q8_0": broken}
    study = write_study(tmp_path, arms=arms, design={"repeat_reference": 0})
    result = quantrial.run(study, out=tmp_path / "run")
    assert (result.recorded, result.faulted) == (result.planned, 0)
    assert max(backwards[0].batches) == 4
    found = records(tmp_path / "run")
    assert [r["status"] for r in found].count("engine_error") == 3
    answered = [r["order"] for r in found if r["status"] == "ok"]
    assert answered == list(range(result.planned))


def test_an_interrupt_loses_no_answer_that_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting(futures: Any, timeout: float | None = None, **options: Any) -> Any:
        waits.append(timeout)
        if len(waits) == 3:
            raise KeyboardInterrupt
        return wait(futures, timeout, **options)

    def attempting(*args: Any) -> Any:
        asked.append(1)
        time.sleep(0.05)
        return attempt(*args)

    waits: list[float | None] = []
    asked: list[int] = []
    monkeypatch.setattr(executors, "wait", waiting)
    monkeypatch.setattr("quantrial.running.asking.attempt", attempting)
    arms = {name: arm(name, 1, REPLIES) for name in ("f16", "q8_0")}
    study = write_study(tmp_path, arms=arms, design={"slots": 4})
    with pytest.raises(KeyboardInterrupt):
        quantrial.run(study, out=tmp_path / "run")
    assert waits[3] == executors.GRACE
    assert len(records(tmp_path / "run")) == len(asked) >= 4
