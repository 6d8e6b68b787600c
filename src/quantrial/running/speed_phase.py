"""The loop of the speed phase: fixed prompts, one call at a time, arms in turn, block after block.

It decides nothing by numbers: whether the intervals are narrow enough is the `judge`'s to say.

An engine that cannot be held to a number of tokens ends its answers where the model ends them, and
rates over a few tokens say little. So a few forms of prompts are tried first: the first one whose
greedy answers reach the limit on every such arm is what all arms are asked. That follows from the
records alone, so that a phase that is killed goes on as it was.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.design.speed_blocks import (
    Form,
    Shape,
    SpeedCall,
    list_prompt,
    request_prompt,
    speed_block,
    speed_prompt,
)
from quantrial.engines.base import Message, Request
from quantrial.errors import EngineError
from quantrial.records import CUT_SHORT, SpeedRecord, sha256_of
from quantrial.runfolder import RunFolder, speed_writer
from quantrial.running import Listener, Progress, SpeedResult
from quantrial.running.arms import arm_records, log_into, naming, open_engines
from quantrial.running.asking import Attempt, attempt
from quantrial.running.guard import refuse_changed_arms, refuse_foreign
from quantrial.running.ordering import all_stayed, memory_of, server_decides
from quantrial.running.waiting import Clock
from quantrial.system import Machine, available_memory, between, share_of_others

if TYPE_CHECKING:
    from quantrial.analysis.speed.phase import Standing
    from quantrial.engines.base import Engine, Reply
    from quantrial.records import ArmRecord, Manifest, SpeedRecord
    from quantrial.study import Speed, Study
    from quantrial.study.code import BeforeCode


USUAL: Form = "words"
TRIED: tuple[Form, ...] = ("list", "request")  # in this order; the usual one where none will do


@dataclass(frozen=True, slots=True)
class Prompted:
    """Which prompt it is: the lengths aimed at, its block (below 0: none), its form."""

    shape: Shape
    block: int
    form: str = USUAL


def speed_request(
    what: Prompted, abilities: Sequence[str], *, seed: int, timeout: float
) -> Request:
    """Write what every arm is asked at one length in one block, byte for byte."""
    prompt, output = what.shape
    make = {"list": list_prompt, "request": request_prompt}.get(what.form, speed_prompt)
    text = make(prompt, seed=seed, block=what.block, output=output)
    return Request(
        # a list is gone on with where no template ends the text
        text=text if what.form == "list" else None,
        messages=() if what.form == "list" else (Message("user", text),),
        max_tokens=output,
        exact_length="exact_length" in abilities,
        fresh="fresh" in abilities,
        seed=seed,
        timeout=timeout,
    )


def prompt_hash(request: Request) -> str:
    """Hash what an arm is shown."""
    shown = [{"role": one.role, "content": one.content} for one in request.messages]
    return sha256_of(shown if request.text is None else request.text)


def rehearsed_shapes(spec: Speed) -> list[Shape]:
    """List the lengths that a form is tried at: the shortest and longest prompt, longest answer."""
    longest = max(spec.output_tokens)
    return list(dict.fromkeys((n(spec.prompt_tokens), longest) for n in (min, max)))


Trial = tuple[str, Shape, int]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How the choice of a form stands; `arms` are those that cannot be held to a length."""

    arms: tuple[str, ...]
    shapes: tuple[Shape, ...]
    attempts: int

    def stands(self, records: Sequence[SpeedRecord]) -> tuple[Form, Trial | None]:
        """Return the form that has not failed, and what of it is to be tried next.

        The arm, the lengths and the attempt; None where the form is settled.
        """
        measured = next((r.form for r in records if r.kind == "measured"), None)
        if measured is not None:
            return measured, None  # type: ignore[return-value] # checked as it was read
        for form in TRIED if self.arms else ():
            tried = [r for r in records if r.kind == "rehearsal" and r.form == form]
            if any(self._failed(tried, *cell) for cell in self._cells()):
                continue
            done = {(r.arm, r.shape) for r in tried if r.status in ("ok", "context_overflow")}
            cell = next((one for one in self._cells() if one not in done), None)
            if cell is None:
                return form, None
            return form, (*cell, 1 + sum((r.arm, r.shape) == cell for r in tried))
        return USUAL, None

    def _cells(self) -> Iterator[tuple[str, Shape]]:
        return ((arm, shape) for arm in self.arms for shape in self.shapes)

    def _failed(self, tried: Sequence[SpeedRecord], arm: str, shape: Shape) -> bool:
        """Whether an arm ended an answer early, or cannot be asked in this form."""
        own = [r for r in tried if (r.arm, r.shape) == (arm, shape)]
        answered = [r for r in own if r.status == "ok"]
        if answered:
            return not reached(answered[-1])
        faults = [r for r in own if r.status != "context_overflow"]
        return any(r.final for r in faults) or len(faults) >= self.attempts


