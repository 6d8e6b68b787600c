"""Parts of a study file: quantities, the order of calls, the speed phase, what cannot be given up.

A part whose keys a leaf decides (a task, a source) says so by `OneOf`.
"""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    field_validator,
    model_validator,
)

from quantrial.errors import StudyError
from quantrial.registry import Registry
from quantrial.units import parse_bytes, parse_fraction, parse_price, parse_seconds

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


class Part(BaseModel):
    """A mapping of known keys: it cannot be changed, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class OneOf:
    """A part of which one key, the `tag`, names the leaf that decides on the others.

    The leaves are those of the registry when the first study is read; each says by `part` which
    model its part of the study has.
    """

    registry: Registry
    tag: str

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the union of what all leaves take, without those that cannot be imported."""
        parts = []
        for name in self.registry.names():
            with contextlib.suppress(StudyError):  # is said to who names it
                parts.append(self.registry.load(name).part)
        every = functools.reduce(operator.or_, parts)
        return handler.generate_schema(Annotated[every, Field(discriminator=self.tag)])


def _written(parse: Callable[[str, str], float]) -> Callable[[Any], Any]:
    """Read a quantity written as text; numbers stay as they are."""
    return lambda value: parse(value, "") if isinstance(value, str) else value


def _quantity(parse: Callable[[str, str], float], kind: Any = float) -> BeforeValidator:
    return BeforeValidator(_written(parse), json_schema_input_type=kind | str)


def read_loss(value: Any) -> Any:
    """Read a loss; a number of 1 or more was meant in points, and is read as nothing else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 1:
        return parse_fraction(str(value), "")
    return _written(parse_fraction)(value)


Loss = Annotated[
    float, BeforeValidator(read_loss, json_schema_input_type=float | str), Field(gt=0, lt=1)
]


class Counted(float):
    """An amount in a unit of its own, which is no share and may well be 1 or more."""


Margin = Annotated[
    float,
    BeforeValidator(
        lambda value: value if isinstance(value, Counted) else read_loss(value),
        json_schema_input_type=float | str,
    ),
    Field(gt=0),
]
Price = Annotated[float, _quantity(parse_price), Field(ge=0)]
Memory = Annotated[int, _quantity(parse_bytes, int), Field(gt=0, lt=2**63)]
Time = Annotated[float, _quantity(parse_seconds), Field(gt=0)]


class DecisionPart(Part):
    """Your constraints, and what things cost; `quantrial decide` takes the same as options.

    Give all prices in one currency.
    """

    max_memory: Memory | None = None
    """Most memory an arm may use: `8GB`, `500MiB`, or a number of bytes. Compares measured peaks
    if the speed phase has one of every arm, else sizes of weights."""
    min_speedup: float | None = Field(default=None, gt=0)
    """Lowest decoding speed, as a ratio to the reference's."""
    max_latency: Time | None = None
    """Longest average time of an answer, on every workload that matters: `2s`, `300ms`."""
    tolerate: Loss | None = None
    """Largest loss you accept, in place of the margin: `2pp`, or `0.02`."""
    tolerate_by: dict[str, Loss] = Field(default_factory=dict)
    """The same for one task or workload, by its name."""
    workloads: tuple[str, ...] = ()
    """The workloads that matter; all by default."""
    cost_per_hour: Price | None = None
    """What an hour of the machine costs; arms are then ordered by what a request costs."""
    cost_per_hour_by: dict[str, Price] = Field(default_factory=dict)
    """The same for one arm, by its name, if it runs on another machine."""
    error_cost: Price | None = None
    """What one wrong answer costs."""


class Requirement(Part):
    """One line of a gate: what every arm of the gate must keep, on one task or on all.

    Give exactly one of `non_inferior`, `no_worse_than`, `at_least`, `at_most`, `ratio_at_least` and
    `memory_at_most`.
    """

    task: str | None = None
    """The task; all tasks by default."""
    endpoint: str | None = None
    """The endpoint; the task's primary one by default."""
    non_inferior: Loss | None = None
    """A proof: met only once a loss of this size is ruled out, such as `2pp`."""
    no_worse_than: Loss | None = None
    """A guard: violated only once a loss beyond this is shown, such as `2pp`."""
    at_least: float | None = None
    """Lowest value of the endpoint for the arm itself: 0.8 is 80 % right."""
    at_most: float | None = None
    """Highest value of the endpoint for the arm itself, if lower values are better."""
    speed: Literal["decode", "prompt"] = "decode"
    """Which speed `ratio_at_least` is about: of writing answers, or of reading prompts."""
    ratio_at_least: float | None = Field(default=None, gt=0)
    """Lowest speed in the speed phase, as a ratio to the reference's."""
    memory_at_most: Memory | None = None
    """Most memory the arm may take: `8GB`. As `max_memory` of `decision`."""

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Requirement:
        asked = [
            name
            for name in (
                *("non_inferior", "no_worse_than", "at_least", "at_most"),
                *("ratio_at_least", "memory_at_most"),
            )
            if getattr(self, name) is not None
        ]
        if len(asked) != 1:
            raise ValueError(
                f"asks for {' and '.join(asked) or 'nothing'}: give exactly one of non_inferior, "
                "no_worse_than, at_least, at_most, ratio_at_least and memory_at_most"
            )
        if asked[0] in ("ratio_at_least", "memory_at_most") and (self.task or self.endpoint):
            raise ValueError(f"`task` and `endpoint` have no effect on {asked[0]}")
        if "speed" in self.model_fields_set and asked[0] != "ratio_at_least":
            raise ValueError("`speed` needs `ratio_at_least`")
        return self


