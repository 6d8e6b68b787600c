"""The study as one object: its arms, its tasks, and what counts as the same."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from quantrial.errors import StudyError
from quantrial.records import sha256_of
from quantrial.registry import kind_of
from quantrial.study.explaining import refusal
from quantrial.study.names import Name, check_apart
from quantrial.study.parts import DecisionPart, Design, GatePart, Loss, Memory, Part, Speed
from quantrial.study.tasks import Task, check_failure_modes, no_margin

Quantization = Literal[
    "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0",
    "IQ4_NL", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K",
]  # fmt: skip
_TYPE = r"^[A-Za-z0-9][A-Za-z0-9_.+ -]*$"


class Weights(Part):
    """The weights of an arm whose server does not describe them; reports mark them as stated."""

    type: Annotated[str, Field(pattern=_TYPE, max_length=40)] | None = None
    """Type of the weights, such as `Q4_K_M`, `fp32` or `int8`."""
    bytes: Memory | None = None
    """Size of the weights: `4.9 GB`, `500MiB`, or a number of bytes. `--max-memory` uses it."""

    @model_validator(mode="after")
    def _says_something(self) -> Weights:
        if self.type is None and self.bytes is None:
            raise ValueError("is empty: give `type`, `bytes` or both, or leave it out")
        return self


class Arm(Part):
    """One arm: an engine, a model, options."""

    engine: str = "llamacpp"
    """Which engine answers: `llamacpp` (embedded), `openai` (a server), `scripted` (for tests)."""
    model: str
    """A path, `hf://org/repo/file.gguf`, `package://package/file.gguf`, or a name on the server."""
    quantize: Quantization | None = None
    """Make the arm's file from `model`: dequantize it and write this type (embedded engine)."""
    degrade: Literal["round_3bit"] | None = None
    """Damage the weights on purpose before writing them, for a positive control."""
    weights: Weights | None = None
    """Type and size of the weights, if the server does not tell them. Of a file they are read."""
    control: Literal["positive"] | None = None
    """`positive`: this arm shows that the trial can find harm. It is never recommended."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the engine. `llamacpp`: `context`, `threads`, `batch`, `gpu_layers`, `slots`."""


class Analysis(Part):
    """How responses become findings."""

    methods: Literal["calibrated", "classic"] = "calibrated"
    """Set of statistics: `calibrated`, or `classic` to reproduce published studies."""
    resamples: int = Field(default=10_000, ge=100, le=1_000_000)
    """Number of bootstrap and permutation draws."""
    declared_failure_modes: tuple[str, ...] = ()
    """Failure modes that you declare before the run; the others are reported as exploratory."""


