"""The run folder: append-only records, one writer at a time, torn lines repaired.

A response counts as recorded once its line, newline included, has been handed to the system: that
survives the end of this process by any signal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import IO

import orjson

from quantrial import paths
from quantrial.errors import RecordError, RecordWarning, RunFolderError
from quantrial.records import (
    Item,
    Manifest,
    Response,
    SpeedRecord,
    item_from_json,
    manifest_from_json,
    response_from_json,
    speed_from_json,
)
from quantrial.redaction import blot_all
from quantrial.strict_json import parse_json, recordable
from quantrial.system import file_lock

STUDY = "study.yaml"
ITEMS = "items.jsonl"
MANIFEST = "manifest.json"
RESPONSES = "responses"
SPEED = "speed.jsonl"
SUMMARY = "summary.json"
DECISION = "decision.json"
ATTRIBUTES = ".gitattributes"
SCORERS = "scorers"  # copies of the files of Python that the study scores by
ORIGIN = "origin"  # copies of what an import read, where it keeps them
LOCK = ".lock"
LOGS = "logs"  # what engines write because the study says so
PARTIAL = ".partial"  # the end of a file's name until it is whole
_KEEP_LINE_ENDS = (
    b"# Files of a run are hashed: git is to leave their line ends as they are.\n* -text\n"
)


class RunFolder:
    """One run on disk. Reading needs no lock; writing responses goes through `locked`."""

    def __init__(self, path: Path | str):
        self.path = Path(path)

    @classmethod
    def at(cls, run: Path | str | RunFolder) -> RunFolder:
        """Return the run folder at a path; one that is opened already stays what it is."""
        return run if isinstance(run, RunFolder) else cls(run)

    @property
    def study_path(self) -> Path:
        """The frozen copy of the study file."""
        return self.path / STUDY

    def exists(self) -> bool:
        """Whether a run was set up here: the manifest is written last."""
        return paths.is_file(self.path / MANIFEST)

    def strangers(self) -> list[str]:
        """Name the files here that the beginning of a run does not write; nothing is read."""
        if not paths.is_folder(self.path):
            return []
        known = {LOCK, ATTRIBUTES, STUDY, ITEMS, ORIGIN, RESPONSES, SCORERS}
        names = sorted(entry.name for entry in self.path.iterdir())
        return [n for n in names if n not in known and not (n[0] == "." and n.endswith(PARTIAL))]

    def require(self) -> None:
        """Make sure that this is a run folder.

        Raises:
            RunFolderError: it is not, with what to do.
        """
        if paths.is_file(self.path):
            raise RunFolderError(
                "is a file; a run folder is needed, such as runs/NAME", path=self.path
            )
        if not paths.is_folder(self.path):
            raise RunFolderError("no such run folder", path=self.path)
        missing = [n for n in (STUDY, ITEMS, MANIFEST) if not paths.is_file(self.path / n)]
        if missing:
            raise RunFolderError(
                f"not a run folder: {', '.join(missing)} missing; `quantrial run STUDY` makes one",
                path=self.path,
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for writing.

        Raises:
            RunFolderError: another process holds it, or it cannot be written.
            PlatformError: this system cannot lock files.
        """
        lock = file_lock(self.path / LOCK)
        try:
            paths.refuse_impossible(self.path)
            paths.refuse_link(self.path / LOCK)
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except TimeoutError as exc:
            raise RunFolderError(
                "another process is running in this folder; wait for it or end it", path=self.path
            ) from exc
        except OSError as exc:
            raise RunFolderError(f"cannot be written ({exc.strerror})", path=self.path) from exc
        for name in (STUDY, ITEMS, MANIFEST):  # what a killed process left behind
            for leftover in self.path.glob(f".{name}.*{PARTIAL}"):
                leftover.unlink(missing_ok=True)
        try:
            yield
        finally:
            # the file stays: unlinking it would let a third process lock a new one beside a second
            lock.release()

    def read_items(self) -> dict[str, list[Item]]:
        """Read items.jsonl: the items of each task in the order they are asked.

        Raises:
            RecordError: a malformed line, an edited item, an id that occurs twice in one task.
        """
        path = self.path / ITEMS
        items: dict[str, list[Item]] = {}
        seen: set[tuple[str, str]] = set()
        for number, line in self._lines(path):
            item = item_from_json(line, path=path, line=number)
            if (item.task, item.id) in seen:
                raise RecordError(f"item {item.id!r} occurs twice", path=path, line=number)
            seen.add((item.task, item.id))
            items.setdefault(item.task, []).append(item)
        return items

    def write_study(self, text: str) -> None:
        """Freeze the study file, and have git leave the line ends of the run's files alone."""
        write_atomically(self.study_path, text.replace("\r\n", "\n").encode())
        self.keep_line_ends()

    def keep_line_ends(self) -> None:
        """Write .gitattributes, unless there is one."""
        if not (self.path / ATTRIBUTES).exists():
            write_atomically(self.path / ATTRIBUTES, _KEEP_LINE_ENDS)

    def write_scorer(self, name: str, text: str) -> None:
        """Keep a copy of a file of Python that the study scores by."""
        paths.refuse_link(self.path / SCORERS)
        write_atomically(self.path / SCORERS / name, text.encode())

    def write_origin(self, name: str, data: bytes) -> None:
        """Keep a copy of a file that was imported."""
        paths.refuse_link(self.path / ORIGIN)
        write_atomically(self.path / ORIGIN / name, data)

    def write_items(self, items: Iterable[Item]) -> None:
        """Write items.jsonl, whole."""
        write_atomically(self.path / ITEMS, b"".join(item.to_json() + b"\n" for item in items))

    def read_manifest(self) -> Manifest:
        """Read manifest.json."""
        path = self.path / MANIFEST
        return manifest_from_json(self._read(path), path=path)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write manifest.json, whole; no key is in what it holds of servers and sessions."""
        guarded = {
            n: recordable(blot_all(getattr(manifest, n))) for n in ("arms", "sessions", "notes")
        }
        manifest = dataclasses.replace(manifest, **guarded)
        # a folder that was removed meanwhile does not come back with a manifest alone
        write_atomically(self.path / MANIFEST, manifest.to_json(), make_folder=False)

    def responses_path(self, task: str, arm: str) -> Path:
        """Say where the responses of one arm to one task stand."""
        return self.path / RESPONSES / f"{task}.{arm}.jsonl"

    def read_responses(
        self, task: str, arm: str, *, known: Container[str] | None = None
    ) -> list[Response]:
        """Read one responses file, if it is there; a torn last line is left out.

        Args:
            task: the task.
            arm: the arm.
            known: the ids of the task's items, to refuse responses to any other.

        Raises:
            RecordError: a malformed line that is not the torn last one, a line of another task or
                arm, a response to an unknown item.
        """
        path = self.responses_path(task, arm)
        responses = []
        for number, line in self._lines(path, torn_ok=True) if paths.is_there(path) else ():
            response = response_from_json(line, path=path, line=number)
            if (response.task, response.arm) != (task, arm):
                said = f"holds a response of task {response.task!r}, arm {response.arm!r}"
                raise RecordError(said, path=path, line=number)
            if known is not None and response.item not in known:
                said = f"a response to item {response.item!r}, which items.jsonl does not have"
                raise RecordError(said, path=path, line=number)
            responses.append(response)
        return responses

    def read_speed(self, *, arms: Container[str]) -> list[SpeedRecord]:
        """Read speed.jsonl, if it is there; a torn last line is left out.

        Args:
            arms: the study's arms, to refuse records of any other.

        Raises:
            RecordError: a malformed line that is not the torn last one, an unknown arm, or
                a call that was measured twice.
        """
        path = self.path / SPEED
        records = []
        seen: set[tuple[str, int, tuple[int, int]]] = set()
        for number, line in self._lines(path, torn_ok=True) if paths.is_there(path) else ():
            record = speed_from_json(line, path=path, line=number)
            if record.arm not in arms:
                said = f"a call of arm {record.arm!r}, which the study does not have"
                raise RecordError(said, path=path, line=number)
            if record.kind == "measured" and record.status == "ok":
                call = (record.arm, record.block, record.shape)
                if call in seen:
                    said = f"block {record.block} of arm {record.arm!r} was measured twice at "
                    said += f"{record.prompt_length} and {record.output_length} tokens"
                    raise RecordError(said, path=path, line=number)
                seen.add(call)
            records.append(record)
        return records

    def hashes(self) -> dict[str, str]:
        """Hash every file that results derive from, by its name in the folder.

        Files are hashed as they were written, with line feeds: git may have put a carriage return
        before each.
        """
        return {name: content_sha256(self._read(self.path / name)) for name in self.inputs()}

    def inputs(self) -> list[str]:
        """List the files that results derive from, by their names in the folder."""
        files = [self.study_path, self.path / ITEMS, self.path / MANIFEST, *self.response_files()]
        files += [self.path / SPEED] if paths.is_there(self.path / SPEED) else []
        files += sorted((self.path / SCORERS).glob("*.py"))
        files += sorted(one for one in (self.path / ORIGIN).glob("*") if paths.is_file(one))
        return [path.relative_to(self.path).as_posix() for path in files]

    def response_files(self) -> list[Path]:
        """List the responses files that are there, by name."""
        folder = self.path / RESPONSES
        return sorted(folder.glob("*.jsonl")) if paths.is_folder(folder) else []

    def write_document(self, name: str, document: object) -> Path:
        """Write one derived JSON document (summary, decision), indented, keys as given."""
        path = self.path / name
        write_atomically(path, encode_document(document))
        return path

    def read_document(self, name: str, *, command: str) -> dict[str, object]:
        """Read one derived JSON document; `command` is what makes it, for the message.

        Raises:
            RunFolderError: it is not there yet.
            RecordError: it is no JSON object, or holds a key twice.
        """
        path = self.path / name
        if not paths.is_there(path):
            raise RunFolderError(f"not there yet: `quantrial {command}` makes it", path=path)
        document = parse_json(self._read(path), path=path)
        if not isinstance(document, dict):
            raise RecordError("expected a JSON object", path=path)
        return document

    def _read(self, path: Path) -> bytes:
        """Return the bytes of one file of the folder.

        Raises:
            RunFolderError: it cannot be read.
        """
        try:
            return paths.read_bytes(path)
        except OSError as exc:
            raise RunFolderError(f"cannot be read ({exc.strerror})", path=path) from exc

    def _lines(self, path: Path, *, torn_ok: bool = False) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of a file of records with their numbers from 1, empty ones left out."""
        data = self._read(path)
        if torn_ok and not data.endswith(b"\n"):
            data = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(data.split(b"\n"), start=1):
            if line:
                yield number, line


