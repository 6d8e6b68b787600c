"""What a file of one's own items holds: its fields, and which of them is what."""

from __future__ import annotations

import re
import shlex
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from quantrial.errors import StudyError
from quantrial.records import canonical_json
from quantrial.registry import SOURCES, hint_of
from quantrial.tasks.rows import Asked, Row, Where, name_in_template

SUFFIXES = {
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    ".xlsx": "excel",
}
"""The type of source that reads a file, by its ending; any other is JSONL."""

_LABELS = (
    *("label", "labels", "category", "intent", "class", "queue", "route", "team", "department"),
    "topic",
)
_CALLS = ("calls", "tool_calls", "expected_calls", "function_calls")
_GOLD = (
    *("gold", "label", "labels", "answer", "answers", "expected", "expected_output"),
    *("expected_answer", "target", "output", "reference", "ideal", "solution", "correct"),
    *("ground_truth", "truth", "completion", "response", "value", "result", "json", "fields"),
)
_KEPT = ("constraints", "rules")
_SHOWN = (
    *("question", "problem", "text", "message", "prompt", "input", "query", "ticket", "body"),
    *("content", "instruction", "request", "utterance", "sentence", "description", "document"),
)
_BESIDE = ("context", "passage", "title", "subject")  # shown before it, where they differ by row
_ID = re.compile(r"(.*[_\W])?(id|key|nr|no|number|uuid|index)", re.IGNORECASE)
_MOST_GROUPS = 20
_LISTED = 3  # places of one kind that are named


@dataclass(frozen=True, slots=True)
class FieldFound:
    """One field: what it holds, how many rows have a value, how many values are different.

    Lengths are in characters, of anything but a text of its JSON.
    """

    name: str
    holds: str
    filled: int
    values: int
    shortest: int
    median: float
    longest: int


@dataclass(frozen=True, slots=True)
class ItemsFound:
    """What a file of items holds.

    Attributes:
        path: the file.
        rows: how many there are.
        fields: each field that occurs.
        gold: the field with the right answer; None where none is needed and none was found.
        golds: what it holds, row by row.
        id: the field that names an item, where there is one.
        shown: the fields that a prompt should show.
        groups: fields whose values are groups of items, and how many groups.
        longest_tokens: of the longest item that is shown, roughly: 4 bytes per token.
        warnings: what deserves a look, in sentences.
    """

    path: Path
    rows: int
    fields: tuple[FieldFound, ...]
    gold: str | None
    golds: tuple[Any, ...]
    id: str | None
    shown: tuple[str, ...]
    groups: Mapping[str, int]
    longest_tokens: int
    warnings: tuple[str, ...]


def type_of(path: Path) -> str:
    """Return the type of source that reads a file."""
    return SUFFIXES.get(path.suffix.lower(), "jsonl")


