"""What is asked of the answers: the little of a study that its analysis needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from quantrial import documents
from quantrial.registry import kind_of

if TYPE_CHECKING:
    from quantrial.study import Study


@dataclass(frozen=True, slots=True)
class TaskQuestion:
    """What is asked of one task.

    `margin` is that of its primary endpoint, `margins` that of each endpoint that has one of its
    own or none; all else has `other_margin`. `stratify` and `cluster` are keys of the items'
    metadata; `declared_groups` are all keys of which the study says whether they are groups.
    """

    workload: str
    margin: float
    margins: Mapping[str, float | None]
    other_margin: float | None
    stratify: str | None = None
    cluster: str | None = None
    declared_groups: frozenset[str | None] = frozenset()

    def margin_of(self, endpoint: str) -> float | None:
        """Return the margin of an endpoint or failure mode; None where a difference is asked."""
        return self.margins.get(endpoint, self.other_margin)


@dataclass(frozen=True, slots=True)
class SpeedQuestion:
    """What is asked of the speed phase: `arms` are the timed ones, the reference first.

    `shapes` are lengths of prompt and answer in tokens. It ends with at least so many `blocks` once
    every interval reaches no further than `precision`, relative, or after `time_limit` seconds.
    From a `busy_share` of other processes on the machine counts as busy.
    """

    arms: tuple[str, ...]
    alpha: float
    shapes: tuple[tuple[int, int], ...]
    blocks: int
    precision: float
    time_limit: float
    busy_share: float

    @property
    def reference(self) -> str:
        """The arm that the others are compared with."""
        return self.arms[0]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of all tasks: `arms` are those of the study, by name what is wrong with each.

    Only a control has anything wrong with it on purpose; else that is None. `declared` are the
    failure modes that are tested from the start. `arms_differ_in` the `precision` of their weights,
    or in the `engines` that run them.
    """

    study: documents.StudyIs
    reference: str
    alpha: float
    arms: Mapping[str, str | None]
    tasks: Mapping[str, TaskQuestion]
    methods: str = "calibrated"
    resamples: int = 10_000
    declared: tuple[str, ...] = ()
    arms_differ_in: Literal["precision", "engines"] = "precision"
    speed: SpeedQuestion | None = None

    @property
    def seed(self) -> int:
        """What every draw follows from."""
        return self.study.seed

    @property
    def controls(self) -> list[str]:
        """The arms that are damaged on purpose, which are never chosen."""
        return [name for name, control in self.arms.items() if control]


def question_of(study: Study) -> Question:
    """Return what a study asks of its answers."""
    return Question(
        study=documents.StudyIs(
            name=study.study,
            hash=study.hash,
            seed=study.seed,
            imported=not all(task.source.all_recorded for task in study.tasks.values()),
        ),
        reference=study.reference,
        alpha=study.alpha,
        arms={name: arm.control for name, arm in study.arms.items()},
        tasks={name: _task_question(study, name) for name in study.tasks},
        methods=study.analysis.methods,
        resamples=study.analysis.resamples,
        declared=study.analysis.declared_failure_modes,
        arms_differ_in=study.question,
        speed=_speed_question(study),
    )


def _task_question(study: Study, name: str) -> TaskQuestion:
    spec = study.tasks[name]
    named = [*(one.name for one in kind_of(spec).endpoints), *spec.margins]
    return TaskQuestion(
        workload=spec.workload,
        margin=study.primary_margin(name),
        margins={endpoint: study.margin_of(name, endpoint) for endpoint in named},
        other_margin=study.margin_of(name, ""),
        stratify=spec.stratify,
        cluster=spec.cluster,
        declared_groups=frozenset({spec.stratify, spec.cluster, *spec.ungrouped}),
    )


def _speed_question(study: Study) -> SpeedQuestion | None:
    spec = study.speed
    if spec is None:
        return None
    return SpeedQuestion(
        arms=study.timed_arms,
        alpha=study.alpha,
        shapes=spec.shapes,
        blocks=spec.blocks,
        precision=spec.precision,
        time_limit=spec.time_limit,
        busy_share=spec.busy_share,
    )
