"""What deserves a look among the rows of a source: copies, contradictions, control tokens."""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from quantrial.errors import DataWarning
from quantrial.tasks.base import Task
from quantrial.tasks.choice_rows import repeated_option
from quantrial.tasks.rows import Row

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
