"""What the values and names in a model file tell: what it was made of, and which model it is.

Values of a quantized row fall on few levels; a file made of one shows them still. The same in every
precision of one model are metadata under `<architecture>.` (RoPE settings, heads, widths), the
names and shapes of tensors, and the values of weights that no quantization touches: norms, and
factors of RoPE.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from gguf.constants import GGMLQuantizationType

from quantrial.engines.artifact import QuantizedBefore, Structure
from quantrial.engines.cache import file_sha256, replace_atomically
from quantrial.engines.gguf_file import Header, read_header, weights_of
from quantrial.paths import read_bytes
from quantrial.precision import bits_of, bits_of_levels, is_quantized, type_before

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.engines.gguf_file import Tensor

# Types that keep the levels of what was quantized before, with how far from a value they store it,
# relative to the largest one near: half a unit in the last place; of Q8_0 half a step of its block.
_ERRORS = {
    GGMLQuantizationType.F32: 2.0**-24,
    GGMLQuantizationType.F16: 2.0**-11,
    GGMLQuantizationType.BF16: 2.0**-8,
    GGMLQuantizationType.Q8_0: 1 / 254,
}
_TENSORS, _PLACES, _WEIGHTS = 8, 4, 1024  # looked at: of a file, of a tensor, at a place
_BLOCK = 32
_TOLERANCE = 0.15  # of a step; by chance a value is that near to a level in 3 of 10
_SURE = 0.9  # of the blocks have to be on levels
_FEWEST = 4  # blocks that tell something
# what is looked for, in turn: steps between the levels at most, and weights of a block
_LATTICES = ((15, _BLOCK), (31, _BLOCK), (63, _BLOCK // 2))
_FEW = 16  # values of a block that are few, equally spaced or not (as IQ4_NL's and NF4's)
_Q8_STEPS, _Q8_NEAR = 127, 32  # of Q8_0, whose largest weight is 127 steps; those looked at


def levels_of(path: Path, header: Header) -> QuantizedBefore | None:
    """Say on how many levels most tensors of a file lie; None where they do not, or none tells.

    Args:
        path: the file.
        header: what stands before its weights.
    """
    stored = [tensor for tensor in header.tensors if tensor.type in _ERRORS and _in_blocks(tensor)]
    if 2 * sum(tensor.elements for tensor in stored) < header.parameters:
        return None  # that most weights are quantized is seen by their type
    data = np.memmap(path, mode="r")
    chosen = np.linspace(0, len(stored) - 1, min(_TENSORS, len(stored))).round().astype(int)
    looked_at = [(stored[i].type, _blocks(data, stored[i])) for i in chosen]
    telling = [(kind, blocks) for kind, blocks in looked_at if _tell(blocks).sum() >= _FEWEST]
    found = [one for kind, blocks in telling if (one := _levels(blocks, kind)) is not None]
    if 2 * len(found) <= len(telling):
        return None
    return Counter(found).most_common(1)[0][0]


def _in_blocks(tensor: Tensor) -> bool:
    return len(tensor.shape) >= 2 and tensor.shape[0] % _BLOCK == 0 and tensor.elements > 0


def _blocks(data: NDArray[np.uint8], tensor: Tensor) -> NDArray[np.float64]:
    """Read blocks of weights from a few places of a tensor; those of whole numbers only."""
    with np.errstate(invalid="ignore", over="ignore"):  # what is no number is left out below
        values = np.concatenate(list(_places(data, tensor)))
        blocks = values.reshape(-1, _BLOCK).astype(np.float64)
    return blocks[np.isfinite(blocks).all(axis=1)]


def _places(data: NDArray[np.uint8], tensor: Tensor) -> Iterator[NDArray[np.float32]]:
    count = min(_WEIGHTS, tensor.elements)
    last = (tensor.elements - count) // _BLOCK
    each = tensor.size // (tensor.elements // _BLOCK)  # bytes of a block's weights
    for first in sorted({last * place // (_PLACES - 1) for place in range(_PLACES)}):
        start = tensor.start + first * each
        raw = np.array(data[start : start + count // _BLOCK * each])
        yield weights_of(raw.reshape(1, -1), tensor.type).reshape(-1)


def _tell(blocks: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which blocks tell anything: not those of zeros, nor of three values or fewer."""
    several = np.count_nonzero(np.diff(np.sort(blocks, axis=1), axis=1), axis=1) >= 3
    filled = 2 * np.count_nonzero(blocks, axis=1) >= blocks.shape[1]
    told: NDArray[np.bool_] = several & filled
    return told


def _levels(blocks: NDArray[np.float64], kind: GGMLQuantizationType) -> QuantizedBefore | None:
    """Say on how many levels the blocks of a tensor lie."""
    for steps, width in _LATTICES:
        if _on_lattice(blocks.reshape(-1, width), _ERRORS[kind], steps):
            return QuantizedBefore("values", levels=steps + 1, block=width)
    if _few_values(blocks):
        return QuantizedBefore("values", levels=_FEW, block=_BLOCK, even=False)
    if kind is not GGMLQuantizationType.Q8_0 and _as_of_q8_0(blocks):
        return QuantizedBefore("values", levels=2 * _Q8_STEPS + 1, block=_BLOCK)
    return None


