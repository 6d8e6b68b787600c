"""Contrasts: measured pair by pair, adjusted as a family, then judged and written once.

measure ──▶ draft: adjusted within a family ──▶ judge, once all p are known ──▶ write
"""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantrial import documents
from quantrial.analysis.methods import ContrastResult, also, settled_by, verdict
from quantrial.analysis.values import ends
from quantrial.documents.codec import number
from quantrial.documents.contrasts import FAMILY
from quantrial.errors import StatisticsWarning
from quantrial.stats import fixed_sequence, holm

if TYPE_CHECKING:
    from quantrial.analysis.bounds import Bounds
    from quantrial.analysis.methods import Contrast, Methods
    from quantrial.stats import EquivalenceResult, Interval


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice of an arm in place of the reference: one of these candidates."""

    reference: str
    candidates: tuple[str, ...]

    def among(self, one: Contrast) -> int:
        """Count the candidates, where this contrast is of one of them with the reference."""
        asked = one.reference == self.reference and one.candidate in self.candidates
        return len(self.candidates) if asked else 0


class Notes:
    """What statistics warned of, and where: one sentence a warning, with its places before it."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}
        self._strata: dict[str, tuple[str, list[str]]] = {}

    @contextmanager
    def at(self, place: str, *, stratum: str | None = None) -> Iterator[None]:
        """Catch the warnings of what is done inside, as notes on a place or a stratum."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", StatisticsWarning)
            yield
        for one in caught:
            if not issubclass(one.category, StatisticsWarning):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
            elif stratum is None:
                self.add(place, str(one.message))
            else:
                # many small strata repeat one sentence with other numbers: the first one stands
                kind = re.sub(r"\d+(\.\d+)?", "#", str(one.message))
                _, names = self._strata.setdefault(kind, (str(one.message), []))
                if stratum not in names:
                    names.append(stratum)

    def add(self, place: str, message: str) -> None:
        """Note something about a place."""
        places = self._places.setdefault(message, [])
        if place not in places:
            places.append(place)

    def sentences(self) -> list[str]:
        """Write the notes, those on strata last."""
        overall = [f"{'; '.join(places)}: {said}." for said, places in self._places.items()]
        strata = [
            f"within {', '.join(sorted(names))}: {said}"
            + (" (the first of these)." if len(names) > 1 else ".")
            for said, names in self._strata.values()
        ]
        return sorted(overall) + sorted(strata)


def measure(
    methods: Methods,
    pairs: Sequence[tuple[str, str]],
    *,
    endpoint: str,
    label: str,
    margin: float | None,
    notes: Notes,
    stratum: str | None = None,
    brief: bool = False,
) -> list[ContrastResult]:
    """Estimate and test every pair of arms that answered an item in common.

    Args:
        methods: bound to the scores.
        pairs: (reference, candidate).
        endpoint: on which.
        label: what ids begin with.
        margin: None where only a difference is asked about.
        notes: take what the statistics warn of.
        stratum: the one that the scores are of.
        brief: only what a verdict takes.
    """
    found = []
    for r, c in pairs:
        if not methods.panel.answered_by(r, c).any():
            continue
        with notes.at(f"{endpoint}, {c} vs {r}", stratum=stratum):
            one = methods.contrast(r, c, endpoint, brief=brief)
            test = None if margin is None else methods.equivalence(r, c, endpoint, margin)
        found.append(ContrastResult(f"{label}.{c}.vs.{r}", endpoint, methods, one, test))
    return found


@dataclass(frozen=True, slots=True)
class Draft:
    """A contrast with what is known of it before the report's one family is adjusted.

    `p_adjusted` is over its own `family`; `margins` counts the questions about a margin that its
    verdict was adjusted with, 1 where it follows its own p.
    """

    result: ContrastResult
    family: str
    p_adjusted: float
    equivalence: documents.Equivalence | None
    worst_case: documents.WorstCase | None = None
    lower_bounds: tuple[float | None, ...] | None = None
    margins: int = 1

    @property
    def id(self) -> str:
        """The contrast's id; no other has the same."""
        return self.result.identity

    def with_bound(self, worst_case: documents.WorstCase | None) -> Draft:
        """Return the contrast with what missing answers could make of it."""
        return dataclasses.replace(self, worst_case=worst_case)


