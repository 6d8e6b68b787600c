"""How the `ollama` engine speaks HTTP: whole documents and lines of JSON, bounded in size and time.

Ollama's own client is not used: it has no argument for `truncate` and `shift`, without which a
server cuts prompts in silence, and it takes answers of any shape.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx

from quantrial.engines.options import key_in
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
)
from quantrial.redaction import blot, blot_all, blot_error, excerpt, guard_logs, hide, hide_proxies
from quantrial.strict_json import recordable, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MOST_BYTES = 256 * 2**20  # of one document: the tokenizer of a large vocabulary takes some 20 MiB
KEY = "OLLAMA_API_KEY"  # what Ollama's own tools read
_LOGGERS = ("connection", "http11", "http2", "proxy", "socks")  # of the transport


class ServerSaidError(Exception):
    """The server answered with an error; `status` is None for one in the middle of an answer."""

    def __init__(self, said: str, status: int | None):
        self.said = said
        self.status = status
        super().__init__(said)


class UnreadableError(ValueError):
    """What came is no JSON, or of another form than documented."""


class Connection:
    """One server; several threads may ask at once. It connects when first used, and again later."""

    def __init__(self, address: str, *, local: bool):
        self._address = address
        self._local = local
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self.opened = 0  # connections: a new one may lead to a server that was started anew

    def get(self, path: str, timeout: float) -> dict[str, Any]:
        """Ask for a document."""
        return _only(self._lines("GET", path, None, timeout, within=timeout))

    def post(self, path: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Send a document and ask for one."""
        return _only(self._lines("POST", path, body, timeout, within=timeout))

    def stream(
        self, path: str, body: Mapping[str, Any], timeout: float, *, within: float = math.inf
    ) -> Iterator[dict[str, Any]]:
        """Send a document; yield those that come, as they come.

        Args:
            path: of the server's API.
            body: the document.
            timeout: seconds of silence that are waited for.
            within: seconds in which the last one has to come.

        Raises:
            ServerSaidError: the server answered with an error, or broke off with one.
            UnreadableError: what came is no JSON object.
            TimeoutError: the last one did not come in time.
            httpx.HTTPError: the connection failed, or was silent for too long.
        """
        for line in self._lines("POST", path, body, timeout, within=within):
            said = _object(line)
            if said.get("error"):
                raise ServerSaidError(_words(said), None)
            yield said

    def close(self) -> None:
        """Close the connections; calls under way break off."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _lines(
        self, method: str, path: str, body: Any, timeout: float, *, within: float
    ) -> Iterator[bytes]:
        """Yield the lines of an answer that hold anything.

        Only a line feed ends one: texts may hold what Unicode calls a line's end.
        """
        until = time.monotonic() + within
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        with self._open().stream(
            method,
            f"{self._address}{path}",
            content=content,
            timeout=timeout,
            extensions={"trace": self._trace},
        ) as response:
            # of what is left no single silence may take more
            left = min(timeout, max(until - time.monotonic(), 0.001))
            response.request.extensions["timeout"]["read"] = left
            begun, size = bytearray(), 0
            for chunk in response.iter_bytes():
                size += len(chunk)
                if time.monotonic() > until:
                    raise TimeoutError
                if size > _MOST_BYTES:
                    raise UnreadableError(f"more than {_MOST_BYTES:,} bytes came")
                begun += chunk
                if response.status_code == 200 and b"\n" in chunk:
                    *whole, rest = bytes(begun).split(b"\n")
                    yield from filter(bytes.strip, whole)
                    begun = bytearray(rest)
            if response.status_code != 200:
                raise _refused(response.status_code, bytes(begun))
            if begun.strip():
                yield bytes(begun)

    def _trace(self, event: str, _: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self.opened += 1

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                key = key_in(KEY)
                hide(key, owner=self)
                if not self._local:
                    hide_proxies(os.environ)
                guard_logs("httpx", *(f"httpcore.{name}" for name in _LOGGERS))
                self._client = httpx.Client(
                    follow_redirects=True,
                    trust_env=not self._local,  # no proxy stands before this machine
                    headers={
                        "Content-Type": "application/json",
                        "Accept-Encoding": "identity",
                        **({"Authorization": f"Bearer {key}"} if key else {}),
                    },
                )
            return self._client


def _only(lines: Iterator[bytes]) -> dict[str, Any]:
    """Read one document, which may stand on several lines."""
    known: dict[str, Any] = recordable(blot_all(_object(b"\n".join(lines))))
    return known


def _object(data: bytes) -> dict[str, Any]:
    try:
        said = json.loads(data, parse_int=whole_number)
    except (ValueError, RecursionError) as exc:
        raise UnreadableError(f"{exc}: {excerpt(repr(data), 80)}") from exc
    if not isinstance(said, dict):
        raise UnreadableError(f"not a JSON object: {excerpt(repr(data), 80)}")
    return said


def _refused(status: int, data: bytes) -> ServerSaidError:
    try:
        return ServerSaidError(_words(_object(data)), status)
    except UnreadableError:
        return ServerSaidError(blot(data.decode("utf-8", "replace")), status)


def _words(said: Mapping[str, Any]) -> str:
    """Return what an error says: a text, or what other servers nest under `message`."""
    error = said.get("error", said)
    if isinstance(error, dict):
        error = error.get("message", error)
    return blot(str(error))


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
