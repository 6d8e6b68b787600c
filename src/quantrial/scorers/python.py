"""A scorer of the study's own: a function in a file of Python, which runs in a guarded process."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from quantrial.errors import ScoringError, ScoringLimitError, StudyError
from quantrial.scorers.base import Said, Score, Scorer, ScorerPart
from quantrial.scorers.guarded import Guarded, Limits
from quantrial.study.names import Words
from quantrial.study.parts import Memory, Part, Time
from quantrial.study.scoring import ScorerFile
from quantrial.tasks.endpoints import Direction, Endpoint

_WHERE = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_][A-Za-z0-9_]*)")
_COLUMN = r"^[A-Za-z][A-Za-z0-9_]*$"
_MOST_COLUMNS = 100
_NEEDED = 'a file and its function are needed, such as "my_scorers.py:score"'
_IN_A_ROW = 3  # calls over a limit: all the others would be, and nobody waits hours for them
_SLACK = 1e-9  # of sums of floating-point numbers


def _weights(value: Any) -> Any:
    """Read columns that are added up: `tp`, `[tp, fp]`, or each with its weight."""
    if isinstance(value, str):
        return {value: 1.0}
    return dict.fromkeys(value, 1.0) if isinstance(value, (list, tuple)) else value


Columns = Annotated[
    dict[Annotated[str, Field(pattern=_COLUMN)], float],
    BeforeValidator(_weights, json_schema_input_type=str | list[str] | dict[str, float]),
    Field(max_length=_MOST_COLUMNS),
]


class Measure(Part):
    """What is measured: a share or a mean of a column, or a ratio of sums of columns."""

    type: Literal["proportion", "mean", "ratio"]
    """`proportion`: a column of 0 and 1. `mean`: a column of numbers. `ratio`: the sum of
    `numerator` over all items, divided by that of `denominator`."""
    numerator: Columns = Field(default={})
    """Columns that are added up: one, a list, or each with its weight. The column of the
    endpoint's own name by default."""
    denominator: Columns = Field(default={})
    """The same of what a ratio is divided by."""
    range: tuple[float, float] = (0.0, 1.0)
    """The least and the largest value."""
    direction: Direction = "higher"
    """Which values are better."""
    unit: Words | None = None
    """The unit of the values, such as `edits`; needed if the range is not 0 to 1."""
    label: Words | None = None
    """Its name in the report."""
    meaning: Words | None = None
    """A sentence that explains the endpoint in the report."""

    def endpoint(self, name: str) -> Endpoint:
        """Return what is tested.

        Raises:
            ValueError: its parts do not fit together.
        """
        if (self.type == "ratio") != bool(self.denominator):
            raise ValueError(
                f"{name}: a ratio needs a `denominator`, and nothing else has one; type is "
                f"{self.type}"
            )
        low, high = self.range
        return Endpoint(
            name,
            self.type,
            self.numerator or {name: 1.0},
            self.denominator,
            direction=self.direction,
            unit=self.unit,
            low=low,
            high=high,
            label=self.label,
            meaning=self.meaning,
        )


