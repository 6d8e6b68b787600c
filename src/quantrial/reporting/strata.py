"""The primary endpoint within each stratum, after one test of whether strata differ at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.reporting.blocks import Cell, Column, Group, Row, Section, Table, cells
from quantrial.reporting.formatting import (
    count,
    p_value,
    percent,
    percent_interval,
    points,
    points_interval,
)
from quantrial.reporting.quality import ADJUSTED, DIFFERENCE, VERDICT, level
from quantrial.reporting.words import endpoint as endpoint_word
from quantrial.reporting.words import verdict

Document = Mapping[str, Any]


def strata_section(summary: Document) -> Section | None:
    """The primary endpoint within each stratum."""
    groups: list[Group] = []
    reference = summary["reference"]
    for task, part in summary["tasks"].items():
        name = endpoint_word(part["primary"])
        for key, table in part["strata"].items():
            groups.append(
                Group(
                    f"Strata: {task}, by {key}, against {reference}",
                    notes=(f"Differences in {name}, adjusted within each stratum.",),
                    tables=(_strata_contrasts(task, key, reference, table),),
                    folded=len(table) > 8,
                )
            )
            groups.append(
                Group(
                    f"Strata: {task}, by {key}, {name}",
                    tables=(_strata_arms(task, key, name, table),),
                    folded=True,
                )
            )
    lead = (
        "The same within each stratum. Strata hold few items: read them as hints of where a loss "
        "sits, not as findings."
    )
    return Section("strata", "Strata", lead, tuple(groups)) if groups else None


def _strata_arms(task: str, key: str, name: str, table: Document) -> Table:
    found = [one for stratum in table.values() for one in stratum["arms"].values()]
    return Table(
        f"{name} of each arm on {task}, by {key}",
        (
            Column(key, numeric=False),
            Column("arm", numeric=False),
            Column(name),
            Column(level(found)),
            Column("items"),
        ),
        tuple(
            Row(
                cells(
                    value,
                    arm,
                    percent(one["estimate"]),
                    percent_interval(one["ci"]),
                    count(one["n"]),
                )
            )
            for value, stratum in table.items()
            for arm, one in stratum["arms"].items()
        ),
    )


def _strata_contrasts(task: str, key: str, reference: str, table: Document) -> Table:
    chosen = [
        (value, one)
        for value, stratum in table.items()
        for one in stratum["contrasts"]
        if one["reference"] == reference
    ]
    return Table(
        f"differences from {reference} on {task}, by {key}",
        (
            Column(key, numeric=False),
            Column("arm", numeric=False),
            DIFFERENCE,
            Column(level(one for _, one in chosen)),
            ADJUSTED,
            VERDICT,
        ),
        tuple(
            Row(
                (
                    Cell(value),
                    Cell(one["candidate"], title=one["id"]),
                    Cell(points(one["estimate"])),
                    Cell(points_interval(one["ci"])),
                    Cell(p_value(one["p_adjusted"])),
                    Cell(verdict(one["verdict"]), tone=one["verdict"]),
                ),
                finding=one["id"],
            )
            for value, one in chosen
        ),
    )
