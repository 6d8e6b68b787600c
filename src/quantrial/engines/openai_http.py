"""How the `openai` engine speaks HTTP: bounded in size and time, its errors translated.

Imports the `openai` package; the engine imports this file late.
"""

from __future__ import annotations

import codecs
import collections
import contextlib
import email.utils
import os
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import openai

from quantrial.engines.abilities import refusal
from quantrial.engines.options import is_loopback
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
)
from quantrial.redaction import excerpt, guard_logs, hide_proxies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DONE = b"[DONE]"  # ends a stream
_SHOWN = 200  # characters of a foreign text that go into a message
_LOGGERS = ("connection", "http11", "http2", "proxy", "socks")  # of the transport

# What the client raises, what it means here, and whether asking again can help; the first row that
# fits decides.
ERRORS: dict[type[Exception], tuple[type[EngineError], bool]] = {
    openai.APITimeoutError: (EngineTimeoutError, True),
    openai.APIConnectionError: (EngineCrashedError, True),
    openai.RateLimitError: (EngineError, True),
    openai.ConflictError: (EngineError, True),
    openai.InternalServerError: (EngineError, True),
    openai.APIStatusError: (EngineError, False),  # the other 3xx and 4xx
    openai.APIResponseValidationError: (EngineError, True),
    openai.APIError: (EngineError, True),  # an error within a stream
    openai.LengthFinishReasonError: (EngineError, False),
    openai.ContentFilterFinishReasonError: (EngineError, False),
    openai.InvalidWebhookSignatureError: (EngineError, False),
    openai.WebSocketConnectionClosedError: (EngineError, False),
    openai.WebSocketQueueFullError: (EngineError, False),
    openai.OpenAIError: (EngineError, False),  # the client was used wrongly
    httpx2.TimeoutException: (EngineTimeoutError, True),
    httpx2.HTTPError: (EngineCrashedError, True),
    httpx2.InvalidURL: (EngineError, False),
    httpx2.StreamError: (EngineCrashedError, True),
    UnicodeEncodeError: (EngineError, False),  # the prompt is not valid text
    ValueError: (EngineError, True),  # what came is no JSON
    RuntimeError: (EngineCrashedError, True),  # another thread closed the client
}
FOREIGN = tuple(ERRORS)

