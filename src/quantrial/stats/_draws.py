"""How many draws a p-value takes: more where the first ones leave it small."""

from collections.abc import Callable, Sequence

_FEW = 10  # of the first draws; from fewer, a p that has to survive an adjustment is not known


def share_reached(reached: Sequence[Callable[[int], int]], draws: int, most: int) -> float:
    """Return (k + 1) / (draws + 1), the largest over several ways of drawing.

    Args:
        reached: one a way: given a number of draws, makes them and counts those at least as extreme
            as what was observed.
        draws: the first ones.
        most: draws in all where every way has fewer than ten that are as extreme; no more than
            `draws` asks for none more.

    A p of at most t is, for t below the p of ten in the first draws, one of all draws; for larger t
    it is no larger than that of the first draws. Either has a chance of at most t under the null.
    """
    counts = [count(draws) for count in reached]
    total = draws
    if most > draws and max(counts) < _FEW:
        total = most
        counts = [first + count(most - draws) for first, count in zip(counts, reached, strict=True)]
    return (max(counts) + 1) / (total + 1)
