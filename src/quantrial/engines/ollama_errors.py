"""What goes wrong between quantrial and an Ollama server: one table, and the server's own words."""

from __future__ import annotations

import re

import httpx

from quantrial.engines.ollama_http import ServerSaidError, UnreadableError
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
)
from quantrial.redaction import blot, blot_error, excerpt

# The first that fits decides. `ServerSaidError` is what the server says itself, see below.
FOREIGN_ERRORS: dict[type[Exception], type[EngineError]] = {
    TimeoutError: EngineTimeoutError,
    httpx.TimeoutException: EngineTimeoutError,
    httpx.NetworkError: EngineCrashedError,
    httpx.ProtocolError: EngineCrashedError,
    httpx.StreamError: EngineCrashedError,
    httpx.DecodingError: EngineError,
    httpx.TooManyRedirects: EngineError,
    httpx.UnsupportedProtocol: EngineError,
    httpx.ProxyError: EngineError,
    httpx.InvalidURL: EngineError,
    ServerSaidError: EngineError,
    UnreadableError: EngineError,  # HTML, cut JSON, a list, bytes that are no UTF-8
    UnicodeEncodeError: EngineError,  # the prompt is not valid text
    RuntimeError: EngineCrashedError,  # another thread closed the client
}
_NEVER_HELPS = (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeEncodeError)
FOREIGN = tuple(FOREIGN_ERRORS)

# Words of the server (its errors have no codes) -> what it is, and whether asking again can help.
SERVER_WORDS: tuple[tuple[re.Pattern[str], type[EngineError], bool], ...] = (
    (
        re.compile(r"(exceeds?|longer than|too long for)[\w ]*context", re.IGNORECASE),
        ContextOverflowError,
        False,
    ),
    (re.compile(r"requires more (system )?memory"), EngineStartError, False),
    (re.compile(r"unable to load model|error loading model"), EngineStartError, False),
    (re.compile(r"not found"), EngineError, False),
    (re.compile(r"runner (process )?(has )?(terminated|no longer)"), EngineCrashedError, True),
)


def translated(exc: Exception, where: str) -> EngineError:
    """Make quantrial's error of a foreign one; `where` names the model and the server."""
    blot_error(exc)
    if isinstance(exc, ServerSaidError):
        return _from_server(exc, where)
    kind = next((k for t, k in FOREIGN_ERRORS.items() if isinstance(exc, t)), EngineError)
    said = blot(str(exc)).strip().splitlines()
    what = f"{type(exc).__name__}: {said[0][:200]}" if said else type(exc).__name__
    if kind is EngineCrashedError:
        message = f"the connection to {where} broke ({what})"
    elif isinstance(exc, UnreadableError):
        message = f"{where} sent an answer of an unknown form ({said[0][:200] if said else what})"
    else:
        message = f"{where} could not be spoken to ({what})"
    error = kind(message)
    error.gone = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout)
    if isinstance(exc, _NEVER_HELPS):
        error.retryable = False
    return error


def _from_server(exc: ServerSaidError, where: str) -> EngineError:
    """Translate what the server says; an error in the middle of an answer has no status."""
    said = excerpt(exc.said.strip(), 300) or "nothing"
    status = exc.status
    message = f"{where} " + (f"answered {status}: {said}" if status else f"broke off: {said}")
    for words, kind, retryable in SERVER_WORDS:
        if words.search(said):
            error = kind(message)
            error.retryable = retryable
            return error
    error = EngineError(message)
    error.retryable = status is None or status in (408, 425, 429) or status >= 500
    error.gone = status in (502, 503)
    return error
