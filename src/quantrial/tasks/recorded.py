"""Scores that another program or a person gave: nothing is asked and nothing is scored here.

Rows come in by `quantrial import scores`; which endpoints they make, the study declares.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import Field, TypeAdapter, model_validator

from quantrial.errors import ScoringError
from quantrial.records import canonical_json
from quantrial.scorers.python import Measure
from quantrial.study import Part, TaskPart
from quantrial.tasks.answer import as_answer
from quantrial.tasks.base import FailureMode, Outcome, Task
from quantrial.tasks.endpoints import Endpoint
from quantrial.tasks.tables import FailureTable

if TYPE_CHECKING:
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
