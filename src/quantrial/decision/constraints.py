"""What the user cannot give up: the constraints, and which of them make sense for a study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from quantrial.decision.trial import Trial
from quantrial.decision.words import Document
from quantrial.errors import StudyError


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the user cannot give up, and what things cost.

    `max_memory` in bytes, of a measured peak or of weights (`Trial.memory_source`); `min_speedup`
    as a ratio of decoding speeds to the reference's; `max_latency` in mean seconds an answer, on
    each workload that matters; `tolerate` as the largest acceptable loss, a fraction, in place of
    the margin, and `tolerate_by` the same for a task or a workload; `workloads` that matter (all by
    default). `cost_per_hour` of a machine and `cost_per_hour_by` arm order the arms by what a
    request costs; `error_cost` is the price of one wrong answer. Prices are in any one currency.
    """

    max_memory: int | None = None
    min_speedup: float | None = None
    tolerate: float | None = None
    workloads: tuple[str, ...] = ()
    max_latency: float | None = None
    tolerate_by: Mapping[str, float] = field(default_factory=dict, hash=False)
    cost_per_hour: float | None = None
    cost_per_hour_by: Mapping[str, float] = field(default_factory=dict, hash=False)
    error_cost: float | None = None

    @property
    def stated(self) -> bool:
        """Whether anything is constrained or has a price."""
        return self != Constraints()

    def over(self, other: Constraints) -> Constraints:
        """Return these constraints, with `other`'s where these say nothing."""
        mine = {f.name for f in fields(self) if getattr(self, f.name) not in (None, {}, ())}
        return Constraints(
            **{f.name: getattr(self if f.name in mine else other, f.name) for f in fields(self)}
        )

    def shared(self, other: Constraints) -> list[str]:
        """Name what is stated here and is the same in `other`: what was taken from a study file."""
        return [
            f.name
            for f in fields(self)
            if getattr(self, f.name) not in (None, {}, ())
            and getattr(self, f.name) == getattr(other, f.name)
        ]

    def document(self) -> dict[str, Any]:
        """Return the constraints as they stand in `decision.json`."""
        return asdict(self) | {"workloads": list(self.workloads)}


def constraints_of(decision: Document) -> Constraints | None:
    """Return the constraints that a decision document was made under; None without any."""
    given = decision.get("constrained")
    if not given:
        return None
    known = {f.name for f in fields(Constraints)}
    stated = {key: value for key, value in given["constraints"].items() if key in known}
    stated["workloads"] = tuple(stated.get("workloads", ()))
    return Constraints(**stated)


def check(constraints: Constraints, trial: Trial) -> None:
    """Refuse constraints that no study could meet, or that name what this one does not have.

    Raises:
        StudyError: with the constraint as its key.
    """
    known = sorted({trial.workload(task) for task in trial.tasks})
    for workload in constraints.workloads:
        if workload not in known:
            raise StudyError(
                f"no task of this study stands for {workload!r}; its workloads are "
                f"{', '.join(known)}",
                key="workloads",
            )
    named = [*trial.tasks, *(workload for workload in known if workload not in trial.tasks)]
    for name in constraints.tolerate_by:
        if name not in named:
            raise StudyError(
                f"this study has no task or workload {name!r}; it has {', '.join(named)}",
                key="tolerate",
            )
    for arm in constraints.cost_per_hour_by:
        if arm not in trial.by_cost:
            raise StudyError(
                f"this study has no arm {arm!r} to ship; it has {', '.join(trial.by_cost)}",
                key="cost_per_hour",
            )
    for key, value in _numbers(constraints):
        if key == "tolerate" and not 0 < value < 1:
            raise StudyError(
                f"must lie between 0 and 1 (0pp and 100pp); got {value:g}", key="tolerate"
            )
        free = key in ("cost_per_hour", "error_cost") and value == 0
        if not free and not (value > 0 and math.isfinite(value)):
            raise StudyError(f"must be above 0; got {value:g}", key=key)


def _numbers(constraints: Constraints) -> Iterator[tuple[str, float]]:
    for one in fields(constraints):
        value = getattr(constraints, one.name)
        if isinstance(value, Mapping):
            for number in value.values():
                yield one.name.removesuffix("_by"), number
        elif value is not None and one.name != "workloads":
            yield one.name, value
