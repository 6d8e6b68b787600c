"""What is asked of an OpenAI-compatible server, and how its answers are read. Pure.

Servers agree on a core and differ beside it: what they take for a grammar or an exact length, and
what they say of time. `SERVERS` holds what is documented of each; a `generic` one is asked for
nothing beyond the core.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quantrial.engines.abilities import refusal
from quantrial.engines.base import Reply, Request, Timing
from quantrial.engines.logprobs import read_logprobs
from quantrial.errors import EngineCrashedError, EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CORE = frozenset({"schema", "logprobs", "parallel"})
SERVERS: Mapping[str, frozenset[str]] = {
    "generic": _CORE,
    "llama.cpp": _CORE | {"grammar", "exact_length", "fresh"},
    # a second call of it ends the first one's stream
    "llama-cpp-python": frozenset({"schema", "logprobs", "grammar"}),
    "vllm": _CORE | {"exact_length"},
    "sglang": _CORE | {"exact_length"},
}
# The sampling of the embedded engine, said in every call: a server's own defaults, or those that a
# model brings along, may punish repetition or cut the distribution elsewhere.
_TAIL = {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "presence_penalty": 0, "frequency_penalty": 0}
SAMPLING: Mapping[str, Mapping[str, float]] = {
    "generic": {},
    "llama.cpp": {**_TAIL, "repeat_penalty": 1},
    "llama-cpp-python": {**_TAIL, "repeat_penalty": 1},
    "vllm": {**_TAIL, "repetition_penalty": 1},
    "sglang": {**_TAIL, "repetition_penalty": 1},
}
_RANDOM_SEED = 2**32 - 1  # llama.cpp takes this seed to mean "any"
_FINISH = {"eos_token": "stop", "stop_sequence": "stop"}  # TGI's words
# an answer that ends so was kept back or given up by the server: whether asking again can help
_WITHHELD = {"content_filter": False, "error": True, "abort": True}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one arm's server is spoken to."""

    model: str
    server: str = "generic"
    stream: bool = True
    prompt_cache: bool = False
    limit_key: str = "max_tokens"
    served_as: str | None = None
    fingerprint: str | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)


