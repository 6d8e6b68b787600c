"""A process of its own for what may hang or eat memory: patterns and functions of a study.

`Guarded` starts it and asks it; `python -m quantrial.scorers.guarded` is the process itself. Both
speak lines of JSON over pipes. It gets no variable of the environment but those that Python needs,
cannot write a file (Linux, macOS), and ends with its parent. It is no sandbox: code in it can read
what its user can.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from quantrial.errors import PlatformError, ScoringError, ScoringLimitError
from quantrial.system import can_limit_memory, die_with, kill_group, own_process_group, restrict

_START = 60.0  # seconds; Python on a busy machine with a slow disk
_KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG", "LC_ALL", "TZ", "SYSTEMROOT")
# the same result each time, whatever the machine has
_SET = {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
_LONGEST = 300  # characters of an error
_MOST = 2**26  # bytes of a reply


_gate: contextvars.ContextVar[Callable[[Any], None]] = contextvars.ContextVar(
    "what is asked before the code of a study scores", default=lambda _: None
)


def before_scoring(study: Any) -> None:
    """Ask whether the code that a study scores by may run; from Python, whoever calls said so.

    Raises:
        CodeNotAllowedError: the command line did not allow it.
    """
    _gate.get()(study)


@contextlib.contextmanager
def asking(gate: Callable[[Any], None]) -> Iterator[None]:
    """Have `before_scoring` call this with the study; it raises to refuse its code."""
    token = _gate.set(gate)
    try:
        yield
    finally:
        _gate.reset(token)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take.

    Attributes:
        seconds: by the clock; the process is ended after them.
        cpu: seconds of computing, which a busy machine does not shorten; None for no such limit.
        memory: bytes of address space, which only Linux can limit; None for no limit.
    """

    seconds: float
    cpu: float | None = None
    memory: int | None = None


