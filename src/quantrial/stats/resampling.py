"""The paired bootstrap of ratios of sums: every endpoint of every arm from the same resamples."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats._checks import (
    checked_alpha,
    checked_codes,
    checked_count,
    checked_draws,
    checked_level,
    checked_margin,
    checked_sums,
)
from quantrial.stats.results import EquivalenceResult, Estimate, Interval

_TIE = 1e-12  # resampled differences of discrete scores tie often; rounding must not break ties


def _percentile(replicates: NDArray[np.float64], confidence: float, method: str) -> Interval:
    """Return the percentile interval, or NaN where the replicates carry none."""
    known = replicates[~np.isnan(replicates)]
    if known.size < replicates.size:
        warnings.warn(
            f"{replicates.size - known.size} of {replicates.size} resamples have no value "
            "(a denominator of 0) and are left out of the interval",
            StatisticsWarning,
            stacklevel=3,
        )
    if known.size == 0 or np.ptp(known) <= _TIE:
        warnings.warn(
            "the resamples do not vary, so the bootstrap knows no interval. Use a score or exact "
            "interval, or analyse more items",
            StatisticsWarning,
            stacklevel=3,
        )
        return Interval(math.nan, math.nan, confidence, method)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(known, [tail, 1.0 - tail]).tolist()
    return Interval(low, high, confidence, method)


@dataclass(frozen=True, slots=True, eq=False)
class PairedBootstrap:
    """The bootstrap distribution of a difference, candidate minus reference.

    Attributes:
        estimate: the observed difference; negative is a loss.
        replicates: shape (resamples,), the resampled differences.
        n: items.
        clusters: clusters that were resampled, or None where items were.
        method: `bootstrap` or `cluster-bootstrap`.
    """

    estimate: float
    replicates: NDArray[np.float64]
    n: int
    clusters: int | None
    method: str

    def _known(self) -> NDArray[np.float64]:
        """Return the replicates that have a value, or none where they do not vary."""
        known = self.replicates[~np.isnan(self.replicates)]
        if math.isnan(self.estimate) or known.size == 0 or np.ptp(known) <= _TIE:
            return known[:0]
        return known

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return the percentile interval of the difference [1]_.

        NaN, with a StatisticsWarning, where the resamples do not vary (no item on which the
        arms differ, one item, one cluster). Covers less than it says where few items differ.

        References:
            .. [1] Efron, B., Tibshirani, R. J. (1993). An Introduction to the Bootstrap,
               chapter 13. Chapman & Hall.
        """
        level = checked_level(confidence, "confidence")
        return _percentile(self.replicates, level, f"{self.method}-percentile")

    def p_value(self) -> float:
        """Return the two-sided p of no difference, from the distribution centred at zero [1]_.

        The share of resamples whose distance from the observed difference is at least the
        observed difference itself; 0 means fewer than one in `resamples`. It is 1 where neither
        the observed difference nor any resample is other than 0, and NaN, with a
        StatisticsWarning, where the resamples do not vary around another difference.

        References:
            .. [1] Hall, P., Wilson, S. R. (1991). Two guidelines for bootstrap hypothesis
               testing. Biometrics 47, 757-762.
        """
        known = self._known()
        if known.size == 0:
            if abs(self.estimate) <= _TIE:
                return 1.0
            self._warn_constant()
            return math.nan
        centred = np.abs(known - self.estimate)
        return float(np.mean(centred >= abs(self.estimate) - _TIE))

    def tost(self, margin: float, alpha: float = 0.05) -> EquivalenceResult:
        """Run two one-sided tests against -margin and +margin from the centred bootstrap [1]_.

        The distribution is moved to each bound in turn; its share beyond the observed
        difference is the p of that test. Claims equivalence too often where few items differ.

        Args:
            margin: the largest difference that still counts as the same, above 0.
            alpha: level of each one-sided test, in (0, 0.5).

        Returns:
            Both p-values, the verdicts, and the percentile interval of confidence 1 - 2 alpha.
            All NaN, and no verdict, where the resamples do not vary.

        Raises:
            StatisticsError: for a margin or alpha out of range.

        Warns:
            StatisticsWarning: where the resamples do not vary.

        References:
            .. [1] Schuirmann, D. J. (1987). A comparison of the two one-sided tests procedure
               and the power approach. Journal of Pharmacokinetics and Biopharmaceutics 15,
               657-680.
        """
        bound = checked_margin(margin)
        level = checked_alpha(alpha)
        known = self._known()
        name = f"{self.method}-percentile"
        if known.size == 0:
            self._warn_constant()
            interval = Interval(math.nan, math.nan, 1.0 - 2.0 * level, name)
            p_lower = p_upper = math.nan
        else:
            interval = _percentile(known, 1.0 - 2.0 * level, name)
            centred = known - self.estimate
            p_lower = float(np.mean(centred - bound >= self.estimate - _TIE))
            p_upper = float(np.mean(centred + bound <= self.estimate + _TIE))
        return EquivalenceResult(
            estimate=self.estimate,
            margin=bound,
            interval=interval,
            p_lower=p_lower,
            p_upper=p_upper,
            p_value=max(p_lower, p_upper),
            alpha=level,
            equivalent=p_lower < level and p_upper < level,
            non_inferior=p_lower < level,
            method=f"{self.method}-tost",
            n=self.n,
            clusters=self.clusters,
        )

    def _warn_constant(self) -> None:
        warnings.warn(
            "the resamples do not vary, so the bootstrap knows no p-value. Use a score or exact "
            "test, or analyse more items",
            StatisticsWarning,
            stacklevel=3,
        )


