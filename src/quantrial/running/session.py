"""One process's share of a run: ask, append the raw reply. It knows nothing of right and wrong."""

from __future__ import annotations

import contextlib
import dataclasses
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from quantrial.errors import EngineError
from quantrial.records import Response
from quantrial.running import Listener, Progress
from quantrial.running.asking import (
    Attempt,
    Executor,
    Job,
    TimedAttempt,
    answer,
    error_text,
    prompt_hash,
    request_for,
)
from quantrial.running.executors import SerialExecutor, ThreadExecutor
from quantrial.running.waiting import (
    BROKEN_OFF,
    JUMP,
    Breaker,
    Clock,
    Endings,
    Outages,
    wait_before,
    wait_for_server,
)

if TYPE_CHECKING:
    from quantrial.design.schedule import Call
    from quantrial.engines.base import Engine, Reply
    from quantrial.runfolder import ResponseWriter, RunFolder
    from quantrial.running.arms import ModelPool
    from quantrial.running.prepare import Prepared
    from quantrial.running.watch import Watch
    from quantrial.study import Study
    from quantrial.tasks import Prompt

_OPEN, _ANSWERED, _FAULTED = range(3)


@dataclasses.dataclass(frozen=True, slots=True)
class Equipment:
    """What a session works with."""

    engines: Mapping[str, Engine]
    pool: ModelPool
    writer: ResponseWriter
    watch: Watch
    listener: Listener | None = None
    clock: Clock = dataclasses.field(default_factory=Clock)


def executor_for(slots: int, engines: Mapping[str, Engine], clock: Clock) -> Executor:
    """Return the executor that asks so many calls of an arm at once."""
    return SerialExecutor(engines, clock) if slots == 1 else ThreadExecutor(engines, clock, slots)


