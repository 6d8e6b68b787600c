"""How much of what two arms differ by, item by item, is the chance of drawing their answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quantrial import documents

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes


def drawing(scored: TaskOutcomes, pairs: Sequence[tuple[str, str]]) -> Iterator[documents.Drawing]:
    """Divide the variance of the paired difference of the primary endpoint into its two parts.

    Over items with k answers of each arm it is between + within / k, where `within` is the variance
    of one answer around its item's mean, added up over both arms. The share of the second part is
    what more answers to each item take away; the first one only more items do. Nothing is said of
    ratios, nor where no item differs.

    Args:
        scored: a task of which arms answer each item several times.
        pairs: reference and candidate.
    """
    samples, primary = scored.task.samples, scored.task.endpoints[0]
    if samples == 1 or primary.denominator:
        return
    for reference, candidate in pairs:
        rows = [
            (one.values, other.values)
            for one, other in zip(
                scored.outcomes[reference], scored.outcomes[candidate], strict=True
            )
            if one is not None and other is not None
        ]
        if len(rows) < 2:
            continue
        weights = primary.numerator.items()
        means = np.array([[sum(w * own[c] for c, w in weights) for own in row] for row in rows])
        total = float(np.var(means[:, 1] - means[:, 0], ddof=1))
        within = float(np.mean([sum(own["within"] for own in row) for row in rows])) / samples
        if total > 0:
            yield documents.Drawing(
                reference=reference,
                candidate=candidate,
                samples=samples,
                within_share=min(1.0, within / total),
            )
