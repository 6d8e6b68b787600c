"""Intervals that match the adjusted decisions of a family of contrasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.reporting.blocks import Cell, Column, Group, Row, Table
from quantrial.reporting.contrasts import failure_endpoints, interval, pair
from quantrial.words import NONE, percent
from quantrial.words import endpoint as endpoint_word

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
                    Cell(_level(one["simultaneous"]["confidence"])),
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
                    Column("its own confidence", hint="none where it was narrowed to leave out 0"),
                ),
                tuple(rows),
            )
            note = (
                "The intervals above hold for one contrast at a time. These are widened for all "
                "that is adjusted together (the pairs of arms of the primary endpoint; all else in "
                "this report), so that one leaves out 0 where the adjusted p shows a difference. "
                "Those that state a confidence cover all their differences at once. Those without "
                "were narrowed until they left out 0: they show the direction, and promise nothing "
                "about the size."
            )
            yield Group(f"Simultaneous intervals: {task}", (note,), (table,), folded=True)


def _level(confidence: float | None) -> str:
    return NONE if confidence is None else percent(confidence, 2)