class Session:
    """What is recorded, what is left, how fast it goes. Calls of one arm's turn share its slots.

    It runs in one thread: executors ask, and everything else is done here, one attempt after
    another.
    What is kept of each call is a byte and a number, so that memory stays flat over a long run.
    """

    def __init__(
        self, study: Study, prepared: Prepared, calls: Sequence[Call], equipment: Equipment
    ):
        self.study = study
        self.prepared = prepared
        self.calls = calls
        self._with = equipment
        self._items = {
            (task, item.id): item for task, items in prepared.items.items() for item in items
        }
        self._state = bytearray(len(calls))  # by the order of calls
        self._attempts = array("L", bytes(array("L").itemsize * len(calls)))
        self._allowed: dict[int, int] = {}  # attempts in all, where that is not the study's number
        self._breaker = Breaker(study.design.slots)
        self._endings = Endings()
        self._outages = Outages(study.design.restart_timeout, equipment.clock)
        self.asked = 0
        self.faults = 0
        self.notes: list[str] = []
        self._doubts: Counter[str] = Counter()  # by arm, answers whose counts are not believed
        self._doubted = ""  # the first of them, as it was said
        self._mended: defaultdict[str, Counter[str]] = defaultdict(Counter)  # what was done, by arm
        self._broken: Counter[str] = Counter()  # by arm, answers that broke off every time
        self._first_faults: dict[str, str] = {}  # by arm, what was said of the first that is final
        self._last: Response | None = None
        self._began = equipment.clock.steady()
        self._total = Counter(call.arm for call in calls)
        self._done: Counter[str] = Counter()

    def restore(self, run: RunFolder, streams: Sequence[tuple[str, str]]) -> None:
        """Take stock of what earlier sessions recorded."""
        places = {(c.task, c.item, c.arm, c.replicate): c.order for c in self.calls}
        for task, arm in streams:
            known = {item.id for item in self.prepared.items[task]}
            for response in run.read_responses(task, arm, known=known):
                at = places.get((task, response.item, arm, response.replicate))
                if at is not None:  # else it was never planned, which `verify` will say
                    self._attempts[at] = max(self._attempts[at], response.attempt)
                    if response.uncounted:
                        self._allowed[at] = self._allowed_at(at) + 1
                    when = response.attempt, response.started_at
                    if response.status == "ok" and not self._with.watch.restore(arm, at, *when):
                        # it may be another model's, and is asked again as if it were new
                        self._allowed[at] = self._attempts[at] + self.study.design.attempts
                        continue
                    if response.final:
                        self._allowed[at] = self._attempts[at]
                    self._endings.restore(at, response.status, response.error)
                    self._note(self.calls[at], response.status, response.error)

    def reset_faults(self) -> list[Call]:
        """Take back every final fault, and list those calls: they get as many attempts again."""
        forgiven = [call for call in self.calls if self._state[call.order] == _FAULTED]
        for call in forgiven:
            self._state[call.order] = _OPEN
            self._done[call.arm] -= 1
            self._allowed[call.order] = self._attempts[call.order] + self.study.design.attempts
        self._first_faults.clear()
        return forgiven

    def pending(self) -> list[Call]:
        """List the calls that are still to be asked, in their order."""
        return [call for call in self.calls if self._state[call.order] == _OPEN]

    @property
    def recorded(self) -> int:
        """How many calls are settled, answered or not."""
        return len(self.calls) - self._state.count(_OPEN)

    @property
    def faulted(self) -> dict[str, int]:
        """How many calls ended in a fault, by arm; only arms that have some."""
        if not self._state.count(_FAULTED):
            return {}
        return dict(Counter(c.arm for c in self.calls if self._state[c.order] == _FAULTED))

    @property
    def unanswered(self) -> dict[str, str]:
        """The arms whose calls all ended in a fault, and what was said of the first of each."""
        return {
            arm: self._first_faults[arm]
            for arm, faults in self.faulted.items()
            if faults == self._total[arm]
        }

    @property
    def doubts(self) -> str | None:
        """What was said of answers in this session and is not believed, for people."""
        if not self._doubts:
            return None
        return (
            f"counts of tokens that cannot be true are left out, and the answers are kept "
            f"({_by_arm(self._doubts)}); the first: {self._doubted}"
        )

    @property
    def outages(self) -> list[str]:
        """Which servers were gone for a while in this session, for people."""
        return self._outages.notes

    @property
    def mended(self) -> list[str]:
        """What was done to texts of this session's answers before they were kept, for people."""
        return [
            f"{arms.total():,} answer{'s' * (arms.total() > 1)} {done} ({_by_arm(arms)})"
            for done, arms in self._mended.items()
        ]

    @property
    def broken_off(self) -> str | None:
        """Which answers of this session broke off at the same place every time, for people."""
        if not self._broken.total():
            return None
        return (
            "answers that broke off with the same text at every attempt are kept, as truncated "
            f"ones ({_by_arm(self._broken)})"
        )

    def warm_up(self, pending: Sequence[Call], asked: Collection[str] = ()) -> None:
        """Load every arm that has calls left; it answers its first prompt once, unrecorded.

        Those `asked` something just now are warm already.
        """
        for name, engine in self._with.engines.items():
            first = next((call for call in pending if call.arm == name), None)
            if first is None or name in asked:
                continue
            self._tell(f"loading {name}")
            self._ready(name)
            with contextlib.suppress(EngineError):  # the recorded call will say what is wrong
                reply = answer(engine, request_for(self._prompt(first), self.study, first.task))
                self._with.pool.load_before(name, reply.timing.load)
        self._began = self._with.clock.steady()

    def answer(self, pending: Sequence[Call]) -> None:
        """Ask the pending calls, one arm's turn after another; record every attempt.

        Raises:
            ModelChangedError: another model answers.
            EngineError: an arm failed too often in a row, or its server did not come back.
        """
        equipment = self._with
        slots = self.study.design.slots
        with executor_for(slots, equipment.engines, equipment.clock) as executor:
            for (_, arm), turn in groupby(pending, key=lambda call: (call.block, call.arm)):
                self._ready(arm)
                jobs = _Turn(arm, map(self._job, turn), equipment.watch)
                for job, found in executor.run(arm, jobs):
                    jobs.came_back(job)
                    if found is None:
                        jobs.put_back(dataclasses.replace(job, rest=0.0))
                    elif (again := self._settle(job, found)) is not None:
                        jobs.put_back(again)

    def _job(self, call: Call) -> Job:
        prompt = self._prompt(call)
        sample = call.replicate if self.study.design.samples > 1 else 0
        request = request_for(prompt, self.study, call.task, sample)
        return Job(call, request, prompt_hash(prompt, request, sample))

    def _settle(self, job: Job, timed: TimedAttempt) -> Job | None:
        """Record an attempt; return the call again, to rest first, where it is not settled yet."""
        at = job.call.order
        found = self._met_nobody(job.call, timed.attempt, job.waited)
        found = self._record(job, found, timed)
        if self._state[at] != _OPEN:
            self.asked += 1
            self._tell("asking")
            return None
        if found.gone:
            gone, seconds = job.gone + 1, wait_for_server(job.gone + 1, found.retry_after)
            waited = job.waited + seconds
            return dataclasses.replace(job, rest=seconds, gone=gone, waited=waited)
        # those that met nobody were granted, and do not lengthen the waits of the others
        granted = self._allowed_at(at) - self.study.design.attempts
        seconds = wait_before(max(self._attempts[at] - granted, 1), found.retry_after)
        return dataclasses.replace(job, rest=seconds, gone=0, waited=0.0)

    def _record(self, job: Job, found: Attempt, timed: TimedAttempt) -> Attempt:
        call, at = job.call, job.call.order
        self._attempts[at] += 1
        found = self._endings.note(at, found, last=self._attempts[at] >= self._allowed_at(at))
        self._last = self._response(job, found, timed)
        self._with.writer.append(self._last)
        if self._last.final:
            self._allowed[at] = self._attempts[at]
        self._note(call, found.status, found.error)
        if found.status == "ok":
            self._with.watch.answered(call.arm, at, self._attempts[at])
        self._remark(call.arm, found.reply)
        self.faults += found.status != "ok"
        if abs(timed.jumped) > JUMP:
            self.notes.append(
                f"the clock jumped by {timed.jumped:+.0f} s while {call.arm} answered item "
                f"{call.item} of {call.task}: it was set, or the machine slept"
            )
        if not found.uncounted:
            self._breaker.watch(call.arm, found.status, found.error)
        elif not self._outages.lasts(call.arm, job.waited):
            raise self._outages.given_up(call.arm, found.error)
        return found

    def _met_nobody(self, call: Call, found: Attempt, waited: float) -> Attempt:
        """Grant another attempt where a server is gone, as long as it is waited for."""
        if not found.gone:
            self._outages.ends(call.arm)
            return found
        self._with.watch.suspect(call.arm)
        if said := self._outages.begins(call.arm, found.error):
            self._tell("waiting for a server", said)
        # who does not even take a question ends the run once its time is over
        never_asked = not found.asked and self.study.design.restart_timeout > 0
        if not (self._outages.lasts(call.arm, waited) or never_asked):
            return found
        self._allowed[call.order] = self._allowed_at(call.order) + 1
        return dataclasses.replace(found, uncounted=True)

    def _ready(self, arm: str) -> None:
        """Have an arm loaded; a server that is gone is waited for."""
        gone, waited = 0, 0.0
        while True:
            try:
                return self._with.pool.ready(arm)
            except EngineError as exc:
                if not (exc.gone and exc.retryable):
                    raise
                if said := self._outages.begins(arm, error_text(exc)):
                    self._tell("waiting for a server", said)
                if not self._outages.lasts(arm, waited):
                    raise
                gone += 1
                seconds = wait_for_server(gone, exc.retry_after)
                waited += seconds
                self._with.clock.sleep(seconds)

    def _response(self, job: Job, found: Attempt, timed: TimedAttempt) -> Response:
        call = job.call
        timing: dict[str, Any] = dataclasses.asdict(found.reply.timing)
        if timing["wall"] is None:
            timing["wall"] = timed.took
        timing["load"] = self._with.pool.load_before(call.arm, timing["load"])
        reply = found.reply
        return Response(
            study=self.study.study,
            task=call.task,
            arm=call.arm,
            item=call.item,
            replicate=call.replicate,
            attempt=self._attempts[call.order],
            order=call.order,
            block=call.block,
            status=found.status,
            error=found.error,
            output=reply.output,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            cached_tokens=reply.cached_tokens,
            completion_tokens=reply.completion_tokens,
            decoded_tokens=reply.decoded_tokens,
            logprobs=None if reply.logprobs is None else [dict(one) for one in reply.logprobs],
            timing=timing,
            started_at=timed.started,
            prompt_sha256=job.prompt_hash,
            final=found.final and found.status != "ok",
            thought=reply.thought,
            tool_calls=None if reply.tool_calls is None else [dict(c) for c in reply.tool_calls],
            host=reply.host,
            at_limit=reply.at_limit,
            uncounted=found.uncounted,
        )

    def _note(self, call: Call, status: str, error: str | None) -> None:
        at = call.order
        before = self._state[at]
        allowed = self._allowed_at(at)
        if status == "ok":
            self._state[at] = _ANSWERED
        elif status == "context_overflow" or self._attempts[at] >= allowed:
            self._state[at] = before or _FAULTED
            self._first_faults.setdefault(call.arm, error or status)
        if self._state[at] != _OPEN and before == _OPEN:
            self._done[call.arm] += 1

    def _allowed_at(self, at: int) -> int:
        return self._allowed.get(at, self.study.design.attempts)

    def _remark(self, arm: str, reply: Reply) -> None:
        if reply.doubts:
            self._doubted = self._doubted or f"{arm}: {'; '.join(reply.doubts)}"
            self._doubts[arm] += 1
        for done in reply.mended:
            self._mended[done][arm] += 1
        self._broken[arm] += reply.finish_reason == BROKEN_OFF

    def _prompt(self, call: Call) -> Prompt:
        return self.prepared.tasks[call.task].prompt(self._items[call.task, call.item])

    def _tell(self, phase: str, said: str | None = None) -> None:
        if self._with.listener is None:
            return
        seconds = self._with.clock.steady() - self._began
        rate = self.asked / seconds if self.asked and seconds > 0 else None
        left = sum(self._total.values()) - sum(self._done.values())
        self._with.listener(
            Progress(
                phase=phase,
                done={arm: self._done[arm] for arm in self.study.arms},
                total={arm: self._total[arm] for arm in self.study.arms},
                rate=rate,
                seconds_left=left / rate if rate else None,
                faults=self.faults,
                last=self._last,
                said=said,
            )
        )


