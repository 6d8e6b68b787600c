"""How many bits a weight has, read off the name of its type."""

from __future__ import annotations

import re

# The number of bits in the name of a type: Q4_K_M, IQ3_XS, BF16, FP8, INT8, 4-bit; not 3.1 or 8B.
_BITS = re.compile(
    r"(?<![a-z])(?:iq|tq|q|bf|fp|f|mxfp|nvfp|nf|int|w)_?(?P<a>\d+)|(?P<b>\d+)[ _-]?bit"
)


def bits_of(name: str | None) -> float | None:
    """Read the bits a weight from the name of a type or of an arm; None where it says nothing."""
    found = _BITS.search((name or "").lower())
    return float(found["a"] or found["b"]) if found else None
