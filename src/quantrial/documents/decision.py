"""`decision.json` (`quantrial.decision/1`): a decision, computed from the findings of a summary.

The types are the schema: `docs/decision.schema.json` is generated from them. Keys may be added in
later versions; those that are here stay. A key at its default is left out, but of `Constraints`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from quantrial.documents import codec
from quantrial.documents.base import Against, Direction, Interval, Number, turned, turned_ends
from quantrial.documents.contrasts import ItemsNeeded, SettledBy, Verdict, WorstCase
from quantrial.documents.summary import StudyIs
from quantrial.errors import RecordError

Methods = Literal["calibrated", "classic"]
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
ChangeKind = Literal[
    "max_memory", "min_speedup", "max_latency", "tolerate", "workloads", "estimate"
]
ChangeUnit = Literal["points", "share"]


class Missing(Struct, frozen=True, kw_only=True):
    """What an arm lacks on a task."""

    arm: str
    task: str
    because: str
    """Id of the finding; empty where no item is shared."""
    items_needed: int | None
    """Items in all that would settle it with 80 % chance, if the truth is as seen."""
    text: str


class Guard(Struct, frozen=True, kw_only=True):
    """A failure mode of an arm, and what guards against it."""

    task: str
    endpoint: str
    because: str
    text: str


class Default(Struct, frozen=True, kw_only=True):
    """What to ship where nothing is constrained."""

    arm: str
    missing: tuple[Missing, ...]
    conclusive: bool
    """False where the trial could not have seen harm, or compared other prompts."""
    guards: tuple[Guard, ...] | UnsetType = UNSET
    """Failure modes that are shown for the arm all the same; not there where nothing is shipped."""
    p_value: float | UnsetType | None = UNSET
    """Of "loses less than the margin on every task", with missing answers held against the arm and
    the choice among the candidates allowed for; null for the reference, not there where nothing
    is shipped."""
    text: str
    because: tuple[str, ...]
    """Ids of the findings that the text rests on."""
    evidence: tuple[str, ...]
    """Their numbers, in words."""


class Ship(Struct, frozen=True, kw_only=True):
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


class PickWhen(Struct, frozen=True, kw_only=True):
    """A cheaper arm, and the conditions under which it is the right one."""

    arm: str
    worse_on: tuple[str, ...]
    undecided_on: tuple[str, ...]
    guards: tuple[Guard, ...]
    text: str
    because: tuple[str, ...]
    evidence: tuple[str, ...]


class AvoidFor(Struct, frozen=True, kw_only=True):
    """A workload on which an arm is worse."""

    arm: str
    workload: str
    task: str
    text: str
    because: tuple[str, ...]
    evidence: tuple[str, ...]


class StayWhen(Struct, frozen=True, kw_only=True):
    """A condition under which the reference is the right arm."""

    arm: str
    instead_of: str
    text: str
    because: tuple[str, ...]
    evidence: tuple[str, ...]


class Caution(Struct, frozen=True, kw_only=True):
    """What to be careful of before acting."""

    task: str | None = None
    kind: Literal["assay", "noise"] | None = None
    """Set where the trial itself is in doubt: it is not the experiment it claims to be, or the
    machinery strays as far as the arms do. A report says these before anything else."""
    text: str
    because: tuple[str, ...]
    evidence: tuple[str, ...]


class Control(Struct, frozen=True, kw_only=True):
    """An arm damaged on purpose, and whether the trial saw it."""

    arm: str
    found_worse: bool
    text: str
    because: tuple[str, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the user cannot give up, and what things cost; null or empty where not stated.

    Prices are in any one currency.
    """

    max_memory: int | None = None
    """Bytes, of a measured peak or of weights (`picker.memory_source`)."""
    min_speedup: float | None = None
    """Ratio of decoding speeds to the reference's."""
    tolerate: float | None = None
    """The largest acceptable loss, a fraction, in place of the margin."""
    workloads: tuple[str, ...] = ()
    """Those that matter; all where none is named."""
    max_latency: float | None = None
    """Mean seconds an answer, on each workload that matters."""
    tolerate_by: Mapping[str, float] = field(default_factory=dict, hash=False)
    """`tolerate` by task or workload."""
    cost_per_hour: float | None = None
    """Of a machine: it orders the arms by what a request costs."""
    cost_per_hour_by: Mapping[str, float] = field(default_factory=dict, hash=False)
    """By arm."""
    error_cost: float | None = None
    """The price of one wrong answer."""

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

    def shared(self, other: Constraints) -> tuple[str, ...]:
        """Name what is stated here and is the same in `other`: what was taken from a study file."""
        return tuple(
            f.name
            for f in fields(self)
            if getattr(self, f.name) not in (None, {}, ())
            and getattr(self, f.name) == getattr(other, f.name)
        )

    def document(self) -> dict[str, Any]:
        """Return the constraints as they stand in `decision.json`."""
        return asdict(self) | {"workloads": list(self.workloads)}


