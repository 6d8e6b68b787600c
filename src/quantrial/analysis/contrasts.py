"""Contrasts as the summary holds them: measured pair by pair, adjusted and judged as a family."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.analysis.methods import also, settled_by, verdict
from quantrial.stats import fixed_sequence, holm

if TYPE_CHECKING:
    from quantrial.analysis.bounds import Bounds
    from quantrial.analysis.methods import Contrast, Methods
    from quantrial.analysis.remarks import Remarks
    from quantrial.stats import EquivalenceResult, Interval

Documents = tuple[list[dict[str, Any]], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Measured:
    """One contrast with its tests, not adjusted yet; `test` is None where no margin makes sense."""

    identity: str
    endpoint: str
    methods: Methods
    one: Contrast
    test: EquivalenceResult | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice of an arm in place of the reference: one of these candidates."""

    reference: str
    candidates: tuple[str, ...]

    def among(self, one: Contrast) -> int:
        """Count the candidates, where this contrast is of one of them with the reference."""
        asked = one.reference == self.reference and one.candidate in self.candidates
        return len(self.candidates) if asked else 0


def measure(
    methods: Methods,
    pairs: Sequence[tuple[str, str]],
    *,
    endpoint: str,
    label: str,
    margin: float | None,
    remarks: Remarks,
    stratum: str | None = None,
    brief: bool = False,
) -> list[Measured]:
    """Estimate and test every pair of arms that answered an item in common.

    Args:
        methods: bound to the scores.
        pairs: (reference, candidate).
        endpoint: on which.
        label: what ids begin with.
        margin: None where only a difference is asked about.
        remarks: told what the statistics warn of.
        stratum: the one that the scores are of.
        brief: only what a verdict takes.
    """
    found = []
    for r, c in pairs:
        if not methods.panel.answered_by(r, c).any():
            continue
        with remarks.at(f"{endpoint}, {c} vs {r}", stratum=stratum):
            one = methods.contrast(r, c, endpoint, brief=brief)
            test = None if margin is None else methods.equivalence(r, c, endpoint, margin)
        found.append(Measured(f"{label}.{c}.vs.{r}", endpoint, methods, one, test))
    return found


@dataclass(frozen=True, slots=True)
class Written:
    """A contrast as the summary holds it, beside what it was measured by.

    `test` is its test of equivalence, None where no margin makes sense; `margins` counts the
    questions about a margin that its verdict was adjusted with, 1 where it follows its own p.
    """

    measured: Measured
    contrast: dict[str, Any]
    test: dict[str, Any] | None
    margins: int = 1


def documents(written: Sequence[Written]) -> Documents:
    """Return the contrasts and the tests of equivalence, each in a list of its own."""
    tests = [each.test for each in written if each.test is not None]
    return [each.contrast for each in written], tests


def write(
    found: Sequence[Measured],
    *,
    family: str,
    bounds: Bounds | None = None,
    choice: Choice | None = None,
    adjust_margin: float | None = None,
) -> list[Written]:
    """Write the contrasts of one family, adjusted together, and their tests of equivalence.

    Differences are adjusted by Holm, and so is each question about the margin. For one contrast the
    two questions about the margin come in a fixed order, "non-inferior", then "equivalent", each at
    alpha and the second only where the first holds. What they claim follows the values not
    adjusted; with `adjust_margin`, a level (strata, where one of many is picked out), the adjusted
    ones. `bounds` hold missing answers against the candidate; of what a `choice` is made on they
    say which losses are ruled out. No verdict yet: that is `judge`'s.
    """
    tests = iter(_equivalences([e for e in found if e.test is not None]))
    beside = [None if each.test is None else next(tests) for each in found]
    if adjust_margin is not None:
        found = [_adjusted(*both, adjust_margin) for both in zip(found, beside, strict=True)]
    margins = 1 if adjust_margin is None else sum(test is not None for test in beside)
    adjusted = holm([each.one.p_value for each in found]).tolist()
    written = [
        Written(each, _contrast(each, p, family), test, max(margins, 1))
        for each, test, p in zip(found, beside, adjusted, strict=True)
    ]
    if bounds is not None:
        for one in written:
            among = 0 if choice is None else choice.among(one.measured.one)
            tested = bounds.tested(one.measured, among=among)
            one.contrast["worst_case"] = tested.worst_case
            if among:
                one.contrast["lower_bounds"] = tested.lower_bounds
    return written


