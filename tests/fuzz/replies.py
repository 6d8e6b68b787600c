"""What servers answer: each engine asks as it does in a run, and is handed mangled bytes.

No socket is opened: the transports of both HTTP clients hand over what the case holds. The first
byte of a case says which document is mangled; every other is as it should be.
"""

from __future__ import annotations

import contextlib
import functools
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import httpx

from quantrial.engines.base import Message, Request
from quantrial.engines.llamacpp_process import Began
from quantrial.engines.llamacpp_wire import read_reply, server_error
from quantrial.engines.ollama import OllamaEngine
from quantrial.engines.openai import OpenAIEngine

CHAT = Request(messages=(Message("user", "Hi?"),), max_tokens=8, timeout=5)
PROBED = Request(messages=(Message("user", "Hi?"),), max_tokens=8, timeout=5, logprobs=2)
TEXT = Request(text="Hi", max_tokens=8, timeout=5, logprobs=1)
URL = "http://127.0.0.1:9/v1"
_CHUNK = 1000  # bytes that come at once


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _stream(*events: Any) -> bytes:
    return b"".join(b"data: " + _json(one) + b"\n\n" for one in events) + b"data: [DONE]\n\n"


_TOP = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.5}]
_LOGPROBS = {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": _TOP}]}
_CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a":'}}
_USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}
_TIMINGS = {"prompt_ms": 3.5, "predicted_n": 2, "predicted_ms": 8.25, "cache_n": 0}
_NANO = {"total_duration": 9, "load_duration": 1, "prompt_eval_count": 9, "eval_count": 2}

# the letter of a case -> the path whose answer it is, its status, its type, and what is right
Said = tuple[str, int, str, bytes]
_EVENTS, _JSON, _LINES = "text/event-stream", "application/json", "application/x-ndjson"


def _part(**said: Any) -> dict[str, Any]:
    return {"id": "1", "model": "m", "choices": [{"index": 0, **said}]}


DOCUMENTS: Mapping[bytes, Said] = {
    b"o": ("/chat/completions", 200, _EVENTS, _stream(
        _part(delta={"role": "assistant", "reasoning_content": "Hm."}, finish_reason=None),
        _part(delta={"content": "A"}, logprobs=_LOGPROBS, finish_reason=None),
        _part(delta={"tool_calls": [_CALL]}, finish_reason=None),
        _part(delta={"content": " B"}, finish_reason="stop"),
        {"model": "m", "choices": [], "usage": _USAGE, "timings": _TIMINGS},
    )),
    b"p": ("/chat/completions", 200, _JSON, _json({
        "model": "m", "system_fingerprint": "fp", "usage": _USAGE,
        "choices": [{
            "message": {"content": [{"type": "text", "text": "A"}, {"type": "thinking", "x": 1}],
                        "tool_calls": [_CALL], "refusal": None},
            "logprobs": _LOGPROBS, "finish_reason": "length"}],
    })),
    b"t": ("/completions", 200, _EVENTS, _stream(
        _part(text="A", logprobs={"tokens": ["A"], "token_logprobs": [-0.5],
                                  "top_logprobs": [{"A": -0.5}]}),
        _part(text=" B", finish_reason="eos"),
        {"usage": _USAGE},
    )),
    b"e": ("/chat/completions", 400, _JSON, _json(
        {"error": {"message": "maximum context length is 8", "type": "x", "code": "y"}})),
    b"m": ("/models", 200, _JSON, _json({"object": "list", "data": [
        {"id": "m", "owned_by": "vllm", "created": 1, "max_model_len": 4096, "aliases": ["n"],
         "root": "/m", "meta": {"n_params": 5, "size": 10, "n_ctx": 64, "ftype": "Q8_0"}}]})),
    b"x": ("/props", 200, _JSON, _json({
        "chat_template": "{{ strftime_now('%d') }}", "total_slots": 2, "build_info": "b1",
        "model_path": "/m.gguf", "default_generation_settings": {"n_ctx": 64}})),
    b"a": ("/api/chat", 200, _LINES, b"".join(_json(one) + b"\n" for one in (
        {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "Hm"}},
        {"model": "m", "message": {"content": "A"}, "logprobs": [{"token": "A", "logprob": -1}]},
        {"model": "m", "message": {"content": "", "tool_calls": [{"function": {"name": "f"}}]}},
        {"model": "m", "done": True, "done_reason": "stop", "message": {"content": ""}, **_NANO},
    ))),
    b"g": ("/api/generate", 200, _LINES, b"".join(_json(one) + b"\n" for one in (
        {"model": "m", "response": "A", "logprobs": [{"token": "A", "logprob": -1}]},
        {"model": "m", "response": "", "done": True, "done_reason": "length", **_NANO},
    ))),
    b"r": ("/api/chat", 500, _JSON, _json({"error": "llama runner process has terminated"})),
    b"l": ("/api/tags", 200, _JSON, _json({"models": [
        {"name": "m:latest", "model": "m:latest", "digest": "d" * 64, "size": 10,
         "details": {"family": "llama", "quantization_level": "Q8_0"}}]})),
    b"s": ("/api/ps", 200, _JSON, _json({"models": [
        {"model": "m:latest", "digest": "d" * 64, "context_length": 4096, "size_vram": 5}]})),
    b"h": ("/api/show", 200, _JSON, _json({
        "modelfile": "FROM /x/sha256-" + "a" * 64 + "\nPARAMETER stop x\n", "template": "{{ x }}",
        "parameters": "stop x", "details": {"family": "llama"}, "capabilities": ["completion"],
        "model_info": {"general.architecture": "llama", "llama.block_count": 2,
                       "llama.attention.head_count": [4, 4], "llama.embedding_length": 64,
                       "general.parameter_count": 5, "tokenizer.ggml.tokens": ["a", "<s>"],
                       "tokenizer.ggml.token_type": [1, 3]}})),
    b"v": ("/api/version", 200, _JSON, _json({"version": "0.22.1"})),
    b"c": ("", 200, _JSON, _json({
        "choices": [{"message": {"content": "A"}, "finish_reason": "stop", "logprobs": _LOGPROBS}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2}, "timings": _TIMINGS})),
    b"d": ("", 200, _JSON, _json({
        "content": "A", "stop_type": "eos", "tokens_evaluated": 9, "tokens_predicted": 2,
        "timings": _TIMINGS,
        "completion_probabilities": [{"token": "A", "logprob": -1, "top_logprobs": _TOP}]})),
    b"f": ("", 500, _JSON, _json({"error": {
        "type": "exceed_context_size_error", "message": "m", "n_prompt_tokens": 9, "n_ctx": 8}})),
}  # fmt: skip


