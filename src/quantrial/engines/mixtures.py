"""Which type each tensor of a model file gets: llama.cpp's rule, for the types that mix several.

A file of the type Q4_K_M holds several types of tensors. The values and the way down are narrow
parts that many answers depend on, so some of them get more bits; what a row's length does not
divide into gets a type with smaller blocks. The rule is that of `llama-quantize` without an
importance matrix (llama.cpp, `src/llama-quant.cpp`), written anew; a long test holds every
tensor's type and bytes against a build of llama.cpp.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES
from gguf.constants import GGMLQuantizationType as Kind

from quantrial.errors import ModelFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.engines.gguf_file import Header, Tensor

_PACKAGE = "xllamacpp"


def available() -> bool:
    """Say whether the library is there and exports what is needed."""
    try:
        _quantize_chunk()
    except ModelFileError:
        return False
    return True


def quantize_rows(rows: NDArray[np.float32], kind: Kind) -> NDArray[np.uint8]:
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
            f"{_PACKAGE} wrote {written:,} bytes of {kind.name} instead of {out.nbytes:,}"
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


# The type of a tensor that nothing below speaks of.
_PLAIN = {
    "Q2_K": Kind.Q2_K,
    "Q3_K_S": Kind.Q3_K,
    "Q3_K_M": Kind.Q3_K,
    "Q3_K_L": Kind.Q3_K,
    "Q4_1": Kind.Q4_1,
    "Q4_K_S": Kind.Q4_K,
    "Q4_K_M": Kind.Q4_K,
    "Q5_1": Kind.Q5_1,
    "Q5_K_S": Kind.Q5_K,
    "Q5_K_M": Kind.Q5_K,
    "Q6_K": Kind.Q6_K,
    "IQ4_NL": Kind.IQ4_NL,
}
MIXED = tuple(_PLAIN)

# Where a row does not divide into blocks of 256: the nearest type with blocks of 32.
_FALLBACK = {
    Kind.Q2_K: Kind.Q4_0,
    Kind.Q3_K: Kind.Q4_0,
    Kind.Q4_K: Kind.Q5_0,
    Kind.Q5_K: Kind.Q5_1,
    Kind.Q6_K: Kind.Q8_0,
}
_OUTPUT_OF_ATTENTION = {"Q2_K": Kind.Q3_K, "Q3_K_M": Kind.Q4_K, "Q3_K_L": Kind.Q5_K}
_OUTPUT_OF_ATTENTION_WITH_8_EXPERTS = ("Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M", "IQ4_NL")

# Kept as they are: norms, routers, convolutions and other small tensors.
_KEPT = re.compile(
    r"_norm\.weight|ffn_gate_inp\.weight|ffn_gate_tid2eid\.weight|altup|laurel"
    r"|per_layer_model_proj|ssm_conv1d|shortconv\.conv\.weight|indexer\.[kq]_proj\.weight"
    r"|time_mix_(?:first|w[012]|v[012]|a[012]|g[12]|decay_w[12]|lerp_fused)\.weight"
    r"|attn_rel_b\.weight|\.position_embd|sam\.pos_embd|sam\.neck\.|sam\.net_|\.rel_pos"
    r"|\.patch_embd|\.patch_merger|a\.rvq\.codebook|mm\.a\.code_embd"
    r"|^(?:position_embd|token_types)\.weight$"
)
_VALUES = re.compile(r"attn_(?:qkv|kv_b|v)\.weight")
_LAYER = re.compile(r"blk\.(\d+)\.")
# Architectures that llama.cpp has rules of their own for.
_OTHERS = ("falcon", "glm5-next")
# Architectures and layers of the models whose eight heads share one matrix of values.
_SHARED_VALUES = (("qwen2", 80), ("deci", 80), ("olmo", 80), ("jais2", 68))


def mixed_types(header: Header, target: str, path: Path) -> list[Kind]:
    """Return the type of each tensor of a file made in the type `target`, in the header's order.

    Args:
        header: of the file that the weights come from.
        target: one of `MIXED`.
        path: that file, for messages.

    Raises:
        ModelFileError: the architecture has rules of its own, or the header does not say how many
            layers there are.
    """
    if header.architecture in _OTHERS:
        raise ModelFileError(
            f"has the architecture {header.architecture!r}; llama.cpp has other rules for it. "
            f"Write {target} with `llama-quantize`",
            path=path,
        )
    layers = _whole(header, "block_count")
    if not layers:
        raise ModelFileError("does not say how many layers it has", path=path)
    rule = _Rule(header, target, layers)
    chosen = {t.name: rule.type_of(t) for t in sorted(header.tensors, key=_place)}
    return [chosen[tensor.name] for tensor in header.tensors]


def _place(tensor: Tensor) -> tuple[int, str]:
    """Order tensors as llama.cpp meets them: what belongs to no layer, then layer by layer."""
    return _layer(tensor.name), tensor.name


def _layer(name: str) -> int:
    found = _LAYER.match(name)
    return int(found[1]) if found else -1


def _whole(header: Header, key: str) -> int:
    """Return a number of the architecture; of a list by layers, the first; 0 where none is told."""
    field = header.fields.get(f"{header.architecture}.{key}")
    if field is None:
        return 0
    value = field.value
    if value is None and (elements := field.elements):
        value = elements[0]
    return value if type(value) is int else 0


class _Rule:
    """The rule for one model and type; it counts the tensors that it has been asked about."""

    def __init__(self, header: Header, target: str, layers: int):
        self.target = target
        self.layers = layers
        names = [tensor.name for tensor in header.tensors]
        self.values = sum(1 for name in names if _VALUES.search(name))
        self.tied = "output.weight" not in names
        self.experts = _whole(header, "expert_count")
        heads = _whole(header, "attention.head_count")
        shared = _whole(header, "attention.head_count_kv") or heads
        self.queries_each = heads // shared if shared else 0
        arch = header.architecture
        self.eight_heads = (arch, layers) in _SHARED_VALUES or (
            arch == "llama" and layers == 80 and heads != shared and self.experts != 8
        )
        self.seen: Counter[str] = Counter()

    def type_of(self, tensor: Tensor) -> Kind:
        """Return the type of one tensor."""
        name = tensor.name
        if len(tensor.shape) < 2 or not name.endswith("weight") or _KEPT.search(name):
            return tensor.type
        return _fitting(tensor.shape[0], self._wanted(name, tensor.shape[0]))

    def _wanted(self, name: str, row: int) -> Kind:
        plain = _PLAIN[self.target]
        embeds = name in ("token_embd.weight", "per_layer_token_embd.weight")
        if name == "output.weight" or (embeds and self.tied):
            return Kind.Q8_0 if row % GGML_QUANT_SIZES[plain][0] else Kind.Q6_K
        if embeds or "attn_q.weight" in name:
            return plain
        if _VALUES.search(name):
            return self._of_values(plain)
        if "attn_k.weight" in name:
            return Kind.Q8_0 if self.experts == 8 else plain
        if "attn_output.weight" in name:
            if self.experts == 8:
                return Kind.Q5_K if self.target in _OUTPUT_OF_ATTENTION_WITH_8_EXPERTS else plain
            return _OUTPUT_OF_ATTENTION.get(self.target, plain)
        down = "ffn_down" in name and "ffn_up" not in name and "ffn_gate" not in name
        return self._of_the_way_down(name, plain) if down else plain

    def _of_values(self, plain: Kind) -> Kind:
        at = self.seen["values"]
        self.seen["values"] += 1
        few = self.queries_each >= 4  # the matrix is small beside the one of the queries
        kind = plain
        match self.target:
            case "Q2_K":
                kind = Kind.Q4_K if few else Kind.Q3_K
            case "Q3_K_M":
                kind = Kind.Q5_K if at < 2 else Kind.Q4_K
            case "Q3_K_L":
                kind = Kind.Q5_K
            case "IQ4_NL" if few:
                kind = Kind.Q5_K
            case "Q4_K_M" | "Q5_K_M" if _gets_more(at, self.values):
                kind = Kind.Q6_K
            case "Q4_K_S" if at < 4:
                kind = Kind.Q5_K
        if self.eight_heads and kind in (Kind.Q3_K, Kind.Q4_K):
            kind = Kind.Q5_K
        return Kind.Q8_0 if self.experts == 8 else kind

    def _of_the_way_down(self, name: str, plain: Kind) -> Kind:
        # the experts of one layer need not stand beside each other: their layer is in the name
        at = _layer(name) if self.experts > 1 else self.seen["down"]
        self.seen["down"] += 1
        first = at < self.layers // 8
        match self.target:
            case "Q2_K":
                return Kind.Q3_K
            case "Q3_K_M":
                return Kind.Q5_K if at < self.layers // 16 else Kind.Q4_K
            case "Q3_K_L":
                return Kind.Q5_K
            case "Q4_K_M" | "Q5_K_M" if _gets_more(at, self.layers):
                return Kind.Q6_K
            case "IQ4_NL" | "Q4_K_S" if first:
                return Kind.Q5_K
        return plain


def _gets_more(at: int, count: int) -> bool:
    """Say whether a layer gets more bits: the first and last eighth, and each third between."""
    return at < count // 8 or at >= 7 * count // 8 or (at - count // 8) % 3 == 2


def _fitting(row: int, wanted: Kind) -> Kind:
    """Return the wanted type, or the nearest whose blocks a row divides into."""
    for kind in (wanted, _FALLBACK.get(wanted, wanted)):
        if row % GGML_QUANT_SIZES[kind][0] == 0:
            return kind
    return Kind.F16