class PythonPart(ScorerPart):
    """A function of your own scores the answer.

    It is called as `score(item, answer)` with the item's `content`, `gold`, `id` and `metadata`,
    and the text of the answer. It returns True or False; or a number, with `range`; or a mapping of
    columns to numbers, with `endpoints`. It runs only under `--allow-code`, in a process of its own
    that cannot write files and sees no keys. It is one file: what it imports has to be installed.
    """

    short: ClassVar[str | None] = "python"
    scorer: Literal["python"]
    python: str
    """The file, relative to the study file, and the function: `my_scorers.py:score`."""
    range: tuple[float, float] | None = None
    """The least and the largest number that the function returns; left out, it returns a bool."""
    direction: Direction = "higher"
    """Which numbers are better."""
    unit: Words | None = None
    """The unit of the numbers; needed if the range is not 0 to 1."""
    endpoints: dict[Annotated[str, Field(pattern=_COLUMN)], Measure] = Field(default={})
    """What is measured by the columns that the function returns, by name; the first is primary."""
    needs_gold: bool = True
    """Whether every item needs the field `gold`."""
    timeout: Time = Field(default=10.0, le=3600)
    """Seconds that the function may take for one answer."""
    memory: Memory | None = 2 * 10**9
    """Most memory that it may have, such as `4GB`; null for no limit. Only Linux can limit it."""
    _code: ScorerFile | None = PrivateAttr(default=None)

    @field_validator("python")
    @classmethod
    def _names_a_function(cls, python: str) -> str:
        if _WHERE.fullmatch(python) is None:
            raise ValueError(f"is {python!r:.60}; {_NEEDED}")
        return python

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.endpoints and (self.range or self.unit or self.direction != "higher"):
            raise ValueError("`range`, `direction` and `unit` stand in each of `endpoints`")
        if self.range is None and self.unit is not None:
            raise ValueError("`unit` needs `range`, the least and the largest number")
        if self.range is None and self.direction != "higher":
            raise ValueError("`direction` needs `range`, the least and the largest number")
        self.measured()
        return self

    @property
    def runs(self) -> str | None:
        """The file, as the study writes it."""
        return self.python.rpartition(":")[0]

    @property
    def function(self) -> str:
        """The function's name."""
        return self.python.rpartition(":")[2]

    @property
    def code(self) -> ScorerFile | None:
        """What the file says; None where the study was read without the files that it names."""
        return self._code

    def whole(self, read: Callable[[str], bytes]) -> Self:
        """Return the same, which knows what its file says.

        Raises:
            ValueError: that is no Python, or holds no such function.
        """
        name = self.runs or ""
        try:
            file = ScorerFile(name, read(name).decode("utf-8").replace("\r\n", "\n"))
        except UnicodeDecodeError as exc:
            raise ValueError(f"{name} is not UTF-8: save it as UTF-8") from exc
        file.require(self.function)
        found = self.model_copy()
        found._code = file
        return found

    def measured(self) -> tuple[Endpoint, ...]:
        """Return the endpoints that follow from the options.

        Raises:
            ValueError: they make no sense.
        """
        if self.endpoints:
            return tuple(measure.endpoint(name) for name, measure in self.endpoints.items())
        name = self.function
        if self.range is None:
            said = f"The share of answers that the function {self.function} calls right."
            return (Endpoint(name, "proportion", {"correct": 1.0}, meaning=said),)
        measure = Measure(
            type="mean",
            numerator={"value": 1.0},
            range=self.range,
            direction=self.direction,
            unit=self.unit,
            meaning=f"The mean of what the function {self.function} returns.",
        )
        return (measure.endpoint(name),)


