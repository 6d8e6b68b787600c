"""What only some operating systems have: process groups, file locks, what a machine is made of.

Everything else is the same wherever Python runs. `docs/platforms.md` lists what is here, and what
happens where it is missing: a figure that nobody knows is None; what a promise rests on is refused.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from quantrial.errors import PlatformError

if TYPE_CHECKING:
    from filelock import BaseFileLock

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def file_lock(path: Path) -> BaseFileLock:
    """Return a lock on a file that ends with the process that holds it.

    Raises:
        PlatformError: this system has no such lock.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it warns where the next line refuses
        from filelock import FileLock, SoftFileLock

    if issubclass(FileLock, SoftFileLock):
        # one that is only a file: it would outlive a killed run, and keep its folder for ever
        raise PlatformError("a run locks its folder, and this system has no lock that ends with it")
    return FileLock(path)


def own_process_group() -> int | None:
    """Return what `Popen(process_group=...)` takes so that Ctrl-C is not for the new process."""
    return 0 if hasattr(os, "setpgid") else None


def die_with(parent: int, *, by_signal: bool) -> None:
    """Let this process end when its parent does, where the system can see to that.

    Args:
        parent: the process that started this one.
        by_signal: ask for the signal that Linux sends at the end of the thread that started us. It
            also works while native code holds the interpreter, where no watching thread can run.
    """
    if by_signal and sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if sys.platform != "win32" and os.getppid() != parent:
        os._exit(1)  # it died before the signal was set


def physical_cores() -> int:
    """Count the physical cores this process may run on; the logical ones where that is unknown."""
    try:
        allowed = os.sched_getaffinity(0)
        topology = Path("/sys/devices/system/cpu")
        siblings = {
            (topology / f"cpu{i}/topology/thread_siblings_list").read_text().strip()
            for i in allowed
        }
    except (OSError, AttributeError):
        return os.cpu_count() or 1
    return len(siblings) or 1


def memory_bytes() -> int | None:
    """Return the machine's memory, where the system says."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def available_memory() -> int | None:
    """Return the bytes of memory that are free for new work, where the system says."""
    free = _entry("/proc/meminfo", "MemAvailable")
    return memory_bytes() if free is None else int(free.split()[0]) * 1024


def cpu_model() -> str | None:
    """Return the processor's name, where the system says."""
    return _entry("/proc/cpuinfo", "model name") or platform.processor() or None


def _entry(path: str, name: str) -> str | None:
    """Return what stands behind a name in one of Linux's lists; None where it is not there."""
    with contextlib.suppress(OSError):
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() == name.lower():
                return value.strip()
    return None
