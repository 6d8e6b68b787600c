"""The table of errors of Ollama's client: complete, and right in every row."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator

import httpx
import ollama
import pydantic
import pytest

from quantrial.engines.ollama_errors import FOREIGN, translated
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


def raised_by_the_client() -> set[type[Exception]]:
    own = {
        kind
        for module in (ollama, ollama._client, ollama._types)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception)
    }
    return own | set(kinds_of(httpx.RequestError)) | {ConnectionError, json.JSONDecodeError}


def unmapped() -> set[type[Exception]]:
    groups = {httpx.TransportError, httpx.RequestError}  # raised only as one of their kinds
    return {e for e in raised_by_the_client() if not issubclass(e, FOREIGN)} - groups


def test_every_error_of_the_client_is_translated_and_a_new_one_is_noticed() -> None:
    assert {ollama.ResponseError, ollama.RequestError} <= raised_by_the_client()
    assert unmapped() == set()

    class NewError(httpx.TransportError):
        pass

    assert unmapped() == {NewError}


def invalid() -> pydantic.ValidationError:
    try:
        ollama.ChatResponse.model_validate({"message": 3})
    except pydantic.ValidationError as exc:
        return exc
    raise AssertionError


@pytest.mark.parametrize(
    ("raised", "kind", "retryable"),
    [
        (httpx.ReadTimeout("x"), EngineTimeoutError, True),
        (httpx.PoolTimeout("x"), EngineTimeoutError, True),
        (httpx.ConnectError("x"), EngineCrashedError, True),
        (httpx.ReadError("x"), EngineCrashedError, True),
        (httpx.RemoteProtocolError("x"), EngineCrashedError, True),
        (ConnectionError("x"), EngineCrashedError, True),
        (httpx.DecodingError("x"), EngineError, True),
        (httpx.UnsupportedProtocol("x"), EngineError, False),
        (ollama.RequestError("x"), EngineError, False),
        (json.JSONDecodeError("x", "y", 0), EngineError, True),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), EngineError, True),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"), EngineError, False),
        (invalid(), EngineError, True),
        (ollama.ResponseError("busy", 503), EngineError, True),
        (ollama.ResponseError("wrong", 400), EngineError, False),
        (ollama.ResponseError("model 'm' not found", 404), EngineError, False),
        (ollama.ResponseError("the input length exceeds the context length", 400),
         ContextOverflowError, False),
        (ollama.ResponseError("exceed_context_size_error", 500), ContextOverflowError, False),
        (ollama.ResponseError("model requires more system memory (1)", 500),
         EngineStartError, False),
        (ollama.ResponseError("llama runner process has terminated: exit status 2", 500),
         EngineCrashedError, True),
    ],
)  # fmt: skip
def test_an_error_is_translated(raised: Exception, kind: type, retryable: bool) -> None:
    error = translated(raised, "Ollama (m on here)")
    assert type(error) is kind
    assert error.retryable is retryable
    assert "Ollama (m on here)" in str(error)