class RunSnapshot(RunFolder):
    """A run folder as it stood when each of its files was first read: none is read again.

    What is hashed is so what is parsed, even while a run goes on. The text of answers is let go
    once they are parsed.
    """

    def __init__(self, path: Path | str):
        super().__init__(path)
        self.with_windows_line_ends: list[str] = []
        self._data: dict[Path, bytes] = {}
        self._sha256: dict[Path, str] = {}
        self._items: dict[str, list[Item]] | None = None
        self._responses: dict[tuple[str, str], list[Response]] = {}

    def _read(self, path: Path) -> bytes:
        if path not in self._data:
            data = self._data[path] = super()._read(path)
            self._sha256[path] = content_sha256(data)
            if b"\r\n" in data:
                self.with_windows_line_ends.append(path.relative_to(self.path).as_posix())
        return self._data[path]

    def read_text_file(self, name: str) -> bytes:
        """Return the bytes of a file of text with line feeds alone, whatever a checkout made."""
        return self._read(self.path / name).replace(b"\r\n", b"\n")

    def read_items(self) -> dict[str, list[Item]]:
        """Read items.jsonl, as `RunFolder.read_items`; once."""
        if self._items is None:
            self._items = super().read_items()
            self._data.pop(self.path / ITEMS, None)
        return self._items

    def read_responses(
        self, task: str, arm: str, *, known: Container[str] | None = None
    ) -> list[Response]:
        """Read one responses file, as `RunFolder.read_responses`; once, so checked by the first."""
        if (task, arm) not in self._responses:
            self._responses[task, arm] = super().read_responses(task, arm, known=known)
            self._data.pop(self.responses_path(task, arm), None)
        return self._responses[task, arm]

    def hashes(self) -> dict[str, str]:
        """Hash every file that results derive from, as `RunFolder.hashes`."""
        for name in self.inputs():
            if self.path / name not in self._sha256:
                self._read(self.path / name)
        return {name: self._sha256[self.path / name] for name in self.inputs()}

    def release_responses(self) -> None:
        """Let the answers go once nothing asks for them any more: they are most of what is held."""
        self._responses.clear()


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


