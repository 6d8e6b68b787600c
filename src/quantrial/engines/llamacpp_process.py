"""The embedded engine's server in a process of its own, and what goes to it and comes back."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

from quantrial.engines.abilities import refusal
from quantrial.engines.base import Reply, Request, Timing
from quantrial.engines.message import Message, read_logprobs
from quantrial.engines.settled import count_of, seconds_of, settled
from quantrial.errors import ContextOverflowError, EngineError, EngineStartError
from quantrial.redaction import blot, excerpt, hide
from quantrial.system import own_process_group

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from quantrial.engines.llamacpp_prefix import Began

_COMMAND = (sys.executable, "-P", "-m", "quantrial.engines.llamacpp_worker")
_START_LIMIT = 900.0  # seconds; a large model from a slow disk
_END_LIMIT = 2.0
# GNU OpenMP has threads spin at every barrier, and llama.cpp has hundreds a token: on two cores
# with two busy neighbours decoding fell from 110 to 1 token/s. Short spinning costs nothing when
# they are quiet (117 token/s) and keeps 25 when not. The user's own setting goes before it.
_CALM = {"GOMP_SPINCOUNT": "300"}
_TAIL = 2000  # bytes of log that go into a message


class Worker:
    """One running worker: where it listens, what it logged, how it ended."""

    def __init__(self, config: Mapping[str, Any]):
        """Start it and wait until the model is loaded; EngineStartError says why it is not."""
        self.token = secrets.token_urlsafe(24)
        hide(self.token, owner=self)
        self._log = tempfile.TemporaryFile(prefix="quantrial-")  # noqa: SIM115 - closed by kill
        started = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**_CALM, **os.environ},
                process_group=own_process_group(),  # Ctrl-C is not for it
            )
        except OSError as exc:
            self._log.close()
            raise EngineStartError(f"the worker process cannot be started: {exc}") from exc
        try:
            self.address = self._address(config)
        except BaseException:
            self.kill()
            raise
        self.load_seconds = time.perf_counter() - started

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def _address(self, config: Mapping[str, Any]) -> str:
        # The parent-death signal follows the thread that started the process, not the process: it
        # is asked for only where that thread lives as long as the program. Elsewhere stdin must do.
        lasting = threading.current_thread() is threading.main_thread()
        said = {**config, "token": self.token, "parent": os.getpid(), "parent_signal": lasting}
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:  # pragma: no cover - both are pipes, see above
            raise EngineStartError("the worker process has no pipes")
        with contextlib.suppress(OSError):  # it may be dead already; its silence says so below
            stdin.write(json.dumps(said).encode() + b"\n")
            stdin.flush()
        lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=_START_LIMIT)
        except queue.Empty:
            raise EngineStartError(
                f"the model was not loaded within {_START_LIMIT:g} s{self.log_tail()}"
            ) from None
        if not line:
            self.wait()
            raise EngineStartError(
                f"the worker process ended while it loaded ({self.ending()}){self.log_tail()}"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise EngineStartError(f"llama.cpp: {answer['error']}{self.log_tail()}")
        return str(answer["address"])

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def wait(self, seconds: float = _END_LIMIT) -> bool:
        """Wait for it to end by itself; false when it has not."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.alive()

    def ending(self) -> str:
        """Say how it ended."""
        code = self._process.poll()
        if code is None:
            return "still running"
        if code >= 0:
            return f"exit code {code}"
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            hint = ": killed, perhaps by the system for want of memory" if name == "SIGKILL" else ""
            return f"{name}{hint}"
        return f"signal {-code}"

    def log_size(self) -> int:
        """How many bytes it has logged so far."""
        with contextlib.suppress(OSError, ValueError):
            return os.fstat(self._log.fileno()).st_size
        return 0

    def log_tail(self, since: int = 0) -> str:
        """Put the end of what it logged after byte `since` in one line, to append to a message."""
        with contextlib.suppress(OSError, ValueError):
            start = max(since, self.log_size() - _TAIL)
            # pread leaves the file position alone, which the worker writes at
            tail = os.pread(self._log.fileno(), _TAIL, start).decode("utf-8", "replace")
            lines = [blot(line.strip()) for line in tail.splitlines() if line.strip()]
            return f"; it logged: {' | '.join(lines)}" if lines else ""
        return ""

    def end(self) -> None:
        """Ask it to end, wait, and insist; safe to call twice."""
        if self.alive():
            self._process.terminate()
            self.wait()
        self.kill()

    def kill(self) -> None:
        """End it at once, by its own process id; safe to call twice."""
        if self.alive():
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


@functools.cache
def worker_versions() -> Mapping[str, str]:
    """Ask a worker for the versions in it: the native library is not loaded into this process."""
    done = _asked("--versions")
    if done.returncode:
        raise EngineStartError(f"xllamacpp cannot be loaded: {_last_line(done.stderr)}")
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


@functools.lru_cache(maxsize=256)
def grammar_of(schema: str) -> str:
    """Have llama.cpp make a grammar of a JSON schema; the order of its keys is that of answers."""
    done = _asked("--grammar", schema.encode())
    if done.returncode:
        raise refusal(f"llama.cpp cannot hold an answer to this schema: {_last_line(done.stderr)}")
    grammar: str = json.loads(done.stdout)
    return grammar