class _Turn:
    """Hands out the calls of one arm's turn in their order, those that were put back first.

    An arm whose server is to be looked at is looked at once none of its calls is under way any
    more: by then every answer of it is recorded.
    """

    def __init__(self, arm: str, jobs: Iterator[Job], watch: Watch):
        self._arm = arm
        self._jobs = jobs
        self._fresh: Job | None = None
        self._again: deque[Job] = deque()
        self._watch = watch
        self._under_way = 0  # calls that are asked now; those that rest are not

    def __iter__(self) -> Iterator[Job | None]:
        return self

    def __next__(self) -> Job | None:
        """Return what can begin at once; None where nothing can.

        Raises:
            ModelChangedError: another model answers.
        """
        if not self._again and self._fresh is None:
            self._fresh = next(self._jobs, None)
        job = self._again[0] if self._again else self._fresh
        if job is None:
            return None
        if not job.rest:
            if self._watch.due(self._arm):
                if self._under_way:
                    return None
                self._watch.look(self._arm)
            self._under_way += 1
        if self._again:
            return self._again.popleft()
        self._fresh = None
        return job

    def came_back(self, job: Job) -> None:
        """Take note that a job is carried out."""
        self._under_way -= not job.rest

    def put_back(self, job: Job) -> None:
        """Have a call handed out again before any fresh one."""
        self._again.append(job)


def _by_arm(counts: Counter[str]) -> str:
    return ", ".join(f"{arm} {count:,}" for arm, count in counts.items() if count)
