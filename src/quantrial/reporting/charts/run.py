"""The run: each arm's speed over the calls, and what became of what was planned (CONSORT)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantrial.documents import BlockSpeed, Summary, TaskSummary, Window
from quantrial.inert import clean
from quantrial.reporting.charts.style import HEIGHT, INK, LINES, MUTED, PAPER, WIDTH, text_width
from quantrial.reporting.charts.vega import Spec, field, heading, layer, marks, unscaled, value
from quantrial.words import count, moment, plural, ratio, seconds

Dots = Sequence[dict[str, Any]]

_GAP, _LINE = 8, 15
_TOP, _BETWEEN = 40, 26
_LEAST = 320  # pixels that the longest sentence needs


@dataclass(frozen=True, slots=True)
class _Panel:
    """What is drawn over what: the dots, the words above, the axis from `first` to `last`."""

    title: str
    subtitle: str
    axis: str
    first: float
    last: float
    dots: Dots


def timeline(summary: Summary) -> list[Spec]:
    """Draw the pace of each arm over the calls for answers, then over the blocks of speed calls."""
    panels = (_answers(summary), _speed_phase(summary))
    return [_drawn(summary, panel) for panel in panels if panel is not None]


def _answers(summary: Summary) -> _Panel | None:
    run = summary.timeline
    dots = [dot for one in run.windows if (dot := _dot(one))]
    if not dots:
        return None
    first = min(one.started_at for one in run.windows)
    return _Panel(
        "Answers",
        f"{plural(run.calls, 'call')} from {clean(moment(first))}{_loads(dots)}",
        "place in the order of calls",
        0,
        run.calls,
        dots,
    )


def _speed_phase(summary: Summary) -> _Panel | None:
    blocks = summary.speed_phase.blocks_in_turn if summary.speed_phase else ()
    if not blocks:
        return None
    dots = [_block(one) for one in blocks]
    first, last = min(dot["at"] for dot in dots), max(dot["at"] for dot in dots)
    started = clean(moment(min(one.started_at for one in blocks)))
    return _Panel(
        "Speed phase",
        f"{plural(last - first + 1, 'block')} from {started}{_loads(dots)}",
        "block of calls of fixed lengths",
        first - 0.5,
        last + 0.5,
        dots,
    )


def _loads(dots: Dots) -> str:
    return "; ticks: models loaded" if any(dot["loads"] for dot in dots) else "; no load in between"


def _drawn(summary: Summary, panel: _Panel) -> Spec:
    arms = [arm for arm in summary.arms if any(dot["arm"] == arm for dot in panel.dots)]
    styles = {arm: _style(summary, arms, arm) for arm in arms}
    dots = [dot | {"colour": styles[dot["arm"]][0]} for dot in panel.dots]
    low = min(0.8, *(dot["pace"] for dot in dots))
    high = max(1.2, *(dot["pace"] for dot in dots))
    x = field(
        "at:Q",
        title=panel.axis,
        scale={"domain": [panel.first, panel.last], "nice": False},
        axis={"tickCount": 4, "tickMinStep": 1, "grid": False, "format": ",d"},
    )
    y = field(
        "pace:Q",
        title="speed, the arm's own mean is 1",
        scale={"domain": [low - 0.05, high + 0.05], "nice": False, "zero": False},
        axis={"tickCount": 5, "minExtent": 28},
    )
    layers = [marks("rule", [{"at": 1.0}], {"color": INK, "strokeWidth": 1}, y="at:Q")]
    for arm in arms:
        colour, dash = styles[arm]
        own = [dot for dot in dots if dot["arm"] == arm]
        line = {"color": colour, "strokeWidth": 1.5, "strokeDash": dash, "opacity": 0.9}
        layers.append(marks("line", own, line, x=x, y=y))
    point = {
        "aria": True,
        "filled": True,
        "size": 26,
        "opacity": 1,
        "stroke": PAPER,
        "strokeWidth": 0.5,
    }
    color = unscaled("colour:N")
    layers.append(marks("point", dots, point, x=x, y=y, color=color, description="said:N"))
    layers += _names(arms, styles)
    loads = [dot for dot in dots if dot["loads"]]
    if loads:
        tick, foot = {"aria": True, "color": MUTED, "strokeWidth": 2}, value(HEIGHT)
        top = value(HEIGHT - 9)
        layers.append(marks("rule", loads, tick, x=x, y=foot, y2=top, description="load:N"))
    title = heading(panel.title, subtitle=panel.subtitle)
    return layer(*layers, width=WIDTH, height=HEIGHT, title=title)


def _dot(one: Window) -> dict[str, Any] | None:
    if one.pace is None:
        return None
    place = f"calls {count(one.first)} to {count(one.last)}"
    return {
        "arm": one.arm,
        "at": (one.first + one.last) / 2,
        "pace": one.pace,
        "loads": one.loads,
        "said": f"{one.arm}, {place}: {ratio(one.pace)} its mean speed",
        "load": f"{one.arm}, {place}: {count(one.loads)} loads, {seconds(one.load_seconds)} in all",
    }


def _block(one: BlockSpeed) -> dict[str, Any]:
    at = one.block + 1
    waited = one.paused_seconds
    return {
        "arm": one.arm,
        "at": at,
        "pace": one.pace,
        "loads": int(one.load_seconds > 0),
        "said": f"{one.arm}, block {count(at)}: {ratio(one.pace)} its mean speed"
        + (f", after {seconds(waited)} of waiting for a quiet machine" if waited else ""),
        "load": f"{one.arm}, block {count(at)}: loaded in {seconds(one.load_seconds)}",
    }


def _style(summary: Summary, arms: list[str], arm: str) -> tuple[str, list[int]]:
    if arm == summary.reference:
        return INK, [1, 0]
    others = [one for one in arms if one != summary.reference]
    colour, dash = LINES[others.index(arm) % len(LINES)]
    return colour, list(dash)


def _names(arms: list[str], styles: Mapping[str, tuple[str, list[int]]]) -> list[Spec]:
    """Name the lines beside the plot, each with a piece of its line."""
    layers: list[Spec] = []
    left, right, after = value(WIDTH + 12), value(WIDTH + 36), value(WIDTH + 42)
    for i, arm in enumerate(arms):
        colour, dash = styles[arm]
        at, rows = value(12 + 24 * i), [{"arm": clean(arm)}]
        piece = {"color": colour, "strokeWidth": 2, "strokeDash": dash}
        name = {
            "align": "left",
            "baseline": "middle",
            "fontSize": 12,
            "fontWeight": "bold",
            "color": colour,
        }
        layers.append(marks("rule", rows, piece, x=left, x2=right, y=at))
        layers.append(marks("text", rows, name, x=after, y=at, text="arm:N"))
    return layers


def flow(summary: Summary, task: str) -> Spec:
    """Draw what became of the planned calls of a task, arm by arm."""
    part = summary.tasks[task]
    arms = list(summary.arms)
    items = part.flow.planned // len(arms) if arms else 0
    within = {arm: _within(part, arm, items) for arm in arms}
    side = max(
        text_width([clean(arm) for arm in arms], bold=True) + _GAP,
        text_width([line for said in within.values() for line in said]) + _GAP,
        _LEAST // max(1, len(arms)),
    )
    width = len(arms) * side + (len(arms) - 1) * _GAP
    below = _TOP + _BETWEEN
    planned = f"Planned: {plural(items, 'item')} for each of {len(arms)} arms"
    boxes = [_Box(0, width, 0, _TOP, (planned, plural(part.flow.planned, "call")))]
    lines, tall = [], 4 * _LINE + 14
    for i, arm in enumerate(arms):
        left = i * (side + _GAP)
        middle = left + side / 2
        boxes.append(_Box(left, left + side, below, below + tall, (clean(arm), *within[arm])))
        lines.append({"x": middle, "y": _TOP, "x2": middle, "y2": below})
        lines.append({"x": middle, "y": below + tall, "x2": middle, "y2": below + tall + _BETWEEN})
    end = below + tall + _BETWEEN
    analysed = f"Analysed: {plural(part.flow.analysed_items, 'item')} that every arm answered"
    boxes.append(
        _Box(0, width, end, end + _TOP, (analysed, "pairs use all that both arms answered"))
    )
    x, y = (field(name, scale=None, axis=None) for name in ("x:Q", "y:Q"))
    edges = [{"x": box.x, "x2": box.x2, "y": box.y, "y2": box.y2} for box in boxes]
    box_style = {"fill": PAPER, "stroke": MUTED, "cornerRadius": 4}
    layers = [
        marks("rule", lines, {"color": MUTED}, x=x, y=y, x2="x2:Q", y2="y2:Q"),
        marks("rect", edges, box_style, x=x, y=y, x2="x2:Q", y2="y2:Q"),
    ]
    texts = [box.texts() for box in boxes]
    heads, others = [first for first, *_ in texts], [one for _, *rest in texts for one in rest]
    for own, weight in ((heads, "bold"), (others, "normal")):
        style = {"fontSize": 12, "color": INK, "fontWeight": weight, "baseline": "middle"}
        layers.append(marks("text", own, style, x=x, y=y, text="text:N"))
    title = heading(clean(part.workload), subtitle=task)
    return layer(*layers, width=width, height=end + _TOP, title=title)


def _within(part: TaskSummary, arm: str, items: int) -> list[str]:
    """Say what became of the calls to one arm, a line each."""
    own = part.main.arms.get(arm)
    n = own.n if own else 0
    faults = part.flow.faults.get(arm)
    if faults is None:
        return [f"answered: {count(n)}", f"no answer: {count(items - n)}"]
    not_asked = max(items - n - faults, 0)
    return [f"answered: {count(n)}", f"faults: {count(faults)}", f"not asked: {count(not_asked)}"]


@dataclass(frozen=True, slots=True)
class _Box:
    """A box of the diagram between two corners, in pixels, and the lines of text in it."""

    x: float
    x2: float
    y: float
    y2: float
    lines: tuple[str, ...]

    def texts(self) -> list[dict[str, Any]]:
        """Put the lines under each other, around the middle."""
        first = (self.y + self.y2) / 2 - _LINE * (len(self.lines) - 1) / 2
        middle = (self.x + self.x2) / 2
        return [
            {"x": middle, "y": first + _LINE * i, "text": line} for i, line in enumerate(self.lines)
        ]
