"""Failure modes tested as contrasts, in the report's one family."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from quantrial import documents
from quantrial.analysis.failure_counts import LENGTH, count_panels, length_panel
from quantrial.analysis.failure_modes import failure_panels

if TYPE_CHECKING:
    from quantrial.analysis.alarms import AlarmFamily, Asked
    from quantrial.analysis.bounds import Bounds
    from quantrial.analysis.comparison import TaskComparison
    from quantrial.analysis.contrasts import Draft

_KIND = "failure mode"
_LENGTH_DRAWS = 2_000  # at first: lengths take many values, and each draw deals with all of them


@dataclass(frozen=True, slots=True)
class FailureDrafts:
    """The contrasts of one failure mode and what was asked of each; counted in a `unit`, or None.

    `declared`: the study named it beforehand; `directed`: one side of it is better.
    """

    name: str
    drafts: list[Draft]
    asked: list[Asked]
    declared: bool
    unit: str | None = None

    @property
    def directed(self) -> bool:
        """Whether one side is better; else what is shown stands in place of a verdict."""
        return self.name != LENGTH

    def written(
        self, contrast: documents.Contrast, asked: Asked, alpha: float
    ) -> documents.FailureContrast:
        """Say of a contrast which failure mode it is of."""
        shown = None
        if not self.directed and asked.p_alarm < alpha:
            shown = "longer" if (contrast.estimate or 0.0) > 0 else "shorter"
        return documents.FailureContrast(
            **msgspec.structs.asdict(contrast),
            endpoint=self.name,
            declared=self.declared,
            unit=self.unit,
            shown=shown,
        )


def failure_contrasts(
    compared: TaskComparison, bounds: Bounds, family: AlarmFamily
) -> Iterator[FailureDrafts]:
    """Test the failure modes that are no endpoint of the task.

    Args:
        compared: the task, by a set of methods that knows failure modes.
        bounds: of the task's items; panels of some are shares, whose bound needs no gold.
        family: is asked of each.
    """
    declared = compared.study.analysis.declared_failure_modes
    for panel in map(compared.grouped, failure_panels(compared.scored)):
        name = panel.endpoints[0].name
        label = f"{compared.name}.{name}"
        measured = compared.measure(compared.bound(panel, label), name, label)
        drafts = compared.drafts(measured, label, bounds=bounds)
        asked = family.ask_contrasts(_KIND, drafts, task=compared.name)
        yield FailureDrafts(name, drafts, asked, name in declared)
    # what is counted: for a difference only, in its own unit, with no margin
    counts = [
        (panel, unit, compared.study.analysis.resamples)
        for panel, unit in count_panels(compared.scored)
    ]
    length = length_panel(compared.scored)
    if length is not None:
        panel, unit = length
        counts.append((panel, f"{unit} an answer", _LENGTH_DRAWS))
    for panel, unit, draws in counts:
        name = panel.endpoints[0].name
        label = f"{compared.name}.{name}"
        methods = compared.bound(compared.grouped(panel), label, most=draws)
        drafts = compared.drafts(compared.measure(methods, name, label, margin=None), label)
        asked = family.ask_contrasts(_KIND, drafts, task=compared.name)
        yield FailureDrafts(name, drafts, asked, name in declared, unit)
