"""How much memory the keys and values of a context take, from what a model says of its shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

_MOST = 2**63  # bytes; beyond it is no memory, nor a number that JSON keeps
_F16 = 2.0  # bytes; llama.cpp's default for keys and values


def kv_cache_bytes(
    value: Callable[[str], Any], cells: int, *, bytes_each: float = _F16
) -> int | None:
    """Compute the size of the KV cache; None where the model does not say its shape.

    A layer holds for every token one key and one value a KV head. Layers that look back over a
    window only, or keep a state instead, need less: the figure is then an upper bound.

    Args:
        value: looks up a key of the model's GGUF metadata; None where there is none.
        cells: how many tokens the context holds, over all slots.
        bytes_each: bytes of one number in the cache.
    """
    name = value("general.architecture")
    layers = value(f"{name}.block_count")
    heads = value(f"{name}.attention.head_count")
    heads_kv = value(f"{name}.attention.head_count_kv")
    width = value(f"{name}.embedding_length")
    # a list of heads by layer in some models; the widest counts for all
    heads, heads_kv = _widest(heads), _widest(heads_kv if heads_kv is not None else heads)
    if not (_is_count(layers) and heads and heads_kv):
        return None
    each = width // heads if _is_count(width) else None
    keys = value(f"{name}.attention.key_length") or each
    values = value(f"{name}.attention.value_length") or each
    if not (_is_count(keys) and _is_count(values)):
        return None
    size = int(layers * heads_kv * (keys + values) * cells * bytes_each)
    return size if size < _MOST else None


def bytes_each(keys: str | None, values: str | None) -> float:
    """Average the bytes of a number of both sides, from the types they are stored in (`q8_0`)."""
    sizes = [GGML_QUANT_SIZES[GGMLQuantizationType[(t or "f16").upper()]] for t in (keys, values)]
    return sum(size / count for count, size in sizes) / 2


def _widest(heads: Any) -> int | None:
    if isinstance(heads, Sequence) and not isinstance(heads, str):
        heads = max(filter(_is_count, heads), default=None)
    return heads if _is_count(heads) else None


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 < value < 2**32  # as wide as llama.cpp has them
