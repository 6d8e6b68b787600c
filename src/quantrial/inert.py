"""Outside text made inert: the one place it passes, on its way to paper or to a terminal."""

from __future__ import annotations

import re
import unicodedata


def clean(text: str) -> str:
    r"""Make outside text inert: one line, and nothing in it that acts instead of being seen.

    Runs of space become one space. Control and formatting characters (escape sequences, overrides
    of the writing direction, lone surrogates) are written out, as `\u202e`.
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text  # nearly every text is
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


def in_json(text: str) -> str:
    r"""Make JSON text inert where it is shown: what acts in its strings becomes `\uXXXX`.

    It stays the same JSON: such characters can stand in strings only, and both forms are one.
    """
    return "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else _units(c) for c in text)


def _units(character: str) -> str:
    code = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{code[at]:02x}{code[at + 1]:02x}" for at in range(0, len(code), 2))
