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


def documents(
    found: Sequence[Measured],
    *,
    family: str,
    alpha: float,
    bounds: Bounds | None = None,
    choice: Choice | None = None,
    adjust_margin: bool = False,
    plan: bool = True,
) -> Documents:
    """Write the contrasts of one family, adjusted together, and their tests of equivalence.

    Differences are adjusted by Holm, and so is each question about the margin. For one contrast the
    two questions about the margin come in a fixed order, "non-inferior", then "equivalent", each at
    alpha and the second only where the first holds. Verdicts follow the values not adjusted;
    with `adjust_margin` (strata, where one of many is picked out) they follow the adjusted ones.
    Without `plan` nobody asks what would settle an open contrast. `bounds` hold missing answers
    against the candidate; of what a `choice` is made on they say which losses are ruled out.
    """
    tests = _equivalences([e for e in found if e.test is not None])
    if adjust_margin:
        found = list(_adjusted(found, tests, alpha))
    adjusted = holm([each.one.p_value for each in found])
    together = len(found), len(tests) if adjust_margin else 1
    contrasts = [
        _contrast(each, float(p), (family, *together), alpha, plan=plan)
        for each, p in zip(found, adjusted, strict=True)
    ]
    if bounds is not None:
        for each, written in zip(found, contrasts, strict=True):
            among = 0 if choice is None else choice.among(each.one)
            tested = bounds.tested(each, among=among)
            written["worst_case"] = tested.worst_case
            if among:
                written["lower_bounds"] = tested.lower_bounds
    return contrasts, tests


def _adjusted(
    found: Sequence[Measured], tests: Sequence[dict[str, Any]], alpha: float
) -> Iterator[Measured]:
    """Let what each test claims follow its adjusted p, in what is measured and as written."""
    written = iter(tests)
    for each in found:
        if each.test is None:
            yield each
            continue
        one = next(written)
        one["non_inferior"] = bool(one["p_non_inferior_adjusted"] < alpha)  # NaN: no
        one["equivalent"] = bool(one["non_inferior"] and one["p_adjusted"] < alpha)
        claimed = {name: one[name] for name in ("non_inferior", "equivalent")}
        yield dataclasses.replace(each, test=dataclasses.replace(each.test, **claimed))


def _contrast(
    each: Measured, p: float, family: tuple[str, int, int], alpha: float, *, plan: bool
) -> dict[str, Any]:
    one, test = each.one, each.test
    said = verdict(one.estimate, p, test, alpha=alpha)
    needed = None
    if plan and said == "inconclusive":
        margin = None if test is None else test.margin
        needed = each.methods.items_needed(
            one, each.endpoint, margin, family=family[1], margins=family[2]
        )
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
        "family": family[0],
        "n": one.n,
        "sd_paired": one.sd,
        "verdict": said,
        "also": None if test is None else also(said, p, test, alpha=alpha),
        "worst_case": None,
        "items_needed": needed,
        "settled_by": None if needed is None else settled_by(needed, one.n, one.clusters),
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
    contrasts: Sequence[dict[str, Any]], found: Sequence[Measured], *, alpha: float
) -> Iterator[str]:
    """Add to each contrast the interval that matches the adjusted decisions of its family.

    `simultaneous` has its `ci` and `confidence`; None where the methods know none. Yields what
    deserves a remark: where p and interval come from two constructions and disagree about 0.
    """
    if not found:
        return
    intervals = found[0].methods.simultaneous([each.one for each in found], found[0].endpoint)
    known: Sequence[Interval | None] = [None] * len(found) if intervals is None else intervals
    for written, interval in zip(contrasts, known, strict=True):
        written["simultaneous"] = None if interval is None else _told(interval)
        if interval is None or math.isnan(interval.low):
            continue
        low, high = written["ci"]
        alone = low > 0.0 or high < 0.0
        if alone != (written["p_value"] < alpha):
            yield (
                f"{written['candidate']} vs {written['reference']}: the interval "
                f"{'leaves out' if alone else 'holds'} 0 and p (not adjusted) says otherwise; "
                "they come from two constructions, and the verdict follows p"
            )
        excludes = interval.low > 0.0 or interval.high < 0.0
        if excludes != (written["p_adjusted"] < alpha):
            yield (
                f"{written['candidate']} vs {written['reference']}: the simultaneous interval "
                f"{'leaves out' if excludes else 'holds'} 0 and the adjusted p says otherwise; "
                "they come from two constructions, and the verdict follows p"
            )


def _told(interval: Interval) -> Mapping[str, Any]:
    return {"ci": [interval.low, interval.high], "confidence": interval.confidence}