class GatePart(Part):
    """What `quantrial gate` requires; all of it must hold."""

    arms: tuple[str, ...] = ()
    """The arms that must pass; by default all but the reference and controls."""
    require: tuple[Requirement, ...] = ()
    """The requirements."""
    must_pass: tuple[str, ...] = ()
    """Items that may not turn from right to wrong: ids, or `key=value` of their metadata."""
    inconclusive: Literal["fail", "warn", "pass"] = "fail"
    """What an undecided requirement does: `fail` exits 3; `warn` and `pass` exit 0."""
    max_missing: Annotated[float, _quantity(parse_fraction), Field(ge=0, lt=1)] = 0.05
    """Share of the items that may lack an answer. Beyond it the result is invalid."""

    @model_validator(mode="after")
    def _requires_something(self) -> GatePart:
        if not self.require and not self.must_pass:
            raise ValueError("requires nothing: give `require`, `must_pass` or both")
        return self


class Design(Part):
    """The order of calls."""

    schedule: Literal["auto", "blocked", "round_robin", "sequential"] = "auto"
    """`auto`: blocks of one item if all arms fit in memory together, else few large blocks.

    `blocked`: in each block every arm answers the block's items, one arm after another; the orders
    of arms are balanced over blocks. `round_robin`: blocks of one item, in rotating order of arms.
    `sequential`: one arm after the other.
    """
    blocks: int | None = Field(default=None, ge=1)
    """Number of blocks (`auto`, `blocked`). By default 8, or more if loading models is fast."""
    repeat_reference: Annotated[int, Field(ge=0)] | Literal["all"] = 30
    """Number of items per task that the reference answers twice, to see how it varies by itself.

    If a task has fewer items, all of them; `all` for every item, 0 for none. Of a task without
    gold, every item is asked twice in any case.
    """
    slots: int = Field(default=1, ge=1, le=256)
    """Number of calls that an arm answers at once; the same for every arm.

    Above 1, the answers of most engines depend on the calls that run at the same time.
    """
    samples: int = Field(default=1, ge=1, le=64)
    """Number of answers to each item of each arm, each drawn with a seed of its own.

    For models that are used above temperature 0. The item stays the unit: its score is the mean.
    """
    temperature: float = Field(default=0.0, ge=0, le=2)
    """How much answers are drawn at random; 0 takes the likeliest token each time."""
    logprobs: int = Field(default=0, ge=0, le=20)
    """Number of alternatives recorded for each token, with their probabilities; 0 for none.

    The report then says how close each arm's probabilities are to the reference's.
    """
    attempts: int = Field(default=3, ge=1, le=10)
    """Number of attempts before a call counts as a fault."""
    restart_timeout: float = Field(default=120, ge=0, le=86_400)
    """Seconds to wait for a server that is gone before the run stops; 0 for not at all.

    Gone: nothing listens, or a proxy answers 502 or 503. Such failures do not count against
    `attempts`.
    """

    @model_validator(mode="after")
    def _blocks_are_of_use(self) -> Design:
        if self.blocks is not None and self.schedule in ("round_robin", "sequential"):
            raise ValueError(f"`blocks` has no effect under the schedule {self.schedule!r}")
        if self.samples > 1 and not self.temperature:
            raise ValueError(
                f"`samples: {self.samples}` needs a `temperature` above 0, such as 0.6: at 0, all "
                "answers to an item are one answer"
            )
        return self


Length = Annotated[int, Field(ge=1, le=1_000_000)]


class Speed(Part):
    """The speed phase: fixed prompts, one call at a time, arms in turn, in blocks.

    Left out, speed is read off the timings of the answers, and the report says so.
    """

    prompt_tokens: tuple[Length, ...] = (128, 512)
    """Approximate lengths of the prompts; the engine's own count is used."""
    output_tokens: tuple[Length, ...] = (32, 128)
    """Lengths of the answers, each with each prompt length; exact if the engine can do that."""
    precision: float = Field(default=0.03, gt=0, lt=1)
    """The phase ends when every ratio is known within this share to either side."""
    blocks: int = Field(default=8, ge=2, le=1000)
    """Least number of blocks (each arm at each length); below 8, intervals are too narrow."""
    time_limit: float = Field(default=1800.0, gt=0)
    """Longest time in seconds, with loads and pauses; the phase ends then in any case."""
    busy_share: float = Field(default=0.1, gt=0, le=1)
    """Share of CPU time of other processes above which the machine counts as busy."""
    pause: float = Field(default=60.0, ge=0)
    """Longest time in all to wait for a busy machine; after that, results are marked."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds after which a call counts as a fault."""

    @field_validator("prompt_tokens", "output_tokens")
    @classmethod
    def _some_lengths(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if not lengths:
            raise ValueError("at least one length is needed")
        if len(set(lengths)) < len(lengths):
            raise ValueError("a length occurs twice")
        return lengths

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Every prompt length with every output length."""
        return tuple((prompt, out) for prompt in self.prompt_tokens for out in self.output_tokens)
