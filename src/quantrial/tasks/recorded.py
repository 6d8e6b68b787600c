"""Scores that another program or a person gave: nothing is asked and nothing is scored here.

Rows come in by `quantrial import scores`; which endpoints they make, the study declares. Of a
redacted run (`quantrial redact`) the scores are recorded and the texts are keyed hashes.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import Field, TypeAdapter, model_validator

from quantrial.errors import ScoringError, StudyError
from quantrial.records import canonical_json
from quantrial.scorers.python import Measure
from quantrial.study import Part, TaskPart
from quantrial.tasks.answer import as_answer
from quantrial.tasks.base import FailureCount, FailureMode, Outcome, Rate, Task
from quantrial.tasks.endpoints import Endpoint
from quantrial.tasks.tables import FailureTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantrial.records import Item
    from quantrial.tasks.answer import Answer

EndpointName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]


class MeasuredPart(Part):
    """The key `endpoints`, which comes before margins: these are of them."""

    endpoints: dict[EndpointName, Measure] = Field(min_length=1, max_length=20)
    """What the recorded scores measure, by name; the first is primary:
    `{helpful: {type: mean}, solved: {type: proportion}}`."""


class RecordedTask(TaskPart, MeasuredPart):
    """Scores that another program or a person gave, read by `quantrial import scores`."""

    kind: Literal["recorded"]

    @classmethod
    def measured(cls, data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
        """Return the declared endpoints, each with its name."""
        declared: Mapping[str, Measure] = data.get("endpoints", {})
        return tuple(
            {"endpoint": name, **one.model_dump(mode="json", exclude_defaults=True)}
            for name, one in declared.items()
        )

    @model_validator(mode="after")
    def _is_imported(self) -> Self:
        if self.source.type != "imported":
            raise ValueError(
                "scores are recorded already, so nothing can be asked: `source: {type: imported}`, "
                "and `quantrial import scores` reads them"
            )
        return self


class Recorded(Task):
    """The task kind `recorded`; see `variant`."""

    kind = "recorded"
    part = RecordedTask
    endpoints: ClassVar[Sequence[Endpoint]] = ()
    failure_modes: ClassVar[Sequence[FailureMode]] = ()
    failure_tables: ClassVar[Sequence[FailureTable]] = ()
    scored_by = ("quantrial.tasks.answer",)

    @classmethod
    def variant(cls, measures: Sequence[Mapping[str, Any]] | None) -> type[Task]:
        """Return the kind with these endpoints."""
        return _variant(canonical_json(list(measures or ())))

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Name the scores that every row needs."""
        named = (name for one in cls.endpoints for name in (*one.numerator, *one.denominator))
        return tuple(dict.fromkeys(named))

    def score(self, item: Item, answer: Answer | str) -> Outcome:
        """Take over the recorded scores.

        Raises:
            ScoringError: one that an endpoint needs is not recorded.
        """
        said = as_answer(answer)
        values = {name: said.scores.get(name) for name in self.columns()}
        known = {name: float(value) for name, value in values.items() if value is not None}
        if len(known) < len(values):
            lacking = next(name for name, value in values.items() if value is None)
            raise ScoringError(f"{self.name}, item {item.id}: no score {lacking!r} is recorded")
        return Outcome(known, True, said.text or None)


@functools.lru_cache(maxsize=64)
def _variant(measures: bytes) -> type[Recorded]:
    one: TypeAdapter[Measure] = TypeAdapter(Measure)
    declared = orjson.loads(measures)
    if not declared:
        return Recorded
    endpoints = []
    for entry in declared:
        name = entry.pop("endpoint")
        endpoints.append(one.validate_python(entry).endpoint(name))
    return type(
        "Recorded",
        (Recorded,),
        {
            "__module__": Recorded.__module__,
            "endpoints": tuple(endpoints),
            "measures": tuple(orjson.loads(measures)),
        },
    )


PARSED, RIGHT = "is.parsed", "is.right"  # names with a dot are no column: an endpoint's have none
MODE, COUNT = "mode.", "count."
NO_ANSWER = "-"  # stands for what was read from an answer, where nothing was


@dataclass(frozen=True, slots=True)
class RecordedOutcome(Outcome):
    """An outcome with what was seen in an answer beside its score, by recorded name."""

    signs: Mapping[str, float | None] = field(default_factory=dict)


class DeclaredPart(Part):
    """What stands before margins, which are of these endpoints and failure modes."""

    endpoints: tuple[dict[str, Any], ...] = Field(min_length=1, max_length=200)
    """The endpoints of the kind of task that was redacted; the first is primary."""
    modes: tuple[dict[str, Any], ...] = ()
    """Its failure modes that are no endpoints."""
    counts: tuple[dict[str, str], ...] = ()
    """What is counted of its answers: `name` and `unit`."""
    right: str | None = None
    """The endpoint that is the share of answers wholly right."""
    over_named: str | None = None
    """The ratio to all that an answer names."""
    letters: bool = False
    """Whether answers are letters of options."""
    chance: float | None = None
    """Accuracy of guessing blindly."""
    always_empty: float | None = None
    """Primary endpoint of always answering with nothing."""


