"""The power of a test of paired proportions at many numbers of pairs, and how fast it can fall.

Of s pairs that flip, the losses are binomial whatever the number of pairs, and every test asks only
whether losses (or gains, or either) are few enough. So the power is a sum over s alone, of the
chance of s flips and that of a yes among them; `flip_power` adds up the same outcomes one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantrial.stats._binomial import remainder
from quantrial.stats._normal import normal_quantile
from quantrial.stats._outcomes import likely_range
from quantrial.stats.flip_power import Question, most_fewer
from quantrial.stats.score import CORRECTION

Floats = NDArray[np.float64]

_NEAR = 0.2  # of a loss
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
            if float(np.abs(losses - before).max()) <= _NEAR:
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
