"""`summary.json`: every number that is decided on or reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from quantrial.documents.base import Against, Direction, Estimate, Number, Part
from quantrial.documents.contrasts import (
    Contrast,
    Disagreement,
    FailureContrast,
    Fidelity,
    Flips,
    Heterogeneity,
    LetterShift,
    Repeats,
    Verdict,
)
from quantrial.documents.failures import ErrorLoss, FailureModes
from quantrial.documents.speed import AnswerSpeed, SpeedPhase, Timeline, Tradeoff
from quantrial.precision import type_before


class TokenMismatch(Part, frozen=True, kw_only=True):
    """Items on which an arm read another number of prompt tokens than the one it is held `against`.

    `kind` is `offset` (the same difference on every item: another template or system prompt),
    `window` (`limited`, one of the two, never reads more than `ceiling` tokens, and the other does:
    longer prompts are cut) or `other`. `items` of the `counted` ones differ, by `least` to `most`
    tokens (positive: the arm read more).
    """

    arm: str
    against: str
    kind: Literal["offset", "window", "other"]
    items: int
    counted: int
    least: int
    most: int
    limited: str | None
    ceiling: int | None


class TokenCeiling(Part, frozen=True, kw_only=True):
    """Items on which an arm read the same number of `tokens`, its largest, whatever their length.

    So it was on `items` of the `counted` ones, whose texts have `shortest` to `longest` bytes.
    """

    tokens: int
    items: int
    counted: int
    shortest: int
    longest: int


class Flow(Part, frozen=True, kw_only=True):
    """What became of the planned calls; `analysed_items` were answered by every arm.

    By arm: `retries` is how often a call was asked again after a fault, `faults` how many calls got
    no answer in the end. The second answers of the reference are not among any of these.
    `unlike_items` were not shown to all arms as the same bytes, and are left out of everything that
    is compared; of `unhashed_items` it is not known. Of the others, arms read another number of
    tokens than the reference on `unlike_tokens` (their answers to these are left out; see
    `token_mismatches`), and on `uncounted_items` some arm does not say what it read. `unsteady`
    arms counted one prompt in two ways: the smaller and the larger count of such a prompt. The
    counts of arms with `ceilings` do not grow with the prompts' length.
    """

    planned: int
    answered: int
    faulted: int
    missing: int
    duplicates: int
    analysed_items: int
    retries: Mapping[str, int]
    faults: Mapping[str, int]
    unlike_items: int
    unhashed_items: int
    unlike_tokens: int
    uncounted_items: int
    token_mismatches: tuple[TokenMismatch, ...]
    unsteady: Mapping[str, tuple[int, int]]
    ceilings: Mapping[str, TokenCeiling] = {}


class Reading(Part, frozen=True, kw_only=True):
    """What of an arm's answers may be a matter of how they were asked and read.

    `starved`: at its floor with answers that are empty for want of tokens.
    """

    n: int
    unfinished: int
    spent: int
    doubtful: int
    unknown_tags: Mapping[str, int]
    opened: bool | None
    max_tokens: int | None
    starved: bool


class Alike(Part, frozen=True, kw_only=True):
    """Items alike beyond what the study declares: equal ones, and groups with their number."""

    repeated_items: int | None = None
    clustered: bool | None = None
    undeclared_groups: Mapping[str, int] = {}


class Power(Part, frozen=True, kw_only=True):
    """What this size can detect, for the most variable candidate."""

    candidate: str
    sd_paired: Number
    n: int
    detectable_difference: Number | None
    power: Number
    alpha: Number


class EndpointSummary(Part, frozen=True, kw_only=True):
    """One endpoint: the estimate of each arm that answered, and the contrasts of all pairs.

    Without a `unit` it is a share, a fraction. `direction` says which values are better, `low` and
    `high` between which they lie (None: there is no such end). `label` is what it is called where
    its name does not say it, `against` what answers are held against.
    """

    arms: Mapping[str, Estimate]
    contrasts: tuple[Contrast, ...]
    unit: str | None = None
    direction: Direction = "higher"
    low: Number | None = 0.0
    high: Number | None = 1.0
    label: str | None = None
    against: Against = "gold"

    def floor(self, chance: Number | None) -> Number | None:
        """Return the value that takes no skill: that of guessing, else the worst there is."""
        worst = self.high if self.direction == "lower" else self.low
        return worst if chance is None else chance

    @property
    def best(self) -> Number | None:
        """The best value that there is; None where there is none."""
        return self.low if self.direction == "lower" else self.high

    @property
    def span(self) -> float | None:
        """How far its values lie apart at the most; None where that is not limited."""
        return None if self.low is None or self.high is None else self.high - self.low

    def _repr_html_(self) -> str:
        from quantrial.documents.notebook import endpoint_html

        return endpoint_html(self, self.label or "results of one endpoint")


class TurnedScores(Part, frozen=True, kw_only=True):
    """How many items one of two arms alone is right on: the reference (`harmful`), or the other."""

    harmful: int
    beneficial: int


class ScoreComparison(EndpointSummary, frozen=True, kw_only=True):
    """Two columns of scores compared, as `compare_scores` returns it.

    `arms` holds the estimates of `reference` and `candidate`, `contrasts` the one contrast between
    them, as a run's summary does of an endpoint; the rest repeats the question. `turned` is None
    where scores are not 0 or 1, `clusters` where items are independent. `warnings` are sentences
    on what the statistics could not do. It prints as a line of text, and as tables in a notebook.
    """

    endpoint: str
    margin: Number | None
    alpha: Number
    methods: str
    seed: int
    clusters: int | None
    turned: TurnedScores | None
    warnings: tuple[str, ...]

    @property
    def contrast(self) -> Contrast:
        """Candidate minus reference: estimate, interval, p, verdict, and its test at the margin."""
        return self.contrasts[0]

    @property
    def verdict(self) -> Verdict | None:
        """What the contrast shows."""
        return self.contrast.verdict

    def __str__(self) -> str:
        from quantrial.documents.notebook import contrast_line

        return "\n".join((contrast_line(self.contrast), *self.warnings))

    def _repr_html_(self) -> str:
        from quantrial.documents.notebook import contrast_line, endpoint_html

        after = [contrast_line(self.contrast)]
        if self.turned is not None:
            after.append(
                f"{self.turned.harmful:,} lost, {self.turned.beneficial:,} gained by the candidate"
            )
        return endpoint_html(self, self.label or self.endpoint, (*after, *self.warnings))


class StratumSummary(EndpointSummary, frozen=True, kw_only=True):
    """The primary endpoint on the `n` items of one stratum."""

    n: int


class Drawing(Part, frozen=True, kw_only=True):
    """How much of the spread of a difference is the chance of drawing `samples` answers an item.

    `within_share` is that part of the variance, 0 to 1: what more answers to each item take away.
    """

    reference: str
    candidate: str
    samples: int
    within_share: Number

    @property
    def twice(self) -> float:
        """What twice the answers to each item are worth in items: 0.25 is a quarter more."""
        return self.within_share / (2.0 - self.within_share)


class Pairing(Part, frozen=True, kw_only=True):
    """Variances an item of the difference on the primary endpoint, over `n` items of both arms.

    `paired` is that of the study, `unpaired` that of the same arms asked of `n` other items each.
    """

    reference: str
    candidate: str
    n: int
    paired: Number
    unpaired: Number

    @property
    def worth(self) -> float | None:
        """How many of these items, paired, tell as much as all of them unpaired; None: unknown."""
        known = self.paired > 0 and self.unpaired > 0
        return self.n * self.paired / self.unpaired if known else None


class Saturation(Part, frozen=True, kw_only=True):
    """Of `n` items that all `arms` answered, controls aside, those that told the arms not apart.

    All answered `right` ones wholly right, and `wrong` ones wrong with the same scores.
    """

    n: int
    arms: int
    right: int
    wrong: int


class TaskSummary(Part, frozen=True, kw_only=True):
    """What the summary says of one task. `strata` are by key and value of the items' metadata.

    `measures` are the scorers, as the study names them, where the kind alone does not tell the
    endpoints.
    """

    kind: str
    workload: str
    primary: str
    margin: Number
    chance: Number | None
    always_empty: Number | None
    flow: Flow
    endpoints: Mapping[str, EndpointSummary]
    flips: tuple[Flips, ...]
    repeats: Repeats | None
    failure_modes: Mapping[str, FailureModes]
    error_loss: tuple[ErrorLoss, ...]
    letter_shifts: tuple[LetterShift, ...]
    failure_contrasts: tuple[FailureContrast, ...]
    disagreements: tuple[Disagreement, ...]
    strata: Mapping[str, Mapping[str, StratumSummary]]
    heterogeneity: tuple[Heterogeneity, ...]
    power: Power | None
    warnings: tuple[str, ...]
    fidelity: tuple[Fidelity, ...] = ()
    alike: Alike | None = None
    reading: Mapping[str, Reading] = {}
    measures: tuple[Mapping[str, Any], ...] | None = None
    drawing: tuple[Drawing, ...] = ()
    pairing: tuple[Pairing, ...] = ()
    saturation: Saturation | None = None

    def label(self, name: str) -> str:
        """Return what an endpoint or failure mode is called: its label, else its name."""
        own = self.endpoints.get(name)
        found = (one.label for one in self.failure_contrasts if one.endpoint == name)
        return (next(found, None) if own is None else own.label) or name

    @property
    def main(self) -> EndpointSummary:
        """The primary endpoint."""
        return self.endpoints[self.primary]

    def at_floor(self, arm: str) -> bool:
        """Whether an arm is not shown to be above chance: a loss against it could not show."""
        own, main = self.main.arms.get(arm), self.main
        return own is not None and own.at_floor(main.floor(self.chance), main.direction)

    def read_other_prompts(self) -> list[str]:
        """List the arms that read other prompts than the reference, by their counts of tokens.

        That is by a rule (an offset, a window), or on as large a share of the items as the margin:
        so many could make a loss of the margin.
        """
        # where one answer can differ by any amount, one of them could be a loss of the margin
        share = 0.0 if self.main.span is None else self.margin / self.main.span
        found = (
            one.arm
            for one in self.flow.token_mismatches
            if one.kind != "other" or one.items >= share * one.counted
        )
        return list(dict.fromkeys(found))

    def contrasts(self) -> Iterator[Contrast]:
        """Yield every contrast: of all items by endpoint, of failure modes, within strata."""
        for endpoint in self.endpoints.values():
            yield from endpoint.contrasts
        yield from self.failure_contrasts
        for strata in self.strata.values():
            for stratum in strata.values():
                yield from stratum.contrasts


class StudyIs(Part, frozen=True, kw_only=True):
    """Which study was analysed; of `imported` answers nobody can be asked for missing ones."""

    name: str
    hash: str
    seed: int
    imported: bool = False


class WeightsBefore(Part, frozen=True, kw_only=True):
    """What weights were before they were stored in their type (`engines.QuantizedBefore`)."""

    known_by: str
    type: str | None = None
    levels: int | None = None
    block: int | None = None
    even: bool | None = None


class ArmSummary(Part, frozen=True, kw_only=True):
    """What of an arm's weights is decided on.

    `weights_stated`: what the study alone says. `stored_mostly`: share and type of most weights,
    such as `58 % Q5_0`, where a file's rows do not divide by the blocks of its own type.
    """

    memory_bytes: int | None
    artifact_sha256: str | None
    quantization: str | None
    quantized_before: WeightsBefore | None
    control: str | None
    weights_stated: tuple[str, ...] = ()
    other_template: bool = False
    stored_mostly: str | None = None

    @property
    def type_before(self) -> str | None:
        """What the weights were before they were stored in their type; None: nothing shows it."""
        before = self.quantized_before
        return None if before is None else type_before(before.type, before.levels)


Status = Literal["pass", "warn", "fail", "unknown"]


class AssayCheck(Part, frozen=True, kw_only=True):
    """One answer to whether the study is the experiment it claims to be."""

    id: str
    status: Status
    text: str


class IdenticalArms(Part, frozen=True, kw_only=True):
    """Two arms of one file (`weights`: `same`, `other`, `unknown`), or with the same `answers`."""

    arms: tuple[str, str]
    weights: str
    answers: bool
    items: int


class Alarm(Part, frozen=True, kw_only=True):
    """Something other than a primary endpoint that is shown."""

    kind: str
    id: str
    p_alarm: Number


class Alarms(Part, frozen=True, kw_only=True):
    """The one family of all that can raise an alarm: `size` units with so many `questions`."""

    method: str
    alpha: Number
    size: int
    questions: int
    findings: tuple[Alarm, ...]


class Claim(Part, frozen=True, kw_only=True):
    """A claim over all tasks; `p_adjusted` is over the candidates, None where that is not asked."""

    p_value: Number | None
    holds: bool
    p_adjusted: Number | None = None


class ShipClaim(Part, frozen=True, kw_only=True):
    """What "Ship X" rests on: one chosen `among` so many, missing answers held against it."""

    p_adjusted: Number | None
    among: int
    holds: bool
    p_value: Number | None
    missing: int


class Statement(Part, frozen=True, kw_only=True):
    """What is claimed of a candidate over all `tasks` that it was compared on."""

    candidate: str
    reference: str
    tasks: int
    margin_kept_on_all: Claim
    loss_on_any: Claim
    ship: ShipClaim


class Summary(Part, frozen=True, kw_only=True):
    """`quantrial.summary/1`. `inputs` are the hashes of the files that it derives from."""

    schema: str
    study: StudyIs
    methods: str
    methods_version: int
    quantrial: str
    reference: str
    alpha: Number
    arms: Mapping[str, ArmSummary]
    assay: tuple[AssayCheck, ...]
    twins: tuple[IdenticalArms, ...]
    tasks: Mapping[str, TaskSummary]
    alarms: Alarms
    statements: tuple[Statement, ...]
    speed: Mapping[str, Mapping[str, AnswerSpeed]]
    timeline: Timeline
    speed_phase: SpeedPhase | None
    tradeoffs: Mapping[str, Tradeoff]
    inputs: Mapping[str, str] = {}

    def named(self, task: str) -> str:
        """Name a task by its workload; where two tasks share that, by its own name too."""
        workload = self.tasks[task].workload
        alone = sum(part.workload == workload for part in self.tasks.values()) == 1
        return workload if alone else f"{workload} ({task})"

    def endpoints(self) -> Iterator[EndpointSummary]:
        """Yield every endpoint of every task."""
        for task in self.tasks.values():
            yield from task.endpoints.values()
