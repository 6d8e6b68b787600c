"""Plots of pairs of arms: how far apart, what is shown to be the same, which answers turned."""

from __future__ import annotations

from typing import Any

from quantrial.documents import Equivalence, Flips, Interval, Summary, TaskSummary
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
    top_axis,
)
from quantrial.reporting.charts.vega import Spec, field, heading, layer, marks, unscaled, value
from quantrial.words import (
    difference,
    difference_interval,
    endpoint,
    p_value,
    size_of_points,
    verdict_word,
)

# so many margins to either side of zero are shown; what lies further is an arrow
_REACH = 3.0
# cells of a matrix keep their own ink in the dark: their ground stays light
CELL_INK = "#14171b"
_LIGHT, _DARK = "#ffffff", "#f0a37f"


def forest(summary: Summary, task: str) -> Spec | None:
    """Draw one task's differences from the reference, each with its intervals and the margin."""
    part, reference = summary.tasks[task], summary.reference
    name = endpoint(part.label(part.primary))
    title = heading(clean(part.workload), subtitle=f"{task}: {name}, difference from {reference}")
    rows = _differences(part, reference)
    if not rows:
        return None
    margin, main = _scale(part) * part.margin, part.main
    seen = [v for row in rows for v in (row["low"], row["high"], row["value"])]
    left, right = min(-1.6 * margin, *seen), max(1.6 * margin, *seen)
    room = 0.06 * (right - left)
    words = f"difference, {main.unit or 'percentage points'}"
    x = _axis(words, left - room, right + room, ticks=5, lower=main.direction == "lower")
    rows_apart = {"scale": {"paddingInner": 0.2, "paddingOuter": 0.2}}
    return _intervals(rows, title, x, margin, rows_apart)


def _scale(part: TaskSummary) -> float:
    """Return by how much values are multiplied: shares are drawn in points."""
    return 100.0 if part.main.unit is None else 1.0


def _differences(part: TaskSummary, reference: str) -> list[dict[str, Any]]:
    rows, scale, unit = [], _scale(part), part.main.unit
    for one in part.main.contrasts:
        if one.reference != reference or one.estimate is None or one.equivalence is None:
            continue
        value = scale * one.estimate
        low, high = _ends(value, one.ci, scale)
        low90, high90 = _ends(value, one.equivalence.ci, scale)
        numbers = difference(one.estimate, unit)
        verdict = verdict_word(one.verdict or "")
        rows.append(
            {
                "arm": one.candidate,
                "value": value,
                "low": low,
                "high": high,
                "thick_low": low90,
                "thick_high": high90,
                "verdict": verdict,
                "numbers": numbers + (", no interval" if None in one.ci else ""),
                "tone": TONES.get(one.verdict or "", MUTED),
                "shape": SHAPES.get(one.verdict or "", "cross"),
                "said": f"{one.candidate}: {numbers}, interval "
                f"{difference_interval(one.ci, unit)}: {verdict}",
            }
        )
    return rows


def equivalence(summary: Summary, task: str) -> Spec | None:
    """Hold the interval of each test of equivalence against the margin, near zero."""
    part, reference = summary.tasks[task], summary.reference
    name = endpoint(part.label(part.primary))
    title = heading(
        clean(part.workload), subtitle=f"{task}: {name}, is a loss of the margin ruled out?"
    )
    rows = [
        _tested(part, one.equivalence, one.equivalence.estimate, one.verdict or "")
        for one in part.main.contrasts
        if one.reference == reference
        and one.equivalence is not None
        and one.equivalence.estimate is not None
    ]
    if not rows:
        return None
    margin, main = _scale(part) * part.margin, part.main
    reach = _REACH * margin
    named = f"{main.unit or 'percentage points'} (margin {size_of_points(part.margin, main.unit)})"
    lower = main.direction == "lower"
    x = _axis(f"difference, {named}", -reach, reach, ticks=7, lower=lower)
    return _intervals(rows, title, x, margin, {})


def _ends(value: float, ci: Interval, scale: float) -> tuple[float, float]:
    """Return the ends of an interval as they are drawn; the value where there is none."""
    low, high = (value if end is None else scale * end for end in ci)
    return low, high


def _tested(part: TaskSummary, test: Equivalence, estimate: float, verdict: str) -> dict[str, Any]:
    scale, lower = _scale(part), part.main.direction == "lower"
    reach = scale * _REACH * test.margin
    value = scale * estimate
    low, high = _ends(value, test.ci, scale)
    within = -reach <= value <= reach
    if test.equivalent:
        says, p = "the same", test.p_value
    elif test.non_inferior:
        says, p = "no loss of it", test.p_non_inferior
    else:
        says, p = "not shown", test.p_non_inferior
    ruled_out = test.equivalent or test.non_inferior
    tone = "equivalent" if test.equivalent else "non_inferior" if ruled_out else verdict
    return {
        "arm": test.candidate,
        "value": max(-reach, min(reach, value)),
        "thick_low": max(-reach, min(reach, low)),
        "thick_high": max(-reach, min(reach, high)),
        "verdict": says,
        "numbers": f"p {_equals(p)}",
        "tone": TONES.get(tone, MUTED),
        # beyond the edge: an arrow to where it lies
        "shape": SHAPES.get(tone, "cross")
        if within
        else "triangle-left"
        if (value > 0 if lower else value < 0)
        else "triangle-right",
        "said": f"{test.candidate}: {difference_interval(test.ci, part.main.unit)}; "
        f"{says}, p {_equals(p)}",
    }


