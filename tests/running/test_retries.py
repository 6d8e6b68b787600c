"""Asking again: when, how often, and what is counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.errors import EngineError
from quantrial.running.prepare import OpenStudy
from quantrial.running.runner import run_study
from quantrial.running.waiting import BREAKER, Breaker, Clock, wait_before
from quantrial.study import parse_study
from studies import QUESTIONS, arm, read_lines, write_study


class FakeClock(Clock):
    """A clock that sleeps at once, and remembers for how long."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.now = 1_000_000.0
        self.offset = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def steady(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.offset


def run_with(clock: Clock, study: Path, folder: Path) -> Any:
    text = study.read_text()
    return run_study(OpenStudy(parse_study(text), text, study.parent), folder=folder, clock=clock)


def faulty(tmp_path: Path, *faults: dict[str, Any], **design: Any) -> Path:
    """Write a study whose candidate fails as told."""
    return write_study(
        tmp_path,
        arms={"f16": arm("f16", 2, ["A"]), "q8_0": arm("q8", 1, ["A"], faults=list(faults))},
        design={"repeat_reference": 0, **design},
    )


def test_by_hand_waits_grow_threefold_with_up_to_half_again_up_to_a_minute() -> None:
    for attempt, least in ((1, 1.0), (2, 3.0), (3, 9.0), (4, 27.0), (5, 60.0), (9, 60.0)):
        waits = [wait_before(attempt, None) for _ in range(200)]
        assert all(least <= wait <= 1.5 * least for wait in waits)
        assert max(waits) - min(waits) > 0.3 * least, "jitter spreads clients that failed together"


def test_by_hand_what_the_other_side_asks_for_is_waited_for_up_to_a_limit() -> None:
    assert wait_before(1, 7.5) == 7.5
    assert wait_before(4, 0.0) == 0.0
    assert wait_before(1, 86_400.0) == 300.0
    assert wait_before(1, -5.0) == 0.0


def test_a_call_waits_before_each_further_attempt_and_a_settled_one_does_not(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    fault = {"matching": "5 plus 5", "times": 99, "retry_after": 4}
    run_with(clock, faulty(tmp_path, fault, attempts=4), tmp_path / "run")
    assert clock.slept == [4.0, 4.0, 4.0], "four attempts, three waits"
    tries = [r for r in read_lines(tmp_path / "run/responses/sums.q8_0.jsonl") if r["attempt"] > 1]
    assert [r["attempt"] for r in tries] == [2, 3, 4]


def test_what_asking_again_cannot_help_is_asked_once(tmp_path: Path) -> None:
    clock = FakeClock()
    fault = {"matching": "5 plus 5", "times": 99, "kind": "context_overflow"}
    run_with(clock, faulty(tmp_path, fault), tmp_path / "run")
    assert clock.slept == []
    assert Counter(
        r["attempt"] for r in read_lines(tmp_path / "run/responses/sums.q8_0.jsonl")
    ) == {1: QUESTIONS}


def test_retry_faults_asks_what_ended_in_a_fault_and_nothing_else(tmp_path: Path) -> None:
    faults = [
        {"matching": "5 plus 5", "times": 3},  # its three attempts, and then it would answer
        {"matching": "9 plus 9", "times": 99},  # never
        {"matching": "8 plus 8", "times": 1},  # answered on the second attempt
    ]
    study, run = faulty(tmp_path, *faults), tmp_path / "run"
    first = quantrial.run(study, out=run)
    assert first.faulted == 2
    path = run / "responses" / "sums.q8_0.jsonl"
    before = path.read_bytes()
    assert quantrial.run(study, out=run).asked == 0
    assert path.read_bytes() == before, "without being told to, a settled fault stays"
    # a script begins anew with every process, so both items fail again
    second = quantrial.run(study, out=run, retry_faults=True)
    assert second.asked == 2
    tries = Counter(r["item"] for r in read_lines(path))
    assert sorted(tries.values())[-2:] == [6, 6], "three attempts more for each of the two"
    attempts = [r["attempt"] for r in read_lines(path) if tries[r["item"]] == 6]
    assert sorted(attempts) == sorted([1, 2, 3, 4, 5, 6] * 2), "attempts are counted on"
    assert path.read_bytes().startswith(before), "nothing that was recorded is touched"


def test_retry_faults_that_succeed_make_the_study_whole(tmp_path: Path) -> None:
    study, run = faulty(tmp_path, {"call": 6, "times": 3}), tmp_path / "run"
    assert quantrial.run(study, out=run).faulted == 1
    assert quantrial.analyze(run)["tasks"]["sums"]["flow"]["faulted"] == 1
    result = quantrial.run(run, retry_faults=True)  # call 6 of this process is never reached
    assert (result.asked, result.faulted) == (1, 0)
    flow = quantrial.analyze(run)["tasks"]["sums"]["flow"]
    assert (flow["faulted"], flow["duplicates"], flow["missing"]) == (0, 0, 0)
    assert flow["retries"] == {"f16": 0, "q8_0": 3}
    assert flow["analysed_items"] == QUESTIONS


def test_by_hand_the_breaker_counts_faults_in_a_row_on_one_arm() -> None:
    breaker = Breaker(slots=1)
    for _ in range(BREAKER - 1):
        breaker.watch("a", "timeout", "slow")
        breaker.watch("b", "ok", None)
    breaker.watch("a", "ok", None)
    for _ in range(BREAKER - 1):
        breaker.watch("a", "timeout", "slow")
        breaker.watch("a", "context_overflow", "long")
    for _ in range(BREAKER - 1):
        breaker.watch("a", "engine_error", "gone")
    with pytest.raises(EngineError, match=r"arm 'a' failed 10 times in a row, last with: gone"):
        breaker.watch("a", "engine_error", "gone")


def test_a_clock_that_is_set_or_a_machine_that_slept_is_noted_and_counts_nothing(
    tmp_path: Path,
) -> None:
    """An hour asleep in mid-call: the wall clock jumps, the steady clock does not."""

    class Sleeper(FakeClock):
        calls = 0

        def steady(self) -> float:
            self.calls += 1
            if self.calls == 20:
                self.offset += 3600.0
            if self.calls == 60:
                self.offset -= 7200.0  # and later it is set back
            return self.now

    study = write_study(tmp_path)
    quantrial.run(study, out=tmp_path / "peace")
    result = run_with(Sleeper(), study, tmp_path / "run")
    assert result.faulted == 0
    notes = json.loads((tmp_path / "run/manifest.json").read_text())["notes"]
    assert [note.partition(" s while")[0] for note in notes] == [
        "the clock jumped by +3600",
        "the clock jumped by -7200",
    ]
    records = [r for p in (tmp_path / "run/responses").glob("*.jsonl") for r in read_lines(p)]
    # times of day go back; the order, and every duration, do not
    by_order = sorted(records, key=lambda r: r["order"])
    stamps = [r["started_at"] for r in by_order]
    assert stamps != sorted(stamps)
    assert all(r["timing"]["wall"] < 60 for r in records)
    numbers = [quantrial.analyze(tmp_path / n)["tasks"] for n in ("run", "peace")]
    assert numbers[0] == numbers[1]
    assert quantrial.run(study, out=tmp_path / "run").asked == 0