class Guarded:
    """One such process, started at the first call and again after one that it did not survive.

    Args:
        limits: what a call may take.
        setup: a request that each new process answers first.
    """

    def __init__(self, limits: Limits, setup: Mapping[str, Any] | None = None):
        self._limits = limits
        self._setup = setup or {"job": "hello"}
        self._lock = threading.Lock()
        self.exceeded = 0  # calls over a limit, the last ones in a row
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = 0

    def call(self, request: Mapping[str, Any], *, what: str) -> Any:
        """Have one request answered; several threads may ask, one after the other is answered.

        Args:
            request: plain JSON; its key `job` names one of `_JOBS`.
            what: what is run, for messages.

        Raises:
            ScoringError: it failed; the message begins with `what`.
            ScoringLimitError: it took too long, or too much memory.
            PlatformError: memory is to be limited, and this system cannot.
        """
        with self._lock:
            if self._process is None:
                self._start()
                try:  # packages are imported here: it may take longer than a call
                    self._exchange(self._setup, max(_START, self._limits.seconds), what)
                except ScoringError:
                    self._end()  # it is not ready to be asked anything
                    raise
            try:
                reply = self._exchange(request, self._limits.seconds, what)
            except ScoringLimitError:
                self.exceeded += 1
                raise
            self.exceeded = 0
            return reply

    def close(self) -> None:
        """End the process; it is started again by another call."""
        with self._lock:
            self._end()

    def _start(self) -> None:
        if self._limits.memory is not None and not can_limit_memory():
            raise PlatformError(
                "the memory of a scorer is to be limited, and only Linux can do it; `memory: null` "
                "among its options goes without"
            )
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        # the parent-death signal follows the thread that started the process: only the main one
        # lasts. In any case the process ends with its stdin
        lasting = threading.current_thread() is threading.main_thread()
        words = (self._limits.memory or 0, self._limits.cpu or 0, os.getpid(), int(lasting))
        try:
            self._process = subprocess.Popen(
                (sys.executable, "-P", "-W", "ignore", "-m", __name__, *map(str, words)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=kept | _SET,
                process_group=own_process_group(),  # Ctrl-C is not for it
            )
        except OSError as exc:
            raise ScoringError(f"the process that scores cannot be started: {exc}") from exc
        weakref.finalize(self, _end, self._process)  # at the latest when this program ends

    def _exchange(self, request: Mapping[str, Any], seconds: float, what: str) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ScoringError(f"{what}: there is no process to run it")  # pragma: no cover
        box: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._asked += 1
        line = json.dumps({**request, "call": self._asked}).encode() + b"\n"
        talk = threading.Thread(
            target=_talk, args=(process.stdin, process.stdout, line, box), daemon=True
        )
        talk.start()
        try:
            reply = json.loads(box.get(timeout=seconds) or b"null")
        except queue.Empty:
            self._end()
            raise ScoringLimitError(f"{what} took longer than {seconds:g} s") from None
        except (ValueError, RecursionError):
            reply = None
        except BaseException:  # Ctrl-C: an answer that comes later is not the next one's
            self._end()
            raise
        match reply:
            case {"call": int(call)} if call != self._asked:  # never taken for this call's
                self._end()
                raise ScoringError(f"{what} replied twice to one call; does it fork?")
            case {"value": value}:
                return value
            case {"error": str(error)}:
                raise ScoringError(f"{what}: {error}")
            case {"limit": "time"}:
                cpu = f"{self._limits.cpu:g} s of computing"
                raise ScoringLimitError(f"{what} took more than {cpu}")
            case {"limit": "memory"}:
                self._end()  # what it holds is not known
                raise ScoringLimitError(
                    f"{what} needed more memory than it may have ({self._memory()})"
                )
        self._end()
        code = process.returncode
        raise ScoringError(f"{what} ended the process that it ran in (exit code {code})")

    def _memory(self) -> str:
        from quantrial.words import terminal_size

        return "no limit" if self._limits.memory is None else terminal_size(self._limits.memory)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        kill_group(process.pid)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.close()


def _talk(stdin: IO[bytes], stdout: IO[bytes], line: bytes, box: queue.SimpleQueue[bytes]) -> None:
    """Write a request and wait for the reply; nothing where the process is gone."""
    reply = b""
    with contextlib.suppress(OSError, ValueError):
        stdin.write(line)
        stdin.flush()
        reply = stdout.readline(_MOST)
    box.put(reply)


# the other side: what follows runs in the process


class _OutOfTime(BaseException):
    """The computing time of a call is used up; no `except Exception` of a scorer stops it."""


def _out_of_time(*_: object) -> None:
    raise _OutOfTime


def main(memory: str, cpu: str, parent: str, by_signal: str) -> int:
    """Answer requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "wb")
    requests = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):  # what a scorer prints or reads is no part of the talk
        os.dup2(null, number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    restrict(int(memory) or None)
    die_with(int(parent), by_signal=by_signal == "1")
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, waiting), daemon=True).start()
    while True:
        request = json.loads(waiting.get())
        reply = _reply(request, float(cpu)) | {"call": request["call"]}
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def _read(requests: IO[bytes], waiting: queue.SimpleQueue[bytes]) -> None:
    for line in requests:
        waiting.put(line)
    os._exit(0)  # whoever asked is gone, and a scorer may never end


def _reply(request: dict[str, Any], cpu: float) -> dict[str, Any]:
    timed = cpu > 0 and hasattr(signal, "setitimer") and request["job"] in _TIMED
    try:
        if timed:
            signal.signal(signal.SIGPROF, _out_of_time)
            signal.setitimer(signal.ITIMER_PROF, cpu)
        try:
            return {"value": _JOBS[request["job"]](request)}
        finally:
            if timed:
                signal.setitimer(signal.ITIMER_PROF, 0)
    except _OutOfTime:
        return {"limit": "time"}
    except MemoryError:
        return {"limit": "memory"}
    except BaseException as exc:  # a scorer may raise anything, SystemExit too
        return {"error": _first_line(exc)}


def _first_line(exc: BaseException) -> str:
    """Say what was raised and, of a scorer's own code, in which line."""
    from quantrial.inert import clean

    try:
        text = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    except Exception:  # whose text raises, too
        text = type(exc).__name__
    text = clean(text[: 2 * _LONGEST])[:_LONGEST]
    own, trace = None, exc.__traceback__
    while trace is not None:
        own = trace.tb_lineno if trace.tb_frame.f_code.co_filename == _loaded.path else own
        trace = trace.tb_next
    return text if own is None else f"{text} (line {own})"


def _match(request: dict[str, Any]) -> list[str | None] | None:
    """Return what a pattern matches in a text: all of it, and the first group where it has one."""
    import re

    pattern = re.compile(request["pattern"], re.IGNORECASE if request["ignore_case"] else 0)
    text, take = request["text"], request["take"]
    if take == "full":
        found = pattern.fullmatch(text)
    elif take == "first":
        found = pattern.search(text)
    else:
        found = None
        for found in pattern.finditer(text):  # noqa: B007 - the last one is what is wanted
            pass
    return None if found is None else [found.group(), found.group(1 if pattern.groups else 0)]


class _Loaded:
    """The function of a study that was loaded, and what its code calls its file."""

    path = ""
    function: Callable[[Any, str], Any] | None = None


_loaded = _Loaded()


_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = frozenset(
    f"os.{name}"
    for name in ("remove", "rename", "rmdir", "mkdir", "truncate", "link", "symlink", "chmod")
)


def _refuse_change(event: str, args: tuple[Any, ...]) -> None:
    """Refuse what changes files: the limit of their size alone would let one be emptied."""
    opens = event == "open" and isinstance(args[0], (str, bytes)) and args[0] != os.devnull
    if (opens and (args[2] or 0) & _WRITING) or event in _CHANGES:
        raise PermissionError(f"a scorer changes no files: {args[0]!r:.100}")


def _load(request: dict[str, Any]) -> None:
    """Run the source of a scorer, so that its function can be called; from now on, no file changes.

    Programs that it starts are not held to this, only to the limit of the size of files.
    """
    sys.addaudithook(_refuse_change)
    _loaded.path = request["path"]
    module = types.ModuleType("quantrial_scorer")
    module.__file__ = _loaded.path
    sys.modules[module.__name__] = module  # dataclasses look there
    exec(compile(request["source"], _loaded.path, "exec"), module.__dict__)
    _loaded.function = getattr(module, request["function"])


def _score(request: dict[str, Any]) -> Any:
    if _loaded.function is None:
        raise TypeError("no function was loaded")
    return _plain(_loaded.function(request["item"], request["answer"]))


def _plain(value: Any) -> bool | float | dict[str, float]:
    """Return what a scorer gave as JSON; numbers of NumPy are numbers."""
    if isinstance(value, Mapping):
        return {_named(key): float(_number(one)) for key, one in value.items()}
    return _number(value)


def _named(key: Any) -> str:
    if isinstance(key, str):
        return key
    raise TypeError(f"a column is called {key!r:.40}; its name must be a text")


def _number(value: Any) -> bool | float:
    if hasattr(value, "item") and not isinstance(value, (bool, int, float)):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    raise TypeError(f"returned {type(value).__name__}; needed is a bool, a number or columns")


def _import(request: dict[str, Any]) -> None:
    importlib.import_module(request["package"])


def _own(request: dict[str, Any]) -> Any:
    """Call a function of this package, for what it asks another package that may hang."""
    module = importlib.import_module(f"quantrial.{request['module']}")
    return module.guarded(request)


_JOBS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "hello": lambda _: None,
    "import": _import,
    "own": _own,
    "match": _match,
    "load": _load,
    "score": _score,
}
_TIMED = ("own", "match", "score")

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
