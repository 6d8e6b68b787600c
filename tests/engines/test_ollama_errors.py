"""The table of what goes wrong with an Ollama server: complete, and right in every row."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from quantrial.engines.ollama_http import FOREIGN, ServerSaidError, UnreadableError, translated
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
)


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
        (httpx.ConnectError("x"), EngineCrashedError, True),
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
