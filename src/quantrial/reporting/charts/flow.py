"""From planned to analysed: the flow diagram that trials report (CONSORT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.inert import clean
from quantrial.reporting.charts.style import INK, MUTED, PAPER, text_width
from quantrial.words import count, plural

Document = Mapping[str, Any]

_GAP, _LINE = 8, 15
_TOP, _BETWEEN = 40, 26
_LEAST = 320  # pixels that the longest sentence needs


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