class Python(Scorer):
    """What a function of the study's own says of an answer."""

    part = PythonPart
    scored_by = ("quantrial.scorers.guarded",)
    # of what is made without an entry of a study; `__init__` sets those of the entry
    endpoints: Sequence[Endpoint] = (Endpoint("score", "proportion", {"correct": 1.0}),)

    def __init__(self, spec: PythonPart):
        super().__init__(spec)
        self.endpoints = spec.measured()
        first = self.endpoints[0]
        share = first.type == "proportion" and dict(first.numerator) == {"correct": 1.0}
        self.right = first.name if share else None
        self.needs_gold = spec.needs_gold
        self.source = "" if spec.code is None else spec.code.text

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """Call the function.

        Raises:
            ScoringError: it fails, takes too long, or returns what its options do not say.
            StudyError: it takes too long, or too much memory, time after time.
        """
        answer = " ".join(text.split())
        return Score(self._values(gold, text, said), bool(answer), answer)

    def unread(self, gold: Any, said: Said) -> Score:
        """Score an answer in which nothing was found: the worst value, or as an empty text."""
        if self.spec.endpoints:
            return Score(self._values(gold, "", said), parsed=False)
        column = "correct" if self.spec.range is None else "value"
        return Score({"correct": 0.0, column: self.endpoints[0].worst or 0.0}, parsed=False)

    def _values(self, gold: Any, text: str, said: Said) -> dict[str, float]:
        spec = self.spec
        if spec.code is None:
            raise StudyError(f"{spec.runs} was not read: load the study from its file", key="score")
        process = _process(spec.code, spec.function, Limits(spec.timeout, memory=spec.memory))
        item = said.item
        told = {"content": dict(item.content), "gold": gold, "id": item.id}
        told["metadata"] = dict(item.metadata)
        request = {"job": "score", "item": told, "answer": text}
        try:
            returned = process.call(request, what=spec.python)
        except ScoringLimitError as exc:
            if process.exceeded % _IN_A_ROW:
                raise
            raise StudyError(
                f"{exc}, as for the {_IN_A_ROW - 1} answers before: nothing more is scored. Mend "
                "the function, or raise `timeout` or `memory`",
                key="score",
            ) from exc
        return self._checked(returned)

    def _checked(self, value: Any) -> dict[str, float]:
        """Return the columns of what the function returned."""
        if self.spec.endpoints:
            return self._columns(value)
        if self.spec.range is None:
            if value not in (True, False):  # 1 and 0 are equal to them
                raise self._wrong(value, "True or False is needed, or `range` in the study")
            return {"correct": float(value)}
        low, high = self.spec.range
        if isinstance(value, Mapping) or not low <= value <= high:
            raise self._wrong(value, f"a number from {low:g} to {high:g} is needed")
        return {"value": float(value), "correct": float(value == self.endpoints[0].best)}

    def _columns(self, value: Any) -> dict[str, float]:
        wanted = {name for one in self.endpoints for name in (*one.numerator, *one.denominator)}
        named = ", ".join(sorted(wanted))
        if not isinstance(value, Mapping):
            raise self._wrong(value, f"a mapping with {named} is needed")
        if missing := wanted - value.keys():
            raise self._wrong(value, f"{min(missing)} is missing; needed are {named}")
        values = {name: float(value[name]) for name in sorted(wanted | ({"correct"} & {*value}))}
        for name, number in values.items():
            if not math.isfinite(number):
                raise self._wrong(number, f"{name} must be a finite number")
        for one in self.endpoints:
            top, bottom = (_sum(part, values) for part in (one.numerator, one.denominator))
            low, high = one.low or 0.0, one.high or 0.0
            of = bottom if one.denominator else 1.0
            slack = _SLACK * max(abs(low * of), abs(high * of), 1.0)
            if of < 0 or not low * of - slack <= top <= high * of + slack:
                raise self._wrong(value, f"{one.name} must lie between {low:g} and {high:g}")
            if one.type == "proportion" and top not in (0.0, 1.0):
                raise self._wrong(value, f"{one.name} is a proportion: 0 or 1 is needed")
        first = self.endpoints[0]
        top, bottom = (_sum(part, values) for part in (first.numerator, first.denominator))
        best = (first.best or 0.0) * (bottom if first.denominator else 1.0)
        return {"correct": float(abs(top - best) <= _SLACK * max(abs(best), 1.0)), **values}

    def _wrong(self, value: Any, needed: str) -> ScoringError:
        return ScoringError(f"{self.spec.python} returned {value!r:.100}; {needed}")


def _sum(weights: Mapping[str, float], values: Mapping[str, float]) -> float:
    return sum(weight * values[name] for name, weight in weights.items())


@functools.lru_cache(maxsize=8)  # a process each, for all tasks that ask it
def _process(file: ScorerFile, function: str, limits: Limits) -> Guarded:
    setup = {"job": "load", "source": file.text, "path": file.name, "function": function}
    return Guarded(limits, setup)
