"""Quality against throughput and memory in words and as a table: what the plots show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.reporting.blocks import Column, Plot, Row, Table, cells
from quantrial.reporting.charts.tradeoff import range_text, value_text
from quantrial.words import NONE, UNKNOWN, endpoint, listed, percent, percent_interval, plural

Document = Mapping[str, Any]

_FRONTIER = (
    "The dashed stair is the frontier: no arm on it is beaten on both by another; hollow marks are "
    "beaten, by the estimates. "
)
_CAPTIONS = {
    ("throughput", "speed_phase"): "Up is better, right is faster, at the fixed lengths of the "
    "speed phase, the same for every task. " + _FRONTIER + "Bars are intervals.",
    ("throughput", "answers"): "Up is better, right is faster. No speed phase measured these arms: "
    "speeds are read off their answers, which differ in length. "
    + _FRONTIER
    + "Bars are intervals.",
    ("memory", "peak"): "Up is better, left is smaller: the most that an arm's process held, the "
    "pages of its file included. It is no sample and has no interval; bars across reach from the "
    "least to the most over its starts. Recommendations and limits go by the size of the file. "
    + _FRONTIER
    + "Upright bars are intervals.",
    ("memory", "file"): "Up is better, left is smaller: the size of an arm's file, without what it "
    "needs beside it. It is known and has no interval. "
    + _FRONTIER
    + "Upright bars are intervals.",
}
_TITLES = {"throughput": "Quality against speed", "memory": "Quality against memory"}
_NAMES = {"throughput": "pareto", "memory": "pareto-memory"}
_BETTER = {"throughput": "faster", "memory": "smaller"}


def tradeoff_plot(summary: Document, cost: str) -> Plot:
    """Describe the plot of quality against a cost."""
    axis = summary["tradeoffs"][cost]
    direction = "left is faster" if axis["unit"] == "seconds" else "right is faster"
    caption = _CAPTIONS.get((cost, axis["source"]), "").replace("right is faster", direction)
    return Plot(
        _NAMES[cost],
        _TITLES[cost],
        caption,
        " ".join(_words(summary, cost)),
        _table(summary, cost),
    )


def _words(summary: Document, cost: str) -> Iterator[str]:
    axis = summary["tradeoffs"][cost]
    for task, part in summary["tasks"].items():
        found = axis["tasks"][task]
        named = f"{part['workload']} ({task})"
        if not found["arms"]:
            yield f"{named}: nothing was measured."
            continue
        best, alone = listed(found["frontier"]), len(found["frontier"]) == 1
        of = "alone is" if alone else "are"
        yield f"{named}: {best} {of} on the frontier, of {plural(len(found['arms']), 'arm')}."
        for one in found["dominated"]:
            yield _dominated(part, axis, one, _BETTER[cost])


def _dominated(part: Document, axis: Document, one: Document, better: str) -> str:
    """Say which arm beats another, and how much of that is shown."""
    results = part["endpoints"][part["primary"]]["arms"]
    by, arm = one["by"], one["arm"]
    quality = (
        f"{endpoint(part['primary'])} {percent(results[by]['estimate'])} against "
        f"{percent(results[arm]['estimate'])}"
    )
    if one["cheaper"] and one["kept"]:
        return f"{by} dominates {arm}: {better}, and a loss that matters is ruled out ({quality})."
    open_ = []
    if not one["cheaper"]:
        open_.append(f"that it is {better} is not shown")
    if not one["kept"]:
        open_.append("a loss that matters is not ruled out")
    return f"By the estimates alone {by} dominates {arm} ({quality}); {listed(open_)}."


def _table(summary: Document, cost: str) -> Table:
    axis = summary["tradeoffs"][cost]
    rows = []
    for task, part in summary["tasks"].items():
        found = axis["tasks"][task]
        beaten = {one["arm"]: one["by"] for one in found["dominated"]}
        for arm, own in part["endpoints"][part["primary"]]["arms"].items():
            one = found["arms"].get(arm)
            control = summary["arms"][arm].get("control")
            standing = "control, no choice" if control else "" if one is None else "on the frontier"
            if arm in beaten:
                standing = f"beaten by {beaten[arm]}"
            rows.append(
                Row(
                    cells(
                        arm,
                        task,
                        percent(own["estimate"]),
                        percent_interval(own["ci"]),
                        UNKNOWN if one is None else _bare(axis, value_text(axis, one["estimate"])),
                        _bare(axis, range_text(axis, one["ci"])) if one and one["ci"] else NONE,
                        standing,
                    )
                )
            )
    named = {"bytes": "memory", "seconds": "a call"}.get(axis["unit"], "tokens/s")
    columns = (
        Column("arm", numeric=False),
        Column("task", numeric=False),
        Column("quality"),
        Column("its interval"),
        Column(named),
        Column("range" if cost == "memory" else "interval"),
        Column("standing", numeric=False),
    )
    return Table(_TITLES[cost].lower(), columns, tuple(rows))


def _bare(axis: Document, text: str) -> str:
    """Leave out the unit that stands in the head of the column."""
    return (text.removesuffix(" tokens/s") if axis["unit"] == "tokens_per_second" else text) or NONE