class BrokenName(Struct, frozen=True, kw_only=True):
    """Which constraint is broken, where."""

    constraint: ConstraintName
    task: str | None


class Broken(Struct, frozen=True, kw_only=True):
    """A constraint that an arm breaks."""

    constraint: ConstraintName
    task: str | None
    """None where it concerns the arm as a whole."""
    value: Number | None
    """None: not known."""
    limit: Number | None
    excess: Number
    """By how far, relative to what is allowed; 1 where that cannot be said."""
    text: str
    because: str | None
    evidence: tuple[str, ...]


class Rejected(Struct, frozen=True, kw_only=True):
    """An arm and all it breaks."""

    arm: str
    breaks: tuple[Broken, ...]


class Alternative(Struct, frozen=True, kw_only=True):
    """The nearest other answer; what it breaks is empty where it keeps everything."""

    arm: str
    breaks: tuple[BrokenName, ...]
    text: str


class Constrained(Struct, frozen=True, kw_only=True):
    """The answer under the user's own constraints."""

    constraints: Constraints
    of_study: tuple[str, ...]
    """Those of them that the study file states; the others were options of `quantrial decide`."""
    pick: str | None
    p_value: float | None
    """Of "loses less than is tolerated", as in `default`; null for the reference or no pick."""
    guards: tuple[Guard, ...]
    """Failure modes that are shown for the pick all the same."""
    nearest: str
    """The pick, or the arm that misses by least."""
    text: str
    because: tuple[str, ...]
    evidence: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    alternative: Alternative | None


class Amount(Struct, frozen=True, kw_only=True):
    """An amount and its interval; positive is more than the reference."""

    estimate: float
    low: float | None
    high: float | None


class Money(Struct, frozen=True, kw_only=True):
    """Prices of a million requests, in place of the reference; positive costs more."""

    errors: Amount | None
    machine: float | None
    net: Amount


class Risk(Struct, frozen=True, kw_only=True):
    """What an arm in place of the reference would cost on a task."""

    arm: str
    task: str
    workload: str
    endpoint: str
    """The share of answers that are right: accuracy, exact_match."""
    confidence: float
    extra_errors_per_1000: Amount
    per_million: Money | None
    text: str
    because: tuple[str, ...]
    evidence: tuple[str, ...]


class Change(Struct, frozen=True, kw_only=True):
    """The smallest change of one thing that changes the pick."""

    kind: ChangeKind
    of: str | None
    """The task or workload it is about; null for all."""
    to: Number | tuple[str, ...]
    """The setting, or the estimate, at which the pick changes."""
    pick: str | None
    size: float | None
    """How large the change is; null where nothing was stated before."""
    unit: ChangeUnit | None
    """Of a loss or an estimate of quality, as a fraction; of a limit or a speed, relative."""
    smallest: bool
    """Whether no change in the same unit is smaller."""
    text: str
    because: tuple[str, ...]
    evidence: tuple[str, ...]
    arm: str | None = None


class Sensitivity(Struct, frozen=True, kw_only=True):
    """What would change the pick, and what more items would settle."""

    pick: str | None
    changes: tuple[Change, ...]
    settle: tuple[Missing, ...]


