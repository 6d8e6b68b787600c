"""What turned, how fast arms are, and how much was asked."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.reporting import noise
from quantrial.reporting.blocks import Cell, Column, Group, Row, Section, Table, by_name, cells
from quantrial.reporting.contrasts import failure_endpoints, more_items, pair
from quantrial.reporting.formatting import (
    clean,
    count,
    decimal,
    file_size,
    percent,
    plural,
    rate,
    seconds,
    size_of_points,
)
from quantrial.reporting.speed_phase import phase_groups
from quantrial.reporting.words import endpoint as endpoint_word

Document = Mapping[str, Any]

_ARM = Column("arm", numeric=False)
_MOST_LISTED = 40
_TURNS = {"harmful": "right to wrong", "beneficial": "wrong to right"}


_FLIPS = (
    Column("right to wrong", hint="the reference is right, the candidate wrong"),
    Column("wrong to right", hint="the reference is wrong, the candidate right"),
    Column("other words", hint="the same score, and the raw text changed"),
    Column("items"),
)


def flips_section(summary: Document) -> Section:
    """Which answers turned."""
    groups = []
    for task, part in summary["tasks"].items():
        table = Table(
            f"answers on {task} that turned between two arms",
            (Column("contrast", numeric=False), *_FLIPS),
            tuple(Row(cells(pair(one), *_turned(one))) for one in part["flips"]),
        )
        groups.append(Group(f"Flips: {task}", tables=(table,)))
        groups += noise.against_itself(task, part)
        groups += _flips_by_stratum(task, part)
        groups += _flipped_items(task, part, summary["reference"])
    lead = (
        "Two arms with the same score may still answer differently. An item is right here when all "
        "of its answer is."
    )
    return Section("flips", "Flips", lead, tuple(groups))


def _flips_by_stratum(task: str, part: Document) -> Iterator[Group]:
    keys = dict.fromkeys(key for one in part["flips"] for key in one.get("strata") or ())
    for key in keys:
        table = Table(
            f"answers on {task} that turned, by {key}",
            (Column(key, numeric=False), Column("contrast", numeric=False), *_FLIPS),
            tuple(
                Row(cells(value, pair(one), *_turned(counts)))
                for one in part["flips"]
                for value, counts in (one.get("strata") or {}).get(key, {}).items()
            ),
        )
        yield Group(f"Flips: {task}, by {key}", tables=(table,), folded=True)


def _flipped_items(task: str, part: Document, reference: str) -> Iterator[Group]:
    """Name the items that turned against the reference, and how to read their answers."""
    found, left_out = list[tuple[str, str, str]](), 0
    for one in part["flips"]:
        if one["reference"] != reference:
            continue
        turned = [
            (one["candidate"], kind, str(item))
            for kind in _TURNS
            for item in (one.get("items") or {}).get(kind, ())
        ]
        found += turned[:_MOST_LISTED]
        left_out += len(turned[_MOST_LISTED:])
    if not found:
        return
    keys = next(
        iter(dict.fromkeys(k for one in part["flips"] for k in one.get("strata") or ())), ""
    )
    strata = {
        item: value
        for one in part["flips"]
        for value, row in (one.get("strata") or {}).get(keys, {}).items()
        for items in (row.get("items") or {}).values()
        for item in items
    }
    table = Table(
        f"items of {task} that turned against {reference}",
        (
            Column("item", numeric=False),
            Column("arm", numeric=False),
            Column("turned", numeric=False),
            *((Column(keys, numeric=False),) if strata else ()),
        ),
        tuple(
            Row(
                (
                    Cell(item),
                    Cell(arm),
                    Cell(_TURNS[kind]),
                    *((Cell(strata.get(item, "")),) if strata else ()),
                )
            )
            for arm, kind, item in found
        ),
    )
    notes = ["Question, gold and every arm's answer to an item: search the run folder for its id."]
    if left_out:
        notes.append(
            f"The first {_MOST_LISTED} of each arm; {count(left_out)} more are in summary.json."
        )
    yield Group(
        f"Items that turned: {task}",
        notes=tuple(notes),
        tables=(table,),
        commands=(_search(found[0][2], task),),
        folded=True,
    )


def _search(item: str, task: str) -> str:
    return f"grep -hF -e {shlex.quote(clean(item))} RUN/items.jsonl RUN/responses/{task}.*.jsonl"


def _turned(one: Document) -> Iterator[str]:
    for kind in ("harmful", "beneficial", "churn", "n"):
        yield count(one[kind])


def speed_section(summary: Document) -> Section:
    """How fast each arm answered, and how large it is."""
    sizes = [one["memory_bytes"] for one in summary["arms"].values()]
    memory = by_name(
        "size of each arm",
        _ARM,
        summary["arms"],
        (
            Column("weights", hint="size of the weight file"),
            lambda one: file_size(one["memory_bytes"], sizes),
        ),
        (Column("type", numeric=False), lambda one: one["quantization"] or "unknown"),
    )
    groups = [*phase_groups(summary), Group("Memory", tables=(memory,))]
    for task, arms in summary["speed"].items():
        table = by_name(
            f"speed of each arm on {task}",
            _ARM,
            arms,
            (
                Column("tokens/s", hint="pooled: all generated tokens over all decode seconds"),
                lambda one: rate(one["tokens_per_second"]),
            ),
            (
                Column(
                    "mean of ratios", hint="mean of the tokens/s of each answer, as often published"
                ),
                lambda one: rate(one["mean_tokens_per_second"]),
            ),
            (
                Column("prompt tokens/s", hint="pooled: all prompt tokens over all prompt seconds"),
                lambda one: rate(one["prompt_tokens_per_second"]),
            ),
            (
                Column("per answer", hint="mean seconds from question to answer"),
                lambda one: seconds(one["seconds_per_answer"]),
            ),
            (
                Column("median", hint="median seconds from question to answer"),
                lambda one: seconds(one["median_seconds_per_answer"]),
            ),
        )
        groups.append(Group(f"Speed in the answers: {task}", tables=(table,)))
        groups += noise.drift(task, arms)
    lead = (
        "Tokens a second are pooled (all tokens over all seconds); the mean of per-answer ratios "
        "stands beside it because others publish that, and it overweighs short answers."
    )
    return Section("speed", "Speed and memory", lead, tuple(groups))


def power_section(summary: Document) -> Section:
    """What a study of this size can see."""
    rows, silent = [], []
    for task, part in summary["tasks"].items():
        power = part["power"]
        if power is None:
            silent.append(
                f"On {task} this cannot be told: hardly any answer differs between the arms."
            )
            continue
        rows.append(
            Row(
                cells(
                    task,
                    power["candidate"],
                    size_of_points(power["detectable_difference"]),
                    percent(power["power"], 0),
                    count(power["n"]),
                    decimal(power["sd_paired"]),
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
    note = (
        "How many more items would settle what is inconclusive with an 80 % chance, if the truth "
        "is as seen: by the question that takes the fewest, a difference adjusted for its family. "
        "“unknown” where what was seen does not tell."
    )
    for title, found in (
        ("Items that would settle it", _primary(summary)),
        ("Items that would settle the rest", _others(summary)),
    ):
        table = _items_needed(found)
        if table.rows:
            folded = len(groups) > 1
            groups.append(Group(title, notes=(note,), tables=(table,), folded=folded))
    lead = "A difference smaller than this could have been missed."
    return Section("power", "Detectable difference", lead, tuple(groups))


def _primary(summary: Document) -> Iterator[tuple[str, Document]]:
    for task, part in summary["tasks"].items():
        for one in part["endpoints"][part["primary"]]["contrasts"]:
            yield f"{task}, {endpoint_word(part['primary'])}", one


def _others(summary: Document) -> Iterator[tuple[str, Document]]:
    """Walk over the contrasts on secondary endpoints, failure modes and within strata."""
    for task, part in summary["tasks"].items():
        found = (*part["endpoints"].items(), *failure_endpoints(part).items())
        for name, results in found:
            for one in results["contrasts"] if name != part["primary"] else ():
                yield f"{task}, {endpoint_word(name)}", one
        for key, table in part["strata"].items():
            for value, stratum in table.items():
                for one in stratum["contrasts"]:
                    if one["reference"] != summary["reference"]:
                        continue
                    yield f"{task}, {key} {value}", one


def _items_needed(found: Iterator[tuple[str, Document]]) -> Table:
    return Table(
        "items needed to settle what is open",
        (
            Column("contrast", numeric=False),
            Column("task", numeric=False),
            Column("items now"),
            Column("more items"),
            Column("to show", numeric=False),
        ),
        tuple(
            Row(
                (
                    Cell(pair(one), target=one["id"]),
                    Cell(where),
                    Cell(count(one["n"])),
                    *cells(*more_items(one)),
                )
            )
            for where, one in found
            if one["verdict"] == "inconclusive"
        ),
    )


def flow_section(summary: Document) -> Section:
    """From what was planned to what was analysed."""
    table = by_name(
        "calls and items of each task",
        Column("task", numeric=False),
        {task: part["flow"] for task, part in summary["tasks"].items()},
        (Column("planned", hint="calls: items times arms"), lambda flow: count(flow["planned"])),
        (Column("answered"), lambda flow: count(flow["answered"])),
        (
            Column("faulted", hint="the engine failed; left out with its pair, never scored wrong"),
            lambda flow: count(flow["faulted"]),
        ),
        (Column("not asked"), lambda flow: count(flow["missing"])),
        (
            Column("repeated", hint="calls recorded more than once; the last counts"),
            lambda flow: count(flow["duplicates"]),
        ),
        (
            Column("items", hint="items that enter the analysis"),
            lambda flow: count(flow["analysed_items"]),
        ),
    )
    groups = [Group("From planned to analysed", tables=(table,)), *noise.asked_again(summary)]
    for task, part in summary["tasks"].items():
        said = tuple(clean(str(one)) for one in part["warnings"])
        if said:
            title = f"What the statistics could not say: {task} ({plural(len(said), 'remark')})"
            groups.append(Group(title, items=said, folded=True))
    return Section("flow", "Flow", "What became of each planned call.", tuple(groups))
