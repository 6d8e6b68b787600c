"""What missing answers could change: every one of them held against the candidate."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial.stats import worst_case
from quantrial.tasks.spans import gold_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.analysis.methods import Contrast
    from quantrial.analysis.outcomes import Panel, TaskOutcomes
    from quantrial.tasks import Endpoint


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a task's contrasts; `gold` counts each item's gold spans, None where it has none.

    A mean or share counts a missing candidate's answer as 0 and a missing reference's as 1. A
    pooled ratio that counts misses (micro-F1, recall) takes a missing candidate's answer as one
    that finds nothing, a missing reference's as perfect; what else an answer might invent has no
    bound, so that precision has none either.
    """

    gold: NDArray[np.float64] | None

    @classmethod
    def of_task(cls, scored: TaskOutcomes) -> Bounds:
        """Take the gold of a task's items."""
        if scored.task.kind != "spans":
            return cls(None)
        return cls(np.array([len(gold_spans(i.gold)) for i in scored.items], dtype=np.float64))

    def subset(self, mask: NDArray[np.bool_]) -> Bounds:
        """Keep the items of a mask."""
        return Bounds(None if self.gold is None else self.gold[mask])

    def of(self, panel: Panel, one: Contrast, endpoint: str) -> dict[str, Any] | None:
        """Bound a contrast on all items of its panel; None where nothing is missing.

        Args:
            panel: the scores, of the items whose `gold` this has.
            one: the contrast.
            endpoint: on which.

        Returns:
            The `bound` (None where there is none), the `n` items it is of, and how many answers
            are missing on either side.
        """
        r, c = panel.arms.index(one.reference), panel.arms.index(one.candidate)
        if panel.untold is not None:  # an answer that does not tell is not missing
            told = ~(panel.untold[:, r] | panel.untold[:, c])
            panel = dataclasses.replace(panel.subset(told), untold=None)
        e = [known.name for known in panel.endpoints].index(endpoint)
        missing = ~panel.answered[:, [r, c]]
        if not missing.any():
            return None
        gone = {
            "n": len(missing),
            "missing_reference": int(missing[:, 0].sum()),
            "missing_candidate": int(missing[:, 1].sum()),
        }
        if panel.endpoints[e].type != "ratio":
            scores = panel.numerators[:, [r, c], e].copy()
            scores[missing] = np.nan
            return {"bound": worst_case(scores[:, 0], scores[:, 1]).bound, **gone}
        return {"bound": self._of_ratio(panel, panel.endpoints[e], [r, c], e), **gone}

    def _of_ratio(self, panel: Panel, endpoint: Endpoint, arms: list[int], e: int) -> float | None:
        if self.gold is None or "fn" not in endpoint.denominator:
            return None
        missing = ~panel.answered[:, arms]
        top, bottom = (s[:, arms, e].copy() for s in (panel.numerators, panel.denominators))
        perfect, nothing = self.gold[missing[:, 0]], self.gold[missing[:, 1]]
        top[missing[:, 0], 0] = endpoint.numerator["tp"] * perfect
        bottom[missing[:, 0], 0] = endpoint.denominator["tp"] * perfect
        top[missing[:, 1], 1] = 0.0
        bottom[missing[:, 1], 1] = endpoint.denominator["fn"] * nothing
        sums = bottom.sum(axis=0)
        if (sums == 0.0).any():
            return None
        before, after = (top.sum(axis=0) / sums).tolist()
        return float(after - before)
