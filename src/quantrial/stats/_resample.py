"""The machinery of the bootstrap: resampled sums, exact and bounded in memory.

Whatever is drawn is a table of counts (resample by row), and a resampled sum is counts times
values. Values are split into parts that lie on a binary grid coarse enough for every such sum to
be exact in float64. An exact sum does not depend on the order of its terms, so a fast matrix
product gives the same bits on any number of cores.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_BLOCK_CELLS = 1 << 20  # counts held at a time: 8 MiB of int64
_MULTINOMIAL_SAVES = 20  # one binomial draw costs about as much as this many index draws
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
        # without the counts, numpy.unique imports numpy.ma, which takes longer than the sort
        levels = np.unique(values, return_counts=True)[0]
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
        drawn = rng.integers(0, n, size=(rows, n))
        drawn += np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
