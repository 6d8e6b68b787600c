"""Plots of quality against a cost: throughput, or memory. One panel a task, the frontier drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantrial.documents import Interval, Summary, TaskSummary, Tradeoff
from quantrial.inert import clean
from quantrial.reporting.charts.style import HEIGHT, INK, MUTED, PAPER, WIDTH
from quantrial.words import amount, amount_interval, endpoint, file_size, rate, seconds

_BLUE = "#0b6bb3"
# what is shown, by cost and source: the subtitle's words, and the title of the axis
_SHOWN = {
    ("throughput", "speed_phase"): "decoding speed, speed phase",
    ("throughput", "answers"): "decoding speed of its answers",
    ("memory", "peak"): "memory peak",
    ("memory", "file"): "size of the file",
}
_LINE = 32  # height of a label of two lines


def tradeoff(summary: Summary, task: str, cost: str) -> Any:
    """Draw quality against a cost, intervals on both axes, with the frontier."""
    import altair as alt

    part, axis = summary.tasks[task], summary.tradeoffs[cost]
    name = endpoint(part.label(part.primary))
    dots = _dots(summary, task, axis)
    shown = _SHOWN.get((cost, axis.source or ""), "speed" if cost == "throughput" else "memory")
    title = alt.TitleParams(clean(part.workload), subtitle=clean(f"{task}: {name} against {shown}"))
    if not dots:
        return None
    scale, unit = _unit(axis, dots)
    for dot in dots:
        for key in ("at", "left", "right"):
            dot[key] /= scale
    low, high = _limits([v for d in dots for v in (d["low"], d["high"], d["quality"])], 6.0)
    unit_of, better = part.main.unit, _better(part)
    if unit_of is None:
        least, most = (-4.0, 104.0) if better > 0 else (-104.0, 4.0)
        low, high = max(low, least), min(high, most)
    ends = _limits([v for d in dots for v in (d["left"], d["right"], d["at"])], None)
    _place_labels(dots, low, high)
    x = alt.X(
        "at:Q",
        title=f"{unit} ({'right' if axis.higher_is_better else 'left'} is better)",
        scale=alt.Scale(domain=list(ends), nice=False, zero=False),
        axis=alt.Axis(tickCount=5, grid=False),
    )
    y = alt.Y(
        "quality:Q",
        title=f"{name}, {unit_of or '%'}",
        scale=alt.Scale(domain=[low, high], nice=False, zero=False),
        axis=alt.Axis(tickCount=5, minExtent=28, maxExtent=28, **_turned(better)),
    )
    base = alt.Chart(alt.InlineData(values=dots))
    corners = _corners(dots, axis.higher_is_better, ends, low)
    frontier = alt.Chart(alt.InlineData(values=corners)).mark_line(
        color=MUTED, strokeWidth=1, strokeDash=[5, 3]
    )
    leaders = base.mark_rule(color=MUTED, strokeWidth=1, strokeDash=[1, 3], opacity=0.7).encode(
        x=x, y=y, x2=alt.X2(datum=ends[1]), y2=alt.Y2("label_y:Q")
    )
    bars = base.mark_rule(strokeWidth=2.5).encode(
        x=x, y="low:Q", y2="high:Q", color=alt.Color("tone:N", scale=None)
    )
    across = base.mark_rule(strokeWidth=2.5).encode(
        x="left:Q", x2="right:Q", y=y, color=alt.Color("tone:N", scale=None)
    )
    marks = base.mark_point(aria=True, opacity=1, strokeWidth=2, size=90).encode(
        x=x,
        y=y,
        fill=alt.Fill("fill:N", scale=None),
        stroke=alt.Stroke("tone:N", scale=None),
        shape=alt.Shape("shape:N", scale=None),
        description="said:N",
    )
    names = base.mark_text(align="left", dx=WIDTH + 8, fontSize=12, fontWeight="bold", color=INK)
    names = names.encode(x=alt.value(0), y="label_y:Q", text="arm:N")
    notes = base.mark_text(align="left", dx=WIDTH + 8, dy=14, fontSize=11, color=MUTED)
    notes = notes.encode(x=alt.value(0), y="label_y:Q", text="note:N")
    return alt.layer(
        frontier.encode(x="at:Q", y="quality:Q", order="order:Q"),
        *(leaders, bars, across, marks, names, notes),
    ).properties(width=WIDTH, height=HEIGHT, title=title)


def value_text(unit: str, value: float) -> str:
    """Write a cost with its unit: `bytes`, `seconds`, or tokens a second."""
    if unit == "bytes":
        return file_size(value)
    return seconds(value) if unit == "seconds" else f"{rate(value)} tokens/s"


def range_text(unit: str, ends: Interval) -> str:
    """Write an interval or range of a cost; nothing where there is none."""
    low, high = ends
    if low is None or high is None:
        return ""
    texts = [value_text(unit, low), value_text(unit, high)]
    number, _, name = texts[0].rpartition(" ")
    return f"{number} to {texts[1]}" if texts[1].endswith(f" {name}") else " to ".join(texts)


def _better(part: TaskSummary) -> int:
    """Return the sign that puts what is better on top."""
    return -1 if part.main.direction == "lower" else 1


def _turned(better: int) -> dict[str, Any]:
    """Label an axis of values that were turned with the values as they are."""
    return {} if better > 0 else {"labelExpr": "format(-datum.value, '~g')"}


def _dots(summary: Summary, task: str, axis: Tradeoff) -> list[dict[str, Any]]:
    part, reference = summary.tasks[task], summary.reference
    found = axis.tasks.get(task)
    if found is None:
        return []
    dots = []
    for arm, one in found.arms.items():
        own = part.main.arms.get(arm)
        if own is None or own.estimate is None or one.estimate is None:
            continue
        scale = _better(part) * (100 if part.main.unit is None else 1)
        quality, at = scale * own.estimate, one.estimate
        low, high = sorted(quality if v is None else scale * v for v in own.ci)
        left, right = (at if v is None else v for v in one.ci)
        tone, best = INK if arm == reference else _BLUE, arm in found.frontier
        reach = range_text(axis.unit, one.ci)
        role = " (reference)" if arm == reference else ""
        dots.append(
            {
                "arm": clean(arm) + role,
                "note": value_text(axis.unit, at),
                "at": at,
                "left": left,
                "right": right,
                "quality": quality,
                "low": low,
                "high": high,
                "best": best,
                "tone": tone,
                "fill": tone if best else PAPER,
                "shape": "square" if arm == reference else "circle",
                "said": f"{arm}: {amount(own.estimate, part.main.unit)}, interval "
                f"{amount_interval(own.ci, part.main.unit)}; {value_text(axis.unit, at)}"
                + (f", {reach}" if reach else "")
                + ("; on the frontier" if best else ""),
            }
        )
    return dots


def _unit(axis: Tradeoff, dots: Sequence[Mapping[str, Any]]) -> tuple[float, str]:
    """Return what values are divided by, and the title of the axis."""
    if axis.unit == "seconds":
        return 1.0, "seconds a call"
    if axis.unit != "bytes":
        return 1.0, "tokens per second"
    most = max(dot["at"] for dot in dots)
    what = _SHOWN["memory", axis.source or ""]
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if most >= scale:
            return scale, f"{what}, {unit}"
    return 1.0, f"{what}, bytes"


def _corners(
    dots: Sequence[Mapping[str, Any]], higher: bool, ends: tuple[float, float], low: float
) -> list[dict[str, float]]:
    """Return the frontier as a stair: what lies below it is beaten by an arm on it."""
    best = sorted(
        (dot for dot in dots if dot["best"]), key=lambda dot: dot["at"], reverse=not higher
    )
    if not best:
        return []
    start = ends[0] if higher else ends[1]
    steps = [(start, best[0]["quality"])]
    for dot, after in zip(best, [*best[1:], None], strict=True):
        steps.append((dot["at"], dot["quality"]))
        steps.append((dot["at"], low if after is None else after["quality"]))
    return [{"at": at, "quality": quality, "order": i} for i, (at, quality) in enumerate(steps)]


def _place_labels(dots: list[dict[str, Any]], low: float, high: float) -> None:
    """Give each label a height of its own, at least two lines from the next."""
    step = _LINE * (high - low) / HEIGHT
    # of two as good, the one further right is nearer to the labels
    dots.sort(key=lambda dot: (-dot["quality"], -dot["at"]))
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