def reached(record: SpeedRecord) -> bool:
    """Whether an answer is as long as it was asked to be."""
    if record.completion_tokens is None:
        return record.finish_reason in CUT_SHORT
    return record.completion_tokens >= record.output_length


Judge = Callable[[Sequence[SpeedRecord]], "Standing"]

FRESH_STARTS = 3  # blocks in which every arm is started anew, so that its load is timed
LOOK = 0.25  # seconds of looking at the machine while nothing of ours runs
WAIT = 1.0  # seconds between two looks at a busy one
_BREAKER = 3  # calls in a row that an arm failed for good
_WARMING = -1  # the block whose prompts warm an arm up
_REHEARSED = -2  # that whose prompts try out a form
_LEAST = 1.0  # seconds that a call has at the end of the phase: it may follow a long load


@dataclass(frozen=True, slots=True)
class Bench:
    """What the phase measures with: tests put other ones in their place."""

    clock: Clock = field(default_factory=Clock)
    machine: Machine = field(default_factory=Machine)


def measure_speed(
    study: Study,
    *,
    base: Path,
    folder: Path,
    judge: Judge,
    listener: Listener | None = None,
    bench: Bench | None = None,
    before_code: BeforeCode | None = None,
) -> SpeedResult | None:
    """Measure block after block until the judge is content; None where the study asks for none.

    Args:
        study: the study; arms that are controls are left out.
        base: the folder that relative paths in the study start from.
        folder: the run folder; the quality phase has set it up.
        judge: says of all records how the phase stands.
        listener: told of the progress after every call.
        bench: clock and machine.
        before_code: called with the study before code that it names is run; raises to refuse it.

    Raises:
        RunChangedError: the study or an artifact is not that of the run in `folder`.
        RunFolderError: the folder is in use, or cannot be written.
        EngineError: an engine cannot be started, or an arm keeps failing.
    """
    if study.speed is None:
        return None
    run = RunFolder(folder)
    run.require()
    refuse_foreign(study, run)
    with run.locked():
        records = run.read_speed(arms=study.timed_arms)
        standing = judge(records)
        if standing.status != "unfinished":
            return _result(standing, study.speed, asked=0)
        if before_code is not None:
            before_code(study)
        with open_engines(study, base=base) as engines, speed_writer(run) as append:
            log_into(run, engines)
            arms = arm_records(study, engines)
            refuse_changed_arms(run, run.read_manifest(), arms)
            timed = {name: arms[name] for name in study.timed_arms}
            together = _together(timed, run.read_manifest())
            bench = bench or Bench()
            phase = _Phase(study, study.speed, engines, append, bench.clock, bench.machine)
            for record in records:
                phase.note(record)
            standing = phase.go(judge, listener, together=together)
            return _result(standing, study.speed, asked=phase.asked)


def _together(timed: Mapping[str, ArmRecord], manifest: Manifest) -> bool:
    """Say whether arms take turns at each length; where a server decides, as it was found to."""
    if server_decides(timed):
        return bool(manifest.design.get("together", False))
    own = any(one.one_at_a_time is not False for one in timed.values())
    return not own and memory_of(timed, available_memory()).together is not False


def _result(standing: Standing, spec: Speed, *, asked: int) -> SpeedResult:
    return SpeedResult(
        asked=asked,
        blocks=standing.blocks,
        seconds=standing.seconds,
        status=standing.status,
        widest=standing.widest,
        precision=spec.precision,
    )


_Key = tuple[str, int, Shape]


