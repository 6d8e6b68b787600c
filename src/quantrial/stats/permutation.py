"""The sign-flip permutation test: if the arms did not differ, their labels could be swapped."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import StatisticsError
from quantrial.stats._checks import checked_codes, checked_count, checked_sums
from quantrial.stats._resample import collapse, grid_parts
from quantrial.stats.results import TestResult

Floats = NDArray[np.float64]

_TIE = 1e-12  # relative; discrete scores tie often, and rounding must not break ties
_ENUMERATE_UP_TO = 20_000  # distinct outcomes; cheaper than the usual 10,000 draws
_BLOCK_CELLS = 1 << 20


def sign_flip(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    clusters: ArrayLike | None = None,
    empty: float = 1.0,
) -> TestResult:
    """Test whether two paired ratios of sums (micro-F1, means) differ, second minus first.

    The two arms' labels are swapped within items, at random; p is the share of swaps whose
    difference is at least as far from 0 as the observed one [1]_.

    Args:
        numerators: shape (items, 2): reference, then candidate. Finite.
        denominators: same shape, at least 0; where 0, so is the numerator.
        rng: the only source of randomness; not used where all outcomes can be counted.
        resamples: swaps to draw, at least 1; the observed one counts as one more [2]_.
        clusters: shape (items,), labels of groups whose items are swapped together.
        empty: the value of 0/0.

    Returns:
        The two-sided p with the observed difference as statistic; `sign-flip-exact` where at
        most 20,000 distinct outcomes could be counted, else `sign-flip`, whose p is
        (k + 1) / (resamples + 1). Without a changed item p is 1.

    Raises:
        StatisticsError: for shapes other than (items, 2), or values a ratio cannot have.
        InsufficientDataError: without an item.

    Exact at any sample size if, under the null, each item (cluster) is as likely to come out
    one way as the other. Unchanged items play no part but in the denominators.

    References:
        .. [1] Good, P. (2005). Permutation, Parametric and Bootstrap Tests of Hypotheses, 3rd
           edition, section 3.6. Springer.
        .. [2] Phipson, B., Smyth, G. K. (2010). Permutation p-values should never be zero.
           Statistical Applications in Genetics and Molecular Biology 9, article 39.
    """
    top, bottom = checked_sums(numerators, denominators)
    if top.shape[1] != 2:
        raise StatisticsError(
            f"numerators have shape {top.shape}; two columns are needed: reference, candidate"
        )
    draws = checked_count(resamples, "resamples")
    if draws == 0:
        raise StatisticsError("resamples is 0; at least 1 is needed, 10,000 are usual")
    n = top.shape[0]
    groups = None
    changes = np.stack([top[:, 1] - top[:, 0], bottom[:, 1] - bottom[:, 0]], axis=1)
    if clusters is not None:
        codes = checked_codes(clusters, n, "clusters")
        groups = int(codes.max()) + 1
        changes = np.stack([np.bincount(codes, weights=c) for c in changes.T], axis=1)
    distinct, counts = _oriented(changes)
    middle = np.array([top.sum(), bottom.sum()]) / 2.0

    def difference(swaps: Floats) -> Floats:
        """Difference of the ratios where the arms' sums lie `swaps` / 2 either side of middle."""
        candidate = _ratio(middle + swaps / 2.0, empty)
        return candidate - _ratio(middle - swaps / 2.0, empty)

    observed = float(difference(changes.sum(axis=0)[None, :])[0])
    least = abs(observed) * (1.0 - _TIE) - _TIE * _TIE
    if math.prod(c + 1 for c in counts.tolist()) <= _ENUMERATE_UP_TO:
        swaps, weights = _all_outcomes(distinct, counts)
        p = math.fsum(weights[np.abs(difference(swaps)) >= least].tolist())
        p, method = min(p, 1.0), "sign-flip-exact"
    else:
        extreme = 1
        for swaps in _drawn_outcomes(distinct, counts, draws, rng):
            extreme += int((np.abs(difference(swaps)) >= least).sum())
        p, method = extreme / (draws + 1), "sign-flip"
    return TestResult(p, observed, "two-sided", method, n, groups)


def _ratio(sums: Floats, empty: float) -> Floats:
    ratio = np.full(sums.shape[0], empty)
    np.divide(sums[:, 0], sums[:, 1], out=ratio, where=sums[:, 1] != 0.0)
    return ratio


def _oriented(changes: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Collapse changes that are equal or opposite; drop those of nothing."""
    moved = changes[(changes != 0.0).any(axis=1)]
    first = np.where(moved[:, 0] != 0.0, moved[:, 0], moved[:, 1])
    upright = moved * np.sign(first)[:, None]
    if upright.shape[0] == 0:
        return upright, np.zeros(0, dtype=np.int64)
    distinct, codes = collapse(upright)
    return distinct, np.bincount(codes)


def _all_outcomes(distinct: Floats, counts: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Every distinct sum of signed changes, with its probability under fair signs."""
    sums, weights = np.zeros((1, 2)), np.ones(1)
    for change, count in zip(distinct, counts.tolist(), strict=True):
        heads = np.arange(count + 1)
        chances = np.array([math.comb(count, k) / 2**count for k in range(count + 1)])
        steps = (2 * heads - count)[:, None] * change
        sums = (sums[:, None, :] + steps[None, :, :]).reshape(-1, 2)
        weights = (weights[:, None] * chances[None, :]).ravel()
    return sums, weights


def _drawn_outcomes(
    distinct: Floats, counts: NDArray[np.int64], draws: int, rng: np.random.Generator
) -> Iterator[Floats]:
    parts = grid_parts(distinct, int(counts.sum()))
    step = max(1, _BLOCK_CELLS // counts.size)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        heads = rng.binomial(counts, 0.5, size=(rows, counts.size))
        signs = (2 * heads - counts).astype(np.float64)
        yield np.sum([signs @ part for part in parts], axis=0)