def _asked(what: str, line: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        (*_COMMAND, what),
        input=line + b"\n",
        capture_output=True,
        timeout=_START_LIMIT,
        check=False,
    )


def _last_line(text: bytes) -> str:
    return "".join(text.decode("utf-8", "replace").strip().splitlines()[-1:])


_RANDOM_SEED = 2**32 - 1  # llama.cpp takes this seed to mean "any"

# The error types of llama.cpp's server (tools/server/server-common.cpp), and whether asking again
# can help.
SERVER_ERRORS: dict[str, tuple[type[EngineError], bool]] = {
    "exceed_context_size_error": (ContextOverflowError, False),
    "invalid_request_error": (EngineError, False),
    "authentication_error": (EngineError, False),
    "permission_error": (EngineError, False),
    "not_found_error": (EngineError, False),
    "not_supported_error": (EngineError, False),
    "unavailable_error": (EngineError, True),
    "server_error": (EngineError, True),
}
_MILLI = 1000  # to a second
# what reading an answer of another form ends in; recursion, where it is nested without end
_UNKNOWN_FORM = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
_FINISH = {"eos": "stop", "word": "stop", "limit": "length", "stop": "stop", "length": "length"}


def call_of(request: Request) -> tuple[str, dict[str, Any]]:
    """Return the path and body of a request."""
    body: dict[str, Any] = {
        "temperature": request.temperature,
        "seed": request.seed % _RANDOM_SEED,
        "ignore_eos": request.exact_length,
        "stop": list(request.stop),
    }
    if request.grammar is not None:
        body["grammar"] = request.grammar
    if request.schema is not None:
        # the server would do it too, but not in a chat whose raw text it is told to leave alone
        body["grammar"] = grammar_of(json.dumps(request.schema))
    if request.messages:
        if request.logprobs:
            body |= {"logprobs": True, "top_logprobs": request.logprobs}
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        return "/v1/chat/completions", {
            **body,
            "messages": messages,
            "max_tokens": request.max_tokens,
        }
    if request.logprobs:
        body["n_probs"] = request.logprobs
    return "/completion", {
        **body,
        "prompt": request.text,
        "n_predict": request.max_tokens,  # unbounded where it is not said
        "response_fields": [
            "content",
            "stop_type",
            "tokens_evaluated",
            "tokens_predicted",
            "timings",
            "completion_probabilities",
        ],
    }


def read_reply(
    response: httpx.Response, request: Request, begun: Began, *, load: float | None, wall: float
) -> Reply:
    """Read the server's answer to a request.

    Args:
        response: with status 200.
        request: what was asked.
        begun: what was read of the prompt before the call.
        load: seconds that the model took to load, where this call waited for it.
        wall: seconds of the call.

    Raises:
        EngineError: the answer has another form than llama.cpp's.
    """
    try:
        said = response.json()
        timings, message = said["timings"], Message()
        made = count_of(timings["predicted_n"])
        # the first token comes out of the prompt's batch, before the clock of decoding starts
        steps = None if made is None else max(made - 1, 0)
        decode = seconds_of(timings["predicted_ms"], per=_MILLI) if steps else None
        read = seconds_of(timings["prompt_ms"], per=_MILLI)
        cached = count_of(timings["cache_n"])
        if request.messages:
            choice, usage = said["choices"][0], said["usage"]
            message.add(choice["message"])
            ending, probabilities = choice["finish_reason"], choice.get("logprobs")
            prompt_tokens, completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]
        else:
            message.add({"content": said["content"]})
            ending, probabilities = said["stop_type"], said.get("completion_probabilities")
            prompt_tokens, completion_tokens = said["tokens_evaluated"], said["tokens_predicted"]
        reply = Reply(
            output="".join(message.texts),
            finish_reason=_FINISH.get(ending, ending),
            prompt_tokens=prompt_tokens,
            cached_tokens=None if cached is None else max(cached - begun.read_tokens, 0),
            completion_tokens=completion_tokens,
            decoded_tokens=steps,
            logprobs=read_logprobs(probabilities or []) if request.logprobs else None,
            timing=Timing(
                load=load,
                prompt=None if read is None else read + begun.read_seconds,
                first_token=wall - (decode or 0.0) if made else None,
                decode=decode,
                wall=wall,
            ),
            thought="".join(message.thoughts) or None,
            tool_calls=tuple(message.calls.values()) or None,
        )
        return settled(reply, request)
    except _UNKNOWN_FORM as exc:
        raise EngineError(
            f"llama.cpp sent an answer of an unknown form ({type(exc).__name__}: {exc}): "
            f"{excerpt(repr(response.text), 200)}"
        ) from exc


def server_error(response: httpx.Response) -> EngineError:
    """Translate an error that llama.cpp's server reports."""
    try:
        error = response.json()["error"]
        kind, message = str(error["type"]), str(error["message"])
    except _UNKNOWN_FORM:
        return EngineError(
            f"llama.cpp answered {response.status_code}: {excerpt(repr(response.text), 200)}"
        )
    if kind == "exceed_context_size_error":
        asked, there = error.get("n_prompt_tokens"), error.get("n_ctx")
        return ContextOverflowError(
            f"the prompt has {asked} tokens and the context {there}; the option is `context`"
        )
    cls, retryable = SERVER_ERRORS.get(kind, (EngineError, True))
    translated = cls(f"llama.cpp: {message} ({kind}, {response.status_code})")
    translated.retryable = retryable
    return translated
