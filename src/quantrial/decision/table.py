"""The table that a pick is made from, `decision.picker`: what the rules look at, and no more."""

from __future__ import annotations

from statistics import NormalDist

from msgspec.structs import replace

from quantrial.agreement import TABLE_DIGITS, rounded
from quantrial.decision.evidence import Evidence, MarginTest, keeps_margin
from quantrial.documents.decision import (
    Finding,
    Picker,
    PickerArm,
    PickerLevel,
    PickerRow,
    PickerTask,
)

_NORMAL = NormalDist()


def picker(evidence: Evidence) -> Picker:
    """Write the table: arms in order of cost, controls last.

    The page picks from it, so numbers are rounded: last bits are to decide nothing there, and
    nothing here.
    """
    arms = [*evidence.by_cost, *evidence.controls]
    tiers = evidence.tiers()
    return Picker(
        reference=evidence.reference,
        insensitive=evidence.saw_no_control,
        memory_source=evidence.memory_source,
        arms={
            arm: PickerArm(
                rank=rank,
                tier=tiers.get(arm),
                control=arm in evidence.controls,
                memory=evidence.memory(arm),
                speedup=_rounded(evidence.speedup(arm)),
                twin=evidence.identical.get(arm),
                other_prompts=arm in evidence.other_prompts,
            )
            for rank, arm in enumerate(arms)
        },
        tasks={
            task: PickerTask(
                workload=part.workload,
                margin=rounded(part.margin, TABLE_DIGITS),
                at_floor=part.at_floor(evidence.reference),
                baseline=evidence.baseline(task),
                arms={arm: _row(evidence, task, arm) for arm in arms},
                unit=part.main.unit,
                against=part.main.against,
            )
            for task, part in evidence.tasks.items()
        },
    )


def _rounded(value: float | None) -> float | None:
    return rounded(value, TABLE_DIGITS) if isinstance(value, float) else value


def _row(evidence: Evidence, task: str, arm: str) -> PickerRow:
    """Write what is known of an arm on a task; the reference loses nothing against itself."""
    latency = _rounded(evidence.latency(task, arm))
    finding = None if arm == evidence.reference else evidence.primary(task, arm)
    finding = None if finding is None else finding.gain
    if finding is None:
        none = 0.0 if arm == evidence.reference else None
        return PickerRow(
            finding=None,
            estimate=none,
            bound=none,
            margin=rounded(evidence.tasks[task].margin, TABLE_DIGITS),
            holds=arm == evidence.reference,
            worse=False,
            latency=latency,
        )
    test = MarginTest.of(finding)
    row = PickerRow(
        finding=finding.id,
        estimate=_rounded(finding.estimate),
        # the lower end of the interval that belongs to the one-sided test; none bounds what an arm
        # loses that was shown other prompts
        bound=None if arm in evidence.other_prompts else _rounded(test.ci[0]),
        margin=rounded(finding.margin, TABLE_DIGITS),
        holds=evidence.holds(task, arm),
        worse=finding.verdict == "worse",
        latency=latency,
    )
    if arm in evidence.other_prompts:
        return row
    if test.missing:
        bound = _rounded(finding.equivalence_ci[0])
        answered = PickerLevel(bound=bound, holds=keeps_margin(finding))
        row = replace(row, missing=test.missing, answered=answered)
    if arm in evidence.candidates:
        levels = range(2, len(evidence.candidates) + 1)
        row = replace(
            row, among=tuple(_at_level(evidence, finding, test, among) for among in levels)
        )
    return row


def _at_level(evidence: Evidence, finding: Finding, test: MarginTest, among: int) -> PickerLevel:
    """Write what is ruled out where the arm is one of so many candidates."""
    level = evidence.alpha / among
    if len(test.lower_bounds) >= among:
        bound = test.lower_bounds[among - 1]
    else:  # a summary of an earlier version: by the normal approximation
        bound = _further(test, finding.equivalence_confidence, level)
    below = test.p is not None and test.p < level
    return PickerLevel(bound=_rounded(bound), holds=test.holds and below)


def _further(test: MarginTest, confidence: float, level: float) -> float | None:
    """Return the bound at a stricter level, in proportion to the one that is known."""
    estimate, bound = test.estimate, test.ci[0]
    if estimate is None or bound is None:
        return None
    reach = _NORMAL.inv_cdf(1.0 - level) / _NORMAL.inv_cdf((1.0 + confidence) / 2.0)
    return estimate - reach * (estimate - bound)
