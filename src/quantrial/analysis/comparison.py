"""All pairs of arms of one task, compared by one set of methods, also within and over strata."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial import documents
from quantrial.analysis.contrasts import Choice, Draft, Notes, draft, measure
from quantrial.analysis.methods import MOST_DRAWS
from quantrial.analysis.methods.calibrated import Calibrated
from quantrial.analysis.methods.classic import Classic
from quantrial.analysis.outcomes import Panel, TaskOutcomes, labels
from quantrial.documents.codec import number
from quantrial.errors import InsufficientDataError, StatisticsWarning
from quantrial.stats import cluster_interaction, interaction, shrunken_ratios

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.analysis.bounds import Bounds
    from quantrial.analysis.methods import ContrastResult, Methods
    from quantrial.analysis.question import Question, TaskQuestion


EQUAL = "items of equal content"

METHODS: dict[str, type[Methods]] = {one.name: one for one in (Calibrated, Classic)}


def pairs_of(arms: Sequence[str], reference: str) -> list[tuple[str, str]]:
    """List all pairs (reference, candidate): the study's reference first, then its order."""
    ordered = [reference, *(arm for arm in arms if arm != reference)]
    return list(itertools.combinations(ordered, 2))


@dataclass(frozen=True, slots=True)
class Stratum:
    """One stratum: which items are its own, their scores, and what was measured on them."""

    mask: NDArray[np.bool_]
    methods: Methods
    measured: list[ContrastResult]


class TaskComparison:
    """The contrasts of one task by one set of methods, of all items and within strata.

    `brief` asks for verdicts and their p-values alone: no interval, no items that would settle it.
    """

    def __init__(
        self,
        question: Question,
        name: str,
        scored: TaskOutcomes,
        methods: str,
        notes: Notes,
        *,
        brief: bool = False,
    ):
        self.question = question
        self.name = name
        self.spec = question.tasks[name]
        self.scored = scored
        self.make = METHODS[methods]
        self.notes = notes
        self.pairs = pairs_of(scored.arms, question.reference)
        self.brief = brief
        never = {question.reference, *question.controls}
        candidates = tuple(arm for arm in scored.arms if arm not in never)
        self.choice = Choice(question.reference, candidates)

    @property
    def classic(self) -> bool:
        """Whether this is published practice, which knows no failure modes and no strata."""
        return self.make is Classic

    def grouped(self, panel: Panel) -> Panel:
        """Return scores with the groups that this set asks about."""
        return grouped(panel, self.spec, self.make.name, self.notes)

    def bound(
        self, panel: Panel, label: str, *, most: int | None = None, primary: str | None = None
    ) -> Methods:
        """Bind the set to scores; `most` resamples at first, where fewer do."""
        draws = self.question.resamples
        return self.make(
            panel,
            seed=self.question.seed,
            label=label,
            resamples=draws if most is None else min(draws, most),
            alpha=self.question.alpha,
            primary=primary,
        )

    def overall(self) -> Methods:
        """Bind the set to the scores of all items."""
        primary = self.scored.task.endpoints[0].name
        return self.bound(self.grouped(self.scored.panel), self.name, primary=primary)

    def measure(
        self, methods: Methods, endpoint: str, label: str, **changes: Any
    ) -> list[ContrastResult]:
        """Estimate and test every pair of arms, at the margin of the endpoint where it has one."""
        margin = self.spec.margin_of(endpoint)
        asked = {"margin": margin, "brief": self.brief, **changes}
        return measure(
            methods, self.pairs, endpoint=endpoint, label=label, notes=self.notes, **asked
        )

    def drafts(
        self,
        found: Sequence[ContrastResult],
        label: str,
        *,
        bounds: Bounds | None = None,
        chosen_on: bool = False,
    ) -> list[Draft]:
        """Adjust what was measured on all items; arms are `chosen_on` primary endpoints."""
        choice = self.choice if chosen_on else None
        return draft(found, family=label, bounds=bounds, choice=choice)

    def strata(self, endpoint: str, *, leaving_out: Collection[str] = ()) -> dict[str, Stratum]:
        """Measure an endpoint within each value of the stratum's key; empty without one."""
        key = self.spec.stratify
        if key is None:
            return {}
        values = labels(self.scored.items, key)
        found = {}
        for value in sorted(set(values.tolist()) - set(leaving_out)):
            mask = values == value
            label = f"{self.name}.{endpoint}.{key}={value}"
            methods = self.bound(inside_stratum(self.scored.panel, mask, self.spec), label)
            found[value] = Stratum(
                mask, methods, self.measure(methods, endpoint, label, stratum=value)
            )
        return found

    def strata_drafts(self, strata: Mapping[str, Stratum], endpoint: str) -> dict[str, list[Draft]]:
        """Adjust what was measured within strata, by stratum.

        What a margin rules out is adjusted over all strata, in `calibrated`.
        """
        label = f"{self.name}.{endpoint}.{self.spec.stratify}"
        if self.classic:
            families = {f"{label}={value}": [value] for value in strata}
        else:
            # to name one stratum of many is to have looked at all of them
            families = {label: list(strata)}
        level = None if self.classic else self.question.alpha
        drafts: dict[str, list[Draft]] = {}
        for family, inside in families.items():
            together = [one for value in inside for one in strata[value].measured]
            found = iter(draft(together, family=family, adjust_margin=level))
            for value in inside:
                drafts[value] = [next(found) for _ in strata[value].measured]
        return drafts


