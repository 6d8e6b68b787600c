"""Models of an Ollama server, spoken to over its own API.

`messages` go through the template of the modelfile, `text` goes to the model as it is (`raw`). The
server would penalise repetition and cut the tail of the distribution by defaults of its own and of
the modelfile; here every call states the sampling that the embedded engine has, so that the same
weights answer alike.

By itself the server cuts a prompt that is too long, and lets an answer that outgrows the window go
on without the question. Every call forbids both (`truncate`, `shift`); of older servers, which know
neither word, `ollama_whole` finds out what they read. An answer that fills the window ends there
as at any other limit of its length. One that repeats itself is ended by the server without a word:
it is an answer too (`repeat_limit`).

The server reuses what it kept of the last prompt, and there is no option against it: answers at
temperature 0 can depend on the order of calls.

Times are the server's own. Its clock of decoding starts when the prompt is read: n tokens took
n - 1 steps in it (`numDecoded` in its runner).
"""

from __future__ import annotations

import contextlib
import threading
import time
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from quantrial.engines.abilities import refusal, refuse_unable
from quantrial.engines.base import Reply, Request, Timing
from quantrial.engines.gguf_file import control_tokens
from quantrial.engines.http import FOREIGN, translated
from quantrial.engines.identity import REMEDY, AskedAs
from quantrial.engines.names import nearest_model
from quantrial.engines.ollama_answer import Heard, Whole
from quantrial.engines.ollama_server import (
    KEY,
    Server,
    address_of,
    artifact_of,
    plain_name,
    registry_bytes,
)
from quantrial.engines.options import Option, read_options
from quantrial.errors import (
    ContextOverflowError,
    EngineError,
    ModelChangedError,
    ModelFileError,
)
from quantrial.redaction import blot_error

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
    "think": Option(bool, False),  # let a model think that can
    "together": Option(bool),  # the server holds all arms in memory; not said, it is asked
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
# Finding a model that is loaded takes the server some ms; what takes longer was a load.
_REAL_LOAD = 0.1
# What a server does with a prompt and an answer that do not fit, where nobody forbids it.
_WHOLE = {"truncate": False, "shift": False}


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
        self.abilities = frozenset({"schema", "tools", "logprobs", "parallel"})
        self.model = model
        self._options = read_options(options or {}, _OPTIONS, key=f"{key}.options")
        address = address_of(self._options["host"], key=f"{key}.options.host")
        self._name = plain_name(model)
        self._where = f"Ollama ({model} on {address})"
        self._lock = threading.RLock()
        self._server = Server(address, self._where)
        self._prompts = Whole()
        self._context: int | None = None  # the window that the server last said it has
        self._digest: str | None = None
        self._load: float | None = None
        self._used = False  # whether the model is in memory on our account

    @property
    def local(self) -> bool:
        """Whether the server is on this machine."""
        return self._server.local

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._server.address

    @staticmethod
    def sends_key(options: Mapping[str, Any], *, key: str) -> tuple[str, list[str]]:
        """Say which variable's key goes to which addresses."""
        return KEY, [address_of(options.get("host"), key=f"{key}.host")]

    def asked_as(self) -> AskedAs:
        """Say what is asked, where and in which way: two arms of one of it are one arm."""
        ways = {name: self._options[name] for name in (*_RUNNER, "think")}
        return AskedAs.of([self.address], self._name, ways)

    def describe(self) -> Artifact:
        """Say what would run, as the server tells it.

        Raises:
            ModelFileError: the server does not have the model.
            EngineStartError: there is no server.
        """
        listed = self._listed()
        shown, facts = self._server.show(self.model)
        able = shown.get("capabilities")  # older servers do not say
        if isinstance(able, list) and "tools" not in able:
            self.abilities -= {"tools"}
        options = {name: value for name, value in self._options.items() if name != "host"}
        # not said and no are recorded alike, as they were before the server was asked
        options["together"] = bool(options["together"])
        held = None if self._options["together"] is None else not self._options["together"]
        found = artifact_of(self.model, shown, listed, options=options, facts=facts, alone=held)
        return replace(found, identity={"version": self._server.same_version()})

    def special_tokens(self) -> frozenset[str]:
        """Name the texts that the model reads as control tokens, where the server tells."""
        _, facts = self._server.show(self.model)
        told = (facts.get(f"tokenizer.ggml.{key}") for key in ("tokens", "token_type"))
        return control_tokens(*(one if isinstance(one, list) else None for one in told))

    def versions(self) -> Mapping[str, str]:
        """Name the version of the server."""
        server = self._server.version()
        if not self._server.knows_logprobs:
            self.abilities -= {"logprobs"}
        return {"ollama": server}

    def missing(self) -> bool:
        """Whether the server is there and does not have the model."""
        return self._server.find("/api/tags", self.model) is None

    def fetch_bytes(self) -> int | None:
        """Say how large the model is that `pull` would fetch, as the registry tells."""
        return registry_bytes(self.model)

    def pull(self) -> Iterator[tuple[str, int, int]]:
        """Have the server fetch the model; yields what it does, bytes done and bytes in all.

        Raises:
            EngineError: it could not be fetched; what came so far is kept by the server.
        """
        return self._server.pull(self.model)

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
            # what is not said here and is later would have it loaded a second time
            self._server.load(self._said())
            self._used = True
            self._load = time.perf_counter() - began
            return self._load

    def in_memory(self) -> bool:
        """Whether the server has the model in memory; a server that fails to say so has not."""
        try:
            return self._loaded()
        except ModelChangedError:
            raise
        except EngineError:
            return False

    def reload(self) -> float:
        """Have the model unloaded and loaded again; return the seconds that loading took."""
        with self._lock:
            self._server.unload(self.model)
            return self.start()

    def ask(self, request: Request) -> Reply:
        """Answer one request; a model that is not in memory is loaded first."""
        refuse_unable(request, self)
        try:
            self.start()
            self._used = True
            began = time.perf_counter()
            heard = self._hear(request)
            reply = self._reply(request, heard, time.perf_counter() - began)
            if self._server.reconnected():  # it may be another one now
                self._loaded()
            return reply
        except ModelFileError as exc:  # removed since the first start
            raise ModelChangedError(str(exc)) from exc
        except EngineError as exc:
            blot_error(exc)
            raise

    def close(self) -> None:
        """Have the model unloaded, and close the connections."""
        with self._lock:
            used, self._used, self._load = self._used, False, None
            if used:
                with contextlib.suppress(EngineError):
                    if self._loaded():
                        self._server.unload(self.model)
        self._server.connection.close()

    def _hear(self, request: Request) -> Heard:
        """Ask, and listen until the answer is done."""
        heard = Heard(began=time.perf_counter())
        path, body = self._call(request)
        limit = request.timeout
        try:
            answer = self._server.connection.lines(path, body, silence=limit, within=limit)
            with closing(answer) as parts:
                for part in parts:
                    heard.take(part, where=self._where)
            if not heard.whole:
                raise EngineError(
                    f"{self._where} broke off its answer"
                    f"{heard.message.place or ' at its beginning'}: it never said it was done"
                )
        except EngineError as exc:
            exc.partial = heard.partial(request.max_tokens)
            raise
        except FOREIGN as exc:
            if heard.done is None:  # what goes wrong after the last piece takes nothing away
                error = self._translated(exc, limit, heard.message.place)
                error.partial = heard.partial(request.max_tokens)
                raise error from exc
        return heard

    def _translated(self, exc: Exception, limit: float, place: str) -> EngineError:
        error = translated(exc, self._where, seconds=limit, place=place)
        if isinstance(error, ContextOverflowError):
            return ContextOverflowError(
                f"{error}; it does not fit into the context of {self._options['num_ctx']}, and the "
                "option is `num_ctx`"
            )
        return error

    def _said(self) -> dict[str, Any]:
        """Return what every call says."""
        return {
            "model": self.model,
            "keep_alive": self._options["keep_alive"],
            "options": self._runner(),
            **_WHOLE,
        }

    def _call(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Return the path and body of a request."""
        body = self._said() | {"stream": True, "think": self._options["think"]}
        body["options"] |= {
            **_SAMPLING,
            "temperature": request.temperature,
            "seed": request.seed % _SEEDS,
            "num_predict": request.max_tokens,
            **({"stop": list(request.stop)} if request.stop else {}),
        }
        if request.schema is not None:
            body["format"] = dict(request.schema)
        if request.logprobs:
            body |= {"logprobs": True, "top_logprobs": request.logprobs}
        if request.messages:
            body["messages"] = [asdict(m) for m in request.messages]
            return "/api/chat", body | ({"tools": list(request.tools)} if request.tools else {})
        return "/api/generate", body | {"prompt": request.text or "", "raw": True}

    def _reply(self, request: Request, heard: Heard, wall: float) -> Reply:
        done = heard.done or {}
        if heard.model and plain_name(heard.model) != self._name:
            raise EngineError(f"{self._where} answered with another model, {heard.model!r}")
        loading = heard.seconds("load_duration") or 0.0
        if loading >= _REAL_LOAD:
            self._loaded()  # what was loaded just now may be another model of the same name
        else:
            loading = 0.0
        finish = self._checked(request, heard)
        if request.logprobs and not heard.logprobs and heard.message.text:
            raise refusal(f"{self._where} reports no probabilities of tokens; newer versions do")
        with self._lock:
            load, self._load = self._load, None
        total = (load or 0.0) + loading
        first = None if heard.first is None else max(heard.first - loading, 0.0)
        tokens = heard.count("eval_count")
        return Reply(
            output=heard.message.text,
            finish_reason=finish,
            prompt_tokens=done.get("prompt_eval_count"),
            completion_tokens=done.get("eval_count"),
            decoded_tokens=None if tokens is None else tokens - 1,
            logprobs=tuple(heard.logprobs) if request.logprobs else None,
            thought=heard.message.thought,
            tool_calls=heard.message.tool_calls,
            timing=Timing(
                load=total or None,
                prompt=heard.seconds("prompt_eval_duration"),
                first_token=first,
                decode=heard.seconds("eval_duration")
                if tokens is not None and tokens > 1
                else None,
                wall=max(wall - loading, 0.0),
            ),
        )

    def _checked(self, request: Request, heard: Heard) -> str | None:
        """Return why an answer ended, if its prompt was read whole.

        Raises:
            ContextOverflowError: the server cut it.
        """
        count, window = heard.count("prompt_eval_count"), self._window()
        if not self._server.knows_truncate:
            self._prompts.told(refuses=False)
            if count is None:
                count = self._count(replace(request, max_tokens=1, logprobs=0))
        if count is None:
            return heard.reason
        if shown := self._prompts.missing(request, count, window=window, ask=self._count):
            raise ContextOverflowError(
                f"{self._where} did not read the whole prompt: {shown}; the option is `num_ctx`"
            )
        # what was said after the window was full was said without the question
        tokens = heard.count("eval_count")
        past = tokens is not None and count + tokens - 1 > window
        return "length" if past else heard.reason

    def _count(self, request: Request) -> int | None:
        return self._hear(request).count("prompt_eval_count")

    def _window(self) -> int:
        """Return the tokens of prompt and answer together: no more than the model was made for."""
        asked: int = self._options["num_ctx"]
        if self._context is not None and self._context < asked:
            self._loaded()  # that may have been another's, with another window
        return min(asked, self._context or asked)

    def _listed(self) -> Mapping[str, Any]:
        """Return the model's entry in the server's list; refuse another model than before."""
        listed = self._server.find("/api/tags", self.model)
        if listed is None:
            near = nearest_model(self.model, self._server.names())
            raise ModelFileError(
                f"{self.model!r} is not on the Ollama server {self.address}"
                + (f", which has {near!r}" if near else "")
                + f"; `ollama pull {self.model}` fetches it"
            )
        self._refuse_another(listed.get("digest"))
        return listed

    def _loaded(self) -> bool:
        """Whether the model is in memory; refuse another model of its name than before."""
        mine = self._server.find("/api/ps", self.model)
        if mine is not None:
            self._refuse_another(mine.get("digest"))
            length = mine.get("context_length")
            self._context = length if isinstance(length, int) and length > 0 else None
        return mine is not None

    def _refuse_another(self, said: Any) -> None:
        digest = said if isinstance(said, str) else None
        if self._digest not in (None, digest):
            raise ModelChangedError(
                f"{self._where} is another model than before: its digest was "
                f"{str(self._digest or '')[:12]}, is {str(digest or 'none')[:12]}. {REMEDY}"
            )
        self._digest = digest

    def _runner(self) -> dict[str, Any]:
        return {n: self._options[n] for n in _RUNNER if self._options[n] is not None}
