"""How every plot looks: colours, type, and the way from Vega-Lite to SVG without a browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quantrial.agreement import DRAWING_DIGITS, all_rounded

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


def to_svg(panels: Sequence[Any]) -> str:
    """Put panels under each other and draw them."""
    import altair as alt
    import vl_convert

    chart = alt.vconcat(*panels, spacing=28).configure(
        background=PAPER,
        # Liberation Sans comes with vl-convert: the same text everywhere, with no font installed
        font="Liberation Sans, Arial, Helvetica, sans-serif",
        padding=8,
        # only marks that were given words of their own carry them
        mark=alt.MarkConfig(aria=False),
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            aria=False,
            domainColor=GRID,
            gridColor=GRID,
            labelColor=INK,
            labelFontSize=12,
            tickColor=GRID,
            titleColor=INK,
            titleFontSize=12,
            titleFontWeight="normal",
        ),
        title=alt.TitleConfig(
            anchor="start",
            color=INK,
            fontSize=14,
            frame="bounds",
            offset=10,
            subtitleColor=MUTED,
            subtitleFontSize=12,
        ),
    )
    # the last bits of a number, which another processor has otherwise, move nothing by a pixel
    spec = _apart(all_rounded(chart.to_dict(), DRAWING_DIGITS))
    svg: str = vl_convert.vegalite_to_svg(spec)
    return svg


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


def empty(title: Any, words: str) -> Any:
    """Make a panel that says why there is nothing to draw."""
    import altair as alt

    note = alt.Chart(alt.InlineData(values=[{"words": words}])).mark_text(
        align="left", color=MUTED, fontSize=12
    )
    return note.encode(x=alt.value(0), y=alt.value(10), text="words:N").properties(
        width=WIDTH, height=20, title=title
    )


def text_width(texts: Sequence[str], *, size: int = 12, bold: bool = False) -> int:
    """Estimate how wide the widest of some texts is drawn, in pixels; a little too much."""
    return round(max((len(text) for text in texts), default=0) * size * (0.62 if bold else 0.56))


def top_axis(names: Sequence[str], side: int) -> Any:
    """Make the axis over the columns of a matrix; names wider than a column stand slanted."""
    import altair as alt

    slanted = text_width(names) > side - 4
    return alt.Axis(
        orient="top",
        domain=False,
        ticks=False,
        labelAngle=-35 if slanted else 0,
        labelAlign="left" if slanted else "center",
        labelBaseline="bottom",
        labelLimit=190,
        labelPadding=2,
    )
