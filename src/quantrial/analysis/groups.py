"""Which groups a set of statistics takes account of, and what is to be said of that."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from quantrial.analysis.classic import Classic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quantrial.analysis.outcomes import Panel
    from quantrial.analysis.remarks import Remarks
    from quantrial.study import Task

EQUAL = "items of equal content"


def overall(panel: Panel, spec: Task, methods: str, remarks: Remarks) -> Panel:
    """Return the scores of all items with the groups that the set of methods asks about.

    `classic` resamples clusters and knows no strata. For `calibrated` a group is fixed or random: a
    key that the study names as both is taken as strata; of two keys clusters are kept, whose
    variance is never the smaller one. The remarks say so. Items of equal content are clusters of
    `calibrated` alone.
    """
    if panel.clusters is None:
        return panel
    if methods == Classic.name:
        if not panel.by_content:
            return panel
        remarks.add(
            EQUAL, "taken as independent, as published practice does; `calibrated` does not"
        )
        return dataclasses.replace(panel, clusters=None, by_content=False)
    cluster, stratum = EQUAL if panel.by_content else spec.cluster or "", spec.stratify
    if cluster == stratum:
        remarks.add(
            cluster,
            "named as stratum and as cluster; taken as strata: what is said holds for these "
            "groups, not for groups like these",
        )
        return dataclasses.replace(panel, clusters=None)
    if stratum is not None:
        remarks.add(
            stratum,
            f"strata beside clusters ({cluster}): contrasts of all items, and those within strata, "
            "are over clusters; strata narrow no interval",
        )
    return dataclasses.replace(panel, strata=None)


def within(panel: Panel, mask: NDArray[np.bool_], spec: Task) -> Panel:
    """Return the scores of one stratum, over clusters where another key names them."""
    inside = panel.subset(mask)
    if not panel.by_content and (spec.cluster is None or spec.cluster == spec.stratify):
        return inside.without_groups()
    return dataclasses.replace(inside, strata=None)
