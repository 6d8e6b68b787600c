"""How many pairs a test of paired proportions needs, from the rates of flips."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantrial.stats._checks import checked_level, checked_n
from quantrial.stats._flip_curve import FlipCurve
from quantrial.stats._outcomes import countable
from quantrial.stats.flip_power import (
    Question,
    checked_question,
    checked_rates,
    flip_power,
    normal_power,
)
from quantrial.stats.spread_power import smallest_count

Floats = NDArray[np.float64]

_INSIDE = 1.0 - 1e-9  # a difference at the margin must not pass for one inside by rounding
_ROUNDING = 1e-9  # far above what a sum of chances loses
_AHEAD = 2.0  # so many times the answer is looked at
_FEWEST = 2  # pairs that are a study
_FEW = 40  # numbers that are all looked at
_NEAR = 12  # numbers on each side of a crossing
_MANY = 48  # numbers looked at together
_CAUTION = 0.8  # of a foreseen rise
_TINY = 1e-300
_ABSURD = 2**62  # pairs


def items_for_flips(
    harmful_rate: float,
    beneficial_rate: float,
    *,
    question: Question,
    margin: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
) -> int | None:
    """Count the pairs from which on the question is answered with this power, at these rates.

    Args:
        harmful_rate: share of pairs where only the reference is right.
        beneficial_rate: share of pairs where only the candidate is right.
        question: as for `flip_power`.
        margin: as for `flip_power`.
        power: chance of a yes, in (0, 1).
        alpha: level of the test.

    Returns:
        The smallest number of pairs, at least 2, from which on the power, as `flip_power` computes
        it, stays at or above the target. Power is a sawtooth in n: one pair fewer misses the
        target, and still fewer may reach it again, by luck of the number. Where power is exact,
        this holds for every number up to twice the one returned: between two numbers whose power
        was enumerated it falls by no more than is proven (`FlipCurve.steepest_fall`). What lies
        beyond was not looked at; there the teeth are smaller, and the power is far above. The
        normal approximation has no teeth. None where no number will do: the rates are equal (a
        difference), or their difference lies at or beyond the margin.

    Raises:
        StatisticsError: for rates, margin, power or alpha out of range.

    References as for `flip_power`.

    Example:
        >>> items_for_flips(0.02, 0.02, question="non_inferior", margin=0.03)
        329
    """
    harm, gain = checked_rates(harmful_rate, beneficial_rate)
    bound = checked_question(question, margin, alpha)
    target = checked_level(power, "power")
    gap = gain - harm
    if bound is None:
        possible = gap != 0.0
    elif question == "non_inferior":
        possible = gap > -bound * _INSIDE
    else:
        possible = abs(gap) < bound * _INSIDE
    if not possible:
        return None

    def enough(n: int) -> bool:
        found = flip_power(harm, gain, n, question=question, margin=bound, alpha=alpha)
        return found.power >= target

    if harm + gain == 0.0 or max(harm, gain) == 1.0:  # one outcome: there are no teeth
        return smallest_count(enough)
    about = smallest_count(lambda n: normal_power(n, harm, gain, question, bound, alpha) >= target)
    if about is None or not countable(harm, gain, about):
        return about
    below_one = None if bound is None else min(bound, math.nextafter(1.0, 0.0))
    search = _Search(FlipCurve(harm, gain, question, below_one, alpha), target)
    return search.steady_from(about)


def planning_rates(harmful: int, beneficial: int, n: int) -> tuple[float, float]:
    """Return the rates of flips to plan a new study from: those seen in n pairs.

    Args:
        harmful: pairs where only the reference was right.
        beneficial: pairs where only the candidate was right.
        n: pairs, at least 1.

    Returns:
        Shares of harmful and beneficial flips. Where none was seen, half a flip each way in place
        of none, since rates of 0 would promise the target power to studies that reach half of it:
        after n pairs without a flip, rates up to 3 / n are likely enough [1]_.

    References:
        .. [1] Hanley, J. A., Lippman-Hand, A. (1983). If nothing goes wrong, is everything all
           right? JAMA 249, 1743-1745.
    """
    total = checked_n(n, 1, "a plan")
    if harmful + beneficial == 0:
        return 0.5 / total, 0.5 / total
    return harmful / total, beneficial / total


@dataclass(frozen=True, slots=True)
class _Search:
    """The search for the last number of pairs whose power misses the target."""

    curve: FlipCurve
    target: float

    def steady_from(self, about: int) -> int:
        """Return the smallest number from which on the power does not miss, far ahead."""
        bracket = self._bracket(about)
        if bracket is None:
            return self._countable(_ABSURD) + 1
        missed, pairs, spare = self._narrowed(*bracket)
        while pairs < (end := self._countable(math.ceil(_AHEAD * (missed + 1)))):
            fall = max(self.curve.steepest_fall(pairs), _TINY)
            looked, spares = self._filled(*self._look(self._steps(pairs, spare, fall, end)), fall)
            misses = np.flatnonzero(spares < 0.0)
            if misses.size and misses[-1] + 1 < looked.size:
                missed, pairs, spare = self._narrowed(looked, spares)
            else:
                pairs, spare = int(looked[-1]), float(spares[-1])
                missed = pairs if misses.size else missed
        return missed + 1

    def _filled(self, looked: Floats, spares: Floats, fall: float) -> tuple[Floats, Floats]:
        """Look between numbers too until none misses that lies between two; or one is found."""
        while spares.min() >= 0.0:
            safe = looked[:-1] + 1.0 + np.floor(np.minimum(spares[:-1] / fall, looked[-1]))
            gaps = safe < looked[1:]
            if not gaps.any():
                break
            more, theirs = self._look(safe[gaps])
            order = np.argsort(np.concatenate([looked, more]))
            looked = np.concatenate([looked, more])[order]
            spares = np.concatenate([spares, theirs])[order]
        return looked, spares

    def _look(self, numbers: Floats) -> tuple[Floats, Floats]:
        """Return the numbers, whole and in order, and by how much the power of each exceeds."""
        looked = np.unique(np.maximum(1.0, np.round(numbers)))
        spares = self.curve.powers(looked) - self.target
        for i in np.flatnonzero(np.abs(spares) < _ROUNDING):  # as `flip_power` says
            curve = self.curve
            found = flip_power(
                curve.harm,
                curve.gain,
                int(looked[i]),
                question=curve.question,
                margin=curve.margin,
                alpha=curve.alpha,
            )
            spares[i] = found.power - self.target
        spares[looked < _FEWEST] = -1.0
        return looked, spares

    def _bracket(self, about: int) -> tuple[Floats, Floats] | None:
        """Look around a guess until a number misses and a larger one does not.

        None where the largest number that can be counted misses.
        """
        width = self._width(about, 3.0, 0.4)
        most = self._countable(math.ceil(about * (1.0 + width)))
        looked, spares = self._look(np.linspace(about * (1.0 - width), most, 9))
        while spares[-1] < 0.0:
            most = self._countable(math.ceil(looked[-1] * (1.0 + width)))
            if most <= looked[-1]:
                return None
            looked, spares = self._look(np.linspace(looked[-1], most, 5))
            width *= 2.0
        while (spares >= 0.0).all():
            looked, spares = self._look(np.linspace(looked[0] * (1.0 - width), looked[0], 5))
            width = min(2.0 * width, 0.8)
        return looked, spares

    def _narrowed(self, looked: Floats, spares: Floats) -> tuple[int, int, float]:
        """Return the last number that misses, the next, which does not, and what it has to spare.

        Of the numbers looked at, and those between the last two at which that changes.
        """
        while True:
            i = int(np.flatnonzero(spares < 0.0)[-1])
            low, high = int(looked[i]), int(looked[i + 1])
            if high - low == 1:
                return low, high, float(spares[i + 1])
            if high - low <= _FEW:
                numbers = np.arange(low, high + 1.0)
            else:
                crossing = low + round((high - low) * spares[i] / (spares[i] - spares[i + 1]))
                near = np.arange(max(low, crossing - _NEAR), min(high, crossing + _NEAR) + 1.0)
                numbers = np.concatenate([[low, (low + high) // 2, high], near])
            looked, spares = self._look(numbers)

    def _steps(self, pairs: int, spare: float, fall: float, end: int) -> Floats:
        """Choose numbers from pairs on, so near to each other that nothing between can miss.

        That is known of the first step and foreseen by the normal approximation of the others.
        """
        curve = self.curve

        def smooth(n: int) -> float:
            return normal_power(
                n, curve.harm, curve.gain, curve.question, curve.margin, curve.alpha
            )

        steps, n, before, left = [pairs], pairs, smooth(pairs), spare
        most = pairs * (1.0 + self._width(pairs, 8.0, 0.25)) + _FEW
        while n < end and n < most and len(steps) < _MANY:
            n = min(end, n + 1 + math.floor(max(0.0, min(left / fall, most))))
            left = spare + _CAUTION * (smooth(n) - before)
            steps.append(n)
        return np.array(steps, dtype=np.float64)

    def _width(self, n: int, deviations: float, most: float) -> float:
        """Return a share of n around it: in standard deviations of the flips, not too much."""
        return min(most, deviations / math.sqrt(max(1.0, n * (self.curve.harm + self.curve.gain))))

    def _countable(self, most: int) -> int:
        """Return the largest number up to most whose outcomes can all be enumerated."""
        harm, gain = self.curve.harm, self.curve.gain
        if countable(harm, gain, most):
            return most
        low, over = 1, most
        while over - low > 1:
            middle = (low + over) // 2
            low, over = (middle, over) if countable(harm, gain, middle) else (low, middle)
        return low
