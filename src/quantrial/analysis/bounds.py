"""What missing answers could change: every one of them held against the candidate, and tested."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantrial import documents
from quantrial.analysis.outcomes import Panel
from quantrial.analysis.values import ends
from quantrial.documents.codec import number
from quantrial.errors import StatisticsWarning

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from quantrial.analysis.methods import Contrast, ContrastResult
    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.stats import EquivalenceResult
    from quantrial.tasks import Endpoint


@dataclass(frozen=True, slots=True)
class Completed:
    """Two arms' scores of one endpoint with every missing answer filled in against the candidate.

    `panel` holds the two arms, reference first, on the `n` items that were asked of either; None
    where nothing limits what a missing answer could have scored. Of the items,
    `missing_reference` and `missing_candidate` answers were not there. `taken_to_invent`: how many
    entities each that is missing on the candidate's side is assumed to invent; None where nothing
    is assumed, and the difference is a bound.
    """

    panel: Panel | None
    n: int
    missing_reference: int
    missing_candidate: int
    taken_to_invent: int | None


@dataclass(frozen=True, slots=True)
class Tested:
    """What a loss of the margin is held against: the completed scores where answers are missing.

    `worst_case`, None where nothing is missing, has with its bound the test on these scores, and
    where scores are 0 or 1 the `harmful` and `beneficial` flips that it is of.
    `lower_bounds`: the k-th is the lower end of the interval of a one-sided test at alpha / k.
    """

    worst_case: documents.WorstCase | None
    lower_bounds: list[float]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a task's contrasts; `gold` counts each item's gold spans, None where it has none.

    A mean or share counts a missing candidate's answer as the worst value that there is (0 of a
    share) and a missing reference's as the best; where there is no such value, and of a ratio
    without `gold`, nothing is known. Recall takes a missing candidate's answer as one that finds
    nothing, a missing reference's as perfect. These hold whatever the answers would have been.
    Where inventions count (micro-F1, precision) there is no such bound, for an answer may invent
    any number of entities: the figure is of an assumption, that each missing answer of the
    candidate invents as many as the longest answer of any arm to this task names (`longest`), and
    it says so (`taken_to_invent`). An answer that both arms lack counts against the candidate
    twice: as right there, as wrong here.
    """

    gold: NDArray[np.float64] | None
    longest: int = 0

    @classmethod
    def of_task(cls, scored: TaskOutcomes, controls: Collection[str] = ()) -> Bounds:
        """Take the gold of a task's items, and how much the longest answer names.

        What `controls` (arms damaged on purpose) name is no measure of what an arm may invent.
        """
        sizes = [scored.task.gold_size(item) for item in scored.items]
        if not sizes or None in sizes:
            return cls(None)
        gold = np.array(sizes, dtype=np.float64)
        return cls(gold, _longest(scored, controls))

    def subset(self, mask: NDArray[np.bool_]) -> Bounds:
        """Keep the items of a mask."""
        return self if self.gold is None else Bounds(self.gold[mask], self.longest)

    def completed(self, panel: Panel, one: Contrast, endpoint: str) -> Completed | None:
        """Fill in what is missing; None where nothing is.

        Args:
            panel: the scores, of the items whose `gold` this has.
            one: the contrast.
            endpoint: on which.
        """
        arms = [panel.arms.index(one.reference), panel.arms.index(one.candidate)]
        e = [known.name for known in panel.endpoints].index(endpoint)
        kept = _compared(panel, arms)
        missing = ~panel.answered[kept][:, arms]
        if not missing.any():
            return None
        measure, (here, there) = panel.endpoints[e], (int(n) for n in missing.sum(axis=0))
        of_ratio = measure.type == "ratio"
        best, worst = measure.best, measure.worst
        if (of_ratio and (self.gold is None or "tp" not in measure.numerator)) or (
            not of_ratio and ((here and best is None) or (there and worst is None))
        ):
            return Completed(None, len(missing), here, there, None)
        top, bottom = panel.scores(kept, arms, e)
        top, bottom = top.copy(), bottom.copy()
        if of_ratio:
            gold = np.zeros(len(kept)) if self.gold is None else self.gold
            self._fill_ratio(measure, (top, bottom), missing, gold[kept])
        else:
            top[missing[:, 0], 0], top[missing[:, 1], 1] = best or 0.0, worst or 0.0
            bottom[missing] = 1.0
        filled = Panel(
            (one.reference, one.candidate),
            (measure,),
            top[:, :, None],
            bottom[:, :, None],
            np.ones_like(missing),
            None if panel.clusters is None else panel.clusters[kept],
            None if panel.strata is None else panel.strata[kept],
            by_content=panel.by_content,
        )
        invents = "fp" in measure.denominator and there > 0
        return Completed(filled, len(missing), here, there, self.longest if invents else None)

    def of(self, panel: Panel, one: Contrast, endpoint: str) -> documents.WorstCase | None:
        """Bound a contrast on all its items, untested; None where nothing is missing."""
        filled = self.completed(panel, one, endpoint)
        return None if filled is None else _described(filled, None)

    def tested(self, each: ContrastResult, *, among: int = 0) -> Tested:
        """Bound a measured contrast, and test the margin on the completed scores.

        By the same statistics as the contrast itself, over its clusters or strata.

        Args:
            each: the contrast, its panel of the items whose `gold` this has.
            among: how many candidates a choice is made from; 0 where none is.
        """
        filled = self.completed(each.methods.panel, each.one, each.endpoint)
        panel = None if filled is None else filled.panel
        methods = each.methods if panel is None else each.methods.over(panel)
        pair = each.one.reference, each.one.candidate, each.endpoint
        found = None
        with warnings.catch_warnings():
            # what the statistics cannot say here was said of the contrast itself
            warnings.simplefilter("ignore", StatisticsWarning)
            if filled is not None:
                found = _described(filled, None)
                if each.test is not None and found.bound is not None:
                    found = _described(filled, methods.equivalence(*pair, each.test.margin))
            # of answers that could have scored anything no loss is ruled out
            known = filled is None or panel is not None
            lower = [
                methods.lower_bound(*pair, among=k) if known else math.nan
                for k in range(1, among + 1)
            ]
        return Tested(found, lower)

    def _fill_ratio(
        self,
        endpoint: Endpoint,
        sums: tuple[NDArray[np.float64], NDArray[np.float64]],
        missing: NDArray[np.bool_],
        gold: NDArray[np.float64],
    ) -> None:
        (top, bottom), (here, there) = sums, missing.T
        perfect, nothing = gold[here], gold[there]
        top[here, 0] = endpoint.numerator["tp"] * perfect
        bottom[here, 0] = endpoint.denominator["tp"] * perfect
        top[there, 1] = 0.0
        bottom[there, 1] = (
            endpoint.denominator.get("fn", 0.0) * nothing
            + endpoint.denominator.get("fp", 0.0) * self.longest
        )


