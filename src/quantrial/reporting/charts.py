"""The plots, drawn with Vega-Lite and turned into SVG and PNG without a browser.

Vertical panels, one a task, narrow enough for a phone. Verdicts differ in shape and in words, so
that nothing rests on colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantrial.reporting import charts_flow, charts_groups, charts_paired, charts_run
from quantrial.reporting.chart_style import (
    BAND,
    HEIGHT,
    INK,
    MUTED,
    PAPER,
    ROW,
    SHAPES,
    TONES,
    WIDTH,
    empty,
    to_svg,
)
from quantrial.reporting.formatting import (
    clean,
    file_size,
    percent,
    percent_interval,
    points,
    points_interval,
    rate,
)
from quantrial.reporting.words import VERDICT_WORDS, endpoint

Document = Mapping[str, Any]


def draw(summary: Document) -> dict[str, str]:
    """Draw every plot; returns SVG texts by name, the same for the same summary.

    A plot of something that this study does not have (strata, spans) is left out.
    """
    tasks = summary["tasks"]
    panels = {
        "pareto": [_pareto(summary, task) for task in tasks],
        "forest": [_forest(summary, task) for task in tasks],
        "equivalence": [charts_paired.equivalence(summary, task) for task in tasks],
        "flips": [charts_paired.flips(summary, task) for task in tasks],
        "strata": charts_groups.strata(summary),
        "errors": charts_groups.errors(summary),
        "timeline": charts_run.timeline(summary),
        "flow": [charts_flow.flow(summary, task) for task in tasks],
    }
    return {name: to_svg(parts) for name, parts in panels.items() if parts}


def to_png(svg: str) -> bytes:
    """Turn a plot into a PNG at twice its size."""
    import vl_convert

    image: bytes = vl_convert.svg_to_png(svg, scale=2)
    return image


# --- quality against throughput ----------------------------------------------------------------


def _pareto(summary: Document, task: str) -> Any:
    import altair as alt

    part = summary["tasks"][task]
    name = endpoint(part["primary"])
    title = alt.TitleParams(clean(f"{part['workload']}"), subtitle=f"{task}: {name} against speed")
    dots = _dots(summary, task)
    if not dots:
        return empty(title, "No speed was measured for any arm.")
    low, high = _limits([v for d in dots for v in (d["low"], d["high"], d["quality"])], 6.0)
    low, high = max(low, 0.0), min(high, 100.0)
    left, right = _limits([d["speed"] for d in dots], None)
    _place_labels(dots, low, high)
    x = alt.X(
        "speed:Q",
        title="tokens per second, pooled",
        scale=alt.Scale(domain=[left, right], nice=False, zero=False),
        axis=alt.Axis(tickCount=5, grid=False),
    )
    y = alt.Y(
        "quality:Q",
        title=f"{name}, %",
        scale=alt.Scale(domain=[low, high], nice=False, zero=False),
        axis=alt.Axis(tickCount=5, minExtent=28, maxExtent=28),
    )
    base = alt.Chart(alt.InlineData(values=dots))
    leaders = base.mark_rule(color=MUTED, strokeWidth=1, strokeDash=[2, 3], opacity=0.7).encode(
        x=x, y=y, x2=alt.X2(datum=right), y2=alt.Y2("label_y:Q")
    )
    bars = base.mark_rule(color=MUTED, strokeWidth=1.5).encode(x=x, y="low:Q", y2="high:Q")
    marks = base.mark_point(aria=True, filled=True, opacity=1, stroke=PAPER, strokeWidth=1).encode(
        x=x,
        y=y,
        size=alt.Size("area:Q", scale=None),
        color=alt.Color("tone:N", scale=None),
        shape=alt.Shape("shape:N", scale=None),
        description="said:N",
    )
    names = base.mark_text(align="left", dx=WIDTH + 8, fontSize=12, fontWeight="bold", color=INK)
    names = names.encode(x=alt.value(0), y="label_y:Q", text="arm:N")
    sizes = base.mark_text(align="left", dx=WIDTH + 8, dy=14, fontSize=11, color=MUTED)
    sizes = sizes.encode(x=alt.value(0), y="label_y:Q", text="note:N")
    return alt.layer(leaders, bars, marks, names, sizes).properties(
        width=WIDTH, height=HEIGHT, title=title
    )


def _dots(summary: Document, task: str) -> list[dict[str, Any]]:
    part, reference = summary["tasks"][task], summary["reference"]
    sizes = [arm["memory_bytes"] for arm in summary["arms"].values() if arm["memory_bytes"]]
    dots = []
    for arm, one in part["endpoints"][part["primary"]]["arms"].items():
        pace = summary["speed"].get(task, {}).get(arm, {}).get("tokens_per_second")
        if pace is None or one["estimate"] is None:
            continue
        record = summary["arms"][arm]
        memory = record["memory_bytes"]
        quality = 100 * one["estimate"]
        low, high = (quality if v is None else 100 * v for v in one["ci"])
        role = "reference" if arm == reference else "control" if record.get("control") else ""
        dots.append(
            {
                "arm": arm + (f" ({role})" if role else ""),
                "note": file_size(memory) if memory else "",
                "speed": pace,
                "quality": quality,
                "low": low,
                "high": high,
                # the area, not the radius, grows with the file
                "area": 60 + 240 * memory / max(sizes) if memory else 60,
                "tone": INK if arm == reference else MUTED if role else "#0b6bb3",
                "shape": "square" if arm == reference else "cross" if role else "circle",
                "said": f"{arm}: {percent(one['estimate'])}, interval "
                f"{percent_interval(one['ci'])}; {rate(pace)} tokens a second; "
                f"{file_size(memory)}",
            }
        )
    return dots


def _place_labels(dots: list[dict[str, Any]], low: float, high: float) -> None:
    """Give each label a height of its own, at least two lines from the next."""
    step = 32 * (high - low) / HEIGHT
    # of two as good, the faster one is nearer to the labels
    dots.sort(key=lambda dot: (-dot["quality"], -dot["speed"]))
    at = high
    for dot in dots:
        dot["label_y"] = min(dot["quality"], at)
        at = dot["label_y"] - step
    floor = low + step / 2
    for dot in reversed(dots):
        dot["label_y"] = max(dot["label_y"], floor)
        floor = dot["label_y"] + step


def _limits(values: Sequence[float], least: float | None) -> tuple[float, float]:
    """Room around the values: a tenth of their spread, or enough where they hardly differ."""
    low, high = min(values), max(values)
    room = max(0.12 * (high - low), (least or 0.0) / 2, 0.02 * abs(high), 1e-9)
    return low - room, high + room


# --- contrasts ---------------------------------------------------------------------------------


def _forest(summary: Document, task: str) -> Any:
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
            labelLimit=110,
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
