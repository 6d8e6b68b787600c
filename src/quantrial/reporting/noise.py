"""What the machinery adds: the reference against itself, and what had to be asked again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.reporting.blocks import Column, Group, Row, Table, cells
from quantrial.reporting.formatting import clean, count, out_of, percent, percent_interval

Document = Mapping[str, Any]


def alarms(decision: Document) -> tuple[str, ...]:
    """List what must be known before anything else is read."""
    return tuple(
        clean(one["text"]) for one in decision.get("cautions") or () if one.get("kind") == "noise"
    )


def against_itself(task: str, part: Document) -> Iterator[Group]:
    """Show how often the reference answered differently when it was asked twice."""
    found = part.get("repeats")
    if not found:
        return
    name = found["arm"]
    rows = [
        Row(
            cells(
                f"{name}, asked twice",
                out_of(found["score"]["differ"], found["n"]),
                percent(found["score"]["rate"]),
                percent_interval(found["score"]["ci"]),
                percent(found["text"]["rate"]),
            )
        )
    ]
    rows += [
        Row(
            cells(
                f"{one['candidate']} vs {name}",
                out_of(round(one["score"] * one["n"]), one["n"]),
                percent(one["score"]),
                "",
                percent(one["text"]),
            )
        )
        for one in found["candidates"]
    ]
    table = Table(
        f"how often two answers on {task} differ: the reference and itself, the others and it",
        (
            Column("answers", numeric=False),
            Column("score differs"),
            Column("share"),
            Column("interval"),
            Column("text differs", hint="any other text, whether the score changed or not"),
        ),
        tuple(rows),
    )
    note = (
        "Same weights, same prompt, same seed: what differs in the first row is noise of the "
        "machinery, and the other rows are to be read against it."
    )
    yield Group(f"The reference against itself: {task}", notes=(note,), tables=(table,))


def asked_again(summary: Document) -> Iterator[Group]:
    """Show the faults of each arm, where there were any."""
    flows = {task: part["flow"] for task, part in summary["tasks"].items()}
    rows = [
        Row(cells(task, arm, count(retries), count((flow.get("faults") or {}).get(arm))))
        for task, flow in flows.items()
        for arm, retries in (flow.get("retries") or {}).items()
    ]
    if not any(
        n for flow in flows.values() for kind in ("retries", "faults")
        for n in (flow.get(kind) or {}).values()
    ):  # fmt: skip
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
