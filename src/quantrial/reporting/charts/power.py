"""The plot of `quantrial power`: power against the number of items, a panel a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantrial.errors import StudyError
from quantrial.inert import clean
from quantrial.reporting.charts.style import INK, MUTED, TONES, to_png, to_svg
from quantrial.reporting.charts.vega import Spec, field, heading, layer, marks, value
from quantrial.words import margin, percent, plural

if TYPE_CHECKING:
    from quantrial.commands.power import PowerStudy, Scenario

SUFFIXES = (".svg", ".png")
_WIDTH, _HEIGHT = 420, 230
# each question has its colour and its dash, and stands in words beside the plot
_LINES = {
    "difference": ("a difference", TONES["worse"], [6, 3]),
    "non_inferior": ("non-inferiority", TONES["non_inferior"], [1, 0]),
    "equivalent": ("equivalence", TONES["equivalent"], [2, 2]),
}


def check_plot(path: Path) -> None:
    """Refuse a file name that says neither SVG nor PNG, before anything is computed."""
    if path.suffix.lower() not in SUFFIXES:
        raise StudyError(f"'{path}' is neither an .svg nor a .png file", key="plot")


def write_power_chart(found: PowerStudy, path: Path) -> None:
    """Draw the curves into an SVG or PNG file, as its name says.

    Raises:
        StudyError: another kind of file, or one that cannot be written.
    """
    check_plot(path)
    svg = draw_power(found)
    data = to_png(svg) if path.suffix.lower() == ".png" else svg.encode()
    try:
        path.write_bytes(data)
    except OSError as exc:
        raise StudyError(f"cannot be written ({exc.strerror})", path=path) from exc


def draw_power(found: PowerStudy) -> str:
    """Draw power against items as an SVG; the same for the same forecasts."""
    return to_svg([_panel(one) for one in found.scenarios])


def _panel(one: Scenario) -> Spec:
    found, asked = one.forecast, one.forecast.asked
    sizes = sorted({point.n for point in found.curve})
    who = f"{one.task}: {one.candidate}" if one.task else "Power against items"
    subtitle = (
        f"paired SD {found.sd:.3f}, true difference "
        f"{_points(0.0 - found.difference if asked.lower else found.difference, asked.unit)}, "
        f"margin {margin(asked.margin, asked.unit)}"
    )
    x = field(
        "n:Q",
        title="items (logarithmic)",
        scale={"type": "log", "domain": [sizes[0], sizes[-1]], "nice": False},
        axis={"values": _ticks(sizes[0], sizes[-1]), "grid": False, "format": ",d"},
    )
    y = field(
        "power:Q",
        title="power, %",
        scale={"domain": [0, 100]},
        axis={"values": [0, 20, 40, 60, 80, 100]},
    )
    names, tones, dashes = ([*each] for each in zip(*_LINES.values(), strict=True))
    rows = [
        {"n": p.n, "power": 100 * min(p.power, 1.0), "to show": _LINES[p.question][0]}
        for p in found.curve
    ]
    legend = {"title": "to show", "orient": "bottom", "symbolSize": 900, "symbolStrokeWidth": 2.5}
    color = field("to show:N", scale={"domain": names, "range": tones}, legend=legend)
    dash = field("to show:N", scale={"domain": names, "range": dashes}, legend=legend)
    lines = marks("line", rows, {"strokeWidth": 2.5}, x=x, y=y, color=color, strokeDash=dash)
    layers = [_rule("power", 100 * asked.power, percent(asked.power, 0)), lines]
    if asked.n is not None:
        layers.append(_rule("n", asked.n, plural(asked.n, "item")))
    title = heading(clean(who), subtitle=subtitle)
    return layer(*layers, width=_WIDTH, height=_HEIGHT, title=title)


def _rule(name: str, at: float, words: str) -> Spec:
    """Mark the asked power, or the asked number of items, with its name."""
    rows, line = [{name: at, "words": words}], {"color": MUTED, "strokeDash": [3, 3]}
    text: Spec = {"color": INK, "fontSize": 11}
    if name == "n":  # the words above the frame, clear of the lines
        return layer(
            marks("rule", rows, line, x="n:Q"),
            marks("text", rows, text, x="n:Q", y=value(-7), text="words:N"),
        )
    text |= {"align": "left", "dx": 4}
    return layer(
        marks("rule", rows, line, y="power:Q"),
        marks("text", rows, text, y="power:Q", x=value(_WIDTH), text="words:N"),
    )


def _ticks(low: int, high: int) -> list[int]:
    """Return round numbers within the range: 100, 200, 500, 1000 ..."""
    decades = range(len(str(high)))
    return [m * 10**d for d in decades for m in (1, 2, 5) if low <= m * 10**d <= high]


def _points(value: float, unit: str | None) -> str:
    said = f"{100 * value:+.4g} pp" if unit is None else f"{value:+.4g} {unit}"
    text = said.replace("-", "\N{MINUS SIGN}")
    return text if value else "none"
