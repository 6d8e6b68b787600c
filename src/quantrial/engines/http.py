"""How engines speak HTTP: JSON as a document, in lines or in events, bounded in size and time.

The clients that the makers of servers publish are not used: they ask again by themselves, read
without an end, and take answers of any shape (docs/decisions/0010-servers-over-http.md).
"""

from __future__ import annotations

import collections
import contextlib
import email.utils
import functools
import json
import math
import os
import re
import ssl
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx

from quantrial.engines.options import is_loopback
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
)
from quantrial.redaction import blot_all, blot_error, excerpt, guard_logs, hide_proxies
from quantrial.strict_json import recordable, whole_number

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

_MOST_BYTES = 256 * 2**20  # of one document: the tokenizer of a large vocabulary takes some 20 MiB
_LOGGERS = ("connection", "http11", "http2", "proxy", "socks")  # of the transport
_DONE = b"[DONE]"  # ends a stream of events
_SHOWN = 200  # characters of a foreign text that go into a message


class ServerSaidError(Exception):
    """The server answered with an error; `status` is None for one in the middle of an answer.

    `codes` are the server's own names of it, `retry_after` the seconds that it asks to wait.
    """

    def __init__(
        self,
        said: str,
        status: int | None,
        *,
        codes: tuple[str, ...] = (),
        retry_after: float | None = None,
    ):
        self.said = said
        self.status = status
        self.codes = codes
        self.retry_after = retry_after
        super().__init__(said)


class UnreadableError(ValueError):
    """What came is no JSON, or of another form than documented."""


