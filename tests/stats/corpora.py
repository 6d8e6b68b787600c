"""Made-up corpora for the tests of statistics of ratios."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def f1_columns(
    generator: np.random.Generator,
    n: int,
    *,
    recalls: tuple[float, float] = (0.7, 0.5),
    gold: float = 1.5,
    spurious: float = 0.2,
) -> tuple[Array, Array]:
    """Draw micro-F1 of two arms that differ on some items, many of them without an entity.

    Args:
        generator: the only source of randomness.
        n: items.
        recalls: share of the gold that each arm finds.
        gold: entities in an item, on average.
        spurious: invented ones, on average.

    Returns:
        2 tp and 2 tp + fp + fn, shape (items, 2).
    """
    there = generator.poisson(gold, n)
    found = [generator.binomial(there, share) for share in recalls]
    extra = [generator.poisson(spurious, n) for _ in range(2)]
    top = np.stack([2.0 * tp for tp in found], axis=1)
    bottom = np.stack([tp + fp + there for tp, fp in zip(found, extra, strict=True)], axis=1)
    return top, bottom.astype(np.float64)
