"""Asking once, from a prompt to a request and to what came of it; the contract of an executor.

Nothing is recorded here: the driver (`quantrial.running.session`) hands out jobs and takes their
attempts back, in its own thread. It alone writes the run folder, counts faults and says what is
asked again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from quantrial.engines.abilities import refusal
from quantrial.engines.base import Message, Reply, Request
from quantrial.engines.replies import seconds_of, settled
from quantrial.errors import (
    ContextOverflowError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
    ModelChangedError,
)
from quantrial.records import sha256_of
from quantrial.redaction import blot, blot_error
from quantrial.strict_json import readable

if TYPE_CHECKING:
    from quantrial.design.schedule import Call
    from quantrial.engines.base import Engine
    from quantrial.running.waiting import Clock
    from quantrial.study import Study
    from quantrial.tasks import Prompt


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of asking once. `final`: asking again could not help, or is not needed.

    `partial` is what had come of an answer when a fault ended it.
    """

    reply: Reply
    status: str
    error: str | None
    final: bool
    retry_after: float | None = None
    partial: Reply | None = None
    gone: bool = False  # nobody answers there now
    asked: bool = True  # whether the server was there to be asked at all
    uncounted: bool = False  # it takes no attempt from its call


def request_for(prompt: Prompt, study: Study, task: str, sample: int = 0) -> Request:
    """Turn a task's prompt into the request that every arm gets, byte for byte.

    Each of several answers, numbered from 0, is drawn with a seed of its own.
    """
    return Request(
        messages=tuple(Message(role, content) for role, content in prompt.messages),
        text=prompt.text,
        shared=prompt.shared,
        max_tokens=prompt.max_tokens,
        stop=prompt.stop,
        grammar=prompt.grammar,
        schema=prompt.schema,
        tools=prompt.tools,
        logprobs=study.design.logprobs,
        temperature=study.design.temperature,
        seed=study.seed + sample,
        timeout=study.tasks[task].timeout,
    )


def prompt_hash(prompt: Prompt, request: Request, sample: int = 0) -> str:
    """Hash what an arm is asked: all that decides its answer beside its weights and its options.

    That is messages (with the system's) or text, longest answer, stops, grammar, schema and tools;
    and temperature and seed where the answer is drawn: a greedy one does not depend on the seed. Of
    several answers it is the study's seed: which `sample` it is stands beside.
    """
    asked = prompt.canonical()
    if request.temperature:
        asked |= {"temperature": request.temperature, "seed": request.seed - sample}
    return sha256_of(asked)


def attempt(engine: Engine, request: Request) -> Attempt:
    """Ask once; whatever an engine raises is a fault of the machinery, and no answer.

    Raises:
        ModelChangedError: another model stands behind the arm than before.
    """
    try:
        return Attempt(answer(engine, request), "ok", None, final=True)
    except ContextOverflowError as exc:
        return Attempt(Reply(""), "context_overflow", error_text(exc), final=True)
    except ModelChangedError:
        raise  # every further answer would be another model's: the run stops
    except EngineError as exc:
        status = "timeout" if isinstance(exc, EngineTimeoutError) else "engine_error"
        kept = _kept(exc.partial, request)
        wait = seconds_of(exc.retry_after)
        return Attempt(
            Reply(""),
            status,
            error_text(exc),
            final=not exc.retryable,
            retry_after=wait,
            partial=kept,
            gone=exc.gone and exc.retryable,
            asked=not isinstance(exc, EngineStartError),
        )


def answer(engine: Engine, request: Request) -> Reply:
    """Ask once; the reply can be written down, and no key is in it or in what is raised.

    Raises:
        EngineError: the engine could not answer, or did in another form than documented; its kin
            say more. An engine of a third party may raise anything: that is its fault, and final.
    """
    try:
        return settled(engine.ask(request), request)
    except EngineError as exc:
        blot_error(exc)
        raise
    except Exception as exc:
        blot_error(exc)
        raise refusal(f"the engine {engine.name!r} raised {type(exc).__name__}: {exc}") from exc


def error_text(exc: BaseException) -> str:
    """Return what an error says as a text that can be written down, with no key in it."""
    return blot(readable(str(exc)))


def _kept(partial: Reply | None, request: Request) -> Reply | None:
    """Settle what had come of an answer; None where it is nothing that can be written down."""
    try:
        return None if partial is None else settled(partial, request)
    except EngineError:
        return None


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
