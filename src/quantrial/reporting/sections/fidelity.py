"""How close the arms' probabilities are to the reference's, where they were recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.agreement import fixed
from quantrial.reporting.blocks import Cell, Column, Group, Row, Section, Table
from quantrial.reporting.contrasts import pair
from quantrial.words import UNKNOWN, count

_LEAD = (
    "Read beside the outcomes, never instead of them: published work finds these measures "
    "uninformative near the reference. Intervals are clustered by item."
)


def fidelity_section(summary: Mapping[str, Any]) -> Section | None:
    """Show divergence, agreement and margin by task; None where no probabilities were recorded."""
    groups = []
    for task, part in summary["tasks"].items():
        rows = tuple(
            Row(
                (
                    Cell(pair(one)),
                    Cell(_number(one["kl"], 4)),
                    Cell(_number(one["top_agreement"], 3)),
                    Cell(_number(one["margin"], 3, "+")),
                    Cell(count(one["tokens"])),
                )
            )
            for one in part.get("fidelity", ())
        )
        if rows:
            columns = (
                Column("arms", numeric=False),
                Column("KL", hint="divergence from the reference in nats a token, a lower bound"),
                Column("same top", hint="how often the likeliest token is the same"),
                Column("margin", hint="lead of the likeliest token, candidate minus reference"),
                Column("tokens"),
            )
            groups.append(Group(task, tables=(Table(f"fidelity on {task}", columns, rows),)))
    if not groups:
        return None
    return Section("fidelity", "Fidelity of probabilities", _LEAD, tuple(groups))


def _number(one: Mapping[str, Any], digits: int, form: str = "") -> str:
    low, high = (None if end is None else fixed(end, digits, form) for end in one["ci"])
    interval = "" if low is None else f" ({low} to {high})"
    return UNKNOWN if one["estimate"] is None else fixed(one["estimate"], digits, form) + interval
