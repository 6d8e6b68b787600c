"""Fixed strata that lose alike, or where a few lose nearly all there is to lose."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from characteristics.cells import Cell, Measured, by_stratum
from characteristics.generators import draw, true_difference
from quantrial.stats import score_ratios

Array = NDArray[np.float64]


def _parted(cell: Cell) -> tuple[str, Array, float]:
    """Take a kind apart: a mix of micro-F1 or "", every stratum's chance, and a gain's."""
    mix, *rest = cell.kind.split() if cell.kind[0].isalpha() else ["", *cell.kind.split()]
    part, first, others, gain = map(float, rest)
    return mix, by_stratum(cell.clusters, part, first, others), gain


def _drawn(cell: Cell, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Every study's numerators and denominators, strata one after the other."""
    size = cell.n // cell.clusters
    mix, chances, gain = _parted(cell)
    loss, ones = np.repeat(chances, size), np.ones((cell.n, 2))
    for _ in range(cell.replications):
        if mix:
            parts = [draw(mix, size, share, rng) for share in chances.tolist()]
            tops, bottoms = zip(*parts, strict=True)
            yield np.vstack(tops), np.vstack(bottoms)
        else:
            luck, scores = rng.random(cell.n), ones.copy()
            scores[luck < loss, 1] = 0.0
            scores[luck >= 1.0 - np.minimum(gain, 1.0 - loss), 0] = 0.0
            yield scores, ones


def _truth(cell: Cell) -> float:
    mix, loss, gain = _parted(cell)
    if mix:  # sums over items are linear in the share that changes
        return true_difference(mix, cell.rate)
    return float((np.minimum(gain, 1.0 - loss) - loss).mean())


def strata(cell: Cell) -> Measured:
    """Coverage, and the error of non-inferiority at a margin of just the loss.

    `width` is the interval's, over the one without strata, on a twentieth of the studies.
    """
    rng, truth = cell.rng(), _truth(cell)
    labels = np.repeat(np.arange(cell.clusters), cell.n // cell.clusters)
    f1 = cell.kind[0].isalpha()
    support = None if f1 else 1.0
    hits: dict[str, list[float]] = {"coverage": [], "non-inferiority error": [], "width": []}
    evidence = []
    for number, (top, bottom) in enumerate(_drawn(cell, rng)):
        score = score_ratios(top, bottom, strata=labels, support=support)
        known = score.changed > 0 or support is not None
        hits["coverage"].append(known and score.test(truth).p_value >= 0.05)
        error = known and score.test(truth, "greater").p_value < 0.05
        hits["non-inferiority error"].append(error)
        evidence.append(
            (score.changed, score.effective if known else 0.0, score.approximate(truth))
        )
        if number % 20 == 0 and known:
            ends = [one.interval() for one in (score, score_ratios(top, bottom, support=support))]
            hits["width"].append((ends[0].high - ends[0].low) / (ends[1].high - ends[1].low))
    name = "F1" if f1 else "proportions"
    figures = {f"{name} {figure}": float(np.mean(found)) for figure, found in hits.items()}
    changed, effective, warned = np.mean(evidence, axis=0).tolist()
    told = {"mean changed": changed, "mean effective": effective, "warned": warned}
    return Measured(figures | told)
