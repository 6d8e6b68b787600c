"""Items that stand in the sample several times, and are answered alike each time."""

import numpy as np

from characteristics.cells import Cell, Measured
from quantrial.stats import score_flips, score_ratios


def copies(cell: Cell) -> Measured:
    """Coverage and claims at a loss of exactly the margin, where every content stands twice.

    `kind` is how often: `twice`, `thrice`, or `some` (a tenth of the contents stands five times).
    `n` counts contents. Beside the promise: what taking each copy as a draw of its own would do.
    """
    rng, harm = cell.rng(), (cell.rate - cell.truth) / 2.0
    times = {"twice": 2, "thrice": 3}.get(cell.kind, 1)
    sizes = np.full(cell.n, times)
    if cell.kind == "some":
        sizes[: cell.n // 10] = 5
    labels = np.repeat(np.arange(cell.n), sizes)
    bottom = np.ones((labels.size, 2))
    covered = claimed = naive = wrongly = 0
    for _ in range(cell.replications):
        drawn = rng.random(cell.n)
        right = np.ones((cell.n, 2))
        right[drawn < harm, 1] = 0.0
        right[drawn > 1.0 - (cell.rate - harm), 0] = 0.0
        top = right[labels]
        score = score_ratios(top, bottom, clusters=labels, support=1.0)
        interval = score.interval()
        covered += interval.low <= cell.truth <= interval.high
        claimed += score.equivalence(cell.margin).non_inferior
        change = top[:, 1] - top[:, 0]
        free = score_flips(int((change < 0).sum()), int((change > 0).sum()), n=labels.size)
        interval = free.interval()
        naive += interval.low <= cell.truth <= interval.high
        wrongly += free.equivalence(cell.margin).non_inferior
    studies = cell.replications
    return Measured(
        {
            "copies coverage": covered / studies,
            "copies non-inferiority error": claimed / studies,
            "taken as independent, coverage": naive / studies,
            "taken as independent, non-inferiority error": wrongly / studies,
        }
    )
