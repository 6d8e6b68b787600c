"""Clusters of items, and families of arms."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from characteristics.cells import Cell, Measured
from characteristics.comparators import cr1_variance, wild_clusters
from characteristics.generators import draw
from quantrial.stats import (
    bootstrap_ratios,
    holm,
    mcnemar,
    score_ratios,
)

Array = NDArray[np.float64]


HIT = 0.62  # mean share of entities that an arm finds, as in the mix `real`


def _sizes(cell: Cell) -> NDArray[np.int64]:
    weights = 1.0 + np.arange(cell.clusters) % (5 if cell.kind.endswith("unequal") else 1)
    sizes: NDArray[np.int64] = np.maximum(2, np.round(cell.n * weights / weights.sum())).astype(
        np.int64
    )
    return sizes


def draw_clusters(cell: Cell, rng: np.random.Generator) -> tuple[Array, Array, NDArray[np.int64]]:
    """Paired scores without a true difference, in clusters that lean one way or the other.

    Right or wrong; or counts of micro-F1 (`f1-...`), where every changed answer of the `real` mix
    is a loss of one arm or the other. With the clusters of the items.
    """
    labels = np.repeat(np.arange(cell.clusters), _sizes(cell))
    if cell.kind.startswith("f1"):
        top, bottom = draw("real", labels.size, cell.rate, rng)
        loss = np.diff(top)[:, 0] - top.sum() / bottom.sum() * np.diff(bottom)[:, 0]
        top[loss > 0.0], bottom[loss > 0.0] = top[loss > 0.0, ::-1], bottom[loss > 0.0, ::-1]
        # one large change carries what many small ones do: the lean must be that much stronger
        stake = 1.0 if not loss.any() else np.mean(loss**2) / np.mean(np.abs(loss)) ** 2
        correlated = cell.icc * stake
    else:
        flips = rng.random(labels.size) < cell.rate
        top, bottom = np.ones((labels.size, 2)), np.ones((labels.size, 2))
        top[flips, 1] = 0.0
        correlated = cell.icc / cell.rate
    lean: Array = np.zeros(cell.clusters)
    if correlated > 0.0:
        # Beta on [-1, 1] with this variance gives the differences the cell's correlation
        shape = (1.0 / min(correlated, 0.99) - 1.0) / 2.0
        lean = np.asarray(2.0 * rng.beta(shape, shape, cell.clusters) - 1.0, dtype=np.float64)
    gains = rng.random(labels.size) < (1.0 + lean[labels]) / 2.0
    top[gains], bottom[gains] = top[gains, ::-1], bottom[gains, ::-1]
    return top, bottom, labels


def draw_bad(cell: Cell, rng: np.random.Generator) -> tuple[Array, Array, NDArray[np.int64], float]:
    """Right and wrong answers of which a few clusters lose many; with the true difference.

    Two of three flips are losses. Their chance varies over clusters as a Beta, gains take their
    share of what is not lost, and differences have the cell's correlation within clusters.
    """
    labels = np.repeat(np.arange(cell.clusters), _sizes(cell))
    harm, gain = cell.rate * 2.0 / 3.0, cell.rate / 3.0
    chances = np.full(cell.clusters, harm)
    if cell.icc > 0.0:
        # a cluster's difference falls by one loss more, and by the gain that it takes away
        pull = (1.0 + gain / (1.0 - harm)) ** 2
        variance = cell.icc * (harm + gain - (gain - harm) ** 2) / pull
        total = harm * (1.0 - harm) / variance - 1.0
        chances = rng.beta(harm * total, (1.0 - harm) * total, cell.clusters)
    own, turn = chances[labels], rng.random(labels.size)
    top = np.ones((labels.size, 2))
    top[turn < own, 1] = 0.0
    # what is not lost may be gained, as often as the rate asks on the whole
    top[(turn >= own) & (turn < own + gain * (1.0 - own) / (1.0 - harm)), 0] = 0.0
    return top, np.ones_like(top), labels, gain - harm


def bad_clusters(cell: Cell) -> Measured:
    """Coverage, and non-inferiority claimed at a margin equal to the loss, with a few bad ones."""
    rng, truth, covered, claimed = cell.rng(), math.nan, [], []
    for _ in range(cell.replications):
        top, bottom, labels, truth = draw_bad(cell, rng)
        score = score_ratios(top, bottom, clusters=labels, support=1)
        covered.append(score.test(truth).p_value >= 0.05)
        claimed.append(score.test(truth, "greater").p_value < 0.05)
    return Measured(
        {
            "cluster coverage": float(np.mean(covered)),
            "cluster non-inferiority error": float(np.mean(claimed)),
        }
    )


def _sentences(
    n: int, share: float | Array, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Draw entities of the gold, those found (each with the chance `share`), and those invented."""
    gold = np.where(rng.random(n) < 0.22, 0, 1 + rng.poisson(1.2, n))
    invented = np.where(rng.random(n) < 0.3, rng.geometric(0.6, n), 0)
    spurious = np.where(gold == 0, invented, rng.poisson(0.3, n))
    return gold, rng.binomial(gold, share), spurious


@lru_cache
def _arm_facts() -> tuple[float, float, float, float]:
    """Give one arm's true F1, and what sets the correlation of its items' influences on it.

    These have the variance `apart`, of which `alike` times the variance of the share found lies
    between clusters; `within` times that variance lies within them besides.
    """
    invented = 0.22 * 0.3 / 0.6 + 0.78 * 0.3
    mean, square = 0.78 * 2.2, 0.78 * (1.2 + 2.2**2)  # of gold
    found = HIT * mean
    f1 = 2.0 * found / (found + invented + mean)
    gold, hits, spurious = _sentences(4_000_000, HIT, np.random.default_rng(1))
    sums = hits + spurious + gold
    denominator = found + invented + mean
    apart = float(np.var((2.0 * hits - f1 * sums) / denominator))
    weight = ((2.0 - f1) / denominator) ** 2
    return f1, apart, weight * mean**2, weight * (square - mean - mean**2)


