"""From what was planned to what was analysed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.inert import clean
from quantrial.reporting.blocks import Column, Group, Section, by_name
from quantrial.reporting.sections import noise
from quantrial.words import count, plural

Document = Mapping[str, Any]


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
