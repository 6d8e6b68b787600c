"""Files that are replaced whole: a reader sees the old one or the new one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from quantrial.errors import RunFolderError

PARTIAL = ".partial"  # the end of a file's name until it is whole


def write_atomically(
    path: Path, data: bytes, *, make_folder: bool = True, durable: bool = True
) -> None:
    """Replace a whole file, so that a reader sees the old one or the new one and never a part.

    Args:
        path: the file.
        data: all of it.
        make_folder: make the folder where it is not there.
        durable: wait until the disk has it, so that it outlasts a power cut; not needed of what
            can be made again.

    Raises:
        RunFolderError: the folder is missing, read-only or full; what was there stays as it was.
    """
    temporary: str | None = None
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL
        )
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as exc:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise RunFolderError(f"cannot be written ({exc.strerror})", path=path) from exc
