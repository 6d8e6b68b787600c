"""What a study of n items would show, and how many it takes, under one assumption: pure.

Of paired right-or-wrong answers everything is enumerated while that is possible; of other scores
studies are drawn from an earlier run, where there is one (`simulation`); else, and of very many
items, the normal approximation is given; over clusters, studies are drawn where few items flip,
else the noncentral t is given (`clustered`). Each figure says which it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, Protocol, get_args

from quantrial.stats import (
    PowerResult,
    Question,
    detectable_difference,
    flip_power,
    items_for_difference,
    items_for_equivalence,
    items_for_flips,
    items_for_non_inferiority,
    least_items,
)

Method = Literal["exact", "simulation", "normal-approximation", "noncentral-t"]

QUESTIONS: tuple[Question, ...] = get_args(Question)
APPROXIMATE: Method = "normal-approximation"
CURVE_POINTS = 33
_STEPS = 16  # halvings of the discordance: finer than a difference anyone plans for
_ROUNDING = 1e-9
_WIDEST = 1000  # a curve over more than three decades shows nothing


@dataclass(frozen=True, slots=True)
class Ask:
    """What is wanted: the power of `n` items (or None), the items for `power`.

    `margin` and `alpha` are those of the tests: two-sided for a difference, one-sided for the
    margin.
    """

    n: int | None
    power: float
    margin: float
    alpha: float


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
class Answer:
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
    asked: Ask
    difference: float
    sd: float
    answers: tuple[Answer, ...]
    detectable: float | None
    detectable_method: str | None
    least_items: int | None
    curve: tuple[CurvePoint, ...]
    clusters: Clusters | None = None


def forecast(assumed: Rates | Spread, asked: Ask, teller: Teller | None = None) -> Forecast:
    """Answer what is asked, if the truth is as assumed.

    Args:
        assumed: rates of flips (a proportion), or a spread above 0 (any other score).
        asked: items, power, margin, alpha.
        teller: who answers; by default enumeration for rates, approximation for a spread.

    Returns:
        Power, items, detectable difference and a curve, for one contrast at a time: an adjustment
        for several candidates lowers the power to find a difference.

    Raises:
        StatisticsError: a rate, spread, margin or level out of range.
    """
    if teller is None:
        teller = Flips(assumed, asked) if isinstance(assumed, Rates) else Spreads(assumed, asked)
    answers = tuple(_answer(teller, question, asked.n) for question in QUESTIONS)
    detectable = None if asked.n is None else teller.detectable(asked.n)
    return Forecast(
        assumed=assumed,
        asked=asked,
        difference=teller.difference,
        sd=teller.sd,
        answers=answers,
        detectable=detectable,
        detectable_method=(
            None
            if asked.n is None or detectable is None
            else teller.rough("difference", asked.n)[1]
        ),
        least_items=teller.least_items,
        curve=_curve(teller, answers, asked.n),
        clusters=teller.clusters,
    )


class Teller(Protocol):
    """Who answers: `at` as exactly as it can, `rough` fast enough for a curve."""

    difference: float
    sd: float
    least_items: int | None
    clusters: Clusters | None  # that its items come in

    def at(self, question: Question, n: int) -> tuple[float, str]:
        """Give the power of n items, and the method that found it."""
        ...

    def rough(self, question: Question, n: int) -> tuple[float, str]:
        """Give the power of n items by a fast method, and its name."""
        ...

    def items(self, question: Question) -> int | None:
        """Count the items for the asked power; None where no number will do."""
        ...

    def detectable(self, n: int) -> float | None:
        """Give the smallest difference that n items find with the asked power."""
        ...


class Flips:
    """Answers from rates of flips: by enumeration, beyond a million outcomes by approximation."""

    clusters: Clusters | None = None

    def __init__(self, rates: Rates, asked: Ask):
        self.rates, self.asked = rates, asked
        self.difference = rates.beneficial - rates.harmful
        self.discordance = rates.beneficial + rates.harmful
        self.sd = math.sqrt(max(0.0, self.discordance - self.difference**2))
        self.least_items: int | None = least_items(asked.margin, alpha=asked.alpha)

    def at(self, question: Question, n: int) -> tuple[float, str]:
        """Enumerate, or approximate where there is too much to."""
        found = self._power(self.rates.harmful, self.rates.beneficial, n, question)
        return found.power, found.method

    def rough(self, question: Question, n: int) -> tuple[float, str]:
        """Give what `at` gives: it is fast."""
        return self.at(question, n)

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

    def _power(self, harm: float, gain: float, n: int, question: Question) -> PowerResult:
        return flip_power(
            harm, gain, n, question=question, margin=self.asked.margin, alpha=self.asked.alpha
        )


class Spreads:
    """Answers from the spread of a paired difference: normal approximations all."""

    least_items: int | None = None
    clusters: Clusters | None = None

    def __init__(self, spread: Spread, asked: Ask):
        self.asked = asked
        self.sd, self.difference = spread.sd, spread.difference

    def at(self, question: Question, n: int) -> tuple[float, str]:
        """Approximate by the normal distribution."""
        margin = None if question == "difference" else self.asked.margin
        power = spread_power(self.sd, self.difference, n, question, margin, alpha=self.asked.alpha)
        return power, APPROXIMATE

    def rough(self, question: Question, n: int) -> tuple[float, str]:
        """Give what `at` gives: it is fast."""
        return self.at(question, n)

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


def _answer(teller: Teller, question: Question, n: int | None) -> Answer:
    items = teller.items(question)
    power, method = (None, None) if n is None else teller.at(question, n)
    return Answer(
        question=question,
        power=power,
        power_method=method,
        items=items,
        items_method=None if items is None else teller.at(question, items)[1],
        clusters=None if teller.clusters is None else teller.clusters.holding(items),
    )


def _curve(teller: Teller, answers: tuple[Answer, ...], n: int | None) -> tuple[CurvePoint, ...]:
    """Follow each question over the numbers of items where its answer turns."""
    sizes = _sizes([a.items for a in answers if a.items is not None], n)
    return tuple(
        CurvePoint(question, size, *teller.rough(question, size))
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
