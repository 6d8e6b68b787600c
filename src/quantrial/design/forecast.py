"""What a study of n items would show, and how many it takes, under one assumption: pure.

Of paired right-or-wrong answers everything is enumerated while that is possible; of other scores
studies are drawn from an earlier run, where there is one (`simulation`); else, and of very many
items, the normal approximation is given; over clusters, studies are drawn where few items flip,
else the noncentral t is given (`ClusterModel`). Each figure says which it is.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from quantrial.errors import StatisticsWarning
from quantrial.stats import (
    Question,
    detectable_difference,
    flip_power,
    items_for_difference,
    items_for_equivalence,
    items_for_flips,
    items_for_non_inferiority,
    items_for_score,
    least_items,
    score_power,
    score_ratios,
    sign_flip,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Method = Literal["exact", "simulation", "normal-approximation", "noncentral-t"]

QUESTIONS: tuple[Question, ...] = get_args(Question)
APPROXIMATE: Method = "normal-approximation"
CURVE_POINTS = 33
_STEPS = 16  # halvings of the discordance: finer than a difference anyone plans for
_ROUNDING = 1e-9
_WIDEST = 1000  # a curve over more than three decades shows nothing


@dataclass(frozen=True, slots=True)
class PowerQuery:
    """What is asked: the power of `n` items (or None), the items for `power`.

    `margin` and `alpha` are those of the tests: two-sided for a difference, one-sided for the
    margin. Margin and differences are in `unit`, shares without one; a negative difference is a
    loss, also where `lower` values are better.
    """

    n: int | None
    power: float
    margin: float
    alpha: float
    unit: str | None = None
    lower: bool = False


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of items that flip: `harmful` where only the reference is right, `beneficial` else."""

    harmful: float
    beneficial: float


@dataclass(frozen=True, slots=True)
class Spread:
    """The standard deviation of a paired difference, and the true difference to plan for."""

    sd: float
    difference: float = 0.0


