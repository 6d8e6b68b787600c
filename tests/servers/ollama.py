"""A server that speaks Ollama's API as one of version 0.22.1 does, on top of the embedded engine.

What it does with prompts and answers are the rules of `ollama_rules`; `version` makes it an older
one. `holds` models are in memory at a time, one by default, as on an Ollama server whose models do
not fit together: a call for another one unloads the one asked first, and pays a load. An idle one
is unloaded after its `keep_alive`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from servers import ollama_documents as documents
from servers import ollama_rules as rules
from servers.ollama_documents import Model
from servers.ollama_rules import Age
from servers.ollama_voice import Voice

VERSION = "0.22.1"
__all__ = ["Model", "OllamaServer"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_JSON = "application/json; charset=utf-8"
Fault = Callable[["_Handler"], None]


@dataclass
class _Loaded:
    name: str
    digest: str
    context: int
    voice: Voice
    until: float


class OllamaServer:
    """Serves `models`; those of `remote` can be pulled. `requests` keeps (path, body) of each."""

    def __init__(
        self,
        models: Mapping[str, Model],
        remote: Mapping[str, Model] | None = None,
        *,
        version: str = VERSION,
        holds: int = 1,
    ):
        self.models = dict(models)
        self.remote = dict(remote or {})
        self.version = version
        self.holds = holds
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.loads: list[str] = []
        self.faults: list[Fault] = []  # each answers one call for text instead of a model
        self.numbers = itertools.count(100)
        self._lock = threading.RLock()
        self._loaded: dict[str, _Loaded] = {}  # the one asked last is the last
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.owner = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def age(self) -> Age:
        return Age(self.version)

    def __enter__(self) -> OllamaServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self.unload()

    def find(self, name: str) -> Model:
        return self.models[self.known(name)]

    def known(self, name: str) -> str:
        """Name a model as it is stored: case, and parts that stand for themselves, are nothing."""
        asked = _plain(name)
        if name in self.models:
            return name
        return next((one for one in self.models if _plain(one) == asked), name)

    def unload(self, name: str | None = None) -> None:
        """Unload a model, or all of them."""
        with self._lock:
            for one in [name] if name is not None else list(self._loaded):
                if (loaded := self._loaded.pop(one, None)) is not None:
                    loaded.voice.close()

    def in_memory(self) -> list[_Loaded]:
        with self._lock:
            for loaded in list(self._loaded.values()):
                if time.monotonic() > loaded.until:
                    self.unload(loaded.name)
            return list(self._loaded.values())

    def ready(self, body: Mapping[str, Any], context: int) -> tuple[Voice, int]:
        """Have a model in memory; return it and the nanoseconds that took."""
        began = time.perf_counter_ns()
        name = self.known(body["model"])
        model = self.models[name]
        loaded = next((one for one in self.in_memory() if one.name == name), None)
        wanted = (name, model.digest, context)
        if loaded is None or (loaded.name, loaded.digest, loaded.context) != wanted:
            self.unload(name)
            while len(self._loaded) >= self.holds:
                self.unload(next(iter(self._loaded)))
            loaded = _Loaded(*wanted, model.load(context), 0.0)
            self.loads.append(name)
        self._loaded.pop(name, None)
        self._loaded[name] = loaded
        loaded.until = time.monotonic() + _lasting(body.get("keep_alive", "5m"))
        return loaded.voice, time.perf_counter_ns() - began


def _plain(name: str) -> str:
    parts = name.rpartition("://")[2].casefold().split("/")
    parts = [*("registry.ollama.ai", "library")[: 3 - len(parts)], *parts]
    return "/".join(parts if ":" in parts[-1] else [*parts[:-1], f"{parts[-1]}:latest"])


def _lasting(keep_alive: str | float) -> float:
    if isinstance(keep_alive, int | float):
        return float(keep_alive)
    found = re.fullmatch(r"(-?[\d.]+)(ms|s|m|h)?", keep_alive)
    assert found is not None, keep_alive
    return float(found[1]) * _UNITS[found[2] or "s"]


class _RefusedError(Exception):
    """What a call is answered with in place of an answer."""

    def __init__(self, said: str, status: int):
        self.said = said
        self.status = status
        super().__init__(said)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def owner(self) -> OllamaServer:
        owner: OllamaServer = self.server.owner  # type: ignore[attr-defined]
        return owner

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        owner = self.owner
        if self.path == "/api/version":
            return self.say({"version": owner.version})
        if self.path == "/api/tags":
            return self.say({"models": [documents.entry(n, m) for n, m in owner.models.items()]})
        if self.path == "/api/ps":
            return self.say({"models": list(self._running())})
        if self.path == "/v1/models":
            listed = [
                {"id": name, "object": "model", "created": documents.CREATED, "owned_by": "library"}
                for name in owner.models
            ]
            return self.say({"object": "list", "data": listed}, kind="application/json")
        if found := re.fullmatch(r"/v2/library/([^/]+)/manifests/([^/]+)", self.path):
            model = owner.remote.get(f"{found[1]}:{found[2]}")
            if model is not None:
                layers = [{"size": model.path.stat().st_size}, {"size": 100}]
                return self.say({"layers": layers, "config": {"size": 10}})
        return self.raw(b"404 page not found", status=404, kind="text/plain")

    def _running(self) -> Iterator[dict[str, Any]]:
        for loaded in self.owner.in_memory():
            model = self.owner.models.get(loaded.name)
            entry: dict[str, Any] = documents.entry(loaded.name, model) if model else {}
            entry.pop("modified_at", None)
            entry |= {"name": loaded.name, "model": loaded.name, "digest": loaded.digest}
            entry |= {"expires_at": "2038-01-01T00:00:00Z", "size_vram": 0}
            if self.owner.age.tells_window:
                entry["context_length"] = loaded.context
            yield entry

    def do_POST(self) -> None:
        owner = self.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        owner.requests.append((self.path, body))
        if self.path == "/api/pull":
            return self.stream(self._pull(body["model"]))
        try:
            model = owner.find(body["model"])
        except KeyError:
            return self.say({"error": f"model '{body['model']}' not found"}, status=404)
        if self.path == "/api/show":
            return self.say(
                documents.shown(model, body["model"], verbose=bool(body.get("verbose")))
            )
        ways = {
            "/api/generate": self._native,
            "/api/chat": self._native,
            "/v1/chat/completions": self._foreign,
            "/v1/completions": self._foreign,
        }
        if self.path not in ways:
            return self.raw(b"404 page not found", status=404, kind="text/plain")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError), owner._lock:
            asks = bool(body.get("prompt") or body.get("messages"))
            if asks and owner.faults:
                return owner.faults.pop(0)(self)
            return ways[self.path](body, model)
        return None

    def _pull(self, name: str) -> Iterator[dict[str, Any]]:
        owner = self.owner
        yield {"status": "pulling manifest"}
        if name not in owner.remote:
            yield {"error": "pull model manifest: file does not exist"}
            return
        model = owner.remote[name]
        size, digest = model.path.stat().st_size, f"sha256:{model.blob}"
        for done in (0, size // 2, size):
            step = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": size}
            yield step | ({"completed": done} if done else {})
        owner.models[name] = model
        yield {"status": "success"}

    def _native(self, body: dict[str, Any], model: Model) -> None:
        streamed = body.get("stream", True)
        if not body.get("prompt") and not body.get("messages"):
            return self.say(self._loading(body, model))
        try:
            parts = self._parts(body, model)
        except _RefusedError as exc:
            # a stream that has not begun is refused with another kind of content
            kind = "application/json" if streamed and exc.said == rules.TOO_LONG else _JSON
            return self.say({"error": exc.said}, status=exc.status, kind=kind)
        if streamed:
            return self.stream(iter(parts))
        return self.say(documents.joined(parts))

    def _loading(self, body: Mapping[str, Any], model: Model) -> dict[str, Any]:
        if body.get("keep_alive") == 0:
            self.owner.unload(self.owner.known(body["model"]))
            return documents.part(body, "") | {"done": True, "done_reason": "unload"}
        context = documents.options(body, model)["num_ctx"]
        self.owner.ready(body, min(context, model.trained or context))
        return documents.part(body, "") | {"done": True, "done_reason": "load"}

    def _foreign(self, body: dict[str, Any], model: Model) -> None:
        asked, number = rules.native(body), next(self.owner.numbers)
        try:
            parts = self._parts(asked, model)
        except _RefusedError as exc:
            error = {"message": exc.said, "type": "api_error", "param": None, "code": None}
            return self.say({"error": error}, status=exc.status, kind="application/json")
        if asked["stream"]:
            counted = bool((body.get("stream_options") or {}).get("include_usage"))
            said = rules.events(number, documents.CREATED, parts, count=counted)
            return self.raw(said, kind="text/event-stream")
        reply = rules.foreign(number, documents.CREATED, documents.joined(parts), chunk=False)
        return self.say(reply, kind="application/json")

    def _parts(self, body: Mapping[str, Any], model: Model) -> list[dict[str, Any]]:
        """Answer, in the pieces that the server sends; the last of a looping answer is no end."""
        owner, began = self.owner, time.perf_counter_ns()
        if body.get("think") and not model.thinks:
            raise _RefusedError(f'"{body["model"]}" does not support thinking', 400)
        options = documents.options(body, model)
        window = min(options["num_ctx"], model.trained or options["num_ctx"])
        voice, load = owner.ready(body, window)
        knows = owner.age.refuses
        truncate, shift = (body.get(n) is not False or not knows for n in ("truncate", "shift"))
        turns = documents.turns(body)
        if turns is not None and truncate:
            turns = rules.fitting(turns, window, lambda text: len(voice.tokens(text)))
        text = str(body["prompt"]) if turns is None else rules.rendered(turns)
        whole = voice.tokens(text)
        tokens = rules.cut(whole, window, halves=owner.age.halves)
        if tokens != whole and not truncate:
            raise _RefusedError(rules.TOO_LONG, 400)
        limit = rules.room(window, len(tokens), shift=shift, limit=options["num_predict"])
        asked = owner.age.logprobs and body.get("logprobs")
        said, seconds = voice.say(
            tokens,
            options,
            limit,
            schema=body.get("format"),
            logprobs=body.get("top_logprobs", 0) if asked else 0,
        )
        if model.voice is not None:
            said = model.voice(text, said, limit)
        shown, done = rules.ended(said)
        parts = list(documents.pieces(body, model, said, shown, logprobs=bool(asked)))
        if not done:
            return parts
        last = documents.part(body, "") | {"done": True, "done_reason": said.reason}
        if turns is not None and "messages" not in body:
            last["context"] = voice.tokens(text + "".join(said.pieces))
        times = {
            "total_duration": time.perf_counter_ns() - began,
            "load_duration": load,
            "prompt_eval_count": len(tokens),
            "prompt_eval_duration": int(seconds["prompt"] * 1e9),
            "eval_count": said.tokens,
            "eval_duration": int(seconds["predicted"] * 1e9) if said.tokens > 1 else 0,
        }
        return [*parts, last | {name: value for name, value in times.items() if value}]

    def say(self, document: Mapping[str, Any], *, status: int = 200, kind: str = _JSON) -> None:
        self.raw(json.dumps(document).encode(), status=status, kind=kind)

    def raw(self, data: bytes, *, status: int = 200, kind: str = _JSON) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, documents: Iterator[Mapping[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for document in documents:
            data = json.dumps(document).encode() + b"\n"
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")