@dataclass(frozen=True, slots=True, eq=False)
class RatioBootstrap:
    """Resampled ratios of sums, one column an arm and endpoint, all from the same resamples.

    Attributes:
        observed: shape (columns,), the ratio over all items.
        replicates: shape (resamples, columns), the resampled ratios.
        n: items.
        clusters: clusters that were resampled, or None where items were.
        method: `bootstrap` or `cluster-bootstrap`.
    """

    observed: NDArray[np.float64]
    replicates: NDArray[np.float64]
    n: int
    clusters: int | None
    method: str

    def _column(self, column: SupportsIndex) -> int:
        index = checked_count(column, "column")
        if index >= self.observed.size:
            raise StatisticsError(
                f"column {index} was asked for, but there are {self.observed.size} (from 0)"
            )
        return index

    def estimate(self, column: SupportsIndex, confidence: float = 0.95) -> Estimate:
        """Return one column's ratio with its percentile interval.

        The interval is NaN, with a StatisticsWarning, where the resamples do not vary (every
        item scored alike, one item, one cluster).
        """
        index = self._column(column)
        level = checked_level(confidence, "confidence")
        interval = _percentile(self.replicates[:, index], level, f"{self.method}-percentile")
        return Estimate(float(self.observed[index]), interval, self.n, self.clusters)

    def difference(self, *, candidate: SupportsIndex, reference: SupportsIndex) -> PairedBootstrap:
        """Return the distribution of candidate minus reference; negative is a loss."""
        one, other = self._column(candidate), self._column(reference)
        return PairedBootstrap(
            estimate=float(self.observed[one] - self.observed[other]),
            replicates=self.replicates[:, one] - self.replicates[:, other],
            n=self.n,
            clusters=self.clusters,
            method=self.method,
        )