def draft(
    found: Sequence[ContrastResult],
    *,
    family: str,
    bounds: Bounds | None = None,
    choice: Choice | None = None,
    adjust_margin: float | None = None,
) -> list[Draft]:
    """Adjust the contrasts of one family together, and their tests of equivalence.

    Differences are adjusted by Holm, and so is each question about the margin. For one contrast the
    two questions about the margin come in a fixed order, "non-inferior", then "equivalent", each at
    alpha and the second only where the first holds. What they claim follows the values not
    adjusted; with `adjust_margin`, a level (strata, where one of many is picked out), the adjusted
    ones. `bounds` hold missing answers against the candidate; of what a `choice` is made on they
    say which losses are ruled out.
    """
    tests = _equivalences(found, adjust_margin)
    if adjust_margin is not None:
        found = [_claiming(each, test) for each, test in zip(found, tests, strict=True)]
    margins = 1 if adjust_margin is None else max(1, sum(test is not None for test in tests))
    adjusted = holm([each.one.p_value for each in found]).tolist()
    drafts = []
    for each, test, p in zip(found, tests, adjusted, strict=True):
        worst, lower = None, None
        if bounds is not None:
            among = 0 if choice is None else choice.among(each.one)
            tested = bounds.tested(each, among=among)
            worst = tested.worst_case
            lower = tuple(map(number, tested.lower_bounds)) if among else None
        drafts.append(Draft(each, family, p, test, worst, lower, margins))
    return drafts


@dataclass(frozen=True, slots=True)
class Judgement:
    """A contrast's verdict, what holds beside it, and what would settle an open one."""

    verdict: documents.Verdict | None = None
    also: str | None = None
    items_needed: documents.ItemsNeeded | None = None
    settled_by: documents.SettledBy | None = None


def judge(each: Draft, p: float, *, family: int, alpha: float, plan: bool = True) -> Judgement:
    """Judge a contrast by its adjusted p.

    Args:
        each: the contrast.
        p: of a difference, adjusted over its family.
        family: the number of questions that share alpha, at whose first step a difference is
            planned.
        alpha: the level.
        plan: False where nobody asks what would settle it.
    """
    one, test = each.result.one, each.result.test
    said = verdict(one.estimate, p, test, alpha=alpha)
    beside = None if test is None else also(said, p, test, alpha=alpha)
    if not plan or said != "inconclusive":
        return Judgement(said, beside)
    margin = None if test is None else test.margin
    needed = each.result.methods.items_needed(
        one, each.result.endpoint, margin, family=family, margins=each.margins
    )
    least = settled_by(needed, one.n, one.clusters)
    return Judgement(said, beside, documents.ItemsNeeded(**needed), least)


def write(
    each: Draft,
    judgement: Judgement,
    *,
    p_adjusted: float,
    family: str = FAMILY,
    p_alarm: float | None = None,
    simultaneous: documents.Simultaneous | None = None,
) -> documents.Contrast:
    """Write a contrast, once everything about it is known."""
    one, measure = each.result.one, each.result.measure
    written = documents.Contrast(
        id=each.id,
        reference=one.reference,
        candidate=one.candidate,
        estimate=number(one.estimate),
        ci=ends(one.interval),
        confidence=one.interval.confidence,
        ci_method=one.interval.method,
        p_value=number(one.p_value),
        p_method=one.p_method,
        p_adjusted=number(p_adjusted),
        family=family,
        n=one.n,
        sd_paired=number(one.sd),
        verdict=judgement.verdict,
        also=judgement.also,
        worst_case=each.worst_case,
        items_needed=judgement.items_needed,
        settled_by=judgement.settled_by,
        lower_bounds=each.lower_bounds,
        equivalence=each.equivalence,
        p_alarm=number(p_alarm),
        simultaneous=simultaneous,
        unit=measure.unit,
        label=measure.label,
        against=measure.against,
    )
    return written.turned(direction="lower") if measure.direction == "lower" else written


