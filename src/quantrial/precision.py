"""How many bits a weight has, read off the name of its type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quantrial.agreement import fixed

ArmRecord = Mapping[str, Any]
"""What a manifest holds of an arm: its model file, its engine, what was asked of it."""

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


def stored_mostly(record: Mapping[str, Any]) -> str | None:
    """Say what most weights of an arm's record are stored as, where that is not its type."""
    known: str | None = record.get("stored_mostly")
    return known or fallen_back(record.get("quantization"), record.get("stored_as") or {})


def type_in_words(kind: str | None, before: Mapping[str, Any] | None) -> str:
    """Name the type of an arm's weights, and that they were quantized before: `F16 from Q4_1`."""
    shown = kind or "unknown"
    return f"{shown} from {type_before(before)}" if before else shown


def stated_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what of an arm's weights the study states and no engine told: `type`, `bytes`."""
    return tuple(record.get("weights_stated") or ())


def weights_in_words(record: Mapping[str, Any]) -> str:
    """Name the type of the weights of an arm's record, what they were before, who says so."""
    shown = type_in_words(record.get("quantization"), quantized_before(record))
    if most := stored_mostly(record):
        share, kind = most.rsplit(" ", 1)
        shown = f"{shown}, of which {share} is {kind}"
    return f"{shown} (stated)" if "type" in stated_of(record) else shown


def weights_type(record: Mapping[str, Any]) -> str:
    """Name the type of an arm's weights as it is recorded, marked where the study states it."""
    kind = record.get("quantization") or "unknown"
    return f"{kind} (stated)" if "type" in stated_of(record) else kind


def stated_size(record: Mapping[str, Any], size: str) -> str:
    """Mark the size of an arm's weights, as written, where the study states it."""
    return f"{size} (stated)" if "bytes" in stated_of(record) else size


def type_before(before: Mapping[str, Any]) -> str:
    """Name what weights were before: `Q4_1`, or `4-bit values`."""
    return str(before.get("type") or f"{bits_of_levels(before['levels'])}-bit values")


# A type as llama.cpp's files have it: only of these is it known that two names are two types.
_OF_FILES = re.compile(r"(?:I?Q|TQ)\d+(?:_\w+)?|B?F\d+|MXFP\d+")
_LONG_FORMS = {"MEDIUM": "M", "SMALL": "S", "LARGE": "L", "MOSTLY": "", "ALL": ""}


def types_disagree(one: str, other: str) -> bool:
    """Whether two names are surely those of two types; a vaguer name contradicts nothing.

    `int4` and `Q4_K_M` may be one, and so are `fp16` and `F16`, `Q4_K - Medium` and `Q4_K_M`.
    """
    bits = bits_of(one), bits_of(other)
    if None in bits:
        return False
    if bits[0] != bits[1]:
        return True
    ours, theirs = _plain_type(one), _plain_type(other)
    if not (_OF_FILES.fullmatch(ours) and _OF_FILES.fullmatch(theirs)):
        return False
    vaguer, other = sorted((ours, theirs), key=len)
    return other != vaguer and not other.startswith(f"{vaguer}_")


def _plain_type(name: str) -> str:
    words = re.split(r"[^A-Z0-9]+", name.upper())
    return re.sub("^FP", "F", "_".join(filter(None, (_LONG_FORMS.get(w, w) for w in words))))


def bits_of_levels(levels: int) -> int:
    """Count the bits that tell so many levels apart."""
    return (levels - 1).bit_length()


def bits_of(name: str | None) -> float | None:
    """Read the bits a weight from the name of a type or of an arm; None where it says nothing."""
    found = _BITS.search((name or "").lower())
    return float(found["a"] or found["b"]) if found else None
