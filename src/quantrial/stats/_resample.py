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
_EXACT_BITS = 52  # whole numbers up to 2^52, and one bit to spare, are exact in float64


def collapse(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the distinct rows, and for every row the index of its distinct one.

    Columns are coded one after the other: much faster than comparing whole rows of floats.
    """
    codes = np.zeros(rows.shape[0], dtype=np.intp)
    first = np.zeros(1, dtype=np.intp)
    for column in rows.T:
        levels, inverse = np.unique(column, return_inverse=True)
        if levels.size > 1:
            mixed = codes * levels.size + inverse
            _, first, codes = np.unique(mixed, return_index=True, return_inverse=True)
    return rows[first], codes


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
    parts = grid_parts(table, n)
    sums = np.zeros((resamples, columns))
    start = 0
    for counts in weights:
        block = counts.astype(np.float64)
        stop = start + block.shape[0]
        for part in parts:
            sums[start:stop] += block @ part
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