def inspect_items(path: Path, workload: str, gold: str | None = None) -> ItemsFound:
    """Read a file of items and find out which field is what.

    Args:
        path: JSONL, CSV, Parquet or Excel.
        workload: what the items are for, one of those of `quantrial init`.
        gold: the field with the right answer; by its name by default.

    Raises:
        DataError: the file is missing, or cannot be read, or holds no item.
        StudyError: no field looks like the right answer, or like something to show.
    """
    records = _records(path)
    fields = tuple(_fields([record for _, record in records]))
    names = [field.name for field in fields]
    few = min(
        (field for field in fields if field.holds == "text" and field.values > 1),
        key=lambda field: field.values,
        default=None,
    )
    likely = few.name if workload == "routing" and few is not None else "FIELD"
    gold = _gold(path, names, workload, gold, likely)
    texts = [field for field in fields if field.holds == "text" and field.name != gold]
    unique = [f for f in fields if f.filled == f.values == len(records) and f.holds != "list"]
    ids = [f.name for f in unique if _ID.fullmatch(f.name) and f.name != gold]
    texts = [field for field in texts if field.name not in ids]
    shown = _shown(path, texts, len(records), every=workload == "custom")
    groups = {
        field.name: field.values
        for field in fields
        if field.name not in (gold, *ids, *shown)
        and field.filled == len(records)
        and field.holds in ("text", "number", "true or false")
        and 2 <= field.values <= min(_MOST_GROUPS, max(2, len(records) // 3))
    }
    sizes = [
        sum(len(str(record.get(name) or "").encode()) for name in shown) for _, record in records
    ]
    return ItemsFound(
        path,
        len(records),
        fields,
        gold,
        tuple(record.get(gold) for _, record in records) if gold else (),
        ids[0] if ids else None,
        shown,
        groups,
        max(sizes) // 4 + 1,
        tuple(_warnings(records, gold, shown)),
    )


def _records(path: Path) -> list[tuple[Where, dict[str, Any]]]:
    records: list[tuple[Where, dict[str, Any]]] = []

    def keep(record: dict[str, Any], where: Where) -> Row:
        records.append((where, record))
        return Row({}, None, {}, where)

    source = SOURCES.load(type_of(path), key="--items")
    source.read(source.part(type=type_of(path), path=path), Asked("text", Path(), "--items", keep))
    return records


def _fields(records: Sequence[Mapping[str, Any]]) -> Iterator[FieldFound]:
    for name in dict.fromkeys(name for record in records for name in record):
        values = [record[name] for record in records if record.get(name) is not None]
        written = [v if isinstance(v, str) else orjson.dumps(v).decode() for v in values]
        kinds = set(map(_kind, values))
        lengths = list(map(len, written)) or [0]
        yield FieldFound(
            name,
            holds=kinds.pop() if len(kinds) == 1 else "several kinds" if kinds else "nothing",
            filled=len(values),
            values=len(set(written)),
            shortest=min(lengths),
            median=statistics.median(lengths),
            longest=max(lengths),
        )


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else "object"


def _gold(
    path: Path, names: Sequence[str], workload: str, asked: str | None, likely: str
) -> str | None:
    if asked is not None:
        if asked not in names:
            hint = hint_of(asked, names, "fields: ")
            raise StudyError(f"{path.name} has no field {asked!r}; {hint}", key="--gold")
        return asked
    first = {"routing": _LABELS, "tools": _CALLS, "instructions": _KEPT}.get(workload, ())
    folded = {name.casefold(): name for name in reversed(names)}
    found = next((folded[name] for name in (*first, *_GOLD) if name in folded), None)
    if found is None and workload != "custom":
        raise StudyError(
            f"no field of {path.name} is named as a right answer usually is "
            f"({', '.join((*first, *_GOLD)[:6])} and so on); fields: {', '.join(names)[:200]}. "
            f"Name it, such as --gold {shlex.quote(likely)}"
        )
    return found


def _shown(path: Path, texts: Sequence[FieldFound], rows: int, *, every: bool) -> tuple[str, ...]:
    by_name = {name_in_template(field.name).casefold(): field for field in reversed(texts)}
    main = next((by_name[name] for name in _SHOWN if name in by_name), None)
    if main is None:
        main = max(texts, key=lambda field: field.median, default=None)
    if main is None:
        raise StudyError(f"{path.name} holds no field with texts that a prompt could show")
    if every:
        return tuple(f.name for f in texts if f is main or f.values > rows / 2)
    beside = [by_name[name] for name in _BESIDE if name in by_name and by_name[name] is not main]
    longest = max(texts, key=lambda field: field.median)
    if longest is not main and longest not in beside and longest.median > 4 * main.median:
        beside.append(longest)  # what a question is about, whatever it is called
    return (*(f.name for f in beside if f.values > rows / 2), main.name)


def _warnings(
    records: Sequence[tuple[Where, Mapping[str, Any]]], gold: str | None, shown: Sequence[str]
) -> Iterator[str]:
    for name in dict.fromkeys((*shown, *([gold] if gold else ()))):
        if empty := [where for where, record in records if record.get(name) is None]:
            yield (
                f"{name} is missing or null in {_rows(empty)}. `plan` refuses this: fill it in, or "
                "take these rows out."
            )
    first: dict[bytes, tuple[bytes, Where]] = {}
    copies, contradictions = [], []
    for where, record in records:
        answer = canonical_json(record.get(gold) if gold else None)
        content = canonical_json([record.get(name) for name in shown])
        known, earlier = first.setdefault(content, (answer, where))
        if known != answer:
            contradictions.append((earlier, where))
        elif earlier is not where:
            copies.append(where)
    if copies:
        what = "ask what earlier ones ask" if len(copies) > 1 else "asks what an earlier one asks"
        yield (
            f"{_rows(copies)} {what}, with the same answer. Copies count as one cluster, so "
            "they add little."
        )
    for earlier, where in contradictions[:_LISTED]:
        yield (
            f"Rows {earlier.line} and {where.line} ask the same and have two right answers. `plan` "
            "refuses this: one of the two is wrong."
        )
    if len(contradictions) > _LISTED:
        yield f"{len(contradictions) - _LISTED} more rows contradict an earlier one."


def _rows(places: Sequence[Where]) -> str:
    if len(places) == 1:
        return f"Row {places[0].line}"
    named = ", ".join(str(one.line) for one in places[:_LISTED])
    return f"{len(places)} rows (first: {named})"


def counted(golds: Sequence[Any]) -> Counter[str]:
    """Count how often each label occurs, alone or in lists, by the form that is the most frequent.

    Upper and lower case, white space, `-` and `_` make no difference, as for the scorer `label`.
    """
    forms: dict[str, Counter[str]] = {}
    for gold in golds:
        for one in gold if isinstance(gold, list) else [gold]:
            if isinstance(one, (str, int)) and not isinstance(one, bool) and str(one).strip():
                text = " ".join(str(one).split())
                key = " ".join(re.split(r"[\s_-]+", text.casefold()))
                forms.setdefault(key, Counter())[text] += 1
    return Counter({form.most_common(1)[0][0]: form.total() for form in forms.values()})
