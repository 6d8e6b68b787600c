"""From rows to items: ids of content, copies kept apart, what deserves a look, what was read."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantrial.errors import DataError, DataWarning, StudyError
from quantrial.records import Item, content_hash, sha256_of
from quantrial.registry import SOURCES, kind_of
from quantrial.study import ImportedSource, TaskPart
from quantrial.tasks.base import Task
from quantrial.tasks.choice import repeated_option
from quantrial.tasks.rows import OF_CONTENT, Asked, Reading, ReadRow, Row, Source, shots_for

_LISTED = 20  # places of one kind that a manifest keeps

# Tokens that end a turn or a text, or change who speaks, in the templates of common models. An
# engine reads them as such wherever they stand in a prompt.
CONTROL = re.compile(
    r"<\|[^\s|<>]{1,60}\|>"  # <|im_end|>, <|eot_id|>, <|endoftext|>, <|channel|>
    r"|<\uff5c[^\s\uff5c<>]{1,60}\uff5c>"  # DeepSeek's, with full-width bars
    r"|\[/?(?:INST|THINK|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>"
    r"|<(?:start|end)_of_(?:turn|image)>|</?s>|<(?:bos|eos|pad)>|<(?:BOS|EOS)_TOKEN>"
    r"|</?think>|◁/?think▷"
)


def is_known_control_token(token: str) -> bool:
    """Whether a text is a control token of a common model."""
    return CONTROL.fullmatch(token) is not None


def texts_of(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield every text that a prompt shows of an item."""
    for value in content.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (one for one in value if isinstance(one, str))


def oddities(
    task: str, kind: type[Task], rows: Sequence[Row], shots: Sequence[Row]
) -> dict[str, list[list[str]]]:
    """Warn of what deserves a look, and list where it stands; a kind that is not there is left out.

    `contradictions` holds pairs of places, `control_tokens` a place and the token.

    Warns:
        DataWarning: options listed twice, one question with two answers, a control token in a text.
    """
    every = [*rows, *shots]
    found = {
        "contradictions": list(_contradictions(task, kind, every)),
        "control_tokens": list(_control_tokens(task, every)),
    }
    _warn_of_repeated_options(task, rows)
    return {kind: places[:_LISTED] for kind, places in found.items() if places}


def _warn_of_repeated_options(task: str, rows: Sequence[Row]) -> None:
    if twice := [row for row in rows if repeated_option(row) is not None]:
        many = len(twice) > 1
        _warn(
            f"tasks.{task}: {len(twice)} item{'s list' if many else ' lists'} an option twice, as "
            f"published (first: {twice[0].where}, {repeated_option(twice[0])!r:.60})"
        )


def _contradictions(task: str, kind: type[Task], rows: Sequence[Row]) -> Iterator[list[str]]:
    """Find rows that ask the same and have another answer: one of the two has to be wrong."""
    first: dict[Hashable, tuple[Hashable, Row]] = {}
    pairs = []
    for row in rows:
        asked, answer = kind.asked(row), kind.answer(row)
        known, earlier = first.setdefault(asked, (answer, row))
        if known != answer:
            if kind.refuses_contradictions:
                raise row.where.error(
                    f"asks what {earlier.where} asks, which says {kind.shown(earlier)}; here "
                    f"{kind.shown(row)} is right, so one of the two is wrong"
                )
            pairs.append((earlier, row))
    if pairs:
        one, other = pairs[0]
        many = len(pairs) > 1
        _warn(
            f"tasks.{task}: {len(pairs)} row{'s ask' if many else ' asks'} what an earlier one "
            f"asks and {'have' if many else 'has'} another answer, so one of the two is wrong "
            f"(first: {one.where} says {kind.shown(one)}, {other.where} says {kind.shown(other)})"
        )
    yield from ([str(one.where), str(other.where)] for one, other in pairs)


def _control_tokens(task: str, rows: Sequence[Row]) -> Iterator[list[str]]:
    found = [
        (row, match[0])
        for row in rows
        if (match := next(filter(None, map(CONTROL.search, texts_of(row.content))), None))
    ]
    if found:
        many = len(found) > 1
        row, token = found[0]
        _warn(
            f"tasks.{task}: {len(found)} item{'s hold' if many else ' holds'} a control token, "
            "which a model reads as the end of a turn or a change of speaker, not as text (first: "
            f"{row.where}, {token!r}); take it out, or write it otherwise"
        )
    yield from ([str(row.where), token] for row, token in found)


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=5)


ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class LoadedItems:
    """All items of a task's source, the examples it offers, and what was read.

    `items` and `shots` are in source order. `provenance` holds plain JSON values: `type`, `id`,
    `revision`, `content_sha256` (of all items and examples), `files` (name to the SHA-256 of its
    bytes), `rows`, and `duplicates` (id of the second copy, and where it stands); where there are
    any, `contradictions` (pairs of places with one question and two answers) and `control_tokens`
    (a place and the token in its text).
    """

    items: tuple[Item, ...]
    shots: tuple[Item, ...]
    provenance: Mapping[str, Any]


