"""The plot of contrasts: each difference with its intervals, against the margin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.inert import clean
from quantrial.reporting.charts.style import (
    BAND,
    INK,
    MUTED,
    PAPER,
    ROW,
    SHAPES,
    TONES,
    WIDTH,
    empty,
)
from quantrial.words import VERDICT_WORDS, endpoint, points, points_interval

Document = Mapping[str, Any]


def forest(summary: Document, task: str) -> Any:
    """Draw one task's differences from the reference."""
    import altair as alt

    part, reference = summary["tasks"][task], summary["reference"]
    name = endpoint(part["primary"])
    title = alt.TitleParams(
        clean(f"{part['workload']}"), subtitle=f"{task}: {name}, difference from {reference}"
    )
    rows = _rows(part, reference)
    if not rows:
        return empty(title, "No pair of arms answered the same item.")
    margin = 100 * part["margin"]
    seen = [v for row in rows for v in (row["low"], row["high"], row["value"])]
    left, right = min(-1.6 * margin, *seen), max(1.6 * margin, *seen)
    room = 0.06 * (right - left)
    height = ROW * len(rows)
    x = alt.X(
        "value:Q",
        title="difference, percentage points",
        scale=alt.Scale(domain=[left - room, right + room], nice=False),
        axis=alt.Axis(
            tickCount=5,
            grid=False,
            labelExpr="datum.value ? replace(format(datum.value, '+'), '-', '−') : '0'",
        ),
    )
    y = alt.Y(
        "arm:N",
        title=None,
        sort=None,
        axis=alt.Axis(
            domain=False,
            ticks=False,
            labelFontSize=12,
            labelLimit=150,
            labelPadding=8,
            minExtent=48,
        ),
        scale=alt.Scale(paddingInner=0.2, paddingOuter=0.2),
    )
    band = alt.Chart(alt.InlineData(values=[{"a": -margin, "b": margin}])).mark_rect(color=BAND)
    band = band.encode(x="a:Q", x2="b:Q", y=alt.value(0), y2=alt.value(height))
    zero = alt.Chart(alt.InlineData(values=[{"at": 0}])).mark_rule(color=INK, strokeWidth=1)
    zero = zero.encode(x="at:Q", y=alt.value(0), y2=alt.value(height))
    base = alt.Chart(alt.InlineData(values=rows))
    tone = alt.Color("tone:N", scale=None)
    thin = base.mark_rule(strokeWidth=1.5).encode(x="low:Q", x2="high:Q", y=y, color=tone)
    thick = base.mark_rule(strokeWidth=4.5).encode(x="low90:Q", x2="high90:Q", y=y, color=tone)
    marks = base.mark_point(
        aria=True, filled=True, opacity=1, size=150, stroke=PAPER, strokeWidth=1
    ).encode(x=x, y=y, color=tone, shape=alt.Shape("shape:N", scale=None), description="said:N")
    said = base.mark_text(align="left", dx=WIDTH + 10, dy=-7, fontSize=12, fontWeight="bold")
    said = said.encode(x=alt.value(0), y=y, text="verdict:N", color=tone)
    numbers = base.mark_text(align="left", dx=WIDTH + 10, dy=8, fontSize=12, color=INK)
    numbers = numbers.encode(x=alt.value(0), y=y, text="numbers:N")
    return alt.layer(band, zero, thin, thick, marks, said, numbers).properties(
        width=WIDTH, height=height, title=title
    )


def _rows(part: Document, reference: str) -> list[dict[str, Any]]:
    results = part["endpoints"][part["primary"]]
    tests = {(one["reference"], one["candidate"]): one for one in results["equivalence"]}
    rows = []
    for one in results["contrasts"]:
        if one["reference"] != reference or one["estimate"] is None:
            continue
        value = 100 * one["estimate"]
        low, high = (value if v is None else 100 * v for v in one["ci"])
        test = tests[one["reference"], one["candidate"]]
        low90, high90 = (value if v is None else 100 * v for v in test["ci"])
        numbers = points(one["estimate"])
        if None in one["ci"]:
            numbers += ", no interval"
        rows.append(
            {
                "arm": one["candidate"],
                "value": value,
                "low": low,
                "high": high,
                "low90": low90,
                "high90": high90,
                "verdict": VERDICT_WORDS.get(one["verdict"], one["verdict"]),
                "numbers": numbers,
                "tone": TONES.get(one["verdict"], MUTED),
                "shape": SHAPES.get(one["verdict"], "cross"),
                "said": f"{one['candidate']}: {points(one['estimate'])}, interval "
                f"{points_interval(one['ci'])}: "
                f"{VERDICT_WORDS.get(one['verdict'], one['verdict'])}",
            }
        )
    return rows
