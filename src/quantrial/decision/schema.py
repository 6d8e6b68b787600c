"""The shape of `decision.json`, from which `docs/decision.schema.json` is generated.

Read by the generator and by tests only: the decision itself needs no pydantic. Keys may be added in
later versions; those that are here stay.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quantrial.decision.schema_picker import Picker

Verdict = Literal["equivalent", "non_inferior", "worse", "better", "inconclusive"]
Interval = tuple[float | None, float | None]
ConstraintName = Literal[
    "max_memory",
    "min_speedup",
    "max_latency",
    "evidence",
    "identity",
    "quality",
    "tolerate",
    "missing",
    "choice",
]


class _Part(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Entry(_Part):
    """A sentence, the ids of the findings it rests on, and their numbers in words."""

    text: str
    because: list[str]
    evidence: list[str]


class StudyIs(_Part):
    """Which study was decided on."""

    name: str
    hash: str
    seed: int


class Missing(_Part):
    """What an arm lacks on a task."""

    arm: str
    task: str
    because: str
    """Id of the finding; empty where no item is shared."""
    items_needed: int | None
    """Items in all that would settle it with 80 % chance, if the truth is as seen."""
    text: str


class Guard(_Part):
    """A failure mode of an arm, and what guards against it."""

    task: str
    endpoint: str
    because: str
    text: str


class Default(Entry):
    """What to ship where nothing is constrained."""

    arm: str
    missing: list[Missing]
    conclusive: bool
    """False where the trial could not have seen harm, or compared other prompts."""
    guards: list[Guard] = []
    """Failure modes that are shown for the arm all the same."""
    p_value: float | None = None
    """Of "loses less than the margin on every task", with missing answers held against the arm and
    the choice among the candidates allowed for; null for the reference."""


class Ship(_Part):
    """How surely a candidate loses less than the margin on every task."""

    arm: str
    p_value: float | None
    """By itself: the largest of its tasks, with missing answers held against it."""
    p_adjusted: float | None
    """Of the sentence "Ship": by Holm over the candidates of which one is chosen."""
    among: int
    """How many candidates these are."""
    shown: bool
    missing: int
    """Answers that are not there, its own and the reference's, over all tasks."""


class PickWhen(Entry):
    """A cheaper arm, and the conditions under which it is the right one."""

    arm: str
    worse_on: list[str]
    undecided_on: list[str]
    guards: list[Guard]


class AvoidFor(Entry):
    """A workload on which an arm is worse."""

    arm: str
    workload: str
    task: str


class StayWhen(Entry):
    """A condition under which the reference is the right arm."""

    arm: str
    instead_of: str


class Caution(Entry):
    """What to be careful of before acting."""

    task: str | None = None
    kind: Literal["assay", "noise"] | None = None
    """Set where the trial itself is in doubt: it is not the experiment it claims to be, or the
    machinery strays as far as the arms do. A report says these before anything else."""


class Control(Entry):
    """An arm damaged on purpose, and whether the trial saw it."""

    arm: str
    found_worse: bool


class Stated(_Part):
    """The constraints a decision was made under; null or empty where not stated."""

    max_memory: int | None
    """Bytes."""
    min_speedup: float | None
    tolerate: float | None
    """A fraction."""
    workloads: list[str]
    max_latency: float | None
    """Seconds."""
    tolerate_by: dict[str, float]
    """By task or workload."""
    cost_per_hour: float | None
    cost_per_hour_by: dict[str, float]
    """By arm."""
    error_cost: float | None


class Broken(_Part):
    """A constraint that an arm breaks."""

    constraint: ConstraintName
    task: str | None
    value: float | None
    limit: float | None
    excess: float
    """By how far, relative to what is allowed; 1 where that cannot be said."""
    text: str
    because: str | None
    evidence: list[str]


class Rejected(_Part):
    """An arm and all it breaks."""

    arm: str
    breaks: list[Broken]


class BrokenName(_Part):
    """Which constraint is broken, where."""

    constraint: ConstraintName
    task: str | None


class Alternative(_Part):
    """The nearest other answer; what it breaks is empty where it keeps everything."""

    arm: str
    breaks: list[BrokenName]
    text: str


class Constrained(Entry):
    """The answer under the user's own constraints."""

    constraints: Stated
    of_study: list[str] = []
    """Those of them that the study file states; the others were options of `quantrial decide`."""
    pick: str | None
    p_value: float | None = None
    """Of "loses less than is tolerated", as in `default`; null for the reference or no pick."""
    guards: list[Guard] = []
    """Failure modes that are shown for the pick all the same."""
    nearest: str
    """The pick, or the arm that misses by least."""
    rejected: list[Rejected]
    alternative: Alternative | None