class Connection:
    """One server; several threads may ask at once. It connects when first used, and again later.

    All its methods raise ServerSaidError where the server answers with an error, UnreadableError
    where what came is no JSON object, TimeoutError where the last of it did not come in time,
    EngineError where there is no end to it, and what httpx raises where the connection failed.
    """

    def __init__(
        self, address: str, *, key: str | None = None, reuse: bool = True, redirects: bool = False
    ):
        """Remember where the server is.

        Args:
            address: what paths are appended to.
            key: sent as a bearer token.
            reuse: keep connections for further calls. A server may drop one just when a call sets
                out on it, which looks like a crash: llama.cpp's does so after every stream.
            redirects: follow them.
        """
        self.address = address
        self.opened = 0  # connections: a new one may lead to a server that was started anew
        self._reuse = reuse
        self._redirects = redirects
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def document(
        self, path: str, body: Mapping[str, Any] | None = None, *, within: float
    ) -> dict[str, Any]:
        """Ask about something, not of a model; keys are blotted out of what comes.

        Args:
            path: below the address, or a whole URL.
            body: what is sent, as JSON; None for a GET.
            within: seconds in which all of it has to come.
        """
        known: dict[str, Any] = recordable(blot_all(self._document(path, body, within=within)))
        return known

    def whole(
        self, path: str, body: Mapping[str, Any], *, within: float, size: int
    ) -> Generator[dict[str, Any]]:
        """Ask for an answer in one document of at most `size` bytes, and yield it."""
        yield _no_error(self._document(path, body, within=within, size=size))

    def lines(
        self, path: str, body: Mapping[str, Any], *, silence: float, within: float = math.inf
    ) -> Generator[dict[str, Any]]:
        """Ask for an answer in documents of a line each; yield them as they come.

        Who does not read to the end closes it: collected later, it would close its connection at a
        moment when the pool of connections is locked, and wait for itself.

        Args:
            path: below the address.
            body: what is sent, as JSON.
            silence: seconds of silence that are waited for.
            within: seconds in which the last one has to come.
        """
        with closing(self._lines(path, body, silence=silence, within=within)) as lines:
            for line in lines:
                if line.strip():
                    yield _no_error(_object(line))

    def events(
        self, path: str, body: Mapping[str, Any], *, within: float, size: int
    ) -> Generator[dict[str, Any] | None]:
        """Ask for an answer in server-sent events of at most `size` bytes; yield them as they come.

        Who does not read to the end closes it, as `lines`.

        The last one is None where the stream came to the word that ends it. What goes wrong behind
        that takes nothing away: it is read so that the connection can be used again.
        """
        data: list[bytes] = []
        form = "text/event-stream"
        with closing(self._lines(path, body, within=within, size=size, form=form)) as lines:
            for line in lines:
                if line.startswith(b"data:"):
                    data.append(line.removeprefix(b"data:").strip())
                    if data == [_DONE]:
                        yield None
                        if self._reuse:
                            with contextlib.suppress(httpx.HTTPError, TimeoutError, EngineError):
                                collections.deque(lines, maxlen=0)
                        return
                elif not line.strip() and data:
                    yield _no_error(_object(b"\n".join(data)))
                    data = []

    def close(self) -> None:
        """Close the connections; calls under way break off."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _document(
        self, path: str, body: Any, *, within: float, size: int = _MOST_BYTES
    ) -> dict[str, Any]:
        return _object(b"\n".join(self._lines(path, body, within=within, size=size)))

    def _lines(
        self,
        path: str,
        body: Any,
        *,
        within: float,
        silence: float | None = None,
        size: int = _MOST_BYTES,
        form: str = "",
    ) -> Generator[bytes]:
        """Yield the lines of an answer; only a line feed ends one.

        Texts may hold what Unicode calls a line's end.
        """
        until = time.monotonic() + within
        silence = within if silence is None else silence
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        with self._open().stream(
            "GET" if body is None else "POST",
            f"{self.address}{path}" if path.startswith("/") else path,
            content=content,
            timeout=silence,
            extensions={"trace": self._trace},
        ) as response:
            # of what is left no single silence may take more
            left = min(silence, max(until - time.monotonic(), 0.001))
            response.request.extensions["timeout"]["read"] = left
            encoding = response.headers.get("content-encoding", "identity")
            if encoding != "identity":  # a few bytes could become any number
                raise EngineError(
                    f"a compressed answer ({excerpt(encoding, 20)}) came from {self.address}, and "
                    "none was asked"
                )
            kind = response.headers.get("content-type", "nothing")
            streamed = response.is_success and kind.startswith(form)
            begun, came = bytearray(), 0
            for chunk in response.iter_raw():
                came += len(chunk)
                if time.monotonic() > until:
                    raise TimeoutError
                if came > size:
                    raise EngineError(
                        f"the answer of {self.address} was cut off after {size:,} bytes, more than "
                        "its tokens can take"
                    )
                begun += chunk
                if streamed and b"\n" in chunk:
                    *whole, rest = bytes(begun).split(b"\n")
                    yield from whole
                    begun = bytearray(rest)
            if not response.is_success:
                raise server_said(response, bytes(begun))
            if not streamed:
                raise UnreadableError(f"{kind} and not {form}: {excerpt(repr(bytes(begun)), 80)}")
            yield bytes(begun)

    def _trace(self, event: str, _: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self.opened += 1

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                here = is_loopback(self.address)
                if not here:
                    hide_proxies(os.environ)
                guard_logs("httpx", *(f"httpcore.{name}" for name in _LOGGERS))
                self._client = httpx.Client(
                    verify=_certificates(not here),
                    follow_redirects=self._redirects,
                    trust_env=not here,  # no proxy stands before this machine
                    headers=self._headers,
                    limits=httpx.Limits(
                        max_keepalive_connections=20 if self._reuse else 0, keepalive_expiry=3.0
                    ),
                )
            return self._client


@functools.cache
def _certificates(trust_env: bool) -> ssl.SSLContext:
    # read once for all clients of a process: it takes longer than most calls to a server
    return httpx.create_ssl_context(trust_env=trust_env)


def _object(data: bytes) -> dict[str, Any]:
    try:
        said = json.loads(data.decode("utf-8-sig"), parse_int=whole_number)
    except UnicodeDecodeError as exc:
        raise UnreadableError(f"it is not UTF-8: {exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise UnreadableError(f"it is no JSON: {exc}: {excerpt(repr(data), 80)}") from exc
    if not isinstance(said, dict):
        raise UnreadableError(f"it is not a JSON object: {excerpt(repr(data), 80)}")
    return said


def _no_error(said: dict[str, Any]) -> dict[str, Any]:
    """Return what came in the middle of an answer, unless it is an error."""
    if said.get("error"):
        raise _error_of(said, repr(said), None)
    return said


def server_said(response: httpx.Response, data: bytes) -> ServerSaidError:
    """Read what a server says with a status that is no success; `data` is the body."""
    after = retry_after(response.headers.get("retry-after"), now=time.time())
    text = data.decode("utf-8", "replace")
    try:
        said = _object(data)
    except UnreadableError:
        said = {}
    return _error_of(said, text, response.status_code, after)


def _error_of(
    said: Mapping[str, Any], text: str, status: int | None, after: float | None = None
) -> ServerSaidError:
    """Read an error: a text, or what other servers nest under `message`."""
    error = said.get("error", said)
    of = error if isinstance(error, dict) else {}
    words = error if isinstance(error, str) else of.get("message") or text
    codes = tuple(str(of[name]) for name in ("code", "type") if of.get(name))
    return ServerSaidError(_one_line(str(words)), status, codes=codes, retry_after=after)


def retry_after(header: str | None, *, now: float) -> float | None:
    """Read a Retry-After header: seconds, or a date; None where it is neither.

    `now` is in seconds since 1970. A date that has passed is 0 seconds away. Source: RFC 9110,
    section 10.2.3.
    """
    if header is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", header):
        return float(header)
    try:
        at = email.utils.parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(at - now, 0.0)


def _one_line(text: str) -> str:
    return excerpt(" ".join(text.split()), _SHOWN)


# What comes of asking, what it means here, and whether asking again can help; the first row that
# fits decides. `ServerSaidError` is what the server says itself, see below.
FOREIGN_ERRORS: dict[type[Exception], tuple[type[EngineError], bool]] = {
    TimeoutError: (EngineTimeoutError, True),
    httpx.TimeoutException: (EngineTimeoutError, True),
    httpx.ConnectError: (EngineStartError, True),
    httpx.ProxyError: (EngineStartError, True),
    httpx.NetworkError: (EngineCrashedError, True),
    httpx.ProtocolError: (EngineCrashedError, True),
    httpx.StreamError: (EngineCrashedError, True),
    httpx.DecodingError: (EngineError, True),
    httpx.TooManyRedirects: (EngineError, True),
    httpx.UnsupportedProtocol: (EngineError, False),
    httpx.InvalidURL: (EngineError, False),
    ServerSaidError: (EngineError, True),
    UnreadableError: (EngineError, True),  # HTML, cut JSON, a list, bytes that are no UTF-8
    UnicodeEncodeError: (EngineError, False),  # the prompt is not valid text
    RuntimeError: (EngineCrashedError, True),  # another thread closed the client
}
FOREIGN = tuple(FOREIGN_ERRORS)

# Words or codes of servers -> what it is, and whether asking again can help.
SERVER_WORDS: tuple[tuple[re.Pattern[str], type[EngineError], bool], ...] = (
    (
        re.compile(
            r"(exceeds?|longer than|too long for)[\w ]*context|context_length_exceeded"
            r"|exceed_context_size_error",
            re.IGNORECASE,
        ),
        ContextOverflowError,
        False,
    ),
    (re.compile(r"insufficient_quota"), EngineError, False),
    (re.compile(r"requires more (system )?memory"), EngineStartError, False),
    (re.compile(r"unable to load model|error loading model"), EngineStartError, False),
    (re.compile(r"runner (process )?(has )?(terminated|no longer)"), EngineCrashedError, True),
)
# of a prompt that is refused: words that could also be of something else
_OVERFLOW = re.compile(
    r"context.{0,20}(length|size|window|overflow)|longer than the|inputs\W+(tokens|must have less)",
    re.IGNORECASE,
)


def kind_of(exc: Exception) -> tuple[type[EngineError], bool]:
    """Say what a foreign error means here, and whether asking again can help."""
    rows = (row for kind, row in FOREIGN_ERRORS.items() if isinstance(exc, kind))
    return next(rows, (EngineError, True))


def translated(
    exc: Exception, where: str, *, seconds: float | None = None, place: str = ""
) -> EngineError:
    """Make quantrial's error of a foreign one.

    Args:
        exc: what was raised.
        where: names the server, and the model where that is not clear.
        seconds: the limit that was kept.
        place: how far the answer had come, where it had begun.
    """
    blot_error(exc)
    if isinstance(exc, ServerSaidError):
        return _from_server(exc, where)
    kind, retryable = kind_of(exc)
    said = _one_line(str(exc))
    what = f"{type(exc).__name__}: {said}" if said else type(exc).__name__
    if kind is EngineTimeoutError:
        limit = "in time" if seconds is None else f"within {seconds:g} s"
        message = f"no answer {limit} from {where}"
    elif kind is EngineStartError:
        message = f"{where} cannot be reached: {said}"
    elif kind is EngineCrashedError:
        message = f"{where} broke off while it answered{place} ({what})"
    elif isinstance(exc, UnreadableError):
        message = f"{where} sent an answer of an unknown form ({said})"
    elif isinstance(exc, UnicodeEncodeError):
        message = f"the prompt to {where} is not valid text: {exc}"
    else:
        message = f"{where} could not be spoken to ({what})"
    error = kind(message)
    error.retryable = retryable
    error.gone = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout)
    return error


def _from_server(exc: ServerSaidError, where: str) -> EngineError:
    """Translate what the server says; an error in the middle of an answer has no status."""
    status, said = exc.status, excerpt(exc.said, _SHOWN) or "nothing"
    message = f"{where} " + (f"answered {status}: {said}" if status else f"broke off: {said}")
    if status in (401, 403):
        message += (
            "; a key comes from the environment (the option `api_key_env` names its variable, "
            "Ollama's is OLLAMA_API_KEY)"
        )
    if status is None:
        retryable = "not found" not in said
    else:
        retryable = status in (408, 409, 425, 429) or status >= 500
    text = " ".join((said, *exc.codes))
    rows = (row for row in SERVER_WORDS if row[0].search(text))
    _, kind, retryable = next(rows, (None, EngineError, retryable))
    if status in (400, 413, 422) and _OVERFLOW.search(said):
        kind, retryable = ContextOverflowError, False
    if status == 408:
        kind = EngineTimeoutError
    error = kind(message)
    error.retryable, error.retry_after = retryable, exc.retry_after
    error.gone = kind is EngineError and status in (502, 503)
    return error
