"""The table of what goes wrong with a server: complete, and right in every row."""

from __future__ import annotations

import collections
import contextlib
import gc
import threading
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from quantrial.engines.http import (
    FOREIGN,
    Connection,
    ServerSaidError,
    UnreadableError,
    retry_after,
    server_said,
    translated,
)
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
)

URL = "http://127.0.0.1:1/v1"


def kinds_of(error: type[Exception]) -> Iterator[type[Exception]]:
    for kind in error.__subclasses__():
        yield kind
        yield from kinds_of(kind)


def unmapped() -> set[type[Exception]]:
    raised: set[type[Exception]] = {
        *kinds_of(httpx.RequestError),
        httpx.InvalidURL,
        httpx.StreamError,
    }
    groups = {httpx.TransportError, httpx.RequestError}  # raised only as one of their kinds
    return {e for e in raised if not issubclass(e, FOREIGN)} - groups


def test_every_error_of_the_client_is_translated_and_a_new_one_is_noticed() -> None:
    assert unmapped() == set()

    class NewError(httpx.TransportError):
        pass

    assert unmapped() == {NewError}


LLAMA_SERVER = (  # as versions that run llama.cpp's own server hand it on
    '{"error":{"code":400,"message":"the request exceeds the available context size, try '
    'increasing it","type":"exceed_context_size_error","n_prompt_tokens":951,"n_ctx":512}}'
)


@pytest.mark.parametrize(
    ("raised", "kind", "retryable"),
    [
        (httpx.ReadTimeout("x"), EngineTimeoutError, True),
        (httpx.PoolTimeout("x"), EngineTimeoutError, True),
        (TimeoutError(), EngineTimeoutError, True),
        (httpx.ConnectError("x"), EngineStartError, True),
        (httpx.ProxyError("x"), EngineStartError, True),
        (httpx.ReadError("x"), EngineCrashedError, True),
        (httpx.RemoteProtocolError("x"), EngineCrashedError, True),
        (httpx.StreamClosed(), EngineCrashedError, True),
        (RuntimeError("the client has been closed"), EngineCrashedError, True),
        (httpx.DecodingError("x"), EngineError, True),
        (httpx.UnsupportedProtocol("x"), EngineError, False),
        (httpx.InvalidURL("x"), EngineError, False),
        (UnreadableError("x"), EngineError, True),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"), EngineError, False),
        (ServerSaidError("busy", 503), EngineError, True),
        (ServerSaidError("slow down", 429), EngineError, True),
        (ServerSaidError("it died", None), EngineError, True),
        (ServerSaidError("wrong", 400), EngineError, False),
        (ServerSaidError("model 'm' not found", 404), EngineError, False),
        (ServerSaidError("the input length exceeds the context length", 400),
         ContextOverflowError, False),
        (ServerSaidError("the input length exceeds maximum context length", 400),
         ContextOverflowError, False),
        (ServerSaidError("the request (951 tokens) exceeds the available context size (512 tokens)",
         400), ContextOverflowError, False),
        (ServerSaidError("the prompt is longer than the context length currently available to the "
         "model; shorten the prompt", 400), ContextOverflowError, False),
        (ServerSaidError(LLAMA_SERVER, 400), ContextOverflowError, False),
        (ServerSaidError("exceed_context_size_error", 500), ContextOverflowError, False),
        (ServerSaidError("model requires more system memory (1)", 500),
         EngineStartError, False),
        (ServerSaidError("llama runner process has terminated: exit status 2", 500),
         EngineCrashedError, True),
    ],
)  # fmt: skip
def test_an_error_is_translated(raised: Exception, kind: type, retryable: bool) -> None:
    error = translated(raised, "Ollama (m on here)")
    assert type(error) is kind
    assert error.retryable is retryable
    assert "Ollama (m on here)" in str(error)


def said(status: int, body: Any) -> EngineError:
    response = httpx.Response(status, json=body, request=httpx.Request("POST", URL))
    return translated(server_said(response, response.content), URL)


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, EngineError, False),
        (401, EngineError, False),
        (403, EngineError, False),
        (404, EngineError, False),
        (408, EngineTimeoutError, True),
        (409, EngineError, True),
        (418, EngineError, False),
        (422, EngineError, False),
        (429, EngineError, True),
        (500, EngineError, True),
        (502, EngineError, True),
        (503, EngineError, True),
        (529, EngineError, True),
    ],
)
def test_every_status_is_translated(status: int, kind: type, retryable: bool) -> None:
    error = said(status, {"error": {"message": "no luck", "type": "x"}})
    assert (type(error), error.retryable) == (kind, retryable)
    assert f"{URL} answered {status}: no luck" in str(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        # llama.cpp
        (400, {"message": "request (931 tokens) ...", "type": "exceed_context_size_error"}),
        # OpenAI
        (400, {"message": "too long", "code": "context_length_exceeded"}),
        # vLLM
        (400, {"message": "This model's maximum context length is 4096 tokens. However, you ..."}),
        # SGLang
        (400, {"message": "The input (5000 tokens) is longer than the model's context length."}),
        # TGI
        (
            422,
            {"message": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4"},
        ),
        (422, {"message": "Input validation error: `inputs` must have less than 1024 tokens."}),
    ],
)
def test_a_prompt_that_is_too_long_is_an_overflow_whoever_says_so(
    status: int, body: dict[str, str]
) -> None:
    error = said(status, {"error": body})
    assert type(error) is ContextOverflowError
    assert not error.retryable


def test_retry_after_is_read_as_seconds_or_as_a_date_by_hand() -> None:
    now = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110
    assert retry_after("120", now=now) == 120
    assert retry_after(" 1.5 ", now=now) == 1.5
    assert retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now=now) == 60
    assert retry_after("Sun, 06 Nov 1994 08:48:37 GMT", now=now) == 0
    for nonsense in (None, "", "soon", "-5", "inf", "nan", "9" * 40):
        assert retry_after(nonsense, now=now) is None


class _Streams(BaseHTTPRequestHandler):
    """Answers with an event, an error and many more events."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b'data: {"n": 1}\n\ndata: {"error": {"message": "no"}}\n\n')
            self.wfile.flush()
            self.wfile.write(b'data: {"n": 2}\n\n' * 20_000)

    def log_message(self, *_: object) -> None:
        pass


def test_a_stream_that_is_left_early_is_closed_at_once_and_not_by_the_collector() -> None:
    """Collected while the pool of connections is locked, it would wait for itself for ever."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Streams)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    connection = Connection(f"http://127.0.0.1:{server.server_port}")
    before = {id(one) for one in gc.get_objects() if isinstance(one, types.GeneratorType)}
    try:
        with pytest.raises(ServerSaidError) as caught:
            collections.deque(connection.events("/x", {}, within=20.0, size=2**24), maxlen=0)
        left = [
            one.gi_code.co_name
            for one in gc.get_objects()
            if isinstance(one, types.GeneratorType) and id(one) not in before
            if one.gi_code.co_name == "_lines" and one.gi_frame is not None
        ]
        assert caught.value is not None  # it holds every frame that it came through
        assert left == []
    finally:
        connection.close()
        server.shutdown()
        thread.join()
        server.server_close()
