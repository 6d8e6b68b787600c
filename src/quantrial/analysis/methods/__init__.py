"""What a set of methods answers, and the verdict that follows; `classic` is one set."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, get_args

from quantrial import documents
from quantrial.documents import Verdict
from quantrial.stats import (
    EquivalenceResult,
    Estimate,
    Interval,
    items_for_difference,
    items_for_equivalence,
    items_for_non_inferiority,
)

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import Panel
    from quantrial.tasks import Endpoint

POWER = 0.8
MOST_ITEMS = 10**9
# of a test that is adjusted with all else in a report: p of 1 in 20,001 survives 1,000 questions
MOST_DRAWS = 20_000
QUESTIONS = ("equivalence", "non_inferiority", "difference")
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Candidate minus reference on one endpoint.

    `sd` is the spread of a paired difference; `clusters` how many the items came in, where those
    needed are counted in clusters.
    """

    reference: str
    candidate: str
    estimate: float
    interval: Interval
    p_value: float
    p_method: str
    n: int
    sd: float
    clusters: int | None = None


class Methods(ABC):
    """One set of statistics, bound to the scores of one task or stratum."""

    name: ClassVar[str]

    def __init__(
        self,
        panel: Panel,
        *,
        seed: int,
        label: str,
        resamples: int,
        alpha: float,
        primary: str | None = None,
    ):
        """Bind the set to scores.

        Args:
            panel: the scores.
            seed: the study's.
            label: tells these draws from others.
            resamples: draws; of a permutation more where a small p is adjusted with all else.
            alpha: the level.
            primary: the endpoint whose contrasts are a family of their own.
        """
        self.panel = panel
        self.primary = primary
        self.alpha = alpha
        self.resamples = resamples
        self._source = seed, label
        # the label keeps the draws of one task or stratum the same whatever else is analysed
        self.seed = [seed, *hashlib.sha256(label.encode()).digest()[:8]]

    def over(self, panel: Panel) -> Self:
        """Bind the same statistics, seed and level to other scores."""
        seed, label = self._source
        return type(self)(panel, seed=seed, label=label, resamples=self.resamples, alpha=self.alpha)

    @abstractmethod
    def arm(self, arm: str, endpoint: str) -> Estimate:
        """Estimate one arm on one endpoint."""

    @abstractmethod
    def contrast(
        self, reference: str, candidate: str, endpoint: str, *, brief: bool = False
    ) -> Contrast:
        """Estimate and test candidate minus reference.

        `brief` leaves out what no verdict takes: interval and spread are NaN.
        """

    @abstractmethod
    def equivalence(
        self, reference: str, candidate: str, endpoint: str, margin: float
    ) -> EquivalenceResult:
        """Test candidate minus reference against both margins."""

    @abstractmethod
    def lower_bound(
        self, reference: str, candidate: str, endpoint: str, *, among: int = 1
    ) -> float:
        """Return the lower end of the interval of a one-sided test at alpha / `among`.

        A loss beyond it is ruled out although the candidate was chosen among so many. NaN where the
        data carry no interval.
        """

    @abstractmethod
    def items_needed(
        self,
        contrast: Contrast,
        endpoint: str,
        margin: float | None,
        *,
        family: int,
        margins: int = 1,
    ) -> dict[str, int | None]:
        """Say how many items in all would answer each question, were the truth as estimated.

        Keys `equivalence`, `non_inferiority`, `difference`; None where no number would, or where
        nothing is known to plan from, or there is no margin. With a chance of `POWER`, at the level
        of Holm's first step: a difference in a family of so many contrasts, the questions about the
        margin among so many `margins` whose verdicts follow the adjusted p (1: none does).
        """

    @abstractmethod
    def simultaneous(
        self,
        contrasts: Sequence[Contrast],
        endpoint: str,
        *,
        adjusted: Sequence[float] | None = None,
        family: int | None = None,
    ) -> list[Interval] | None:
        """Give contrasts intervals that match the decisions of their family.

        `adjusted` are their p-values in that family of so many questions; by default the contrasts
        are the family. One a contrast, in order; None where the set has no such method.
        """


