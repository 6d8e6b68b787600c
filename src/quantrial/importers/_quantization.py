"""What the name of an arm says of its quantization, and which of two is the larger."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"(?<![a-z0-9])(?:(?P<float>fp32|f32|bf16|fp16|f16)"
    r"|(?P<family>iq|q|int|fp)(?P<bits>[1-8])"
    r"(?:_(?P<suffix>k(?:_(?:xl|l|m|s|xs))?|[01]|nl|xxs|xs|s|m|l))?)(?![a-z0-9])"
)
_FLOATS = {"fp32": "F32", "f32": "F32", "bf16": "BF16", "fp16": "F16", "f16": "F16"}
_FLOAT_BITS = {"F32": 32, "BF16": 16, "F16": 16}
_FAMILIES = ("fp", "q", "int", "iq")
# From large to small within the same number of bits: llama.cpp's bits per weight.
_SUFFIXES = (
    "1",
    "k_xl",
    "k_l",
    "l",
    "k_m",
    "k",
    "m",
    "nl",
    "k_s",
    "s",
    "k_xs",
    "xs",
    "xxs",
    "0",
    "",
)

Rank = tuple[int, int, int, int, str]


def quantization_of(arm: str) -> str:
    """Name an arm's quantization as llama.cpp writes it: F16, Q8_0, Q4_K_M.

    The first part of the name that is a quantization counts ("llama-q4_K_M" is Q4_K_M); a name
    without one is taken whole, upper-cased.
    """
    found = _TOKEN.search(_plain(arm))
    if found is None:
        return arm.upper()
    return _FLOATS.get(found[0], found[0].upper())


def size_rank(arm: str) -> Rank:
    """Return a key that sorts arms from the largest to the smallest, unknown names last by name."""
    found = _TOKEN.search(_plain(arm))
    if found is None:
        return (1, 0, 0, 0, arm)
    if found["float"]:
        return (0, -_FLOAT_BITS[_FLOATS[found[0]]], 0, 0, arm)
    family = _FAMILIES.index(found["family"])
    return (0, -int(found["bits"]), family, _SUFFIXES.index(found["suffix"] or ""), arm)


def _plain(arm: str) -> str:
    return arm.lower().replace("-", "_")
