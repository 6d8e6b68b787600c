"""The embedded engine's server in a process of its own, and what it keeps between two calls.

The few-shot examples of a task stand in front of every one of its items. llama.cpp's own cache
keeps whatever the call before left behind, so what is read anew, and with it the last bits of an
answer, depends on the order of calls. Here the state after the shared beginning is saved to a file
as soon as it is read, and restored before each call: the rest of a prompt then meets the same
bytes, whatever was asked before and however often the worker was started.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import queue
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx

from quantrial.engines.abilities import refusal
from quantrial.engines.base import Request
from quantrial.engines.cache import cache_dir
from quantrial.errors import EngineStartError
from quantrial.redaction import blot, hide
from quantrial.system import file_lock, own_process_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from quantrial.engines.base import Message

_WORKER = (sys.executable, "-P", "-m", "quantrial.engines.worker")
_START_LIMIT = 900.0  # seconds; a large model from a slow disk
_END_LIMIT = 2.0
# GNU OpenMP has threads spin at every barrier, and llama.cpp has hundreds a token: on two cores
# with two busy neighbours decoding fell from 110 to 1 token/s. Short spinning costs nothing when
# they are quiet (117 token/s) and keeps 25 when not. The user's own setting goes before it.
_CALM = {"GOMP_SPINCOUNT": "300"}
_TAIL = 2000  # bytes of log that go into a message


class Worker:
    """One running worker: its `client`, what it logged, how it ended."""

    def __init__(self, config: Mapping[str, Any]):
        """Start it and wait until the model is loaded; EngineStartError says why it is not."""
        self.token = secrets.token_urlsafe(24)
        hide(self.token, owner=self)
        self.client = httpx.Client(
            headers={"Authorization": f"Bearer {self.token}"},
            trust_env=False,
            verify=ssl.SSLContext(
                ssl.PROTOCOL_TLS_CLIENT
            ),  # no file of certificates is read for http
            # The server drops a connection that was idle for some seconds; one that it drops while
            # a call sets out on it would look like a crash.
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._log = tempfile.TemporaryFile(prefix="quantrial-")  # noqa: SIM115 - closed by kill
        started = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                (*_WORKER, "serve"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**_CALM, **os.environ},
                process_group=own_process_group(),  # Ctrl-C is not for it
            )
        except OSError as exc:
            self.client.close()
            self._log.close()
            raise EngineStartError(f"the worker process cannot be started: {exc}") from exc
        try:
            self.address = self._address(config)
            self.client.base_url = self.address
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
        self.client.close()
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
    done = _asked("versions")
    if done.returncode:
        raise EngineStartError(f"xllamacpp cannot be loaded: {_last_line(done.stderr)}")
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


@functools.lru_cache(maxsize=256)
def grammar_of(schema: str) -> str:
    """Have llama.cpp make a grammar of a JSON schema; the order of its keys is that of answers."""
    done = _asked("grammar", schema.encode())
    if done.returncode:
        raise refusal(f"llama.cpp cannot hold an answer to this schema: {_last_line(done.stderr)}")
    grammar: str = json.loads(done.stdout)
    return grammar


def _asked(what: str, line: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        (*_WORKER, what),
        input=line + b"\n",
        capture_output=True,
        timeout=_START_LIMIT,
        check=False,
    )


def _last_line(text: bytes) -> str:
    return "".join(text.decode("utf-8", "replace").strip().splitlines()[-1:])


_BUDGET = 2 * 1024**3  # bytes of saved states a worker may keep; the one unused longest goes first
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Began:
    """How a call began: in which slot, and what it cost to read the shared part just now."""

    slot: int
    shared: bool
    read_tokens: int = 0
    read_seconds: float = 0.0


class Prefixes:
    """The saved states of one worker, and its slots, each of which one call has at a time."""

    def __init__(self, slots: int, *, keep: bool = True):
        """Make a folder of its own, and do away with those whose program has ended."""
        root = cache_dir() / "prefixes"
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        self.folder = root / secrets.token_hex(8)
        self._lock = file_lock(_lock_of(self.folder))
        self._lock.acquire()  # before there is a folder that others could take for an orphan
        self.folder.mkdir()
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(slots):
            self._free.put(slot)
        self._keep = keep
        self._saved: dict[str, int] = {}  # name of a state -> bytes, the last used last

    def close(self) -> None:
        """Remove what was saved."""
        shutil.rmtree(self.folder, ignore_errors=True)
        _lock_of(self.folder).unlink(missing_ok=True)
        self._lock.release()

    @contextlib.contextmanager
    def begun(self, client: httpx.Client, request: Request) -> Iterator[Began]:
        """Hold a slot that has read what the request shares with others, and nothing else."""
        slot = self._free.get()
        try:
            yield self._begin(client, request, slot)
        finally:
            self._free.put(slot)

    def _begin(self, client: httpx.Client, request: Request, slot: int) -> Began:
        if not (self._keep and request.shared) or request.fresh:
            return Began(slot, shared=False)
        name = _name(request)
        if name in self._saved and _move(client, slot, "restore", name, request.timeout):
            self._saved[name] = self._saved.pop(name)
            return Began(slot, shared=True)
        text = _beginning(client, request)
        if not text:
            return Began(slot, shared=False)
        read = client.post(
            "/completion",
            json={"prompt": text, "n_predict": 0, "cache_prompt": False, "id_slot": slot},
            timeout=request.timeout,
        )
        if read.status_code != 200:  # too long for the context, say: the call itself will tell
            return Began(slot, shared=False)
        # where it cannot be saved it is read again each time, and the answers stay the same
        saved = _move(client, slot, "save", name, request.timeout)
        if saved:
            self._saved[name] = saved
            self._make_room()
        timings = read.json()["timings"]
        return Began(slot, True, timings["prompt_n"], timings["prompt_ms"] / 1000)

    def _make_room(self) -> None:
        for name in list(self._saved)[:-1]:
            if sum(self._saved.values()) <= _BUDGET:
                return
            del self._saved[name]
            (self.folder / name).unlink(missing_ok=True)


def chat_of(messages: Iterable[Message], request: Request) -> dict[str, Any]:
    """Write messages, and the tools of a request, as the server's template takes them."""
    tools = {"tools": list(request.tools)} if request.tools else {}
    return {"messages": [asdict(one) for one in messages], **tools}