class RedactedTask(TaskPart, DeclaredPart):
    """A task whose texts `quantrial redact` replaced by keyed hashes; its scores are recorded."""

    kind: Literal["redacted"]

    @classmethod
    def measured(cls, data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
        """Return all that is declared of the kind, as one mapping."""
        names = DeclaredPart.model_fields
        given = {name: data[name] for name in names if name in data}
        return (orjson.loads(orjson.dumps({"redacted": True, **given})),)


class Redacted(Task):
    """The task kind `redacted`; see `variant`."""

    kind = "redacted"
    part = RedactedTask
    endpoints: ClassVar[Sequence[Endpoint]] = ()
    failure_modes: ClassVar[Sequence[FailureMode]] = ()
    failure_tables: ClassVar[Sequence[FailureTable]] = ()
    scored_by = ("quantrial.tasks.answer",)
    by_chance: ClassVar[float | None] = None
    by_silence: ClassVar[float | None] = None

    @classmethod
    def variant(cls, measures: Sequence[Mapping[str, Any]] | None) -> type[Task]:
        """Return the kind with these endpoints and failure modes."""
        return _redacted_variant(canonical_json(list(measures or ())))

    def score(self, item: Item, answer: Answer | str) -> Outcome:
        """Take over what was recorded of an answer.

        Raises:
            ScoringError: no outcome is recorded, since the original run had none.
        """
        said = as_answer(answer)
        if said.scores.get(PARSED) is None:
            raise ScoringError(f"{self.name}, item {item.id}: no outcome is recorded")
        signs = {name: value for name, value in said.scores.items() if "." in name}
        values = {n: float(v) for n, v in said.scores.items() if v is not None and "." not in n}
        own = said.text.split(" ")[-1]
        answer_read = None if own == NO_ANSWER else own
        return RecordedOutcome(values, signs[PARSED] == 1.0, answer_read, signs)

    def is_right(self, outcome: Outcome) -> bool:
        """Whether the original task took an answer as wholly right."""
        return _recorded(outcome, RIGHT) == 1.0

    def chance(self, items: Sequence[Item]) -> float | None:
        """Return what was recorded for guessing."""
        return self.by_chance

    def always_empty(self, items: Sequence[Item]) -> float | None:
        """Return what was recorded for answering with nothing."""
        return self.by_silence

    def failures(self, pairs: Sequence[tuple[Item, Outcome]], rate: Rate) -> dict[str, Any]:
        """Count what could not be read and, where answers are letters, the hashes of these."""
        found = super().failures(pairs, rate)
        if self.letters:
            said = Counter(str(one.answer) for _, one in pairs if one.answer is not None)
            golds = Counter(str(item.gold) for item, _ in pairs)
            found |= {
                "letters": dict(sorted(said.items())),
                "gold_letters": dict(sorted(golds.items())),
            }
        return found


def _recorded(outcome: Outcome, name: str) -> float | None:
    return outcome.signs.get(name) if isinstance(outcome, RecordedOutcome) else None


def _sign(name: str) -> Callable[[Any, Item, Outcome], bool | None]:
    def shows(_task: Any, _item: Item, outcome: Outcome) -> bool | None:
        value = _recorded(outcome, MODE + name)
        return None if value is None else value == 1.0

    return shows


def _count(name: str) -> Callable[[Any, Item, Outcome], int | None]:
    def of(_task: Any, _item: Item, outcome: Outcome) -> int | None:
        value = _recorded(outcome, COUNT + name)
        return None if value is None else int(value)

    return of


def _applies(name: str) -> Callable[[Item], bool]:
    return lambda item: name in item.content.get("applies", ())


@functools.lru_cache(maxsize=64)
def _redacted_variant(measures: bytes) -> type[Redacted]:
    declared = orjson.loads(measures)
    if not declared or "endpoints" not in declared[0]:
        return Redacted
    said = declared[0]
    try:
        modes = []
        for entry in said.get("modes", ()):
            own = dict(entry)
            some = own.pop("some", False)
            mode = FailureMode(**own, shows=_sign(own["name"]))
            modes.append(replace(mode, applies=_applies(mode.name)) if some else mode)
        endpoints = tuple(Endpoint(**one) for one in said["endpoints"])
        counts = tuple(
            FailureCount(one["name"], one["unit"], _count(one["name"]))
            for one in said.get("counts", ())
        )
    except (TypeError, KeyError, ValueError) as exc:
        raise StudyError(f"a redacted task is declared otherwise ({exc})") from exc
    return type(
        "Redacted",
        (Redacted,),
        {
            "__module__": Redacted.__module__,
            "endpoints": endpoints,
            "failure_modes": tuple(modes),
            "counts": counts,
            "right": said.get("right"),
            "over_named": said.get("over_named"),
            "letters": bool(said.get("letters")),
            "by_chance": said.get("chance"),
            "by_silence": said.get("always_empty"),
            "measures": tuple(declared),
        },
    )
