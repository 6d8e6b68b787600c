"""The plot of `quantrial power`: power against the number of items, a panel a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.errors import StudyError
from quantrial.inert import clean
from quantrial.reporting.charts.style import INK, MUTED, TONES, to_png, to_svg
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


def _panel(one: Scenario) -> Any:
    import altair as alt

    found, asked = one.forecast, one.forecast.asked
    sizes = sorted({point.n for point in found.curve})
    who = f"{one.task}: {one.candidate}" if one.task else "Power against items"
    subtitle = (
        f"paired SD {found.sd:.3f}, true difference "
        f"{_points(0.0 - found.difference if asked.lower else found.difference, asked.unit)}, "
        f"margin {margin(asked.margin, asked.unit)}"
    )
    x = alt.X(
        "n:Q",
        title="items (logarithmic)",
        scale=alt.Scale(type="log", domain=[sizes[0], sizes[-1]], nice=False),
        axis=alt.Axis(values=_ticks(sizes[0], sizes[-1]), grid=False, format=",d"),
    )
    y = alt.Y(
        "power:Q",
        title="power, %",
        scale=alt.Scale(domain=[0, 100]),
        axis=alt.Axis(values=[0, 20, 40, 60, 80, 100]),
    )
    names = [name for name, _, _ in _LINES.values()]
    rows = [
        {"n": p.n, "power": 100 * min(p.power, 1.0), "to show": _LINES[p.question][0]}
        for p in found.curve
    ]
    legend = alt.Legend(title="to show", orient="bottom", symbolSize=900, symbolStrokeWidth=2.5)
    lines = alt.Chart(alt.InlineData(values=rows)).mark_line(strokeWidth=2.5)
    lines = lines.encode(
        x=x,
        y=y,
        color=alt.Color(
            "to show:N",
            scale=alt.Scale(domain=names, range=[tone for _, tone, _ in _LINES.values()]),
            legend=legend,
        ),
        strokeDash=alt.StrokeDash(
            "to show:N",
            scale=alt.Scale(domain=names, range=[dash for _, _, dash in _LINES.values()]),
            legend=legend,
        ),
    )
    layers = [_rule("power", 100 * asked.power, percent(asked.power, 0), alt), lines]
    if asked.n is not None:
        layers.append(_rule("n", asked.n, plural(asked.n, "item"), alt))
    return alt.layer(*layers).properties(
        width=_WIDTH, height=_HEIGHT, title=alt.TitleParams(clean(who), subtitle=subtitle)
    )


def _rule(field: str, at: float, words: str, alt: Any) -> Any:
    """Mark the asked power, or the asked number of items, with its name."""
    base = alt.Chart(alt.InlineData(values=[{field: at, "words": words}]))
    rule = base.mark_rule(color=MUTED, strokeDash=[3, 3])
    if field == "n":
        text = base.mark_text(color=INK, fontSize=11)  # above the frame, clear of the lines
        return rule.encode(x="n:Q") + text.encode(x="n:Q", y=alt.value(-7), text="words:N")
    text = base.mark_text(color=INK, fontSize=11, align="left", dx=4)
    return rule.encode(y="power:Q") + text.encode(
        y=alt.Y("power:Q"), x=alt.value(_WIDTH), text="words:N"
    )


def _ticks(low: int, high: int) -> list[int]:
    """Return round numbers within the range: 100, 200, 500, 1000 ..."""
    decades = range(len(str(high)))
    return [m * 10**d for d in decades for m in (1, 2, 5) if low <= m * 10**d <= high]


def _points(value: float, unit: str | None) -> str:
    said = f"{100 * value:+.4g} pp" if unit is None else f"{value:+.4g} {unit}"
    text = said.replace("-", "\N{MINUS SIGN}")
    return text if value else "none"
