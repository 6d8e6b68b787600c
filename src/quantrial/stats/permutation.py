"""The sign-flip permutation test: if the arms did not differ, their labels could be swapped."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.stats._checks import (
    checked_codes,
    checked_draws,
    checked_float,
    checked_pair,
)
from quantrial.stats.resampling import grid_parts, product
from quantrial.stats.results import TestResult

Floats = NDArray[np.float64]

_TIE = 1e-10  # discrete scores tie often, and rounding must not break ties
_NOTHING = 1e-12  # of the largest change: what is left of changes that cancel in the ratio
_ENUMERATE_UP_TO = 20_000  # distinct outcomes; cheaper than the usual 10,000 draws
_BLOCK_CELLS = 1 << 20
_FAIR_BITS_FROM = 1_000  # sizes that occur once; fewer keep the draws of earlier versions


def sign_flip(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    most: int = 0,
    clusters: ArrayLike | None = None,
    empty: float = 1.0,
) -> TestResult:
    """Test whether two paired ratios of sums (micro-F1, means) differ, second minus first.

    The two arms' labels are swapped within items, at random; p is the share of swaps that lie
    at least as far from no difference as what was observed [1]_. Distance is measured by each
    item's change at the common ratio, summed, over its standard error, with a correction for
    skewness [2]_: without it, few large losses against many small gains reject too often.

    Args:
        numerators: shape (items, 2): reference, then candidate. Finite.
        denominators: same shape, at least 0; where 0, so is the numerator.
        rng: the only source of randomness; not used where all outcomes can be counted.
        resamples: swaps to draw, at least 1; the observed one counts as one more [3]_.
        most: swaps to draw in all where fewer than ten of the first `resamples` are as extreme, so
            that a small p can survive an adjustment for many questions; 0 asks for none more.
        clusters: shape (items,), labels of groups whose items are swapped together.
        empty: the value of 0/0.

    Returns:
        The two-sided p; the statistic is the observed difference of the ratios. The method is
        `sign-flip-exact` where at most 20,000 outcomes could be counted, else `sign-flip`: p is
        (k + 1) / (draws + 1). Without a changed item p is 1.

    Raises:
        StatisticsError: for shapes other than (items, 2), or values a ratio cannot have.
        InsufficientDataError: without an item.

    Exact at any sample size if, under the null, each item (cluster) is as likely to come out
    one way as the other. Unchanged items play no part but in the denominators. Drawing on keeps the
    level: a p below that of ten in the first draws is one of all draws, any other one of the first.

    References:
        .. [1] Good, P. (2005). Permutation, Parametric and Bootstrap Tests of Hypotheses, 3rd
           edition, section 3.6. Springer.
        .. [2] Johnson, N. J. (1978). Modified t tests and confidence intervals for asymmetrical
           populations. Journal of the American Statistical Association 73, 536-544.
        .. [3] Phipson, B., Smyth, G. K. (2010). Permutation p-values should never be zero.
           Statistical Applications in Genetics and Molecular Biology 9, article 39.

    Example:
        >>> right = [[1, 0]] * 5 + [[1, 1]] * 5
        >>> sign_flip(right, [[1, 1]] * 10, rng=np.random.default_rng(1)).p_value  # 2 / 2**5
        0.0625
    """
    top, bottom = checked_pair(numerators, denominators)
    draws = checked_draws(resamples)
    n, value = top.shape[0], checked_float(empty, "empty")
    sums = bottom.sum(axis=0)
    totals = zip(top.sum(axis=0), sums, strict=True)
    ratios = [float(s / b) if b > 0.0 else value for s, b in totals]
    common = float(top.sum() / sums.sum()) if sums.sum() > 0.0 else value
    changes = (top[:, 1] - top[:, 0]) - common * (bottom[:, 1] - bottom[:, 0])
    groups = None
    if clusters is not None:
        codes = checked_codes(clusters, n, "clusters")
        groups = int(codes.max()) + 1
        changes = np.bincount(codes, weights=changes).astype(np.float64)
    sizes = np.abs(changes)
    moved = sizes > _NOTHING * max(1.0, float(sizes.max()))
    distinct, counts = np.unique(sizes[moved], return_counts=True)
    signs = np.sign(changes[moved])
    observed = np.array([[(signs * sizes[moved]).sum(), (signs * sizes[moved] ** 3).sum()]])
    spread = float((counts * distinct**2).sum())
    p, method = 1.0, "sign-flip-exact"
    if distinct.size == 0:
        pass
    elif math.prod(c + 1 for c in counts.tolist()) <= _ENUMERATE_UP_TO:
        outcomes, weights = _all_outcomes(distinct, counts)
        extreme = _distance(outcomes, spread) >= _distance(observed, spread) - _TIE
        p = min(1.0, math.fsum(weights[extreme].tolist()))
    else:
        least = float(_distance(observed, spread)[0]) - _TIE

        def reached(more: int) -> int:
            drawn = _drawn_outcomes(distinct, counts, more, rng)
            return sum(int((_distance(one, spread) >= least).sum()) for one in drawn)

        p, method = share_reached([reached], draws, most), "sign-flip"
    return TestResult(p, ratios[1] - ratios[0], "two-sided", method, n, groups)


def _distance(sums: Floats, spread: float) -> Floats:
    """Return |t|, corrected for skewness, from sums of signed changes and of their cubes."""
    t = sums[:, 0] / math.sqrt(spread)
    skewness = sums[:, 1] / spread**1.5
    distance: Floats = np.abs(t + skewness * (1.0 + 2.0 * t**2) / 6.0)
    return distance


def _all_outcomes(distinct: Floats, counts: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Every distinct sum of signed changes and cubes, with its chance under fair signs."""
    sums, weights = np.zeros((1, 2)), np.ones(1)
    for size, count in zip(distinct.tolist(), counts.tolist(), strict=True):
        heads = np.arange(count + 1)
        chances = np.array([math.comb(count, k) / 2**count for k in range(count + 1)])
        steps = (2 * heads - count)[:, None] * np.array([size, size**3])
        sums = (sums[:, None, :] + steps[None, :, :]).reshape(-1, 2)
        weights = (weights[:, None] * chances[None, :]).ravel()
    return sums, weights


def _drawn_outcomes(
    distinct: Floats, counts: NDArray[np.int64], draws: int, rng: np.random.Generator
) -> Iterator[Floats]:
    once = counts == 1
    single = int(once.sum()) if int(once.sum()) >= _FAIR_BITS_FROM else 0
    if single:
        order = np.argsort(~once, kind="stable")  # those that occur once stand first
        distinct, counts = distinct[order], counts[order]
    powers = np.stack([distinct, distinct**3], axis=1)
    parts = grid_parts(powers, int(counts.sum()))
    step = max(1, _BLOCK_CELLS // counts.size)
    several = counts[single:]
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        signs = np.empty((rows, counts.size))
        if single:  # a fair bit each; a binomial draw takes ten times as long
            drawn = np.frombuffer(rng.bytes(-(-rows * single // 8)), dtype=np.uint8)
            bits = np.unpackbits(drawn, count=rows * single).reshape(rows, single)
            np.multiply(bits, 2.0, out=signs[:, :single])
            signs[:, :single] -= 1.0
        if several.size:
            heads = rng.binomial(several, 0.5, size=(rows, several.size))
            signs[:, single:] = 2 * heads - several
        yield np.sum([product(signs, part) for part in parts], axis=0)


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
