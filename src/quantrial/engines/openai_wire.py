"""What is asked of an OpenAI-compatible server, and how its answers are read. Pure.

Servers agree on a core and differ beside it: what they take for a grammar or an exact length, and
what they say of time. `SERVERS` holds what is documented of each; a `generic` one is asked for
nothing beyond the core.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quantrial.engines.abilities import refusal
from quantrial.engines.base import Reply, Request, Timing
from quantrial.engines.options import refuse_keys, shown_url
from quantrial.engines.replies import (
    REPEAT_LIMIT,
    Message,
    count_of,
    read_logprobs,
    seconds_of,
    settled,
)
from quantrial.errors import EngineCrashedError, EngineError, StudyError
from quantrial.redaction import blot, excerpt
from quantrial.strict_json import readable

if TYPE_CHECKING:
    from collections.abc import Mapping


def urls_of(said: Mapping[str, Any], *, key: str) -> list[str]:
    """Return the base URLs that the options name, and see that the rest of them can be sent.

    Raises:
        StudyError: one is missing, no URL, occurs twice or holds a key.
    """
    if said["base_url"] is None:
        raise StudyError(
            "missing: the server's address, such as http://127.0.0.1:8080/v1", key=f"{key}.base_url"
        )
    urls = [said["base_url"], *said["replicas"]]
    for i, url in enumerate(urls):
        _check_url(url, f"{key}.base_url" if i == 0 else f"{key}.replicas.{i - 1}")
    if len(set(urls)) < len(urls):
        raise StudyError("the same URL occurs twice", key=f"{key}.replicas")
    refuse_keys(said["extra_body"], key=f"{key}.extra_body")
    try:
        json.dumps(said["extra_body"])
    except (TypeError, ValueError) as exc:
        raise StudyError(f"cannot be sent as JSON: {exc}", key=f"{key}.extra_body") from exc
    return [url.rstrip("/") for url in urls]


def _check_url(url: Any, key: str) -> None:
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise StudyError(
            f"expected a URL such as http://127.0.0.1:8080/v1, got {shown_url(url)}", key=key
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise StudyError(
            "a key does not stand in a URL; the option `api_key_env` names a variable of the "
            "environment that holds it",
            key=key,
        )


_CORE = frozenset({"schema", "tools", "logprobs", "parallel"})
SERVERS: Mapping[str, frozenset[str]] = {
    "generic": _CORE,
    "llama.cpp": _CORE | {"grammar", "exact_length", "fresh"},
    # a second call of it ends the first one's stream
    "llama-cpp-python": frozenset({"schema", "tools", "logprobs", "grammar"}),
    "vllm": _CORE | {"exact_length", "fresh"},
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
# other words for the same, of TGI, Mistral, Gemini and Anthropic
_FINISH = {
    **dict.fromkeys(("stop", "eos", "eos_token", "stop_sequence", "end_turn"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_length", "model_length"), "length"),
}
_LONGEST_NAME = 200  # characters of a model's name that are shown
_MILLI = 1000  # to a second
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
        body["messages"] = [asdict(m) for m in request.messages]
        if request.tools:
            body["tools"] = list(request.tools)
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


def salted(
    body: dict[str, Any], request: Request, dialect: Dialect, *, vllm: bool
) -> dict[str, Any]:
    """Return the body with a salt of its own, where vLLM would reuse what it read of other prompts.

    vLLM shares what it read among calls of one `cache_salt` alone, so that a new one for each call
    switches its cache of prompts off. `prompt_cache` lets it be; `extra_body` may say another one.
    """
    asked = vllm and (request.fresh or not dialect.prompt_cache)
    if not asked or "cache_salt" in dialect.extra_body:
        return body
    return {**body, "cache_salt": secrets.token_hex(16)}


def cached_tokens(usage: Mapping[str, Any], timings: Any) -> Any:
    """Return how many tokens of a prompt a server says that it did not read anew; None if nothing.

    By OpenAI's name, DeepSeek's, Anthropic's (of proxies), and llama-server's among its timings.
    What it calls `tokens_cached` is left out: that counts what is kept after the answer.
    """
    details = usage.get("prompt_tokens_details")
    said = (
        (details if isinstance(details, dict) else {}).get("cached_tokens"),
        usage.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cache_read_input_tokens"),
        (timings if isinstance(timings, dict) else {}).get("cache_n"),
    )
    return next((one for one in said if one is not None), None)


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
        self.ended = False  # a stream came to the word that ends it, whether or not it said why
        self._request = request
        self._dialect = dialect
        self.message = Message()
        self._first: float | None = None
        self._last: float | None = None
        self._finish: str | None = None
        self._usage: Any = None
        self._timings: Any = None
        self._logprobs: list[Mapping[str, Any]] = []

    def add(self, event: Mapping[str, Any] | None, at: float) -> None:
        """Take one event, `at` seconds after the call; None is the word that ends a stream.

        Raises:
            EngineError: it is not of the form there is, or another model's.
        """
        if event is None:
            self.ended = True
            return
        try:
            self._check_model(event.get("model"))
            if said := event.get("system_fingerprint"):
                # it is recorded, and compared with what is recorded
                self.fingerprint = blot(readable(str(said)))
            self._usage = event.get("usage") or self._usage
            self._timings = event.get("timings") or self._timings
            for choice in event.get("choices") or ():
                self._add_choice(choice, at)
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            raise EngineError(
                f"the server sent an answer of an unknown form ({type(exc).__name__}: "
                f"{excerpt(str(exc), 200)}): {excerpt(repr(event), 200)}"
            ) from exc

    def _check_model(self, model: Any) -> None:
        asked = self._dialect.served_as or self._dialect.model
        if model and model != asked:
            said = excerpt(str(model), _LONGEST_NAME)
            raise refusal(
                f"the answer is of the model {said!r}, and {asked!r} was asked; if that is its "
                f"name there, say it in the option `served_as` (served_as: {said})"
            )

    def _add_choice(self, choice: Mapping[str, Any], at: float) -> None:
        whole, chat = not self._dialect.stream, bool(self._request.messages)
        said: Any = choice
        if chat:
            said = choice["message"] if whole else choice.get("delta")
        elif whole and "text" not in choice:
            raise KeyError("text")
        if self.message.add(said or {}, key="content" if chat else "text"):
            self._first = at if self._first is None else self._first
            self._last = at
        if self.message.texts:
            self.message.texts[-1].encode()  # half of a pair, escaped in JSON, is no text
        if self._request.logprobs and choice.get("logprobs"):
            self._logprobs += read_logprobs(choice["logprobs"])
        if ended := choice.get("finish_reason"):
            if not isinstance(ended, str):
                raise TypeError(f"finish_reason is {ended!r}")
            self._finish = _FINISH.get(ended.lower(), ended)

    def reply(self, wall: float) -> Reply:
        """Make the reply of all events, `wall` seconds after the call.

        Raises:
            EngineError: the answer is not whole, or was kept back.
        """
        reply = self._reply(self.message.text, wall)
        if reply.finish_reason is None and self.message.looped:
            # the server counts nothing of it, at most says 0
            reply = replace(
                reply,
                finish_reason=REPEAT_LIMIT,
                prompt_tokens=None,
                completion_tokens=None,
                decoded_tokens=None,
                doubts=(),
            )
        spoken = reply.output or reply.thought or reply.tool_calls
        # without a reason to end, a stream has a word for its end, and what comes whole is counted
        counted = reply.completion_tokens is not None
        whole = self.ended if self._dialect.stream else counted
        if reply.finish_reason is None and not (spoken and whole):
            raise EngineCrashedError(
                f"the answer broke off{self.message.place or ' at its beginning'}"
            )
        if self._finish in _WITHHELD:
            error = EngineError(f"the server kept its answer back: {self._finish}")
            error.retryable = _WITHHELD[self._finish]
            error.of_prompt = not error.retryable
            raise error
        if self._request.logprobs and not self._logprobs and reply.output:
            raise refusal("the server gave no probabilities of tokens; it may not know `logprobs`")
        return reply

    def partial(self, wall: float) -> Reply | None:
        """Return what has come of an answer; None where that is nothing, or no answer is so."""
        if not self.message.could_be_whole(self._request.max_tokens):
            return None
        try:
            return self._reply(readable(self.message.text), wall)
        except EngineError:  # it repeats a key, for one
            return None

    def _reply(self, output: str, wall: float) -> Reply:
        # what is no count is passed on, and is left out with a doubt
        usage = self._usage if isinstance(self._usage, dict) else {"completion_tokens": self._usage}
        decoded, timing = self._timing(usage.get("completion_tokens"), wall)
        reply = Reply(
            output=output,
            finish_reason=self._finish,
            prompt_tokens=usage.get("prompt_tokens"),
            cached_tokens=cached_tokens(usage, self._timings),
            completion_tokens=usage.get("completion_tokens"),
            decoded_tokens=decoded,
            logprobs=tuple(self._logprobs) if self._request.logprobs else None,
            timing=timing,
            thought=self.message.thought,
            tool_calls=self.message.tool_calls,
        )
        return settled(reply, self._request)

    def _timing(self, completion_tokens: Any, wall: float) -> tuple[int | None, Timing]:
        prompt = decode = decoded = None
        first = self._first if self._dialect.stream else None
        if self._timings is not None:
            said = self._timings if isinstance(self._timings, dict) else {}
            prompt = seconds_of(said.get("prompt_ms"), per=_MILLI)
            made = count_of(said.get("predicted_n"))
            # the first token comes out of the prompt's batch, before the clock starts
            decoded = None if made is None else max(made - 1, 0)
            decode = seconds_of(said.get("predicted_ms"), per=_MILLI) if decoded else None
            if first is None and (self.message.length or self.message.calls):
                first = max(wall - (decode or 0.0), 0.0)
        elif first is not None and self._last is not None and self._last > first:
            # from the first piece to the last one: every token but the first
            counted = count_of(completion_tokens)
            decoded = counted - 1 if counted else None
            decode = self._last - first if decoded else None
        return decoded, Timing(prompt=prompt, first_token=first, decode=decode, wall=wall)
