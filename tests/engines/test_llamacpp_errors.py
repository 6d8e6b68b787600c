"""What goes wrong with the embedded server, in quantrial's own errors: right in every row."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from quantrial.engines import Request
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.llamacpp_wire import SERVER_ERRORS, server_error
from quantrial.errors import EngineCrashedError, EngineError, EngineTimeoutError

SHORT = Request(text="Question: What is the capital of France?\nAnswer:", max_tokens=3)


@pytest.mark.model
@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (httpx.ReadTimeout("x"), EngineTimeoutError),
        (httpx.ConnectTimeout("x"), EngineTimeoutError),
        (httpx.PoolTimeout("x"), EngineTimeoutError),
        (httpx.ConnectError("x"), EngineCrashedError),
        (httpx.ReadError("x"), EngineCrashedError),
        (httpx.RemoteProtocolError("x"), EngineCrashedError),
        (httpx.DecodingError("x"), EngineError),
        (RuntimeError("Cannot send a request, as the client has been closed."), EngineCrashedError),
    ],
)
def test_an_error_of_the_http_client_is_translated(
    llamacpp: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch, raised: Exception, kind: type
) -> None:
    llamacpp.start()
    assert llamacpp._worker is not None

    def fail(*_: Any, **__: Any) -> httpx.Response:
        assert llamacpp.pid is not None
        os.kill(llamacpp.pid, signal.SIGKILL)
        raise raised

    monkeypatch.setattr(llamacpp._worker.client, "post", fail)
    with pytest.raises(EngineError) as caught:
        llamacpp.ask(SHORT)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is raised


def test_every_error_type_of_the_server_is_translated() -> None:
    for kind, (error, retryable) in SERVER_ERRORS.items():
        body = {"error": {"type": kind, "message": "why", "n_prompt_tokens": 9, "n_ctx": 4}}
        translated = server_error(httpx.Response(400, json=body))
        assert type(translated) is error
        assert translated.retryable is retryable
        assert "9 tokens and the context 4" in str(translated) or "why" in str(translated)
    strange = server_error(httpx.Response(418, json={"error": {"type": "new", "message": "w"}}))
    assert type(strange) is EngineError
    assert "new, 418" in str(strange)
    for text in ("<html>", "[]", '{"error": 1}', ""):
        assert "answered 500" in str(server_error(httpx.Response(500, text=text)))


@pytest.mark.model
def test_the_servers_error_types_are_those_of_this_llama_cpp() -> None:
    import xllamacpp

    library = next(Path(xllamacpp.__file__).parent.glob("xllamacpp*.so")).read_bytes()
    for kind in SERVER_ERRORS:
        assert kind.encode() + b"\0" in library


@pytest.mark.model
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"content": "x"}', b'{"timings": {}}'])
def test_an_answer_of_another_form_is_an_engine_error(
    llamacpp: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    llamacpp.start()
    assert llamacpp._worker is not None
    answer = httpx.Response(200, content=body)
    monkeypatch.setattr(llamacpp._worker.client, "post", lambda *_, **__: answer)
    with pytest.raises(EngineError, match="unknown form"):
        llamacpp.ask(SHORT)
