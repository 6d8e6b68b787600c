"""What is measured of a kind of task: its endpoints, and the ways to fail that are none."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.tasks.base import Outcome

Direction = Literal["higher", "lower"]
Against = Literal["gold", "reference"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An estimand: a ratio of sums over items, and all that is said of it.

    Without a `unit` it is a share: it lies between 0 and 1 and is written in percent, differences
    in percentage points. What is counted or measured has a `unit`, and so have its margins.

    Attributes:
        name: the key of its figures, of letters, digits and `_`.
        type: which statistics fit: `proportion` (0 or 1 an item), `mean`, or pooled `ratio`.
        numerator: weighs columns of the outcomes.
        denominator: the same of what they are divided by; items are counted where it is empty.
        hub_metric: the Hugging Face hub's own name; `name` by default.
        direction: which values are better, `higher` or `lower`.
        unit: what values are counted in, such as `edits` or `s`; None for a share.
        low: the least value that an item can have; None where there is none.
        high: the largest one.
        label: its name in reports; by default `name` without its underscores.
        meaning: a sentence for the report's glossary.
        written: a regular expression of how sentences name it; the glossary explains the first.
        against: what answers are held against: the right one, or the reference's first one.
        mitigation: sentences on what a loss means in production and what catches it, for an
            endpoint beside the primary one. The first begins with "It"; `{loss}` in it stands for
            how much was lost, `{reference}` for the reference arm.

    Raises:
        ValueError: these do not fit together; see the message.
    """

    name: str
    type: Literal["proportion", "mean", "ratio"]
    numerator: Mapping[str, float]
    denominator: Mapping[str, float] = field(default_factory=dict)
    hub_metric: str | None = None
    direction: Direction = "higher"
    unit: str | None = None
    low: float | None = 0.0
    high: float | None = 1.0
    label: str | None = None
    meaning: str | None = None
    mitigation: str | None = None
    written: str | None = None
    against: Against = "gold"

    def __post_init__(self) -> None:
        """Refuse what no statistic here could be right for."""
        said = f"the endpoint {self.name!r}"
        share = (self.low, self.high) == (0.0, 1.0)
        if self.direction not in get_args(Direction):
            raise ValueError(f"{said}: direction is {self.direction!r}, not `higher` or `lower`")
        if self.unit is not None and not re.fullmatch(r"[^\W\d_][^\d%]*", self.unit):
            raise ValueError(
                f"{said}: the unit is {self.unit!r}; needed are words, such as `edits`"
            )
        if self.unit is None and not share:
            raise ValueError(f"{said} is no share of 0 to 1: say its `unit`, such as `edits`")
        if self.type == "proportion" and not (share and self.unit is None):
            raise ValueError(f"{said} is a proportion: it has no unit, and lies between 0 and 1")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"{said}: `low` ({self.low:g}) is not below `high` ({self.high:g})")

    @property
    def span(self) -> float | None:
        """The most that one item can change a mean's item by; None where there is no most."""
        if self.type == "ratio" or self.low is None or self.high is None:
            return None
        return self.high - self.low

    @property
    def widest(self) -> float:
        """The largest size that a difference of two arms can have."""
        ends = self.low, self.high
        return math.inf if None in ends else (self.high or 0.0) - (self.low or 0.0)

    @property
    def best(self) -> float | None:
        """The best value that an item can have; None where there is none."""
        return self.low if self.direction == "lower" else self.high

    @property
    def worst(self) -> float | None:
        """The worst value that an item can have; None where there is none."""
        return self.high if self.direction == "lower" else self.low

    def floor(self, chance: float | None = None) -> float | None:
        """Return the value that takes no skill: that of guessing, else the worst there is."""
        return self.worst if chance is None else chance


@dataclass(frozen=True, slots=True)
class FailureMode:
    """A way to fail that is no endpoint: the share of items without it is tested.

    `shows(task, item, outcome)` says whether an answer fails so; None where it does not tell.
    `applies(item)` restricts it to some items; all by default. `label`, `meaning`, `mitigation` and
    `written` are those of an `Endpoint`.
    """

    name: str
    shows: Callable[[Any, Item, Outcome], bool | None]
    applies: Callable[[Item], bool] | None = None
    label: str | None = None
    meaning: str | None = None
    mitigation: str | None = None
    written: str | None = None


@dataclass(frozen=True, slots=True)
class FailureCount:
    """What an answer has too much of: its mean is tested for a difference, and fewer is better.

    `of(task, item, outcome)` counts it; None where an answer does not tell.
    """

    name: str
    unit: str
    of: Callable[[Any, Item, Outcome], int | None]
