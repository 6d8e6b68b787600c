"""What prompts begin with, read once and restored exactly for every call.

The few-shot examples of a task stand in front of every one of its items. llama.cpp's own cache
keeps whatever the call before left behind, so what is read anew, and with it the last bits of an
answer, depends on the order of calls. Here the state after the shared beginning is saved to a file
as soon as it is read, and restored before each call: the rest of a prompt then meets the same
bytes, whatever was asked before and however often the worker was started.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.engines.cache import cache_dir
from quantrial.system import file_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from quantrial.engines.base import Request

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


def _beginning(client: httpx.Client, request: Request) -> str:
    """Return the text of what is shared; up to where an item's own text goes into its message.

    The message of the item stays, empty, because some templates refuse a conversation without it.
    What they put behind it does no harm: llama.cpp drops whatever a prompt does not begin with.
    """
    if request.text is not None:
        return request.text[: request.shared]
    kept = [{"role": m.role, "content": m.content} for m in request.messages[: request.shared]]
    own = [{"role": m.role, "content": ""} for m in request.messages[request.shared :]]
    said = client.post("/apply-template", json={"messages": kept + own}, timeout=request.timeout)
    return str(said.json()["prompt"]) if said.status_code == 200 else ""


def _name(request: Request) -> str:
    if request.text is not None:
        begins: Any = request.text[: request.shared]
    else:
        begins = [(m.role, m.content) for m in request.messages[: request.shared]]
        begins.append([m.role for m in request.messages[request.shared :]])
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
