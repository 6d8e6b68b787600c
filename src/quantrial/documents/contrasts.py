"""Comparisons of two arms, as `summary.json` holds them; differences are candidate - reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from msgspec.structs import replace

from quantrial.documents.base import Against, Direction, Interval, Number, Part, turned, turned_ends

FAMILY = "alarms"  # as contrasts that belong to the report's one family state it

Verdict = Literal["equivalent", "non_inferior", "worse", "better", "inconclusive"]


class Equivalence(Part, frozen=True, kw_only=True):
    """The tests of a contrast against its margin: of equivalence, and of non-inferiority.

    p-values come unadjusted and adjusted (Holm) over the contrasts of the family.
    """

    id: str
    reference: str
    candidate: str
    margin: Number
    estimate: Number | None
    ci: Interval
    confidence: Number
    p_value: Number | None
    p_adjusted: Number | None
    p_non_inferior: Number | None
    p_non_inferior_adjusted: Number | None
    method: str
    equivalent: bool
    non_inferior: bool
    approximate: bool

    def turned(self) -> Equivalence:
        """Return it with the other sign."""
        return replace(self, estimate=turned(self.estimate), ci=turned_ends(self.ci))


class WorstCase(Part, frozen=True, kw_only=True):
    """A contrast with every missing answer held against the candidate.

    `bound` is None where none is known: it would be 0/0, or nothing limits what an answer scores.
    `taken_to_invent`: how many entities each missing answer of the candidate is assumed to invent;
    None where nothing is assumed, and the figure is a bound. What follows is the test of the margin
    on the completed scores, all None where there is none.
    """

    bound: Number | None
    taken_to_invent: int | None
    n: int
    missing_reference: int
    missing_candidate: int
    margin: Number | None = None
    p_non_inferior: Number | None = None
    non_inferior: bool | None = None
    ci: Interval | None = None
    confidence: Number | None = None
    method: str | None = None
    approximate: bool | None = None
    harmful: int | None = None
    beneficial: int | None = None

    def turned(self) -> WorstCase:
        """Return it with the other sign."""
        ci = None if self.ci is None else turned_ends(self.ci)
        return replace(self, bound=turned(self.bound), ci=ci)


class ItemsNeeded(Part, frozen=True, kw_only=True):
    """Items in all that would answer each question, were the truth as estimated; or None."""

    equivalence: int | None
    non_inferiority: int | None
    difference: int | None


class SettledBy(Part, frozen=True, kw_only=True):
    """The question that the fewest `items` in all would answer, and how many `further` these are.

    Over clusters the same in clusters; else these are None.
    """

    question: str
    items: int
    further: int
    clusters: int | None = None
    further_clusters: int | None = None


class Simultaneous(Part, frozen=True, kw_only=True):
    """The interval that matches the decisions of the contrast's family.

    `confidence` is None where it was narrowed to leave 0 out.
    """

    ci: Interval
    confidence: Number | None


class Contrast(Part, frozen=True, kw_only=True):
    """Candidate minus reference on one endpoint, its equivalence inside.

    Negative is a loss where higher values are better (`direction`). Without a `unit` differences
    are of shares, as fractions; `margin` and the worst case are in the same unit.
    `label` is what the endpoint is called where its name does not say it. `against` the reference:
    answers are held against its first one, so that a loss is a change and no error.
    `verdict` is None where neither side is better (lengths of answers). `equivalence` is None where
    no margin makes sense. `p_alarm` is p adjusted over all that can raise an alarm in the report;
    None on primary endpoints, which are families of their own (`adjusted_p` says which p a
    claim rests on). `lower_bounds[k]`, of what a choice is made on, is the lower end of a one-sided
    test at alpha / (k + 1), the upper one where lower values are better. `simultaneous` is None
    within strata, and by methods that have none.
    """

    id: str
    reference: str
    candidate: str
    estimate: Number | None
    ci: Interval
    confidence: Number
    ci_method: str
    p_value: Number | None
    p_method: str
    p_adjusted: Number | None
    family: str
    n: int
    sd_paired: Number | None
    verdict: Verdict | None
    also: str | None
    worst_case: WorstCase | None
    items_needed: ItemsNeeded | None
    settled_by: SettledBy | None
    lower_bounds: tuple[Number | None, ...] | None = None
    equivalence: Equivalence | None = None
    p_alarm: Number | None = None
    simultaneous: Simultaneous | None = None
    unit: str | None = None
    direction: Direction = "higher"
    label: str | None = None
    against: Against = "gold"

    def turned(self, direction: Direction) -> Self:
        """Return it with the other sign throughout: reference minus candidate."""
        test, worst, wide = self.equivalence, self.worst_case, self.simultaneous
        bounds = self.lower_bounds
        return replace(
            self,
            estimate=turned(self.estimate),
            ci=turned_ends(self.ci),
            worst_case=None if worst is None else worst.turned(),
            lower_bounds=None if bounds is None else tuple(map(turned, bounds)),
            equivalence=None if test is None else test.turned(),
            simultaneous=None if wide is None else replace(wide, ci=turned_ends(wide.ci)),
            direction=direction,
        )

    @property
    def gain(self) -> Self:
        """The contrast with its signs so that negative is a loss, whichever values are better."""
        return self.turned("higher") if self.direction == "lower" else self


class FailureContrast(Contrast, frozen=True, kw_only=True):
    """A failure mode compared; negative is a loss, but of the length of answers.

    `declared` says whether the study named it beforehand.
    `shown` stands in place of a verdict for lengths: `longer`, `shorter`, None where neither is.
    """

    endpoint: str
    declared: bool
    shown: str | None = None


class LetterShift(Part, frozen=True, kw_only=True):
    """Whether a candidate gives other letters than the reference, on items read from both.

    `changed` of `n` answers have another letter; `shift` is by how many each letter grew.
    Statistic, p and method are None where no letter changed; `refused` is the method where too few
    clusters changed one.
    """

    reference: str
    candidate: str
    statistic: Number | None
    p_value: Number | None
    method: str | None
    n: int
    changed: int
    df: int
    shift: Mapping[str, int]
    declared: bool
    p_adjusted: Number | None
    p_alarm: Number | None


class Heterogeneity(Part, frozen=True, kw_only=True):
    """Whether a candidate's difference varies over the strata of a `key`.

    `shrunken` is each stratum's difference drawn to their mean; None where there is none.
    """

    key: str
    reference: str
    candidate: str
    p_value: Number | None
    method: str
    n: int
    shrunken: Mapping[str, Number | None]
    p_adjusted: Number | None
    p_alarm: Number | None


class Disagreement(Part, frozen=True, kw_only=True):
    """A contrast on which the other set of methods comes to another verdict.

    `verdicts` and `p` are by set (`calibrated`, `classic`), the summary's own first; `question` is
    the one on which they part, `stratum` None where it is of all items.
    """

    id: str
    endpoint: str
    stratum: str | None
    reference: str
    candidate: str
    verdicts: Mapping[str, str]
    question: str
    p: Mapping[str, Number | None]


class FlippedItems(Part, frozen=True, kw_only=True):
    """Ids of items whose answer turned."""

    harmful: tuple[str, ...]
    beneficial: tuple[str, ...]


class FlipCounts(Part, frozen=True, kw_only=True):
    """How many of `n` answers turned: right to not, back (`beneficial`), or in words alone."""

    harmful: int
    beneficial: int
    churn: int
    n: int
    items: FlippedItems


class Flips(FlipCounts, frozen=True, kw_only=True):
    """The flips between two arms, in all and by key and value of the strata."""

    reference: str
    candidate: str
    strata: Mapping[str, Mapping[str, FlipCounts]] = {}


class RepeatRate(Part, frozen=True, kw_only=True):
    """How many of the reference's second answers differ from its first."""

    differ: int
    rate: Number | None
    ci: Interval
    confidence: Number | None
    method: str