class Cost(Struct, frozen=True, kw_only=True):
    """What an arm costs."""

    memory_bytes: int | None
    """By `picker.memory_source`."""
    memory_ratio: float | None
    speedup: float | None
    speedup_ci: Interval | None
    """Where a speed phase measured it."""
    speedup_finding: str | None


class PickerArm(Struct, frozen=True, kw_only=True):
    """An arm, as the rules of the pick see it."""

    rank: int
    tier: int | None
    """What it costs; equal where it is not known which of two costs more, null of a control."""
    control: bool
    memory: Number | None
    speedup: float | None
    twin: str | None
    """The arm that nothing tells it from: one file, or the same answers to the byte."""
    other_prompts: bool = False
    """Whether it was shown other prompts than the reference: it is not picked."""


class PickerLevel(Struct, frozen=True, kw_only=True):
    """What is ruled out of a loss."""

    bound: float | None
    holds: bool


class PickerRow(Struct, frozen=True, kw_only=True):
    """An arm on a task, as the rules of the pick see it. Negative is a loss."""

    finding: str | None
    estimate: float | None
    bound: float | None
    margin: float
    holds: bool
    worse: bool
    latency: float | None
    missing: int = 0
    """Answers of the two arms that are not there; each is held against the arm in `bound` and
    `holds`."""
    answered: PickerLevel | None = None
    """The same of the items that both answered, where answers are missing."""
    among: tuple[PickerLevel, ...] = ()
    """The same where the arm is one of 2, 3, ... candidates of which one is chosen."""


class PickerTask(Struct, frozen=True, kw_only=True):
    """A task, as the rules of the pick see it."""

    workload: str
    margin: float
    at_floor: bool
    arms: dict[str, PickerRow]
    baseline: str | None = None
    """What the reference does no better than, in words; null where it does better (`at_floor`)."""
    unit: str | None = None
    """Of margin, estimates and bounds; null: shares, of which alone a loss can be tolerated."""
    against: Against = "gold"


class Picker(Struct, frozen=True, kw_only=True):
    """The table a pick is made from."""

    reference: str
    insensitive: bool
    memory_source: Literal["peak", "file", "stated"] | None
    """What `memory` is: the most each arm's process held, or the size of its weights, of some arm
    as the study states it."""
    arms: dict[str, PickerArm]
    tasks: dict[str, PickerTask]


class Finding(Struct, frozen=True, kw_only=True):
    """A contrast, candidate minus reference, with its tests and verdict.

    Negative is a loss where higher values are better (`direction`).
    """

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
    p_alarm: float | UnsetType | None = UNSET
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
    approximate: bool
    """Whether the error rate of a claim about the margin is not known: few changes, or clusters."""
    over_clusters: bool
    """Whether items speak for random clusters like theirs, so that claims are approximate."""
    declared: bool
    """Whether the study asked for it beforehand; a failure mode that it did not is exploratory."""
    n: int
    verdict: Verdict
    also: Verdict | None
    worst_case: WorstCase | None
    lower_bounds: tuple[float | None, ...] | None
    """Which losses are ruled out where the candidate is one of 1, 2, ... to choose from."""
    items_needed: ItemsNeeded | None
    settled_by: SettledBy | None
    unit: str | None = None
    """What values, differences and margin are counted in; they are shares where it is null."""
    direction: Direction = "higher"
    label: str | None = None
    """What the endpoint is called where its name does not say it."""
    against: Against = "gold"

    @property
    def again(self) -> str | None:
        """The reference, where its answer stands in for a gold; else None."""
        return self.reference if self.against == "reference" else None

    @property
    def named(self) -> str:
        """What the endpoint is called: its label, else its name."""
        return self.label or self.endpoint

    @property
    def gain(self) -> Finding:
        """The finding with its signs so that negative is a loss, whichever values are better."""
        if self.direction == "higher":
            return self
        worst, bounds = self.worst_case, self.lower_bounds
        return replace(
            self,
            estimate=turned(self.estimate),
            ci=turned_ends(self.ci),
            equivalence_ci=turned_ends(self.equivalence_ci),
            worst_case=None if worst is None else worst.turned(),
            lower_bounds=None if bounds is None else tuple(map(turned, bounds)),
            direction="higher",
        )


