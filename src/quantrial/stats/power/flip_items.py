"""How many pairs a test of paired proportions needs, from the rates of flips."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantrial.stats._checks import checked_level, checked_n
from quantrial.stats._numerics import countable, likely_range, normal_quantile, remainder
from quantrial.stats.power.flips import (
    Question,
    checked_question,
    checked_rates,
    flip_power,
    most_fewer,
    normal_power,
)
from quantrial.stats.power.items import smallest_count
from quantrial.stats.score import CORRECTION

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


_CLOSE = 0.2  # of a loss
_STEPS = 12
_REACH = 6.5  # standard deviations of the flips; what lies beyond is below 1e-10


@dataclass(frozen=True, slots=True)
class FlipCurve:
    """Power against pairs: of one test, at rates of which neither is 1 and not both are 0.

    Attributes:
        harm: chance that a pair is a loss.
        gain: chance that a pair is a gain.
        question: what is tested.
        margin: of the questions about one, below 1; None for a difference.
        alpha: level of the test.
    """

    harm: float
    gain: float
    question: Question
    margin: float | None
    alpha: float

    def powers(self, pairs: Floats) -> Floats:
        """Return the power at each number of pairs: shape (k,), ascending, at least 1."""
        rate = min(1.0, self.harm + self.gain)
        first = likely_range(int(pairs[0]), rate, _REACH)[0]
        last = likely_range(int(pairs[-1]), rate, _REACH)[1]
        logs = _log_factorials(last)
        flips = np.arange(first, last + 1, dtype=np.float64)
        n = pairs[:, None]
        counts = self._critical(flips, n)
        path = _lattice_path(flips, counts[0])
        width = int((counts[-1] - path).max()) + 1
        chances = self._chances(flips, path, width, logs)
        yes = chances[np.arange(flips.size), (counts - path).astype(np.intp)]
        found: Floats = (_chances_of_flips(flips, n, rate, logs) * yes).sum(axis=1)
        return np.minimum(found, 1.0)

    def steepest_fall(self, n: int) -> float:
        """Bound by how much the power can fall with each further pair, from n pairs on.

        An outcome that says yes still does after one more pair that does not flip. A yes is lost
        only where that pair is a loss and the losses were the most that the gains allow (for
        `difference` and `equivalent` also the other way round): one count of losses for each
        count of gains, so its chance is at most that of the likeliest count. That is at most
        1 / sqrt(2 e k p (1 - p)) of k trials with chance p [1]_, and falls with k.

        References:
            .. [1] Herzog, F. (1947). Upper bound for terms of the binomial expansion. American
               Mathematical Monthly 54, 485-487.
        """
        sides = [(self.harm, self.gain), (self.gain, self.harm)]
        fall = 0.0
        for one, other in sides[: 1 if self.question == "non_inferior" else 2]:
            rest = n - likely_range(n, other)[1]
            p = min(1.0, one / (1.0 - other))
            fall += one / math.sqrt(max(1.0, 2.0 * math.e * rest * p * (1.0 - p)))
        return fall

    def _critical(self, flips: Floats, n: Floats) -> Floats:
        """Return the most losses that let a test say yes: shape (s,) of flips, (k, 1) of pairs.

        None where it is -1. By symmetry they are also the most gains that rule a gain of the margin
        out. Of a difference they do not depend on the pairs: shape (1, s).
        """
        if self.margin is None:
            return most_fewer(int(flips[0]), int(flips[-1]), self.alpha)[None, : flips.size]
        margin, critical = self.margin, normal_quantile(1.0 - self.alpha)
        edge = n * margin * (1.0 + margin)
        room = flips + (n * margin - CORRECTION)  # less twice the losses: above 0, and z errors
        level = 2.0 * n * margin + flips * (1.0 - margin)

        def error(losses: Floats) -> Floats:
            # 2 n times the likeliest share of losses if the margin itself is true, less its least
            slope = level + 2.0 * margin * losses
            root = np.sqrt(np.maximum(slope * slope - 8.0 * edge * losses, 0.0))
            return critical * np.sqrt(np.maximum((slope + root) / 2.0 - edge, 0.0))

        spread = critical * np.sqrt(np.maximum(flips, n * margin))
        losses = np.full(room.shape, math.inf)
        for _ in range(_STEPS):  # each leaves less than half of the distance
            before, losses = losses, np.clip((room - spread) / 2.0, 0.0, flips)
            if float(np.abs(losses - before).max()) <= _CLOSE:
                # at the nearest whole number the test itself decides
                nearest = np.round(losses)
                return np.where(room - 2.0 * nearest > error(nearest), nearest, nearest - 1.0)
            spread = error(losses)
        low, over = np.full(room.shape, -1.0), np.broadcast_to(flips + 1.0, room.shape)
        while (unsettled := over - low > 1.0).any():  # a margin near 1
            middle = np.maximum(np.floor((low + over) / 2.0), 0.0)
            yes = room - 2.0 * middle > error(middle)
            low = np.where(unsettled & yes, middle, low)
            over = np.where(unsettled & ~yes, middle, over)
        return low

    def _chances(self, flips: Floats, path: Floats, width: int, logs: Floats) -> Floats:
        """Return the chances of a yes if the most allowed are path, path + 1, ...: (s, width)."""
        of_losses = self.harm / (self.harm + self.gain)
        found = _at_most(flips, path, width, of_losses, logs)
        if self.question == "non_inferior":
            return found
        found = found + _at_most(flips, path, width, 1.0 - of_losses, logs)
        # both few enough: where that can be, one or the other always is
        return found if self.question == "difference" else np.maximum(found - 1.0, 0.0)


def _lattice_path(flips: Floats, counts: Floats) -> Floats:
    """Return the highest path at or below the counts that rises by 0 or 1 a flip."""
    rising = np.minimum.accumulate(counts[::-1])[::-1]
    found: Floats = flips + np.minimum.accumulate(rising - flips)
    return found


def _log_factorials(most: int) -> Floats:
    counts = np.arange(most + 1, dtype=np.float64)
    found: Floats = remainder(counts) + counts * np.log(np.maximum(counts, 1.0)) - counts
    return found


def _times_log(counts: Floats, chance: float) -> Floats:
    """Return counts * log(chance), 0 for a count of 0."""
    if chance > 0.0:
        return counts * math.log(chance)
    return np.where(counts > 0.0, -math.inf, 0.0)


def _terms(losses: Floats, flips: Floats, share: float, logs: Floats) -> Floats:
    """Return the chance of so many losses among so many flips; 0 where there can be none such."""
    possible = (losses >= 0.0) & (losses <= flips)
    some = np.where(possible, losses, 0.0)
    rest = flips - some
    log = logs[flips.astype(np.intp)] - logs[some.astype(np.intp)] - logs[rest.astype(np.intp)]
    log = log + _times_log(some, share) + _times_log(rest, 1.0 - share)
    return np.where(possible, np.exp(log), 0.0)


def _at_most(flips: Floats, path: Floats, width: int, share: float, logs: Floats) -> Floats:
    """Return the chances of at most path, path + 1, ... losses among the flips: (s, width)."""
    terms = _terms(path[:, None] + np.arange(width), flips[:, None], share, logs)
    below = np.arange(path[0] + 1.0)
    start = float(_terms(below, flips[:1], share, logs).sum())
    # one more flip is a loss too many where the losses were the most allowed
    steps = np.where(np.diff(path) > 0.0, terms[1:, 0], 0.0) - share * terms[:-1, 0]
    terms[:, 0] = start
    terms[1:, 0] += np.cumsum(steps)
    return np.clip(np.cumsum(terms, axis=1), 0.0, 1.0)


def _chances_of_flips(flips: Floats, n: Floats, rate: float, logs: Floats) -> Floats:
    """Return the chance of so many flips, shape (s,), among n pairs, shape (k, 1)."""
    stay = np.maximum(n - flips, 0.0)
    log = remainder(n) - remainder(stay) - logs[flips.astype(np.intp)] - flips
    log += flips * np.log(n * rate)
    # n log n - stay log stay, without losing digits where few of many pairs flip
    log -= stay * np.log1p(-np.minimum(flips / n, 1.0 - 1e-16))
    log += stay * math.log1p(-rate) if rate < 1.0 else np.where(stay > 0.0, -math.inf, 0.0)
    return np.where(flips <= n, np.exp(log), 0.0)