@dataclass(frozen=True, slots=True)
class ContrastResult:
    """One contrast with its tests, not adjusted yet; `test` is None where no margin makes sense.

    Here a positive difference is a gain, whichever values are better; `write` turns it where lower
    ones are, so that documents hold candidate minus reference.
    """

    identity: str
    endpoint: str
    methods: Methods
    one: Contrast
    test: EquivalenceResult | None

    @property
    def measure(self) -> Endpoint:
        """The endpoint, with its unit and which of its values are better."""
        return next(one for one in self.methods.panel.endpoints if one.name == self.endpoint)


def items_from_spread(
    contrast: Contrast, margin: float | None, *, alpha: float, family: int, margins: int = 1
) -> dict[str, int | None]:
    """Count the items that would answer each question, from the spread of a paired difference."""
    sd, estimate = contrast.sd, contrast.estimate
    found: dict[str, int | None] = dict.fromkeys(QUESTIONS)
    if not (sd > 0 and math.isfinite(sd) and math.isfinite(estimate)):
        return found
    if margin is not None:
        for question, count in (
            ("equivalence", items_for_equivalence),
            ("non_inferiority", items_for_non_inferiority),
        ):
            found[question] = count(sd, estimate, margin, power=POWER, alpha=alpha / margins)
    found["difference"] = items_for_difference(sd, estimate, power=POWER, alpha=alpha / family)
    # an estimate at the margin itself, up to rounding, asks for more than any file could hold
    return {question: n if n and n <= MOST_ITEMS else None for question, n in found.items()}


def settled_by(
    needed: Mapping[str, int | None], n: int, clusters: int | None = None
) -> documents.SettledBy | None:
    """Say what would settle an open contrast with the fewest items, and how many more these are.

    Args:
        needed: items in all that would answer each question.
        n: items there are.
        clusters: clusters that these came in, where whole clusters were counted.

    Returns:
        `further` is 0 where another trial of this size would do; clusters are counted with as many
        items as those seen held on average. None where no number of items would answer any.
    """
    known = {question: items for question, items in needed.items() if items is not None}
    if not known:
        return None
    question = min(known, key=lambda one: known[one])
    items = known[question]
    groups = None if clusters is None else items * clusters // n
    return documents.SettledBy(
        question=question,
        items=items,
        further=max(0, items - n),
        clusters=groups,
        further_clusters=None if groups is None else max(0, groups - (clusters or 0)),
    )


def also(
    said: str, p_adjusted: float, equivalence: EquivalenceResult, *, alpha: float
) -> Verdict | None:
    """Name what holds beside the verdict, so that a small yet certain loss is told as both.

    An `equivalent` contrast may be statistically `worse` or `better`; a `worse` one may still be
    `non_inferior`. None where the verdict says it all.
    """
    if said == "equivalent" and not math.isnan(p_adjusted) and p_adjusted < alpha:
        return "better" if equivalence.estimate > 0 else "worse"
    if said == "worse" and equivalence.non_inferior:
        return "non_inferior"
    return None


def verdict(
    estimate: float, p_adjusted: float, equivalence: EquivalenceResult | None, *, alpha: float
) -> Verdict:
    """Name what a contrast shows; the first that holds.

    `equivalent`: within the margin on both sides (even where a difference is statistically there).
    `better`, `worse`: a difference is there after adjustment, by its sign. `non_inferior`: no loss
    of the margin or more. `inconclusive`: none of these. Margins are tested at `alpha` each, as
    published studies do; their adjusted p-values stand beside them in the summary. Without a test
    of equivalence (no margin makes sense) only a difference can be shown.
    """
    if equivalence is not None and equivalence.equivalent:
        return "equivalent"
    if not math.isnan(p_adjusted) and p_adjusted < alpha:
        return "better" if estimate > 0 else "worse"
    no_loss = equivalence is not None and equivalence.non_inferior
    return "non_inferior" if no_loss else "inconclusive"
