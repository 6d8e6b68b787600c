"""Arms from one source file: a file each, and beside it a record of what it was made from."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gguf.constants import LlamaFileType

from quantrial.engines.cache import file_sha256
from quantrial.engines.gguf_file import Header, read_header
from quantrial.engines.mixtures import MIXED, available
from quantrial.engines.origin import made_from, made_of, write_record
from quantrial.engines.requantize import UNIFORM, last_words, made_by, write_made
from quantrial.errors import ModelFileError

TOOL = "llama-quantize"
PACKAGE = "llama-cpp-python"
# a process of its own: native code writes thousands of lines to stderr, and may abort
_WORKER = (sys.executable, "-P", "-m", "quantrial.engines.quantizing_worker")


def quantize_model(source: Path, kind: str, folder: Path) -> Path:
    """Write the source in another type into a folder, with its record; return the new file.

    F16, Q8_0, Q5_0, Q4_0 and those of `mixtures.MIXED` (Q4_K_M and its like) are written here;
    every other type is left to `llama-quantize` on the PATH, or to the package `llama-cpp-python`.
    A file that is there already, made from the same source, is taken as it is.

    Raises:
        ModelFileError: the source is unusable, the type unknown to whoever would write it, nothing
            is there that writes it, or the file cannot be written.
    """
    header = read_header(source)
    kind = kind.upper()
    path = folder / f"{_stem(source, header.quantization)}.{kind}.gguf"
    if path.exists() and path.samefile(source):
        raise ModelFileError(f"is {kind} already", path=source)
    digest = file_sha256(source)
    known = made_from(path)
    if known is not None and known.source_sha256 == digest:
        return path
    if path.exists():
        raise ModelFileError(
            "exists already and was not made from this source; name another folder", path=path
        )
    by, write = _writer(kind)
    temporary = path.with_name(f".{path.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # a link of somebody else's would be written through
        try:
            write(source, temporary)
            got = _declared(read_header(temporary))
            if got != kind:
                raise ModelFileError(f"{by} wrote {got} where {kind} was asked for", path=source)
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        write_record(path, made_of(source, path.name, sha256=file_sha256(path), kind=kind, by=by))
    except OSError as exc:
        raise ModelFileError(f"cannot be written ({exc.strerror or exc})", path=folder) from exc
    return path


def _declared(header: Header) -> str:
    """Return the type a file says it is; tensors fall back where their rows do not divide."""
    said = header.value("general.file_type")
    try:
        name = LlamaFileType(said).name
    except ValueError:
        return header.quantization
    return name.removeprefix("MOSTLY_").removeprefix("ALL_")


def _stem(source: Path, quantization: str) -> str:
    """Take the type off a file's name: `model.F16.gguf` and `model-f16.gguf` are `model`."""
    stem = source.stem
    for joint in (".", "-", "_"):
        if stem.lower().endswith(f"{joint}{quantization.lower()}"):
            return stem[: -len(quantization) - 1]
    return stem


def _writer(kind: str) -> tuple[str, Callable[[Path, Path], None]]:
    if kind in UNIFORM or (kind in MIXED and available()):
        return made_by(kind), lambda source, target: _write_own(source, target, kind)
    if (tool := shutil.which(TOOL)) is not None:
        command = (tool, "--allow-requantize")
        return TOOL, lambda source, target: _run(command, TOOL, source, target, kind)
    if importlib.util.find_spec("llama_cpp") is None:
        there = (*UNIFORM, *(MIXED if available() else ()))
        raise ModelFileError(
            f"{kind} is written by `{TOOL}`, which is not on the PATH (it comes with llama.cpp), "
            "or by the package llama-cpp-python (from a clone: `.venv/bin/pip install -e "
            f"'.[quantize]'`); without them there is {', '.join(there)}"
        )
    return PACKAGE, lambda source, target: _run(_WORKER, PACKAGE, source, target, kind)


def _write_own(source: Path, target: Path, kind: str) -> None:
    write_made(source, target, kind)


def _run(command: Sequence[str], by: str, source: Path, target: Path, kind: str) -> None:
    try:
        done = subprocess.run(
            [*command, str(source), str(target), kind],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as exc:
        raise ModelFileError(f"{by} cannot be started ({exc.strerror or exc})") from exc
    if done.returncode or not target.exists():
        how = f" (signal {-done.returncode})" if done.returncode < 0 else ""
        raise ModelFileError(f"{by} could not write {kind}{how}: {last_words(done)}", path=source)
