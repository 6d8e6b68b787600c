"""The user's cache folder, and hashes of files that are computed once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from pathlib import Path

import orjson

from quantrial.paths import open_file

SETTLED = (
    2.0  # seconds; a file touched later than this may change again within one tick of its clock
)


def cache_dir() -> Path:
    """Return the folder for what can be made again: `QUANTRIAL_CACHE`, or the platform's own.

    On Linux that is `$XDG_CACHE_HOME/quantrial`, by default `~/.cache/quantrial`.
    """
    if own := os.environ.get("QUANTRIAL_CACHE"):
        return Path(own).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "quantrial"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home()) / "quantrial" / "Cache"
    xdg = os.environ.get("XDG_CACHE_HOME")
    # the XDG specification has relative paths ignored
    root = Path(xdg) if xdg and Path(xdg).is_absolute() else Path.home() / ".cache"
    return root / "quantrial"


def file_sha256(path: Path) -> str:
    """Hash a file, or remember its hash while size, time of change and inode stay the same.

    Raises OSError when the file cannot be read. A cache that cannot be written only costs time.
    """
    path = path.resolve()
    stat = path.stat()
    stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    record = cache_dir() / "hashes" / f"{name}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = orjson.loads(record.read_bytes())
        if known["stamp"] == stamp and len(known["sha256"]) == 64:
            return str(known["sha256"])
    with open_file(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time() - stat.st_mtime > SETTLED:
        with contextlib.suppress(OSError):
            known = {"path": str(path), "stamp": stamp, "sha256": digest}
            replace_atomically(record, orjson.dumps(known))
    return digest


def replace_atomically(path: Path, content: bytes) -> None:
    """Write a small file so that a reader sees the old content or the new, and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)  # a link of somebody else's would be written through
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