class Amount(_Part):
    """An amount and its interval; positive is more than the reference."""

    estimate: float
    low: float | None
    high: float | None


class Money(_Part):
    """Prices of a million requests, in place of the reference; positive costs more."""

    errors: Amount | None
    machine: float | None
    net: Amount


class Risk(Entry):
    """What an arm in place of the reference would cost on a task."""

    arm: str
    task: str
    workload: str
    endpoint: str
    """The share of answers that are right: accuracy, exact_match."""
    confidence: float
    extra_errors_per_1000: Amount
    per_million: Money | None


class Change(_Part):
    """The smallest change of one thing that changes the pick."""

    kind: Literal["max_memory", "min_speedup", "max_latency", "tolerate", "workloads", "estimate"]
    of: str | None
    """The task or workload it is about; null for all."""
    to: Any
    """The setting, or the estimate, at which the pick changes."""
    size: float | None
    """How large the change is; null where nothing was stated before."""
    unit: Literal["points", "share"] | None
    """Of a loss or an estimate of quality, as a fraction; of a limit or a speed, relative."""
    smallest: bool
    """Whether no change in the same unit is smaller."""
    pick: str | None
    text: str
    arm: str | None = None
    because: list[str] = []
    evidence: list[str] = []


class Sensitivity(_Part):
    """What would change the pick, and what more items would settle."""

    pick: str | None
    changes: list[Change]
    settle: list[Missing]


class Cost(_Part):
    """What an arm costs."""

    memory_bytes: int | None
    """By `picker.memory_source`."""
    memory_ratio: float | None
    speedup: float | None
    speedup_ci: Interval | None
    """Where a speed phase measured it."""
    speedup_finding: str | None


class SettledBy(_Part):
    """The question that the fewest further items would settle."""

    question: str
    items: int
    further: int
    clusters: int | None = None
    """Over random clusters: in all."""
    further_clusters: int | None = None


class Finding(_Part):
    """A contrast, candidate minus reference, with its tests and verdict. Negative is a loss."""

    id: str
    kind: Literal["primary", "secondary", "failure_mode"]
    task: str
    workload: str
    endpoint: str
    reference: str
    candidate: str
    estimate: float | None
    ci: Interval
    confidence: float
    p_value: float | None
    p_adjusted: float | None
    p_alarm: float | None = None
    """Of what is no primary endpoint: adjusted within the report's one family of alarms."""
    p_method: str
    margin: float
    equivalence_ci: Interval
    equivalence_confidence: float
    equivalence_p: float | None
    equivalence_p_adjusted: float | None
    non_inferiority_p: float | None
    non_inferiority_p_adjusted: float | None
    non_inferior: bool
    """Whether a loss of the margin is ruled out, whatever the verdict is."""
    approximate: bool = False
    """Whether the error rate of a claim about the margin is not known: few changes, or clusters."""
    over_clusters: bool = False
    """Whether items speak for random clusters like theirs, so that claims are approximate."""
    declared: bool = True
    """Whether the study asked for it beforehand; a failure mode that it did not is exploratory."""
    n: int
    verdict: Verdict
    also: Verdict | None
    worst_case: dict[str, Any] | None
    """The same with every missing answer held against the candidate, and its test of the margin."""
    lower_bounds: list[float | None] | None = None
    """Which losses are ruled out where the candidate is one of 1, 2, ... to choose from."""
    items_needed: dict[str, int | None] | None
    """In all, by question."""
    settled_by: SettledBy | None = None


class Pace(_Part):
    """A candidate's decoding speed as a ratio to the reference's, from the speed phase."""

    id: str
    kind: Literal["speed"]
    task: None
    endpoint: str
    reference: str
    candidate: str
    estimate: float
    ci: Interval
    confidence: float
    n: int
    """Blocks."""
    verdict: Literal["faster", "slower", "inconclusive"]


class Decision(_Part):
    """`quantrial.decision/1`: a decision, computed from the findings of a summary."""

    schema_: Literal["quantrial.decision/1"] = Field(alias="schema")
    study: StudyIs
    methods: Literal["calibrated", "classic"]
    made_of: dict[str, str] = {}
    """What it was made of: a fingerprint of `summary.json`, which last digits do not change."""
    reference: str
    default: Default
    pick_when: list[PickWhen]
    avoid_for: list[AvoidFor]
    stay_when: list[StayWhen]
    cautions: list[Caution]
    controls: list[Control]
    constrained: Constrained | None = None
    """Only where constraints were stated."""
    risk: list[Risk]
    sensitivity: Sensitivity
    ordered_by: Literal["memory", "bits", "speed"]
    costs: dict[str, Cost]
    ship: list[Ship] = []
    picker: Picker
    findings: dict[str, Finding | Pace]