def draw_arm(cell: Cell, rng: np.random.Generator) -> tuple[Array, Array, NDArray[np.int64], float]:
    """One arm's counts of micro-F1 in clusters that are hard or easy; with its true F1.

    A cluster's share of entities found is a Beta of that variance which gives the items'
    influences the cell's correlation.
    """
    labels = np.repeat(np.arange(cell.clusters), _sizes(cell))
    f1, apart, alike, within = _arm_facts()
    shares = np.full(cell.clusters, HIT)
    if cell.icc > 0.0:
        # icc = alike v / (apart + (alike + within) v)
        variance = cell.icc * apart / (alike - cell.icc * (alike + within))
        total = HIT * (1.0 - HIT) / variance - 1.0
        shares = rng.beta(HIT * total, (1.0 - HIT) * total, cell.clusters)
    gold, hits, spurious = _sentences(labels.size, shares[labels], rng)
    top, bottom = (2 * hits).astype(np.float64), (hits + spurious + gold).astype(np.float64)
    return top, bottom, labels, f1


def one_arm(cell: Cell) -> Measured:
    """Coverage of one arm's micro-F1 over clusters, as the summary gives it.

    An interval that does not exist covers nothing; how often that happens stands beside.
    """
    rng, covered, nowhere = cell.rng(), [], []
    for _ in range(cell.replications):
        top, bottom, labels, f1 = draw_arm(cell, rng)
        nothing, one = np.zeros_like(top), np.ones_like(top)
        score = score_ratios(
            np.stack([nothing, top], 1), np.stack([one, bottom], 1), clusters=labels
        )
        interval = score.interval()
        covered.append(interval.low <= f1 <= interval.high)
        nowhere.append(math.isnan(interval.low))
    return Measured(
        {
            "cluster one arm F1 coverage": float(np.mean(covered)),
            "cluster one arm F1 without an interval": float(np.mean(nowhere)),
        }
    )


def clusters(cell: Cell) -> Measured:
    """Cluster-robust score interval of proportions and micro-F1, and the alternatives beside it.

    The alternatives, which cost more, are shown on a quarter of the replications. Of one arm's
    micro-F1 (`arm-...`), its own interval.
    """
    if cell.kind.startswith("arm"):
        return one_arm(cell)
    if cell.kind.startswith("bad"):
        return bad_clusters(cell)
    rng = cell.rng()
    hits: dict[str, list[bool]] = {}
    for replication in range(cell.replications):
        top, bottom, labels = draw_clusters(cell, rng)
        pooled = cell.kind.startswith("f1")
        score = score_ratios(top, bottom, clusters=labels, support=None if pooled else 1)
        p = score.test().p_value
        name = "cluster F1" if pooled else "cluster"
        found = {
            f"{name} coverage": p >= 0.05,
            f"{name} difference error": p < 0.05,
            f"{name} one-sided error": score.test(0.0, "greater").p_value < 0.05,
        }
        for figure, hit in found.items():
            hits.setdefault(figure, []).append(hit)
        if pooled:
            continue
        found = {}
        change = top[:, 1] - top[:, 0]
        if replication % 4 == 0 and change.any():
            crude = cr1_variance(change, labels)
            t = abs(crude.mean) / math.sqrt(crude.variance) if crude.variance > 0.0 else 0.0
            found["CR1 coverage"] = 2.0 * float(special.stdtr(crude.df, -t)) >= 0.05
            wild = wild_clusters(change, labels, rng=rng, resamples=399)
            found["wild bootstrap coverage"] = wild.p_value >= 0.05
            drawn = bootstrap_ratios(top, bottom, rng=rng, resamples=499, clusters=labels)
            interval = drawn.difference(candidate=1, reference=0).interval()
            found["percentile coverage"] = not (interval.low > 0.0 or interval.high < 0.0)
        for figure, hit in found.items():
            hits.setdefault(figure, []).append(hit)
    return Measured({name: float(np.mean(found)) for name, found in hits.items()})


def familywise(cell: Cell) -> Measured:
    """Three arms, all pairs, Holm on mid-p: all equally good, or the third loses (`one-worse`).

    Wrong is a study that finds a difference between arms that have none.
    """
    rng = cell.rng()
    right = rng.random((cell.replications, cell.n)) < 0.6
    flips = rng.random((3, cell.replications, cell.n)) < cell.rate
    arms = right ^ flips
    alike = slice(None)
    if cell.kind == "one-worse":
        arms[2] &= rng.random((cell.replications, cell.n)) >= 0.2
        alike = slice(1)
    p_values = [_midp_of(arms[i], arms[j], cell.n) for i, j in ((0, 1), (0, 2), (1, 2))]
    wrong = [bool(holm(p)[alike].min() <= 0.05) for p in np.stack(p_values, axis=1)]
    return Measured({"family-wise error": float(np.mean(wrong))})


def _midp_of(reference: NDArray[np.bool_], candidate: NDArray[np.bool_], n: int) -> Array:
    """McNemar's mid-p of every replication; few pairs of counts occur, each is tested once."""
    pairs = np.stack(
        [(reference & ~candidate).sum(axis=1), (candidate & ~reference).sum(axis=1)], 1
    )
    distinct, places = np.unique(pairs, axis=0, return_inverse=True)
    p = np.array([mcnemar(a, b, n=n, method="midp").p_value for a, b in distinct.tolist()])
    return np.asarray(p[places.ravel()])
