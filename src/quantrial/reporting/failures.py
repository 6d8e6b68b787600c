"""How each arm fails: what its answers look like, and which errors they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.reporting.blocks import Column, Group, Row, Section, Table, cells
from quantrial.reporting.formatting import NONE, count, percent, percent_interval

Document = Mapping[str, Any]

_ARM = Column("arm", numeric=False)


def failures_section(summary: Document) -> Section:
    """How each arm fails."""
    groups = []
    for task, part in summary["tasks"].items():
        modes = part["failure_modes"]
        tables = _spans(task, modes) if part["kind"] == "spans" else _choice(task, modes)
        groups.append(Group(f"Failures: {task}", tables=tuple(tables)))
    return Section(
        "failures", "Failure modes", "How each arm fails, not just whether.", tuple(groups)
    )


def _spans(task: str, modes: Document) -> Iterator[Table]:
    yield Table(
        f"entities found and missed on {task}",
        (
            _ARM,
            Column("found", hint="true positives: text and type both right"),
            Column("invented", hint="false positives: returned, not in the gold"),
            Column("missed", hint="false negatives: in the gold, not returned"),
            Column("precision", hint="share of the returned entities that are right"),
            Column("recall", hint="share of the gold entities that are returned"),
        ),
        tuple(
            Row(
                cells(
                    arm,
                    count(one["tp"]),
                    count(one["fp"]),
                    count(one["fn"]),
                    percent(one["precision"], none=NONE),
                    percent(one["recall"], none=NONE),
                )
            )
            for arm, one in modes.items()
        ),
    )
    yield Table(
        f"form of the answers on {task}",
        (
            _ARM,
            Column("answers"),
            Column("parsed", hint="answers that are a JSON array"),
            Column("parse rate"),
            Column("cut short", hint="answers that ran into the token limit"),
        ),
        tuple(
            Row(
                cells(
                    arm,
                    count(one["n"]),
                    count(one["parsed"]),
                    percent(one["parse_rate"]),
                    count(one["truncated"]),
                )
            )
            for arm, one in modes.items()
        ),
    )
    yield Table(
        f"items of {task} that hold no entity",
        (
            _ARM,
            Column("without entity", hint="items whose gold holds no entity"),
            Column("left empty", hint="answered with an empty array, as is right"),
            Column("rate"),
            Column("interval"),
        ),
        tuple(
            Row(
                cells(
                    arm,
                    count(one["entity_free"]["n"]),
                    count(one["entity_free"]["correct"]),
                    percent(one["entity_free"]["rate"], none=NONE),
                    percent_interval(one["entity_free"]["ci"]),
                )
            )
            for arm, one in modes.items()
        ),
    )


def _choice(task: str, modes: Document) -> Iterator[Table]:
    yield Table(
        f"answers on {task} that could not be read",
        (
            _ARM,
            Column("answers"),
            Column("unparsed", hint="no answer could be read; scored wrong"),
            Column("unparsed rate"),
            Column("cut short", hint="answers that ran into the token limit"),
        ),
        tuple(
            Row(
                cells(
                    arm,
                    count(one["n"]),
                    count(one["unparsed"]),
                    percent(one["unparsed_rate"]),
                    count(one["truncated"]),
                )
            )
            for arm, one in modes.items()
        ),
    )
    letters = sorted({x for one in modes.values() for x in (*one["letters"], *one["gold_letters"])})
    if letters:
        yield _letters(task, modes, letters)


def _letters(task: str, modes: Document, letters: list[str]) -> Table:
    golds = [one["gold_letters"] for one in modes.values()]
    shared = all(gold == golds[0] for gold in golds)
    heads: list[str] = ["gold"] if shared else []
    columns: list[Document] = [golds[0]] if shared else []
    for arm, one in modes.items():
        heads += [arm] if shared else [arm, f"gold of {arm}"]
        columns += [one["letters"]] if shared else [one["letters"], one["gold_letters"]]
    return Table(
        f"letters answered on {task}, beside the letters of the gold answers",
        (Column("letter", numeric=False), *(Column(head) for head in heads)),
        tuple(
            Row(cells(letter, *(count(column.get(letter, 0)) for column in columns)))
            for letter in letters
        ),
    )
