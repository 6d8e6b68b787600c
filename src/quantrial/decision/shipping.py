"""What the sentence "Ship X" rests on, once one of several candidates is chosen: its own p."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quantrial.decision.evidence import Evidence, MarginTest
from quantrial.decision.margin_tests import p_of_less
from quantrial.decision.pick import candidates, choose, tasks_that_matter, tolerance
from quantrial.documents.decision import Constraints, Finding, Picker, Ship
from quantrial.words import equals, limit_words, p_value_in_sentence, plural

# what an arm breaks of which a loss is not ruled out, by a test of its own
LOSSES = frozenset({"quality", "tolerate", "missing"})


@dataclass(frozen=True, slots=True)
class ShipTest:
    """How surely an arm loses less than is tolerated, on all tasks that matter.

    `p` is its own: the largest of the tasks', with missing answers held against it. `p_adjusted` is
    that of the sentence, by Holm over the `among` candidates of which one is chosen. None where it
    was not tested.
    """

    arm: str
    p: float | None
    p_adjusted: float | None
    among: int


@dataclass(frozen=True, slots=True)
class Shipping:
    """What is picked under some settings, and how surely each candidate loses no more than asked.

    `alone` are the candidates that pass by a test of their own and not as one of several; `open_`
    those of which a loss is not ruled out either way.
    """

    pick: str | None
    alone: frozenset[str]
    open_: frozenset[str]
    shown: Mapping[str, ShipTest]

    @classmethod
    def of(cls, evidence: Evidence, table: Picker, settings: Constraints) -> Shipping:
        """Ask the rules of the pick, and hold each candidate against the losses of the settings."""
        answer = choose(table, settings)
        broken = {arm: {one.constraint for one in breaks} for arm, breaks in answer.breaks.items()}
        return cls(
            pick=answer.pick if tasks_that_matter(table, settings) else evidence.reference,
            alone=frozenset(arm for arm, names in broken.items() if "choice" in names),
            open_=frozenset(arm for arm, names in broken.items() if names & LOSSES),
            shown=shown(evidence, table, settings),
        )

    def documents(self, evidence: Evidence) -> tuple[Ship, ...]:
        """Write what is shown of each candidate, for `decision.ship`."""
        return tuple(
            Ship(
                arm=one.arm,
                p_value=one.p,
                p_adjusted=one.p_adjusted,
                among=one.among,
                shown=one.arm not in self.alone | self.open_,
                missing=sum(MarginTest.of(f).missing for f in evidence.primaries(one.arm)),
            )
            for one in self.shown.values()
        )


def shown(evidence: Evidence, table: Picker, settings: Constraints) -> dict[str, ShipTest]:
    """Say of each candidate how surely it loses less than these settings ask for."""
    arms = candidates(table)
    own = {arm: _own_p(evidence, table, settings, arm) for arm in arms}
    # one that was not tested counts among them, and is never shown
    known = {arm: 1.0 if p is None else p for arm, p in own.items()}
    adjusted, largest = dict[str, float](), 0.0
    for place, arm in enumerate(sorted(known, key=lambda arm: known[arm])):  # Holm
        largest = max(largest, min(1.0, known[arm] * (len(arms) - place)))
        adjusted[arm] = largest
    return {
        arm: ShipTest(arm, p, None if p is None else adjusted[arm], len(arms))
        for arm, p in own.items()
    }


def _own_p(evidence: Evidence, table: Picker, settings: Constraints, arm: str) -> float | None:
    found = []
    for task in tasks_that_matter(table, settings):
        finding = evidence.primary(task, arm)
        if finding is None:
            return None
        tolerated = tolerance(table, settings, task)
        p = p_at(evidence, finding, finding.margin if tolerated is None else tolerated)
        if p is None:
            return None
        found.append(p)
    return max(found, default=None)


def p_at(evidence: Evidence, finding: Finding, loss: float) -> float | None:
    """Return the p of "loses less than this", each missing answer held against the candidate.

    At the margin that of the test itself; else see `margin_tests`.
    """
    return (
        MarginTest.of(finding).p if loss == finding.margin else p_of_less(evidence, finding, loss)
    )


def in_words(one: ShipTest | None, *, about: bool = False) -> str:
    """Write the p of the sentence, to stand after its claim: `, p = .012 among 3 candidates`."""
    if one is None or one.p_adjusted is None:
        return ""
    p = p_value_in_sentence(one.p_adjusted)
    sign = "" if p.startswith("<") else "about " if about else "= "
    among = f" among {plural(one.among, 'candidate')}" if one.among > 1 else ""
    return f", p {sign}{p}{among}"


def not_among(one: ShipTest) -> str:
    """Say that an arm passes by a test of its own, and not once it is chosen among several."""
    return limit_words(
        "alone",
        p_alone=f" (p {equals(one.p)})",
        candidates=plural(one.among, "candidate"),
        p_chosen=f" (p {equals(one.p_adjusted)})",
    )
