"""A server that speaks Ollama's API (docs/api.md of ollama/ollama) on top of the embedded engine.

One model is in memory at a time, as on an Ollama server whose models do not fit together: a call
for another one unloads it and pays a load. An idle one is unloaded after its `keep_alive`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from quantrial.engines import Message, Reply, Request
from quantrial.engines.cache import file_sha256
from quantrial.engines.gguf_file import read_header
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.errors import ContextOverflowError, EngineError

VERSION = "0.13.0"
TEMPLATE = (
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
Fault = Callable[["_Handler"], None]


@dataclass
class Model:
    """A model on the server: how its engine is made, and where its weights lie."""

    make: Callable[[int], LlamaCppEngine]  # from `num_ctx`
    path: Path
    parameters: str = ""
    template: str = TEMPLATE

    @property
    def blob(self) -> str:
        return file_sha256(self.path)

    @property
    def digest(self) -> str:
        """What Ollama calls a model's digest: of its manifest, which names all its parts."""
        return hashlib.sha256(f"{self.blob}{self.template}{self.parameters}".encode()).hexdigest()

    @property
    def details(self) -> dict[str, Any]:
        header = read_header(self.path)
        return {
            "parent_model": "",
            "format": "gguf",
            "family": header.architecture,
            "families": [header.architecture],
            "parameter_size": f"{header.parameters / 1e6:.2f}M",
            "quantization_level": header.quantization,
        }


@dataclass
class _Loaded:
    name: str
    digest: str
    context: int
    engine: LlamaCppEngine
    until: float


class OllamaServer:
    """Serves `models`; those of `remote` can be pulled. `requests` keeps (path, body) of each."""

    def __init__(self, models: Mapping[str, Model], remote: Mapping[str, Model] | None = None):
        self.models = dict(models)
        self.remote = dict(remote or {})
        self.version = VERSION
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.loads: list[str] = []
        self.faults: list[Fault] = []  # each answers one call for text instead of a model
        self._lock = threading.RLock()
        self._loaded: _Loaded | None = None
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.owner = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> OllamaServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self.unload()

    def find(self, name: str) -> Model:
        return self.models[name if ":" in name else f"{name}:latest"]

    def unload(self) -> None:
        with self._lock:
            if self._loaded is not None:
                self._loaded.engine.close()
            self._loaded = None

    def in_memory(self) -> _Loaded | None:
        with self._lock:
            if self._loaded is not None and time.monotonic() > self._loaded.until:
                self.unload()
            return self._loaded

    def ready(self, name: str, body: Mapping[str, Any]) -> tuple[LlamaCppEngine, int]:
        """Have a model in memory; return its engine and the nanoseconds that took."""
        began = time.perf_counter_ns()
        name = name if ":" in name else f"{name}:latest"
        model = self.models[name]
        context = int(body.get("options", {}).get("num_ctx", 4096))
        loaded = self.in_memory()
        wanted = (name, model.digest, context)
        if loaded is None or (loaded.name, loaded.digest, loaded.context) != wanted:
            self.unload()
            engine = model.make(context)
            engine.start()
            loaded = self._loaded = _Loaded(*wanted, engine, 0.0)
            self.loads.append(name)
        loaded.until = time.monotonic() + _lasting(body.get("keep_alive", "5m"))
        return loaded.engine, time.perf_counter_ns() - began


