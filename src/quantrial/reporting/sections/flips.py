"""Which answers turned between two arms, and where to read them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.inert import clean
from quantrial.reporting.blocks import Cell, Column, Group, Row, Section, Table, cells
from quantrial.reporting.contrasts import pair
from quantrial.reporting.sections import noise
from quantrial.words import count

Document = Mapping[str, Any]

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