def bootstrap_ratios(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    clusters: ArrayLike | None = None,
    empty: ArrayLike = 1.0,
) -> RatioBootstrap:
    """Resample items and recompute ratios of sums, all columns (arms, endpoints) together.

    Accuracy has numerator correct and denominator 1; micro-F1 2 tp over 2 tp + fp + fn; a mean
    of per-item scores the score over 1.

    Args:
        numerators: shape (items, columns), finite.
        denominators: shape (items, columns), finite, at least 0; where 0, so is the numerator.
        rng: the only source of randomness; the same state gives the same bits on any machine
            and number of cores.
        resamples: how many to draw, at least 1.
        clusters: shape (items,), labels of the clusters the items came from. Cluster labels are
            then drawn with replacement and all their items taken [2]_, so that the number of
            items varies with the draw. None resamples items.
        empty: the value of 0/0, one for all columns or shape (columns,). 1 suits F1 (nothing to
            find and nothing found is right); NaN says it has none: such resamples are left out
            with a warning.

    Returns:
        The observed and resampled ratios, with methods for estimates and paired differences.

    Raises:
        StatisticsError: for shapes that do not match, or values a ratio cannot have.
        InsufficientDataError: without an item.

    Items (or clusters) are taken as independent draws from one population [1]_. Identical rows
    are collapsed and their multiplicities drawn, so cost follows the number of distinct rows;
    otherwise items are drawn in blocks of bounded memory. With few items that differ, or fewer
    than about 20 clusters, percentile intervals cover less than they say.

    References:
        .. [1] Efron, B., Tibshirani, R. J. (1993). An Introduction to the Bootstrap. Chapman &
           Hall.
        .. [2] Davison, A. C., Hinkley, D. V. (1997). Bootstrap Methods and their Application,
           section 3.8. Cambridge University Press.

    Example:
        >>> right = [[1, 1], [1, 0], [0, 0], [1, 1]]
        >>> drawn = bootstrap_ratios(right, [[1, 1]] * 4, rng=np.random.default_rng(1))
        >>> drawn.observed.tolist()
        [0.75, 0.5]
    """
    top, bottom = checked_sums(numerators, denominators)
    draws = checked_draws(resamples)
    n, columns = top.shape
    try:
        fallback = np.broadcast_to(np.asarray(empty, dtype=np.float64), (columns,))
    except (TypeError, ValueError) as exc:
        raise StatisticsError(
            f"empty is {empty!r}; one number, or one for each of {columns} columns, is needed"
        ) from exc
    rows = np.concatenate([top, bottom], axis=1)
    groups = None
    if clusters is not None:
        codes = checked_codes(clusters, n, "clusters")
        groups = int(codes.max()) + 1
        rows = np.stack([np.bincount(codes, weights=column) for column in rows.T], axis=1)
    sums = resampled_sums(rows, draws, rng)
    return RatioBootstrap(
        observed=_ratio(rows.sum(axis=0)[None, :], fallback)[0],
        replicates=_ratio(sums, fallback),
        n=n,
        clusters=groups,
        method="bootstrap" if groups is None else "cluster-bootstrap",
    )


