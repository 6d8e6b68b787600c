"""The part `decision:` of a study file: what the user cannot give up, stated before the results."""

from __future__ import annotations

from pydantic import Field

from quantrial.study.part import Part
from quantrial.study.quantities import Loss, Memory, Price, Time


class DecisionPart(Part):
    """What you cannot give up, and what things cost; `quantrial decide` takes the same as options.

    Prices are in any one currency.
    """

    max_memory: Memory | None = None
    """Most memory an arm may take: `8GB`, `500MiB`, or a number of bytes. Its measured peak counts
    where the speed phase knows that of all arms, else the size of its weights."""
    min_speedup: float | None = Field(default=None, gt=0)
    """Least decoding speed, as a ratio to the reference's."""
    max_latency: Time | None = None
    """Most time an answer may take on average, on every workload that matters: `2s`, `300ms`."""
    tolerate: Loss | None = None
    """Largest loss you accept, in place of the margin: `2pp`, or `0.02`."""
    tolerate_by: dict[str, Loss] = Field(default_factory=dict)
    """The same for a task or a workload, by its name."""
    workloads: tuple[str, ...] = ()
    """The workloads that matter; all by default."""
    cost_per_hour: Price | None = None
    """What an hour of the machine costs; arms are then ordered by what a request costs."""
    cost_per_hour_by: dict[str, Price] = Field(default_factory=dict)
    """The same for an arm, which may run on another machine, by its name."""
    error_cost: Price | None = None
    """What one wrong answer costs."""
