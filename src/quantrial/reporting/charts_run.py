"""The run as a plot: how fast each arm was from the first call to the last, and when it loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.reporting.chart_style import GRID, HEIGHT, INK, LINES, MUTED, PAPER, WIDTH
from quantrial.reporting.formatting import clean, count, moment, ratio, seconds

Document = Mapping[str, Any]


def timeline(summary: Document) -> list[Any]:
    """Draw the pace of each arm over the order of calls, with loads of models below."""
    import altair as alt

    told = summary.get("timeline")
    dots = [dot for one in told["windows"] if (dot := _dot(one))] if told else []
    if not told or not dots:
        return []
    arms = [arm for arm in summary["arms"] if any(dot["arm"] == arm for dot in dots)]
    styles = {arm: _style(summary, arms, arm) for arm in arms}
    for dot in dots:
        dot["colour"] = styles[dot["arm"]][0]
    low = min(0.8, *(dot["pace"] for dot in dots))
    high = max(1.2, *(dot["pace"] for dot in dots))
    x = alt.X(
        "at:Q",
        title="place in the order of calls",
        scale=alt.Scale(domain=[0, told["calls"]], nice=False),
        axis=alt.Axis(tickCount=5, grid=False, format=",d"),
    )
    y = alt.Y(
        "pace:Q",
        title="speed, the arm's own mean is 1",
        scale=alt.Scale(domain=[low - 0.05, high + 0.05], nice=False, zero=False),
        axis=alt.Axis(tickCount=5, minExtent=28),
    )
    zero = alt.Chart(alt.InlineData(values=[{"at": 1.0}])).mark_rule(color=INK, strokeWidth=1)
    layers: list[Any] = [zero.encode(y="at:Q")]
    for arm in arms:
        colour, dash = styles[arm]
        own = alt.Chart(alt.InlineData(values=[dot for dot in dots if dot["arm"] == arm]))
        line = own.mark_line(color=colour, strokeWidth=1.5, strokeDash=dash, opacity=0.9)
        layers.append(line.encode(x=x, y=y))
    base = alt.Chart(alt.InlineData(values=dots))
    points = base.mark_point(
        aria=True, filled=True, size=26, opacity=1, stroke=PAPER, strokeWidth=0.5
    )
    layers.append(
        points.encode(x=x, y=y, color=alt.Color("colour:N", scale=None), description="said:N")
    )
    layers.append(_names(arms, styles))
    loads = [dot for dot in dots if dot["loads"]]
    if loads:
        ticks = alt.Chart(alt.InlineData(values=loads)).mark_rule(
            aria=True, color=MUTED, strokeWidth=2
        )
        layers.append(
            ticks.encode(x=x, y=alt.value(HEIGHT), y2=alt.value(HEIGHT - 9), description="load:N")
        )
    first = min(one["started_at"] for one in told["windows"])
    note = "ticks at the bottom: models were loaded" if loads else "no model was loaded in between"
    title = alt.TitleParams(
        "The run", subtitle=f"{count(told['calls'])} calls from {clean(moment(first))}; {note}"
    )
    return [alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=title)]


def _dot(one: Document) -> dict[str, Any] | None:
    if one["pace"] is None:
        return None
    place = f"calls {count(one['from'])} to {count(one['to'])}"
    return {
        "arm": one["arm"],
        "at": (one["from"] + one["to"]) / 2,
        "pace": one["pace"],
        "loads": one["loads"],
        "said": f"{one['arm']}, {place}: {ratio(one['pace'])} its mean speed",
        "load": f"{one['arm']}, {place}: {count(one['loads'])} loads, "
        f"{seconds(one['load_seconds'])} in all",
    }


def _style(summary: Document, arms: list[str], arm: str) -> tuple[str, list[int]]:
    if arm == summary["reference"]:
        return INK, [1, 0]
    others = [one for one in arms if one != summary["reference"]]
    colour, dash = LINES[others.index(arm) % len(LINES)]
    return colour, list(dash)


def _names(arms: list[str], styles: Mapping[str, tuple[str, list[int]]]) -> Any:
    """Name the lines beside the plot, each with a piece of its line."""
    import altair as alt

    rows = [
        {"arm": clean(arm), "y": 12 + 22 * i, "colour": styles[arm][0], "grid": GRID}
        for i, arm in enumerate(arms)
    ]
    names = alt.Chart(alt.InlineData(values=rows)).mark_text(
        align="left", fontSize=12, fontWeight="bold"
    )
    return names.encode(
        x=alt.value(WIDTH + 12),
        y=alt.Y("y:Q", scale=None),
        text="arm:N",
        color=alt.Color("colour:N", scale=None),
    )
