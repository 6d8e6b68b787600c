"""From what was planned to what was analysed, and what a study of this size can see."""

from __future__ import annotations

from collections.abc import Iterator

from quantrial.documents import Contrast, Summary, TaskSummary
from quantrial.inert import clean
from quantrial.reporting.blocks import Cell, Column, Group, Row, Section, Table, by_name, cells
from quantrial.reporting.contrasts import by_endpoint, new_study, pair
from quantrial.reporting.glossary import note, section
from quantrial.words import (
    count,
    decimal,
    percent,
    plural,
    size_of_points,
)
from quantrial.words import endpoint as endpoint_word


def flow_section(summary: Summary) -> Section:
    """From what was planned to what was analysed."""
    table = by_name(
        "calls and items of each task",
        Column("task", numeric=False),
        {task: part.flow for task, part in summary.tasks.items()},
        (Column("planned", hint="calls: items times arms"), lambda flow: count(flow.planned)),
        (Column("answered"), lambda flow: count(flow.answered)),
        (
            Column("faulted", hint="the engine failed; left out with its pair, never scored wrong"),
            lambda flow: count(flow.faulted),
        ),
        (Column("not asked"), lambda flow: count(flow.missing)),
        (
            Column("repeated", hint="calls recorded more than once; the last counts"),
            lambda flow: count(flow.duplicates),
        ),
        (
            Column("items", hint="items that enter the analysis"),
            lambda flow: count(flow.analysed_items),
        ),
    )
    groups = [Group("From planned to analysed", tables=(table,)), *_asked_again(summary)]
    for task, part in summary.tasks.items():
        warnings = tuple(clean(one) for one in part.warnings)
        if warnings:
            number = plural(len(warnings), "remark")
            title = f"What the statistics could not say: {task} ({number})"
            groups.append(Group(title, items=warnings, folded=True))
    return section("flow", "Flow", groups)


def _asked_again(summary: Summary) -> Iterator[Group]:
    """Show the faults of each arm, where there were any."""
    flows = {task: part.flow for task, part in summary.tasks.items()}
    rows = [
        Row(cells(task, arm, count(retries), count(flow.faults.get(arm))))
        for task, flow in flows.items()
        for arm, retries in flow.retries.items()
    ]
    if not any(
        n for flow in flows.values() for n in (*flow.retries.values(), *flow.faults.values())
    ):
        return
    table = Table(
        "calls that failed, by arm",
        (
            Column("task", numeric=False),
            Column("arm", numeric=False),
            Column("asked again", hint="how often a call was repeated after a fault"),
            Column("never answered"),
        ),
        tuple(rows),
    )
    yield Group("Faults of the machinery", tables=(table,))


def power_section(summary: Summary) -> Section:
    """What a study of this size can see."""
    rows, silent = [], []
    for task, part in summary.tasks.items():
        power = part.power
        if power is None:
            silent.append(
                f"On {task} this cannot be told: hardly any answer differs between the arms."
            )
            continue
        rows.append(
            Row(
                cells(
                    task,
                    power.candidate,
                    size_of_points(power.detectable_difference, part.main.unit),
                    percent(power.power, 0),
                    count(power.n),
                    decimal(power.sd_paired),
                )
            )
        )
    table = Table(
        "smallest true difference that this study would have found",
        (
            Column("task", numeric=False),
            Column("candidate", numeric=False, hint="the most variable one"),
            Column("detectable"),
            Column("power"),
            Column("items"),
            Column("paired sd", hint="standard deviation of the difference within an item"),
        ),
        tuple(rows),
    )
    groups = [
        Group("Smallest difference seen", notes=tuple(silent), tables=(table,) if rows else ())
    ]
    if said := tuple(worth_in_words(summary)):
        groups.append(Group("What pairing was worth, and which items told nothing", items=said))
    for title, found in (
        ("Items that would settle it", _primary(summary)),
        ("Items that would settle the rest", _others(summary)),
    ):
        table = _items_needed(found)
        if table.rows:
            folded = len(groups) > 1
            groups.append(Group(title, notes=(note("settle"),), tables=(table,), folded=folded))
    return section("power", "Detectable difference", groups)


def worth_in_words(summary: Summary) -> Iterator[str]:
    """Say what pairing was worth on each task, and what items that tell nothing would save."""
    for task, part in summary.tasks.items():
        named = clean(summary.named(task))
        controls = {arm for arm, one in summary.arms.items() if one.control}
        found = [one for one in part.pairing if one.candidate not in controls]
        known = [one for one in found if one.worth is not None]
        if known:
            least = max(known, key=lambda one: (one.worth or 0.0) / one.n)  # gained by pairing
            worth = round(least.worth or 0.0)
            about = f" ({least.candidate} against {least.reference})" if len(found) > 1 else ""
            if worth < least.n:
                yield (
                    f"Unpaired, these {plural(least.n, 'item')} of {named} would have told as "
                    f"much as {count(max(1, worth))}{about}."
                )
            else:
                yield f"On {named}, pairing gained nothing{about}."
        elif found:
            yield (
                f"What pairing was worth on {named} cannot be told: the scores do not differ "
                "between the arms."
            )
        if part.saturation is not None:
            yield from _saturated(named, part)


def _saturated(named: str, part: TaskSummary) -> Iterator[str]:
    one = part.saturation
    if one is None or not one.right + one.wrong:
        return
    gone = one.right + one.wrong
    left = one.n - gone
    said = (
        f"Of {plural(one.n, 'item')} of {named}, every arm (controls aside) answers "
        f"{count(one.right)} right (saturated), and {count(one.wrong)} wrong with the same score."
    )
    if not left:
        yield f"{said} No item tells the arms apart."
        return
    yield (
        f"{said} They do not tell the arms apart. A study without them would ask {count(left)} "
        f"items, {percent(gone / one.n, 0)} fewer. Its margin would then be of other items than "
        "those of your workload: state it anew."
    )


def _primary(summary: Summary) -> Iterator[tuple[str, Contrast]]:
    for task, part in summary.tasks.items():
        for one in part.main.contrasts:
            yield f"{task}, {endpoint_word(part.label(part.primary))}", one


def _others(summary: Summary) -> Iterator[tuple[str, Contrast]]:
    """Walk over the contrasts on secondary endpoints, failure modes and within strata."""
    for task, part in summary.tasks.items():
        for name, contrasts in by_endpoint(part):
            for one in contrasts if name != part.primary else ():
                yield f"{task}, {endpoint_word(part.label(name))}", one
        for key, table in part.strata.items():
            for value, stratum in table.items():
                for one in stratum.contrasts:
                    if one.reference == summary.reference:
                        yield f"{task}, {key} {value}", one


def _items_needed(found: Iterator[tuple[str, Contrast]]) -> Table:
    return Table(
        "items of a new study that would settle what is open",
        (
            Column("contrast", numeric=False),
            Column("task", numeric=False),
            Column("items now"),
            Column("items of a new study"),
            Column("to show", numeric=False),
        ),
        tuple(
            Row(
                (
                    Cell(pair(one), target=one.id),
                    Cell(where),
                    Cell(count(one.n)),
                    *cells(*new_study(one)),
                )
            )
            for where, one in found
            if one.verdict == "inconclusive"
        ),
    )
