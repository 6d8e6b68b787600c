"""What goes on disk: items, responses, speed and the manifest, each with its schema version.

A record is read strictly: the schema first, unknown and missing fields refused, types checked. The
error names the file, the line and the field.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from quantrial.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

ITEM_SCHEMA = "quantrial.item/1"
RESPONSE_SCHEMA = "quantrial.response/1"
SPEED_SCHEMA = "quantrial.speed/1"
MANIFEST_SCHEMA = "quantrial.manifest/1"

_COUNTS = ("order", "block", "attempt", "prompt_tokens", "completion_tokens")
_SPEED_COUNTS = (
    *("block", "position", "attempt", "prompt_length", "output_length"),
    *("prompt_tokens", "completion_tokens", "decoded_tokens"),
)
SPEED_KINDS = ("warm_up", "measured")
STATUSES = ("ok", "engine_error", "timeout", "context_overflow")


def canonical_json(value: Any) -> bytes:
    """Encode with sorted keys and no spaces: equal values give equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def sha256_of(value: Any) -> str:
    """Hash the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


@dataclass(frozen=True, slots=True)
class Item:
    """One question or sentence with its gold answer.

    `content` is what a prompt is made of, `gold` what a response is scored against; neither knows
    of arms. `id` follows from both, so equal content has an equal id, and a `-2` marks its second
    copy.
    """

    task: str
    id: str
    content: Mapping[str, Any]
    gold: Any
    metadata: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    content_sha256: str = ""
    schema: str = ITEM_SCHEMA

    def to_json(self) -> bytes:
        """Encode as one line, without its newline."""
        return orjson.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Response:
    """What one arm answered to one item on one attempt, raw. The only truth."""

    study: str
    task: str
    arm: str
    item: str
    replicate: int
    attempt: int
    order: int
    block: int
    status: str
    error: str | None
    output: str
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    timing: Mapping[str, float | None]
    started_at: str
    prompt_sha256: str | None = None
    decoded_tokens: int | None = None
    cached_tokens: int | None = None
    logprobs: Any = None
    final: bool = False  # a fault that asking again cannot help
    schema: str = RESPONSE_SCHEMA

    def to_json(self) -> bytes:
        """Encode as one line, without its newline; optional fields only where they are known."""
        record = asdict(self)
        for name in ("decoded_tokens", "cached_tokens", "logprobs"):
            if record[name] is None:
                del record[name]
        if not self.final:
            del record["final"]
        return orjson.dumps(record)


@dataclass(frozen=True, slots=True)
class SpeedRecord:
    """One call of the speed phase: what was asked for, how long it took, what the machine did.

    `kind` is `measured`, or `warm_up` for the uncounted first call after a start, whose
    `timing.load` is that start's. `position` counts the measured calls of a block. `asked` names
    the abilities (`exact_length`, `fresh`) that the engine has and the call relied on. `machine`
    is what was sampled around the call; null where the system does not say.
    """

    study: str
    arm: str
    kind: str
    block: int
    position: int
    attempt: int
    prompt_length: int
    output_length: int
    asked: tuple[str, ...]
    status: str
    error: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    decoded_tokens: int | None
    timing: Mapping[str, float | None]
    machine: Mapping[str, float | None]
    started_at: str
    prompt_sha256: str
    final: bool = False  # a fault that asking again cannot help
    schema: str = SPEED_SCHEMA

    @property
    def shape(self) -> tuple[int, int]:
        """The lengths of prompt and answer that were aimed at, in tokens."""
        return self.prompt_length, self.output_length

    @property
    def seconds(self) -> float:
        """What the call took of the phase: its load and the pause before it included."""
        spent = (self.timing.get("wall"), self.timing.get("load"))
        return sum(s or 0.0 for s in (*spent, self.machine.get("paused_seconds")))

    def to_json(self) -> bytes:
        """Encode as one line, without its newline."""
        record = asdict(self)
        if not self.final:
            del record["final"]
        return orjson.dumps(record)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ran: artifacts, versions, host, options, data and times.

    `design` is the order of calls that was decided on; empty in runs from before it was written.
    """

    study: Mapping[str, Any]
    arms: Mapping[str, Any]
    tasks: Mapping[str, Any]
    software: Mapping[str, Any]
    host: Mapping[str, Any]
    sessions: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    design: Mapping[str, Any] = field(default_factory=dict)
    schema: str = MANIFEST_SCHEMA

    def to_json(self) -> bytes:
        """Encode as an indented document."""
        record = asdict(self)
        if not self.design:
            del record["design"]
        return orjson.dumps(record, option=orjson.OPT_INDENT_2) + b"\n"


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
    RESPONSE_SCHEMA: {
        "study": (str,),
        "task": (str,),
        "arm": (str,),
        "item": (str,),
        "replicate": (int,),
        "attempt": (int,),
        "order": (int,),
        "block": (int,),
        "status": (str,),
        "error": (str, type(None)),
        "output": (str,),
        "finish_reason": (str, type(None)),
        "prompt_tokens": (int, type(None)),
        "completion_tokens": (int, type(None)),
        "timing": (dict,),
        "started_at": (str,),
        "prompt_sha256": (str, type(None)),
        "decoded_tokens": (int, type(None)),
        "cached_tokens": (int, type(None)),
        "logprobs": (list, dict, type(None)),
        "final": (bool,),
        "schema": (str,),
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
        "error": (str, type(None)),
        "finish_reason": (str, type(None)),
        "prompt_tokens": (int, type(None)),
        "completion_tokens": (int, type(None)),
        "decoded_tokens": (int, type(None)),
        "timing": (dict,),
        "machine": (dict,),
        "started_at": (str,),
        "prompt_sha256": (str,),
        "final": (bool,),
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
        "schema": (str,),
    },
}
_OPTIONAL = {
    ITEM_SCHEMA: {"content_sha256"},
    RESPONSE_SCHEMA: {"prompt_sha256", "decoded_tokens", "cached_tokens", "logprobs", "final"},
    SPEED_SCHEMA: {"final"},
    MANIFEST_SCHEMA: {"design"},
}