def _beginning(client: httpx.Client, request: Request) -> str:
    """Return the text of what is shared; up to where an item's own text goes into its message.

    The message of the item stays, empty, because some templates refuse a conversation without it.
    What they put behind it does no harm: llama.cpp drops whatever a prompt does not begin with.
    """
    if request.text is not None:
        return request.text[: request.shared]
    own = (replace(m, content="") for m in request.messages[request.shared :])
    body = chat_of((*request.messages[: request.shared], *own), request)
    said = client.post("/apply-template", json=body, timeout=request.timeout)
    return str(said.json()["prompt"]) if said.status_code == 200 else ""


def _name(request: Request) -> str:
    if request.text is not None:
        begins: Any = request.text[: request.shared]
    else:
        begins = [(m.role, m.content) for m in request.messages[: request.shared]]
        begins.append([m.role for m in request.messages[request.shared :]])
        begins += [request.tools] if request.tools else []
    return hashlib.sha256(json.dumps(begins).encode()).hexdigest()[:32]


def _move(client: httpx.Client, slot: int, action: str, name: str, timeout: float) -> int:
    """Save or restore a slot; returns the bytes moved, 0 where that failed."""
    said = client.post(
        f"/slots/{slot}", params={"action": action}, json={"filename": name}, timeout=timeout
    )
    if said.status_code != 200:
        return 0
    return int(said.json()["n_written" if action == "save" else "n_read"])


def _sweep(root: Path) -> None:
    """Remove the folders that a killed program left behind: nobody holds their locks."""
    for path in root.glob(f"*{_LOCK}"):
        with contextlib.suppress(OSError), file_lock(path).acquire(timeout=0):
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            path.unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(_LOCK)