def _ratio(sums: NDArray[np.float64], empty: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide the first half of the columns by the second; `empty` where that is 0/0."""
    columns = sums.shape[1] // 2
    top, bottom = sums[:, :columns], sums[:, columns:]
    ratio = np.broadcast_to(empty, top.shape).copy()
    np.divide(top, bottom, out=ratio, where=bottom != 0.0)
    return ratio


_BLOCK_CELLS = 1 << 20  # counts held at a time: 8 MiB of int64
_MULTINOMIAL_SAVES = 20  # one binomial draw costs about as much as this many index draws
_LONG_ROW = 2_000  # items from which counting a resample at a time is faster
_SERIAL_TERMS = 1 << 18  # multiplications up to which OpenBLAS starts no threads
_FEWEST_ROWS = 8  # at a time; below, threads are worth their cost
_TABLE_CELLS = 4  # an item: up to this size, looking up in a table is faster than sorting
_EXACT_BITS = 52  # whole numbers up to 2^52, and one bit to spare, are exact in float64


def collapse(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the distinct rows, and for every row the index of its distinct one.

    Columns are coded one after the other: much faster than comparing whole rows of floats.
    """
    n = rows.shape[0]
    codes, size = np.zeros(n, dtype=np.intp), 1
    seen: list[NDArray[np.float64]] = []
    for column in rows.T:
        values = np.ascontiguousarray(column)
        if any(np.array_equal(values, before) for before in seen):
            continue  # the same in all arms, such as a count of what the gold holds
        seen.append(values)
        levels = np.unique(values)
        if levels.size == 1:
            continue
        codes *= levels.size
        codes += _places(values, levels)
        size *= levels.size
        if size > _TABLE_CELLS * n:
            _, codes = np.unique(codes, return_inverse=True)
        else:  # a table of what occurs takes the place of a sort
            table = np.zeros(size, dtype=np.intp)
            table[codes] = 1
            codes = (np.cumsum(table) - 1)[codes]
        size = int(codes.max()) + 1
    first = np.empty(size, dtype=np.intp)
    first[codes[::-1]] = np.arange(n - 1, -1, -1)
    return rows[first], codes


def _places(values: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.intp]:
    """Say for each value which of the sorted levels it is."""
    low, high = levels[0], levels[-1]
    places: NDArray[np.intp]
    if high - low < _TABLE_CELLS * values.size and (levels == np.rint(levels)).all():
        table = np.zeros(int(high - low) + 1, dtype=np.intp)
        table[(levels - low).astype(np.intp)] = np.arange(levels.size)
        places = table[(values - low).astype(np.intp)]
    else:
        places = np.searchsorted(levels, values)
    return places


def grid_parts(values: NDArray[np.float64], draws: int) -> list[NDArray[np.float64]]:
    """Split values into a sum of parts, each exact when `draws` of them are added up."""
    parts = []
    rest = values
    for _ in range(2):
        largest = float(np.abs(rest).max(initial=0.0))
        if largest == 0.0:
            break
        exponent = _EXACT_BITS - int(np.ceil(np.log2(largest))) - int(np.ceil(np.log2(draws)))
        on_grid = np.ldexp(np.rint(np.ldexp(rest, exponent)), -exponent)
        parts.append(on_grid)
        rest = rest - on_grid
    return parts or [values]


def product(counts: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return counts @ table, a few rows at a time where the table is small.

    OpenBLAS starts threads for larger products, which then spin for longer than these take.
    Sums are exact, so the bits do not depend on how they are cut.
    """
    step = _SERIAL_TERMS // max(1, table.size)
    if step < _FEWEST_ROWS:
        return counts @ table
    result = np.empty((counts.shape[0], table.shape[1]))
    for start in range(0, counts.shape[0], step):
        np.matmul(counts[start : start + step], table, out=result[start : start + step])
    return result


def resampled_sums(
    values: NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw resamples of the rows of `values`, with replacement, and sum their columns.

    Args:
        values: shape (rows, columns); all columns share what is drawn.
        resamples: how many to draw; each has as many rows as `values`.
        rng: the only source of randomness.

    Returns:
        Shape (resamples, columns).
    """
    n, columns = values.shape
    distinct, codes = collapse(values)
    if distinct.shape[0] * _MULTINOMIAL_SAVES <= n:
        weights, table = _multinomial_blocks(codes, n, resamples, rng), distinct
    else:
        weights, table = _index_blocks(n, resamples, rng), values
    # the second part of a whole number is 0: only columns that have one are summed again
    parts = [(part.any(axis=0), part) for part in grid_parts(table, n)]
    parts = [(kept, np.ascontiguousarray(part[:, kept])) for kept, part in parts if kept.any()]
    sums = np.zeros((resamples, columns))
    start = 0
    for counts in weights:
        block = counts.astype(np.float64)
        stop = start + block.shape[0]
        for kept, part in parts:
            sums[start:stop, kept] += product(block, part)
        start = stop
    return sums


def _multinomial_blocks(
    codes: NDArray[np.intp], n: int, resamples: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    shares = np.bincount(codes) / n
    step = max(1, _BLOCK_CELLS // shares.size)
    for start in range(0, resamples, step):
        yield rng.multinomial(n, shares, size=min(step, resamples - start))


def _index_blocks(n: int, resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    step = max(1, _BLOCK_CELLS // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        # the same draws as 64 bits would be, in half the memory: n is far below 2**31
        drawn = rng.integers(0, n, size=(rows, n), dtype=np.int32)
        if n < _LONG_ROW:
            drawn += (np.arange(rows, dtype=np.int32) * n)[:, None]
            yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        else:
            yield np.stack([np.bincount(row, minlength=n) for row in drawn])