# Whether a record is sound follows from its schema, its fields and their types. Lines of one file
# differ in these hardly ever, so each such shape is checked once.
_SOUND: set[tuple[str, tuple[str, ...], tuple[type, ...]]] = set()
_MOST_SHAPES = 1000


def decode(
    data: bytes, expected: str, *, path: Path | str, line: int | None = None
) -> dict[str, Any]:
    """Parse one JSON record and check it against its schema.

    Returns the record as a dict that holds exactly the fields of the schema.

    Raises:
        RecordError: not UTF-8 JSON, another schema, a missing, unknown or wrongly typed field.
    """
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise RecordError(f"not valid JSON ({exc})", path=path, line=line) from exc
    if not isinstance(record, dict):
        raise RecordError("expected a JSON object", path=path, line=line)
    schema = record.get("schema")
    if schema != expected:
        raise RecordError(
            f"schema is {schema!r}; this version of quantrial reads {expected!r}",
            path=path,
            line=line,
        )
    shape = (expected, tuple(record), tuple(map(type, record.values())))
    if shape in _SOUND:
        return record
    types = _TYPES[expected]
    if extra := record.keys() - types.keys():
        raise RecordError(f"unknown field {min(extra)!r}", path=path, line=line)
    if missing := types.keys() - record.keys() - _OPTIONAL.get(expected, set()):
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
    return record


def item_from_json(data: bytes, *, path: Path | str, line: int | None = None) -> Item:
    """Read one line of items.jsonl, checking that its id and hash follow from its content."""
    item = Item(**decode(data, ITEM_SCHEMA, path=path, line=line))
    digest = content_hash(item.content, item.gold)
    if item.content_sha256 != digest:
        raise RecordError(
            f"item {item.id!r} was edited: its content hashes to {digest[:12]}..., "
            f"recorded is {item.content_sha256[:12]}...",
            path=path,
            line=line,
        )
    return item


def response_from_json(data: bytes, *, path: Path | str, line: int | None = None) -> Response:
    """Read one line of a responses file."""
    record = decode(data, RESPONSE_SCHEMA, path=path, line=line)
    _one_of("status", record["status"], STATUSES, path=path, line=line)
    _numbers({name: record[name] for name in _COUNTS} | record["timing"], path=path, line=line)
    return Response(**record)


def speed_from_json(data: bytes, *, path: Path | str, line: int | None = None) -> SpeedRecord:
    """Read one line of speed.jsonl."""
    record = decode(data, SPEED_SCHEMA, path=path, line=line)
    _one_of("status", record["status"], STATUSES, path=path, line=line)
    _one_of("kind", record["kind"], SPEED_KINDS, path=path, line=line)
    numbers = {name: record[name] for name in _SPEED_COUNTS}
    _numbers(numbers | record["timing"] | record["machine"], path=path, line=line)
    record["asked"] = tuple(record["asked"])
    return SpeedRecord(**record)


def _one_of(
    name: str, value: str, known: tuple[str, ...], *, path: Path | str, line: int | None
) -> None:
    if value not in known:
        raise RecordError(
            f"{name} is {value!r}; expected one of {', '.join(known)}", path=path, line=line
        )


def _numbers(values: Mapping[str, Any], *, path: Path | str, line: int | None) -> None:
    for name, value in values.items():
        if value is not None and not (isinstance(value, (int, float)) and 0 <= value < math.inf):
            raise RecordError(
                f"{name} is {value!r:.40}, expected a number of at least 0", path=path, line=line
            )


def manifest_from_json(data: bytes, *, path: Path | str) -> Manifest:
    """Read manifest.json."""
    record = decode(data, MANIFEST_SCHEMA, path=path)
    record["sessions"] = tuple(record["sessions"])
    record["notes"] = tuple(record["notes"])
    return Manifest(**record)


def content_hash(content: Mapping[str, Any], gold: Any) -> str:
    """Hash what makes an item the item it is: its content and its gold answer."""
    return sha256_of({"content": content, "gold": gold})
