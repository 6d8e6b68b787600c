"""The schemas of what goes on disk: which fields a record has, and how older ones become today's.

A record is read strictly: the schema first, unknown and missing fields refused, types checked. The
error names the file, the line and the field.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quantrial.errors import RecordError
from quantrial.strict_json import parse_json

if TYPE_CHECKING:
    from pathlib import Path

ITEM_SCHEMA = "quantrial.item/1"
RESPONSE_SCHEMA = "quantrial.response/2"
SPEED_SCHEMA = "quantrial.speed/1"
MANIFEST_SCHEMA = "quantrial.manifest/1"

_RESPONSE_1 = "quantrial.response/1"
_TEXT, _COUNT = (str, type(None)), (int, type(None))
_RESPONSE_1_TYPES: dict[str, tuple[type, ...]] = {
    "study": (str,),
    "task": (str,),
    "arm": (str,),
    "item": (str,),
    "replicate": (int,),
    "attempt": (int,),
    "order": (int,),
    "block": (int,),
    "status": (str,),
    "error": _TEXT,
    "output": (str,),
    "finish_reason": _TEXT,
    "prompt_tokens": _COUNT,
    "completion_tokens": _COUNT,
    "timing": (dict,),
    "started_at": (str,),
    "prompt_sha256": _TEXT,
    "decoded_tokens": _COUNT,
    "cached_tokens": _COUNT,
    "logprobs": (list, dict, type(None)),
    "final": (bool,),
    "schema": (str,),
}
_TYPES: dict[str, dict[str, tuple[type, ...]]] = {
    ITEM_SCHEMA: {
        "task": (str,),
        "id": (str,),
        "content": (dict,),
        "gold": (str, int, list),
        "metadata": (dict,),
        "source": (str,),
        "content_sha256": (str,),
        "schema": (str,),
    },
    _RESPONSE_1: _RESPONSE_1_TYPES,
    RESPONSE_SCHEMA: {
        **_RESPONSE_1_TYPES,
        "thought": _TEXT,
        "tool_calls": (list, type(None)),
        "scores": (dict, type(None)),
        "scored_by": _TEXT,
        "host": _TEXT,
        "at_limit": (bool,),
        "uncounted": (bool,),
    },
    SPEED_SCHEMA: {
        "study": (str,),
        "arm": (str,),
        "kind": (str,),
        "block": (int,),
        "position": (int,),
        "attempt": (int,),
        "prompt_length": (int,),
        "output_length": (int,),
        "asked": (list,),
        "status": (str,),
        "error": _TEXT,
        "finish_reason": _TEXT,
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "decoded_tokens": _COUNT,
        "timing": (dict,),
        "machine": (dict,),
        "started_at": (str,),
        "prompt_sha256": (str,),
        "final": (bool,),
        "form": (str,),
        "schema": (str,),
    },
    MANIFEST_SCHEMA: {
        "study": (dict,),
        "arms": (dict,),
        "tasks": (dict,),
        "software": (dict,),
        "host": (dict,),
        "sessions": (list,),
        "notes": (list,),
        "design": (dict,),
        "code": (list,),
        "schema": (str,),
    },
}
_OPTIONAL_1 = {"prompt_sha256", "decoded_tokens", "cached_tokens", "logprobs", "final"}
_OPTIONAL = {
    ITEM_SCHEMA: {"content_sha256"},
    _RESPONSE_1: _OPTIONAL_1,
    RESPONSE_SCHEMA: _OPTIONAL_1
    | {"thought", "tool_calls", "scores", "scored_by", "host", "at_limit", "uncounted"},
    SPEED_SCHEMA: {"final", "form"},
    MANIFEST_SCHEMA: {"design", "code"},
}

_Upgrade = Callable[[dict[str, Any]], None]


def _as_it_is(record: dict[str, Any]) -> None:
    """Leave a record alone: what the next schema adds is not known of it."""


# What makes a record of an older schema one of the next, oldest first. The list is appended to and
# never edited, so that a run of any age is read; a file holds lines of two schemas where a run was
# begun under one and continued under the other.
_UPGRADES: tuple[tuple[str, str, _Upgrade], ...] = (
    (_RESPONSE_1, "quantrial.response/2", _as_it_is),
)

# Whether a record is sound follows from its schema, its fields and their types. Lines of one file
# differ in these hardly ever, so each such shape is checked once.
_SOUND: set[tuple[str, tuple[str, ...], tuple[type, ...]]] = set()
_MOST_SHAPES = 1000


def decode(
    data: bytes, expected: str, *, path: Path | str, line: int | None = None
) -> dict[str, Any]:
    """Parse one JSON record and check it against its schema.

    Returns the record as a dict that holds no fields but those of the schema `expected`, whichever
    earlier schema it was written under.

    Raises:
        RecordError: not UTF-8 JSON, a key twice, a schema of another kind or of a later version, a
            missing, unknown or wrongly typed field.
    """
    record = parse_json(data, path=path, line=line, nulls=True)
    if not isinstance(record, dict):
        raise RecordError("expected a JSON object", path=path, line=line)
    schema = record.get("schema")
    if not isinstance(schema, str) or (steps := _steps(schema, expected)) is None:
        raise RecordError(
            f"schema is {schema!r}; this version of quantrial reads {expected!r}",
            path=path,
            line=line,
        )
    _check(record, schema, path=path, line=line)
    for later, upgrade in steps:
        upgrade(record)
        record["schema"] = later
    return record


@functools.cache
def _steps(schema: str, expected: str) -> tuple[tuple[str, _Upgrade], ...] | None:
    """List the upgrades from one schema to another, in order; None where there is no such way."""
    steps: list[tuple[str, _Upgrade]] = []
    for older, newer, upgrade in _UPGRADES:
        if schema == older and schema != expected:
            steps.append((newer, upgrade))
            schema = newer
    return tuple(steps) if schema == expected else None


def _check(record: dict[str, Any], schema: str, *, path: Path | str, line: int | None) -> None:
    shape = (schema, tuple(record), tuple(map(type, record.values())))
    if shape in _SOUND:
        return
    types = _TYPES[schema]
    if extra := record.keys() - types.keys():
        raise RecordError(f"unknown field {min(extra)!r}", path=path, line=line)
    if missing := types.keys() - record.keys() - _OPTIONAL.get(schema, set()):
        raise RecordError(f"field {min(missing)!r} is missing", path=path, line=line)
    for name, value in record.items():
        # bool is an int in Python, and never what a count means
        astray = isinstance(value, bool) and bool not in types[name]
        if not isinstance(value, types[name]) or astray:
            wanted = " or ".join(t.__name__ for t in types[name])
            raise RecordError(
                f"field {name!r} is {value!r:.60}, expected {wanted}", path=path, line=line
            )
    if len(_SOUND) < _MOST_SHAPES:
        _SOUND.add(shape)
