"""Changes of items between two arms, by stratum, and the variances they give a difference."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantrial.errors import StatisticsWarning
from quantrial.stats._null_variance import cell_variance

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_NOTHING = 1e-12  # of the largest change: what is left of changes that cancel in the ratio
_STEPS = 10  # towards the common difference; validity under permutation needs no convergence
LEAST = 1e-9  # of one pair's variance: strata without a change have none at a difference of 0
FEWEST_CHANGES = 20  # in a stratum, of a ratio: with 10 the error passes 10 % where losses are rare
PRIOR = 0.5  # pairs added to losses and to gains; with none or 0.25 the error passes 5.5 %


def changes_of(
    top: Floats, bottom: Floats, codes: NDArray[np.intp]
) -> tuple[Floats, NDArray[np.intp]]:
    """Return each item's change and stratum; within a stratum they average to its difference.

    With R the ratio of both arms' sums together, (t1 - t0) - R (b1 - b0) sums to the
    difference of the arms' ratios times the harmonic mean of their denominators, exactly.
    """
    strata = int(codes.max()) + 1
    tops, bottoms = (
        np.stack([np.bincount(codes, weights=column, minlength=strata) for column in part.T])
        for part in (top, bottom)
    )
    usable: NDArray[np.bool_] = np.all(bottoms > 0.0, axis=0)
    if not usable.all():
        warnings.warn(
            f"{left_out(usable)}: an arm's denominators there are all 0, so it has no ratio",
            StatisticsWarning,
            stacklevel=3,
        )
        if not usable.any():
            return np.zeros(0), np.zeros(0, dtype=np.intp)
        kept = usable[codes]
        renumbered = (np.cumsum(usable) - 1)[codes[kept]]
        top, bottom, codes = top[kept], bottom[kept], renumbered.astype(np.intp, copy=False)
        tops, bottoms = tops[:, usable], bottoms[:, usable]
    common = tops.sum(axis=0) / bottoms.sum(axis=0)
    scale = np.bincount(codes) * bottoms.sum(axis=0) / (2.0 * bottoms.prod(axis=0))
    changes = (top[:, 1] - top[:, 0]) - common[codes] * (bottom[:, 1] - bottom[:, 0])
    changes = changes * scale[codes]
    changes[np.abs(changes) <= _NOTHING * max(1.0, float(np.abs(changes).max()))] = 0.0
    return changes, codes


def left_out(kept: NDArray[np.bool_]) -> str:
    """Say how many strata a test leaves out: `1 of 3 strata is left out`."""
    out = int((~kept).sum())
    return f"{out} of {kept.size} strata {'is' if out == 1 else 'are'} left out"


def right_or_wrong(top: Floats, bottom: Floats) -> bool:
    """Whether items that change do so by all there is: then no change can be larger.

    All denominators are one number, and scores change by that or not at all. Items without a
    denominator in either arm play no part.
    """
    there = bottom.any(axis=1)
    whole = bottom[there].max(initial=0.0)
    changes = top[there, 1] - top[there, 0]
    return bool((bottom[there] == whole).all() and np.isin(changes, (-whole, 0.0, whole)).all())


def changed_enough(values: Floats, codes: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell the items of strata of a ratio in which enough changed to show how large changes are."""
    counts = np.bincount(codes[values != 0.0], minlength=int(codes.max(initial=-1)) + 1)
    enough = counts >= FEWEST_CHANGES
    if values.any() and not enough.all():
        warnings.warn(
            f"{left_out(enough)}: fewer than "
            f"{FEWEST_CHANGES} answers changed there. That is too few to tell how large a loss of "
            "a ratio can be",
            StatisticsWarning,
            stacklevel=3,
        )
    elif not values.any():
        enough[:] = True  # nothing changed anywhere, which is said of all
    kept: NDArray[np.bool_] = enough[codes]
    return kept


def sums_of(values: Floats, codes: NDArray[np.intp], strata: int) -> Floats:
    """Sum gains, losses and squares of changes within strata, shape (strata, 3)."""
    return np.stack(
        [
            np.bincount(codes, weights=part, minlength=strata)
            for part in (np.maximum(values, 0.0), np.maximum(-values, 0.0), values**2)
        ],
        axis=1,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Changes of unequal size counted as so many equal ones, in each of the strata.

    Sums of sizes and of squares stay as they are; `unit`, that size over all strata, counts as
    one change more, for strata with few. Answers right and wrong have size 1 throughout.
    """

    gains: Floats
    losses: Floats
    size: Floats
    sizes: Counts

    @classmethod
    def of(cls, sums: Floats, sizes: Counts, unit: float) -> "Counted":
        gains, losses, squares = np.moveaxis(sums, -1, 0)
        size = (squares + unit**2) / (gains + losses + unit)
        return cls(gains / size, losses / size, size, sizes)

    def variance(self, mean: Floats) -> Floats:
        """Return the variance of each stratum's difference if `mean` were the true one."""
        share = np.clip(mean / self.size, -1.0, 1.0)
        cells = cell_variance(self.gains, self.losses, self.sizes, share)
        variance: Floats = np.maximum(cells, LEAST) * self.size**2 / self.sizes
        return variance

    def under_null(self) -> tuple[Floats, Floats]:
        """Return each stratum's mean if all have one in common, and the variance of one item.

        Both in units of its changes; with half a pair of losses and of gains added.
        """
        share = np.clip(self.common()[1] / self.size, -1.0, 1.0)
        n = self.sizes + 2.0 * PRIOR
        return share, cell_variance(self.gains + PRIOR, self.losses + PRIOR, n, share)

    def common(self) -> tuple[Floats, Floats]:
        """Return the strata's differences, and a common one: their mean by its own weights."""
        means = (self.gains - self.losses) * self.size / self.sizes
        common = (means * self.sizes).sum(axis=-1, keepdims=True) / self.sizes.sum()
        for _ in range(_STEPS):
            weights = 1.0 / self.variance(common)
            total = weights.sum(axis=-1, keepdims=True)
            common = (weights * means).sum(axis=-1, keepdims=True) / total
        return means, common


_BLOCK_CELLS = 1 << 20
_HALVINGS = 80  # halvings of a bracket of tilts
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
    for _ in range(_HALVINGS):
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
