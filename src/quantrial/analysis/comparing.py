"""All pairs of arms of one task, compared by one set of methods."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.analysis.calibrated import Calibrated
from quantrial.analysis.classic import Classic
from quantrial.analysis.contrasts import Choice, Measured, Written, judge, measure, write
from quantrial.analysis.groups import overall, within
from quantrial.analysis.outcomes import Panel, TaskOutcomes, labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quantrial.analysis.bounds import Bounds
    from quantrial.analysis.methods import Methods
    from quantrial.analysis.remarks import Remarks
    from quantrial.study import Study

METHODS: dict[str, type[Calibrated] | type[Classic]] = {
    Calibrated.name: Calibrated,
    Classic.name: Classic,
}


def pairs_of(arms: Sequence[str], reference: str) -> list[tuple[str, str]]:
    """List all pairs (reference, candidate): the study's reference first, then its order."""
    ordered = [reference, *(arm for arm in arms if arm != reference)]
    return list(itertools.combinations(ordered, 2))


@dataclass(frozen=True, slots=True)
class Stratum:
    """One stratum: which items are its own, their scores, and what was measured on them."""

    mask: NDArray[np.bool_]
    methods: Methods
    measured: list[Measured]


class Comparing:
    """The contrasts of one task by one set of methods, of all items and within strata.

    `brief` asks for verdicts and their p-values alone: no interval, no items that would settle it.
    """

    def __init__(
        self,
        study: Study,
        name: str,
        scored: TaskOutcomes,
        methods: str,
        said: Remarks,
        *,
        brief: bool = False,
    ):
        self.study = study
        self.name = name
        self.spec = study.tasks[name]
        self.scored = scored
        self.make = METHODS[methods]
        self.remarks = said
        self.pairs = pairs_of(scored.arms, study.reference)
        self.brief = brief
        candidates = [
            arm for arm in scored.arms if arm != study.reference and study.arms[arm].control is None
        ]
        self.choice = Choice(study.reference, tuple(candidates))

    @property
    def classic(self) -> bool:
        """Whether this is published practice, which knows no failure modes and no strata."""
        return self.make is Classic

    def grouped(self, panel: Panel) -> Panel:
        """Return scores with the groups that this set asks about."""
        return overall(panel, self.spec, self.make.name, self.remarks)

    def bound(
        self, panel: Panel, label: str, *, most: int | None = None, primary: str | None = None
    ) -> Methods:
        """Bind the set to scores; `most` resamples at first, where fewer do."""
        draws = self.study.analysis.resamples
        return self.make(
            panel,
            seed=self.study.seed,
            label=label,
            resamples=draws if most is None else min(draws, most),
            alpha=self.study.alpha,
            primary=primary,
        )

    def overall(self) -> Methods:
        """Bind the set to the scores of all items."""
        primary = self.scored.task.endpoints[0].name
        return self.bound(self.grouped(self.scored.panel), self.name, primary=primary)

    def measure(
        self, methods: Methods, endpoint: str, label: str, **changes: Any
    ) -> list[Measured]:
        """Estimate and test every pair of arms, at the margin of the endpoint."""
        margin = self.study.margin_of(self.name, endpoint)
        asked = {"margin": margin, "brief": self.brief, **changes}
        return measure(
            methods, self.pairs, endpoint=endpoint, label=label, remarks=self.remarks, **asked
        )

    def written(
        self,
        found: Sequence[Measured],
        label: str,
        *,
        bounds: Bounds | None = None,
        chosen_on: bool = False,
    ) -> list[Written]:
        """Write what was measured of all items on one endpoint; no verdicts yet.

        Arms are `chosen_on` primary ones.
        """
        choice = self.choice if chosen_on else None
        return write(found, family=label, bounds=bounds, choice=choice)

    def judged(self, written: Sequence[Written]) -> list[Written]:
        """Give contrasts that are a family of their own (a primary endpoint) their verdicts."""
        for each in written:
            judge(
                each,
                each.contrast["p_adjusted"],
                family=len(written),
                alpha=self.study.alpha,
                plan=not self.brief,
            )
        return list(written)

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
            methods = self.bound(within(self.scored.panel, mask, self.spec), label)
            found[value] = Stratum(
                mask, methods, self.measure(methods, endpoint, label, stratum=value)
            )
        return found

    def written_strata(
        self, strata: Mapping[str, Stratum], endpoint: str
    ) -> dict[str, list[Written]]:
        """Write what was measured within strata, by stratum; no verdicts yet.

        What a margin rules out is adjusted over all strata, in `calibrated`.
        """
        label = f"{self.name}.{endpoint}.{self.spec.stratify}"
        if self.classic:
            families = {f"{label}={value}": [value] for value in strata}
        else:
            # to name one stratum of many is to have looked at all of them
            families = {label: list(strata)}
        written: dict[str, list[Written]] = {}
        for family, inside in families.items():
            together = [one for value in inside for one in strata[value].measured]
            level = None if self.classic else self.study.alpha
            found = iter(write(together, family=family, adjust_margin=level))
            for value in inside:
                written[value] = [next(found) for _ in strata[value].measured]
        return written