def content_sha256(data: bytes) -> str:
    """Hash a file of text as it is with line feeds, whatever line ends a checkout gave it."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()


def encode_document(document: object) -> bytes:
    """Encode a derived document: indented, keys as given, a newline at the end."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


class ResponseWriter:
    """Appends responses; every line is flushed. Opening repairs a torn last line."""

    def __init__(self, folder: RunFolder, streams: Iterable[tuple[str, str]]):
        self.repairs: list[str] = []
        self._files: dict[tuple[str, str], IO[bytes]] = {}
        try:
            paths.refuse_link(folder.path / RESPONSES)
            (folder.path / RESPONSES).mkdir(parents=True, exist_ok=True)
            for task, arm in streams:
                path = folder.responses_path(task, arm)
                if note := repair_torn_line(path):
                    self.repairs.append(note)
                    warnings.warn(note, RecordWarning, stacklevel=3)
                self._files[task, arm] = paths.open_to_append(path)
        except OSError as exc:
            self.close()
            raise RunFolderError(f"cannot be written ({exc.strerror})", path=folder.path) from exc

    def append(self, response: Response) -> None:
        """Record one response.

        Raises:
            RunFolderError: the line could not be written whole (a full disk, for one); what part of
                it was written is taken back.
        """
        append_line(self._files[response.task, response.arm], response.to_json())

    def close(self) -> None:
        """Close every file."""
        for file in self._files.values():
            file.close()


