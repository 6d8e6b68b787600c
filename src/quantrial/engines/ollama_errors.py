"""What the Ollama client raises, and what it means here: one table, and the server's own words."""

from __future__ import annotations

import json
import re

import httpx
import ollama
import pydantic

from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
)

# The first that fits decides. `ollama.ResponseError` is what the server says itself, see below.
FOREIGN_ERRORS: dict[type[Exception], type[EngineError]] = {
    httpx.TimeoutException: EngineTimeoutError,
    httpx.NetworkError: EngineCrashedError,
    httpx.ProtocolError: EngineCrashedError,
    ConnectionError: EngineCrashedError,  # what the client makes of a refused connection
    httpx.DecodingError: EngineError,
    httpx.TooManyRedirects: EngineError,
    httpx.UnsupportedProtocol: EngineError,
    httpx.ProxyError: EngineError,
    ollama.ResponseError: EngineError,
    ollama.RequestError: EngineError,
    # an answer of another form than documented: HTML, cut JSON, a list, bytes that are no UTF-8
    pydantic.ValidationError: EngineError,
    json.JSONDecodeError: EngineError,
    UnicodeError: EngineError,
    AttributeError: EngineError,
    KeyError: EngineError,
    TypeError: EngineError,
}
_NEVER_HELPS = (httpx.UnsupportedProtocol, ollama.RequestError, UnicodeEncodeError)
FOREIGN = tuple(FOREIGN_ERRORS)

# Words of the server (its errors have no codes) -> what it is, and whether asking again can help.
SERVER_WORDS: tuple[tuple[re.Pattern[str], type[EngineError], bool], ...] = (
    (re.compile(r"exceed[\w ]*context"), ContextOverflowError, False),
    (re.compile(r"requires more (system )?memory"), EngineStartError, False),
    (re.compile(r"unable to load model|error loading model"), EngineStartError, False),
    (re.compile(r"not found"), EngineError, False),
    (re.compile(r"runner (process )?(has )?(terminated|no longer)"), EngineCrashedError, True),
)


def translated(exc: Exception, where: str) -> EngineError:
    """Make quantrial's error of a foreign one; `where` names the model and the server."""
    if isinstance(exc, ollama.ResponseError):
        return _from_server(exc, where)
    kind = next((k for t, k in FOREIGN_ERRORS.items() if isinstance(exc, t)), EngineError)
    said = str(exc).strip().splitlines()
    what = f"{type(exc).__name__}: {said[0][:200]}" if said else type(exc).__name__
    if kind is EngineCrashedError:
        message = f"the connection to {where} broke ({what})"
    elif isinstance(exc, httpx.HTTPError | ollama.RequestError | UnicodeEncodeError):
        message = f"{where} could not be spoken to ({what})"
    else:
        message = f"{where} sent an answer of an unknown form ({what})"
    error = kind(message)
    if isinstance(exc, _NEVER_HELPS):
        error.retryable = False
    return error


def _from_server(exc: ollama.ResponseError, where: str) -> EngineError:
    """Translate what the server says; status -1 is an error in the middle of an answer."""
    said = str(exc.error).strip()[:300] or "nothing"
    message = f"{where} answered {exc.status_code}: {said}"
    for words, kind, retryable in SERVER_WORDS:
        if words.search(said):
            error = kind(message)
            error.retryable = retryable
            return error
    error = EngineError(message)
    error.retryable = exc.status_code in (-1, 408, 425, 429) or exc.status_code >= 500
    return error