def _lasting(keep_alive: str | float) -> float:
    if isinstance(keep_alive, int | float):
        return float(keep_alive)
    found = re.fullmatch(r"(-?[\d.]+)(ms|s|m|h)?", keep_alive)
    assert found is not None, keep_alive
    return float(found[1]) * _UNITS[found[2] or "s"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

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
            return self.say({"models": [_entry(n, m) for n, m in owner.models.items()]})
        if self.path == "/api/ps":
            loaded = owner.in_memory()
            if loaded is None:
                return self.say({"models": []})
            model = owner.models.get(loaded.name)
            entry = _entry(loaded.name, model) if model else {"name": loaded.name}
            return self.say(
                {
                    "models": [
                        {
                            **entry,
                            "model": loaded.name,
                            "digest": loaded.digest,
                            "expires_at": "2038-01-01T00:00:00Z",
                            "size_vram": 0,
                            "context_length": loaded.context,
                        }
                    ]
                }
            )
        if found := re.fullmatch(r"/v2/library/([^/]+)/manifests/([^/]+)", self.path):
            model = owner.remote.get(f"{found[1]}:{found[2]}")
            if model is not None:
                layers = [{"size": model.path.stat().st_size}, {"size": 100}]
                return self.say({"layers": layers, "config": {"size": 10}})
        return self.say({"error": "404 page not found"}, status=404)

    def do_POST(self) -> None:
        owner = self.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        owner.requests.append((self.path, body))
        try:
            if self.path == "/api/pull":
                return self.stream(self._pull(body["model"]))
            owner.find(body["model"])
        except KeyError:
            return self.say({"error": f"model '{body['model']}' not found"}, status=404)
        if self.path == "/api/show":
            return self.say(_shown(owner.find(body["model"]), verbose=bool(body.get("verbose"))))
        if self.path in ("/api/generate", "/api/chat"):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                return self._answer(body)
            return None
        return self.say({"error": "404 page not found"}, status=404)

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

    def _answer(self, body: dict[str, Any]) -> None:
        owner, began = self.owner, time.perf_counter_ns()
        with owner._lock:
            asks = bool(body.get("prompt") or body.get("messages"))
            if asks and owner.faults:
                return owner.faults.pop(0)(self)
            if not asks and body.get("keep_alive") == 0:
                owner.unload()
                return self.say(_done(body, "unload", {}))
            engine, load = owner.ready(body["model"], body)
            if not asks:
                return self.say(_done(body, "load", {}))
            try:
                reply = engine.ask(_request(body))
            except ContextOverflowError:
                # the server cuts the prompt to what fits, and says nothing of it
                context = int(body["options"]["num_ctx"])
                counts = {"prompt_eval_count": context, "eval_count": 1}
                return self.stream(iter([_part(body, "x"), _done(body, "length", counts)]))
            except EngineError as exc:
                return self.say({"error": str(exc)}, status=500)
            return self.stream(_parts(body, reply, load, began))

    def say(self, document: Mapping[str, Any], *, status: int = 200) -> None:
        self.raw(json.dumps(document).encode(), status=status)

    def raw(self, data: bytes, *, status: int = 200, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, documents: Iterator[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for document in documents:
            data = json.dumps(document).encode() + b"\n"
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")


def _entry(name: str, model: Model) -> dict[str, Any]:
    return {
        "name": name,
        "model": name,
        "modified_at": "2026-11-01T12:00:00.000000001+01:00",
        "size": model.path.stat().st_size,
        "digest": model.digest,
        "details": model.details,
    }


def _shown(model: Model, *, verbose: bool) -> dict[str, Any]:
    header = read_header(model.path)
    facts: dict[str, Any] = {
        key: one.value for key, one in header.fields.items() if not key.startswith("tokenizer.")
    }
    facts["general.parameter_count"] = header.parameters
    for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges"):
        # the real server lists them; what they stand for here is their bytes
        facts[key] = [header.fields[key].raw.hex()[-4000:]] if verbose else None
    blob = model.path.with_name(f"sha256-{model.blob}")
    return {
        "license": "nothing to see",
        "modelfile": (
            f'# Modelfile generated by "ollama show"\nFROM {blob}\n'
            f'TEMPLATE """{model.template}"""\n{model.parameters}\nLICENSE """nothing\nto see"""\n'
        ),
        "parameters": model.parameters,
        "template": model.template,
        "details": model.details,
        "model_info": facts,
        "capabilities": ["completion"],
        "modified_at": "2026-11-01T12:00:00.000000001+01:00",
    }


def _request(body: Mapping[str, Any]) -> Request:
    options = body["options"]
    asked: dict[str, Any] = {
        "max_tokens": options["num_predict"],
        "stop": tuple(options.get("stop", ())),
        "temperature": options["temperature"],
        "seed": options["seed"],
        "timeout": 60.0,
    }
    if body.get("format"):
        asked["schema"] = body["format"]
    if body.get("logprobs"):
        asked["logprobs"] = body["top_logprobs"]
    if "messages" in body:
        turns = tuple(Message(turn["role"], turn["content"]) for turn in body["messages"])
        return Request(messages=turns, **asked)
    assert body["raw"], "a prompt that is not raw would go through the template"
    return Request(text=body["prompt"], **asked)


def _part(body: Mapping[str, Any], text: str) -> dict[str, Any]:
    said = {"model": body["model"], "created_at": "2026-11-01T12:00:00Z", "done": False}
    if "messages" in body:
        return said | {"message": {"role": "assistant", "content": text}}
    return said | {"response": text}


def _done(body: Mapping[str, Any], reason: str, counts: dict[str, Any]) -> dict[str, Any]:
    return _part(body, "") | {"done": True, "done_reason": reason} | counts


def _parts(
    body: Mapping[str, Any], reply: Reply, load: int, began: int
) -> Iterator[dict[str, Any]]:
    tokens = [
        {
            "token": one["token"],
            "logprob": one["logprob"],
            "top_logprobs": [{"token": t, "logprob": p} for t, p in one["top"]],
        }
        for one in reply.logprobs or ()
    ]
    pieces = re.findall(r"\s*\S+\s*?", reply.output) or [reply.output]
    pieces[-1] += reply.output[sum(map(len, pieces)) :]
    for i, piece in enumerate(pieces):
        part = _part(body, piece)
        if tokens and i == 0:
            part["logprobs"] = tokens
        yield part
    timing = reply.timing
    yield _done(
        body,
        reply.finish_reason or "stop",
        {
            "load_duration": load,
            "prompt_eval_count": reply.prompt_tokens,
            "prompt_eval_duration": int((timing.prompt or 0) * 1e9),
            "eval_count": reply.completion_tokens,
            "eval_duration": int((timing.decode or 0) * 1e9),
            "total_duration": time.perf_counter_ns() - began,
        },
    )