@contextlib.contextmanager
def speed_writer(run: RunFolder) -> Iterator[Callable[[SpeedRecord], None]]:
    """Yield a function that records one call; opening repairs a torn last line.

    Raises:
        RunFolderError: the file cannot be written.
    """
    path = run.path / SPEED
    try:
        if note := repair_torn_line(path):
            warnings.warn(note, RecordWarning, stacklevel=3)
        file = paths.open_to_append(path)
    except OSError as exc:
        raise RunFolderError(f"cannot be written ({exc.strerror})", path=path) from exc
    with file:
        yield lambda record: append_line(file, record.to_json())


def repair_torn_line(path: Path) -> str | None:
    """Cut a torn last line off a file of records; say so, or None where there was none."""
    if not paths.is_there(path) or path.stat().st_size == 0:
        return None
    with paths.open_to_append(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) == b"\n":
            return None
        data = paths.read_bytes(path)
        cut = data.rfind(b"\n") + 1
        file.truncate(cut)
    return f"{path.name}: cut {len(data) - cut} bytes of a torn last line; that call is repeated"


def append_line(file: IO[bytes], record: bytes) -> None:
    """Append one record and its newline to an unbuffered file.

    Raises:
        RunFolderError: the line could not be written whole (a full disk, for one), and what part of
            it was written is taken back; or the file is there no more.
    """
    line = record + b"\n"
    start = file.seek(0, os.SEEK_END)
    try:
        if os.fstat(file.fileno()).st_nlink == 0:
            raise RunFolderError(
                "was removed while the run went on; what was recorded in it is gone, and the same "
                "command begins anew",
                path=file.name,
            )
        written = file.write(line)
        while written < len(line):
            written += file.write(line[written:])
    except RunFolderError:
        raise
    except OSError as exc:
        with contextlib.suppress(OSError):
            file.truncate(start)
        raise RunFolderError(
            f"cannot be written ({exc.strerror}); nothing recorded before is lost, and the "
            "same command goes on from there",
            path=file.name,
        ) from exc
