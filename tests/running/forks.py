"""Real processes that run a study, started in milliseconds: forks of one that has imported all.

with Forks() as forks:
    run = forks.run(study, out)   # a process of its own, running `quantrial.run`
    run.kill()                    # SIGKILL
    run.wait()                    # its exit code: 0, 2 (an error, see run.said()), or -signal
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PARENT = r"""
import encodings.utf_8_sig, gc, json, os, signal, sys, traceback
import quantrial, numpy, httpx
from filelock import FileLock, SoftFileLock  # it loads them late, which nobody else may
import quantrial.running.runner, quantrial.running.waiting
import quantrial.engines.scripted, quantrial.engines.llamacpp
import quantrial.tasks.sources, quantrial.tasks.spans, quantrial.tasks.choice, quantrial.study

def child(order):
    sys.stdin.close()
    log = os.open(order["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    os.dup2(log, 1), os.dup2(log, 2)
    code = 0
    try:
        if order["nobody"] and os.geteuid() == 0:
            os.setgroups([]), os.setgid(65534), os.setuid(65534)
        quantrial.run(order["study"], out=order["out"])
    except quantrial.QuantrialError as exc:
        os.write(2, f"error: {exc}\n".encode())
        code = 2
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        code = 3
    os._exit(code)

quantrial.study.Study.model_rebuild()  # it loads every kind, source and scorer
quantrial.running.waiting.FIRST_WAIT = 0.1  # seconds before a call is asked again
gc.collect()
gc.freeze()  # a child's collections leave the memory that it shares alone
answer = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), file=answer, flush=True)
        continue
    pid = os.fork()
    if pid == 0:
        child(order)
    print(pid, file=answer, flush=True)
"""


@dataclass
class Run:
    """One process that runs a study."""

    pid: int
    log: Path
    forks: Forks
    code: int | None = None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> int:
        """End it at once; return its exit code."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        """Wait until it ends; return its exit code."""
        if self.code is None:
            self.code = int(self.forks.ask({"wait": self.pid}))
        return self.code

    def alive(self) -> bool:
        """Whether it still runs."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        return False

    def said(self) -> str:
        """Return what it printed."""
        return self.log.read_text() if self.log.exists() else ""


class Forks:
    """The process that has imported everything, and its children."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PARENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._runs: list[Run] = []

    def ask(self, order: Mapping[str, object]) -> str:
        """Send an order, return the answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        return stdout.readline()

    def run(self, study: Path, out: Path, *, nobody: bool = False) -> Run:
        """Start a process that runs a study, without the superuser's rights if `nobody`."""
        log = out.parent / f"{out.name}.log"
        order = {"study": str(study), "out": str(out), "log": str(log), "nobody": nobody}
        pid = self.ask(order)
        self._runs.append(Run(int(pid), log, self))
        return self._runs[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for run in self._runs:
            if run.code is None:
                with contextlib.suppress(OSError):
                    run.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait(10)


def until(condition: object, *, seconds: float = 30.0) -> Iterator[None]:
    """Yield until a condition holds; fail when it never does."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        yield
        time.sleep(0.002)


def wait_until(condition: object, *, seconds: float = 30.0) -> None:
    """Wait until a condition holds; fail when it never does."""
    for _ in until(condition, seconds=seconds):
        pass
