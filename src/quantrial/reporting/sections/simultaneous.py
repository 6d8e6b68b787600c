"""Intervals that match the adjusted decisions of a family of contrasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.reporting.blocks import Cell, Column, Group, Row, Table
from quantrial.reporting.contrasts import failure_endpoints, interval, pair
from quantrial.reporting.formatting import percent
from quantrial.reporting.words import endpoint as endpoint_word

Document = Mapping[str, Any]


def simultaneous_groups(summary: Document) -> Iterator[Group]:
    """Show, for each task, the intervals that match the adjusted decisions."""
    for task, part in summary["tasks"].items():
        found = (*part["endpoints"].items(), *failure_endpoints(part).items())
        rows = [
            Row(
                (
                    Cell(endpoint_word(name)),
                    Cell(pair(one), target=one["id"]),
                    Cell(interval(one, one["simultaneous"]["ci"])),
                    Cell(percent(one["simultaneous"]["confidence"], 1)),
                )
            )
            for name, results in found
            for one in results["contrasts"]
            if one.get("simultaneous")
        ]
        if rows:
            table = Table(
                f"simultaneous intervals of the differences on {task}",
                (
                    Column("endpoint", numeric=False),
                    Column("contrast", numeric=False),
                    Column("simultaneous interval"),
                    Column("its own confidence"),
                ),
                tuple(rows),
            )
            note = (
                "The intervals above hold for one contrast at a time. These are widened for all "
                "pairs of arms of an endpoint, so that one leaves out 0 where the adjusted p shows "
                "a difference. Those of the highest confidence cover all their differences at "
                "once; one of a lower confidence promises that for itself alone."
            )
            yield Group(f"Simultaneous intervals: {task}", (note,), (table,), folded=True)
