"""Which constraints make sense for a study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields

from quantrial.decision.trial import Trial
from quantrial.documents.decision import Constraints
from quantrial.errors import StudyError


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