class Pace(Struct, frozen=True, kw_only=True):
    """A candidate's decoding speed as a ratio to the reference's, from the speed phase."""

    id: str
    kind: Literal["speed"]
    task: None
    endpoint: str
    reference: str
    candidate: str
    estimate: float
    ci: tuple[float, float]
    confidence: float
    n: int
    """Blocks."""
    verdict: Literal["faster", "slower", "inconclusive"]


class Decision(Struct, frozen=True, kw_only=True):
    """`quantrial.decision/1`: a decision, computed from the findings of a summary.

    In the file, `findings` holds the paces too, after the others.
    """

    schema: Literal["quantrial.decision/1"]
    study: StudyIs
    methods: Methods
    made_of: dict[str, str]
    """What it was made of: a fingerprint of `summary.json`, which last digits do not change."""
    reference: str
    default: Default
    pick_when: tuple[PickWhen, ...]
    avoid_for: tuple[AvoidFor, ...]
    stay_when: tuple[StayWhen, ...]
    cautions: tuple[Caution, ...]
    controls: tuple[Control, ...]
    constrained: Constrained | UnsetType = UNSET
    """Only where constraints were stated."""
    risk: tuple[Risk, ...]
    sensitivity: Sensitivity
    ordered_by: Literal["memory", "bits", "speed"]
    costs: dict[str, Cost]
    ship: tuple[Ship, ...]
    picker: Picker
    findings: dict[str, Finding]
    paces: dict[str, Pace]

    @property
    def has_pick(self) -> bool:
        """Whether it names an arm to ship: one that keeps the constraints, where stated."""
        if self.constrained is not UNSET:
            return self.constrained.pick is not None
        return self.default.conclusive

    def cited(self, identity: str) -> Finding | Pace:
        """Return a finding of either kind by its id.

        Raises:
            KeyError: there is none.
        """
        found = self.findings.get(identity)
        return self.paces[identity] if found is None else found


def load_decision(document: Mapping[str, Any]) -> Decision:
    """Read a decision as it stands in `decision.json`.

    Keys that are not known are left out.

    Raises:
        msgspec.ValidationError: a key is missing or holds something else.
    """
    found: Mapping[str, Any] = document.get("findings", {})
    paces = {name: one for name, one in found.items() if one.get("kind") == "speed"}
    others = {name: one for name, one in found.items() if name not in paces}
    return msgspec.convert({**document, "findings": others, "paces": paces}, Decision)


def load_picker(document: Mapping[str, Any]) -> Picker:
    """Read the table of a pick as it stands in `decision.json`.

    Raises:
        msgspec.ValidationError: a key is missing or holds something else.
    """
    return msgspec.convert(document, Picker)


def load_constraints(
    document: Mapping[str, Any], *, path: Path | str | None = None
) -> Constraints | None:
    """Read the constraints that a decision of any version was made under; None without any.

    Raises:
        RecordError: they are none that `quantrial decide` writes; it names the key, and `path`.
    """
    given = document.get("constrained")
    if given is None:
        return None
    stated = given.get("constraints") if isinstance(given, Mapping) else None
    if not isinstance(stated, Mapping):
        key = "constrained.constraints" if isinstance(given, Mapping) else "constrained"
        raise RecordError(f"{key} is no object; `quantrial decide` writes it again", path=path)
    known = {f.name for f in fields(Constraints)}
    stated = {key: value for key, value in stated.items() if key in known}
    try:
        msgspec.convert(stated, Constraints)
    except msgspec.ValidationError as exc:
        said = str(exc).replace("`$", "`constrained.constraints")
        raise RecordError(f"{said}; `quantrial decide` writes it again", path=path) from exc
    # as they are written: a whole number stays one
    return Constraints(**{**stated, "workloads": tuple(stated.get("workloads", ()))})


def to_dict(decision: Decision) -> dict[str, Any]:
    """Write a decision as it stands in `decision.json`."""
    document = codec.to_dict(decision)
    paces = document.pop("paces")
    if decision.constrained is not UNSET:
        document["constrained"]["constraints"] = decision.constrained.constraints.document()
    return document | {"findings": {**document["findings"], **paces}}
