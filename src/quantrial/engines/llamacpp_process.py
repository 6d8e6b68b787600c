"""The worker process of the embedded engine, from the side that starts, watches and ends it."""

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
from quantrial.errors import EngineStartError
from quantrial.redaction import blot, hide
from quantrial.system import own_process_group

if TYPE_CHECKING:
    from collections.abc import Mapping

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