class _Pieces(httpx.SyncByteStream):
    def __init__(self, data: bytes):
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, len(self._data), _CHUNK):
            yield self._data[at : at + _CHUNK]


@dataclass
class _Wire:
    """Answers every call with the documents of one case."""

    said: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)

    def load(self, letter: bytes, data: bytes) -> None:
        self.said = {path: rest for path, *rest in DOCUMENTS.values() if path}  # type: ignore[misc]
        for right in (b"o", b"a"):  # of two for one path, the one that is no error
            path, *rest = DOCUMENTS[right]
            self.said[path] = tuple(rest)  # type: ignore[assignment]
        path, status, kind, _ = DOCUMENTS[letter]
        self.said[path] = (status, kind, data)

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        ending = next((end for end in self.said if path.endswith(end)), None)
        # /completions is the end of /chat/completions
        ending = "/chat/completions" if path.endswith("/chat/completions") else ending
        if ending is None:
            return httpx.Response(404, stream=_Pieces(b"{}"), request=request)
        status, kind, data = self.said[ending]
        return httpx.Response(
            status, headers={"content-type": kind}, stream=_Pieces(data), request=request
        )


@contextlib.contextmanager
def exchanges() -> Iterator[tuple[list[bytes], Callable[[bytes], None]]]:
    """Yield samples, each after its letter, and what hands one to the engine that it is for."""
    wire = _Wire()
    # certificates are read once: that takes longer than a case
    context = functools.cache(ssl.create_default_context)()

    def answer(_: object, request: httpx.Request) -> httpx.Response:
        return wire.answer(request)

    with (
        mock.patch("ssl.create_default_context", return_value=context),
        mock.patch.object(httpx.HTTPTransport, "handle_request", answer),
    ):

        def ask(data: bytes) -> None:
            letter = data[:1] if data[:1] in DOCUMENTS else b"o"
            _ask(wire, letter, data[1:])

        yield [letter + said[3] for letter, said in DOCUMENTS.items()], ask


def _ask(wire: _Wire, letter: bytes, data: bytes) -> None:
    wire.load(letter, data)
    if letter in b"cdf":
        response = httpx.Response(DOCUMENTS[letter][1], content=data)
        if letter == b"f":
            raise server_error(response)
        request = PROBED if letter == b"c" else TEXT
        _written(read_reply(response, request, Began(0, False), load=None, wall=1.0))
    elif letter in b"optemx":
        options: dict[str, Any] = {"base_url": URL, "stream": letter != b"p"}
        if letter == b"x":
            options["server"] = "llama.cpp"
        engine = OpenAIEngine("m", options)
        try:
            if letter in b"mx":
                _written(engine.describe())
            _written(engine.ask(TEXT if letter == b"t" else PROBED if letter in b"op" else CHAT))
        finally:
            engine.close()
    else:
        ollama = OllamaEngine("m", {"host": "127.0.0.1:9"})
        try:
            if letter in b"lshv":
                ollama.versions()
                _written(ollama.describe())
                ollama.special_tokens()
            _written(ollama.ask(TEXT if letter == b"g" else CHAT))
        finally:
            ollama.close()


def _written(made: Any) -> None:
    """Write what an engine made as the run folder has it: that must be possible."""
    from dataclasses import asdict

    import orjson

    orjson.dumps(asdict(made))
