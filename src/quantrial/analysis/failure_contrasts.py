"""Failure modes tested as contrasts, in the report's one family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantrial.analysis.failure_counts import LENGTH, count_panels, length_panel
from quantrial.analysis.failure_modes import failure_panels

if TYPE_CHECKING:
    from quantrial.analysis.alarms import AlarmFamily
    from quantrial.analysis.bounds import Bounds
    from quantrial.analysis.comparing import Comparing
    from quantrial.analysis.contrasts import Written

_KIND = "failure mode"
_LENGTH_DRAWS = 2_000  # at first: lengths take many values, and each draw deals with all of them


def failure_contrasts(
    compared: Comparing, bounds: Bounds, family: AlarmFamily
) -> list[list[Written]]:
    """Test the failure modes that are no endpoint of the task, one list of contrasts each.

    Args:
        compared: the task, by a set of methods that knows failure modes.
        bounds: of the task's items; panels of some are shares, whose bound needs no gold.
        family: is asked, and writes the verdicts.
    """
    found = []
    for panel in map(compared.grouped, failure_panels(compared.scored)):
        name = panel.endpoints[0].name
        label = f"{compared.name}.{name}"
        measured = compared.measure(compared.bound(panel, label), name, label)
        written = compared.written(measured, label, bounds=bounds)
        family.ask_contrasts(_KIND, written, task=compared.name, published=False)
        found.append(_named(compared, name, written))
    return found + _counts(compared, family)


def _counts(compared: Comparing, family: AlarmFamily) -> list[list[Written]]:
    """Test what is counted: for a difference only, in its own unit, with no margin."""
    length = length_panel(compared.scored)
    asked = [
        (panel, unit, compared.study.analysis.resamples)
        for panel, unit in count_panels(compared.scored)
    ]
    if length is not None:
        panel, unit = length
        asked.append((panel, f"{unit} an answer", _LENGTH_DRAWS))
    found = []
    for panel, unit, draws in asked:
        name = panel.endpoints[0].name
        label = f"{compared.name}.{name}"
        methods = compared.bound(compared.grouped(panel), label, most=draws)
        written = compared.written(compared.measure(methods, name, label, margin=None), label)
        family.ask_contrasts(
            _KIND, written, task=compared.name, published=False, directed=name != LENGTH
        )
        found.append(_named(compared, name, written, unit=unit))
    return found


def _named(compared: Comparing, name: str, written: list[Written], **more: Any) -> list[Written]:
    """Say of contrasts which failure mode they are of, in place: the family writes to them."""
    declared = name in compared.study.analysis.declared_failure_modes
    for each in written:
        each.contrast.update(endpoint=name, declared=declared, **more, equivalence=each.test)
    return written