def load_items(task: str, spec: TaskPart, *, base: Path) -> LoadedItems:
    """Read every item of a task's source; relative paths start at the folder `base`.

    Raises:
        DataError: a file is missing, unreadable or malformed (with its line), or holds no item.
        StudyError: the study asks for what this source cannot give.
        MissingExtraError: the hub is asked for, and its packages are not installed.

    Warns:
        DataWarning: rows with the same content and gold, or the same content and another gold;
            options listed twice, control tokens, examples that are items, asked entity types that
            never occur.
    """
    key = f"tasks.{task}"
    source: Source = SOURCES.load(spec.source.type, key=f"{key}.source.type")
    kind: type[Task] = kind_of(spec)
    reading = _read(spec, source, base, key, kind.reader(spec, key))
    rows, shot_rows = list(reading.rows), list(reading.shots)
    if not rows:
        raise DataError("the source holds no items", path=reading.id)
    rows, shot_rows = kind.chosen(spec, rows, shot_rows, key)
    items, duplicates = _items(task, rows)
    shots, _ = _items(task, shot_rows)
    _check_shots(spec, source, items, shots, key)
    _warn_of_copies(task, duplicates)
    odd = oddities(task, kind, rows, shot_rows)
    hashes = [[item.content_sha256 for item in group] for group in (items, shots)]
    provenance = {
        "type": spec.source.type,
        "id": reading.id,
        "revision": reading.revision,
        "content_sha256": sha256_of(hashes),
        "files": dict(reading.files),
        "rows": len(items),
        "duplicates": duplicates,
        **odd,
    }
    if provenance["revision"] == OF_CONTENT:
        provenance["revision"] = provenance["content_sha256"]
    return LoadedItems(items, shots, provenance)


def _read(
    spec: TaskPart,
    source: Source,
    base: Path,
    key: str,
    row: ReadRow,
) -> Reading:
    if source.kind not in (None, spec.kind):
        raise StudyError(
            f"a source of type {spec.source.type!r} holds items of kind {source.kind!r}, but the "
            f"task is {spec.kind!r}",
            key=f"{key}.source.type",
        )
    return source.read(spec.source, Asked(spec.kind, base, f"{key}.source", row, spec.shots))


def _read_imported(source: ImportedSource, asked: Asked) -> Reading:
    raise StudyError(
        "the answers were imported, so there is no source of items; `analyze`, `decide`, "
        "`report` and `verify` work on such a run",
        key=f"{asked.key}.type",
    )


IMPORTED = Source(ImportedSource, _read_imported)


def _items(task: str, rows: Sequence[Row]) -> tuple[tuple[Item, ...], list[list[str]]]:
    copies: Counter[str] = Counter()
    items, duplicates, named = [], [], dict[str, str]()
    for row in rows:
        digest = content_hash(row.content, row.gold)
        own = digest[:ID_LENGTH]
        copies[own] += 1
        if row.id is not None:
            if row.id in named:
                raise row.where.error(
                    f"the id {row.id!r} is that of {named[row.id]} already; each item has its own"
                )
            named[row.id] = str(row.where)
        if copies[own] > 1:
            own = row.id or f"{own}-{copies[own]}"
            duplicates.append([own, str(row.where)])
        items.append(
            Item(
                task=task,
                id=row.id or own,
                content=row.content,
                gold=row.gold,
                metadata=row.metadata,
                source=str(row.where),
                content_sha256=digest,
            )
        )
    return tuple(items), duplicates


def _check_shots(
    spec: TaskPart, source: Source, items: Sequence[Item], shots: Sequence[Item], key: str
) -> None:
    if not spec.shots:
        return
    if len(shots) < spec.shots:
        need = source.shots_key
        hint = f"; set `{need}` in the source" if need and not shots else ""
        raise StudyError(
            f"asks for {spec.shots} examples, but the source offers {len(shots)}{hint}",
            key=f"{key}.shots",
        )
    if source.by_subject and any("subject" in s.metadata for s in shots):
        # published MMLU examples are of the item's own subject: never fill up from another one
        have = Counter(shot.metadata.get("subject") for shot in shots)
        for item in items:
            subject = item.metadata.get("subject")
            if subject is not None and have[subject] < spec.shots:
                raise StudyError(
                    f"asks for {spec.shots} examples, but {subject!r} has {have[subject]}",
                    key=f"{key}.shots",
                )
    used = {shot.content_sha256 for item in items for shot in shots_for(item, shots, spec.shots)}
    if both := [item for item in items if item.content_sha256 in used]:
        warnings.warn(
            f"{key}: {len(both)} of the items {'are' if len(both) > 1 else 'is'} among the solved "
            f"examples (first: {both[0].id}, {both[0].source}). The prompt gives the answer away.",
            DataWarning,
            stacklevel=3,
        )


def _warn_of_copies(task: str, duplicates: Sequence[Sequence[str]]) -> None:
    if duplicates:
        own, where = duplicates[0]
        many = len(duplicates) > 1
        warnings.warn(
            f"tasks.{task}: {len(duplicates)} row{'s repeat' if many else ' repeats'} an earlier "
            f"one and {'are kept as items of their' if many else 'is kept as an item of its'} own "
            f"(first: {own}, {where})",
            DataWarning,
            stacklevel=3,
        )
