"""What is known of an arm's weights, and how it is named; bits are read off the name of a type."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quantrial.agreement import fixed

if TYPE_CHECKING:
    from quantrial.documents import ArmSummary
    from quantrial.records import ArmRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What an arm runs on; None where the engine cannot tell. `context`: prompt and answer.

    `stored_as` is the share of the weights in each type of tensor, the largest first: a file of one
    type holds tensors of several. `weights_stated` names what of the weights the study states and
    the engine does not tell: `type`, `bytes`. `kv_bytes` is what the keys and values of a full
    context take in memory, over all slots. `one_at_a_time` says that the engine holds one such
    model in memory: asking another arm of it unloads this one (None: its server is to be asked once
    all were loaded); `resident` that the model is in memory already, or on another machine, and
    takes none of what is free here. `details` is what else the engine reports of its model; no
    path, no secret. `identity` is what tells its server from another one of the same name.
    `template_default` names the template that stands in for one that the model file does not have.
    `template_date` says by which names (`by`) the template asks for the day's date and which day it
    is told (`held`; None: each day another); empty where it asks for none, None where the template
    is not known. `quantized_before`, `structure` and `sampling` have types of their own in
    `quantrial.engines.artifact`.
    """

    model: str | None = None
    sha256: str | None = None
    bytes_on_disk: int | None = None
    quantization: str | None = None
    parameters: int | None = None
    architecture: str | None = None
    context: int | None = None
    tokenizer_sha256: str | None = None
    template_sha256: str | None = None
    template_default: str | None = None
    template_date: Mapping[str, Any] | None = None
    derived_from: str | None = None
    source_sha256: str | None = None
    source_quantization: str | None = None
    quantized_before: Any = None
    structure: Any = None
    stored_as: Mapping[str, float] = field(default_factory=dict)
    weights_stated: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    kv_bytes: int | None = None
    one_at_a_time: bool | None = False
    resident: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    sampling: Any = None


def without_type(stem: str, quantization: str) -> str:
    """Take the type off a file's name: of `model.F16` and `model-f16` remains `model`."""
    for joint in (".", "-", "_") if quantization else ():
        if stem.lower().endswith(f"{joint}{quantization.lower()}"):
            return stem[: -len(quantization) - 1]
    return stem


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


def quantized_before(record: ArmRecord) -> Mapping[str, Any] | None:
    """Return what an arm's record says of its weights before they were stored in its type.

    None where nothing shows that they were quantized. Records of older runs tell the type of the
    file that an arm was made of.
    """
    if record.quantized_before is None and is_quantized(record.source_quantization):
        return {"known_by": "record", "type": record.source_quantization}
    return record.quantized_before


def type_before(kind: str | None, levels: int | None) -> str:
    """Name what weights were before: `Q4_1`, or `4-bit values`."""
    return str(kind or f"{bits_of_levels(levels or 0)}-bit values")


def weights_in_words(arm: ArmRecord | ArmSummary) -> str:
    """Name the type of an arm's weights, what they were before, who says so: `F16 from Q4_1`."""
    shown = arm.quantization or "unknown"
    if arm.type_before:
        shown = f"{shown} from {arm.type_before}"
    if arm.stored_mostly:
        share, kind = arm.stored_mostly.rsplit(" ", 1)
        shown = f"{shown}, of which {share} is {kind}"
    return f"{shown} (stated)" if "type" in arm.weights_stated else shown


def weights_type(arm: ArmRecord | ArmSummary) -> str:
    """Name the type of an arm's weights as it is recorded, marked where the study states it."""
    kind = arm.quantization or "unknown"
    return f"{kind} (stated)" if "type" in arm.weights_stated else kind


def stated_size(arm: ArmRecord | ArmSummary, size: str) -> str:
    """Mark the size of an arm's weights, as written, where the study states it."""
    return f"{size} (stated)" if "bytes" in arm.weights_stated else size


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
