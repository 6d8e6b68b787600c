"""Plots of quality against a cost: throughput, or memory. One panel a task, the frontier drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantrial.documents import Interval, Summary, TaskSummary, Tradeoff
from quantrial.inert import clean
from quantrial.reporting.charts.style import HEIGHT, INK, MUTED, PAPER, WIDTH
from quantrial.reporting.charts.vega import Spec, field, heading, layer, marks, unscaled, value
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


def tradeoff(summary: Summary, task: str, cost: str) -> Spec | None:
    """Draw quality against a cost, intervals on both axes, with the frontier."""
    part, axis = summary.tasks[task], summary.tradeoffs[cost]
    name = endpoint(part.label(part.primary))
    dots = _dots(summary, task, axis)
    shown = _SHOWN.get((cost, axis.source or ""), "speed" if cost == "throughput" else "memory")
    title = heading(clean(part.workload), subtitle=clean(f"{task}: {name} against {shown}"))
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
    x = field(
        "at:Q",
        title=f"{unit} ({'right' if axis.higher_is_better else 'left'} is better)",
        scale={"domain": [*ends], "nice": False, "zero": False},
        axis={"tickCount": 5, "grid": False},
    )
    y = field(
        "quality:Q",
        title=f"{name}, {unit_of or '%'}",
        scale={"domain": [low, high], "nice": False, "zero": False},
        axis={"tickCount": 5, "minExtent": 28, "maxExtent": 28, **_turned(better)},
    )
    corners = _corners(dots, axis.higher_is_better, ends, low)
    frontier = {"color": MUTED, "strokeWidth": 1, "strokeDash": [5, 3]}
    leader = {"color": MUTED, "strokeWidth": 1, "strokeDash": [1, 3], "opacity": 0.7}
    bar, tone = {"strokeWidth": 2.5}, unscaled("tone:N")
    point = {"aria": True, "opacity": 1, "strokeWidth": 2, "size": 90}
    looks = {"fill": unscaled("fill:N"), "stroke": tone, "shape": unscaled("shape:N")}
    label = {"align": "left", "dx": WIDTH + 8, "fontSize": 12, "fontWeight": "bold", "color": INK}
    note = {"align": "left", "dx": WIDTH + 8, "dy": 14, "fontSize": 11, "color": MUTED}
    end = {"datum": ends[1]}
    return layer(
        marks("line", corners, frontier, x="at:Q", y="quality:Q", order="order:Q"),
        marks("rule", dots, leader, x=x, y=y, x2=end, y2="label_y:Q"),
        marks("rule", dots, bar, x=x, y="low:Q", y2="high:Q", color=tone),
        marks("rule", dots, bar, x="left:Q", x2="right:Q", y=y, color=tone),
        marks("point", dots, point, x=x, y=y, description="said:N", **looks),
        marks("text", dots, label, x=value(0), y="label_y:Q", text="arm:N"),
        marks("text", dots, note, x=value(0), y="label_y:Q", text="note:N"),
        width=WIDTH,
        height=HEIGHT,
        title=title,
    )


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
