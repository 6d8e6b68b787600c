"""Make an arm's model file from another one: two arms then differ in their weights alone.

F16, Q8_0, Q5_0 and Q4_0: every tensor of two or more dimensions is dequantized and written in
that type; one-dimensional ones (norms, biases) are stored as F32. The types that mix several
(Q4_K_M and its like) are written as `llama-quantize` does: see `mixtures`. All metadata is copied
byte for byte, except the file's type.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from gguf.constants import (
    GGML_QUANT_SIZES,
    GGUF_DEFAULT_ALIGNMENT,
    GGMLQuantizationType,
    LlamaFileType,
)
from gguf.quants import quantize

from quantrial.engines.cache import cache_dir, file_sha256, replace_atomically
from quantrial.engines.gguf_file import (
    Header,
    Tensor,
    encode_field,
    encode_header,
    read_header,
    weights_of,
)
from quantrial.engines.mixtures import MIXED, available, mixed_types, quantize_rows
from quantrial.engines.weights import made_from, made_of, write_record
from quantrial.errors import ModelFileError, QuantrialWarning
from quantrial.precision import without_type
from quantrial.system import file_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_FORMAT = 1  # counted up when the same recipe gives other bytes: old files are then made again
_QUANTIZATION_VERSION = 2  # GGML_QNT_VERSION in ggml.h
_CHUNK = 4_000_000  # weights in memory at once
_BLOCK = 32
UNIFORM = ("F16", "Q8_0", "Q5_0", "Q4_0")
_WORKER = (sys.executable, "-P", "-m", "quantrial.engines.worker")
_KEPT = 300  # characters of a writer's last words
_REPLACED = ("general.file_type", "general.quantization_version")


def made_file(source: Path, target: str, degrade: str | None = None) -> Path:
    """Return the file made from `source` in the type `target`; made now if not in the cache.

    Args:
        source: a GGUF file.
        target: one of `UNIFORM`, or of `mixtures.MIXED`.
        degrade: `round_3bit` rounds the weights to 3 bits in blocks of 32 before they are written.

    Raises:
        ModelFileError: the source is unusable, or the file cannot be written.
    """
    try:
        digest = file_sha256(source)
    except OSError as exc:
        raise ModelFileError(f"cannot be read ({exc.strerror or exc})", path=source) from exc
    # llama.cpp may round otherwise one day; what the gguf package writes is counted by _FORMAT
    by = f":{made_by(target)}" if target in MIXED else ""
    recipe = f"{_FORMAT}:{target}:{degrade or ''}{by}"
    name = f"{digest}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    folder = cache_dir() / "models"
    path, recorded = folder / f"{name}.gguf", folder / f"{name}.sha256"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _is_whole(path, recorded):
            return path
        with file_lock(folder / f"{name}.lock"):
            if _is_whole(path, recorded):  # another process made it while this one waited
                return path
            if path.exists():
                warnings.warn(
                    f"{path} changed since it was written. It is made again.",
                    QuantrialWarning,
                    stacklevel=2,
                )
            _make(source, path, recorded, target, degrade)
    except OSError as exc:
        raise ModelFileError(
            f"the {target} file cannot be written there ({exc.strerror or exc}); set "
            "QUANTRIAL_CACHE to another folder",
            path=folder,
        ) from exc
    return path


def _is_whole(path: Path, recorded: Path) -> bool:
    try:
        return file_sha256(path) == recorded.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return False


def _make(source: Path, path: Path, recorded: Path, target: str, degrade: str | None) -> None:
    # Under the lock the name is this process's own; what a killed one left there is overwritten.
    temporary = path.with_name(f".{path.name}.part")
    try:
        digest = write_made(source, temporary, target, degrade)
        replace_atomically(recorded, f"{digest}\n".encode())
        by = ", ".join([made_by(target), *([degrade] if degrade else [])])
        write_record(path, made_of(source, path.name, sha256=digest, kind=target, by=by))
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def made_by(target: str) -> str:
    """Name what writes a type: the `gguf` package, or llama.cpp's code and the version of it."""
    return f"ggml of xllamacpp {version('xllamacpp')}" if target in MIXED else "gguf"


def write_made(source: Path, target: Path, kind: str, degrade: str | None = None) -> str:
    """Write the source in another type; return the SHA-256 of what was written.

    Raises:
        ModelFileError: the source is unusable, or what writes this type is not there or fails.
        OSError: the file cannot be written.
    """
    if kind not in MIXED:
        return write_requantized(source, target, kind, degrade)
    with target.open("wb"):
        pass  # what cannot be written says so here, and not in the words of a worker
    command = [*_WORKER, "mix"]
    return _run(command, made_by(kind), source, target, kind, *([degrade] if degrade else []))


def _run(command: Sequence[str], by: str, source: Path, target: Path, kind: str, *more: str) -> str:
    """Have a process of its own write a file, since native code may abort; return what it says."""
    words = [*command, str(source), str(target), kind, *more]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as exc:
        raise ModelFileError(f"{by} cannot be started ({exc.strerror or exc})") from exc
    if done.returncode or not target.exists():
        how = f" (signal {-done.returncode})" if done.returncode < 0 else ""
        last = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-_KEPT:]
        reason = " ".join(last.split())
        raise ModelFileError(f"{by} could not write {kind}{how}: {reason}", path=source)
    return done.stdout.decode("utf-8", "replace").strip()


def write_requantized(source: Path, target: Path, kind: str, degrade: str | None) -> str:
    """Write the made file to the disk, in this process; return its SHA-256."""
    with target.open("wb") as file:
        digest = _write_requantized(source, file, kind, degrade)
        file.flush()
        os.fsync(file.fileno())
    return digest