_OVERFLOW_CODES = {"context_length_exceeded", "exceed_context_size_error"}
_OVERFLOW = re.compile(
    r"context.{0,20}(length|size|window|overflow)|longer than the|inputs\W+(tokens|must have less)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one answer may take: bytes on the wire, and seconds from `since` on."""

    size: int = 8 * 2**20
    seconds: float = 30.0
    since: float = field(default_factory=time.monotonic)


BOUNDS: ContextVar[Bounds | None] = ContextVar("BOUNDS", default=None)


class BoundedClient(httpx2.Client):
    """Reads no more of an answer, and for no longer, than its bounds allow.

    `connections` counts those it opened: a new one may lead to a server that was started anew.
    """

    keyless = False
    connections = 0

    def send(self, request: httpx2.Request, *, stream: bool = False, **kwargs: Any) -> Any:
        """Send a request; what comes back is UTF-8 text of bounded size, or an EngineError."""
        bounds = BOUNDS.get() or Bounds()
        # what the environment says of OpenAI's accounts is for OpenAI's servers, not for any
        unsaid = ("OpenAI-Organization", "OpenAI-Project", *["Authorization"] * self.keyless)
        for name in unsaid:
            request.headers.pop(name, None)
        request.extensions["trace"] = self._trace
        response = super().send(request, stream=True, **kwargs)
        try:
            encoding = response.headers.get("content-encoding", "identity")
            if encoding != "identity":  # a few bytes could become any number
                raise EngineError(
                    f"a compressed answer ({excerpt(encoding, 20)}) came, and none was asked"
                )
            left = bounds.since + bounds.seconds - time.monotonic()
            request.extensions.get("timeout", {})["read"] = max(left, 0.001)
            if not isinstance(response.stream, httpx2.SyncByteStream):  # pragma: no cover
                raise EngineError("the client cannot stream")
            response.stream = _Bounded(response.stream, bounds)
            if not stream:
                response.read()
        except BaseException:
            response.close()
            raise
        return response

    def _trace(self, event: str, _: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self.connections += 1


class _Bounded(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, bounds: Bounds):
        self._inner = inner
        self._bounds = bounds
        self._pieces = iter(inner)
        self._tail = b""

    def __iter__(self) -> Iterator[bytes]:
        size, text = 0, codecs.getincrementaldecoder("utf-8")()
        for piece in self._pieces:
            self._tail = (self._tail + piece)[-len(_DONE) - 4 :]
            size += len(piece)
            if size > self._bounds.size:
                raise EngineError(
                    f"the answer was cut off after {self._bounds.size:,} bytes, more than its "
                    "tokens can take"
                )
            if time.monotonic() > self._bounds.since + self._bounds.seconds:
                raise EngineTimeoutError(f"no answer within {self._bounds.seconds:g} s")
            try:
                text.decode(piece)
            except UnicodeDecodeError as exc:
                raise EngineError(f"the answer is not UTF-8: {exc}") from exc
            yield piece

    @property
    def done(self) -> bool:
        """Whether a stream has come to the word that ends it."""
        return _DONE in self._tail

    def close(self) -> None:
        if self.done:
            # the client stops reading here; only a connection that was read out is used again
            with contextlib.suppress(httpx2.HTTPError):
                collections.deque(self._pieces, maxlen=0)
        self._inner.close()


def connect(url: str, key: str | None) -> tuple[openai.OpenAI, BoundedClient]:
    """Make a client of one base URL; it never asks twice by itself, and follows no redirect."""
    client = BoundedClient(
        follow_redirects=False,
        trust_env=not is_loopback(url),
        # A server may drop a connection just when a call sets out on it, which looks like a crash:
        # llama.cpp's does so after every stream, others after some 5 s. Where a new one costs
        # little it is opened for every call.
        limits=httpx2.Limits(
            max_keepalive_connections=20 if url.startswith("https:") else 0, keepalive_expiry=3.0
        ),
    )
    client.keyless = key is None
    hide_proxies(os.environ)
    guard_logs("openai", "httpx2", *(f"httpcore2.{name}" for name in _LOGGERS))
    speaker = openai.OpenAI(
        api_key=key or "none",  # without any it would take one from the environment
        base_url=url,
        max_retries=0,
        default_headers={"Accept-Encoding": "identity"},
        http_client=client,
    )
    return speaker, client


def translate(exc: Exception, url: str, seconds: float, place: str = "") -> EngineError:
    """Translate what the client raised; the message names the server and what it said.

    `place` says how far the answer had come, where it had begun.
    """
    kind, retryable = next(row for row_of, row in ERRORS.items() if isinstance(exc, row_of))
    cause = exc.__cause__
    message = f"{url}: {_one_line(f'{type(exc).__name__}: {exc}')}"
    if kind is EngineTimeoutError:
        message = f"no answer within {seconds:g} s from {url}"
    elif isinstance(exc, openai.APIStatusError):
        return _status_error(exc, url, retryable=retryable)
    elif isinstance(cause, httpx2.ConnectError | httpx2.ProxyError):
        kind, message = EngineStartError, f"{url} cannot be reached: {_one_line(str(cause))}"
    elif isinstance(exc, openai.APIConnectionError):
        what = type(cause).__name__ if cause is not None else "the connection"
        said = _one_line(str(cause or exc))
        message = f"{url} broke off while it answered{place} ({what}: {said})"
    elif isinstance(exc, UnicodeEncodeError):
        return refusal(f"the prompt is not valid text: {exc}")
    elif isinstance(exc, openai.APIError):
        message = f"{url} reports an error: {_one_line(exc.message)}"
    error = kind(message)
    error.retryable = retryable
    error.gone = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
    return error


def _status_error(exc: openai.APIStatusError, url: str, *, retryable: bool) -> EngineError:
    status, text = exc.status_code, _one_line(exc.response.text)
    body = exc.body if isinstance(exc.body, dict) else {}
    codes = {str(body.get("code")), str(body.get("type"))}
    said = _one_line(str(body.get("message") or text or "nothing"))
    message = f"{url} answered {status}: {said}"
    if codes & _OVERFLOW_CODES or (status in (400, 413, 422) and _OVERFLOW.search(said)):
        return ContextOverflowError(message)
    if status in (401, 403):
        message += "; the option `api_key_env` names the environment variable with the key"
    if status == 408:
        error: EngineError = EngineTimeoutError(message)
    else:
        error = EngineError(message)
        error.retryable = retryable and "insufficient_quota" not in codes
        error.gone = status in (502, 503)
    error.retry_after = retry_after(exc.response.headers.get("retry-after"), now=time.time())
    return error


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
