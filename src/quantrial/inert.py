"""Outside text made inert: the one place it passes, on its way to paper or to a terminal."""

from __future__ import annotations

import re
import unicodedata


def clean(text: str) -> str:
    r"""Make outside text inert: one line, and nothing in it that acts instead of being seen.

    Runs of space become one space. Control and formatting characters (escape sequences, overrides
    of the writing direction, lone surrogates) are written out, as `\u202e`.
    """
    return re.sub(" +", " ", "".join(" " if c.isspace() else _visible(c) for c in text))


def harmless(text: str) -> str:
    """Make a text of several lines inert: line ends, tabs and spaces stay, all else as `clean`."""
    return "".join(c if c in "\n\t" else _visible(c) for c in text)


def _visible(character: str) -> str:
    # Cc control, Cf format (bidi overrides, zero widths), Cs lone surrogate, Co/Cn nothing to see;
    # Zl and Zp would break the line where nobody meant to
    category = unicodedata.category(character)
    if category[0] != "C" and category not in ("Zl", "Zp"):
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
