"""What of a model file has to be the same in every precision of one model.

Metadata under `<architecture>.` (RoPE settings, heads, widths), the names and shapes of tensors,
and the values of weights that no quantization touches: norms, and factors of RoPE.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize

from quantrial.engines.artifact import Structure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.engines.gguf_file import Header, Tensor

OUTPUT, EMBEDDING = "output.weight", "token_embd.weight"
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_ROPE = re.compile(r"rope_(?:freqs|factors_\w+)\.weight")
_NORM = re.compile(r"(?:.*\.)?\w*norm\.weight")
# Tensors that no text passes through: of pictures and sounds, of predicting more than one token,
# and factors of RoPE that llama.cpp computes itself. Some quantizers leave them out.
_UNUSED = re.compile(r"(?:v|mm|a)\..*|.*\.nextn\..*|.*\.attn_rot_embd\..*")
_LONGEST, _LONGEST_TEXT = 64, 200  # values of a list, and characters of a text, that are kept
_FLOATS = {
    GGMLQuantizationType.F32: np.float32,
    GGMLQuantizationType.F16: np.float16,
}
_ROWS = 8  # of output and embedding that are compared
_NORMS = 8  # that are read
_ALIKE = 0.8  # cosine: of two quantizations of one row it is above .9, of two rows about 0


def structure_of(path: Path, header: Header) -> Structure:
    """Read what a model file has in common with every precision of its model."""
    metadata = architecture_metadata(
        (key, field.value if field.value is not None else field.elements)
        for key, field in header.fields.items()
        if key.startswith(f"{header.architecture}.")
    )
    data = np.memmap(path, mode="r")
    named = {tensor.name: tensor for tensor in header.tensors}
    tied = _tied(data, named)
    used = [
        named[name]
        for name in sorted(named)
        if not _UNUSED.fullmatch(name) and not (tied and name == OUTPUT)
    ]
    norms = [one for one in used if len(one.shape) == 1 and _NORM.fullmatch(one.name)]
    return Structure(
        metadata=metadata,
        metadata_sha256=_sha256(metadata),
        tensors=dict(Counter(_NUMBER.sub("#", tensor.name) for tensor in used)),
        tensors_sha256=_sha256([(tensor.name, _shape(tensor)) for tensor in used]),
        weights=sum(tensor.elements for tensor in used),
        tied_output=tied,
        rope_sha256=_values(data, (one for one in used if _ROPE.fullmatch(one.name))),
        norms_sha256=_values(data, norms[:: max(1, len(norms) // _NORMS)]),
    )


def structure_told(facts: Mapping[str, Any]) -> Structure | None:
    """Make what a server tells of the metadata of a model: no tensor, no value."""
    name = facts.get("general.architecture")
    metadata = architecture_metadata(
        (key, value) for key, value in facts.items() if key.startswith(f"{name}.")
    )
    return Structure(metadata=metadata, metadata_sha256=_sha256(metadata)) if metadata else None


def architecture_metadata(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Bring metadata to the form it is compared in: by key without the architecture's name."""
    told = ((key.partition(".")[2], _plain(value)) for key, value in fields)
    return {key: value for key, value in sorted(told) if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else f"sha256 {_sha256(value)[:16]}"
    if not isinstance(value, Sequence):
        return value
    values = [_plain(one) for one in value]
    if values and all(one == values[0] for one in values):
        return values[0]
    if len(values) <= _LONGEST:
        return values
    return f"sha256 {_sha256(values)[:16]} of {len(values)} values"


def _shape(tensor: Tensor) -> list[int]:
    """Return the dimensions of a tensor without those of 1 at its end."""
    shape = list(tensor.shape)
    while len(shape) > 1 and shape[-1] == 1:
        shape.pop()
    return shape


def _values(data: NDArray[np.uint8], tensors: Iterable[Tensor]) -> str | None:
    """Hash the values of vectors, as F16 has them; None where there is none to read."""
    digest, read = hashlib.sha256(), False
    for tensor in tensors:
        rows = _rows(data, tensor, [0])
        if rows is None:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            digest.update(tensor.name.encode() + rows.astype(np.float16).tobytes())
        read = True
    return digest.hexdigest() if read else None


def _tied(data: NDArray[np.uint8], tensors: Mapping[str, Tensor]) -> bool | None:
    """Whether the output matrix is the embedding again: some converters write it twice."""
    output, embedding = tensors.get(OUTPUT), tensors.get(EMBEDDING)
    if output is None:
        return None
    if embedding is None or output.shape != embedding.shape or len(output.shape) != 2:
        return False
    if not output.elements:
        return False
    chosen = [round(row) for row in np.linspace(0, output.shape[1] - 1, _ROWS)]
    ours, theirs = _rows(data, output, chosen), _rows(data, embedding, chosen)
    if ours is None or theirs is None:
        return False
    return float(np.median(list(_cosines(ours, theirs)))) >= _ALIKE


def _cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> Iterator[float]:
    for one, other in zip(ours.astype(float), theirs.astype(float), strict=True):
        size = float(np.linalg.norm(one) * np.linalg.norm(other))
        yield float(one @ other) / size if size > 0 else 1.0


def _rows(
    data: NDArray[np.uint8], tensor: Tensor, rows: Sequence[int]
) -> NDArray[np.float32] | None:
    """Read some rows of a tensor as numbers; None where its type cannot be read."""
    width = tensor.shape[0] if tensor.shape else 1
    each = tensor.size // max(1, tensor.elements // max(1, width))
    if not each:
        return None
    raw = np.stack(
        [data[start : start + each] for row in rows for start in [tensor.start + row * each]]
    )
    if (plain := _FLOATS.get(tensor.type)) is not None:
        return raw.view(plain).astype(np.float32)
    try:
        with np.errstate(invalid="ignore", over="ignore"):  # a scale need not be a number
            return np.asarray(dequantize(raw, tensor.type), dtype=np.float32)
    except NotImplementedError:
        return None


def _sha256(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
