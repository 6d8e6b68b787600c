"""The one family of a report: all that can raise an alarm and is no primary endpoint.

Secondary endpoints, failure modes, shifts of letters, whether strata differ and which, the
reference against itself, speeds: over all candidates and tasks, adjusted together. Who looks
through a report for something to worry about has looked at all of it.

    asked of each part ──▶ close: adjusted together ──▶ each part is told its p, and writes it
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.analysis.contrasts import judge
from quantrial.findings import FAMILY
from quantrial.stats import FamilyUnit, holm_in_units

if TYPE_CHECKING:
    from quantrial.analysis.contrasts import Written

METHOD = "holm-in-units"
_NOTHING_CHANGED = 0.0  # spread of the differences within items


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of the family.

    `written` gets `p_alarm`, and the same in `p_adjusted` where it has that key; `settle` is told
    it too, and among how many questions the first step of the adjustment divides alpha. A question
    that does not count (nothing changed, so that no data of this size could have answered it) keeps
    its own p.
    """

    kind: str
    id: str
    written: dict[str, Any]
    p_value: float
    counts: bool
    settle: Callable[[float, int], None] | None = None

    def tell(self, p: float, family: int) -> None:
        """Write the adjusted p, and what follows from it."""
        self.written["p_alarm"] = p
        if self.settle is not None:
            self.settle(p, family)
        elif "p_adjusted" in self.written:
            self.written["p_adjusted"] = p


@dataclass(slots=True)
class _Unit:
    """Questions that share one part of alpha; those after a gate are asked once it has opened."""

    gate: Asked | None
    members: list[Asked]

    def counted(self, instead: Mapping[str, float]) -> list[tuple[Asked, float]]:
        """Return the questions that count with the p of each, some of them replaced."""
        known = [(one, instead.get(one.id, one.p_value)) for one in self.members]
        return [(one, p) for one, p in known if one.counts and not math.isnan(p)]


class AlarmFamily:
    """Collects the questions of a report, adjusts them together, and tells each its p."""

    def __init__(self, alpha: float, reference: str):
        self.alpha = alpha
        self._reference = reference
        self._units: dict[str, _Unit] = {}

    def ask(
        self,
        kind: str,
        identity: str,
        written: dict[str, Any],
        p_value: float | None,
        *,
        settle: Callable[[float, int], None] | None = None,
        unit: str | None = None,
        counts: bool = True,
    ) -> None:
        """Add a question.

        Args:
            kind: what is asked about, in words.
            identity: of this question; no other has the same.
            written: the entry of the summary, which gets `p_alarm`.
            p_value: not adjusted; None or NaN where it could not be tested.
            settle: see `Asked`.
            unit: the questions it shares its part of alpha with; by default none.
            counts: whether the data could have answered it.
        """
        p = math.nan if p_value is None else p_value
        place = self._units.setdefault(unit or identity, _Unit(None, []))
        place.members.append(Asked(kind, identity, written, p, counts, settle))

    def gate(
        self,
        kind: str,
        identity: str,
        written: dict[str, Any],
        p_value: float | None,
        *,
        unit: str,
    ) -> None:
        """Add the question that comes first in its unit; the others of it are asked after."""
        p = math.nan if p_value is None else p_value
        place = self._units.setdefault(unit, _Unit(None, []))
        place.gate = Asked(kind, identity, written, p, True)

    def ask_contrasts(
        self,
        kind: str,
        written: Iterable[Written],
        *,
        task: str,
        published: bool,
        directed: bool = True,
        key: str | None = None,
    ) -> None:
        """Add contrasts, whose verdicts are written once the family is adjusted.

        Those of two candidates, which no sentence rests on, share one part of alpha a task.

        Args:
            kind: as in `ask`.
            written: without verdicts yet.
            task: of which.
            published: whether `p_adjusted` stays as published practice adjusts it.
            directed: whether one side is better; else `shown` stands in place of a verdict.
            key: of the strata that they are within; those of one candidate are one unit.
        """
        for each in written:
            one, unit = each.measured.one, None
            if one.reference != self._reference:
                unit = f"{task}.between candidates"
            elif key is not None:
                unit = unit_of_strata(task, key, one.candidate, one.reference)
            self.ask(
                kind,
                each.contrast["id"],
                each.contrast,
                each.measured.one.p_value,
                settle=self._judge(each, published=published, directed=directed),
                unit=unit,
                counts=each.measured.one.sd != _NOTHING_CHANGED,
            )

    def _judge(
        self, each: Written, *, published: bool, directed: bool
    ) -> Callable[[float, int], None]:
        def settle(p: float, family: int) -> None:
            if not published:
                each.contrast.update(p_adjusted=p, family=FAMILY)
            if directed:
                judge(each, p, family=family, alpha=self.alpha)
            else:
                longer = "longer" if each.contrast["estimate"] > 0 else "shorter"
                each.contrast["shown"] = longer if p < self.alpha else None

        return settle

    @property
    def size(self) -> int:
        """The number of units that a test could be made in: what alpha is divided by first."""
        return sum(
            bool(unit.counted({})) or _known(unit.gate) is not None for unit in self._units.values()
        )

    def close(self) -> dict[str, Any]:
        """Adjust all questions together, tell each its p, and describe the family.

        Returns:
            `method`; `alpha`; `size`, the number of units; `questions`, how many they hold;
            `findings`: `kind`, `id` and `p_alarm` of what is shown, the surest first.
        """
        adjusted, size = self._adjusted({}), self.size
        shown, questions = [], 0
        for unit in self._units.values():
            counted = unit.counted({})
            questions += len(counted) + (_known(unit.gate) is not None)
            for one in (*([unit.gate] if unit.gate else []), *unit.members):
                p = adjusted[one.id]
                inside = 1 if one is unit.gate else max(1, len(counted))
                one.tell(p, max(1, size) * inside)
                if p < self.alpha:
                    shown.append({"kind": one.kind, "id": one.id, "p_alarm": p})
        return {
            "method": METHOD,
            "alpha": self.alpha,
            "size": size,
            "questions": questions,
            "findings": sorted(shown, key=lambda one: one["p_alarm"]),
        }

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
