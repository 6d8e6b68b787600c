"""The tests of how an arm fails, of all failure modes of a task in one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.findings import adjusted_p
from quantrial.reporting.blocks import Cell, Column, Group, Row, Table
from quantrial.reporting.contrasts import (
    WITH_ALL,
    estimate,
    failure_endpoints,
    interval,
    judged,
    of_what_was_read,
)
from quantrial.words import endpoint, listed, p_value

Document = Mapping[str, Any]

# endpoints that tell how an arm fails, beside the failure modes
_TELLING = ("precision", "recall", "parse_rate")


_COLUMNS = (
    Column("what", numeric=False),
    Column("arm", numeric=False),
    Column("difference", hint="arm minus reference; negative is a loss"),
    Column("interval"),
    Column("adj. p", hint=f"of a difference, {WITH_ALL}"),
    Column("verdict", numeric=False),
)


def failure_tests(summary: Document, task: str) -> Iterator[Group]:
    """Yield the contrasts of a task's failure modes with the reference; nothing where none is."""
    part, reference = summary["tasks"][task], summary["reference"]
    modes = failure_endpoints(part)
    telling = {name: part["endpoints"][name] for name in _TELLING if name in part["endpoints"]}
    told = {name: one for name, one in telling.items() if name != part["primary"]} | dict(modes)
    contrasts = [
        (name, one)
        for name, results in told.items()
        for one in results["contrasts"]
        if one["reference"] == reference
    ]
    if not contrasts:
        return
    rows = tuple(Row(_cells(name, one)) for name, one in contrasts)
    table = Table(f"failure modes of {task}, tested against {reference}", _COLUMNS, rows)
    yield Group(
        f"Failures tested: {task}",
        notes=(
            "Each row leads to its contrast, with methods, the other pairs and the items that "
            f"would settle it. {_declared(modes)}",
            *of_what_was_read(part, contrasts),
        ),
        tables=(table,),
    )


def _cells(name: str, one: Document) -> tuple[Cell, ...]:
    return (
        Cell(endpoint(name), target=one["id"]),
        Cell(one["candidate"]),
        Cell(estimate(one)),
        Cell(interval(one, one["ci"])),
        Cell(p_value(adjusted_p(one))),
        Cell(judged(one), tone=one["verdict"] or "", target=one["id"]),
    )


def _declared(modes: Mapping[str, Document]) -> str:
    named = [
        endpoint(name)
        for name, one in modes.items()
        if any(c["declared"] for c in one["contrasts"])
    ]
    if not named:
        return "The study named no failure mode beforehand: read them as hints."
    return f"The study named {listed(named)} beforehand; read the other failure modes as hints."
