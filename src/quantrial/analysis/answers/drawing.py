"""What the spread of a paired difference is made of: drawing answers, pairing, items alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quantrial import documents

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.analysis.outcomes import Panel, TaskOutcomes


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


def pairing(panel: Panel, pairs: Sequence[tuple[str, str]]) -> Iterator[documents.Pairing]:
    """Compare the variance of a paired difference with that of two arms asked of other items.

    Of the primary endpoint, over n items that both answered: Var(y - x) / n where they are paired,
    (Var x + Var y) / n where each arm has n items of its own. Of a ratio x and y are influences
    (delta method); over clusters they are added up within each. Nothing is said of answers that are
    held against the reference's own, nor of fewer than two items or clusters.

    Args:
        panel: the scores.
        pairs: reference and candidate.
    """
    if panel.endpoints[0].against != "gold":
        return
    for reference, candidate in pairs:
        columns = [panel.arms.index(reference), panel.arms.index(candidate)]
        mask = panel.answered_by(reference, candidate)
        top, bottom = panel.scores(mask, columns, 0)
        sums = bottom.sum(axis=0)
        if not len(top) or (sums == 0.0).any():
            continue
        parts = (top - bottom * (top.sum(axis=0) / sums)) / (sums / len(top))
        if panel.clusters is not None:
            _, codes = np.unique(panel.clusters[mask], return_inverse=True)
            parts = np.stack([np.bincount(codes, weights=parts[:, arm]) for arm in (0, 1)]).T
        if len(parts) < 2:
            continue
        squares: NDArray[np.float64] = parts**2
        yield documents.Pairing(
            reference=reference,
            candidate=candidate,
            n=len(top),
            paired=float(((parts[:, 1] - parts[:, 0]) ** 2).sum()) / len(top),
            unpaired=float(squares.sum()) / len(top),
        )


def saturation(scored: TaskOutcomes, controls: Collection[str]) -> documents.Saturation | None:
    """Count the items that all arms but controls answer right, and those that all answer wrong.

    None where fewer than two arms answered, and where answers are held against the reference's.
    """
    primary = scored.task.endpoints[0]
    answering = scored.panel.arms_with_answers()
    arms = [arm for arm in answering if arm not in controls]
    if primary.against != "gold" or len(arms) < 2:
        return None
    both = scored.panel.answered_by(*arms)
    right = wrong = 0
    for at in np.flatnonzero(both):
        outcomes = [scored.outcomes[arm][at] for arm in arms]
        found = {one is not None and scored.task.is_right(one) for one in outcomes}
        right += found == {True}
        alike = {tuple(sorted(one.values.items())) for one in outcomes if one is not None}
        wrong += found == {False} and len(alike) == 1
    return documents.Saturation(n=int(both.sum()), arms=len(arms), right=right, wrong=wrong)