def judge(each: Written, p: float, *, family: int, alpha: float, plan: bool = True) -> None:
    """Write a contrast's verdict by its adjusted p, and what would settle an open one.

    Args:
        each: the contrast.
        p: of a difference, adjusted over its family.
        family: the number of questions that share alpha, at whose first step a difference is
            planned.
        alpha: the level.
        plan: False where nobody asks what would settle it.
    """
    one, test = each.measured.one, each.measured.test
    said = verdict(one.estimate, p, test, alpha=alpha)
    needed = None
    if plan and said == "inconclusive":
        margin = None if test is None else test.margin
        needed = each.measured.methods.items_needed(
            one, each.measured.endpoint, margin, family=family, margins=each.margins
        )
    contrast = each.contrast
    contrast |= {
        "verdict": said,
        "also": None if test is None else also(said, p, test, alpha=alpha),
        "items_needed": needed,
        "settled_by": None if needed is None else settled_by(needed, one.n, one.clusters),
    }


def _adjusted(each: Measured, test: dict[str, Any] | None, alpha: float) -> Measured:
    """Let what a test claims follow its adjusted p, in what is measured and as written."""
    if each.test is None or test is None:
        return each
    test["non_inferior"] = bool(test["p_non_inferior_adjusted"] < alpha)  # NaN: no
    test["equivalent"] = bool(test["non_inferior"] and test["p_adjusted"] < alpha)
    claimed = {name: test[name] for name in ("non_inferior", "equivalent")}
    return dataclasses.replace(each, test=dataclasses.replace(each.test, **claimed))


def _contrast(each: Measured, p: float, family: str) -> dict[str, Any]:
    one = each.one
    return {
        "id": each.identity,
        "reference": one.reference,
        "candidate": one.candidate,
        "estimate": one.estimate,
        "ci": [one.interval.low, one.interval.high],
        "confidence": one.interval.confidence,
        "ci_method": one.interval.method,
        "p_value": one.p_value,
        "p_method": one.p_method,
        "p_adjusted": p,
        "family": family,
        "n": one.n,
        "sd_paired": one.sd,
        "verdict": None,
        "also": None,
        "worst_case": None,
        "items_needed": None,
        "settled_by": None,
    }


def _equivalences(found: Sequence[Measured]) -> list[dict[str, Any]]:
    tests = [each.test for each in found if each.test is not None]
    # non-inferior first, then equivalent: the second p is never below the first
    ordered = [fixed_sequence([test.p_lower, test.p_value]).tolist() for test in tests]
    non_inferior, equivalent = (holm([p[i] for p in ordered]) for i in (0, 1))
    return [
        {
            "id": f"{each.identity}.equivalence",
            "reference": each.one.reference,
            "candidate": each.one.candidate,
            "margin": test.margin,
            "estimate": test.estimate,
            "ci": [test.interval.low, test.interval.high],
            "confidence": test.interval.confidence,
            "p_value": p[1],
            "p_adjusted": float(p_equivalent),
            "p_non_inferior": p[0],
            "p_non_inferior_adjusted": float(p_non_inferior),
            "method": test.method,
            "equivalent": test.equivalent,
            "non_inferior": test.non_inferior,
            "approximate": test.approximate,
        }
        for each, test, p, p_equivalent, p_non_inferior in zip(
            found, tests, ordered, equivalent, non_inferior, strict=True
        )
    ]


def add_simultaneous(
    written: Sequence[Written], adjusted: Sequence[float], *, family: int, alpha: float
) -> Iterator[str]:
    """Add to contrasts of one endpoint the intervals that match the decisions of their family.

    `simultaneous` has its `ci` and `confidence` (NaN where it was narrowed to leave 0 out); None
    where the methods know none. Yields what deserves a remark: where p and interval come from two
    constructions and disagree about 0.

    Args:
        written: the contrasts.
        adjusted: their p of a difference, adjusted over the family.
        family: the number of questions that share alpha.
        alpha: the level.
    """
    if not written:
        return
    first = written[0].measured
    ones = [each.measured.one for each in written]
    intervals = first.methods.simultaneous(ones, first.endpoint, adjusted=adjusted, family=family)
    known: Sequence[Interval | None] = [None] * len(ones) if intervals is None else intervals
    for each, interval, p in zip(written, known, adjusted, strict=True):
        one = each.contrast
        one["simultaneous"] = None if interval is None else _told(interval)
        if interval is None or math.isnan(interval.low):
            continue
        low, high = one["ci"]
        alone = low > 0.0 or high < 0.0
        if alone != (one["p_value"] < alpha):
            yield (
                f"{one['candidate']} vs {one['reference']}: the interval "
                f"{'leaves out' if alone else 'holds'} 0 and p (not adjusted) says otherwise; "
                "they come from two constructions, and the verdict follows p"
            )
        excludes = interval.low > 0.0 or interval.high < 0.0
        if excludes != (p < alpha):
            yield (
                f"{one['candidate']} vs {one['reference']}: the simultaneous interval "
                f"{'leaves out' if excludes else 'holds'} 0 and the adjusted p says otherwise; "
                "they come from two constructions, and the verdict follows p"
            )


def _told(interval: Interval) -> Mapping[str, Any]:
    return {"ci": [interval.low, interval.high], "confidence": interval.confidence}
