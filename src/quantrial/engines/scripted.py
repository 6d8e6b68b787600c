"""An engine that answers from a script: deterministic, instant, and faulty on cue.

For tests of everything that talks to engines, from Python or from a study file (whose runs need
`--allow-code` on the command line):

    arms:
      fp16: {engine: scripted, model: any-name, options: {replies: [A, B], delay: 0.01}}
      q4:
        engine: scripted
        model: any-other-name
        options:
          faults:
            - {call: 3, kind: crash}
            - {matching: "capital of France", kind: timeout, times: 2}
          log: calls.jsonl
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import orjson

from quantrial.engines.abilities import refusal, refuse_unable
from quantrial.engines.artifact import Artifact
from quantrial.engines.base import Reply, Request, Timing
from quantrial.engines.options import Option, read_options
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineTimeoutError,
    StudyError,
)
from quantrial.paths import open_to_append, refuse_link

if TYPE_CHECKING:
    from pathlib import Path

FaultKind = Literal["engine_error", "timeout", "crash", "context_overflow"]
# a text, or {"text": ..., "tool_calls": [{"name": ..., "arguments": {...}}]}
Scripted = str | Mapping[str, Any]
Replies = Callable[[Request], Scripted] | Mapping[str, Scripted] | Sequence[Scripted]

_ERRORS: dict[str, type[EngineError]] = {
    "engine_error": EngineError,
    "timeout": EngineTimeoutError,
    "crash": EngineCrashedError,
    "context_overflow": ContextOverflowError,
}
_OPTIONS = {
    "replies": Option(list, []),
    "delay": Option(float, 0.0, low=0),
    "load": Option(float, 0.0, low=0),
    "faults": Option(list, []),
    "log": Option(str),
    "constrains": Option(bool, True),
    "takes_schema": Option(bool, False),
    "parallel": Option(bool, True),
    "one_at_a_time": Option(bool, False),
    "quantization": Option(str),
    "bytes": Option(int, low=0),
}
_LOG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FAULT = {
    "call": Option(int, low=1),
    "matching": Option(str),
    "kind": Option(str, "engine_error", choices=get_args(FaultKind)),
    "times": Option(int, 1, low=1),
    "retry_after": Option(float, 0.0, low=0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault on cue: `times` calls, from number `call` (from 1) on or with `matching` in them.

    It asks to be tried again after `retry_after` seconds.
    """

    kind: FaultKind = "engine_error"
    call: int | None = None
    matching: str | None = None
    times: int = 1
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Script:
    """How a scripted engine behaves beside its replies; the options of a study file."""

    delay: float = 0.0
    load: float = 0.0
    faults: tuple[Fault, ...] = ()
    log: Path | None = None
    log_name: str | None = None  # of a log that is written where `log_into` says
    remembers: bool = True
    constrains: bool = True
    takes_schema: bool = False
    parallel: bool = True
    one_at_a_time: bool = False
    quantization: str | None = None
    bytes_on_disk: int | None = None


class ScriptedEngine:
    """Answers from `replies`, and keeps every request it was asked in `calls` (not in a run).

    An answer is a text, or a mapping of `text` and `tool_calls`, each of `name` and `arguments`.
    `replies` is a function of the request; or a mapping from prompt to answer, where the prompt
    itself is looked up first and then the first key that occurs in it; or a sequence of answers,
    one of which is chosen by a hash of model, prompt and seed, so that the order of calls does not
    matter. With no sequence given, a grammar of quoted alternatives answers with one of them, and
    anything else with the hash itself. A grammar or a schema is not
    enforced on given replies.
    """

    name = "scripted"
    local = True

    def __init__(
        self,
        replies: Replies = (),
        script: Script | None = None,
        *,
        model: str = "scripted",
        seed: int = 0,
    ):
        self.calls: list[Request] = []
        self.asked = 0
        self.starts = 0
        self._lock = threading.Lock()
        self._replies = replies
        self._script = script or Script()
        said = {
            "grammar": self._script.constrains,
            "schema": self._script.takes_schema,
            "parallel": self._script.parallel,
        }
        self.abilities = frozenset({"fresh", "tools", *(able for able, so in said.items() if so)})
        self._model = model
        self._seed = seed
        self._loaded = False
        self._load: float | None = None
        self._fired = [0] * len(self._script.faults)
        self._log = self._script.log

    def describe(self) -> Artifact:
        """Describe the script; its hash is of the model's name."""
        script = self._script
        return Artifact(
            model=self._model,
            sha256=_hex(self._model),
            bytes_on_disk=script.bytes_on_disk,
            quantization=script.quantization,
            one_at_a_time=script.one_at_a_time,
        )

    def log_into(self, folder: Path) -> None:
        """Write the log that a study asks for into this folder; before, it is not written."""
        if self._script.log_name is not None:
            self._log = folder / self._script.log_name

    def versions(self) -> Mapping[str, str]:
        """Name quantrial's own version."""
        from quantrial._version import __version__

        return {"scripted": __version__}

    def start(self) -> float:
        """Load for as long as the script says; 0.0 when loaded already."""
        if self._loaded:
            return 0.0
        started = time.perf_counter()
        time.sleep(self._script.load)
        self._loaded = True
        self.starts += 1
        self._load = time.perf_counter() - started
        return self._load

    def ask(self, request: Request) -> Reply:
        """Answer from the script, or fail on cue."""
        self.start()
        with self._lock:
            self.asked += 1
            number = self.asked
            if self._script.remembers:
                self.calls.append(request)
            self._write_log(request)
        started = time.perf_counter()
        if self._script.delay > request.timeout:
            time.sleep(request.timeout)
            raise EngineTimeoutError(f"no answer within {request.timeout:g} s")
        if self._script.delay:
            time.sleep(self._script.delay)
        self._fail_on_cue(request, number)
        refuse_unable(request, self)
        said = self._output(request)
        said = {"text": said} if isinstance(said, str) else said
        output, finish_reason = _cut(said.get("text", ""), request)
        calls = _calls(said.get("tool_calls", ()))
        if calls and finish_reason == "stop":
            finish_reason = "tool_calls"
        load, self._load = self._load, None
        wall = time.perf_counter() - started
        return Reply(
            output=output,
            finish_reason=finish_reason,
            prompt_tokens=len(prompt_of(request).split()),
            completion_tokens=min(len(output.split()) + len(calls or ()), request.max_tokens),
            timing=Timing(load=load, prompt=0.0, decode=wall, wall=wall),
            tool_calls=calls,
        )

    def close(self) -> None:
        """Unload."""
        self._loaded = False

    def _output(self, request: Request) -> Scripted:
        replies, prompt = self._replies, prompt_of(request)
        if isinstance(replies, Mapping):
            if prompt in replies:
                return replies[prompt]
            for key, reply in replies.items():
                if key in prompt:
                    return reply
            raise refusal(f"the script has no reply to {prompt!r:.80}")
        if callable(replies):
            return replies(request)
        digest = _hex("\0".join((self._model, prompt, str(self._seed), str(request.seed))))
        choices = replies or _alternatives(request.grammar)
        return choices[int(digest[:16], 16) % len(choices)] if choices else digest

    def _fail_on_cue(self, request: Request, number: int) -> None:
        for i, fault in enumerate(self._script.faults):
            if fault.matching is not None:
                due = fault.matching in prompt_of(request) and self._fired[i] < fault.times
            else:
                first = fault.call or 1
                due = first <= number < first + fault.times
            if due:
                self._fired[i] += 1
                if fault.kind == "crash":
                    self._loaded = False
                error = _ERRORS[fault.kind](f"scripted {fault.kind} at call {number}")
                error.retry_after = fault.retry_after
                raise error

    def _write_log(self, request: Request) -> None:
        if self._log is None:
            return
        record = {"call": self.asked, "model": self._model, "prompt": prompt_of(request)}
        try:
            self._log.parent.mkdir(exist_ok=True)
            refuse_link(self._log.parent)
            with open_to_append(self._log) as log:
                log.write(orjson.dumps(record) + b"\n")
        except OSError as exc:
            raise EngineError(f"the log {self._log} cannot be written: {exc}") from exc