@dataclass(frozen=True, slots=True)
class Clusters:
    """Random clusters that items come in.

    `size` is the mean number of items in one, `icc` the intraclass correlation of paired
    differences within one. `typical` is the size of the cluster of a typical item, which is
    larger than `size` where clusters are unequal.
    """

    size: float
    icc: float
    typical: float

    @property
    def effect(self) -> float:
        """How many items are as good as one independent item would be (the design effect)."""
        return 1.0 + max(0.0, self.typical - 1.0) * self.icc

    def holding(self, items: int | None) -> int | None:
        """Count the clusters that so many items, counted for whole clusters, come in."""
        return None if items is None else math.floor(items / self.size + _ROUNDING)


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """One question: the chance of a yes with the asked n, and the items for the asked power.

    Over clusters, whole ones are counted, and `items` are theirs.

    `power` is None where no n was asked for; `items` where no number of items would do. Their
    methods are None with them. The power to find a difference of 0 is the rate of false alarms.
    """

    question: Question
    power: float | None
    power_method: str | None
    items: int | None
    items_method: str | None
    clusters: int | None = None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The power of one question at one number of items."""

    question: Question
    n: int
    power: float
    method: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """What can be shown if the truth is as assumed; it repeats what was asked.

    `detectable` is the smallest true difference that n items find with the asked power, either
    way, at the assumed discordance or spread; None without n, or where even flips that all go one
    way are too few. `least_items` is how many it takes to show equivalence even if no answer
    changes; None where that is not known (other scores than right or wrong). `clusters` is what the
    items come in; None where they are taken as independent.
    """

    assumed: Rates | Spread
    asked: PowerQuery
    difference: float
    sd: float
    answers: tuple[QuestionResult, ...]
    detectable: float | None
    detectable_method: str | None
    least_items: int | None
    curve: tuple[CurvePoint, ...]
    clusters: Clusters | None = None


def forecast(
    assumed: Rates | Spread, asked: PowerQuery, model: PowerModel | None = None
) -> Forecast:
    """Answer what is asked, if the truth is as assumed.

    Args:
        assumed: rates of flips (a proportion), or a spread above 0 (any other score).
        asked: items, power, margin, alpha.
        model: of what studies show; by default enumeration for rates, approximation for a spread.

    Returns:
        Power, items, detectable difference and a curve, for one contrast at a time: an adjustment
        for several candidates lowers the power to find a difference.

    Raises:
        StatisticsError: a rate, spread, margin or level out of range.
    """
    if model is None:
        model = (
            FlipModel(assumed, asked) if isinstance(assumed, Rates) else SpreadModel(assumed, asked)
        )
    answers = tuple(_answer(model, question, asked.n) for question in QUESTIONS)
    detectable = None if asked.n is None else model.detectable(asked.n)
    return Forecast(
        assumed=assumed,
        asked=asked,
        difference=model.difference,
        sd=model.sd,
        answers=answers,
        detectable=detectable,
        detectable_method=(
            None if asked.n is None or detectable is None else model.rough("difference", asked.n)[1]
        ),
        least_items=model.least_items,
        curve=_curve(model, answers, asked.n),
        clusters=model.clusters,
    )


class PowerModel(ABC):
    """A model of what studies show: `at` as exactly as it can, `rough` fast enough for a curve."""

    asked: PowerQuery
    difference: float
    sd: float
    least_items: int | None = None
    clusters: Clusters | None = None  # that its items come in

    @abstractmethod
    def at(self, question: Question, n: int) -> tuple[float, str]:
        """Give the power of n items, and the method that found it."""

    def rough(self, question: Question, n: int) -> tuple[float, str]:
        """Give the power of n items by a fast method, and its name; what `at` gives by default."""
        return self.at(question, n)

    @abstractmethod
    def items(self, question: Question) -> int | None:
        """Count the items for the asked power; None where no number will do."""

    @abstractmethod
    def detectable(self, n: int) -> float | None:
        """Give the smallest difference that n items find with the asked power."""

    def margin_for(self, question: Question) -> float | None:
        """Return the margin of a test; None of a test for a difference."""
        return None if question == "difference" else self.asked.margin


class FlipModel(PowerModel):
    """Power from rates of flips: by enumeration, beyond a million outcomes by approximation."""

    def __init__(self, rates: Rates, asked: PowerQuery):
        self.rates, self.asked = rates, asked
        self.difference = rates.beneficial - rates.harmful
        self.discordance = rates.beneficial + rates.harmful
        self.sd = math.sqrt(max(0.0, self.discordance - self.difference**2))
        self.least_items = least_items(asked.margin, alpha=asked.alpha)

    def at(self, question: Question, n: int) -> tuple[float, str]:
        """Enumerate, or approximate where there are too many outcomes."""
        found = flip_power(
            self.rates.harmful,
            self.rates.beneficial,
            n,
            question=question,
            margin=self.asked.margin,
            alpha=self.asked.alpha,
        )
        return found.power, found.method

    def items(self, question: Question) -> int | None:
        """Count the items for the asked power."""
        return items_for_flips(
            self.rates.harmful,
            self.rates.beneficial,
            question=question,
            margin=self.asked.margin,
            power=self.asked.power,
            alpha=self.asked.alpha,
        )

    def detectable(self, n: int) -> float | None:
        """Give the smallest difference that n items find with the asked power."""
        return detectable_by_flips(
            self.discordance, n, power=self.asked.power, alpha=self.asked.alpha
        )


class SpreadModel(PowerModel):
    """Power from the spread of a paired difference: normal approximations all."""

    def __init__(self, spread: Spread, asked: PowerQuery):
        self.asked = asked
        self.sd, self.difference = spread.sd, spread.difference

    def at(self, question: Question, n: int) -> tuple[float, str]:
        """Approximate by the normal distribution."""
        margin = self.margin_for(question)
        power = spread_power(self.sd, self.difference, n, question, margin, alpha=self.asked.alpha)
        return power, APPROXIMATE

    def items(self, question: Question) -> int | None:
        """Count the items for the asked power."""
        power, alpha = self.asked.power, self.asked.alpha
        if question == "difference":
            return items_for_difference(self.sd, self.difference, power=power, alpha=alpha)
        count = items_for_non_inferiority if question == "non_inferior" else items_for_equivalence
        return count(self.sd, self.difference, self.asked.margin, power=power, alpha=alpha)

    def detectable(self, n: int) -> float | None:
        """Give the smallest difference that n items find with the asked power."""
        return detectable_difference(self.sd, n, power=self.asked.power, alpha=self.asked.alpha)


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


class PilotModel(SpreadModel):
    """Power by simulation: each study draws its items from a pilot and runs the tests."""

    def __init__(self, pilot: Pilot, spread: Spread, asked: PowerQuery):
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


def detectable_by_flips(discordance: float, n: int, *, power: float, alpha: float) -> float | None:
    """Find the smallest difference, at this share of flips, that mid-p finds with this power.

    Args:
        discordance: share of items that flip, either way, in [0, 1].
        n: items.
        power: chance of finding it.
        alpha: two-sided level.

    Returns:
        The difference, at most the discordance; as exact as `flip_power` is for this n. None where
        even flips that all go one way are found less often. 0 where a false alarm is likelier.
    """

    def found(difference: float) -> bool:
        harm, gain = (discordance + difference) / 2.0, (discordance - difference) / 2.0
        return flip_power(harm, gain, n, question="difference", alpha=alpha).power >= power

    # the number of flips does not depend on the difference, and of a given number the chance of
    # a lopsided split grows with it: the power is monotone, so halving finds it
    if not found(discordance):
        return None
    if found(0.0):
        return 0.0
    low, high = 0.0, discordance
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def spread_power(
    sd: float, difference: float, n: int, question: Question, margin: float | None, *, alpha: float
) -> float:
    """Approximate the power of a test of n paired differences of any kind by the normal one.

    Args:
        sd: standard deviation of the paired differences, above 0.
        difference: the true one, candidate minus reference.
        n: items.
        question: `difference` (two-sided), `non_inferior` or `equivalent` (one-sided, each side).
        margin: of the last two, above 0; None for a difference.
        alpha: level of the test.
    """
    normal, scale = NormalDist(), math.sqrt(n) / sd
    if margin is None:
        critical = normal.inv_cdf(1.0 - alpha / 2.0)
        return normal.cdf(difference * scale - critical) + normal.cdf(
            -difference * scale - critical
        )
    critical = normal.inv_cdf(1.0 - alpha)
    no_loss = normal.cdf((margin + difference) * scale - critical)
    if question == "non_inferior":
        return no_loss
    no_gain = normal.cdf((margin - difference) * scale - critical)
    return max(0.0, no_loss + no_gain - 1.0)


def _answer(model: PowerModel, question: Question, n: int | None) -> QuestionResult:
    items = model.items(question)
    power, method = (None, None) if n is None else model.at(question, n)
    return QuestionResult(
        question=question,
        power=power,
        power_method=method,
        items=items,
        items_method=None if items is None else model.at(question, items)[1],
        clusters=None if model.clusters is None else model.clusters.holding(items),
    )


def _curve(
    model: PowerModel, answers: tuple[QuestionResult, ...], n: int | None
) -> tuple[CurvePoint, ...]:
    """Follow each question over the numbers of items where its answer turns."""
    sizes = _sizes([a.items for a in answers if a.items is not None], n)
    return tuple(
        CurvePoint(question, size, *model.rough(question, size))
        for question in QUESTIONS
        for size in sizes
    )


def _sizes(turns: list[int], n: int | None) -> list[int]:
    """Space numbers of items evenly in their logarithm, around where the answers turn."""
    least = min(turns, default=n or 100)
    most = max((turn for turn in turns if turn <= _WIDEST * least), default=least)
    low = max(2, min(least // 8, n // 2 if n else least))
    high = max(2 * most, round(1.5 * n) if n else 0, low + 2)
    ratio = (high / low) ** (1.0 / (CURVE_POINTS - 1))
    sizes = {round(low * ratio**i) for i in range(CURVE_POINTS)} | ({n} if n else set())
    return sorted(sizes)
