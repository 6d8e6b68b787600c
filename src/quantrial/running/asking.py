"""Asking once: from a prompt to a request, from what an engine does to a reply and its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from quantrial.records import Response, sha256_of
from quantrial.redaction import blot, blot_error
from quantrial.strict_json import readable

if TYPE_CHECKING:
    from quantrial.design.schedule import Call
    from quantrial.engines.base import Engine
    from quantrial.study import Study
    from quantrial.tasks import Prompt


@dataclass(frozen=True, slots=True)
class Asked:
    """What is recorded of a question beside its call: the study, which attempt, what, when."""

    study: str
    attempt: int
    prompt_sha256: str
    started_at: str


def response_of(
    call: Call, found: Attempt, asked: Asked, timing: Mapping[str, float | None]
) -> Response:
    """Return the record of one attempt; `timing` is in seconds."""
    reply = found.reply
    return Response(
        study=asked.study,
        task=call.task,
        arm=call.arm,
        item=call.item,
        replicate=call.replicate,
        attempt=asked.attempt,
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
        started_at=asked.started_at,
        prompt_sha256=asked.prompt_sha256,
        final=found.final and found.status != "ok",
        thought=reply.thought,
        tool_calls=None if reply.tool_calls is None else [dict(one) for one in reply.tool_calls],
        host=reply.host,
        at_limit=reply.at_limit,
        uncounted=found.uncounted,
    )


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


def request_for(prompt: Prompt, study: Study, task: str) -> Request:
    """Turn a task's prompt into the request that every arm gets, byte for byte."""
    return Request(
        messages=tuple(Message(role, content) for role, content in prompt.messages),
        text=prompt.text,
        shared=prompt.shared,
        max_tokens=prompt.max_tokens,
        stop=prompt.stop,
        grammar=prompt.grammar,
        schema=prompt.schema,
        logprobs=study.design.logprobs,
        seed=study.seed,
        timeout=study.tasks[task].timeout,
    )


def asked_sha256(prompt: Prompt, request: Request) -> str:
    """Hash what an arm is asked: all that decides its answer beside its weights and its options.

    That is messages (with the system's) or text, longest answer, stop texts, grammar and schema;
    and temperature and seed where the answer is drawn: a greedy one does not depend on the seed.
    """
    asked = prompt.canonical()
    if request.temperature:
        asked |= {"temperature": request.temperature, "seed": request.seed}
    return sha256_of(asked)


def attempt(engine: Engine, request: Request) -> Attempt:
    """Ask once; whatever an engine raises is a fault of the machinery, and no answer.

    Raises:
        ModelChangedError: another model stands behind the arm than before.
    """
    try:
        return Attempt(answer(engine, request), "ok", None, final=True)
    except ContextOverflowError as exc:
        return Attempt(Reply(""), "context_overflow", said_by(exc), final=True)
    except ModelChangedError:
        raise  # every further answer would be another model's: the run stops
    except EngineError as exc:
        status = "timeout" if isinstance(exc, EngineTimeoutError) else "engine_error"
        kept = _kept(exc.partial, request)
        wait = seconds_of(exc.retry_after)
        return Attempt(
            Reply(""),
            status,
            said_by(exc),
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


def said_by(exc: BaseException) -> str:
    """Return what an error says as a text that can be written down, with no key in it."""
    return blot(readable(str(exc)))


def _kept(partial: Reply | None, request: Request) -> Reply | None:
    """Settle what had come of an answer; None where it is nothing that can be written down."""
    try:
        return None if partial is None else settled(partial, request)
    except EngineError:
        return None
