"""What missing answers could change: every one of them held against the candidate."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial.stats import worst_case
from quantrial.tasks.spans import PRECISION, gold_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.analysis.methods import Contrast
    from quantrial.analysis.outcomes import Panel, TaskOutcomes
    from quantrial.tasks import Endpoint


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a task's contrasts; `gold` counts each item's gold spans, None where it has none.

    A mean or share counts a missing candidate's answer as 0 and a missing reference's as 1; recall
    takes a missing candidate's answer as one that finds nothing, a missing reference's as perfect.
    These hold whatever the answers would have been. Where inventions count (micro-F1, precision)
    there is no such bound, for an answer may invent any number of entities: the figure is of an
    assumption, that each missing answer of the candidate invents as many as the longest answer of
    any arm to this task names (`longest`), and it says so (`taken_to_invent`).
    """

    gold: NDArray[np.float64] | None
    longest: int = 0

    @classmethod
    def of_task(cls, scored: TaskOutcomes) -> Bounds:
        """Take the gold of a task's items, and how much the longest answer names."""
        if scored.task.kind != "spans":
            return cls(None)
        gold = np.array([len(gold_spans(i.gold)) for i in scored.items], dtype=np.float64)
        return cls(gold, _longest(scored.panel))

    def subset(self, mask: NDArray[np.bool_]) -> Bounds:
        """Keep the items of a mask."""
        return self if self.gold is None else Bounds(self.gold[mask], self.longest)

    def of(self, panel: Panel, one: Contrast, endpoint: str) -> dict[str, Any] | None:
        """Bound a contrast on all items of its panel; None where nothing is missing.

        Args:
            panel: the scores, of the items whose `gold` this has.
            one: the contrast.
            endpoint: on which.

        Returns:
            The `bound` (None where it would be 0/0), the `n` items it is of, how many answers are
            missing on either side, and how many entities each that is missing on the candidate's
            is `taken_to_invent`: None says that nothing is assumed, and the bound is one.
        """
        r, c = panel.arms.index(one.reference), panel.arms.index(one.candidate)
        if panel.untold is not None:  # an answer that does not tell is not missing
            told = ~(panel.untold[:, r] | panel.untold[:, c])
            panel = dataclasses.replace(panel.subset(told), untold=None)
        e = [known.name for known in panel.endpoints].index(endpoint)
        missing = ~panel.answered[:, [r, c]]
        if not missing.any():
            return None
        gone: dict[str, Any] = {
            "n": len(missing),
            "missing_reference": int(missing[:, 0].sum()),
            "missing_candidate": int(missing[:, 1].sum()),
        }
        if panel.endpoints[e].type != "ratio":
            scores = panel.numerators[:, [r, c], e].copy()
            scores[missing] = np.nan
            bound = worst_case(scores[:, 0], scores[:, 1]).bound
            return {"bound": bound, "taken_to_invent": None, **gone}
        ratio = panel.endpoints[e]
        invents = "fp" in ratio.denominator and gone["missing_candidate"] > 0
        return {
            "bound": self._of_ratio(panel, ratio, [r, c], e),
            "taken_to_invent": self.longest if invents else None,
            **gone,
        }

    def _of_ratio(self, panel: Panel, endpoint: Endpoint, arms: list[int], e: int) -> float | None:
        if self.gold is None:
            return None
        missing = ~panel.answered[:, arms]
        top, bottom = (s[:, arms, e].copy() for s in (panel.numerators, panel.denominators))
        perfect, nothing = self.gold[missing[:, 0]], self.gold[missing[:, 1]]
        top[missing[:, 0], 0] = endpoint.numerator["tp"] * perfect
        bottom[missing[:, 0], 0] = endpoint.denominator["tp"] * perfect
        top[missing[:, 1], 1] = 0.0
        bottom[missing[:, 1], 1] = (
            endpoint.denominator.get("fn", 0.0) * nothing
            + endpoint.denominator.get("fp", 0.0) * self.longest
        )
        sums = bottom.sum(axis=0)
        if (sums == 0.0).any():
            return None
        before, after = (top.sum(axis=0) / sums).tolist()
        return float(after - before)


def _longest(panel: Panel) -> int:
    """Count the entities that the longest answer of any arm names, right or wrong."""
    named = [known.name for known in panel.endpoints].index(PRECISION.name)
    return int(panel.denominators[:, :, named][panel.answered].max(initial=0.0))
