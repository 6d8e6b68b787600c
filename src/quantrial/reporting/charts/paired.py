"""Plots of pairs of arms: what is shown to be the same, and which answers turned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.inert import clean
from quantrial.reporting.charts.style import (
    BAND,
    GRID,
    INK,
    MUTED,
    PAPER,
    ROW,
    SHAPES,
    TONES,
    WIDTH,
    empty,
    top_axis,
)
from quantrial.words import endpoint, p_value, points_interval, size_of_points

Document = Mapping[str, Any]

# so many margins to either side of zero are shown; what lies further is an arrow
_REACH = 3.0
# cells of a matrix keep their own ink in the dark: their ground stays light
CELL_INK = "#14171b"
_LIGHT, _DARK = "#ffffff", "#f0a37f"


def equivalence(summary: Document, task: str) -> Any:
    """Hold the interval of each test of equivalence against the margin, near zero."""
    import altair as alt

    part, reference = summary["tasks"][task], summary["reference"]
    results = part["endpoints"][part["primary"]]
    title = alt.TitleParams(
        clean(f"{part['workload']}"),
        subtitle=f"{task}: {endpoint(part['primary'])}, is a loss of the margin ruled out?",
    )
    verdicts = {(one["reference"], one["candidate"]): one for one in results["contrasts"]}
    rows = [
        _tested(test, verdicts[test["reference"], test["candidate"]]["verdict"])
        for test in results["equivalence"]
        if test["reference"] == reference and test["estimate"] is not None
    ]
    if not rows:
        return empty(title, "No pair of arms answered the same item.")
    margin = 100 * part["margin"]
    height = ROW * len(rows)
    reach = _REACH * margin
    x = alt.X(
        "value:Q",
        title=f"difference, percentage points (margin {size_of_points(part['margin'])})",
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=alt.Axis(
            tickCount=7,
            grid=False,
            labelExpr="datum.value ? replace(format(datum.value, '+'), '-', '−') : '0'",
        ),
    )
    axis = alt.Axis(domain=False, ticks=False, labelLimit=150, labelPadding=8, minExtent=48)
    y = alt.Y("arm:N", title=None, sort=None, axis=axis)
    ends = [{"a": -margin, "b": margin}]
    band = alt.Chart(alt.InlineData(values=ends)).mark_rect(color=BAND)
    band = band.encode(x="a:Q", x2="b:Q", y=alt.value(0), y2=alt.value(height))
    zero = alt.Chart(alt.InlineData(values=[{"at": 0}])).mark_rule(color=INK, strokeWidth=1)
    zero = zero.encode(x="at:Q", y=alt.value(0), y2=alt.value(height))
    base = alt.Chart(alt.InlineData(values=rows))
    tone, shape = alt.Color("tone:N", scale=None), alt.Shape("shape:N", scale=None)
    bars = base.mark_rule(strokeWidth=4.5).encode(x="low:Q", x2="high:Q", y=y, color=tone)
    marks = base.mark_point(
        aria=True, filled=True, opacity=1, size=150, stroke=PAPER, strokeWidth=1
    ).encode(x=x, y=y, color=tone, shape=shape, description="said:N")
    said = base.mark_text(align="left", dx=WIDTH + 10, dy=-7, fontSize=12, fontWeight="bold")
    said = said.encode(x=alt.value(0), y=y, text="verdict:N", color=tone)
    numbers = base.mark_text(align="left", dx=WIDTH + 10, dy=8, fontSize=12, color=INK)
    numbers = numbers.encode(x=alt.value(0), y=y, text="numbers:N")
    return alt.layer(band, zero, bars, marks, said, numbers).properties(
        width=WIDTH, height=height, title=title
    )


def _tested(test: Document, verdict: str) -> dict[str, Any]:
    reach = 100 * _REACH * test["margin"]
    value = 100 * test["estimate"]
    low, high = (value if v is None else 100 * v for v in test["ci"])
    within = -reach <= value <= reach
    if test["equivalent"]:
        says, p = "the same", test["p_value"]
    elif test["non_inferior"]:
        says, p = "no loss of it", test["p_non_inferior"]
    else:
        says, p = "not shown", test["p_non_inferior"]
    ruled_out = test["equivalent"] or test["non_inferior"]
    tone = "equivalent" if test["equivalent"] else "non_inferior" if ruled_out else verdict
    return {
        "arm": test["candidate"],
        "value": max(-reach, min(reach, value)),
        "low": max(-reach, min(reach, low)),
        "high": max(-reach, min(reach, high)),
        "verdict": says,
        "numbers": f"p {_equals(p)}",
        "tone": TONES.get(tone, MUTED),
        # beyond the edge: an arrow to where it lies
        "shape": SHAPES.get(tone, "cross")
        if within
        else "triangle-left"
        if value < 0
        else "triangle-right",
        "said": f"{test['candidate']}: {points_interval(test['ci'])}; {says}, p {_equals(p)}",
    }


def _equals(p: float | None) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def flips(summary: Document, task: str) -> Any:
    """Count, for every two arms, the items that one has right and the other wrong."""
    import altair as alt

    part = summary["tasks"][task]
    title = alt.TitleParams(
        clean(f"{part['workload']}"),
        subtitle=f"{task}: items right for the arm on the left, wrong for the one on top",
    )
    cells = [cell for one in part["flips"] for cell in _turned(one)]
    if not cells:
        return empty(title, "No pair of arms answered the same item.")
    arms = [arm for arm in summary["arms"] if any(arm in (c["of"], c["to"]) for c in cells)]
    most = max(cell["count"] for cell in cells)
    base = alt.Chart(alt.InlineData(values=cells))
    side = min(64, int((WIDTH + 60) / len(arms)))
    x = alt.X("to:N", title="wrong", sort=arms, axis=top_axis(arms, side))
    rows = alt.Axis(domain=False, ticks=False, labelLimit=190, titlePadding=10)
    y = alt.Y("of:N", title="right", sort=arms, axis=rows)
    boxes = base.mark_rect(aria=True, stroke=GRID).encode(
        x=x,
        y=y,
        color=alt.Color(
            "count:Q",
            scale=alt.Scale(domain=[0, max(most, 1)], range=[_LIGHT, _DARK], interpolate="rgb"),
            legend=None,
        ),
        description="said:N",
    )
    counts = base.mark_text(fontSize=13, fontWeight="bold", color=CELL_INK).encode(
        x=x, y=y, text="count:Q"
    )
    return alt.layer(boxes, counts).properties(
        width=side * len(arms), height=min(36, side) * len(arms), title=title
    )


def _turned(one: Document) -> list[dict[str, Any]]:
    pairs = (
        (one["reference"], one["candidate"], one["harmful"]),
        (one["candidate"], one["reference"], one["beneficial"]),
    )
    return [
        {
            "of": of,
            "to": to,
            "count": count,
            "said": f"{count} of {one['n']} items: {of} right, {to} wrong",
        }
        for of, to, count in pairs
    ]