class Study(Part):
    """One experiment: arms, tasks, and what counts as the same.

    Made by its keys, or read by `load_study`. Raises StudyError with the key that is wrong.
    """

    study: Name
    """Name of the study, and of its run folder."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of everything that is drawn at random."""
    reference: str
    """The arm that the others are compared with."""
    question: Literal["precision", "engines"] = "precision"
    """What the arms differ in: the `precision` of their weights, or, with the same weights, the
    `engines` that run them, with their versions and options."""
    margin: Loss = 0.01
    """Largest loss that you accept as practically the same: a fraction, or `2pp`."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """The error rate of each test; intervals have confidence 1 - alpha."""
    notes: tuple[str, ...] = ()
    """Sentences about this study that the report prints as they are."""
    arms: dict[Name, Arm]
    """The arms that are compared, by name."""
    tasks: dict[Name, Task]
    """What the arms are asked, by name."""
    design: Design = Design.model_construct()
    """The order of calls."""
    analysis: Analysis = Analysis.model_construct()
    """The statistics."""
    speed: Speed | None = None
    """The speed phase. Without it, speed is taken from the timings of the answers."""
    decision: DecisionPart = DecisionPart.model_construct()
    """Your constraints, and what things cost."""
    gate: GatePart | None = None
    """What `quantrial gate` requires of this study's results."""

    def __init__(self, /, **keys: Any) -> None:
        try:
            super().__init__(**keys)
        except ValidationError as exc:
            raise refusal(exc.errors(), Study) from exc

    # so that pydantic does not call it of what is read from a file, whose path is told then
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @field_validator("arms")
    @classmethod
    def _two_arms(cls, arms: dict[str, Arm]) -> dict[str, Arm]:
        if len(arms) < 2:
            raise ValueError("a comparison needs at least two arms: the reference and a candidate")
        check_apart(arms, "the arms")
        return arms

    @field_validator("tasks")
    @classmethod
    def _a_task(cls, tasks: dict[str, Task]) -> dict[str, Task]:
        if not tasks:
            raise ValueError("at least one task is needed")
        check_apart(tasks, "the tasks")
        return tasks

    @model_validator(mode="after")
    def _samples_of_tasks(self) -> Study:
        for name, task in self.tasks.items():
            if self.design.samples > 1 and not task.has_gold:
                raise StudyError(
                    "gold: none compares one answer with one answer; leave `samples` out",
                    key=f"tasks.{name}.gold",
                )
            task.answered(self.design.samples)
        return self

    @model_validator(mode="after")
    def _reference_is_an_arm(self) -> Study:
        if self.reference not in self.arms:
            raise ValueError(
                f"reference is {self.reference!r}, which is not among the arms: "
                f"{', '.join(self.arms)}"
            )
        if self.arms[self.reference].control:
            raise ValueError(f"reference {self.reference!r} cannot be a control arm")
        return self

    @model_validator(mode="after")
    def _declares_known_failure_modes(self) -> Study:
        try:
            check_failure_modes(self.analysis.declared_failure_modes, self.tasks.values())
        except ValueError as exc:
            raise StudyError(str(exc), key="analysis.declared_failure_modes") from exc
        return self

    @property
    def timed_arms(self) -> tuple[str, ...]:
        """The arms whose speed is measured: all but controls, the reference first."""
        arms = [self.reference, *(name for name in self.arms if name != self.reference)]
        return tuple(name for name in arms if not self.arms[name].control)

    @property
    def constrained_pairs(self) -> tuple[tuple[str, str], ...]:
        """Pairs of tasks that differ in constrained decoding alone: the free one, the other."""
        parts = {
            name: (task.model_dump(exclude={"constrained"}), getattr(task, "constrained", False))
            for name, task in self.tasks.items()
        }
        return tuple(
            (free, constrained)
            for free, (own, constrains) in parts.items()
            for constrained, (other, is_constrained) in parts.items()
            if is_constrained and not constrains and own == other
        )

    def primary_margin(self, task: str) -> float:
        """Return the margin of a task's primary endpoint, in the endpoint's unit."""
        primary = kind_of(self.tasks[task]).endpoints[0]
        found = self.margin_of(task, primary.name)
        if found is None:
            raise StudyError(no_margin(primary.name, primary.unit), key=f"tasks.{task}.margin")
        return found

    def margin_of(self, task: str, endpoint: str) -> float | None:
        """Return the margin of an endpoint or failure mode of a task, in its own unit.

        Its own, or the task's, or the study's. That of the task is in the unit of its primary
        endpoint and that of the study is of shares: they hold where the unit is the same. None
        where none does, and only a difference is asked about.
        """
        spec = self.tasks[task]
        units = {each.name: each.unit for each in kind_of(spec).endpoints}
        primary, unit = next(iter(units.values())), units.get(endpoint)
        if endpoint in spec.margins:
            return spec.margins[endpoint]
        if spec.margin is not None and unit == primary:
            return spec.margin
        return self.margin if unit is None else None

    def canonical(self) -> dict[str, Any]:
        """Return what the study says as plain JSON values, without what is the default anyway.

        A later version with a new optional key therefore gives an old study the same hash.
        """
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical study: what decides whether a run folder belongs to it."""
        return sha256_of(self.canonical())

    def is_of(self, digest: str, *, early: bool) -> bool:
        """Whether a recorded hash is that of this study.

        `early`: it is from before orders were recorded, when `round_robin` was the default.
        """
        if digest == self.hash or not early or self.design.schedule != "round_robin":
            return digest == self.hash
        unsaid = self.design.model_copy(update={"schedule": "auto"})
        return digest == self.model_copy(update={"design": unsaid}).hash
