"""The run: each arm's speed over the calls, and what became of what was planned (CONSORT)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantrial.inert import clean
from quantrial.reporting.charts.style import HEIGHT, INK, LINES, MUTED, PAPER, WIDTH, text_width
from quantrial.words import count, moment, plural, ratio, seconds

Document = Mapping[str, Any]
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


def timeline(summary: Document) -> list[Any]:
    """Draw the pace of each arm over the calls for answers, then over the blocks of speed calls."""
    panels = (_answers(summary), _speed_phase(summary))
    return [_drawn(summary, panel) for panel in panels if panel is not None]


def _answers(summary: Document) -> _Panel | None:
    told = summary.get("timeline")
    dots = [dot for one in told["windows"] if (dot := _dot(one))] if told else []
    if not told or not dots:
        return None
    first = min(one["started_at"] for one in told["windows"])
    return _Panel(
        "Answers",
        f"{plural(told['calls'], 'call')} from {clean(moment(first))}{_loads(dots)}",
        "place in the order of calls",
        0,
        told["calls"],
        dots,
    )


def _speed_phase(summary: Document) -> _Panel | None:
    told = (summary.get("speed_phase") or {}).get("blocks_in_turn") or ()
    if not told:
        return None
    dots = [_block(one) for one in told]
    first, last = min(dot["at"] for dot in dots), max(dot["at"] for dot in dots)
    started = clean(moment(min(one["started_at"] for one in told)))
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


def _drawn(summary: Document, panel: _Panel) -> Any:
    import altair as alt

    arms = [arm for arm in summary["arms"] if any(dot["arm"] == arm for dot in panel.dots)]
    styles = {arm: _style(summary, arms, arm) for arm in arms}
    dots = [dot | {"colour": styles[dot["arm"]][0]} for dot in panel.dots]
    low = min(0.8, *(dot["pace"] for dot in dots))
    high = max(1.2, *(dot["pace"] for dot in dots))
    x = alt.X(
        "at:Q",
        title=panel.axis,
        scale=alt.Scale(domain=[panel.first, panel.last], nice=False),
        axis=alt.Axis(tickCount=4, tickMinStep=1, grid=False, format=",d"),
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
    points = alt.Chart(alt.InlineData(values=dots)).mark_point(
        aria=True, filled=True, size=26, opacity=1, stroke=PAPER, strokeWidth=0.5
    )
    layers.append(
        points.encode(x=x, y=y, color=alt.Color("colour:N", scale=None), description="said:N")
    )
    layers += _names(arms, styles)
    loads = [dot for dot in dots if dot["loads"]]
    if loads:
        ticks = alt.Chart(alt.InlineData(values=loads)).mark_rule(
            aria=True, color=MUTED, strokeWidth=2
        )
        layers.append(
            ticks.encode(x=x, y=alt.value(HEIGHT), y2=alt.value(HEIGHT - 9), description="load:N")
        )
    title = alt.TitleParams(panel.title, subtitle=panel.subtitle)
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=title)


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


def _block(one: Document) -> dict[str, Any]:
    at = one["block"] + 1
    waited = one["paused_seconds"]
    return {
        "arm": one["arm"],
        "at": at,
        "pace": one["pace"],
        "loads": int(one["load_seconds"] > 0),
        "said": f"{one['arm']}, block {count(at)}: {ratio(one['pace'])} its mean speed"
        + (f", after {seconds(waited)} of waiting for a quiet machine" if waited else ""),
        "load": f"{one['arm']}, block {count(at)}: loaded in {seconds(one['load_seconds'])}",
    }


def _style(summary: Document, arms: list[str], arm: str) -> tuple[str, list[int]]:
    if arm == summary["reference"]:
        return INK, [1, 0]
    others = [one for one in arms if one != summary["reference"]]
    colour, dash = LINES[others.index(arm) % len(LINES)]
    return colour, list(dash)


def _names(arms: list[str], styles: Mapping[str, tuple[str, list[int]]]) -> list[Any]:
    """Name the lines beside the plot, each with a piece of its line."""
    import altair as alt

    layers: list[Any] = []
    for i, arm in enumerate(arms):
        colour, dash = styles[arm]
        at = 12 + 24 * i
        one = alt.Chart(alt.InlineData(values=[{"arm": clean(arm)}]))
        piece = one.mark_rule(color=colour, strokeWidth=2, strokeDash=dash)
        layers.append(
            piece.encode(
                x=alt.value(WIDTH + 12),
                x2=alt.value(WIDTH + 36),
                y=alt.value(at),
            )
        )
        name = one.mark_text(
            align="left", baseline="middle", fontSize=12, fontWeight="bold", color=colour
        )
        layers.append(name.encode(x=alt.value(WIDTH + 42), y=alt.value(at), text="arm:N"))
    return layers


def flow(summary: Document, task: str) -> Any:
    """Draw what became of the planned calls of a task, arm by arm."""
    import altair as alt

    part = summary["tasks"][task]
    arms = list(summary["arms"])
    told = part["flow"]
    items = told["planned"] // len(arms) if arms else 0
    faults = told.get("faults") or {}
    within = {arm: _within(part, arm, items, faults.get(arm)) for arm in arms}
    side = max(
        text_width([clean(arm) for arm in arms], bold=True),
        text_width([line for said in within.values() for line in said]),
        _LEAST // max(1, len(arms)),
    )
    width = len(arms) * side + (len(arms) - 1) * _GAP
    below = _TOP + _BETWEEN
    boxes = [
        _box(0, width, 0, _TOP, [f"Planned: {plural(items, 'item')} for each of {len(arms)} arms",
             f"{plural(told['planned'], 'call')}"]),
    ]  # fmt: skip
    lines, tall = [], 4 * _LINE + 14
    for i, arm in enumerate(arms):
        left = i * (side + _GAP)
        middle = left + side / 2
        said = [clean(arm), *within[arm]]
        boxes.append(_box(left, left + side, below, below + tall, said))
        lines.append({"x": middle, "y": _TOP, "x2": middle, "y2": below})
        lines.append({"x": middle, "y": below + tall, "x2": middle, "y2": below + tall + _BETWEEN})
    end = below + tall + _BETWEEN
    analysed = f"Analysed: {plural(told['analysed_items'], 'item')} that every arm answered"
    boxes.append(
        _box(0, width, end, end + _TOP, [analysed, "pairs use all that both arms answered"])
    )
    texts = [
        {"x": (box["x"] + box["x2"]) / 2, "y": y, "text": text, "weight": "bold" if first else ""}
        for box in boxes
        for first, y, text in _placed(box)
    ]
    x, y = alt.X("x:Q", scale=None, axis=None), alt.Y("y:Q", scale=None, axis=None)
    rules = alt.Chart(alt.InlineData(values=lines)).mark_rule(color=MUTED)
    shapes = alt.Chart(
        alt.InlineData(values=[{k: v for k, v in box.items() if k != "said"} for box in boxes])
    ).mark_rect(fill=PAPER, stroke=MUTED, cornerRadius=4)
    layers = [
        rules.encode(x=x, y=y, x2="x2:Q", y2="y2:Q"),
        shapes.encode(x=x, y=y, x2="x2:Q", y2="y2:Q"),
    ]
    for weight in ("bold", ""):
        own = [text for text in texts if text["weight"] == weight]
        mark = alt.Chart(alt.InlineData(values=own)).mark_text(
            fontSize=12, color=INK, fontWeight="bold" if weight else "normal", baseline="middle"
        )
        layers.append(mark.encode(x=x, y=y, text="text:N"))
    title = alt.TitleParams(clean(f"{part['workload']}"), subtitle=task)
    return alt.layer(*layers).properties(width=width, height=end + _TOP, title=title)


def _within(part: Document, arm: str, items: int, faults: int | None) -> list[str]:
    n = _answered(part, arm)
    return [f"answered: {count(n)}", *_lost(items - n, faults)]


def _answered(part: Document, arm: str) -> int:
    found = part["endpoints"][part["primary"]]["arms"].get(arm)
    return int(found["n"]) if found else 0


def _lost(missing: int, faults: int | None) -> list[str]:
    if faults is None:
        return [f"no answer: {count(missing)}"]
    return [f"faults: {count(faults)}", f"not asked: {count(max(missing - faults, 0))}"]


def _box(x: float, x2: float, y: float, y2: float, said: list[str]) -> dict[str, Any]:
    return {"x": x, "x2": x2, "y": y, "y2": y2, "said": said}


def _placed(box: Mapping[str, Any]) -> list[tuple[bool, float, str]]:
    """Put the lines of a box under each other, around its middle."""
    said = box["said"]
    first = (box["y"] + box["y2"]) / 2 - _LINE * (len(said) - 1) / 2
    return [(i == 0, first + _LINE * i, text) for i, text in enumerate(said)]