def _compared(panel: Panel, arms: list[int]) -> NDArray[np.bool_]:
    """Return the items that were asked of either arm, and of which nothing is unscorable."""
    kept = np.ones(len(panel.answered), dtype=np.bool_)
    if panel.asked is not None:
        kept &= panel.asked[:, arms].any(axis=1)
    if panel.unscorable is not None:  # an answer that does not tell is not missing
        kept &= ~panel.unscorable[:, arms].any(axis=1)
    return kept


def _described(filled: Completed, test: EquivalenceResult | None) -> documents.WorstCase:
    """Describe completed scores, with the test of the margin on them if there is one."""
    bound = None if filled.panel is None else _bound(filled.panel)
    harmful, beneficial = None, None
    if test is not None and filled.panel is not None:
        harmful, beneficial = _flips(filled.panel)
    return documents.WorstCase(
        bound=bound,
        taken_to_invent=filled.taken_to_invent,
        n=filled.n,
        missing_reference=filled.missing_reference,
        missing_candidate=filled.missing_candidate,
        margin=None if test is None else test.margin,
        p_non_inferior=None if test is None else number(test.p_lower),
        non_inferior=None if test is None else test.non_inferior,
        ci=None if test is None else ends(test.interval),
        confidence=None if test is None else test.interval.confidence,
        method=None if test is None else test.method,
        approximate=None if test is None else test.approximate,
        harmful=harmful,
        beneficial=beneficial,
    )


def _bound(panel: Panel) -> float | None:
    """Return the difference of two arms on completed scores, a gain where positive."""
    top, bottom = _pair(panel)
    if panel.endpoints[0].type != "ratio":
        return float((top[:, 1] - top[:, 0]).mean())
    sums = bottom.sum(axis=0)
    before, after = np.divide(top.sum(axis=0), sums, out=np.full(2, np.nan), where=sums != 0.0)
    return number(float(after - before))


def _pair(panel: Panel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return panel.pair(np.ones(len(panel.answered), dtype=np.bool_), (0, 1), 0)


def _flips(panel: Panel) -> tuple[int | None, int | None]:
    """Count harmful and beneficial flips, where scores are 0 or 1."""
    right, _ = _pair(panel)
    if panel.endpoints[0].span != 1.0 or not np.isin(right, (0.0, 1.0)).all():
        return None, None
    before, after = right.T > 0.5
    return int((before & ~after).sum()), int((after & ~before).sum())


def _longest(scored: TaskOutcomes, controls: Collection[str]) -> int:
    """Count the entities that the longest answer of any arm names, right or wrong."""
    panel, named = scored.panel, scored.task.over_named
    names = [known.name for known in panel.endpoints]
    if named not in names:
        return 0
    e = names.index(named)
    arms = [a for a, arm in enumerate(panel.arms) if arm not in controls]
    counts, answered = panel.denominators[:, arms, e], panel.answered[:, arms]
    return int(counts[answered].max(initial=0.0))
