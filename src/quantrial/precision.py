"""How many bits a weight has, read off the name of its type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quantrial.agreement import fixed

# The number of bits in the name of a type: Q4_K_M, IQ3_XS, BF16, FP8, INT8, 4-bit; not 3.1 or 8B.
_BITS = re.compile(
    r"(?<![a-z])(?:iq|tq|q|bf|fp|f|mxfp|nvfp|nf|int|w)_?(?P<a>\d+)|(?P<b>\d+)[ _-]?bit"
)


def fallen_back(kind: str | None, stored_as: Mapping[str, float]) -> str | None:
    """Say what most weights of a file are stored as, where that has other bits than its type.

    llama.cpp stores tensors whose rows do not divide by a type's block (256 weights for K-quants)
    in another type: a file that says Q4_K_M can be one of Q5_0 for the most part.

    Args:
        kind: the type that the file says it is, or that it was asked to be.
        stored_as: the share of the weights in each type of tensor.
    """
    bits, most = bits_of(kind), max(stored_as, key=lambda one: stored_as[one], default=None)
    if bits is None or most is None or bits_of(most) in (bits, None):
        return None
    return f"{fixed(100 * stored_as[most], 0)} % {most}"


FULL = 16  # bits a weight, from which a type keeps what was trained


def is_quantized(kind: str | None) -> bool:
    """Whether a type has fewer bits than models are published in; not where its name says none."""
    bits = bits_of(kind)
    return bits is not None and bits < FULL


def quantized_before(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what an arm's record says of its weights before they were stored in its type.

    None where nothing shows that they were quantized. Records of older runs tell the type of the
    file that an arm was made of.
    """
    told: Mapping[str, Any] | None = record.get("quantized_before")
    if told is None and is_quantized(source := record.get("source_quantization")):
        return {"known_by": "record", "type": source}
    return told


def type_in_words(kind: str | None, before: Mapping[str, Any] | None) -> str:
    """Name the type of an arm's weights, and that they were quantized before: `F16 from Q4_1`."""
    shown = kind or "unknown"
    return f"{shown} from {type_before(before)}" if before else shown


def type_before(before: Mapping[str, Any]) -> str:
    """Name what weights were before: `Q4_1`, or `4-bit values`."""
    return str(before.get("type") or f"{bits_of_levels(before['levels'])}-bit values")


def bits_of_levels(levels: int) -> int:
    """Count the bits that tell so many levels apart."""
    return (levels - 1).bit_length()


def bits_of(name: str | None) -> float | None:
    """Read the bits a weight from the name of a type or of an arm; None where it says nothing."""
    found = _BITS.search((name or "").lower())
    return float(found["a"] or found["b"]) if found else None
