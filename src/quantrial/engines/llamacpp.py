"""The embedded engine: llama.cpp's own server, in a worker process started and ended here.

Native code that hangs, aborts or leaks costs one call and a recorded fault, never the run; closing
an engine really frees its memory.

What the server does with a prompt. `messages` go through the chat template of the model file.
`text` is tokenized as it stands with special tokens recognised (`<|im_start|>` in a text is that
token), and with the model's BOS token in front where its file says `add_bos_token` (SmolLM2's says
no). Temperature 0 is greedy; above it, llama.cpp's own top-k 40, top-p 0.95 and min-p 0.05 hold.

An answer follows from its request alone, whatever was asked before and however often the worker was
started. llama.cpp's own prompt cache breaks that: the batch a token is evaluated in depends on the
call before, and so do the last bits of its logits. With `prompt_cache`, the beginning that a task's
prompts share is read once, and restored exactly before each call (`Prefixes`); the rest is
always evaluated. With `slots` above 1 several threads may ask at once, and the batch depends on who
else is asking.

Times are the server's own. Its `decode` begins when the first token is there: an answer of n tokens
took n - 1 steps in that time, and one of a single token took none. The rest of a call's `wall` went
before that, so it is the time to the first token.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from quantrial.engines.abilities import refusal, refuse_unable, refuse_unheld
from quantrial.engines.artifact import Artifact
from quantrial.engines.base import Reply, Request
from quantrial.engines.gguf_file import read_header
from quantrial.engines.http import kind_of
from quantrial.engines.llamacpp_process import Prefixes, Worker, worker_versions
from quantrial.engines.llamacpp_wire import (
    TEMPLATE,
    call_of,
    read_reply,
    render_key,
    render_without_weights,
    server_error,
)
from quantrial.engines.model_files import PREFIX, HubFile, bytes_each, describe_file, resolve
from quantrial.engines.options import Option, read_options
from quantrial.engines.requantize import made_file
from quantrial.engines.templates import SUPPLIED, dates_in, day_option, shows_tools, with_day
from quantrial.engines.weights import after
from quantrial.errors import (
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
    ModelChangedError,
    QuantrialError,
    StudyError,
)
from quantrial.system import physical_cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from quantrial.engines.gguf_file import Header
    from quantrial.study import Weights

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "iq4_nl", "q4_1", "q4_0")
_OPTIONS = {
    "context": Option(int, 2048, low=16),  # tokens of prompt and answer together, per slot
    "threads": Option(int, None, low=1),  # default: the physical cores this process may use
    "batch": Option(int, 512, low=1),  # prompt tokens evaluated at once
    "gpu_layers": Option(int, -1, low=-1),  # -1: all, where there is a GPU
    "slots": Option(int, 1, low=1),  # calls answered at once; above 1 answers depend on company
    "prompt_cache": Option(bool, True),  # read once what the prompts of a task begin with
    # how the cache of keys and values is stored; a quantized one changes answers a little
    "cache_type_k": Option(str, None, choices=CACHE_TYPES),
    "cache_type_v": Option(str, None, choices=CACHE_TYPES),
    "date": Option(str, None),  # the day that a template writes which writes the date
}
ABILITIES = frozenset({"grammar", "schema", "tools", "logprobs", "exact_length", "fresh"})


class LlamaCppEngine:
    """One model file in one worker process."""

    name = "llamacpp"
    local = True

    def __init__(
        self,
        model: str,
        options: Mapping[str, Any] | None = None,
        *,
        base: Path | None = None,
        quantize: str | None = None,
        degrade: str | None = None,
        weights: Weights | None = None,
        key: str = "arm",
    ):
        """Check the options; nothing is read or started.

        Args:
            model: a path, `hf://org/repo/file.gguf` or `package://package/file.gguf`.
            options: `context`, `threads`, `batch`, `gpu_layers`, `slots`, `prompt_cache`,
                `cache_type_k`, `cache_type_v`, `date`.
            base: the folder that a relative path starts from.
            quantize: make the file from `model` in this type (F16, Q8_0, Q5_0, Q4_0).
            degrade: damage the weights on the way (`round_3bit`); F16 unless `quantize` is given.
            weights: what a study states of its weights, which is refused: the file says it.
            key: where the arm stands in the study, for messages.
        """
        if weights is not None:
            raise StudyError(
                "the engine 'llamacpp' reads type and size off the file itself: leave it out",
                key=f"{key}.weights",
            )
        self.model = model
        self._base = base or Path()
        self._options = read_options(options or {}, _OPTIONS, key=f"{key}.options")
        self._options["threads"] = self._options["threads"] or physical_cores()
        self._options = {name: value for name, value in self._options.items() if value is not None}
        self._day = day_option(self._options, key=f"{key}.options")
        self.abilities = ABILITIES | ({"parallel"} if self._options["slots"] > 1 else set())
        self._quantize = quantize or ("F16" if degrade else None)
        self._degrade = degrade
        self._lock = threading.RLock()
        self._worker: Worker | None = None
        self._prefixes: Prefixes | None = None
        self._load: float | None = None
        self._stamp: tuple[int, int, int] | None = None

    def describe(self) -> Artifact:
        """Say what would run, by header and hash; makes the file where `quantize` asks for it."""
        source = resolve(self.model, self._base)
        said = self._options
        cells = said["context"] * said["slots"]
        each = bytes_each(said.get("cache_type_k"), said.get("cache_type_v"))
        facts = describe_file(source, cells=cells, bytes_each=each)
        made = replace(facts, model=self.model)
        if self._quantize:
            path = made_file(source, self._quantize, self._degrade)
            made = replace(
                describe_file(path, cells=cells, bytes_each=each),
                model=self.model,
                derived_from=self.model,
                source_sha256=facts.sha256,
                source_quantization=facts.quantization,
                quantized_before=after(facts.quantization, facts.quantized_before),
            )
        return replace(
            made,
            context=said["context"],
            options=dict(said),
            **self.template_facts(),
        )

    def template_facts(self) -> dict[str, Any]:
        """Say what stands in for a template that is missing, and which day one is told."""
        header = self._header()
        default = None if header.template_sha256 else "chatml"
        return {"template_default": default, "template_date": self._dated(header)}

    def _dated(self, header: Header) -> dict[str, Any]:
        """Say by which names the file's template asks for the date, and which day it is told."""
        own = header.value(TEMPLATE)
        by = [name for name in dates_in(own) if name in SUPPLIED] if isinstance(own, str) else []
        return {"by": by, "held": self._day.isoformat()} if by else {}

    def _template(self, header: Header) -> str | None:
        """Return the template with its day held; None where the file's own is used as it is."""
        dated = self._dated(header)
        return with_day(header.value(TEMPLATE), self._day) if dated else None

    def render(self, requests: Sequence[Request]) -> list[str]:
        """Return the text that the model reads of each request: its template applied.

        Nothing is loaded for it but the tokenizer.

        Raises:
            ModelFileError: there is no usable model file.
            EngineError: llama.cpp cannot apply the template.
        """
        header = self._header()
        return render_without_weights(header, self._template(header), requests)

    def render_key(self, request: Request) -> str:
        """Hash what decides that text: it is the same wherever the key is."""
        header = self._header()
        return render_key(header, self._template(header), request)

    def special_tokens(self) -> frozenset[str]:
        """Name the texts that the model reads as control tokens, wherever they stand."""
        return self._header().control_tokens

    def missing(self) -> bool:
        """Whether the model file is one of the hub that is not in its cache."""
        return self.model.startswith(PREFIX) and HubFile.named(self.model).cached() is None

    def fetch_bytes(self) -> int | None:
        """Say how large the file is that `pull` would fetch, as the hub tells."""
        return HubFile.named(self.model).bytes()

    def pull(self) -> Iterator[tuple[str, int, int]]:
        """Fetch the file; yields what is done, bytes done and bytes in all.

        Raises:
            ModelFileError: the download failed.
        """
        return HubFile.named(self.model).fetch()

    def versions(self) -> Mapping[str, str]:
        """Name the versions of xllamacpp and its llama.cpp, and what that uses of the CPU."""
        return worker_versions()

    def _header(self) -> Header:
        header = read_header(resolve(self.model, self._base))
        own = header.value(TEMPLATE)
        # a second template, or one beside the file's own, is there for tools alone
        if f"{TEMPLATE}.tool_use" not in header.fields and not shows_tools(str(own or "")):
            self.abilities -= {"tools"}
        return header

    @property
    def pid(self) -> int | None:
        """The worker's process id, if one runs."""
        worker = self._worker
        return worker.pid if worker is not None and worker.alive() else None

    def start(self) -> float:
        """Load the model and return the seconds it took; 0.0 when it was loaded already.

        Raises:
            ModelFileError: there is no usable model file.
            EngineStartError: there is one, and llama.cpp cannot load it; its log is in the message.
        """
        with self._lock:
            if self._worker is not None and self._worker.alive():
                return 0.0
            self.close()
            source = resolve(self.model, self._base)
            header = read_header(source)  # says what is wrong with it better than llama.cpp does
            self._refuse_another(source)
            path = made_file(source, self._quantize, self._degrade) if self._quantize else source
            self._prefixes = Prefixes(self._options["slots"], keep=self._options["prompt_cache"])
            told = {"path": str(path), **self._options, "states": str(self._prefixes.folder)}
            if (template := self._template(header)) is not None:
                told["template"] = template
            try:
                self._worker = Worker(told)
            except EngineStartError as exc:
                self.close()
                raise EngineStartError(f"{self.model} cannot be loaded: {exc}") from exc
            self._load = self._worker.load_seconds
            return self._load

    def ask(self, request: Request) -> Reply:
        """Answer one request; a worker that is not there, or died, is started first."""
        if request.tools:
            self._header()  # says whether the template shows them
        refuse_unable(request, self)
        worker, prefixes = self._running()
        path, body = call_of(request)
        mark, started = worker.log_size(), time.perf_counter()
        try:
            with prefixes.begun(worker.client, request) as begun:
                body |= {"cache_prompt": begun.shared, "id_slot": begun.slot}
                response = worker.client.post(path, json=body, timeout=request.timeout)
        except UnicodeEncodeError as exc:
            raise refusal(f"the prompt is not valid text: {exc}") from exc
        except (httpx.HTTPError, RuntimeError) as exc:
            raise self._lost(exc, worker, request, mark) from exc
        wall = time.perf_counter() - started
        if response.status_code != 200:
            raise server_error(response)
        load, self._load = self._load, None
        reply = read_reply(response, request, begun, load=load, wall=wall)
        refuse_unheld(request, reply.output, reply.finish_reason)
        return reply

    def close(self) -> None:
        """End the worker and free its memory."""
        with self._lock:
            worker, self._worker = self._worker, None
            prefixes, self._prefixes = self._prefixes, None
        if worker is not None:
            worker.end()
        if prefixes is not None:
            prefixes.close()

    def _running(self) -> tuple[Worker, Prefixes]:
        with self._lock:
            try:
                self.start()
            except EngineError:
                raise
            except QuantrialError as exc:  # the model file went away since the first start
                raise EngineStartError(str(exc)) from exc
            if not (self._worker and self._prefixes):  # pragma: no cover
                raise EngineStartError("there is no worker")  # start sets both
            return self._worker, self._prefixes

    def _refuse_another(self, source: Path) -> None:
        """Refuse a file that was replaced since it was first loaded: answers would be mixed."""
        stat = source.stat()
        stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if self._stamp not in (None, stamp):
            raise ModelChangedError(f"{self.model} has changed since it was first loaded")
        self._stamp = stamp

    def _lost(self, exc: Exception, worker: Worker, request: Request, mark: int) -> EngineError:
        """Translate a broken call, and do away with the worker it broke on."""
        kind, _ = kind_of(exc)
        if kind is EngineStartError:  # it was there: nobody else listens for it
            kind = EngineCrashedError
        if kind is EngineTimeoutError:
            what = f"no answer within {request.timeout:g} s; the worker process was killed"
        elif kind is EngineCrashedError:
            worker.wait()  # a broken connection precedes the exit by a moment
            what = f"the worker process died while it answered ({worker.ending()})"
        else:
            what = f"the worker process could not be spoken to ({type(exc).__name__}: {exc})"
        message = what + worker.log_tail(since=mark)
        worker.kill()
        with self._lock:
            if self._worker is worker:
                self.close()
        return kind(message)
