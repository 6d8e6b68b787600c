"""Asking once: from a task's prompt to a request, and from whatever an engine does to a reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantrial.engines.base import Message, Reply, Request
from quantrial.engines.settled import readable, settled
from quantrial.errors import (
    ContextOverflowError,
    EngineError,
    EngineTimeoutError,
    ModelChangedError,
)
from quantrial.records import sha256_of

if TYPE_CHECKING:
    from quantrial.engines.base import Engine
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
        return Attempt(settled(engine.ask(request), request), "ok", None, final=True)
    except ContextOverflowError as exc:
        return Attempt(Reply(""), "context_overflow", readable(str(exc)), final=True)
    except ModelChangedError:
        raise  # every further answer would be another model's: the run stops
    except EngineError as exc:
        status = "timeout" if isinstance(exc, EngineTimeoutError) else "engine_error"
        kept = _kept(exc.partial, request)
        said = readable(str(exc))
        return Attempt(Reply(""), status, said, not exc.retryable, exc.retry_after, kept)
    except Exception as exc:  # an engine of a third party may raise anything; it is its fault
        said = f"the engine {engine.name!r} raised {type(exc).__name__}: {exc}"
        return Attempt(Reply(""), "engine_error", readable(said), final=True)


def _kept(partial: Reply | None, request: Request) -> Reply | None:
    """Settle what had come of an answer; None where it is nothing that can be written down."""
    try:
        return None if partial is None else settled(partial, request)
    except EngineError:
        return None
