"""Quantizing rows of weights with llama.cpp's own code, as the embedded engine's package holds it.

`xllamacpp` is an extension of Python, and its library also exports the functions of ggml by name.
They are called through `ctypes`, so that types whose code the `gguf` package does not have (the
K-quants) are written without a compiler.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES

from quantrial.errors import ModelFileError

if TYPE_CHECKING:
    from gguf.constants import GGMLQuantizationType
    from numpy.typing import NDArray

_PACKAGE = "xllamacpp"


def available() -> bool:
    """Say whether the library is there and exports what is needed."""
    try:
        _quantize_chunk()
    except ModelFileError:
        return False
    return True


def quantize_rows(rows: NDArray[np.float32], kind: GGMLQuantizationType) -> NDArray[np.uint8]:
    """Quantize rows, on all cores; each row is quantized for itself.

    Args:
        rows: weights, shape (rows, weights a row); a row divides into the type's blocks.
        kind: the type to write.

    Returns:
        The bytes, shape (rows, bytes a row).

    Raises:
        ModelFileError: the library is not there or does not export the function, or the rows hold
            a number that is not finite.
    """
    function = _quantize_chunk()
    if not np.isfinite(rows).all():
        raise ModelFileError("holds weights that are not finite")
    rows = np.ascontiguousarray(rows)
    count, width = rows.shape
    block, size = GGML_QUANT_SIZES[kind]
    out = np.empty((count, width // block * size), np.uint8)
    cores = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
    parts = np.array_split(np.arange(count), min(cores or 1, count)) if count else []

    def part(which: NDArray[np.int64]) -> int:
        first, number = int(which[0]), len(which)
        into, came = out[first : first + number], rows[first : first + number]
        # ctypes lets go of the interpreter while the library works
        written: int = function(
            int(kind), came.ctypes.data, into.ctypes.data, 0, number, width, None
        )
        return written

    with ThreadPoolExecutor(max(1, len(parts))) as pool:
        written = sum(pool.map(part, parts))
    if written != out.nbytes:
        raise ModelFileError(
            f"{_PACKAGE} wrote {written:,} bytes of {kind.name}, and {out.nbytes:,} are due"
        )
    return out


@cache
def _quantize_chunk() -> Any:
    found = importlib.util.find_spec(_PACKAGE)
    folders = (found.submodule_search_locations if found else None) or ()
    for folder in folders:
        for path in sorted(Path(folder).glob(f"{_PACKAGE}*.so")):
            try:
                function = ctypes.CDLL(str(path)).ggml_quantize_chunk
            except (OSError, AttributeError):
                continue
            # size_t ggml_quantize_chunk(type, const float * src, void * dst, int64_t start,
            #                            int64_t nrows, int64_t n_per_row, const float * imatrix)
            rows = ctypes.c_int64
            function.argtypes = [
                ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, rows, rows, rows, ctypes.c_void_p
            ]  # fmt: skip
            function.restype = ctypes.c_size_t
            return function
    raise ModelFileError(f"no library of {_PACKAGE} that can quantize is installed")
