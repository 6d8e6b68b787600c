"""A decision under the user's own constraints: the arm that keeps them, or the nearest miss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from quantrial.decision.trial import Trial
from quantrial.decision.words import (
    Document,
    by_margin,
    evidence,
    listed,
    margin,
    points,
    ratio,
    size,
)
from quantrial.errors import StudyError


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the user cannot give up.

    `max_memory` in bytes of weights; `min_speedup` as a ratio of decoding speeds to the
    reference's; `tolerate` as the largest acceptable loss, a fraction, in place of the margin;
    `workloads` that matter (all by default).
    """

    max_memory: int | None = None
    min_speedup: float | None = None
    tolerate: float | None = None
    workloads: tuple[str, ...] = ()

    @property
    def stated(self) -> bool:
        """Whether anything is constrained."""
        return self != Constraints()


def constraints_of(decision: Document) -> Constraints | None:
    """Return the constraints that a decision document was made under; None without any."""
    given = decision.get("constrained")
    if not given:
        return None
    stated = dict(given["constraints"])
    stated["workloads"] = tuple(stated["workloads"])
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
                key="workload",
            )
    if constraints.tolerate is not None and not 0 < constraints.tolerate < 1:
        raise StudyError(
            f"must lie between 0 and 1 (0pp and 100pp); got {constraints.tolerate:g}",
            key="tolerate",
        )
    for key in ("max_memory", "min_speedup"):
        value = getattr(constraints, key)
        if value is not None and not value > 0:
            raise StudyError(f"must be above 0; got {value:g}", key=key)


def constrained(trial: Trial, limits: Constraints) -> dict[str, Any]:
    """Pick the cheapest arm that breaks no constraint, or name the nearest miss."""
    tasks = [
        task
        for task in trial.tasks
        if not limits.workloads or trial.workload(task) in limits.workloads
    ]
    broken = {
        arm: [*_cost_broken(trial, arm, limits), *_loss_broken(trial, arm, tasks, limits)]
        for arm in trial.by_cost
    }
    pick = next((arm for arm in trial.by_cost if not broken[arm]), None)
    # by how far, relative to what is allowed; among equals the cheaper one
    nearest = min(
        broken,
        key=lambda arm: (sum(one["excess"] for one in broken[arm]), trial.by_cost.index(arm)),
    )
    if pick is not None:
        because = [
            finding["id"]
            for task in tasks
            if pick != trial.reference and (finding := trial.primary(task, pick))
        ]
        text = f"Under your constraints, ship {pick}"
        if pick == trial.reference:
            text += ", the reference."
        else:
            text += (
                f": {trial.saving(pick)}; shown to lose less than {_kept(trial, tasks, limits)}."
            )
    else:
        because = [one["because"] for one in broken[nearest] if one["because"]]
        text = (
            f"No arm keeps all your constraints. The nearest miss is {nearest}: "
            + "; ".join(one["text"] for one in broken[nearest])
            + "."
        )
    return {
        "constraints": asdict(limits),
        "pick": pick,
        "nearest": nearest,
        "text": text,
        "because": because,
        "evidence": [_evidence(trial.findings[finding], limits) for finding in because],
        "rejected": [{"arm": arm, "breaks": reasons} for arm, reasons in broken.items() if reasons],
    }


def _kept(trial: Trial, tasks: Sequence[str], limits: Constraints) -> str:
    """Say which loss is ruled out where."""
    if limits.tolerate is not None:
        return f"{margin(limits.tolerate)} on {listed(map(trial.named, tasks))}"
    return by_margin((trial.tasks[task]["margin"], trial.named(task)) for task in tasks)


def _evidence(finding: Document, limits: Constraints) -> str:
    """Write a finding with the interval that the tolerance is held against, where there is one."""
    return evidence(finding, one_sided=limits.tolerate is not None)


def _broken(
    constraint: str, text: str, finding: Document | None = None, *, excess: float = 1.0
) -> dict[str, Any]:
    return {
        "constraint": constraint,
        "text": text,
        "excess": excess,
        "because": None if finding is None else finding["id"],
        "evidence": [] if finding is None else [evidence(finding)],
    }


def _cost_broken(trial: Trial, arm: str, limits: Constraints) -> Iterator[dict[str, Any]]:
    cost = trial.cost(arm)
    memory, speedup = cost["memory_bytes"], cost["speedup"]
    if limits.max_memory is not None:
        if memory is None:
            yield _broken("max_memory", f"the memory of {arm} is not known")
        elif memory > limits.max_memory:
            yield _broken(
                "max_memory",
                f"{arm} needs {math.ceil(memory / 1e6):,} MB, at most "
                f"{math.floor(limits.max_memory / 1e6):,} MB are allowed",
                excess=memory / limits.max_memory - 1.0,
            )
    if limits.min_speedup is not None:
        if speedup is None:
            yield _broken("min_speedup", f"the speed of {arm} is not known")
        elif speedup < limits.min_speedup:
            yield _broken(
                "min_speedup",
                f"{arm} decodes at {ratio(speedup)} the reference's speed, "
                f"at least {ratio(limits.min_speedup)} is asked for",
                excess=limits.min_speedup / speedup - 1.0,
            )


def _loss_broken(
    trial: Trial, arm: str, tasks: Sequence[str], limits: Constraints
) -> Iterator[dict[str, Any]]:
    if arm == trial.reference:
        return
    for task in tasks:
        finding, work, holds = trial.primary(task, arm), trial.named(task), trial.holds(task, arm)
        if finding is None:
            yield _broken("quality", f"{arm} shares no answered item with the reference on {work}")
            continue
        kept, tolerate = finding["margin"], limits.tolerate
        # the one-sided bound of the interval that belongs to the equivalence test
        floor = finding["equivalence_ci"][0]
        within = tolerate is not None and floor is not None and floor > -tolerate
        # a loss smaller than the margin is the verdict's own claim, and a stricter or laxer one
        # must not contradict it
        if tolerate is None or tolerate == kept:
            fine = holds
        else:
            fine = holds or within if tolerate > kept else holds and within
        if fine:
            continue
        if finding["verdict"] == "worse" and not within:
            text = f"{arm} is worse on {work} ({points(finding['estimate'])})"
        elif tolerate is None:
            text = f"{arm} is not shown to lose less than {margin(kept)} on {work}"
        elif floor is None or floor > -tolerate:
            text = f"{arm} is not shown to lose less than {margin(tolerate)} on {work}"
        else:
            text = (
                f"{arm} may lose up to {size(floor)} on {work}, less than {margin(tolerate)} is "
                "tolerated"
            )
        yield _broken("quality" if tolerate is None else "tolerate", text, finding)
