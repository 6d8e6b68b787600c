"""Whether strata differ: the error of both tests where they do not.

The family `interaction-rare` is of ratios whose losses are rare and large, in strata of which a
small one changes more often: a sample of it may hold none of the losses. Its `kind` is the lengths
(`equal` or `varied`), how many small gains there are to a loss, and which strata. No stratum
differs: gains and losses are of one mean, 0.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from characteristics.cells import UNEVEN, Cell, Measured
from characteristics.groups import draw_clusters
from quantrial.stats import cluster_interaction
from quantrial.stats import interaction as item_interaction

Array = NDArray[np.float64]


def rare_losses(cell: Cell, rng: np.random.Generator) -> tuple[Array, Array, NDArray[np.int64]]:
    """Draw micro-F1 of a reference and a candidate, and the strata, of `interaction-rare`.

    A gain finds one entity more, a loss loses `gains` of them; an entity that is not found is
    replaced by one that is invented, so that denominators stay.
    """
    lengths, gains, which = cell.kind.split()
    sizes, rates = UNEVEN[int(which)]
    strata = np.repeat(np.arange(len(sizes)), sizes)
    n, most = strata.size, int(gains)
    gold = np.full(n, most + 3)
    if lengths == "varied":
        gold = gold + rng.poisson(4.0, n)
    hits = np.full(n, most)
    moves = rng.random(n) < np.repeat(rates, sizes)
    step = np.where(rng.random(n) < 1.0 / (most + 1), -most, 1) * moves
    top = np.stack([2.0 * hits, 2.0 * (hits + step)], axis=1)
    bottom = np.repeat((2.0 * gold)[:, None], 2, axis=1)
    return top, bottom, strata


def _in_strata(
    cell: Cell, rng: np.random.Generator
) -> tuple[Array, Array, NDArray[np.int64], NDArray[np.int64]]:
    """Draw scores, strata, clusters."""
    if cell.family == "interaction-rare":
        top, bottom, stratum = rare_losses(cell, rng)
        return (
            top,
            bottom,
            stratum,
            rng.permutation(np.arange(stratum.size) % max(1, cell.clusters)),
        )
    strata = int(cell.kind.split()[0])
    # without clusters of their own, items are drawn in one that leans nowhere
    drawn = cell if cell.clusters else dataclasses.replace(cell, clusters=1)
    top, bottom, labels = draw_clusters(drawn, rng)
    if "within" in cell.kind:
        return top, bottom, labels % strata, labels
    return top, bottom, rng.permutation(np.arange(labels.size) % strata), labels


def interaction(cell: Cell) -> Measured:
    """How often strata are found to differ that do not, and how often there is no test."""
    rng, found = cell.rng(), []
    for _ in range(cell.replications):
        top, bottom, stratum, labels = _in_strata(cell, rng)
        if cell.clusters:
            result = cluster_interaction(top, bottom, stratum, labels)
        else:
            result = item_interaction(top, bottom, stratum, rng=rng, resamples=499)
        found.append(result.p_value)
    p = np.array(found)
    figures = {
        "interaction error": float((p < 0.05).mean()),
        "interaction untested": float(np.mean([math.isnan(one) for one in found])),
    }
    return Measured(figures)


def interaction_rare(cell: Cell) -> Measured:
    """The same of ratios whose losses are rare and large."""
    return interaction(cell)