def grouped(panel: Panel, spec: TaskQuestion, methods: str, notes: Notes) -> Panel:
    """Return the scores of all items with the groups that the set of methods asks about.

    `classic` resamples clusters and knows no strata. For `calibrated` a group is fixed or random: a
    key that the study names as both is taken as strata; of two keys clusters are kept, whose
    variance is never the smaller one. The notes say so. Items of equal content are clusters of
    `calibrated` alone.
    """
    if panel.clusters is None:
        return panel
    if methods == Classic.name:
        if not panel.by_content:
            return panel
        notes.add(EQUAL, "taken as independent, as published practice does")
        return dataclasses.replace(panel, clusters=None, by_content=False)
    cluster, stratum = EQUAL if panel.by_content else spec.cluster or "", spec.stratify
    if cluster == stratum:
        notes.add(
            cluster,
            "named as stratum and as cluster, and taken as strata. Results hold for exactly these "
            "groups, not for groups like these",
        )
        return dataclasses.replace(panel, clusters=None)
    if stratum is not None:
        notes.add(
            stratum,
            f"strata beside clusters ({cluster}). Contrasts of all items, and those within strata, "
            "are over clusters. Strata narrow no interval",
        )
    return dataclasses.replace(panel, strata=None)


def inside_stratum(panel: Panel, mask: NDArray[np.bool_], spec: TaskQuestion) -> Panel:
    """Return the scores of one stratum, over clusters where another key names them."""
    inside = panel.subset(mask)
    if not panel.by_content and (spec.cluster is None or spec.cluster == spec.stratify):
        return inside.without_groups()
    return dataclasses.replace(inside, strata=None)


# Enough to tell a p of .05 from one of .04; the cost is items times draws.
_FIRST_DRAWS = 2_000


def heterogeneity(
    panel: Panel,
    values: NDArray[np.str_],
    *,
    key: str,
    contrast: tuple[str, str, str],
    seed: int,
    resamples: int,
) -> documents.Heterogeneity:
    """Test the interaction of arm and stratum, and shrink each stratum's difference to their mean.

    Args:
        panel: scores of the arms.
        values: shape (items,), the stratum of each item.
        key: of the items' metadata, that these are of.
        contrast: reference, candidate, endpoint.
        seed: the study's.
        resamples: draws of the test; at most 2,000 are used, and 20,000 where p comes out small.

    Returns:
        The test, its p not adjusted yet. Over clusters it is one of its own, refused with a warning
        below five of them; and nothing is shrunken, which would take what clusters share for what
        strata are.
    """
    reference, candidate, endpoint = contrast
    mask, arms, e = panel.locate((reference, candidate), endpoint)
    top, bottom = panel.scores(mask, arms, e)
    if panel.clusters is not None:
        p, method = _over_clusters(top, bottom, values[mask], panel.clusters[mask])
        shrunken = dict.fromkeys(sorted(set(values[mask].tolist())))
    else:
        label = hashlib.sha256("\0".join(contrast).encode()).digest()[:8]
        test = interaction(
            top,
            bottom,
            values[mask],
            rng=np.random.default_rng([seed, *label]),
            resamples=min(resamples, _FIRST_DRAWS),
            most=MOST_DRAWS,
        )
        p, method = test.p_value, test.method
        shrunken = _shrunken(top, bottom, values[mask])
    return documents.Heterogeneity(
        key=key,
        reference=reference,
        candidate=candidate,
        p_value=number(p),
        method=method,
        n=int(mask.sum()),
        shrunken=shrunken,
        p_adjusted=None,
        p_alarm=None,
    )


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
            f"{exc}. Whether strata differ is not tested", StatisticsWarning, stacklevel=3
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
