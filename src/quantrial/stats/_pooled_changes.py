"""Changes drawn as if every stratum had one difference: how often of its own, how large of all.

A stratum's own changes do not show the rare large losses that it happened not to meet. Under the
null that strata do not differ, the changes of all of them say how large one can be.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantrial.stats._strata_changes import PRIOR

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_BLOCK_CELLS = 1 << 20
_STEPS = 80  # halvings of a bracket of tilts
_STEEPEST = 1e4  # a tilt under which all is at one end
_INSIDE = 0.999  # of the largest change: a mean that a tilt can reach


@dataclass(frozen=True, slots=True, eq=False)
class _Null:
    """How often items of each stratum change, and which changes they then draw, with what chances.

    `supports` and `chances` hold one array a stratum.
    """

    sizes: Counts
    often: Floats
    supports: list[Floats]
    chances: list[Floats]

    @classmethod
    def of(cls, values: Floats, codes: NDArray[np.intp], *, scaled: bool) -> "_Null":
        """Pool the changes of all strata.

        Args:
            values: shape (items,), each item's change; 0 where it did not change. Not all are 0.
            codes: shape (items,), the stratum of each item, from 0.
            scaled: whether changes are pooled in units of each stratum's median change, and not as
                they are: strata of long documents change by more.
        """
        sizes = np.bincount(codes)
        changed = values != 0.0
        counts = np.bincount(codes[changed], minlength=sizes.size)
        often = (counts + 2.0 * PRIOR) / (sizes + 2.0 * PRIOR)
        units = _units(values[changed], codes[changed], sizes.size, scaled=scaled)
        # by the variance of changes as large as all: a stratum whose own look small is not sure
        weights = sizes / (often * units**2)
        means = np.bincount(codes, weights=values) / sizes
        common = float(weights @ means / weights.sum())
        pool = values[changed] / units[codes[changed]]
        typical = float(np.sqrt((pool**2).mean()))
        # half a pair more of either sign, as few changes may all have gone one way
        support = np.array([*pool.tolist(), typical, -typical])
        shares = np.array([1.0] * pool.size + [PRIOR] * 2)
        chances = [
            tilted(support, shares, common / one / rate)
            for one, rate in zip(units.tolist(), often.tolist(), strict=True)
        ]
        return cls(sizes, often, [support * one for one in units], chances)


def pooled_null(
    values: Floats,
    codes: NDArray[np.intp],
    draws: int,
    rng: np.random.Generator,
    *,
    scaled: bool,
) -> Iterator[Floats]:
    """Yield sums of changes, shape (draws, strata, 3) in blocks, where no stratum differs."""
    null = _Null.of(values, codes, scaled=scaled)
    step = max(1, _BLOCK_CELLS // max(1, int(null.sizes.sum())))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        parts = [
            _drawn(support, chances, rng.binomial(size, rate, size=rows), rng)
            for support, chances, size, rate in zip(
                null.supports, null.chances, null.sizes, null.often, strict=True
            )
        ]
        yield np.stack(parts, axis=1)


def pooled_variance(values: Floats, codes: NDArray[np.intp], *, scaled: bool) -> Floats:
    """Return the variance of each stratum's difference where no stratum differs."""
    null = _Null.of(values, codes, scaled=scaled)
    moments = np.array(
        [
            (float(chances @ support), float(chances @ support**2))
            for support, chances in zip(null.supports, null.chances, strict=True)
        ]
    )
    variance: Floats = (null.often * moments[:, 1] - (null.often * moments[:, 0]) ** 2) / null.sizes
    return variance


def _units(changes: Floats, codes: NDArray[np.intp], strata: int, *, scaled: bool) -> Floats:
    """Return the size that changes of each stratum are counted in."""
    if not scaled:
        return np.ones(strata)
    every = float(np.median(np.abs(changes)))
    inside = (np.abs(changes[codes == stratum]) for stratum in range(strata))
    return np.array([float(np.median(own)) if own.size else every for own in inside])


def tilted(support: Floats, weights: Floats, mean: float) -> Floats:
    """Return chances on a support, as close to the weights as a given mean allows.

    Closest by the Kullback-Leibler divergence: weights times exp(tilt x). A mean beyond the support
    is taken as one just inside it.
    """
    largest = float(np.abs(support).max())
    x = support / largest
    wanted = min(max(mean / largest, _INSIDE * float(x.min())), _INSIDE * float(x.max()))

    def chances(tilt: float) -> Floats:
        powers = tilt * x
        found: Floats = weights * np.exp(powers - powers.max())
        found /= found.sum()
        return found

    low, high = -1.0, 1.0
    while low > -_STEEPEST and float(chances(low) @ x) > wanted:
        low *= 2.0
    while high < _STEEPEST and float(chances(high) @ x) < wanted:
        high *= 2.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if float(chances(middle) @ x) < wanted:
            low = middle
        else:
            high = middle
    return chances((low + high) / 2.0)


def _drawn(support: Floats, chances: Floats, counts: Counts, rng: np.random.Generator) -> Floats:
    """Draw so many changes a row; their gains, losses and squares, shape (rows, 3)."""
    shape = (counts.size, max(1, int(counts.max())))
    found = rng.choice(support, size=shape, p=chances)
    found[np.arange(shape[1]) >= counts[:, None]] = 0.0
    gains, losses = np.maximum(found, 0.0).sum(axis=1), np.maximum(-found, 0.0).sum(axis=1)
    return np.stack([gains, losses, (found**2).sum(axis=1)], axis=1)
