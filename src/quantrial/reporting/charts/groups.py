"""Plots of groups: the loss within each stratum, and the classes of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantrial.documents import SpanErrors, SpanFailures, StratumSummary, Summary, TaskSummary
from quantrial.documents.contrasts import adjusted_p
from quantrial.inert import clean
from quantrial.reporting.charts.paired import CELL_INK
from quantrial.reporting.charts.style import GRID, INK, MUTED, text_width, top_axis
from quantrial.reporting.charts.vega import Spec, field, heading, layer, marks
from quantrial.words import (
    count,
    difference,
    difference_interval,
    endpoint,
    error_class,
    p_value,
)

# a loss is orange and a gain blue; the number in each cell carries the sign
_SCALE = ["#e8865a", "#ffffff", "#7fb3dc"]
_MOST_VALUES = 40
_LABEL, _LINE = 190, 68  # pixels of a label, characters of a line
_ROOM = 260  # pixels beside each other


def strata(summary: Summary) -> list[Spec | None]:
    """Draw the difference from the reference in each stratum, under its test of interaction."""
    shown = [
        (task, key, table)
        for task, part in summary.tasks.items()
        for key, table in part.strata.items()
        if 1 < len(table) <= _MOST_VALUES
    ]
    # the same for every panel, so that they stand under each other
    extent = min(_LABEL, text_width([clean(value) for _, _, table in shown for value in table]))
    return [_heat(summary, *one, extent) for one in shown]


def _heat(
    summary: Summary, task: str, key: str, table: Mapping[str, StratumSummary], extent: int
) -> Spec | None:
    part, reference = summary.tasks[task], summary.reference
    unit, scale = part.main.unit, 100 if part.main.unit is None else 1
    cells: list[dict[str, Any]] = [
        {
            "value": clean(value),
            "arm": one.candidate,
            "difference": scale * one.estimate,
            "text": difference(one.estimate, unit).removesuffix(f" {unit or 'pp'}"),
            "said": f"{one.candidate}, {clean(value)}: {difference(one.estimate, unit)}, interval "
            f"{difference_interval(one.ci, unit)}",
        }
        for value, stratum in table.items()
        for one in stratum.contrasts
        if one.reference == reference and one.estimate is not None
    ]
    tests = [one for one in part.heterogeneity if one.key == key]
    name = endpoint(part.label(part.primary))
    lines = [f"{task}, by {key}: {name}, difference from {reference} in {unit or 'pp'}"]
    if tests:
        first, *others = [f"{one.candidate} {_p(adjusted_p(one))}" for one in tests]
        lines += _wrapped([f"vary over {key}? {first}", *others])
    title = heading(clean(part.workload), subtitle=[clean(one) for one in lines])
    if not cells:
        return None
    least = 10.0 if unit is None else scale * part.margin
    most = max(least, *(abs(cell["difference"]) for cell in cells))
    arms = [arm for arm in summary.arms if any(cell["arm"] == arm for cell in cells)]
    side = min(84, int(300 / len(arms)))
    rows_axis = {
        "domain": False,
        "ticks": False,
        "labelLimit": _LABEL,
        "labelPadding": 8,
        "minExtent": extent + 8,
    }
    x = field("arm:N", title=None, sort=arms, axis=top_axis(arms, side))
    y = field("value:N", title=None, sort=None, axis=rows_axis)
    ends = [most, 0, -most] if part.main.direction == "lower" else [-most, 0, most]
    colors = {"domain": ends, "range": _SCALE, "interpolate": "rgb"}
    color = field("difference:Q", scale=colors, legend=None)
    box, text = {"aria": True, "stroke": GRID}, {"fontSize": 12, "color": CELL_INK}
    rows = len({cell["value"] for cell in cells})
    return layer(
        marks("rect", cells, box, x=x, y=y, color=color, description="said:N"),
        marks("text", cells, text, x=x, y=y, text="text:N"),
        width=side * len(arms),
        height=28 * rows,
        title=title,
    )


def _wrapped(parts: Sequence[str]) -> list[str]:
    """Join parts by semicolons, in lines that a plot has room for."""
    lines = [parts[0]]
    for part in parts[1:]:
        joined = f"{lines[-1]}; {part}"
        if len(joined) <= _LINE:
            lines[-1] = joined
        else:
            lines[-1] += ";"
            lines.append(part)
    return lines


def _p(value: float | None) -> str:
    text = p_value(value)
    if value is None:
        return "cannot be told"
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def errors(summary: Summary) -> list[Spec]:
    """Count each class of errors in each arm, for tasks of spans."""
    found = []
    for task, part in summary.tasks.items():
        modes = part.failure_modes
        of_arms = {arm: one.errors for arm, one in modes.items() if isinstance(one, SpanFailures)}
        if any(found.errors for one in of_arms.values() for found in one.classes.values()):
            found.append(_classes(task, part, of_arms))
    return found


def _classes(task: str, part: TaskSummary, of_arms: Mapping[str, SpanErrors]) -> Spec:
    kinds = list(dict.fromkeys(kind for one in of_arms.values() for kind in one.classes))
    most = max(1, *(one.count_of(kind) for one in of_arms.values() for kind in kinds))
    width = max(82, text_width([clean(arm) for arm in of_arms], bold=True))
    most_columns = max(1, _ROOM // (width + 14))
    columns = -(-len(of_arms) // -(-len(of_arms) // most_columns))  # as even as rows can be
    width = max(width, _ROOM // columns - 14)
    panels = [
        _arm(arm, one, kinds, most, width=width, first=i % columns == 0)
        for i, (arm, one) in enumerate(of_arms.items())
    ]
    rows = [
        {"hconcat": panels[i : i + columns], "spacing": 14} for i in range(0, len(panels), columns)
    ]
    title = heading(clean(part.workload), subtitle=f"{task}: errors by class")
    return {"vconcat": rows, "spacing": 14, "title": title}


def _arm(
    arm: str, one: SpanErrors, kinds: Sequence[str], most: int, *, width: int, first: bool
) -> Spec:
    rows = [
        {
            "kind": error_class(kind),
            "errors": one.count_of(kind),
            "text": count(one.count_of(kind)),
            "said": f"{arm}: {count(one.count_of(kind))} {error_class(kind)}",
        }
        for kind in kinds
    ]
    axis = {"domain": False, "ticks": False, "labelPadding": 6} if first else None
    y = field("kind:N", title=None, sort=None, axis=axis)
    x = field("errors:Q", title=None, axis=None, scale={"domain": [0, 1.45 * most]})
    bar = {"aria": True, "color": MUTED, "height": 13}
    text = {"align": "left", "dx": 4, "fontSize": 12, "color": INK}
    return layer(
        marks("bar", rows, bar, x=x, y=y, description="said:N"),
        marks("text", rows, text, x=x, y=y, text="text:N"),
        width=width,
        height=24 * len(kinds),
        title=heading(clean(arm), fontSize=12, offset=4, frame="group"),
    )
