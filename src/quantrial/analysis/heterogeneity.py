"""Does a difference vary over the strata? One test, before any stratum is named."""

from __future__ import annotations

import hashlib
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantrial import documents
from quantrial.analysis.methods import MOST_DRAWS
from quantrial.analysis.values import number
from quantrial.errors import InsufficientDataError, StatisticsWarning
from quantrial.stats import cluster_interaction, interaction, shrunken_ratios

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quantrial.analysis.alarms import Asked
    from quantrial.analysis.outcomes import Panel

# Enough to tell a p of .05 from one of .04; the cost is items times draws.
_FIRST_DRAWS = 2_000


@dataclass(frozen=True, slots=True)
class Interaction:
    """A test of arm and stratum, and each stratum's difference drawn to their mean.

    A stratum that has none to speak of is None in `shrunken`.
    """

    reference: str
    candidate: str
    p_value: float
    method: str
    n: int
    shrunken: Mapping[str, float | None]

    def written(self, key: str, asked: Asked) -> documents.Heterogeneity:
        """Write what the test over a key of the items' metadata says, once its p is adjusted."""
        return documents.Heterogeneity(
            key=key,
            reference=self.reference,
            candidate=self.candidate,
            p_value=number(self.p_value),
            method=self.method,
            n=self.n,
            shrunken=self.shrunken,
            p_adjusted=number(asked.p_alarm),
            p_alarm=number(asked.p_alarm),
        )


def heterogeneity(
    panel: Panel,
    values: NDArray[np.str_],
    *,
    contrast: tuple[str, str, str],
    seed: int,
    resamples: int,
) -> Interaction:
    """Test the interaction of arm and stratum, and shrink each stratum's difference to their mean.

    Args:
        panel: scores of the arms.
        values: shape (items,), the stratum of each item.
        contrast: reference, candidate, endpoint.
        seed: the study's.
        resamples: draws of the test; at most 2,000 are used, and 20,000 where p comes out small.

    Over clusters the test is one of its own, refused with a warning below five of them; and nothing
    is shrunken, which would take what clusters share for what strata are.
    """
    reference, candidate, endpoint = contrast
    mask, arms, e = panel.locate((reference, candidate), endpoint)
    top, bottom = panel.scores(mask, arms, e)
    if panel.clusters is not None:
        p, method = _over_clusters(top, bottom, values[mask], panel.clusters[mask])
        shrunken = dict.fromkeys(sorted(set(values[mask].tolist())))
        return Interaction(reference, candidate, p, method, int(mask.sum()), shrunken)
    label = hashlib.sha256("\0".join(contrast).encode()).digest()[:8]
    test = interaction(
        top,
        bottom,
        values[mask],
        rng=np.random.default_rng([seed, *label]),
        resamples=min(resamples, _FIRST_DRAWS),
        most=MOST_DRAWS,
    )
    shrunk = _shrunken(top, bottom, values[mask])
    return Interaction(reference, candidate, test.p_value, test.method, test.n, shrunk)


def _over_clusters(
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
    values: NDArray[np.str_],
    clusters: NDArray[np.str_],
) -> tuple[float, str]:
    try:
        test = cluster_interaction(top, bottom, values, clusters)
    except InsufficientDataError as exc:
        warnings.warn(
            f"{exc}; whether strata differ is not tested", StatisticsWarning, stacklevel=3
        )
        return math.nan, "refused"
    return test.p_value, test.method


def _shrunken(
    top: NDArray[np.float64], bottom: NDArray[np.float64], values: NDArray[np.str_]
) -> dict[str, float | None]:
    names: list[str] = sorted(set(values.tolist()))
    try:
        drawn = shrunken_ratios(top, bottom, values).estimates.tolist()
    except InsufficientDataError:  # of one stratum there is no mean to be drawn to
        return dict.fromkeys(names)
    return {name: None if math.isnan(x) else x for name, x in zip(names, drawn, strict=True)}
