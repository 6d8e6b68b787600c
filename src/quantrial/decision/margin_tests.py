"""A loss other than the margin, held against an arm: its p, and the items that would rule it out.

Where right and wrong answers were compared item by item, the summary holds how many turned each
way, and the test is the one of the margin itself (Tango's score test), at the loss that is asked
about. Of ratios and over clusters it holds an interval alone: there both follow from its one-sided
bound, by the normal approximation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from quantrial.decision.evidence import Evidence, MarginTest
from quantrial.documents import FlipCounts
from quantrial.documents.decision import Finding

if TYPE_CHECKING:
    from quantrial.stats import PairedScore

POWER = 0.8  # the chance at which a question counts as settled, as everywhere in a summary
_NORMAL = NormalDist()
_ROUNDING = 1e-9
_MOST_ITEMS = 10**9


@dataclass(frozen=True, slots=True)
class Flips:
    """How many answers turned between reference and candidate, one entry a stratum.

    Attributes:
        harmful: right with the reference, wrong with the candidate.
        beneficial: the reverse.
        n: items that both answered.
    """

    harmful: tuple[int, ...]
    beneficial: tuple[int, ...]
    n: tuple[int, ...]

    @property
    def turned(self) -> int:
        """All answers that turned, either way."""
        return sum(self.harmful) + sum(self.beneficial)

    def score(self) -> PairedScore:
        """Return the evidence on the difference, as the analysis had it."""
        from quantrial.stats import score_flips, score_ratios

        if len(self.n) == 1:
            return score_flips(self.harmful[0], self.beneficial[0], n=self.n[0])
        import numpy as np

        rows: list[tuple[float, float]] = []
        for harm, gain, n in zip(self.harmful, self.beneficial, self.n, strict=True):
            same = n - harm - gain
            rows += [(1.0, 0.0)] * harm + [(0.0, 1.0)] * gain + [(1.0, 1.0)] * same
        right = np.array(rows)
        strata = np.repeat(np.arange(len(self.n)), self.n)
        return score_ratios(right, np.ones_like(right), strata=strata, support=1.0)


def flips_of(evidence: Evidence, finding: Finding) -> Flips | None:
    """Return the flips that a finding was made from; None where it was made from something else.

    That is: of a ratio or a mean, over clusters, or on an endpoint that is not the task's primary.
    """
    finding = finding.gain
    if finding.kind != "primary" or finding.over_clusters or finding.estimate is None:
        return None
    if not finding.p_method.startswith("mcnemar"):
        return None
    pair = (finding.reference, finding.candidate)
    for row in evidence.tasks[finding.task].flips:
        if (row.reference, row.candidate) != pair or row.n != finding.n:
            continue
        parts: list[FlipCounts] = [row]
        # published practice (`classic`) takes all items together
        if row.strata and evidence.summary.methods == "calibrated":
            parts = [part for part in next(iter(row.strata.values())).values() if part.n]
        found = Flips(
            tuple(part.harmful for part in parts),
            tuple(part.beneficial for part in parts),
            tuple(part.n for part in parts),
        )
        gap = (sum(found.beneficial) - sum(found.harmful)) / sum(found.n)
        return found if abs(gap - finding.estimate) < _ROUNDING else None
    return None


def p_of_less(evidence: Evidence, finding: Finding, loss: float) -> float | None:
    """Return the one-sided p of "loses less than this"; None where there is none.

    Each missing answer is held against the candidate.
    """
    test = MarginTest.of(finding)
    flips = flips_of(evidence, finding)
    if test.missing:
        flips = _completed(finding) if flips is not None and len(flips.n) == 1 else None
    if flips is not None:
        p: float = flips.score().test(-loss, "greater").p_value
        return None if math.isnan(p) else p
    if test.estimate is None:
        return None
    error = _error(test.estimate, test.ci[0], finding)
    return None if error is None else _NORMAL.cdf(-(test.estimate + loss) / error)


def p_of_more(evidence: Evidence, finding: Finding, loss: float) -> float | None:
    """Return the one-sided p of "loses more than this" on the items that both arms answered.

    None where there is none. Missing answers show no loss.
    """
    finding = finding.gain
    flips = flips_of(evidence, finding)
    if flips is not None:
        p: float = flips.score().test(-loss, "less").p_value
        return None if math.isnan(p) else p
    upper, estimate = finding.equivalence_ci[1], finding.estimate
    if estimate is None or upper is None or not upper > estimate:
        return None
    return _NORMAL.cdf((estimate + loss) * _reach(finding) / (upper - estimate))


def fewest_items(loss: float, alpha: float) -> int:
    """Count the items with which a candidate that changes no answer rules this loss out."""
    from quantrial.stats import score_flips

    low, high = 0, 1
    while score_flips(0, 0, n=high).test(-loss, "greater").p_value >= alpha:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        passes = score_flips(0, 0, n=middle).test(-loss, "greater").p_value < alpha
        low, high = (low, middle) if passes else (middle, high)
    return high


def _completed(finding: Finding) -> Flips | None:
    """Return the flips of a finding with its missing answers held against the candidate."""
    worst = finding.worst_case
    if worst is None or worst.harmful is None or worst.beneficial is None:
        return None
    return Flips((worst.harmful,), (worst.beneficial,), (worst.n,))


def items_to_rule_out(evidence: Evidence, finding: Finding, loss: float) -> int | None:
    """Count the items of a new study that would rule out this loss, with 80 % chance.

    Were the truth as seen; None where no number of items would.
    """
    finding = finding.gain
    if finding.estimate is None or finding.estimate <= -loss:
        return None
    flips = flips_of(evidence, finding)
    if flips is None:
        return _from_the_bound(finding, finding.estimate + loss)
    from quantrial.stats import items_for_flips
    from quantrial.stats.power.flip_items import planning_rates

    rates = planning_rates(sum(flips.harmful), sum(flips.beneficial), sum(flips.n))
    alpha = evidence.alpha
    items = items_for_flips(*rates, question="non_inferior", margin=loss, power=POWER, alpha=alpha)
    return items if items is not None and items <= _MOST_ITEMS else None


def _from_the_bound(finding: Finding, room: float) -> int | None:
    """Count items by the width of the interval, which shrinks with the root of their number.

    (z_alpha + z_power) standard errors must fit into the room between the estimate and the loss.
    """
    error = _error(finding.estimate, finding.equivalence_ci[0], finding)
    if error is None:
        return None
    widths = (_reach(finding) + _NORMAL.inv_cdf(POWER)) * error / room
    return math.ceil(finding.n * widths * widths)


def _error(estimate: float | None, bound: float | None, finding: Finding) -> float | None:
    """Return the standard error that the one-sided bound implies; None where there is none."""
    if estimate is None or bound is None or not bound < estimate:
        return None
    return (estimate - bound) / _reach(finding)


def _reach(finding: Finding) -> float:
    """Return how many standard errors below the estimate the one-sided bound lies."""
    return _NORMAL.inv_cdf((1.0 + finding.equivalence_confidence) / 2.0)
