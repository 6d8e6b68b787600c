"""What a set of methods answers, and the verdict that follows; `classic` is one set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from quantrial.stats import EquivalenceResult, Estimate, Interval

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import Panel

VERDICTS = ("equivalent", "non_inferior", "worse", "better", "inconclusive")


@dataclass(frozen=True, slots=True)
class Contrast:
    """Candidate minus reference on one endpoint; `sd` is the spread of a paired difference."""

    reference: str
    candidate: str
    estimate: float
    interval: Interval
    p_value: float
    p_method: str
    n: int
    sd: float


class Methods(Protocol):
    """One set of statistics, bound to the scores of one task or stratum."""

    name: str
    panel: Panel

    def arm(self, arm: str, endpoint: str) -> Estimate:
        """Estimate one arm on one endpoint."""
        ...

    def contrast(self, reference: str, candidate: str, endpoint: str) -> Contrast:
        """Estimate and test candidate minus reference."""
        ...

    def equivalence(
        self, reference: str, candidate: str, endpoint: str, margin: float
    ) -> EquivalenceResult:
        """Test candidate minus reference against both margins."""
        ...


def verdict(
    estimate: float, p_adjusted: float, equivalence: EquivalenceResult, *, alpha: float
) -> str:
    """Name what a contrast shows; the first that holds.

    `equivalent`: within the margin on both sides (even where a difference is statistically there).
    `better`, `worse`: a difference is there after adjustment, by its sign. `non_inferior`: no loss
    of the margin or more. `inconclusive`: none of these. Margins are tested at `alpha` each, as
    published studies do; their adjusted p-values stand beside them in the summary.
    """
    if equivalence.equivalent:
        return "equivalent"
    if not math.isnan(p_adjusted) and p_adjusted < alpha:
        return "better" if estimate > 0 else "worse"
    return "non_inferior" if equivalence.non_inferior else "inconclusive"
