"""The one family of a report: all that can raise an alarm and is no primary endpoint.

Secondary endpoints, failure modes, shifts of letters, whether strata differ and which, the
reference against itself, speeds: over all candidates and tasks, adjusted together. Who looks
through a report for something to worry about has looked at all of it.

    asked of each part ──▶ close: adjusted together ──▶ each question knows its p, and is written
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from quantrial import documents
from quantrial.documents.codec import number
from quantrial.stats import FamilyUnit, holm_in_units

if TYPE_CHECKING:
    from quantrial.analysis.contrasts import Draft

METHOD = "holm-in-units"
_Part = TypeVar("_Part", documents.Heterogeneity, documents.LetterShift)
_NOTHING_CHANGED = 0.0  # spread of the differences within items


@dataclass(slots=True)
class Asked:
    """One question of the family.

    A question that does not count (nothing changed, so that no data of this size could have
    answered it) keeps its own p. Once the family is closed `p_alarm` is the adjusted p, and
    `family` among how many questions the first step of the adjustment divides alpha.
    """

    kind: str
    id: str
    p_value: float
    counts: bool = True
    p_alarm: float = math.nan
    family: int = 1


@dataclass(slots=True)
class _Unit:
    """Questions that share one part of alpha; those after a gate are asked once it has opened."""

    gate: Asked | None
    members: list[Asked]

    def counted(self, instead: Mapping[str, float]) -> list[tuple[Asked, float]]:
        """Return the questions that count with the p of each, some of them replaced."""
        known = [(one, instead.get(one.id, one.p_value)) for one in self.members]
        return [(one, p) for one, p in known if one.counts and not math.isnan(p)]


def adjusted(part: _Part, asked: Asked) -> _Part:
    """Return a part of the summary with the p of its question, once the family is closed."""
    p = number(asked.p_alarm)
    return msgspec.structs.replace(part, p_adjusted=p, p_alarm=p)


class AlarmFamily:
    """Collects the questions of a report and adjusts them together."""

    def __init__(self, alpha: float, reference: str):
        self.alpha = alpha
        self._reference = reference
        self._units: dict[str, _Unit] = {}

    def ask(
        self,
        kind: str,
        identity: str,
        p_value: float | None,
        *,
        unit: str | None = None,
        counts: bool = True,
    ) -> Asked:
        """Add a question, and return what will know its adjusted p.

        Args:
            kind: what is asked about, in words.
            identity: of this question; no other has the same.
            p_value: not adjusted; None or NaN where it could not be tested.
            unit: the questions it shares its part of alpha with; by default none.
            counts: whether the data could have answered it.
        """
        asked = Asked(kind, identity, math.nan if p_value is None else p_value, counts)
        self._units.setdefault(unit or identity, _Unit(None, [])).members.append(asked)
        return asked

    def gate(self, kind: str, identity: str, p_value: float | None, *, unit: str) -> Asked:
        """Add the question that comes first in its unit; the others of it are asked after."""
        asked = Asked(kind, identity, math.nan if p_value is None else p_value)
        self._units.setdefault(unit, _Unit(None, [])).gate = asked
        return asked

    def ask_contrasts(
        self, kind: str, drafts: Iterable[Draft], *, task: str, key: str | None = None
    ) -> list[Asked]:
        """Add contrasts; those of two candidates share one part of alpha a task.

        Args:
            kind: as in `ask`.
            drafts: the contrasts.
            task: of which; no sentence rests on its contrasts of two candidates.
            key: of the strata that they are within; those of one candidate are one unit.
        """
        found = []
        for each in drafts:
            one, unit = each.result.one, None
            if one.reference != self._reference:
                unit = f"{task}.between candidates"
            elif key is not None:
                unit = unit_of_strata(task, key, one.candidate, one.reference)
            counts = one.sd != _NOTHING_CHANGED
            found.append(self.ask(kind, each.id, one.p_value, unit=unit, counts=counts))
        return found

    @property
    def size(self) -> int:
        """The number of units that a test could be made in: what alpha is divided by first."""
        return sum(
            bool(unit.counted({})) or _known(unit.gate) is not None for unit in self._units.values()
        )

    def close(self) -> documents.Alarms:
        """Adjust all questions together, let each know its p, and describe the family.

        What is shown is listed, the surest first.
        """
        adjusted, size = self._adjusted({}), self.size
        shown, questions = [], 0
        for unit in self._units.values():
            counted = unit.counted({})
            questions += len(counted) + (_known(unit.gate) is not None)
            for one in (*([unit.gate] if unit.gate else []), *unit.members):
                inside = 1 if one is unit.gate else max(1, len(counted))
                one.p_alarm, one.family = adjusted[one.id], max(1, size) * inside
                if one.p_alarm < self.alpha:
                    shown.append(documents.Alarm(kind=one.kind, id=one.id, p_alarm=one.p_alarm))
        return documents.Alarms(
            method=METHOD,
            alpha=self.alpha,
            size=size,
            questions=questions,
            findings=tuple(sorted(shown, key=lambda one: one.p_alarm)),
        )

    def instead(self, p_values: Mapping[str, float]) -> dict[str, float]:
        """Return the adjusted p by id, were these p-values in place of those that were asked."""
        return self._adjusted(p_values)

    def _adjusted(self, instead: Mapping[str, float]) -> dict[str, float]:
        units, found = list(self._units.values()), dict[str, float]()
        counted = [unit.counted(instead) for unit in units]
        family = [
            FamilyUnit(tuple(p for _, p in members), _known(unit.gate))
            for unit, members in zip(units, counted, strict=True)
        ]
        for unit, members, one in zip(units, counted, holm_in_units(family), strict=True):
            found |= {each.id: each.p_value for each in unit.members}
            ids = [each.id for each, _ in members]
            found |= dict(zip(ids, one.p_values.tolist(), strict=True))
            if unit.gate is not None:
                found[unit.gate.id] = one.gate
        return found


def unit_of_strata(task: str, key: str, candidate: str, reference: str) -> str:
    """Name the unit of a candidate's strata, and of the test that comes before them."""
    return f"{task}.{key}.{candidate}.vs.{reference}"


def _known(gate: Asked | None) -> float | None:
    return None if gate is None or math.isnan(gate.p_value) else gate.p_value
