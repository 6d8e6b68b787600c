"""The power of the tests of other scores than right or wrong, by drawing studies from a pilot."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from quantrial.design.forecast import APPROXIMATE, Ask, Spread, Spreads
from quantrial.errors import StatisticsWarning
from quantrial.stats import items_for_score, score_power, score_ratios, sign_flip

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.stats import Question

STUDIES = 400  # the error of a power near 80 % is then 2 points
_SWAPS = 499  # of each drawn study's difference test
_MOST_ITEMS = 20_000  # larger studies take too long to draw; there the approximation is good
_ROUNDS = 4
_NEAR = 0.02  # of the asked power: as near as so many studies can tell


@dataclass(frozen=True, slots=True, eq=False)
class Pilot:
    """Scores of an earlier run on the items both arms answered; studies are drawn of them.

    Shape (items, 2), reference and candidate: micro-F1, for one, is a ratio of their sums.
    `support` is the largest size of one item's difference, None where none is known.
    """

    numerators: NDArray[np.float64]
    denominators: NDArray[np.float64]
    support: float | None
    seed: int


class Drawn(Spreads):
    """Answers by simulation: each study draws its items from a pilot and runs the tests."""

    def __init__(self, pilot: Pilot, spread: Spread, asked: Ask):
        super().__init__(spread, asked)
        self.pilot = pilot
        self.score = score_ratios(
            pilot.numerators, pilot.denominators, support=pilot.support, empty=math.nan
        )
        self._known: dict[int, dict[Question, float]] = {}

    def at(self, question: Question, n: int) -> tuple[float, str]:
        """Give the share of drawn studies of n items that show it."""
        if n > _MOST_ITEMS:
            return self.rough(question, n)
        if n not in self._known:
            self._known[n] = self._draw(n)
        return self._known[n][question], "simulation"

    def rough(self, question: Question, n: int) -> tuple[float, str]:
        """Approximate: by the variance and correction that the tests themselves would have."""
        if question == "difference":
            return super().at(question, n)
        power = score_power(
            self.score, n, self.asked.margin, question=question, alpha=self.asked.alpha
        )
        return (0.0 if math.isnan(power) else power), APPROXIMATE

    def items(self, question: Question) -> int | None:
        """Start at the approximation and go where the drawn studies show what is asked."""
        n = self._start(question)
        if n is None or n > _MOST_ITEMS:
            return n
        normal, asked = NormalDist(), self.asked
        critical = normal.inv_cdf(1.0 - asked.alpha / (2.0 if question == "difference" else 1.0))
        for _ in range(_ROUNDS):
            power, _ = self.at(question, n)
            if n > _MOST_ITEMS or abs(power - asked.power) <= _NEAR:
                break
            # an estimate's distance from what is tested grows with the root of n
            reach = critical + normal.inv_cdf(min(max(power, 0.1), 0.98))
            factor = ((critical + normal.inv_cdf(asked.power)) / max(reach, 0.1)) ** 2
            n = max(2, round(n * min(max(factor, 1 / 3), 3.0)))
        return n

    def _start(self, question: Question) -> int | None:
        if question == "difference":
            return super().items(question)
        asked = self.asked
        return items_for_score(
            self.score, asked.margin, question=question, power=asked.power, alpha=asked.alpha
        )

    def _draw(self, n: int) -> dict[Question, float]:
        rng = np.random.default_rng([self.pilot.seed, n])
        shown: dict[Question, int] = {"difference": 0, "non_inferior": 0, "equivalent": 0}
        top, bottom, alpha = self.pilot.numerators, self.pilot.denominators, self.asked.alpha
        with warnings.catch_warnings():
            # what a study of so few items cannot say counts as not shown
            warnings.simplefilter("ignore", StatisticsWarning)
            for _ in range(STUDIES):
                drawn = rng.integers(0, len(top), n)
                one, other = top[drawn], bottom[drawn]
                score = score_ratios(one, other, support=self.pilot.support, empty=math.nan)
                if math.isnan(score.estimate):
                    continue
                lower = score.test(-self.asked.margin, "greater").p_value < alpha
                upper = score.test(self.asked.margin, "less").p_value < alpha
                differ = sign_flip(one, other, rng=rng, resamples=_SWAPS)
                shown["non_inferior"] += lower
                shown["equivalent"] += lower and upper
                shown["difference"] += differ.p_value < alpha
        return {question: count / STUDIES for question, count in shown.items()}
