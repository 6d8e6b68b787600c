"""What a study will cost and can detect, from its numbers alone: pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from quantrial.stats import detectable_difference, items_for_equivalence

# Shares of items on which two precisions of one model typically disagree: near, middling, far.
DISCORDANCES = (0.01, 0.05, 0.15)


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a task can show if the arms disagree on a share `discordance` of its items.

    `detectable` is the difference found with 80 % chance, a fraction; `items_for_margin` is how
    many items would show equivalence with 80 % chance, were there no difference at all.
    """

    discordance: float
    detectable: float
    items_for_margin: int | None


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task: its size, its calls over all arms, the margin, what it can show."""

    name: str
    workload: str
    items: int
    available: int
    calls: int
    margin: float
    prospects: tuple[Prospect, ...]
    duplicates: int


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """One arm: its artifact in bytes and, after a probe, seconds a call and in all."""

    name: str
    model: str
    quantization: str | None
    bytes_on_disk: int | None
    seconds_per_call: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is known before the first recorded call.

    `memory_needed` is the weights of all arms, which are held at once; `memory_available` what the
    machine has left. `seconds` is None without a probe.
    """

    study: str
    reference: str
    calls: int
    tasks: tuple[TaskPlan, ...]
    arms: tuple[ArmPlan, ...]
    memory_needed: int | None
    memory_available: int | None
    seconds: float | None
    warnings: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether all arms fit in memory at once; true where that is not known."""
        if self.memory_needed is None or self.memory_available is None:
            return True
        return self.memory_needed <= self.memory_available


def prospects(n: int, margin: float, *, alpha: float) -> tuple[Prospect, ...]:
    """Say what `n` items can show at each typical discordance.

    The spread of a paired difference of right and wrong answers without a true difference is
    sqrt(discordance).
    """
    return tuple(
        Prospect(
            discordance=share,
            detectable=detectable_difference(math.sqrt(share), n, alpha=alpha),
            items_for_margin=items_for_equivalence(math.sqrt(share), 0.0, margin, alpha=alpha),
        )
        for share in DISCORDANCES
        if n > 1
    )
