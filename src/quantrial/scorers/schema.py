"""Whether an answer is valid under a JSON schema, which is checked in a process with limits."""

from __future__ import annotations

import functools
import graphlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from quantrial.errors import RecordError
from quantrial.scorers.base import Said, Score, Scorer, ScorerPart
from quantrial.scorers.guarded import Guarded, Limits
from quantrial.strict_json import parse_json
from quantrial.system import can_limit_memory
from quantrial.tasks.base import FORMAT_BROKEN, Endpoint, Outcome, Rate
from quantrial.tasks.tables import FailureColumn, FailureTable

if TYPE_CHECKING:
    from quantrial.records import Item

SCHEMA_VALID = Endpoint(
    "schema_valid",
    "proportion",
    {"correct": 1.0},
    label="valid under the schema",
    meaning="The share of answers that are JSON as the schema asks for it.",
    mitigation=FORMAT_BROKEN,
)
RULES_BROKEN = FailureTable(
    "rules of the schema that answers to {task} break",
    (
        FailureColumn("rule", "rule", form="text"),
        FailureColumn("n", "answers"),
    ),
    rows="rules_broken",
)

_LIMITS = Limits(seconds=5.0, cpu=0.5, memory=2**30 if can_limit_memory() else None)
_DEEPEST = 100  # levels of a schema, and of an answer
_MOST_ERRORS = 20  # of one answer that are looked at
_BROKEN = "breaks_"  # what the columns of broken rules begin with
# keywords that check the same value again, by what they hold: a schema, a list or a mapping of such
_SAME_VALUE: Mapping[str, Callable[[Any], list[Any]]] = {
    **dict.fromkeys(("not", "if", "then", "else"), lambda one: [one]),
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), list),
    **dict.fromkeys(("dependentSchemas", "dependencies"), lambda one: list(one.values())),
}