def _claiming(each: ContrastResult, test: documents.Equivalence | None) -> ContrastResult:
    """Let what is measured claim what its test, by the adjusted p, does."""
    if each.test is None or test is None:
        return each
    claims = dataclasses.replace(
        each.test, non_inferior=test.non_inferior, equivalent=test.equivalent
    )
    return dataclasses.replace(each, test=claims)


def _equivalences(
    found: Sequence[ContrastResult], level: float | None
) -> list[documents.Equivalence | None]:
    """Adjust the tests at the margin; None for a contrast without one."""
    tests = [each.test for each in found if each.test is not None]
    # non-inferior first, then equivalent: the second p is never below the first
    ordered = [fixed_sequence([test.p_lower, test.p_value]).tolist() for test in tests]
    no_loss, equal = (holm([p[i] for p in ordered]).tolist() for i in (0, 1))
    found_p = iter(zip(ordered, no_loss, equal, strict=True))
    return [
        None if each.test is None else _equivalence(each, each.test, next(found_p), level)
        for each in found
    ]


def _equivalence(
    each: ContrastResult,
    test: EquivalenceResult,
    p_values: tuple[Sequence[float], float, float],
    level: float | None,
) -> documents.Equivalence:
    p, p_non_inferior, p_equivalent = p_values
    no_loss, equal = test.non_inferior, test.equivalent
    if level is not None:
        no_loss = p_non_inferior < level  # NaN: no
        equal = no_loss and p_equivalent < level
    return documents.Equivalence(
        id=f"{each.identity}.equivalence",
        reference=each.one.reference,
        candidate=each.one.candidate,
        margin=test.margin,
        estimate=number(test.estimate),
        ci=ends(test.interval),
        confidence=test.interval.confidence,
        p_value=number(p[1]),
        p_adjusted=number(p_equivalent),
        p_non_inferior=number(p[0]),
        p_non_inferior_adjusted=number(p_non_inferior),
        method=test.method,
        equivalent=bool(equal),
        non_inferior=bool(no_loss),
        approximate=test.approximate,
    )


def simultaneous_intervals(
    drafts: Sequence[Draft], adjusted: Sequence[float], *, family: int, alpha: float
) -> tuple[list[documents.Simultaneous | None], list[str]]:
    """Give contrasts of one endpoint the intervals that match the decisions of their family.

    Args:
        drafts: the contrasts.
        adjusted: their p of a difference, adjusted over the family.
        family: the number of questions that share alpha.
        alpha: the level.

    Returns:
        One interval a contrast, None where the methods know none; and what deserves a note: where p
        and interval come from two constructions and disagree about 0.
    """
    if not drafts:
        return [], []
    first = drafts[0].result
    ones = [each.result.one for each in drafts]
    intervals = first.methods.simultaneous(ones, first.endpoint, adjusted=adjusted, family=family)
    if intervals is None:
        return [None] * len(ones), []
    said = []
    for one, interval, p in zip(ones, intervals, adjusted, strict=True):
        if math.isnan(interval.low):
            continue
        pair = f"{one.candidate} vs {one.reference}"
        for name, own, by, name_of_p in (
            ("the interval", one.interval, one.p_value, "p (not adjusted)"),
            ("the simultaneous interval", interval, p, "the adjusted p"),
        ):
            excludes = own.low > 0.0 or own.high < 0.0
            if excludes != (by < alpha):
                said.append(
                    f"{pair}: {name} {'leaves out' if excludes else 'holds'} 0 and {name_of_p} "
                    "says otherwise. They come from two constructions, and the verdict follows p"
                )
    return [_simultaneous(one) for one in intervals], said


def _simultaneous(interval: Interval) -> documents.Simultaneous:
    return documents.Simultaneous(ci=ends(interval), confidence=number(interval.confidence))
