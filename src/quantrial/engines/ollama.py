"""Models of an Ollama server, spoken to by Ollama's own client.

`messages` go through the template of the modelfile, `text` goes to the model as it is (`raw`). The
server would penalise repetition and cut the tail of the distribution by defaults of its own and of
the modelfile; here every call states the sampling that the embedded engine has, so that the same
weights answer alike. A prompt longer than `num_ctx` is cut by the server without a word: that shows
in its count of tokens and is a context overflow. Older shots of a chat that is too long are left
out without a trace; `num_ctx` should have room for the longest prompt.

The server reuses what it kept of the last prompt, and there is no option against it: answers at
temperature 0 can depend on the order of calls.

Times are the server's own. Its clock of decoding starts when the prompt is read: n tokens took
n - 1 steps in it (`numDecoded` in its runner).
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import ollama

from quantrial.engines.abilities import refusal, refuse_unable
from quantrial.engines.base import Reply, Request, Timing
from quantrial.engines.loopback import is_loopback
from quantrial.engines.ollama_answer import Heard, seconds
from quantrial.engines.ollama_errors import FOREIGN, translated
from quantrial.engines.ollama_model import artifact_of, full_name
from quantrial.engines.ollama_registry import registry_bytes
from quantrial.engines.options import Option, read_options
from quantrial.errors import (
    ContextOverflowError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
    ModelChangedError,
    ModelFileError,
    StudyError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from quantrial.engines.artifact import Artifact

_OPTIONS = {
    "host": Option(str),  # default: OLLAMA_HOST, or this machine
    "num_ctx": Option(int, 4096, low=16),  # tokens of prompt and answer together
    "num_thread": Option(int, None, low=1),  # default: the server's choice, as with the next two
    "num_batch": Option(int, None, low=1),
    "num_gpu": Option(int, None, low=-1),  # layers on the GPU
    "keep_alive": Option(str, "30m"),  # how long an idle model stays in memory
    "think": Option(bool, False),  # let a model think that can; its thoughts are not recorded
    "together": Option(bool, False),  # the server is set up to hold all arms in memory
}
_RUNNER = ("num_ctx", "num_thread", "num_batch", "num_gpu")
# The sampling of the embedded engine, said in every call: the server's defaults differ.
_SAMPLING = {
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
_SEEDS = 2**31 - 1  # below it; -1 stands for "any"
_LOAD_LIMIT = 900.0  # seconds; a large model from a slow disk
_ASK_LIMIT = 30.0  # seconds for what needs no model
# Finding a model that is loaded takes the server some ms; what takes longer was a load.
_REAL_LOAD = 0.1
_NO_SERVER = "is an Ollama server running there? `ollama serve` starts one; `host` in the options"
_LOGPROBS_SINCE = (0, 12, 11)


class OllamaEngine:
    """One model on one Ollama server."""

    name = "ollama"

    def __init__(self, model: str, options: Mapping[str, Any] | None = None, *, key: str = "arm"):
        """Check the options; no server is asked.

        Args:
            model: as `ollama list` names it, such as `llama3.1:8b-instruct-q8_0`.
            options: `host`, `num_ctx`, `num_thread`, `num_batch`, `num_gpu`, `keep_alive`, `think`,
                `together`.
            key: where the arm stands in the study, for messages.
        """
        self.abilities = frozenset({"schema", "logprobs", "parallel"})
        self.model = model
        self._options = read_options(options or {}, _OPTIONS, key=f"{key}.options")
        self.address = _address(self._options["host"], key=f"{key}.options.host")
        self._name = full_name(model)
        self._where = f"Ollama ({model} on {self.address})"
        self._lock = threading.RLock()
        self._clients: dict[float, ollama.Client] = {}
        self._digest: str | None = None
        self._load: float | None = None
        self._used = False  # whether the model is in memory on our account

    @property
    def local(self) -> bool:
        """Whether the server is on this machine."""
        return is_loopback(self.address)

    def describe(self) -> Artifact:
        """Say what would run, as the server tells it.

        Raises:
            ModelFileError: the server does not have the model.
            EngineStartError: there is no server.
        """
        listed = self._listed()
        with self._starting():
            shown = self._client(_ASK_LIMIT).show(self.model)
            facts = {**(shown.modelinfo or {}), **self._verbose()}
        options = {name: value for name, value in self._options.items() if name != "host"}
        return artifact_of(self.model, shown, listed, options=options, facts=facts)

    def versions(self) -> Mapping[str, str]:
        """Name the versions of server and client."""
        with self._starting():
            response = httpx.get(f"{self.address}/api/version", **self._http())
            server = str(response.raise_for_status().json()["version"])
        known = tuple(int(part) for part in re.findall(r"\d+", server)[:3])
        if known and (0, 0, 0) < known < _LOGPROBS_SINCE:
            self.abilities -= {"logprobs"}
        return {"ollama": server, "ollama-python": metadata.version("ollama")}

    def missing(self) -> bool:
        """Whether the server is there and does not have the model."""
        return self._entry() is None

    def fetch_bytes(self) -> int | None:
        """Say how large the model is that `pull` would fetch, as the registry tells."""
        return registry_bytes(self.model)

    def pull(self) -> Iterator[tuple[str, int, int]]:
        """Have the server fetch the model; yields what it does, bytes done and bytes in all.

        Raises:
            EngineError: it could not be fetched; what came so far is kept by the server.
        """
        done: dict[str, tuple[int, int]] = {}
        with self._starting():
            for step in self._client(_LOAD_LIMIT).pull(self.model, stream=True):
                if step.digest and step.total:
                    done[step.digest] = (step.completed or 0, step.total)
                sums = [sum(part) for part in zip(*done.values(), strict=True)] or [0, 0]
                yield step.status or "", sums[0], sums[1]

    def start(self) -> float:
        """Have the model loaded and return the seconds it took; 0.0 when it was loaded already.

        Raises:
            ModelFileError: the server does not have the model.
            ModelChangedError: it is another one than before.
            EngineStartError: there is no server, or it cannot load the model.
        """
        with self._lock:
            if self._loaded():
                return 0.0
            self._listed()
            began = time.perf_counter()
            with self._starting():
                self._client(_LOAD_LIMIT).generate(
                    self.model, options=self._runner(), keep_alive=self._options["keep_alive"]
                )
            self._used = True
            self._load = time.perf_counter() - began
            return self._load

    def ask(self, request: Request) -> Reply:
        """Answer one request; a model that is not in memory is loaded first."""
        refuse_unable(request, self)
        try:
            self.start()
        except ModelFileError as exc:  # removed since the first start
            raise ModelChangedError(str(exc)) from exc
        self._used = True
        began = time.perf_counter()
        heard = Heard(deadline=began + request.timeout, began=began)
        try:
            for part in self._stream(request):
                heard.take(part, where=self._where)
        except (httpx.TimeoutException, TimeoutError) as exc:
            raise EngineTimeoutError(
                f"no answer within {request.timeout:g} s from {self._where}"
            ) from exc
        except FOREIGN as exc:
            raise translated(exc, self._where) from exc
        wall = time.perf_counter() - began
        return self._reply(request, heard, wall)

    def close(self) -> None:
        """Have the model unloaded, and close the connections."""
        with self._lock:
            used, self._used, self._load = self._used, False, None
            if used:
                with contextlib.suppress(EngineError, *FOREIGN):
                    if self._loaded():
                        self._client(_ASK_LIMIT).generate(self.model, keep_alive=0)
            clients, self._clients = self._clients, {}
        with contextlib.ExitStack() as stack:
            for client in clients.values():
                stack.enter_context(client)  # leaving closes it

    def _stream(self, request: Request) -> Iterator[ollama.GenerateResponse | ollama.ChatResponse]:
        client = self._client(request.timeout)
        said: dict[str, Any] = {
            "options": {
                **self._runner(),
                **_SAMPLING,
                "temperature": request.temperature,
                "seed": request.seed % _SEEDS,
                "num_predict": request.max_tokens,
                **({"stop": list(request.stop)} if request.stop else {}),
            },
            "keep_alive": self._options["keep_alive"],
            "format": dict(request.schema) if request.schema is not None else None,
        }
        if request.logprobs:
            said |= {"logprobs": True, "top_logprobs": request.logprobs}
        if request.messages:
            messages = [{"role": m.role, "content": m.content} for m in request.messages]
            think = self._options["think"]
            return client.chat(self.model, messages, stream=True, think=think, **said)
        return client.generate(self.model, request.text or "", stream=True, raw=True, **said)

    def _reply(self, request: Request, heard: Heard, wall: float) -> Reply:
        last = heard.last
        if last is None or last.eval_count is None:
            raise EngineError(f"{self._where} broke off its answer: it never said it was done")
        if last.model and full_name(last.model) != self._name:
            raise EngineError(f"{self._where} answered with another model, {last.model!r}")
        loading = seconds(last.load_duration) or 0.0
        if loading >= _REAL_LOAD:
            self._loaded()  # what was loaded just now may be another model of the same name
        else:
            loading = 0.0
        prompt_tokens, context = last.prompt_eval_count, self._options["num_ctx"]
        if (prompt_tokens or 0) + max(last.eval_count - 1, 0) >= context:
            raise ContextOverflowError(
                f"prompt ({prompt_tokens} tokens) and answer ({last.eval_count}) do not fit into "
                f"the context of {context}, and the server cuts without a word; the option is "
                "`num_ctx`"
            )
        if request.logprobs and not heard.logprobs:
            raise refusal(f"{self._where} reports no probabilities of tokens; newer versions do")
        with self._lock:
            load, self._load = self._load, None
        total = (load or 0.0) + loading
        first = None if heard.first is None else max(heard.first - loading, 0.0)
        return Reply(
            output="".join(heard.texts),
            finish_reason=last.done_reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=last.eval_count,
            decoded_tokens=max(last.eval_count - 1, 0),
            logprobs=tuple(heard.logprobs) if request.logprobs else None,
            timing=Timing(
                load=total or None,
                prompt=seconds(last.prompt_eval_duration),
                first_token=first,
                decode=seconds(last.eval_duration) if last.eval_count > 1 else None,
                wall=max(wall - loading, 0.0),
            ),
        )

    def _entry(self) -> ollama.ListResponse.Model | None:
        with self._starting():
            models = self._client(_ASK_LIMIT).list().models
        return next((m for m in models if full_name(m.model or "") == self._name), None)

    def _listed(self) -> ollama.ListResponse.Model:
        """Return the model's entry in the server's list; refuse another model than before."""
        listed = self._entry()
        if listed is None:
            raise ModelFileError(
                f"{self.model!r} is not on the Ollama server {self.address}; "
                f"`ollama pull {self.model}` fetches it"
            )
        self._refuse_another(listed.digest)
        return listed

    def _loaded(self) -> bool:
        """Whether the model is in memory; refuse another model of its name than before."""
        with self._starting():
            running = self._client(_ASK_LIMIT).ps().models
        mine = next((m for m in running if full_name(m.model or "") == self._name), None)
        if mine is not None:
            self._refuse_another(mine.digest)
        return mine is not None

    def _refuse_another(self, digest: str | None) -> None:
        if self._digest not in (None, digest):
            raise ModelChangedError(
                f"{self._where} is another model than before: its digest was "
                f"{(self._digest or '')[:12]}, is {(digest or 'none')[:12]}; answers of both would "
                "be mixed"
            )
        self._digest = digest

    def _runner(self) -> dict[str, Any]:
        return {n: self._options[n] for n in _RUNNER if self._options[n] is not None}

    def _verbose(self) -> Mapping[str, Any]:
        """Ask for the tokenizer, which the client cannot ask for; only from another machine."""
        body = {"model": self.model, "verbose": True}
        response = httpx.post(f"{self.address}/api/show", json=body, **self._http())
        if response.status_code != 200:
            return {}
        said = response.json().get("model_info")
        return said if isinstance(said, dict) else {}

    def _client(self, timeout: float) -> ollama.Client:
        """Return a client; the time limit is a client's, so there is one for each."""
        with self._lock:
            if timeout not in self._clients:
                self._clients[timeout] = ollama.Client(
                    self.address, timeout=timeout, **self._http(False)
                )
            return self._clients[timeout]

    def _http(self, timeout: bool = True) -> dict[str, Any]:
        limit = {"timeout": _ASK_LIMIT} if timeout else {}
        return {"trust_env": not self.local, **limit}  # no proxy stands before this machine

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """Translate errors of a call that needs no answer of the model."""
        try:
            yield
        except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout) as exc:
            error = EngineStartError(f"nothing answers at {self.address}: {_NO_SERVER}")
            raise error from exc
        except httpx.TimeoutException as exc:
            raise EngineStartError(f"{self._where} did not answer in time") from exc
        except httpx.HTTPStatusError as exc:
            said = f"{self._where} answered {exc.response.status_code}"
            raise EngineStartError(f"{said}; is this an Ollama server?") from exc
        except FOREIGN as exc:
            raise translated(exc, self._where) from exc


def _address(host: str | None, *, key: str) -> str:
    """Return the server's address as a URL, the way Ollama's own tools read it."""
    given = (host or os.environ.get("OLLAMA_HOST") or "127.0.0.1:11434").strip()
    url = given if "://" in given else f"http://{given}"
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443}.get(parts.scheme, 80 if "://" in given else 11434)
    except ValueError as exc:
        raise StudyError(f"{given!r} is not an address: {exc}", key=key) from exc
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StudyError(f"expected host:port or http(s)://host:port, got {given!r}", key=key)
    if parts.username or parts.password:
        raise StudyError("holds a name or password; set OLLAMA_API_KEY instead", key=key)
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    name = "127.0.0.1" if name == "0.0.0.0" else name  # where a server listens is no place to call
    return f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/')}"
