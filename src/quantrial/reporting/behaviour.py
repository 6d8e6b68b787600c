"""What turned, how fast arms are, and how much was asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.reporting.blocks import Cell, Column, Group, Row, Section, Table, cells
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
from quantrial.reporting.words import endpoint as endpoint_word

Document = Mapping[str, Any]

_ARM = Column("arm", numeric=False)


_FLIPS = (
    Column("right to wrong", hint="the reference is right, the candidate wrong"),
    Column("wrong to right", hint="the reference is wrong, the candidate right"),
    Column("text only", hint="the raw text changed, the score did not"),
    Column("items"),
)


def flips_section(summary: Document) -> Section:
    """Which answers turned."""
    groups = []
    for task, part in summary["tasks"].items():
        table = Table(
            f"answers on {task} that turned between two arms",
            (Column("contrast", numeric=False), *_FLIPS),
            tuple(Row(cells(_pair(one), *_turned(one))) for one in part["flips"]),
        )
        groups.append(Group(f"Flips: {task}", tables=(table,)))
        groups += _flips_by_stratum(task, part)
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
                Row(cells(value, _pair(one), *_turned(counts)))
                for one in part["flips"]
                for value, counts in (one.get("strata") or {}).get(key, {}).items()
            ),
        )
        yield Group(f"Flips: {task}, by {key}", tables=(table,), folded=True)


def _pair(one: Document) -> str:
    return f"{one['candidate']} vs {one['reference']}"


def _turned(one: Document) -> Iterator[str]:
    for kind in ("harmful", "beneficial", "churn", "n"):
        yield count(one[kind])


def speed_section(summary: Document) -> Section:
    """How fast each arm answered, and how large it is."""
    memory = Table(
        "size of each arm",
        (_ARM, Column("weights", hint="size of the weight file"), Column("type", numeric=False)),
        tuple(
            Row(cells(arm, file_size(one["memory_bytes"]), one["quantization"] or "unknown"))
            for arm, one in summary["arms"].items()
        ),
    )
    groups = [Group("Memory", tables=(memory,))]
    for task, arms in summary["speed"].items():
        table = Table(
            f"speed of each arm on {task}",
            (
                _ARM,
                Column("tokens/s", hint="pooled: all generated tokens over all decode seconds"),
                Column(
                    "mean of ratios", hint="mean of the tokens/s of each answer, as often published"
                ),
                Column("prompt tokens/s", hint="pooled: all prompt tokens over all prompt seconds"),
                Column("per answer", hint="mean seconds from question to answer"),
                Column("median", hint="median seconds from question to answer"),
            ),
            tuple(
                Row(
                    cells(
                        arm,
                        rate(one["tokens_per_second"]),
                        rate(one["mean_tokens_per_second"]),
                        rate(one["prompt_tokens_per_second"]),
                        seconds(one["seconds_per_answer"]),
                        seconds(one["median_seconds_per_answer"]),
                    )
                )
                for arm, one in arms.items()
            ),
        )
        groups.append(Group(f"Speed: {task}", tables=(table,)))
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
    needed = _items_needed(summary)
    if needed.rows:
        note = (
            "Items in all, with an 80 % chance, if the truth is as estimated. “unknown” where the "
            "estimate itself lies beyond the margin or no answer differs."
        )
        groups.append(Group("Items that would settle it", notes=(note,), tables=(needed,)))
    lead = "A difference smaller than this could have been missed."
    return Section("power", "Detectable difference", lead, tuple(groups))


def _items_needed(summary: Document) -> Table:
    rows = []
    for task, part in summary["tasks"].items():
        for one in part["endpoints"][part["primary"]]["contrasts"]:
            needed = one.get("items_needed")
            if needed is None:
                continue
            rows.append(
                Row(
                    (
                        Cell(f"{one['candidate']} vs {one['reference']}", target=one["id"]),
                        Cell(f"{task}, {endpoint_word(part['primary'])}"),
                        Cell(count(one["n"])),
                        Cell(count(needed["equivalence"])),
                        Cell(count(needed["non_inferiority"])),
                    )
                )
            )
    return Table(
        "items needed to settle what is open",
        (
            Column("contrast", numeric=False),
            Column("task", numeric=False),
            Column("items now"),
            Column("for equivalence"),
            Column("for non-inferiority"),
        ),
        tuple(rows),
    )


def flow_section(summary: Document) -> Section:
    """From what was planned to what was analysed."""
    table = Table(
        "calls and items of each task",
        (
            Column("task", numeric=False),
            Column("planned", hint="calls: items times arms"),
            Column("answered"),
            Column("faulted", hint="the engine failed; left out with its pair, never scored wrong"),
            Column("not asked"),
            Column("repeated", hint="calls recorded more than once; the last counts"),
            Column("items", hint="items that enter the analysis"),
        ),
        tuple(
            Row(
                cells(
                    task,
                    count(flow["planned"]),
                    count(flow["answered"]),
                    count(flow["faulted"]),
                    count(flow["missing"]),
                    count(flow["duplicates"]),
                    count(flow["analysed_items"]),
                )
            )
            for task, flow in ((task, part["flow"]) for task, part in summary["tasks"].items())
        ),
    )
    groups = [Group("From planned to analysed", tables=(table,))]
    for task, part in summary["tasks"].items():
        said = tuple(clean(str(one)) for one in part["warnings"])
        if said:
            title = f"What the statistics could not say: {task} ({plural(len(said), 'remark')})"
            groups.append(Group(title, items=said, folded=True))
    return Section("flow", "Flow", "What became of each planned call.", tuple(groups))