def _write_requantized(source: Path, file: IO[bytes], target: str, degrade: str | None) -> str:
    header = read_header(source)
    mixed = target in MIXED
    if mixed:
        kinds = mixed_types(header, target, source)
    else:
        kinds = [_stored_as(tensor, GGMLQuantizationType[target]) for tensor in header.tensors]
    alignment = header.value("general.alignment") or GGUF_DEFAULT_ALIGNMENT
    digest = hashlib.sha256()

    def write(data: bytes) -> int:
        digest.update(data)
        return file.write(data)

    write(
        encode_header(
            _fields(header, target),
            ((t.name, t.shape, kind) for t, kind in zip(header.tensors, kinds, strict=True)),
            alignment=alignment,
        )
    )
    data = np.memmap(source, mode="r")
    for tensor, kind in zip(header.tensors, kinds, strict=True):
        written = 0
        damaged = bool(degrade) and _is_degraded(tensor)
        if mixed and kind is tensor.type and not damaged:
            written = write(data[tensor.start : tensor.start + tensor.size].tobytes())
        else:
            for rows in _weights(data, tensor, source):
                came = _round_3bit(rows) if damaged else rows
                written += write(_encoded(came, kind, tensor, source, by_ggml=mixed))
        write(bytes(-written % alignment))
    return digest.hexdigest()


def _stored_as(tensor: Tensor, target: GGMLQuantizationType) -> GGMLQuantizationType:
    if len(tensor.shape) < 2:
        return GGMLQuantizationType.F32
    block, _ = GGML_QUANT_SIZES[target]
    return target if tensor.shape[0] % block == 0 else GGMLQuantizationType.F16


def _is_degraded(tensor: Tensor) -> bool:
    return len(tensor.shape) >= 2 and tensor.shape[0] % _BLOCK == 0


def _fields(header: Header, target: str) -> list[bytes]:
    kept = [field.raw for key, field in header.fields.items() if key not in _REPLACED]
    return [
        *kept,
        encode_field("general.file_type", int(LlamaFileType[f"MOSTLY_{target}"])),
        encode_field("general.quantization_version", _QUANTIZATION_VERSION),
    ]


def _weights(
    data: NDArray[np.uint8], tensor: Tensor, source: Path
) -> Iterator[NDArray[np.float32]]:
    """Yield a tensor's weights as rows, some millions at a time."""
    width = tensor.shape[0] if tensor.shape else 1
    rows = tensor.elements // max(width, 1)
    if not rows:
        return
    stored = data[tensor.start : tensor.start + tensor.size].reshape(rows, -1)
    step = max(1, _CHUNK // width)
    for first in range(0, rows, step):
        chunk = stored[first : first + step]
        try:
            yield _finite(weights_of(chunk, tensor.type), tensor, source)
        except NotImplementedError as exc:
            raise ModelFileError(
                f"stores {tensor.name} as {tensor.type.name}; the gguf package cannot dequantize "
                "that. Start from another file",
                path=source,
            ) from exc


def _finite(rows: NDArray[np.float32], tensor: Tensor, source: Path) -> NDArray[np.float32]:
    if not np.isfinite(rows).all():
        raise ModelFileError(
            f"holds weights in {tensor.name!r:.80} that are not finite; fetch it again",
            path=source,
        )
    return rows


def _encoded(
    rows: NDArray[np.float32],
    kind: GGMLQuantizationType,
    tensor: Tensor,
    source: Path,
    *,
    by_ggml: bool,
) -> bytes:
    if kind is GGMLQuantizationType.F32:
        return rows.tobytes()
    if by_ggml and kind is not GGMLQuantizationType.F16:
        return quantize_rows(rows, kind).tobytes()
    with np.errstate(over="ignore"):  # caught below, with the tensor's name
        out = quantize(rows, kind)
    if out.dtype == np.float16 and not np.isfinite(out).all():
        raise ModelFileError(f"holds weights in {tensor.name} too large for F16", path=source)
    return bytes(out.tobytes())


def _round_3bit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round to 3 bits: per block of 32, -4 to 3 times a third of the largest magnitude."""
    blocks = rows.reshape(-1, _BLOCK)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(3)
    scale[scale == 0] = 1
    levels = np.clip(np.round(blocks / scale), -4, 3)
    rounded: NDArray[np.float32] = (levels * scale).reshape(rows.shape).astype(np.float32)
    return rounded


TOOL = "llama-quantize"
PACKAGE = "llama-cpp-python"


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
    path = folder / f"{without_type(source.stem, header.quantization)}.{kind}.gguf"
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
                raise ModelFileError(f"{by} wrote {got} instead of {kind}", path=source)
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
    file_type = header.value("general.file_type")
    try:
        name = LlamaFileType(file_type).name
    except ValueError:
        return header.quantization
    return name.removeprefix("MOSTLY_").removeprefix("ALL_")


def _writer(kind: str) -> tuple[str, Callable[[Path, Path], object]]:
    if kind in UNIFORM or (kind in MIXED and available()):
        return made_by(kind), lambda source, target: write_made(source, target, kind)
    if (tool := shutil.which(TOOL)) is not None:
        by, command = TOOL, [tool, "--allow-requantize"]
    elif importlib.util.find_spec("llama_cpp") is not None:
        by, command = PACKAGE, [*_WORKER, "quantize"]
    else:
        there = (*UNIFORM, *(MIXED if available() else ()))
        raise ModelFileError(
            f"{kind} needs `{TOOL}` on the PATH (it comes with llama.cpp), or the package "
            "llama-cpp-python (from a clone: `.venv/bin/pip install -e '.[quantize]'`). Without "
            f"them quantrial writes {', '.join(there)}"
        )
    return by, lambda source, target: _run(command, by, source, target, kind)