class RepeatTest(Part, frozen=True, kw_only=True):
    """Whether a candidate differs from the reference more often than that from itself.

    `told` is `more`, `less` or `open`; both p are one-sided.
    """

    differ: int
    strayed: int
    p_more: Number | None
    p_less: Number | None
    told: str
    p_alarm: Number | None


class SameItems(Part, frozen=True, kw_only=True):
    """The tests on the `n` items that the reference was asked twice."""

    n: int
    score: RepeatTest
    text: RepeatTest


class RepeatCandidate(Part, frozen=True, kw_only=True):
    """How often a candidate differs from the reference: the rates, and on items asked twice."""

    candidate: str
    n: int
    text: Number
    score: Number
    same_items: SameItems


class Repeats(Part, frozen=True, kw_only=True):
    """The reference held against itself: how far its second answers differ from its first.

    `strays_more` names candidates shown to differ from the reference less than it from itself.
    """

    arm: str
    n: int
    alpha: Number
    method: str
    text: RepeatRate
    score: RepeatRate
    candidates: tuple[RepeatCandidate, ...]
    strays_more: tuple[str, ...]


class FidelityMean(Part, frozen=True, kw_only=True):
    """A mean over compared tokens; no interval from too few groups."""

    estimate: Number | None
    ci: Interval
    confidence: Number | None


class Fidelity(Part, frozen=True, kw_only=True):
    """How close a candidate's probabilities are to the reference's, over so many `tokens`.

    They are of the likeliest tokens, or `of` the choices of an item, one distribution each.
    `kl` is the divergence in nats (half of them are not larger than `kl_median`, nine tenths not
    than `kl_p90`), `top_agreement` how often the likeliest token is the same, `margin` by how much
    more it is ahead of the second.
    """

    reference: str
    candidate: str
    items: int
    tokens: int
    kl: FidelityMean
    top_agreement: FidelityMean
    margin: FidelityMean
    of: Literal["tokens", "choices"] = "tokens"
    kl_median: Number | None = None
    kl_p90: Number | None = None


def adjusted_p(entry: Part) -> float | None:
    """Return the p that a claim about an entry of a summary rests on; None where there is none.

    That is `p_adjusted`, adjusted over the pairs of arms of a task; but `p_alarm`, adjusted over
    all else that can raise an alarm in the report, where an entry has nothing else, or where its
    `p_adjusted` is of a family of its own, as published practice (`classic`) has them.
    """
    alarm: float | None = getattr(entry, "p_alarm", None)
    adjusted: float | None = getattr(entry, "p_adjusted", alarm)
    published = getattr(entry, "family", FAMILY) != FAMILY
    return alarm if published and alarm is not None else adjusted


def is_finding(entry: Part, alpha: float) -> bool:
    """Whether what an entry tests is shown, after adjustment: only then may a sentence cite it."""
    p = adjusted_p(entry)
    return p is not None and p < alpha