def _on_lattice(blocks: NDArray[np.float64], error: float, steps: int) -> bool:
    """Whether each block lies on equally spaced levels, `steps` apart at most from end to end."""
    blocks = blocks[_tell(blocks)]
    if len(blocks) < _FEWEST:
        return False
    low = blocks.min(axis=1, keepdims=True)
    spread = blocks.max(axis=1, keepdims=True) - low
    places = (blocks - low) / spread
    largest = np.abs(blocks).max(axis=1) / spread[:, 0]
    fits = np.zeros(len(blocks), dtype=bool)
    for count in range(3, steps + 1):
        # a value and the end it is measured from may each be stored that far off its level
        blurred = 2 * error * count * largest
        off = np.abs(places * count - np.round(places * count)).max(axis=1)
        fits |= (off <= np.clip(1.5 * blurred, 0.02, _TOLERANCE)) & (blurred < _TOLERANCE)
    return bool(fits.mean() >= _SURE)


def _few_values(blocks: NDArray[np.float64]) -> bool:
    """Whether hardly a block has more than 16 values: levels that need not be equally spaced."""
    full = blocks[4 * np.count_nonzero(blocks, axis=1) >= 3 * blocks.shape[1]]
    values = 1 + np.count_nonzero(np.diff(np.sort(full, axis=1), axis=1), axis=1)
    return len(full) >= _FEWEST and bool(((values > 3) & (values <= _FEW)).mean() >= _SURE)


def _as_of_q8_0(blocks: NDArray[np.float64]) -> bool:
    """Whether weights are whole steps, of which the largest one of their block is 127."""
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    places = blocks[largest[:, 0] > 0] / largest[largest[:, 0] > 0] * _Q8_STEPS
    near = places[(np.abs(places) <= _Q8_NEAR) & (places != 0)]
    return near.size >= _FEWEST * _BLOCK // 4 and bool(
        (np.abs(near - np.round(near)) <= _TOLERANCE).mean() >= _SURE
    )


SCHEMA = "quantrial.made/1"


@dataclass(frozen=True, slots=True)
class Made:
    """A file made from another one: its type, what made it, and the hashes of both.

    `quantized_before` is of the source's weights, by the source's own record or by its values.
    """

    path: str  # the file's own name, beside this record
    sha256: str
    quantization: str
    by: str
    source: str  # the file's name
    source_sha256: str
    source_quantization: str
    quantized_before: QuantizedBefore | None = None


def made_from(path: Path) -> Made | None:
    """Read the record beside a file; None where there is none, or the file is another one now."""
    try:
        said = orjson.loads(read_bytes(record_path(path)))
        if said.pop("schema") != SCHEMA:
            return None
        if (before := said.pop("quantized_before", None)) is not None:
            said["quantized_before"] = QuantizedBefore(**before)
        made = Made(**said)
        return made if made.sha256 == file_sha256(path) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_record(path: Path, made: Made) -> None:
    """Write beside a file what it was made of."""
    replace_atomically(record_path(path), orjson.dumps({"schema": SCHEMA, **asdict(made)}))


def record_path(path: Path) -> Path:
    """Say where the record of a file stands."""
    return path.with_name(f"{path.name}.json")


def origin_of(path: Path, header: Header, made: Made | None) -> QuantizedBefore | None:
    """Say whether the weights of a file were quantized before they were stored in its type.

    A record says so for every type; values only of what lies on few levels, see `levels`. None
    means that nothing shows it, not that it was not so.

    Args:
        path: the file.
        header: what stands before its weights.
        made: the record beside it, if there is one.
    """
    if made is not None and (known := after(made.source_quantization, made.quantized_before)):
        return known
    return levels_of(path, header)


def after(source: str | None, before: QuantizedBefore | None) -> QuantizedBefore | None:
    """Say what is true of a file that is made of one of the type `source`, of which `before` is.

    Of several quantizations one after the other, the one in the fewest bits.
    """
    if not is_quantized(source):
        return before
    if before is not None and (_bits(before) or 0.0) <= (bits_of(source) or 0.0):
        return before
    return QuantizedBefore("record", type=source)


def before_in_words(before: QuantizedBefore | None) -> str | None:
    """Name what weights were before: `Q4_1`, or `4-bit values`."""
    return None if before is None else type_before(before.type, before.levels)


def _bits(before: QuantizedBefore) -> float | None:
    return bits_of_levels(before.levels) if before.levels else bits_of(before.type)


def made_of(source: Path, name: str, *, sha256: str, kind: str, by: str) -> Made:
    """Make the record of a file `name` of type `kind` that was made of `source`."""
    header = read_header(source)
    return Made(
        path=name,
        sha256=sha256,
        quantization=kind,
        by=by,
        source=source.name,
        source_sha256=file_sha256(source),
        source_quantization=header.quantization,
        quantized_before=origin_of(source, header, made_from(source)),
    )


OUTPUT, EMBEDDING = "output.weight", "token_embd.weight"
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_ROPE = re.compile(r"rope_(?:freqs|factors_\w+)\.weight")
_NORM = re.compile(r"(?:.*\.)?\w*norm\.weight")
# Tensors that no text passes through: of pictures and sounds, of predicting more than one token,
# and factors of RoPE that llama.cpp computes itself. Some quantizers leave them out.
_UNUSED = re.compile(r"(?:v|mm|a)\..*|.*\.nextn\..*|.*\.attn_rot_embd\..*")
_LONGEST, _LONGEST_TEXT = 64, 200  # values of a list, and characters of a text, that are kept
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
    try:
        return weights_of(raw, tensor.type)
    except NotImplementedError:
        return None


def _sha256(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
