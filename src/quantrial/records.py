"""What goes on disk: items, responses, speed and the manifest, each with its schema version.

The fields of a class are its schema. A record is read strictly: the schema first, unknown and
missing fields refused, types checked; the error names the file, the line and the field.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypedDict, get_args, get_origin, get_type_hints

import msgspec
import orjson

from quantrial.errors import RecordError
from quantrial.precision import ModelFacts, fallen_back, quantized_before, type_before
from quantrial.probabilities import known_tokens
from quantrial.strict_json import parse_json

if TYPE_CHECKING:
    from pathlib import Path

ITEM_SCHEMA = "quantrial.item/1"
RESPONSE_SCHEMA = "quantrial.response/2"
SPEED_SCHEMA = "quantrial.speed/1"
MANIFEST_SCHEMA = "quantrial.manifest/1"

_COUNTS = ("order", "block", "attempt", "prompt_tokens", "completion_tokens")
_SPEED_COUNTS = (
    *("block", "position", "attempt", "prompt_length", "output_length"),
    *("prompt_tokens", "completion_tokens", "decoded_tokens"),
)
SPEED_KINDS = ("warm_up", "measured", "rehearsal", "cut")
FORMS = ("words", "list", "request")
# Why an answer ended that did not end by itself: at its limit of tokens, because its server stops
# what goes round in circles, because it broke off there whenever it was asked for.
CUT_SHORT = frozenset({"length", "repeat_limit", "broken_off"})
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
        return orjson.dumps(_as_mapping(self))


@dataclass(frozen=True, slots=True)
class Response:
    """What one arm answered to one item on one attempt, raw. The only truth.

    `thought` is what the model thought apart from `output`, `tool_calls` what it would have called.
    `scores` are numbers that `scored_by` (a program, a judge) gave the answer. `host` names the
    machine or replica that answered. `at_limit`: it ended by itself with the last token allowed.
    """

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
    thought: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    scores: Mapping[str, float | None] | None = None
    scored_by: str | None = None
    host: str | None = None
    at_limit: bool = False
    uncounted: bool = False  # its server was gone: a fault that takes no attempt from its call
    schema: str = RESPONSE_SCHEMA

    @property
    def has_text(self) -> bool:
        """Whether what was answered is recorded; of scores from elsewhere it may not be."""
        return self.scores is None or bool(self.said)

    @property
    def characters(self) -> int | None:
        """How long what was answered is; recorded beside the hash of a text, None if unknown."""
        if self.scores is not None and "text.characters" in self.scores:
            count = self.scores["text.characters"]
            return None if count is None else int(count)
        return len(self.said) if self.has_text else None

    @property
    def said(self) -> str:
        """The output and, each in a line of its own below it, the calls of tools as JSON.

        Without their ids, that servers draw anew each time.
        """
        lines = [self.output] if self.output else []
        for call in self.tool_calls or ():
            named = call.get("function")
            told = named if isinstance(named, Mapping) else call
            lines.append(json.dumps({k: told[k] for k in told if k != "id"}, ensure_ascii=False))
        return "\n".join(lines)

    def to_json(self) -> bytes:
        """Encode as one line, without its newline; optional fields only where they are known."""
        record = _as_mapping(self)
        for name in ("decoded_tokens", "cached_tokens", "logprobs"):
            if record[name] is None:
                del record[name]
        for name in ("final", "uncounted"):
            if not record[name]:
                del record[name]
        return orjson.dumps(record)


def _as_mapping(record: Item | Response) -> dict[str, Any]:
    """Return the fields by their names; `asdict` would copy each value, which takes long."""
    return {one.name: getattr(record, one.name) for one in fields(record)}


@dataclass(frozen=True, slots=True)
class SpeedRecord:
    """One call of the speed phase: what was asked for, how long it took, what the machine did.

    `kind` is `measured`, or `warm_up` for the uncounted first call after a start, whose
    `timing.load` is that start's; `rehearsal` of a call that tried a form of prompts, `cut` of one
    that the phase's time limit ended. `form` is that of its prompt. `position` counts the measured
    calls of a block. `asked` names the abilities (`exact_length`, `fresh`) that the engine has and
    the call relied on. `machine` is what was sampled around the call; null where the system does
    not say.
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
    form: str = "words"
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
        if self.form == "words":
            del record["form"]
        return orjson.dumps(record)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArmRecord(ModelFacts, Mapping[str, Any]):
    """What the manifest holds of one arm: its engine, the software that answers, its artifact.

    `template_applied_sha256` and `template_opens_thought` tell what the chat template made of the
    first item, `template_changed` that it made something else of it later. `identity_probe` holds
    the answers to a fixed prompt that a silent server is known by, `doubtful_answers` the (order,
    attempt) of those that are to be asked again.

    As a mapping it is its JSON: the keys that were read (`names`), in their order, then what was
    set since; keys of other versions (`more`) are kept.
    """

    quantized_before: Mapping[str, Any] | None = None
    structure: Mapping[str, Any] | None = None
    sampling: Mapping[str, Any] | None = None
    engine: str | None = None
    versions: Mapping[str, Any] = field(default_factory=dict)
    sampling_probe: Mapping[str, Any] | None = None
    template_applied_sha256: str | None = None
    template_opens_thought: str | None = None
    identity_probe: Mapping[str, Any] | None = None
    doubtful_answers: Sequence[tuple[int, int]] | None = None
    template_changed: bool = False
    names: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stored_mostly(self) -> str | None:
        """What most weights are stored as, where that has other bits than their type."""
        return fallen_back(self.quantization, self.stored_as)

    @property
    def type_before(self) -> str | None:
        """What the weights were before they were stored in their type; None: nothing shows it."""
        before = quantized_before(self)
        return type_before(before.get("type"), before.get("levels")) if before else None

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ArmRecord:
        """Read an arm's record from its JSON, of any version."""
        known = {name: value for name, value in record.items() if name in _OF_ARM}
        more = {name: value for name, value in record.items() if name not in _OF_ARM}
        return cls(**known, names=tuple(record), more=more)

    def with_template(self, applied_sha256: str | None, opens_thought: str | None) -> ArmRecord:
        """Return the record with what the chat template made of the first item, known or not."""
        two = ("template_applied_sha256", "template_opens_thought")
        return replace(
            self,
            template_applied_sha256=applied_sha256,
            template_opens_thought=opens_thought,
            names=tuple(dict.fromkeys((*self.names, *two))),
        )

    def __getitem__(self, name: str) -> Any:
        if name in self.names or self._is_set(name):
            return getattr(self, name) if name in _OF_ARM else self.more[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from self.names
        yield from (n for n in _OF_ARM if n not in self.names and self._is_set(n))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _is_set(self, name: str) -> bool:
        return name in _OF_ARM and getattr(self, name) != getattr(_UNKNOWN_ARM, name)


_OF_ARM = dict.fromkeys(one.name for one in fields(ArmRecord) if one.name not in ("names", "more"))
_UNKNOWN_ARM = ArmRecord()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ran: artifacts, versions, host, options, data and times.

    `design` is the order of calls that was decided on; empty in runs from before it was written.
    `code` is what ran because the study names it: key, what it is, and the hash of that.
    """

    study: Mapping[str, Any]
    arms: Mapping[str, ArmRecord]
    tasks: Mapping[str, Any]
    software: Mapping[str, Any]
    host: Mapping[str, Any]
    sessions: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    design: Mapping[str, Any] = field(default_factory=dict)
    code: Sequence[Mapping[str, Any]] = ()
    schema: str = MANIFEST_SCHEMA

    def to_json(self) -> bytes:
        """Encode as an indented document."""
        record = asdict(replace(self, arms={}))
        record["arms"] = {name: dict(arm) for name, arm in self.arms.items()}
        for name in ("design", "code"):
            if not record[name]:
                del record[name]
        return orjson.dumps(record, option=orjson.OPT_INDENT_2) + b"\n"


_Upgrade = Callable[[dict[str, Any]], None]

# What makes a record of an older schema one of the next, oldest first. The list is appended to and
# never edited, so that a run of any age is read; a file holds lines of two schemas where a run was
# begun under one and continued under the other. What the second one added is not known of a first.
_UPGRADES: tuple[tuple[str, str, _Upgrade], ...] = (
    ("quantrial.response/1", "quantrial.response/2", lambda record: None),
)
_LATER = {
    "quantrial.response/1": {
        *("thought", "tool_calls", "scores", "scored_by", "host", "at_limit", "uncounted"),
    }
}
# Fields with a default that were always written.
_ALWAYS = {"schema", "metadata", "source", "sessions", "notes"}
_OF_JSON: dict[Any, type] = {Mapping: dict, Sequence: list, tuple: list}
_OF_ANY: dict[str, tuple[type, ...]] = {
    "gold": (str, int, float, bool, list, dict, types.NoneType),
    "logprobs": (list, dict, type(None)),
}

# Whether a record is sound follows from its schema, its fields and their types. Lines of one file
# differ in these hardly ever, so each such shape is checked once.
_SOUND: set[tuple[str, tuple[str, ...], tuple[type, ...]]] = set()
_MOST_SHAPES = 1000


def decode(data: bytes, kind: type, *, path: Path | str, line: int | None = None) -> dict[str, Any]:
    """Parse one JSON record and check it against its schema.

    Returns the record as a dict that holds no fields but those of `kind`, whichever earlier schema
    it was written under.

    Raises:
        RecordError: not UTF-8 JSON, a key twice, a schema of another kind or of a later version, a
            missing, unknown or wrongly typed field.
    """
    record = parse_json(data, path=path, line=line, nulls=True)
    if not isinstance(record, dict):
        raise RecordError("expected a JSON object", path=path, line=line)
    schema, expected = record.get("schema"), _fields(kind)["schema"].default
    if not isinstance(schema, str) or (steps := _steps(schema, expected)) is None:
        raise RecordError(
            f"schema is {schema!r}; this version of quantrial reads {expected!r}",
            path=path,
            line=line,
        )
    shape = (schema, tuple(record), tuple(map(type, record.values())))
    if shape not in _SOUND:
        if said := _unsound(record, schema, kind):
            raise RecordError(said, path=path, line=line)
        if len(_SOUND) < _MOST_SHAPES:
            _SOUND.add(shape)
    for later, upgrade in steps:
        upgrade(record)
        record["schema"] = later
    return record


@functools.cache
def _fields(kind: type) -> dict[str, Field[Any]]:
    return {one.name: one for one in fields(kind)}


@functools.cache
def _steps(schema: str, expected: str) -> tuple[tuple[str, _Upgrade], ...] | None:
    """List the upgrades from one schema to another, in order; None where there is no such way."""
    steps: list[tuple[str, _Upgrade]] = []
    for older, newer, upgrade in _UPGRADES:
        if schema == older and schema != expected:
            steps.append((newer, upgrade))
            schema = newer
    return tuple(steps) if schema == expected else None


def _unsound(record: Mapping[str, Any], schema: str, kind: type) -> str | None:
    """Say what is wrong with the fields of a record; None where nothing is."""
    hints, known = get_type_hints(kind), _fields(kind).keys() - _LATER.get(schema, set())
    if extra := record.keys() - known:
        return f"unknown field {min(extra)!r}"
    if missing := {
        n for n in known - record.keys() if n in _ALWAYS or _is_needed(_fields(kind)[n])
    }:
        return f"field {min(missing)!r} is missing"
    for name, value in record.items():
        wanted: tuple[type, ...] = _OF_ANY.get(name) or _json_types(hints[name])
        # bool is an int in Python, and never what a count means
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            names = " or ".join(one.__name__ for one in wanted)
            return f"field {name!r} is {value!r:.60}, expected {names}"
    return None


def _is_needed(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _json_types(hint: Any) -> tuple[type, ...]:
    """Return the types that JSON has for the type of a field."""
    parts = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    plain: list[type] = [get_origin(part) or part for part in parts]
    return tuple(_OF_JSON.get(one, one) for one in plain)


def item_from_json(data: bytes, *, path: Path | str, line: int | None = None) -> Item:
    """Read one line of items.jsonl, checking that its id and hash follow from its content."""
    item = Item(**decode(data, Item, path=path, line=line))
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
    record = decode(data, Response, path=path, line=line)
    said = (
        _other_than("status", record["status"], STATUSES)
        or _no_number({name: record[name] for name in _COUNTS} | record["timing"])
        or _no_score(record.get("scores") or {})
    )
    if said:
        raise RecordError(said, path=path, line=line)
    if record.get("logprobs"):
        record["logprobs"] = _known(record["logprobs"])
    return Response(**record)


def speed_from_json(data: bytes, *, path: Path | str, line: int | None = None) -> SpeedRecord:
    """Read one line of speed.jsonl."""
    record = decode(data, SpeedRecord, path=path, line=line)
    numbers = {name: record[name] for name in _SPEED_COUNTS}
    said = (
        _other_than("status", record["status"], STATUSES)
        or _other_than("kind", record["kind"], SPEED_KINDS)
        or _no_number(numbers | record["timing"] | record["machine"])
        or _other_than("form", record.get("form", "words"), FORMS)
    )
    if said:
        raise RecordError(said, path=path, line=line)
    record["asked"] = tuple(record["asked"])
    return SpeedRecord(**record)


def _other_than(name: str, value: str, known: Sequence[str]) -> str | None:
    return None if value in known else f"{name} is {value!r}; expected one of {', '.join(known)}"


def _no_number(values: Mapping[str, Any]) -> str | None:
    for name, value in values.items():
        if value is not None and not (isinstance(value, (int, float)) and 0 <= value < math.inf):
            return f"{name} is {value!r:.40}, expected a number of at least 0"
    return None


def _no_score(scores: Mapping[str, Any]) -> str | None:
    for name, value in scores.items():
        if value is not None and not isinstance(value, (int, float)):
            return f"score {name!r} is {value!r:.40}, expected a number or null"
    return None


def _known(logprobs: Any) -> Any:
    """Read what was no probability as missing: versions before response/2 wrote it as null."""
    tokens = logprobs if isinstance(logprobs, list) else ()
    whole = all(isinstance(token, dict) and "top" in token for token in tokens)
    return known_tokens(tokens) if tokens and whole else logprobs


def manifest_from_json(data: bytes, *, path: Path | str) -> Manifest:
    """Read manifest.json."""
    record = decode(data, Manifest, path=path)
    for key in record["study"].keys() & {"name", "hash"}:
        _typed(record["study"][key], str, f"study.{key}", path)
    for key, wanted in (("software", _Software), ("host", _Host)):
        _typed(record[key], wanted, key, path)
    for name, task in record["tasks"].items():
        _typed(task, _TaskRecord, f"tasks.{name}", path)
    for key, each in (("sessions", _SessionRecord), ("code", _CodeRecord)):
        for number, one in enumerate(record.get(key, ())):
            _typed(one, each, f"{key}[{number}]", path)
    for name, arm in record["arms"].items():
        _typed(arm, dict[str, Any], f"arms.{name}", path)
        for key in _OF_ARM.keys() & arm.keys():
            _typed(arm[key], _arm_types()[key], f"arms.{name}.{key}", path)
    record["arms"] = {name: ArmRecord.from_json(arm) for name, arm in record["arms"].items()}
    record["sessions"] = tuple(record["sessions"])
    record["notes"] = tuple(record["notes"])
    return Manifest(**record)


def _typed(value: Any, wanted: Any, key: str, path: Path | str) -> None:
    """Refuse a value of another type than a part of the manifest has."""
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as exc:
        said = str(exc).replace("`$", f"`{key}")
        said = said if key in said else f"{said} - at `{key}`"
        raise RecordError(f"{said}: the file was edited", path=path) from exc


def value_of_arm(name: str, value: Any) -> Any:
    """Return what is recorded of an arm under a name: the default where it has another type."""
    try:
        msgspec.convert(value, _arm_types()[name])
    except msgspec.ValidationError:
        return getattr(_UNKNOWN_ARM, name)
    return value


@functools.cache
def _arm_types() -> dict[str, Any]:
    return get_type_hints(ArmRecord) | {"doubtful_answers": list[tuple[int, int]] | None}


# What is read of the manifest's other parts; they may lack it, and hold more.


class _Source(TypedDict, total=False):
    content_sha256: str | None
    available: int | None
    contradictions: list[list[Any]] | None
    control_tokens: list[list[Any]] | None
    control_tokens_of: dict[str, list[list[Any]]] | None
    files: dict[str, str | None] | None


class _TaskRecord(TypedDict, total=False):
    items: int | None
    scorer: str | None
    source: _Source | None


class _Software(TypedDict, total=False):
    packages: dict[str, Any] | None
    git: dict[str, Any] | None


class _Host(TypedDict, total=False):
    memory_bytes: int | None


class _SessionRecord(TypedDict, total=False):
    started_at: str | None
    ended_at: str | None
    sampling: dict[str, dict[str, Any]] | None


class _CodeRecord(TypedDict, total=False):
    key: str | None
    sha256: str | None


def content_hash(content: Mapping[str, Any], gold: Any) -> str:
    """Hash what makes an item the item it is: its content and its gold answer."""
    return sha256_of({"content": content, "gold": gold})
