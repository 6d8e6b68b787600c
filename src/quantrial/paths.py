"""Files that a study, a log or a run folder names: the one door before any of them is opened.

Such names come from others. A pipe or a device would make whoever reads it wait for ever, or read
without end; a name may hold what no path can. Every reader goes through here, and every failure is
an `OSError` that says in `strerror` what is wrong.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from quantrial.errors import PathError

LONGEST = 4096  # bytes: PATH_MAX of Linux
# opening a pipe without a writer would wait for one; a terminal would become this process's own
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_GROWTH = 2**24  # bytes that a file may grow by while it is read
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def expanded(path: Path | str, base: Path = Path()) -> Path:
    """Return the path that a study means: `~` is a home, and what is relative starts at `base`.

    Raises:
        PathError: no file can have this name, or `~` names a user who is not there.
    """
    refuse_impossible(path)
    try:
        return base / Path(path).expanduser()
    except RuntimeError as exc:
        raise PathError("names the home of a user who is not on this machine", path=path) from exc


def refuse_impossible(path: Path | str) -> None:
    """Refuse a name that no file can have.

    Raises:
        PathError: it holds a NUL character or a lone surrogate, or is longer than any path.
    """
    try:
        length = len(os.fsencode(path))
    except UnicodeEncodeError as exc:
        raise PathError("holds a character that no path can hold", path=path) from exc
    if "\0" in os.fspath(path):
        raise PathError("holds a NUL character, as no path can", path=path)
    if length > LONGEST:
        raise PathError(
            f"is {length:,} bytes long, and a path has at most {LONGEST:,}; name the file itself",
            path=path,
        )


def parts_within(name: str) -> tuple[str, ...] | None:
    r"""Return the parts of a name below a folder; None where it leads out of it, or may.

    Parts stand apart by `/`. A `..`, an absolute path, a `\` and a colon (on Windows they part
    folders and name drives) are none.
    """
    parts = tuple(name.split("/"))
    strange = any(one in ("", ".", "..") or "\\" in one or "\0" in one for one in parts)
    if strange or PurePosixPath(name).is_absolute() or (os.name == "nt" and ":" in name):
        return None
    return parts


def is_file(path: Path | str) -> bool:
    """Whether a file is there that can be read to its end; false for a name that none can have."""
    return os.path.isfile(path)


def is_folder(path: Path | str) -> bool:
    """Whether a folder is there; false for a name that none can have."""
    return os.path.isdir(path)


def is_there(path: Path | str) -> bool:
    """Whether anything is there, a pipe or a device too; false for a name that none can have."""
    return os.path.exists(path)


def open_file(path: Path | str) -> io.BufferedReader:
    """Open a file to read its bytes.

    Raises:
        PathError: it is a pipe, a socket or a device, or no file can have this name.
        OSError: it is not there, is a folder, or may not be read.
    """
    return os.fdopen(_opened(path, os.O_RDONLY), "rb")


def read_bytes(path: Path | str) -> bytes:
    """Read a file whole.

    Raises:
        PathError: as `open_file`; or it is one of the system's that has no end, or nothing to say.
        OSError: as `open_file`.
    """
    with open_file(path) as file:
        most = os.fstat(file.fileno()).st_size + _GROWTH
        data: bytes | None = file.read(most + 1)
    if data is None:  # as of what waits for something to happen
        raise PathError("has nothing to be read now; a file is needed", path=path)
    if len(data) > most:
        raise PathError("has no end; a file is needed", path=path)
    return data


def read_text(path: Path | str) -> str:
    """Read a file of UTF-8 whole, line ends as `Path.read_text` gives them.

    Raises:
        OSError: as `open_file`.
        UnicodeDecodeError: it is no UTF-8.
    """
    return read_bytes(path).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def open_to_append(path: Path | str, mode: Literal["ab", "r+b"] = "ab") -> IO[bytes]:
    """Open a file of a run folder to write into it, unbuffered; `ab` makes it where it is missing.

    A link is refused: whoever made the folder could have it lead to any file of whoever runs it.

    Raises:
        PathError: it is a link, a pipe, a socket or a device, or no file can have this name.
        OSError: it may not be written.
    """
    if os.path.islink(path):
        raise PathError(_LINK, path=path)
    flags = os.O_RDWR | (os.O_APPEND | os.O_CREAT if mode == "ab" else 0)
    handle = _opened(path, flags | _NO_LINK, new=mode == "ab")
    # by `open`, and not from the handle, so that the file knows its name
    return open(path, mode, buffering=0, opener=lambda *_: handle)


def write_private(path: Path | str, data: bytes) -> None:
    """Make a file that its owner alone may read; what is there already is refused.

    Raises:
        FileExistsError: something is there, a link too.
        OSError: it may not be written.
    """
    refuse_impossible(path)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def refuse_link(path: Path | str) -> None:
    """Refuse to write into a folder, or over a file, that a link of a run folder leads to.

    Raises:
        PathError: it is a link.
    """
    if os.path.islink(path):
        raise PathError(_LINK, path=path)


_LINK = "is a link; nothing is written where a run folder's links lead, so put the file itself here"


def _opened(path: Path | str, flags: int, *, new: bool = False) -> int:
    refuse_impossible(path)
    try:
        # asked first: opening alone makes some devices do something
        _refuse_other_than_file(os.stat(path).st_mode, path)
    except FileNotFoundError:
        if not new:
            raise
    handle = os.open(path, flags | _NO_WAIT | _BINARY | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        _refuse_other_than_file(os.fstat(handle).st_mode, path)  # it may be another one by now
    except BaseException:
        os.close(handle)
        raise
    return handle


def _refuse_other_than_file(mode: int, path: Path | str) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    for is_kind, what in _KINDS:
        if is_kind(mode):
            raise PathError(f"is {what}; a file is needed", path=path)