def _equals(p: float | None) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _axis(title: str, left: float, right: float, *, ticks: int, lower: bool) -> Spec:
    """Make the axis of differences; a loss is on its left, also where `lower` values are better."""
    return field(
        "value:Q",
        title=title,
        scale={"domain": [right, left] if lower else [left, right], "nice": False},
        axis={
            "tickCount": ticks,
            "grid": False,
            "labelExpr": "datum.value ? replace(format(datum.value, '+'), '-', '−') : '0'",
        },
    )


def _intervals(
    rows: list[dict[str, Any]], title: Spec, x: Spec, margin: float, rows_apart: Spec
) -> Spec:
    """Draw differences and their intervals over the band of the margin, verdicts beside them.

    Each row has a thick interval; a thin one only where it has `low` and `high`. `rows_apart` has
    the scale of the rows, where it is not the usual one.
    """
    height = ROW * len(rows)
    labels = {
        "domain": False,
        "ticks": False,
        "labelFontSize": 12,
        "labelLimit": 150,
        "labelPadding": 8,
        "minExtent": 48,
    }
    y = field("arm:N", title=None, sort=None, axis=labels, **rows_apart)
    top, bottom, tone = value(0), value(height), unscaled("tone:N")
    band, line = [{"a": -margin, "b": margin}], {"color": INK, "strokeWidth": 1}
    layers = [
        marks("rect", band, {"color": BAND}, x="a:Q", x2="b:Q", y=top, y2=bottom),
        marks("rule", [{"at": 0}], line, x="at:Q", y=top, y2=bottom),
    ]
    for low, high, stroke in (("low", "high", 1.5), ("thick_low", "thick_high", 4.5)):
        if low in rows[0]:
            bar = {"strokeWidth": stroke}
            layers.append(marks("rule", rows, bar, x=f"{low}:Q", x2=f"{high}:Q", y=y, color=tone))
    point = {
        "aria": True,
        "filled": True,
        "opacity": 1,
        "size": 150,
        "stroke": PAPER,
        "strokeWidth": 1,
    }
    shape = unscaled("shape:N")
    text = {"align": "left", "dx": WIDTH + 10, "fontSize": 12}
    verdict, numbers = text | {"dy": -7, "fontWeight": "bold"}, text | {"dy": 8, "color": INK}
    return layer(
        *layers,
        marks("point", rows, point, x=x, y=y, color=tone, shape=shape, description="said:N"),
        marks("text", rows, verdict, x=value(0), y=y, text="verdict:N", color=tone),
        marks("text", rows, numbers, x=value(0), y=y, text="numbers:N"),
        width=WIDTH,
        height=height,
        title=title,
    )


def flips(summary: Summary, task: str) -> Spec | None:
    """Count, for every two arms, the items that one has right and the other wrong."""
    part = summary.tasks[task]
    again = part.main.against == "reference"
    right, wrong = ("as the reference said", "another answer") if again else ("right", "wrong")
    title = heading(
        clean(part.workload),
        subtitle=f"{task}: items {right} for the arm on the left, {wrong} for the one on top",
    )
    cells = [cell for one in part.flips for cell in _turned(one, right, wrong)]
    if not cells:
        return None
    arms = [arm for arm in summary.arms if any(arm in (c["of"], c["to"]) for c in cells)]
    most = max(cell["count"] for cell in cells)
    side = min(64, int((WIDTH + 60) / len(arms)))
    x = field("to:N", title=wrong, sort=arms, axis=top_axis(arms, side))
    rows = {"domain": False, "ticks": False, "labelLimit": 190, "titlePadding": 10}
    y = field("of:N", title=right, sort=arms, axis=rows)
    shades = {"domain": [0, max(most, 1)], "range": [_LIGHT, _DARK], "interpolate": "rgb"}
    color = field("count:Q", scale=shades, legend=None)
    box = {"aria": True, "stroke": GRID}
    number = {"fontSize": 13, "fontWeight": "bold", "color": CELL_INK}
    return layer(
        marks("rect", cells, box, x=x, y=y, color=color, description="said:N"),
        marks("text", cells, number, x=x, y=y, text="count:Q"),
        width=side * len(arms),
        height=min(36, side) * len(arms),
        title=title,
    )


def _turned(one: Flips, right: str, wrong: str) -> list[dict[str, Any]]:
    pairs = (
        (one.reference, one.candidate, one.harmful),
        (one.candidate, one.reference, one.beneficial),
    )
    return [
        {
            "of": of,
            "to": to,
            "count": count,
            "said": f"{count} of {one.n} items: {of} {right}, {to} {wrong}",
        }
        for of, to, count in pairs
    ]
