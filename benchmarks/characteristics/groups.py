"""Clusters of items, and families of arms."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from characteristics.cells import Cell, Measured
from quantrial.stats import (
    bootstrap_ratios,
    cluster_variance,
    holm,
    mcnemar,
    score_ratios,
    wild_clusters,
)

Array = NDArray[np.float64]


def draw_clusters(cell: Cell, rng: np.random.Generator) -> tuple[Array, NDArray[np.int64]]:
    """Paired 0/1 scores without a true difference, in clusters that lean one way or the other."""
    weights = 1.0 + np.arange(cell.clusters) % (5 if cell.kind == "unequal" else 1)
    sizes = np.maximum(2, np.round(cell.n * weights / weights.sum())).astype(np.int64)
    labels = np.repeat(np.arange(cell.clusters), sizes)
    lean: Array = np.zeros(cell.clusters)
    if cell.icc > 0.0:
        # Beta on [-1, 1] with variance icc / rate gives the differences this correlation
        shape = (cell.rate / cell.icc - 1.0) / 2.0
        lean = np.asarray(2.0 * rng.beta(shape, shape, cell.clusters) - 1.0, dtype=np.float64)
    flips = rng.random(labels.size) < cell.rate
    gains = rng.random(labels.size) < (1.0 + lean[labels]) / 2.0
    scores = np.ones((labels.size, 2))
    scores[flips & gains, 0] = 0.0
    scores[flips & ~gains, 1] = 0.0
    return scores, labels


def clusters(cell: Cell) -> Measured:
    """Cluster-robust score interval of paired proportions, and the alternatives beside it.

    The alternatives, which cost more, are shown on a quarter of the replications.
    """
    rng = cell.rng()
    hits: dict[str, list[bool]] = {}
    for replication in range(cell.replications):
        scores, labels = draw_clusters(cell, rng)
        ones = np.ones_like(scores)
        score = score_ratios(scores, ones, clusters=labels, support=1)
        found = {
            "cluster coverage": score.test().p_value >= 0.05,
            "cluster one-sided error": score.test(0.0, "greater").p_value < 0.05,
        }
        change = scores[:, 1] - scores[:, 0]
        if replication % 4 == 0 and change.any():
            crude = cluster_variance(change, labels, method="cr1")
            t = abs(crude.mean) / math.sqrt(crude.variance) if crude.variance > 0.0 else 0.0
            found["CR1 coverage"] = 2.0 * float(special.stdtr(crude.df, -t)) >= 0.05
            wild = wild_clusters(change, labels, rng=rng, resamples=399)
            found["wild bootstrap coverage"] = wild.p_value >= 0.05
            drawn = bootstrap_ratios(scores, ones, rng=rng, resamples=499, clusters=labels)
            interval = drawn.difference(candidate=1, reference=0).interval()
            found["percentile coverage"] = not (interval.low > 0.0 or interval.high < 0.0)
        for name, hit in found.items():
            hits.setdefault(name, []).append(hit)
    return Measured({name: float(np.mean(found)) for name, found in hits.items()})


def familywise(cell: Cell) -> Measured:
    """Three arms that are equally good, all pairs, Holm on mid-p."""
    rng = cell.rng()
    right = rng.random((cell.replications, cell.n)) < 0.6
    flips = rng.random((3, cell.replications, cell.n)) < cell.rate
    arms = right ^ flips
    p_values = [_midp_of(arms[i], arms[j], cell.n) for i, j in ((0, 1), (0, 2), (1, 2))]
    wrong = [bool(holm(p).min() <= 0.05) for p in np.stack(p_values, axis=1)]
    return Measured({"family-wise error": float(np.mean(wrong))})


def _midp_of(reference: NDArray[np.bool_], candidate: NDArray[np.bool_], n: int) -> Array:
    """McNemar's mid-p of every replication; few pairs of counts occur, each is tested once."""
    pairs = np.stack(
        [(reference & ~candidate).sum(axis=1), (candidate & ~reference).sum(axis=1)], 1
    )
    distinct, places = np.unique(pairs, axis=0, return_inverse=True)
    p = np.array([mcnemar(a, b, n=n, method="midp").p_value for a, b in distinct.tolist()])
    return np.asarray(p[places.ravel()])