@dataclass(slots=True)
class _Phase:
    """One session: what is measured, what is loaded, how long was waited."""

    study: Study
    spec: Speed
    engines: Mapping[str, Engine]
    append: Callable[[SpeedRecord], None]
    clock: Clock
    machine: Machine
    cut: bool = False  # whether the limit ended a call
    loaded_in: float = 0.0  # seconds of a load that no record tells yet
    records: list[SpeedRecord] = field(default_factory=list)
    attempts: Counter[_Key] = field(default_factory=Counter)
    measured: set[_Key] = field(default_factory=set)
    given_up: set[_Key] = field(default_factory=set)  # what asking again cannot help
    too_long: set[Shape] = field(default_factory=set)  # what no arm is asked any more
    spent: float = 0.0
    paused: float = 0.0
    started: dict[str, int] = field(default_factory=dict)  # arm -> the block in which it was
    asked: int = 0
    failed_in_a_row: Counter[str] = field(default_factory=Counter)
    around: dict[str, float | None] = field(
        default_factory=lambda: {"others_before": None, "paused_seconds": 0.0}
    )

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that are timed."""
        return self.study.timed_arms

    def _stands(self) -> tuple[Form, Trial | None]:
        """Say how the choice of a form stands, by what is recorded."""
        unheld = (arm for arm in self.arms if "exact_length" not in self.engines[arm].abilities)
        attempts = self.study.design.attempts
        rehearsal = Rehearsal(tuple(unheld), tuple(rehearsed_shapes(self.spec)), attempts)
        return rehearsal.stands(self.records)

    def note(self, record: SpeedRecord) -> None:
        """Take stock of a call that was recorded."""
        self.records.append(record)
        self.spent += record.seconds
        self.cut = self.cut or record.kind == "cut"
        self.paused += record.machine.get("paused_seconds") or 0.0
        if record.kind == "measured":
            key = (record.arm, record.block, record.shape)
            self.attempts[key] = max(self.attempts[key], record.attempt)
            if record.status == "ok":
                self.measured.add(key)
            if record.final:
                self.given_up.add(key)
            if record.status == "context_overflow":
                self.too_long.add(record.shape)

    def go(self, judge: Judge, listener: Listener | None, *, together: bool) -> Standing:
        """Measure until the judge says that it is enough."""
        block = max((r.block for r in self.records if r.kind == "measured"), default=0)
        standing = judge(self.records)
        self._tell(listener, standing)
        if standing.status == "unfinished":
            self._rehearse(together=together)
            standing = judge(self.records)
        while standing.status == "unfinished":
            self._look_around()
            for call in self._pending(block, together=together):
                if self._is_over:
                    break
                self._measure(call, together=together)
                self._tell(listener, standing)
            block += 1
            # a server that pushes models out does not say so beforehand
            together = together and all_stayed({arm: self.engines[arm] for arm in self.started})
            standing = judge(self.records)
        self._tell(listener, standing)
        return standing

    @property
    def _left(self) -> float:
        """The seconds that are left of the phase."""
        return self.spec.time_limit - self.spent

    @property
    def _is_over(self) -> bool:
        """Whether the time is up: no call is begun then."""
        return self.cut or self._left <= 0

    @property
    def _form(self) -> str:
        form, trial = self._stands()
        return form if trial is None else USUAL

    def _rehearse(self, *, together: bool) -> None:
        """Try forms of prompts, until one has answers that reach their limit on every arm."""
        while not self._is_over:
            form, trial = self._stands()
            if trial is None:
                break
            arm, shape, number = trial
            self._alone(arm, together=together)
            if arm not in self.started:
                self._start(arm)
                self.started[arm] = _REHEARSED  # it is started anew for the first block
            call = SpeedCall(0, 0, arm, shape)
            self._record("rehearsal", call, Prompted(shape, _REHEARSED, form), number=number)

    def _pending(self, block: int, *, together: bool) -> Iterator[SpeedCall]:
        """Yield the calls of a block that are not over yet."""
        planned = speed_block(
            self.arms, self.spec.shapes, block, seed=self.study.seed, together=together
        )
        for call in planned:
            if call.shape not in self.too_long and not self._over(call):
                yield call

    def _over(self, call: SpeedCall) -> bool:
        key = (call.arm, call.block, call.shape)
        settled = key in self.measured or key in self.given_up
        return settled or self.attempts[key] >= self.study.design.attempts

    def _look_around(self) -> None:
        """Wait for a busy machine to calm down, as long as the study's patience lasts."""
        waited = 0.0
        while True:
            pids = [pid for pid in self._pids() if pid is not None]
            then = self.machine.read(pids)
            self.clock.sleep(LOOK)
            others = share_of_others(between(then, self.machine.read(pids)))
            over = waited + WAIT + LOOK > min(self.spec.pause - self.paused, self._left)
            if others is None or others <= self.spec.busy_share or over:
                break
            self.clock.sleep(WAIT)
            waited += WAIT + LOOK
        self.around = {"others_before": others, "paused_seconds": waited}

    def _pids(self) -> list[int | None]:
        """Return the process of every engine that runs; None where an engine does not tell."""
        return [getattr(self.engines[arm], "pid", None) for arm in self.started]

    def _measure(self, call: SpeedCall, *, together: bool) -> None:
        """Ask until there is an answer or the attempts are used up; record every attempt."""
        key = (call.arm, call.block, call.shape)
        said = None
        while not self._over(call):
            self._prepare(call, together=together)
            if self._is_over:
                return
            number = self.attempts[key] + 1
            what = Prompted(call.shape, call.block, self._form)
            said = self._record("measured", call, what, number=number)
            if self.cut:
                return
            self.asked += 1
            if said.status in ("ok", "context_overflow"):
                self.failed_in_a_row[call.arm] = 0
                return
            del self.started[call.arm]  # it may be gone, or worn: it is started and warmed anew
        self.failed_in_a_row[call.arm] += 1
        if said is not None and self.failed_in_a_row[call.arm] >= _BREAKER:
            raise EngineError(
                f"arm {call.arm!r} failed {_BREAKER} calls of the speed phase in a row, last with: "
                f"{said.error}. What is recorded is kept; the same command goes on, and with "
                "--no-speed the run ends without measuring speed"
            )

    def _prepare(self, call: SpeedCall, *, together: bool) -> None:
        """Have the arm loaded and warm; the uncounted first call is recorded with its load."""
        self._alone(call.arm, together=together)
        begun = self.started.get(call.arm)
        if begun is not None and (begun == call.block or call.block >= FRESH_STARTS):
            return
        engine = self.engines[call.arm]
        # the longest prompt: memory is at its peak once it was read
        shape = (max(self.spec.prompt_tokens), min(self.spec.output_tokens))
        warm = dataclasses.replace(call, shape=shape)
        what = Prompted(shape, _WARMING, self._form)
        for number in range(1, self.study.design.attempts + 1):
            engine.close()
            self._start(call.arm)
            self.started[call.arm] = call.block
            # where it fails to the last, the call that follows fails too, and is counted
            said = self._record("warm_up", warm, what, number=number)
            if said.status == "ok" or self._is_over:
                break

    def _alone(self, arm: str, *, together: bool) -> None:
        """Unload the other arms, where they are not in memory together."""
        for other in [name for name in self.started if name != arm] if not together else ():
            self.engines[other].close()
            del self.started[other]

    def _start(self, arm: str) -> None:
        with naming(arm, self.engines[arm]):
            self.loaded_in = self.engines[arm].start()

    def _record(self, kind: str, call: SpeedCall, what: Prompted, *, number: int) -> Attempt:
        """Ask once and write down what came of it; a call that the time limit ends is `cut`.

        What is left of the time bounds a call, so that a slow server cannot outlast the phase.
        """
        engine = self.engines[call.arm]
        asked = tuple(a for a in ("exact_length", "fresh") if a in engine.abilities)
        limit = min(self.spec.timeout, max(self._left, _LEAST))
        request = speed_request(what, asked, seed=self.study.seed, timeout=limit)
        pids, started = self._pids(), self.clock.stamp()
        then, clock = self.machine.read(pids), self.clock.steady()
        said = attempt(engine, request)
        if said.status == "timeout" and limit < self.spec.timeout:
            kind = "cut"
        wall = self.clock.steady() - clock
        state = between(then, self.machine.read(pids))
        peak = self.machine.peak_memory(getattr(engine, "pid", None))
        record = SpeedRecord(
            study=self.study.study,
            arm=call.arm,
            kind=kind,
            block=call.block,
            position=call.position,
            attempt=number,
            prompt_length=call.shape[0],
            output_length=call.shape[1],
            asked=asked,
            status=said.status,
            error=said.error,
            finish_reason=said.reply.finish_reason,
            prompt_tokens=said.reply.prompt_tokens,
            completion_tokens=said.reply.completion_tokens,
            decoded_tokens=said.reply.decoded_tokens,
            timing=_timing_of(said.reply, wall, self.loaded_in),
            machine={**state, "memory_peak_bytes": peak, **self.around},
            started_at=started,
            prompt_sha256=prompt_hash(request),
            final=said.final and said.status != "ok",
            form=what.form,
        )
        self.append(record)
        self.loaded_in = 0.0
        self.note(record)
        self.around["paused_seconds"] = 0.0  # the pause belongs to one call only
        return said

    def _tell(self, listener: Listener | None, standing: Standing) -> None:
        if listener is None:
            return
        done = Counter(arm for arm, _, _ in self.measured)
        calls = standing.forecast * len(self.spec.shapes)
        at = "" if standing.widest is None else f"±{100 * standing.widest:.1f} %, "
        left = None
        if self.measured:
            a_call = self.spent / len(self.measured)
            left = a_call * sum(max(calls - done[arm], 0) for arm in self.arms)
            left = min(left, max(self.spec.time_limit - self.spent, 0.0))
        listener(
            Progress(
                phase=f"measuring speed ({at}aim ±{100 * self.spec.precision:g} %)",
                done={arm: done[arm] for arm in self.arms},
                total={arm: max(calls, done[arm]) for arm in self.arms},
                rate=None,
                seconds_left=left,
                faults=sum(
                    r.status != "ok" for r in self.records if r.kind in ("warm_up", "measured")
                ),
            )
        )


def _timing_of(reply: Reply, wall: float, load: float) -> dict[str, Any]:
    """Write the times of a call down; those measured here where the engine tells none.

    Args:
        reply: what came back.
        wall: seconds that the call took.
        load: seconds that a load before it took, 0 for none.
    """
    timing = dataclasses.asdict(reply.timing)
    timing["load"] = load or None if timing["load"] is None else timing["load"]
    return timing if timing["wall"] is not None else {**timing, "wall": wall}
