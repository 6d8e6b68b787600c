"""A server on 127.0.0.1 that repeats the key it was sent in every field of every response.

    with EchoingServer("m") as server:
        server.statuses = [401, 429]        # for the next calls that ask for an answer; then 200
        ...ask server.url ("http://127.0.0.1:<port>/v1"), or server.root as an Ollama server...

The key comes whole and in part, in capitals, escaped as in a URL and as Base64, in pieces of a
stream, in headers and in the reason phrase. `in_output` puts it into the answer itself too.
"""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import quote

DIGEST = "ab" * 32


def shapes(key: str) -> list[str]:
    """Write a key in every way that a server may repeat it."""
    return [
        key,
        f"Bearer {key}",
        f"Incorrect API key provided: {key[:24]}...{key[-4:]}.",
        key[3:13],
        key.upper(),
        f"http://u:{key}@host/v1?api_key={quote(key, safe='')}",
        "Basic " + base64.b64encode(f"user:{key}".encode()).decode(),
        base64.urlsafe_b64encode(key.encode()).decode(),
        "x" * 190 + key,  # a message that is cut within it
        json.dumps({"authorization": key}),
    ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits for the acknowledgement of its headers
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._serve(json.loads(sent))

    def _serve(self, body: dict[str, Any]) -> None:
        owner = self.server.owner
        owner.calls += 1
        key = self.headers.get("Authorization", "").removeprefix("Bearer ") or owner.key
        said = itertools.cycle(shapes(key))
        asks = bool(body) and ("messages" in body or "prompt" in body)
        status = owner.statuses.pop(0) if asks and owner.statuses else 200
        if status != 200:
            self._error(status, key, next(itertools.islice(said, owner.calls % 10, None)))
        elif self.path.startswith("/api/"):
            self._send(key, ollama_lines(self.path, body, said, owner))
        elif asks and body.get("stream"):
            events = openai_events(body, said, key, owner)
            lines = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
            self._send(key, [*lines, b"data: [DONE]\n\n"], kind="text/event-stream")
        else:
            self._send(key, [json.dumps(document(self.path, body, said, owner)).encode()])

    def _error(self, status: int, key: str, text: str) -> None:
        error = {"message": text, "type": key, "code": key, "param": {"key": key}}
        said = [{"error": error}, {"error": text}, {"detail": [{"loc": [key], "msg": text}]}, text]
        body = json.dumps(said[self.server.owner.calls % 4]).encode()
        self._send(key, [body], status=status)

    def _send(
        self, key: str, parts: list[bytes], *, status: int = 200, kind: str = "application/json"
    ) -> None:
        body = b"".join(parts)
        self.send_response(status, f"Said {key}")
        for name in ("X-Request-Id", "Server-Timing", "Retry-After", "Set-Cookie", "Via"):
            self.send_header(name, key)
        self.send_header("Content-Type", f"{kind}; key={key}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def openai_events(
    body: dict[str, Any], said: Iterator[str], key: str, owner: EchoingServer
) -> list[dict[str, Any]]:
    """Write the events of a stream, the key in two pieces of a thought."""
    head = {"id": next(said), "model": owner.model, "system_fingerprint": next(said)}
    text = key if owner.in_output else "A"
    deltas: list[dict[str, Any]] = [
        {"role": next(said), "reasoning_content": f"Hm {key[:10]}"},
        {"reasoning_content": f"{key[10:18]} so."},
        {"content": text[:12]},
        {"content": text[12:]},
        {"tool_calls": [{"index": 0, "id": next(said), "function": {"name": next(said)[:9]}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": key[:9]}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": key[9:17]}}]},
    ]
    choices: list[dict[str, Any]] = [{"delta": delta} for delta in deltas]
    choices[2]["logprobs"] = {"content": tokens(key, said)}
    choices.append({"delta": {}, "finish_reason": next(said)})
    events = [{**head, "choices": [choice]} for choice in choices]
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "note": next(said)}
    return [*events, {**head, "choices": [], "usage": usage}]


