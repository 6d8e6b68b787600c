"""The plots in words: heading, caption, and what is to be seen for who does not see it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from quantrial.findings import adjusted_p
from quantrial.reporting.blocks import Column, Plot, Row, Table, cells
from quantrial.reporting.charts.tradeoff import range_text, value_text
from quantrial.words import (
    NONE,
    UNKNOWN,
    VERDICT_WORDS,
    count,
    endpoint,
    error_class,
    listed,
    p_value,
    percent,
    percent_interval,
    plural,
    points,
    points_interval,
    ratio,
)

Document = Mapping[str, Any]


def figures(summary: Document, drawn: Collection[str]) -> tuple[Plot, ...]:
    """Describe the plots that were drawn, each with what it shows in words."""
    return tuple(plot for plot in _all(summary) if plot.name in drawn)


def _all(summary: Document) -> tuple[Plot, ...]:
    reference = summary["reference"]
    return (
        tradeoff_plot(summary, "throughput"),
        tradeoff_plot(summary, "memory"),
        Plot(
            "forest",
            f"Differences from {reference}",
            "Thin bars are the intervals of the difference, thick bars those of the equivalence "
            "test; the band is the margin. Left of it is a loss that matters.",
            " ".join(_forest_words(summary)),
        ),
        Plot(
            "equivalence",
            "Shown to be the same?",
            "The same, near zero: an arm is practically the same where its whole bar lies in the "
            "band, and loses less than the margin where the bar begins in it. Arrows lie further "
            "out.",
            " ".join(_equivalence_words(summary)),
        ),
        Plot(
            "flips",
            "What turned",
            "Two arms with the same score may still answer differently. Each cell counts the items "
            "that one arm has right and the other wrong.",
            " ".join(_flip_words(summary)),
        ),
        Plot(
            "strata",
            "Where a loss sits",
            "The difference in each group, beside one test for each arm of whether it varies at "
            "all. Groups hold few items: where that test shows nothing, the pattern may be chance.",
            " ".join(_strata_words(summary)),
        ),
        Plot(
            "errors",
            "Which errors",
            "Spurious: found, overlaps nothing. Missed: not found. Wrong boundary: overlaps, not "
            "the same text. Malformed: in an answer that could not be read.",
            " ".join(_error_words(summary)),
        ),
        Plot(
            "timeline",
            "The run",
            "Each arm's speed beside its own mean. What moves all arms at once was the machine; "
            "comparisons of speed take arms at the same places.",
            _timeline_words(summary),
        ),
        Plot(
            "flow",
            "What became of the calls",
            "What became of every planned call. A fault of an engine is never a wrong answer: its "
            "item is left out of the pairs it would have been in.",
            " ".join(_flow_words(summary)),
        ),
    )


def _forest_words(summary: Document) -> list[str]:
    said = []
    for part in summary["tasks"].values():
        found = [
            f"{one['candidate']} {points(one['estimate'])}, interval {points_interval(one['ci'])}, "
            + VERDICT_WORDS.get(one["verdict"], one["verdict"])
            for one in part["endpoints"][part["primary"]]["contrasts"]
            if one["reference"] == summary["reference"]
        ]
        said.append(f"{part['workload']}: " + "; ".join(found) + ".")
    return said


def _equivalence_words(summary: Document) -> list[str]:
    return [
        f"{part['workload']}: "
        + "; ".join(
            f"{one['candidate']} {_shown(one)} (interval {points_interval(one['ci'])})"
            for one in part["endpoints"][part["primary"]]["equivalence"]
            if one["reference"] == summary["reference"]
        )
        + "."
        for part in summary["tasks"].values()
    ]


def _shown(test: Document) -> str:
    if test["equivalent"]:
        return "is shown to be the same"
    return "is shown to lose less" if test["non_inferior"] else "is not shown to lose less"


def _flip_words(summary: Document) -> list[str]:
    return [
        f"{part['workload']}: "
        + "; ".join(
            f"{one['candidate']} against {one['reference']}, {count(one['harmful'])} right to "
            f"wrong and {count(one['beneficial'])} wrong to right of {plural(one['n'], 'item')}"
            for one in part["flips"]
            if one["reference"] == summary["reference"]
        )
        + "."
        for part in summary["tasks"].values()
    ]


def _strata_words(summary: Document) -> list[str]:
    said = []
    for task, part in summary["tasks"].items():
        for key in part["strata"]:
            tests = [one for one in part.get("heterogeneity") or () if one["key"] == key]
            words = [f"{one['candidate']} p {p_value(adjusted_p(one))}" for one in tests]
            tested = f"; tests of whether it varies: {', '.join(words)}" if words else ""
            said.append(f"{task}, difference by {key}{tested}. The numbers stand under Strata.")
    return said


def _error_words(summary: Document) -> list[str]:
    return [
        f"{arm}, {task}: "
        + ", ".join(
            f"{count(found['errors'])} {error_class(kind)}"
            for kind, found in one["errors"]["classes"].items()
        )
        + "."
        for task, part in summary["tasks"].items()
        for arm, one in part["failure_modes"].items()
        if one.get("errors")
    ]


def _timeline_words(summary: Document) -> str:
    told = summary.get("timeline") or {"calls": 0, "windows": []}
    blocks = (summary.get("speed_phase") or {}).get("blocks_in_turn") or []
    number = len({one["block"] for one in blocks})
    parts = (
        (f"Answers: {plural(told['calls'], 'call')}", "stretch", told["windows"]),
        (f"Speed phase: {plural(number, 'block')}", "block", blocks),
    )
    return " ".join(_extremes(*part) for part in parts if part[2])


def _extremes(what: str, unit: str, paces: Sequence[Document]) -> str:
    known = [one for one in paces if one["pace"] is not None]
    if not known:
        return f"{what}."
    fast, slow = max(known, key=_pace), min(known, key=_pace)
    return (
        f"{what}; the fastest {unit} was {ratio(fast['pace'])} the mean speed of {fast['arm']}, "
        f"the slowest {ratio(slow['pace'])} that of {slow['arm']}."
    )


def _pace(window: Document) -> float:
    return float(window["pace"])


def _flow_words(summary: Document) -> list[str]:
    return [
        f"{task}: {plural(flow['planned'], 'call')} planned, {count(flow['answered'])} answered, "
        f"{count(flow['faulted'])} ended in a fault, {count(flow['missing'])} not asked; "
        f"{plural(flow['analysed_items'], 'item')} answered by every arm."
        for task, flow in ((task, part["flow"]) for task, part in summary["tasks"].items())
    ]


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
    unit = axis["unit"]
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
                        _bare(unit, value_text(unit, one["estimate"])) if one else UNKNOWN,
                        _bare(unit, range_text(unit, one["ci"])) if one and one["ci"] else NONE,
                        standing,
                    )
                )
            )
    named = {"bytes": "memory", "seconds": "a call"}.get(unit, "tokens/s")
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


def _bare(unit: str, text: str) -> str:
    """Leave out the unit that stands in the head of the column."""
    return (text.removesuffix(" tokens/s") if unit == "tokens_per_second" else text) or NONE
