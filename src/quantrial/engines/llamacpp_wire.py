"""What is asked of llama.cpp's server, and how its answers and errors are read.."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from quantrial.engines.base import Reply, Request, Timing
from quantrial.engines.llamacpp_process import grammar_of
from quantrial.engines.logprobs import read_logprobs
from quantrial.engines.message import Message
from quantrial.engines.settled import count_of, seconds_of, settled
from quantrial.errors import ContextOverflowError, EngineError
from quantrial.redaction import excerpt

if TYPE_CHECKING:
    import httpx

    from quantrial.engines.llamacpp_prefix import Began

_RANDOM_SEED = 2**32 - 1  # llama.cpp takes this seed to mean "any"

# The error types of llama.cpp's server (tools/server/server-common.cpp), and whether asking again
# can help.
SERVER_ERRORS: dict[str, tuple[type[EngineError], bool]] = {
    "exceed_context_size_error": (ContextOverflowError, False),
    "invalid_request_error": (EngineError, False),
    "authentication_error": (EngineError, False),
    "permission_error": (EngineError, False),
    "not_found_error": (EngineError, False),
    "not_supported_error": (EngineError, False),
    "unavailable_error": (EngineError, True),
    "server_error": (EngineError, True),
}
_MILLI = 1000  # to a second
# what reading an answer of another form ends in; recursion, where it is nested without end
_UNKNOWN_FORM = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
_FINISH = {"eos": "stop", "word": "stop", "limit": "length", "stop": "stop", "length": "length"}


def call_of(request: Request) -> tuple[str, dict[str, Any]]:
    """Return the path and body of a request."""
    body: dict[str, Any] = {
        "temperature": request.temperature,
        "seed": request.seed % _RANDOM_SEED,
        "ignore_eos": request.exact_length,
        "stop": list(request.stop),
    }
    if request.grammar is not None:
        body["grammar"] = request.grammar
    if request.schema is not None:
        # the server would do it too, but not in a chat whose raw text it is told to leave alone
        body["grammar"] = grammar_of(json.dumps(request.schema))
    if request.messages:
        if request.logprobs:
            body |= {"logprobs": True, "top_logprobs": request.logprobs}
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        return "/v1/chat/completions", {
            **body,
            "messages": messages,
            "max_tokens": request.max_tokens,
        }
    if request.logprobs:
        body["n_probs"] = request.logprobs
    return "/completion", {
        **body,
        "prompt": request.text,
        "n_predict": request.max_tokens,  # unbounded where it is not said
        "response_fields": [
            "content",
            "stop_type",
            "tokens_evaluated",
            "tokens_predicted",
            "timings",
            "completion_probabilities",
        ],
    }


def read_reply(
    response: httpx.Response, request: Request, begun: Began, *, load: float | None, wall: float
) -> Reply:
    """Read the server's answer to a request.

    Args:
        response: with status 200.
        request: what was asked.
        begun: what was read of the prompt before the call.
        load: seconds that the model took to load, where this call waited for it.
        wall: seconds of the call.

    Raises:
        EngineError: the answer has another form than llama.cpp's.
    """
    try:
        said = response.json()
        timings, message = said["timings"], Message()
        made = count_of(timings["predicted_n"])
        # the first token comes out of the prompt's batch, before the clock of decoding starts
        steps = None if made is None else max(made - 1, 0)
        decode = seconds_of(timings["predicted_ms"], per=_MILLI) if steps else None
        read = seconds_of(timings["prompt_ms"], per=_MILLI)
        cached = count_of(timings["cache_n"])
        if request.messages:
            choice, usage = said["choices"][0], said["usage"]
            message.add(choice["message"])
            ending, probabilities = choice["finish_reason"], choice.get("logprobs")
            prompt_tokens, completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]
        else:
            message.add({"content": said["content"]})
            ending, probabilities = said["stop_type"], said.get("completion_probabilities")
            prompt_tokens, completion_tokens = said["tokens_evaluated"], said["tokens_predicted"]
        reply = Reply(
            output="".join(message.texts),
            finish_reason=_FINISH.get(ending, ending),
            prompt_tokens=prompt_tokens,
            cached_tokens=None if cached is None else max(cached - begun.read_tokens, 0),
            completion_tokens=completion_tokens,
            decoded_tokens=steps,
            logprobs=read_logprobs(probabilities or []) if request.logprobs else None,
            timing=Timing(
                load=load,
                prompt=None if read is None else read + begun.read_seconds,
                first_token=wall - (decode or 0.0) if made else None,
                decode=decode,
                wall=wall,
            ),
            thought="".join(message.thoughts) or None,
            tool_calls=tuple(message.calls.values()) or None,
        )
        return settled(reply, request)
    except _UNKNOWN_FORM as exc:
        raise EngineError(
            f"llama.cpp sent an answer of an unknown form ({type(exc).__name__}: {exc}): "
            f"{excerpt(repr(response.text), 200)}"
        ) from exc


def server_error(response: httpx.Response) -> EngineError:
    """Translate an error that llama.cpp's server reports."""
    try:
        error = response.json()["error"]
        kind, message = str(error["type"]), str(error["message"])
    except _UNKNOWN_FORM:
        return EngineError(
            f"llama.cpp answered {response.status_code}: {excerpt(repr(response.text), 200)}"
        )
    if kind == "exceed_context_size_error":
        asked, there = error.get("n_prompt_tokens"), error.get("n_ctx")
        return ContextOverflowError(
            f"the prompt has {asked} tokens and the context {there}; the option is `context`"
        )
    cls, retryable = SERVER_ERRORS.get(kind, (EngineError, True))
    translated = cls(f"llama.cpp: {message} ({kind}, {response.status_code})")
    translated.retryable = retryable
    return translated