def tokens(key: str, said: Iterator[str]) -> list[dict[str, Any]]:
    """Write tokens that are a key, or pieces of one, and alternatives that are."""
    pieces = [next(said), *(key[at : at + 4] for at in range(0, len(key), 4)), "A"]
    return [
        {
            "token": piece,
            "logprob": -0.5,
            "bytes": list(piece.encode()),
            "top_logprobs": [
                {"token": piece, "logprob": -0.5},
                {"token": next(said), "logprob": -2.0},
            ],
        }
        for piece in pieces
    ]


def document(
    path: str, body: dict[str, Any], said: Iterator[str], owner: EchoingServer
) -> dict[str, Any]:
    """Write what an OpenAI-compatible server answers whole."""
    if not body:
        entry = {"id": owner.model, "owned_by": next(said), "root": next(said), "aliases": []}
        other = {"id": next(said), "owned_by": next(said)}
        return {
            "object": next(said),
            "data": [entry, other],
            "version": next(said),
            "model_path": next(said),
            "build_info": next(said),
            "chat_template": "{{ messages }}",
            "default_generation_settings": {"n_ctx": 4096, "note": next(said)},
        }
    if "tools" in path or "messages" not in body:
        return {"model": owner.model, "choices": [{"text": "A", "finish_reason": next(said)}]}
    key = next(said)
    message = {
        "role": next(said),
        "content": key if owner.in_output else "A",
        "reasoning": next(said)[8:],
        "tool_calls": [{"id": next(said)[8:], "function": {"name": key[:12], "arguments": "{}"}}],
    }
    choice = {
        "message": message,
        "finish_reason": next(said),
        "logprobs": {"content": tokens(key, said)},
    }
    return {
        "id": next(said),
        "model": owner.model,
        "system_fingerprint": next(said),
        "choices": [choice],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    }


def ollama_lines(
    path: str, body: dict[str, Any], said: Iterator[str], owner: EchoingServer
) -> list[bytes]:
    """Write what an Ollama server answers, as a stream of lines where it is one."""
    key = next(said)
    name = f"{owner.model}:latest"
    listed = {"name": name, "model": name, "digest": DIGEST, "size": 100, "details": {}}
    listed["details"] = {"family": next(said), "quantization_level": key, "format": next(said)}
    documents: dict[str, Any] = {
        "/api/version": {"version": f"0.22.1-{key}"},
        "/api/tags": {"models": [listed, {"name": next(said), "digest": next(said)}]},
        "/api/ps": {"models": [{**listed, "context_length": 4096}]},
        "/api/show": {
            "modelfile": f"FROM /blobs/sha256-{DIGEST}\nPARAMETER note {key}",
            "parameters": next(said),
            "template": f"{{{{ .Prompt }}}} {next(said)}",
            "details": listed["details"],
            "model_info": {"general.architecture": next(said), "note": next(said)},
        },
    }
    if path in documents:
        return [json.dumps(documents[path]).encode()]
    text = key if owner.in_output else "A"
    part = {"content": text, "thinking": f"so {key[:10]}"}
    pieces: list[dict[str, Any]] = [
        {"message": part, "logprobs": tokens(key, said)},
        {"message": {"content": "", "thinking": key[10:20]}},
        {
            "message": {"content": ""},
            "done": True,
            "done_reason": next(said),
            "prompt_eval_count": len(json.dumps(body)) // 4,
            "eval_count": 2,
            "eval_duration": 10**7,
            "note": next(said),
        },
    ]
    return [
        json.dumps({"model": owner.model, "created_at": key, **one}).encode() + b"\n"
        for one in pieces
    ]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: EchoingServer

    def handle_error(self, *_: Any) -> None:
        pass


class EchoingServer:
    """The server, in a thread; see the module."""

    def __init__(self, model: str = "m", *, key: str = ""):
        self.model = model
        self.key = key  # what is repeated where none was sent
        self.in_output = False
        self.statuses: list[int] = []
        self.calls = 0

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def root(self) -> str:
        """Where it listens, without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The base URL of its OpenAI-compatible part."""
        return f"{self.root}/v1"
