"""How every plot looks: colours, type, and the way from Vega-Lite to SVG without a browser."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from typing import Any

from quantrial.agreement import DRAWING_DIGITS, all_rounded, fixed
from quantrial.reporting.charts.vega import Spec

INK = "#1f2328"
MUTED = "#59636e"
GRID = "#d9dee3"
PAPER = "#ffffff"
BAND = "#e4eef9"
# Okabe and Ito's colours where they are dark enough on white.
TONES = {
    "equivalent": "#00734f",
    "non_inferior": "#0b6bb3",
    "better": "#4b2e9e",
    "worse": "#c2410c",
    "inconclusive": "#57606a",
}
SHAPES = {
    "equivalent": "circle",
    "non_inferior": "diamond",
    "better": "triangle-up",
    "worse": "triangle-down",
    "inconclusive": "square",
}
# with labels on both sides about as wide as a phone's screen: text is drawn there at its own size
WIDTH = 205
ROW = 44
HEIGHT = 180
# colour and dash of each arm after the reference, where arms are lines
LINES = (
    ("#0b6bb3", [1, 0]),
    ("#c2410c", [6, 2]),
    ("#4b2e9e", [2, 2]),
    ("#00734f", [8, 2, 2, 2]),
)
_INHERITED = frozenset(
    {
        *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toString"),
        *("toLocaleString", "valueOf", "__proto__", "__defineGetter__", "__defineSetter__"),
        *("__lookupGetter__", "__lookupSetter__"),
    }
)


_CONFIG = {
    "background": PAPER,
    # Liberation Sans comes with vl-convert: the same text everywhere, with no font installed
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",
    "padding": 8,
    # only marks that were given words of their own carry them
    "mark": {"aria": False},
    "view": {"stroke": None},
    "axis": {
        "aria": False,
        "domainColor": GRID,
        "gridColor": GRID,
        "labelColor": INK,
        "labelFontSize": 12,
        "tickColor": GRID,
        "titleColor": INK,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "title": {
        "anchor": "start",
        "color": INK,
        "fontSize": 14,
        "frame": "bounds",
        "offset": 10,
        "subtitleColor": MUTED,
        "subtitleFontSize": 12,
    },
}


def to_svg(panels: Sequence[Spec]) -> str:
    """Put panels under each other and draw them."""
    import vl_convert

    chart = {"vconcat": [*panels], "spacing": 28, "config": _CONFIG}
    # the last bits of a number, which another processor has otherwise, move nothing by a pixel
    spec = _apart(all_rounded(chart, DRAWING_DIGITS))
    svg: str = vl_convert.vegalite_to_svg(spec)
    return fit_labels(svg)


def _apart(value: Any) -> Any:
    """Add a space to texts that name what every object of JavaScript has.

    Vega looks texts up in objects, where `constructor` is found though nobody put it there.
    """
    if isinstance(value, dict):
        return {name: _apart(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_apart(one) for one in value]
    return f"{value} " if isinstance(value, str) and value in _INHERITED else value


def to_png(svg: str) -> bytes:
    """Turn a plot into a PNG at twice its size."""
    import vl_convert

    image: bytes = vl_convert.svg_to_png(svg, scale=2)
    return image


# advances of Liberation Sans (and Arial) from the space on, in thousandths of the size
_REGULAR = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 "
    "556 556 556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 "
    "667 556 833 722 778 667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 "
    "556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 "
    "722 500 500 500 334 260 334 584 "
)
_BOLD = (
    "278 333 474 556 556 889 722 238 333 333 389 584 278 333 278 278 556 556 556 556 556 556 "
    "556 556 556 556 333 333 584 584 584 611 975 722 722 722 722 667 611 778 722 278 556 722 "
    "611 833 722 778 667 778 722 667 611 722 667 944 667 667 611 333 278 333 584 556 333 556 "
    "611 556 611 556 333 611 611 278 278 556 278 889 611 611 611 611 389 556 333 611 556 778 "
    "556 556 500 389 280 389 584 "
)
_SIGNS = {"\N{MINUS SIGN}": 584, "\N{MULTIPLICATION SIGN}": 584, "\N{HORIZONTAL ELLIPSIS}": 1000}
_ADVANCES = {
    bold: {chr(32 + i): int(one) for i, one in enumerate(widths.split())} | _SIGNS
    for bold, widths in ((False, _REGULAR), (True, _BOLD))
}
_WIDE = 1000  # of a letter that is not in the table
# a value of an attribute may hold a ">"
_ATTRIBUTES = r"""((?:\s+[\w:.-]+=(?:"[^"]*"|'[^']*'))*\s*)"""
_TEXT = re.compile(rf"<text{_ATTRIBUTES}>(.*?)</text>", re.DOTALL)
_PIECE = re.compile(rf"<tspan{_ATTRIBUTES}>([^<]*)")


def advance(text: str, *, size: float = 12, bold: bool = False) -> float | None:
    """Return how wide a text is drawn in Liberation Sans, in pixels; None of other letters."""
    own = [_ADVANCES[bold].get(letter) for letter in text]
    known = [one for one in own if one is not None]
    return None if len(known) < len(own) else sum(known) * size / 1000


def text_width(texts: Sequence[str], *, size: int = 12, bold: bool = False) -> int:
    """Return how wide the widest of some texts is drawn, in pixels; a little too much."""
    table = _ADVANCES[bold]
    widest = max((sum(table.get(one, _WIDE) for one in text) for text in texts), default=0)
    return math.ceil(widest * size / 1000) + 4


def fit_labels(svg: str) -> str:
    """Give each text of a plot the width that the plot was laid out for, in whatever font.

    Where Liberation Sans, Arial and Helvetica are missing, another font would be wider.
    """

    def fitted(match: re.Match[str]) -> str:
        attributes, inner = match.groups()
        size = re.search(r'font-size="([\d.]+)px"', attributes)
        bold = 'font-weight="bold"' in attributes

        def length(text: str) -> str:
            width = advance(html.unescape(text), size=float(size[1]) if size else 12, bold=bold)
            if not width:
                return ""
            return f' textLength="{fixed(width, 1)}" lengthAdjust="spacingAndGlyphs"'

        if "<tspan" not in inner:
            return f"<text{attributes}{length(inner)}>{inner}</text>"
        pieces = _PIECE.sub(lambda one: f"<tspan{one[1]}{length(one[2])}>{one[2]}", inner)
        return f"<text{attributes}>{pieces}</text>"

    return _TEXT.sub(fitted, svg)


def top_axis(names: Sequence[str], side: int) -> Spec:
    """Make the axis over the columns of a matrix; names wider than a column stand slanted."""
    slanted = text_width(names) > side - 4
    return {
        "orient": "top",
        "domain": False,
        "ticks": False,
        "labelAngle": -35 if slanted else 0,
        "labelAlign": "left" if slanted else "center",
        "labelBaseline": "bottom",
        "labelLimit": 190,
        "labelPadding": 2,
    }
