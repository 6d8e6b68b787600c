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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


def kill_group(pid: int) -> None:
    """End a process of an `own_process_group` and, where there is one, all that it started."""
    with contextlib.suppress(OSError):  # it ended by itself
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGTERM)  # on Windows the same


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


def can_limit_memory() -> bool:
    """Whether a process here can be held to an amount of memory."""
    return sys.platform == "linux"


def restrict(memory: int | None) -> None:
    """Let this process write no file and, on Linux, have no more address space than `memory` bytes.

    Where the system has no such limits, nothing happens: ask `can_limit_memory` first.
    """
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory is not None and can_limit_memory():
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


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


def _entry(path: Path | str, name: str) -> str | None:
    """Return what stands behind a name in one of Linux's lists; None where it is not there."""
    with contextlib.suppress(OSError):
        for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() == name.lower():
                return value.strip()
    return None


# What the machine does around a call: CPU, swap, heat, battery, energy, memory of a process; read
# from files that Linux has. Where one is missing the answer is None.

State = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment; each only means something beside another reading.

    Seconds are summed over all CPUs. `own` is this process and those it was told of; None where
    one of them is not known. `energy` holds a counter of microjoules and its range per package.
    """

    cpu: float | None
    busy: float | None
    own: float | None
    swapped: int | None
    throttled: int | None
    battery: int | None
    energy: tuple[tuple[int, int], ...]


class Machine:
    """Reads the files; `root` is where they start, for tests."""

    def __init__(self, root: Path | str = "/"):
        self._root = Path(root)
        self._tick = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
        # which files there are does not change under a run
        self._throttle = sorted(
            path
            for name in ("core", "package")
            for path in self._files(
                f"sys/devices/system/cpu/cpu*/thermal_throttle/{name}_throttle_count"
            )
        )
        self._packages = [
            path.parent
            for path in sorted(self._files("sys/class/powercap/*/name"))
            if (self._text(path) or "").startswith("package")
        ]

    def read(self, pids: Sequence[int | None]) -> Reading:
        """Read every counter; `pids` are the processes that work for us beside this one."""
        cpu, busy = self._cpu()
        own = [self._process(pid) for pid in ("self", *pids)]
        known = [one for one in own if one is not None]
        return Reading(
            cpu=cpu,
            busy=busy,
            own=sum(known) if len(known) == len(own) else None,
            swapped=self._swapped(),
            throttled=self._sum(self._throttle),
            battery=self._battery(),
            energy=tuple(self._energy()),
        )

    def peak_memory(self, pid: int | None) -> int | None:
        """Return the most bytes a process ever held in memory, file pages it maps included."""
        found = _entry(self._root / f"proc/{pid}/status", "VmHWM")
        return None if found is None else int(found.split()[0]) * 1024

    def _files(self, pattern: str) -> Iterable[Path]:
        try:
            return list(self._root.glob(pattern))
        except OSError:
            return []

    def _text(self, path: Path) -> str | None:
        try:
            return path.read_text(encoding="utf-8", errors="replace").strip()
        except (OSError, ValueError):
            return None

    def _number(self, path: Path) -> int | None:
        text = self._text(path)
        return int(text) if text is not None and text.isdigit() else None

    def _sum(self, paths: Sequence[Path]) -> int | None:
        values = [value for path in paths if (value := self._number(path)) is not None]
        return sum(values) if values else None

    def _cpu(self) -> tuple[float | None, float | None]:
        first, _, _ = (self._text(self._root / "proc/stat") or "").partition("\n")
        # user nice system idle iowait irq softirq steal; guest time is in user already
        ticks = [int(word) for word in first.split()[1:9] if word.isdigit()]
        if len(ticks) < 8:
            return None, None
        total = sum(ticks)
        return total * self._tick, (total - ticks[3] - ticks[4]) * self._tick

    def _process(self, pid: int | str | None) -> float | None:
        text = self._text(self._root / f"proc/{pid}/stat") if pid is not None else None
        # the name of a process, in brackets, may hold anything
        fields = (text or "").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * self._tick if len(fields) > 12 else None

    def _swapped(self) -> int | None:
        found = [
            int(value)
            for line in (self._text(self._root / "proc/vmstat") or "").splitlines()
            for name, _, value in [line.partition(" ")]
            if name in ("pswpin", "pswpout") and value.isdigit()
        ]
        return sum(found) if found else None

    def _battery(self) -> int | None:
        supplies = self._root / "sys/class/power_supply"
        if not supplies.is_dir():
            return None
        return int(any(self._text(p) == "Discharging" for p in supplies.glob("*/status")))

    def _energy(self) -> Iterable[tuple[int, int]]:
        for package in self._packages:
            now = self._number(package / "energy_uj")  # often readable by root alone
            span = self._number(package / "max_energy_range_uj")
            if now is not None and span:
                yield now, span


def between(before: Reading, after: Reading) -> dict[str, float | None]:
    """Say what went on between two readings, in seconds, pages, events and joules."""
    joules = None
    if before.energy and len(before.energy) == len(after.energy):
        pairs = zip(before.energy, after.energy, strict=True)
        # the counter starts anew at its range
        joules = sum((now - then) % span for (then, span), (now, _) in pairs) / 1e6
    return {
        "cpu_seconds": _rise(before.cpu, after.cpu),
        "busy_seconds": _rise(before.busy, after.busy),
        "own_seconds": _rise(before.own, after.own),
        "swapped_pages": _rise(before.swapped, after.swapped),
        "throttled": _rise(before.throttled, after.throttled),
        "on_battery": after.battery,
        "energy_joules": joules,
    }


def _rise(before: float | None, after: float | None) -> float | None:
    if before is None or after is None:
        return None
    return max(after - before, 0)


def share_of_others(state: State) -> float | None:
    """Return the share of all CPU time that other processes took; None where that is not known."""
    cpu, busy, own = (state[name] for name in ("cpu_seconds", "busy_seconds", "own_seconds"))
    if not cpu or busy is None or own is None:
        return None
    return min(max(busy - own, 0.0) / cpu, 1.0)
