"""PNGs beside their drawings: each names the SVG it was made from, and SHA256SUMS holds both.

The pixels of a PNG depend on the fonts of the machine. Which fonts drew it is written down as the
hash of a picture of the letters that occur, so that another machine knows whether it can draw the
same.
"""

from __future__ import annotations

import hashlib
import html
import re
import zlib
from collections.abc import Iterable, Mapping

from quantrial.reporting import charts

PLOTS = "plots"
SUMS = f"{PLOTS}/SHA256SUMS"
_HEAD = 33  # bytes of a PNG's signature and its first chunk, the size of the picture
_NAMED = b"Source\0SVG of SHA-256 "
_FONTS = re.compile(r"^# each PNG names its SVG; fonts (?P<fonts>[0-9a-f]{64})$", re.MULTILINE)
_FAMILY = "Liberation Sans, Arial, Helvetica, sans-serif"
_A_LINE = 40  # letters


def draw_png(svg: str) -> bytes:
    """Turn a plot into a PNG that names the SVG it was made from, in a chunk of text."""
    image = charts.to_png(svg)
    body = b"tEXt" + _NAMED + sha256(svg.encode()).encode()
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return image[:_HEAD] + chunk + image[_HEAD:]


def named_svg(image: bytes) -> str | None:
    """Read the hash of the SVG that a PNG names; None where it names none."""
    at = _HEAD + 8 + len(_NAMED)
    if image[_HEAD + 4 : at] != b"tEXt" + _NAMED:
        return None
    return image[at : at + 64].decode("ascii", "replace")


def sums(images: Mapping[str, str | None], fonts: str) -> str:
    """Write SHA256SUMS: a form that `sha256sum --check` reads.

    Args:
        images: the hash of each file, by its name; one without a hash has no line.
        fonts: what `fonts_here` gave where the PNGs were drawn.
    """
    lines = [f"# each PNG names its SVG; fonts {fonts}"]
    lines += [f"{digest}  {name}" for name, digest in images.items() if digest]
    return "\n".join(lines) + "\n"


def read_sums(text: str) -> dict[str, str]:
    """Read the hashes out of SHA256SUMS, by name; lines of another form are passed over."""
    found = re.findall(r"^([0-9a-f]{64})  (.+)$", text, re.MULTILINE)
    return {name: digest for digest, name in found}


def recorded_fonts(text: str) -> str | None:
    """Read which fonts drew the PNGs, out of SHA256SUMS; None where an earlier version wrote it."""
    found = _FONTS.search(text)
    return found["fonts"] if found else None


def fonts_here(drawings: Iterable[str]) -> str:
    """Hash a picture of the letters in some drawings: the same where the same fonts draw them."""
    texts = (html.unescape(re.sub(r"<[^>]*>", "", svg)) for svg in drawings)
    letters = sorted({letter for text in texts for letter in text if letter.isprintable()})
    lines = ["".join(letters[at : at + _A_LINE]) for at in range(0, len(letters), _A_LINE)]
    rows = [
        f'<text x="4" y="{20 * number + 20}" font-weight="{weight}">{html.escape(line)}</text>'
        for number, (weight, line) in enumerate(
            (weight, line) for weight in ("normal", "bold") for line in lines
        )
    ]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{20 * len(rows) + 20}" '
        f'font-family="{_FAMILY}" font-size="12">{"".join(rows)}</svg>'
    )
    return sha256(charts.to_png(svg))


def sha256(data: bytes) -> str:
    """Hash the bytes of a file."""
    return hashlib.sha256(data).hexdigest()
