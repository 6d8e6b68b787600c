"""Whether strata differ: the error of both tests where they do not."""

import dataclasses
import math

import numpy as np

from characteristics.cells import Cell, Measured
from characteristics.groups import draw_clusters
from quantrial.stats import cluster_interaction
from quantrial.stats import interaction as item_interaction


def interaction(cell: Cell) -> Measured:
    """How often strata are found to differ that do not, and how often there is no test."""
    rng, found = cell.rng(), []
    strata = int(cell.kind.split()[0])
    # without clusters of their own, items are drawn in one that leans nowhere
    drawn = cell if cell.clusters else dataclasses.replace(cell, clusters=1)
    for _ in range(cell.replications):
        top, bottom, labels = draw_clusters(drawn, rng)
        if "within" in cell.kind:
            stratum = labels % strata
        else:
            stratum = rng.permutation(np.arange(labels.size) % strata)
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
