"""A server on 127.0.0.1 that answers in OpenAI's form, and fails on cue in every way we know.

    with FaultyServer("m") as server:
        server.faults = ["reset", "429_seconds", None]   # for the next calls; then sound answers
        ...ask server.url ("http://127.0.0.1:<port>/v1")...
        server.calls                                     # what was asked: path, headers, body

`always` is the fault of every call that `faults` says nothing of. `down()` has connections refused,
`up()` takes them again on the same port. Another protocol gives its own `answer`, and says in
`is_answer` which calls can go wrong.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

HUGE = 100 * 2**20  # bytes


@dataclass(frozen=True)
class Call:
    """What was asked once; names of headers in small letters."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Say:
    """What a sound answer is made of; faults change some of it."""

    model: str
    text: str = "Paris."
    fingerprint: str = "fp_1"
    finish: str | None = "stop"
    usage: Any = field(default_factory=lambda: {"prompt_tokens": 5, "completion_tokens": 2})
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """Bytes of a sound answer, in the pieces a stream sends them in."""

    content_type: str
    pieces: tuple[bytes, ...]


Make = Callable[[Call, Say], Answer]


def openai_answer(call: Call, say: Say) -> Answer:
    """Write what an OpenAI-compatible server answers, as a stream where it was asked for."""
    if call.path.endswith("/models"):
        listed = {"object": "list", "data": [{"id": say.model, "object": "model"}]}
        return Answer("application/json", (json.dumps(listed).encode(),))
    chat = call.path.endswith("/chat/completions")
    head = {"id": "x", "created": 1, "model": say.model, "system_fingerprint": say.fingerprint}
    if not call.body.get("stream"):
        part: dict[str, Any] = {"message": {"role": "assistant", "content": say.text}}
        choice = {"index": 0, "finish_reason": say.finish, **(part if chat else {"text": say.text})}
        whole = {**head, "choices": [choice], "usage": say.usage, **say.extra}
        return Answer("application/json", (json.dumps(whole).encode(),))
    middle = len(say.text) // 2
    texts = [say.text[:middle], say.text[middle:]]
    choices: list[Any] = [[{"index": 0, "delta": {"role": "assistant", "content": None}}]] * chat
    choices += [
        [{"index": 0, **({"delta": {"content": t}} if chat else {"text": t})}] for t in texts
    ]
    end: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
    choices += [[{"index": 0, "finish_reason": say.finish, **end}], []]
    events = [{**head, "choices": choice} for choice in choices]
    events[-1] |= {"usage": say.usage, **say.extra}
    return Answer(
        "text/event-stream",
        (
            *(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events),
            b"data: [DONE]\n\n",
        ),
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits for the acknowledgement of its headers
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        owner = self.server.owner
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(sent) if sent else {}
        call = Call(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        fault = owner.next_fault(call)
        with contextlib.suppress(OSError):  # a client that went away
            if fault in BROKEN:
                BROKEN[fault](self, owner.answer(call, owner.say))
            else:
                say = CHANGED[fault](owner.say) if fault else owner.say
                self.send(owner.answer(call, say))

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers; the connection ends after this answer, unless it is kept."""
        self.send_response(status)
        kept = self.server.owner.keep_alive
        for name, value in {**({} if kept else {"Connection": "close"}), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = not kept

    def send(self, answer: Answer) -> None:
        """Send a sound answer: whole, or in chunks."""
        if answer.content_type == "application/json":
            self.whole(200, b"".join(answer.pieces), {"Content-Type": answer.content_type})
            return
        self.head(200, {"Content-Type": answer.content_type, "Transfer-Encoding": "chunked"})
        for piece in answer.pieces:
            time.sleep(self.server.owner.pause)
            self.chunk(piece)
        self.chunk(b"")

    def whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send an answer of known length."""
        self.head(status, {"Content-Length": str(len(body)), **headers})
        self.wfile.write(body)

    def chunk(self, piece: bytes) -> None:
        """Send one chunk; an empty one ends the answer."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def error(self, status: int, kind: str, **headers: str) -> None:
        """Send an error in OpenAI's form."""
        said = {"error": {"message": f"scripted {status}", "type": kind, "code": kind}}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.whole(status, json.dumps(said).encode(), {"Content-Type": "application/json", **names})


def _reset(handler: _Handler, _: Answer) -> None:
    # lingering for no time sends RST
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def _hang(handler: _Handler, _: Answer) -> None:
    handler.server.owner.released.wait(60)
    handler.close_connection = True


def _drip(handler: _Handler, _: Answer) -> None:
    """Send something every moment, and never an end."""
    handler.head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
    while not handler.server.owner.released.wait(0.02):
        handler.chunk(b": still here\n\n")


def _huge(handler: _Handler, answer: Answer) -> None:
    """Send 100 MB of an answer's text, and never an end."""
    stream = answer.content_type == "text/event-stream"
    handler.head(200, {"Content-Type": answer.content_type, "Transfer-Encoding": "chunked"})
    words = "sea " * 4096
    event = {"model": handler.server.owner.say.model, "choices": [{"delta": {"content": words}}]}
    piece = b"data: " + json.dumps(event).encode() + b"\n\n" if stream else words.encode()
    if not stream:
        handler.chunk(b'{"choices": [{"message": {"content": "')
    for _ in range(HUGE // len(piece) + 1):
        handler.chunk(piece)
        handler.server.owner.sent += len(piece)


def _cut(handler: _Handler, answer: Answer) -> None:
    """End a body before its announced end."""
    body = b"".join(answer.pieces)
    handler.head(200, {"Content-Type": answer.content_type, "Content-Length": str(len(body))})
    handler.wfile.write(body[: len(body) // 2])


def _half_json(handler: _Handler, answer: Answer) -> None:
    """Send half of a JSON value as if it were all, in a stream within one event."""
    if answer.content_type == "application/json":
        body = answer.pieces[0]
        handler.whole(200, body[: len(body) // 2], {"Content-Type": answer.content_type})
        return
    piece = answer.pieces[1]
    handler.send(replace(answer, pieces=(answer.pieces[0], piece[: len(piece) // 2] + b"\n\n")))


def _half_stream(handler: _Handler, answer: Answer) -> None:
    """Break a stream off in the middle; a whole answer too."""
    handler.head(200, {"Content-Type": answer.content_type, "Transfer-Encoding": "chunked"})
    body = b"".join(answer.pieces)
    handler.chunk(body[: len(body) // 2])


def _quiet_end(handler: _Handler, answer: Answer) -> None:
    """End a stream properly, in the middle of the answer."""
    handler.send(replace(answer, pieces=answer.pieces[: len(answer.pieces) // 2]))


def _invalid_utf8(handler: _Handler, answer: Answer) -> None:
    broken = tuple(
        piece.replace(b"Pa", b"\xff\xfe").replace(b"ri", b"\xc3\x28") for piece in answer.pieces
    )
    handler.send(replace(answer, pieces=broken))


def _bomb(handler: _Handler, answer: Answer) -> None:
    """Send 100 MB in 100 kB."""
    headers = {"Content-Type": answer.content_type, "Content-Encoding": "gzip"}
    handler.whole(200, _squeezed(), headers)


@functools.cache
def _squeezed() -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)  # as gzip
    spaces = b" " * 2**20
    return b"".join(squeeze.compress(spaces) for _ in range(HUGE // len(spaces))) + squeeze.flush()


def _echo(handler: _Handler, _: Answer) -> None:
    """Repeat what the client said of itself, as careless servers do."""
    key = handler.headers.get("Authorization", "")
    said = {"error": {"message": f"Incorrect API key provided: {key}", "type": "x", "code": key}}
    handler.whole(
        401, json.dumps(said).encode(), {"Content-Type": "application/json", "X-Key": key}
    )


def _error_in_stream(handler: _Handler, answer: Answer) -> None:
    said = {"error": {"message": "scripted error", "type": "server_error", "code": 500}}
    piece = b"data: " + json.dumps(said).encode() + b"\n\n"
    if answer.content_type == "application/json":
        handler.whole(200, json.dumps(said).encode(), {"Content-Type": answer.content_type})
    else:
        handler.send(replace(answer, pieces=(*answer.pieces[:2], piece)))


def _date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


# what goes wrong with the answer as a whole
BROKEN: dict[str | None, Callable[[_Handler, Answer], None]] = {
    "reset": _reset,
    "hang": _hang,
    "drip": _drip,
    "huge": _huge,
    "bomb": _bomb,
    "cut": _cut,
    "half_json": _half_json,
    "half_stream": _half_stream,
    "quiet_end": _quiet_end,
    "invalid_utf8": _invalid_utf8,
    "echo": _echo,
    "error_in_answer": _error_in_stream,
    "html": lambda h, _: h.whole(200, b"<html><p>Hi.</p></html>", {"Content-Type": "text/html"}),
    "empty": lambda h, a: h.whole(200, b"", {"Content-Type": a.content_type}),
    "null": lambda h, _: h.whole(200, b"null", {"Content-Type": "application/json"}),
    "429_seconds": lambda h, _: h.error(429, "rate_limit", Retry_After="7"),
    "429_date": lambda h, _: h.error(429, "rate_limit", Retry_After=_date(90)),
    "429_past": lambda h, _: h.error(429, "rate_limit", Retry_After=_date(-90)),
    "429_nonsense": lambda h, _: h.error(429, "rate_limit", Retry_After="soon"),
    "429_plain": lambda h, _: h.error(429, "rate_limit"),
    "429_quota": lambda h, _: h.error(429, "insufficient_quota"),
    "400": lambda h, _: h.error(400, "invalid_request_error"),
    "401": lambda h, _: h.error(401, "authentication_error"),
    "404": lambda h, _: h.error(404, "not_found_error"),
    "500": lambda h, _: h.error(500, "server_error"),
    "503": lambda h, _: h.error(503, "unavailable_error", Retry_After="3"),
    "html_500": lambda h, _: h.whole(502, b"<html>Bad Gateway", {"Content-Type": "text/html"}),
    "overflow": lambda h, _: h.error(400, "context_length_exceeded"),
    "redirect": lambda h, _: h.whole(302, b"", {"Location": "http://127.0.0.1:9/v1"}),
}
# what is sound in form, and wrong in content
CHANGED: dict[str, Callable[[Say], Say]] = {
    "other_model": lambda say: replace(say, model="another"),
    "other_fingerprint": lambda say: replace(say, fingerprint="fp_2"),
    "negative_usage": lambda say: replace(say, usage={"prompt_tokens": 5, "completion_tokens": -2}),
    "text_usage": lambda say: replace(say, usage={"prompt_tokens": "5", "completion_tokens": 2}),
    "too_much_usage": lambda say: replace(
        say, usage={"prompt_tokens": 5, "completion_tokens": 10**6}
    ),
    "no_tokens_usage": lambda say: replace(say, usage={"prompt_tokens": 5, "completion_tokens": 0}),
    "list_usage": lambda say: replace(say, usage=[5, 2]),
    "no_usage": lambda say: replace(say, usage=None),
    "no_text": lambda say: replace(
        say, text="", usage={"prompt_tokens": 5, "completion_tokens": 1}
    ),
    "odd_finish": lambda say: replace(say, finish="content_filter"),
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    owner: FaultyServer

    def handle_error(self, *_: Any) -> None:
        pass  # a client that went away is no news


class FaultyServer:
    """The server, in a thread; see the module."""

    def __init__(
        self,
        model: str = "m",
        *,
        text: str = "Paris.",
        answer: Make = openai_answer,
        is_answer: Callable[[Call], bool] = lambda call: bool(call.body),
        port: int = 0,
    ):
        self.say = Say(model=model, text=text)
        self.answer = answer
        self.is_answer = is_answer
        self.faults: list[str | None] = []
        self.always: str | None = None
        self.calls: list[Call] = []
        self.sent = 0  # bytes of a huge answer
        self.keep_alive = False
        self.pause = 0.0  # seconds before every piece of a stream
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._port = port
        self._server: _Server | None = None

    @property
    def root(self) -> str:
        """Where it listens, without a path."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL of its OpenAI-compatible part."""
        return f"{self.root}/v1"

    @property
    def asked(self) -> list[Call]:
        """The calls that asked for an answer, in their order."""
        return [call for call in self.calls if self.is_answer(call)]

    def next_fault(self, call: Call) -> str | None:
        """Take note of a call, and say what goes wrong with it; only answers go wrong."""
        with self._lock:
            self.calls.append(call)
            if not self.is_answer(call):
                return None
            fault = self.faults.pop(0) if self.faults else self.always
        if fault is not None and fault not in {*BROKEN, *CHANGED}:
            raise ValueError(f"no such fault: {fault}")
        return fault

    def up(self) -> None:
        """Listen, on the same port as before."""
        self.released.clear()
        self._server = _Server(("127.0.0.1", self._port), _Handler)
        self._server.owner = self
        self._port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def down(self) -> None:
        """Refuse connections, and let go of every call that hangs."""
        self.released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()


@contextlib.contextmanager
def faulty_server(faults: Iterable[str | None] = (), **options: Any) -> Iterator[FaultyServer]:
    """Run a server that fails in these ways, one a call, and is sound after that."""
    with FaultyServer(**options) as server:
        server.faults = list(faults)
        yield server
