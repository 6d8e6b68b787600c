"""The plots in words: heading, caption, and what is to be seen for who does not see it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from quantrial.documents import (
    BlockSpeed,
    Dominated,
    Equivalence,
    SpanFailures,
    Summary,
    TaskSummary,
    Tradeoff,
    Window,
)
from quantrial.documents.contrasts import adjusted_p
from quantrial.reporting.blocks import Column, Plot, Row, Table, cells
from quantrial.reporting.charts.tradeoff import range_text, value_text
from quantrial.reporting.glossary import prose
from quantrial.words import (
    NONE,
    UNKNOWN,
    amount,
    amount_interval,
    count,
    difference,
    difference_interval,
    endpoint,
    error_class,
    listed,
    p_value,
    plural,
    ratio,
    verdict_word,
)


def figures(summary: Summary, drawn: Collection[str]) -> tuple[Plot, ...]:
    """Describe the plots that were drawn, each with what it shows in words."""
    return tuple(plot for plot in _all(summary) if plot.name in drawn)


def _all(summary: Summary) -> tuple[Plot, ...]:
    words: dict[str, Iterable[str]] = {
        "forest": _forest_words(summary),
        "equivalence": _equivalence_words(summary),
        "flips": _flip_words(summary),
        "strata": _strata_words(summary),
        "errors": _error_words(summary),
        "timeline": [_timeline_words(summary)],
        "flow": _flow_words(summary),
    }
    return (
        tradeoff_plot(summary, "throughput"),
        tradeoff_plot(summary, "memory"),
        *(
            Plot(name, title.format(reference=summary.reference), caption, " ".join(words[name]))
            for name, (title, caption) in prose("plots").items()
        ),
    )


def _forest_words(summary: Summary) -> list[str]:
    said = []
    for part in summary.tasks.values():
        found = [
            f"{one.candidate} {difference(one.estimate, one.unit)}, interval "
            f"{difference_interval(one.ci, one.unit)}, " + verdict_word(one.verdict or "")
            for one in part.main.contrasts
            if one.reference == summary.reference
        ]
        said.append(f"{part.workload}: " + "; ".join(found) + ".")
    return said


def _equivalence_words(summary: Summary) -> list[str]:
    return [
        f"{part.workload}: "
        + "; ".join(
            f"{one.candidate} {_shown(test)} (interval {difference_interval(test.ci, one.unit)})"
            for one in part.main.contrasts
            if one.reference == summary.reference and (test := one.equivalence)
        )
        + "."
        for part in summary.tasks.values()
    ]


def _shown(test: Equivalence) -> str:
    if test.equivalent:
        return "is shown to be the same"
    return "is shown to lose less" if test.non_inferior else "is not shown to lose less"


_TURNS = {
    "gold": ("right to wrong", "wrong to right"),
    "reference": ("changed", "repeated though the reference changed"),
}


def _flip_words(summary: Summary) -> list[str]:
    return [
        f"{part.workload}: "
        + "; ".join(
            f"{one.candidate} against {one.reference}, {count(one.harmful)} {turns[0]} and "
            f"{count(one.beneficial)} {turns[1]} of {plural(one.n, 'item')}"
            for one in part.flips
            if one.reference == summary.reference
        )
        + "."
        for part in summary.tasks.values()
        for turns in [_TURNS[part.main.against]]
    ]


def _strata_words(summary: Summary) -> list[str]:
    said = []
    for task, part in summary.tasks.items():
        for key in part.strata:
            tests = [one for one in part.heterogeneity if one.key == key]
            words = [f"{one.candidate} p {p_value(adjusted_p(one))}" for one in tests]
            tested = f"; tests of whether it varies: {', '.join(words)}" if words else ""
            said.append(f"{task}, difference by {key}{tested}. The numbers stand under Strata.")
    return said


def _error_words(summary: Summary) -> list[str]:
    return [
        f"{arm}, {task}: "
        + ", ".join(
            f"{count(found.errors)} {error_class(kind)}"
            for kind, found in one.errors.classes.items()
        )
        + "."
        for task, part in summary.tasks.items()
        for arm, one in part.failure_modes.items()
        if isinstance(one, SpanFailures)
    ]


def _timeline_words(summary: Summary) -> str:
    run, blocks = (
        summary.timeline,
        summary.speed_phase.blocks_in_turn if summary.speed_phase else (),
    )
    number = len({one.block for one in blocks})
    parts: tuple[tuple[str, str, Sequence[Window | BlockSpeed]], ...] = (
        (f"Answers: {plural(run.calls, 'call')}", "stretch", run.windows),
        (f"Speed phase: {plural(number, 'block')}", "block", blocks),
    )
    return " ".join(_extremes(*part) for part in parts if part[2])


def _extremes(what: str, unit: str, paces: Sequence[Window | BlockSpeed]) -> str:
    known = [(one.pace, one.arm) for one in paces if one.pace is not None]
    if not known:
        return f"{what}."
    (fast, fast_arm), (slow, slow_arm) = max(known, key=_pace), min(known, key=_pace)
    return (
        f"{what}; the fastest {unit} was {ratio(fast)} the mean speed of {fast_arm}, "
        f"the slowest {ratio(slow)} that of {slow_arm}."
    )


def _pace(of_arm: tuple[float, str]) -> float:
    return of_arm[0]


def _flow_words(summary: Summary) -> list[str]:
    return [
        f"{task}: {plural(flow.planned, 'call')} planned, {count(flow.answered)} answered, "
        f"{count(flow.faulted)} ended in a fault, {count(flow.missing)} not asked; "
        f"{plural(flow.analysed_items, 'item')} answered by every arm."
        for task, flow in ((task, part.flow) for task, part in summary.tasks.items())
    ]


_TITLES = {"throughput": "Quality against speed", "memory": "Quality against memory"}
_NAMES = {"throughput": "pareto", "memory": "pareto-memory"}
_BETTER = {"throughput": "faster", "memory": "smaller"}


def tradeoff_plot(summary: Summary, cost: str) -> Plot:
    """Describe the plot of quality against a cost."""
    axis = summary.tradeoffs[cost]
    captions, direction = prose("tradeoffs"), "left" if axis.unit == "seconds" else "right"
    caption = captions.get(f"{cost} {axis.source}", "")
    caption = caption.format(direction=direction, frontier=captions["frontier"])
    return Plot(
        _NAMES[cost],
        _TITLES[cost],
        caption,
        " ".join(_words(summary, cost)),
        _table(summary, cost),
    )


def _words(summary: Summary, cost: str) -> Iterator[str]:
    axis = summary.tradeoffs[cost]
    for task, part in summary.tasks.items():
        found = axis.tasks[task]
        named = f"{part.workload} ({task})"
        if not found.arms:
            yield f"{named}: nothing was measured."
            continue
        best, alone = listed(found.frontier), len(found.frontier) == 1
        of = "alone is" if alone else "are"
        yield f"{named}: {best} {of} on the frontier, of {plural(len(found.arms), 'arm')}."
        for one in found.dominated:
            yield _dominated(part, one, _BETTER[cost])


def _dominated(part: TaskSummary, one: Dominated, better: str) -> str:
    """Say which arm beats another, and how much of that is shown."""
    arms = part.main.arms
    unit = part.main.unit
    quality = (
        f"{endpoint(part.label(part.primary))} {amount(arms[one.by].estimate, unit)} against "
        f"{amount(arms[one.arm].estimate, unit)}"
    )
    if one.cheaper and one.kept:
        return (
            f"{one.by} dominates {one.arm}: {better}, and a loss that matters is ruled out "
            f"({quality})."
        )
    open_ = []
    if not one.cheaper:
        open_.append(f"that it is {better} is not shown")
    if not one.kept:
        open_.append("a loss that matters is not ruled out")
    return f"By the estimates alone {one.by} dominates {one.arm} ({quality}); {listed(open_)}."


def _table(summary: Summary, cost: str) -> Table:
    axis = summary.tradeoffs[cost]
    rows = []
    for task, part in summary.tasks.items():
        found = axis.tasks[task]
        beaten = {one.arm: one.by for one in found.dominated}
        for arm, own in part.main.arms.items():
            one = found.arms.get(arm)
            control = summary.arms[arm].control
            standing = "control, no choice" if control else "" if one is None else "on the frontier"
            if arm in beaten:
                standing = f"beaten by {beaten[arm]}"
            value, reach = UNKNOWN, NONE
            if one is not None and one.estimate is not None:
                value = _bare(axis, value_text(axis.unit, one.estimate))
                reach = _bare(axis, range_text(axis.unit, one.ci))
            unit = part.main.unit
            quality = amount(own.estimate, unit), amount_interval(own.ci, unit)
            rows.append(Row(cells(arm, task, *quality, value, reach, standing)))
    named = {"bytes": "memory", "seconds": "a call"}.get(axis.unit, "tokens/s")
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


def _bare(axis: Tradeoff, text: str) -> str:
    """Leave out the unit that stands in the head of the column."""
    return (text.removesuffix(" tokens/s") if axis.unit == "tokens_per_second" else text) or NONE