def call_of(request: Request, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    """Return the path and body of a request."""
    body: dict[str, Any] = {
        "model": dialect.model,
        "temperature": request.temperature,
        "seed": request.seed,
        dialect.limit_key: request.max_tokens,
        **SAMPLING[dialect.server],
    }
    if request.stop:
        body["stop"] = list(request.stop)
    if dialect.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if request.exact_length:
        body["ignore_eos"] = True
    path = "/chat/completions" if request.messages else "/completions"
    if request.messages:
        body["messages"] = [{"role": m.role, "content": m.content} for m in request.messages]
        if request.logprobs:
            body |= {"logprobs": True, "top_logprobs": request.logprobs}
    else:
        body["prompt"] = request.text
        if request.logprobs:
            body["logprobs"] = request.logprobs
    if request.schema is not None:
        body |= _held_to(request.schema, dialect.server, chat=bool(request.messages))
    if request.grammar is not None:
        body["grammar"] = request.grammar
    if dialect.server == "llama-cpp-python":
        body["seed"] = request.seed % _RANDOM_SEED
    if dialect.server == "llama.cpp":
        body |= {
            "seed": request.seed % _RANDOM_SEED,
            "cache_prompt": dialect.prompt_cache and not request.fresh,
            "reasoning_format": "none",  # the raw text is the truth
        }
    body |= dialect.extra_body
    return path, {name: value for name, value in body.items() if value is not None}


def _held_to(schema: Mapping[str, Any], server: str, *, chat: bool) -> dict[str, Any]:
    """Return what asks a server to hold its answer to a schema."""
    if server == "llama.cpp" and not chat:  # it knows `response_format` in chats alone
        return {"json_schema": dict(schema)}
    if server == "llama-cpp-python":
        if not chat:
            raise refusal(
                "llama-cpp-python's server holds chats to a schema, and no other prompts: "
                "`prompt_format: chat`"
            )
        return {"response_format": {"type": "json_object", "schema": dict(schema)}}
    named = {"name": "answer", "schema": dict(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


class Gathered:
    """One answer, gathered from the events of a stream, or from the one of a whole answer."""

    def __init__(self, request: Request, dialect: Dialect):
        self.fingerprint: str | None = None
        self._request = request
        self._dialect = dialect
        self._texts: list[str] = []
        self._first: float | None = None
        self._last: float | None = None
        self._finish: str | None = None
        self._usage: Any = None
        self._timings: Any = None
        self._logprobs: list[Mapping[str, Any]] = []

    def add(self, event: Any, at: float) -> None:
        """Take one event, `at` seconds after the call.

        Raises:
            EngineError: it is not of the form there is, or another model's.
        """
        try:
            if event.get("error"):
                raise EngineError(f"the server reports an error: {event['error']!r:.200}")
            self._check_model(event.get("model"))
            if said := event.get("system_fingerprint"):
                self.fingerprint = str(said)
            self._usage = event.get("usage") or self._usage
            self._timings = event.get("timings") or self._timings
            for choice in event.get("choices") or ():
                self._add_choice(choice, at)
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            raise unknown_form(event, exc) from exc

    def _check_model(self, model: Any) -> None:
        asked = self._dialect.served_as or self._dialect.model
        if model and model != asked:
            raise refusal(
                f"the answer is of the model {model!r:.80}, and {asked!r} was asked; if that is "
                "its name there, say it in the option `served_as`"
            )

    def _add_choice(self, choice: Mapping[str, Any], at: float) -> None:
        if self._request.messages:
            said = choice.get("delta") if self._dialect.stream else choice["message"]
            text = (said or {}).get("content")
        else:
            text = choice.get("text") if self._dialect.stream else choice["text"]
        if text:
            text.encode()  # half of a pair, escaped in JSON, is no text
            self._texts.append(text)
            self._first = at if self._first is None else self._first
            self._last = at
        if self._request.logprobs and choice.get("logprobs"):
            self._logprobs += read_logprobs(choice["logprobs"])
        if ended := choice.get("finish_reason"):
            if not isinstance(ended, str):
                raise TypeError(f"finish_reason is {ended!r}")
            self._finish = _FINISH.get(ended, ended)

    def reply(self, wall: float) -> Reply:
        """Make the reply of all events, `wall` seconds after the call.

        Raises:
            EngineError: the answer is not whole, or what is said of it cannot be.
        """
        output = "".join(self._texts)
        if self._finish is None:
            raise EngineCrashedError(f"the answer broke off after {len(output)} characters")
        if self._finish in _WITHHELD:
            error = EngineError(f"the server kept its answer back: {self._finish}")
            error.retryable = _WITHHELD[self._finish]
            raise error
        if self._request.logprobs and not self._logprobs and output:
            raise refusal("the server gave no probabilities of tokens; it may not know `logprobs`")
        prompt_tokens, completion_tokens = self._counts(output)
        decoded, timing = self._timing(completion_tokens, wall)
        return Reply(
            output=output,
            finish_reason=self._finish,
            prompt_tokens=prompt_tokens,
            cached_tokens=self._cached(prompt_tokens),
            completion_tokens=completion_tokens,
            decoded_tokens=decoded,
            logprobs=tuple(self._logprobs) if self._request.logprobs else None,
            timing=timing,
        )

    def _counts(self, output: str) -> tuple[int | None, int | None]:
        if self._usage is None:
            return None, None
        if not isinstance(self._usage, dict):
            raise EngineError(f"the server counts tokens as {self._usage!r:.80}")
        counts = [self._usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        prompt_tokens, completion_tokens = counts
        wrong = any(not _is_count(count) for count in counts if count is not None)
        if wrong or (
            completion_tokens is not None
            and (completion_tokens > self._request.max_tokens or (output and not completion_tokens))
        ):
            raise EngineError(
                f"the server counts {prompt_tokens!r:.20} tokens in the prompt and "
                f"{completion_tokens!r:.20} in an answer of {len(output)} characters, where at "
                f"most {self._request.max_tokens} were asked for"
            )
        return prompt_tokens, completion_tokens

    def _cached(self, prompt_tokens: int | None) -> int | None:
        """Return how many tokens of the prompt the server took from its cache, if it says so."""
        details = self._usage.get("prompt_tokens_details") if self._usage else None
        count = details.get("cached_tokens") if isinstance(details, dict) else None
        if not isinstance(count, int) or not _is_count(count):
            return None
        return min(count, prompt_tokens or 0)

    def _timing(self, completion_tokens: int | None, wall: float) -> tuple[int | None, Timing]:
        prompt = decode = decoded = None
        first = self._first if self._dialect.stream else None
        if self._timings is not None:
            try:
                prompt = _seconds(self._timings["prompt_ms"])
                # the first token comes out of the prompt's batch, before the clock starts
                decoded = max(int(self._timings["predicted_n"]) - 1, 0)
                decode = _seconds(self._timings["predicted_ms"]) if decoded else None
            except (KeyError, TypeError, ValueError) as exc:
                raise unknown_form(self._timings, exc) from exc
            if first is None and self._texts:
                first = max(wall - (decode or 0.0), 0.0)
        elif first is not None and self._last is not None and self._last > first:
            # from the first piece to the last one: every token but the first
            decoded = completion_tokens - 1 if completion_tokens else None
            decode = self._last - first if decoded else None
        return decoded, Timing(prompt=prompt, first_token=first, decode=decode, wall=wall)


def is_secret(key: str) -> bool:
    """Whether a key is one to hide; `none` and `EMPTY`, as local servers have it, are not."""
    return len(key) >= 8


def unknown_form(said: Any, exc: Exception) -> EngineError:
    """Make the error of an answer that cannot be read."""
    return EngineError(
        f"the server sent an answer of an unknown form ({type(exc).__name__}: {exc}): {said!r:.200}"
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _seconds(milliseconds: Any) -> float:
    seconds = float(milliseconds) / 1000
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{milliseconds!r:.20} ms")
    return seconds
