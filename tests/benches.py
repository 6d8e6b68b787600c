"""A speed phase without a clock or a model: engines of a known pace, scripted time and machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.engines.artifact import Artifact
from quantrial.engines.base import Reply, Request, Timing
from quantrial.engines.scripted import ScriptedEngine
from quantrial.errors import EngineTimeoutError
from quantrial.running import SpeedResult, speed_phase
from quantrial.running.arms import open_engines
from quantrial.running.speed_phase import Bench
from quantrial.running.waiting import Clock
from quantrial.study import Study, load_study
from quantrial.system import Machine, Reading
from studies import write_study

PACE = {"f16": 50.0, "q8_0": 80.0, "q4_0": 100.0}  # tokens a second; prompts go 10 times as fast
LOAD = 2.0


class Hands(Clock):
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.time = 1000.0

    def wall(self) -> float:
        return self.time

    def steady(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Room(Machine):
    """A machine of one CPU whose others take `others(time)` of it; everything else is ours."""

    def __init__(self, clock: Hands, others: Callable[[float], float] = lambda time: 0.0):
        super().__init__("/nowhere")
        self.clock = clock
        self.others = others
        self.busy, self.then = 0.0, clock.time

    def read(self, pids: Sequence[int | None]) -> Reading:
        self.busy += (self.clock.time - self.then) * self.others(self.then)
        self.then = self.clock.time
        own = None if None in pids else 0.0
        return Reading(self.clock.time, self.busy, own, 0, 0, 0, ())

    def peak_memory(self, pid: int | None) -> int | None:
        return None if pid is None else 1000 * pid


class Paced:
    """Answers at its pace; `slower(number)` stretches its calls, `fail(number)` may raise."""

    name = "scripted"

    def __init__(self, arm: str, hall: Hall, inner: ScriptedEngine):
        self.arm = arm
        self.hall = hall
        self.inner = inner
        self.abilities = hall.abilities
        self.loaded = False
        self.untold: float | None = None
        self.asked: list[Request] = []
        self.pid: int | None = len(arm)

    def describe(self) -> Artifact:
        return self.inner.describe()

    def versions(self) -> Mapping[str, str]:
        return self.inner.versions()

    def start(self) -> float:
        if self.loaded:
            return 0.0
        self.hall.clock.time += self.hall.load
        self.loaded, self.untold = True, self.hall.load
        self.hall.in_memory.append({a for a, e in self.hall.engines.items() if e.loaded})
        return self.hall.load

    def ask(self, request: Request) -> Reply:
        self.start()
        self.asked.append(request)
        self.hall.order.append(self.arm)
        self.hall.fail(self.arm, len(self.hall.order), request)
        text = request.messages[0].content if request.text is None else request.text
        prompt = len(text.split())
        tokens = request.max_tokens if request.exact_length else self.hall.length(self.arm, request)
        slower = self.hall.slower(self.arm, len(self.hall.order))
        read = prompt / PACE[self.arm] / 10.0 * slower
        decode = (tokens - 1) / PACE[self.arm] * slower
        if read + decode > request.timeout:
            self.hall.clock.time += request.timeout
            raise EngineTimeoutError(f"no answer within {request.timeout:g} s")
        self.hall.clock.time += read + decode
        load, self.untold = self.untold, None
        return Reply(
            output="word " * tokens,
            finish_reason="length",
            prompt_tokens=prompt,
            completion_tokens=tokens,
            decoded_tokens=tokens - 1,
            timing=Timing(load, read, read, decode, read + decode),
        )

    def close(self) -> None:
        self.loaded = False


class Hall:
    """A study that was answered, and what its speed phase is measured with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **speed: Any):
        self.clock = Hands()
        self.machine = Room(self.clock)
        self.abilities = frozenset({"exact_length", "fresh", "grammar"})
        self.load = LOAD
        self.order: list[str] = []
        self.in_memory: list[set[str]] = []
        self.slower: Callable[[str, int], float] = lambda arm, number: 1.0
        self.length: Callable[[str, Request], int] = lambda arm, request: request.max_tokens // 2
        self.fail: Callable[[str, int, Request], None] = lambda arm, number, request: None
        self.engines: dict[str, Paced] = {}
        spec = {"prompt_tokens": [20, 60], "output_tokens": [11, 31], "blocks": 4} | speed
        path = write_study(folder, speed=spec)
        self.base, self.run = folder, folder / "run"
        self.study: Study = load_study(path)
        quantrial.run(path, out=self.run, speed=False)
        monkeypatch.setattr(speed_phase, "open_engines", self.opened)

    @contextlib.contextmanager
    def opened(self, study: Study, *, base: Path, **_: Any) -> Iterator[dict[str, Paced]]:
        for name, arm in study.arms.items():
            script = ScriptedEngine(model=arm.model)
            if name not in self.engines:
                self.engines[name] = Paced(name, self, script)
            self.engines[name].loaded = False
        with open_engines(study, base=base) as real:
            for name, engine in real.items():
                self.engines[name].inner = engine  # type: ignore[assignment] # scripted, all
            yield self.engines

    def measure(self, **more: Any) -> SpeedResult:
        from quantrial.analysis import question_of, standing

        question = question_of(self.study).speed
        assert question is not None

        found = speed_phase.measure_speed(
            self.study,
            base=self.base,
            folder=self.run,
            judge=lambda records: standing(question, records),
            bench=Bench(self.clock, self.machine),
            **more,
        )
        assert found is not None
        return found