class SchemaPart(ScorerPart):
    """The answer is JSON that a JSON schema holds to be valid; nothing right is needed beside.

    Drafts 3 to 2020-12 are known, the last one by default. A `$ref` must name a part of the
    schema itself: nothing is ever fetched. `format` is not checked. A `pattern` is one of Python.
    """

    short: ClassVar[str | None] = "file"
    scorer: Literal["schema"]
    file: str | None = None
    """The file that holds the schema, from the folder of the study. A run keeps its content."""
    inline: dict[str, Any] | None = None
    """The schema itself, in place of a file."""

    @model_validator(mode="after")
    def _is_a_schema(self) -> Self:
        if (self.file is None) == (self.inline is None):
            raise ValueError("needs either `file` or `inline`, a JSON schema")
        if self.inline is not None:
            check_schema(self.inline)
        return self

    def whole(self, read: Callable[[str], bytes]) -> Self:
        """Return the same with the schema of the file in it.

        Raises:
            ValueError: the file holds no JSON schema; or what `read` raises.
        """
        if self.file is None:
            return self
        try:
            schema = parse_json(read(self.file), path=self.file)
        except RecordError as exc:
            raise ValueError(str(exc)) from exc
        if not isinstance(schema, dict):
            raise ValueError(f"{self.file} holds no JSON object")
        try:
            check_schema(schema)
        except ValueError as exc:
            raise ValueError(f"{self.file}: {exc}") from exc
        return self.model_copy(update={"file": None, "inline": schema})


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse what is no JSON schema, needs another one, or could be checked for ever.

    Raises:
        ValueError: says what is wrong, and where.
    """
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    if _deeper(schema, _DEEPEST):
        raise ValueError(f"the schema is nested more than {_DEEPEST} levels deep")
    draft = schema.get("$schema", Draft202012Validator.META_SCHEMA["$id"])
    known = validator_for({"$schema": draft}, default=None) if isinstance(draft, str) else None
    if known is None:
        raise ValueError(f"its `$schema` {draft!r:.80} is none of the drafts 3 to 2020-12")
    try:
        known.check_schema(schema)
    except SchemaError as exc:
        where = "/".join(map(str, exc.absolute_path)) or "its top"
        raise ValueError(f"it is no JSON schema: at {where:.100}: {exc.message:.200}") from exc
    try:
        graphlib.TopologicalSorter(_same_value(schema)).prepare()
    except graphlib.CycleError:
        raise ValueError(
            "the schema refers to itself without going into the answer, so that no answer could "
            "ever be checked"
        ) from None


def _deeper(value: Any, levels: int) -> bool:
    """Whether a value is nested more deeply than so many levels."""
    inside = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)):
        return False
    return levels == 0 or any(_deeper(one, levels - 1) for one in inside)


def _same_value(schema: Mapping[str, Any]) -> dict[int, list[int]]:
    """Return which parts of a schema check the very value that a part checks, by their `id`.

    Raises:
        ValueError: a part refers to what is not there.
    """
    import referencing
    from jsonschema_specifications import REGISTRY  # the schemas of schemas; it fetches nothing
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    specification = DRAFT202012.detect(schema)
    root = specification.create_resource(schema)
    parts = [(root, REGISTRY.resolver_with_root(root))]
    found: dict[int, list[int]] = {}
    while parts:
        part, resolver = parts.pop()
        if id(part.contents) in found or not isinstance(part.contents, Mapping):
            continue
        again = found[id(part.contents)] = []
        for key, value in part.contents.items():
            if key == "$ref" and isinstance(value, str):
                try:
                    there = resolver.lookup(value)
                except Unresolvable as exc:
                    raise ValueError(
                        f"it refers to {value!r:.100}, which does not stand in it: nothing is "
                        "fetched, so put that under `$defs`"
                    ) from exc
                again.append(id(there.contents))
                target = referencing.Resource.from_contents(there.contents, specification)
                parts.append((target, there.resolver))
            elif key in _SAME_VALUE and isinstance(value, (Mapping, list)):
                again += map(id, _SAME_VALUE[key](value))
        parts += ((one, resolver.in_subresource(one)) for one in part.subresources())
    return found


class Schema(Scorer):
    """Whether an answer is valid under a JSON schema."""

    part = SchemaPart
    reads = "json"
    endpoints = (SCHEMA_VALID,)
    right = SCHEMA_VALID.name
    failure_tables = (RULES_BROKEN,)
    needs_gold = False
    scored_by = ("quantrial.scorers.guarded", "quantrial.strict_json", "jsonschema._keywords")

    def __init__(self, spec: SchemaPart):
        super().__init__(spec)
        self._text = json.dumps(spec.inline)

    def schema(self) -> Mapping[str, Any]:
        """Hold decoding to the schema."""
        return self.spec.inline or {}

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """1 for valid JSON, else 0; and which rules it breaks.

        Raises:
            ScoringError: the check takes too long, as of patterns that try every way to part a
                text.
        """
        try:
            value = parse_json(text.encode("utf-8", "replace"), path="answer")
        except RecordError:
            return self.unread(gold, said)
        if _deeper(value, _DEEPEST):
            return self.unread(gold, said)
        asked = {"job": "own", "module": "scorers.schema", "schema": self._text, "value": value}
        broken = _process().call(asked, what="the check of an answer against its schema")
        values = {"correct": float(not broken)} | {f"{_BROKEN}{rule}": 1.0 for rule in broken}
        return Score(values, answer=value)

    def failures(self, pairs: Sequence[tuple[Item, Outcome]], rate: Rate) -> Mapping[str, Any]:
        """Count how many answers break which rule; most first."""
        count = Counter(
            name.removeprefix(_BROKEN)
            for _, one in pairs
            for name in one.values
            if name.startswith(_BROKEN)
        )
        rules = sorted(count.items(), key=lambda one: (-one[1], one[0]))
        return {"rules_broken": [{"rule": rule, "n": n} for rule, n in rules]}


@functools.cache
def _process() -> Guarded:
    return Guarded(_LIMITS, {"job": "import", "package": "jsonschema"})


# what follows runs in the process


def guarded(request: Mapping[str, Any]) -> list[str]:
    """Name the rules of a schema that a value breaks, sorted."""
    errors: Iterator[Any] = _validator(request["schema"]).iter_errors(request["value"])
    return sorted({str(one.validator) for one in itertools.islice(errors, _MOST_ERRORS)})


@functools.lru_cache(maxsize=16)
def _validator(text: str) -> Any:
    import referencing
    from jsonschema.validators import Draft202012Validator, validator_for

    schema = json.loads(text)
    made = validator_for(schema, default=Draft202012Validator)
    return made(schema, registry=referencing.Registry())  # by default a `$ref` would be fetched