def scripted_from_options(
    model: str, options: Mapping[str, Any], *, seed: int, key: str
) -> ScriptedEngine:
    """Make a scripted engine from the options of a study file; StudyError where one is wrong.

    The log that a study names is the name of a file, and no place.
    """
    key = f"{key}.options"
    said = read_options(options, _OPTIONS, key=key)
    if not all(map(_is_reply, said["replies"])):
        raise StudyError(
            "expected a list of texts, or of mappings such as {text: Yes} and {tool_calls: "
            "[{name: f, arguments: {a: 1}}]}",
            key=f"{key}.replies",
        )
    name = said["log"]
    if name is not None and not _LOG.fullmatch(name):
        raise StudyError(
            f"expected the name of a file, such as calls.jsonl, got {name!r:.60}; it is written "
            "into `logs` in the run folder",
            key=f"{key}.log",
        )
    replies = said.pop("replies")
    script = Script(
        faults=tuple(_fault(f, f"{key}.faults.{i}") for i, f in enumerate(said.pop("faults"))),
        log_name=said.pop("log"),
        remembers=False,  # a run may be long
        bytes_on_disk=said.pop("bytes"),
        **said,
    )
    return ScriptedEngine(tuple(replies), script, model=model, seed=seed)


def _is_reply(reply: Any) -> bool:
    if isinstance(reply, dict) and reply and reply.keys() <= {"text", "tool_calls"}:
        calls = reply.get("tool_calls", [])
        named = isinstance(calls, list) and all(
            isinstance(one, dict) and isinstance(one.get("name"), str) for one in calls
        )
        return named and isinstance(reply.get("text", ""), str)
    return isinstance(reply, str)


def _calls(given: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...] | None:
    """Write calls as OpenAI's servers do: their arguments are JSON in a text."""
    calls = []
    for number, call in enumerate(given):
        arguments = orjson.dumps(call.get("arguments", {})).decode()
        function = {"name": call["name"], "arguments": arguments}
        calls.append({"id": f"call_{number}", "type": "function", "function": function})
    return tuple(calls) or None


def _fault(given: Any, key: str) -> Fault:
    if not isinstance(given, dict):
        raise StudyError("expected a mapping such as {call: 3, kind: crash}", key=key)
    said = read_options(given, _FAULT, key=key)
    if (said["call"] is None) == (said["matching"] is None):
        raise StudyError("expected either `call` or `matching`", key=key)
    return Fault(**said)


def prompt_of(request: Request) -> str:
    """Put what is asked into one text: what `matching` and the keys of a mapping look at."""
    if request.text is not None:
        return request.text
    return "\n".join(message.content for message in request.messages)


def _cut(output: str, request: Request) -> tuple[str, str]:
    ends = [at for stop in request.stop if (at := output.find(stop)) >= 0]
    if ends:
        output = output[: min(ends)]
    # one word is one token here
    words = list(re.finditer(r"\S+", output))
    if len(words) > request.max_tokens:
        return output[: words[request.max_tokens - 1].end()], "length"
    return output, "stop"


def _alternatives(grammar: str | None) -> list[str]:
    """Read the quoted texts of a grammar's alternatives, in order."""
    texts = re.findall(r'"(?:[^"\\]|\\.)*"', grammar or "")
    return [str(orjson.loads(text)) for text in texts]


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
