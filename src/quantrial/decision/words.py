"""How a finding is said: its line of evidence, and what every entry of the decision says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypedDict, TypeVar

from quantrial.documents.decision import Finding, Pace, PickerRow
from quantrial.words import (
    difference,
    difference_interval,
    level,
    listed,
    margin,
    p_value_in_sentence,
    plural,
    times,
    times_interval,
    verdict_word,
)


class _Worded(Protocol):
    @property
    def text(self) -> str: ...


class Cited(TypedDict):
    """What every entry says: a sentence, the ids of its findings, their numbers."""

    text: str
    because: tuple[str, ...]
    evidence: tuple[str, ...]


def cited(text: str, findings: Iterable[Finding | Pace | None] = ()) -> Cited:
    """Put a sentence beside the findings that it rests on, each once."""
    found = {one.id: one for one in findings if one is not None}
    lines = tuple(evidence_line(one) for one in found.values())
    return {"text": text, "because": tuple(found), "evidence": lines}


def evidence_line(finding: Finding | Pace, *, tolerated: float | None = None) -> str:
    """Write a finding as one line: estimate, interval, adjusted p of a difference, verdict, id.

    Where equivalence or non-inferiority carries the verdict, its own p stands beside and the
    interval is the one that belongs to its test. So it is where a loss other than the margin is
    `tolerated`: its lower end is what that is held against, and the p at the margin says nothing.
    """
    if isinstance(finding, Pace):
        return (
            f"{finding.endpoint}: {times(finding.estimate)} {finding.reference}'s, "
            f"{100 * finding.confidence:g} % interval {times_interval(finding.ci)}, "
            f"{plural(finding.n, 'block')} [{finding.id}]"
        )
    other = tolerated is not None and tolerated != finding.margin
    (low, high), confidence = finding.ci, finding.confidence
    if finding.verdict in ("equivalent", "non_inferior") or tolerated is not None:
        (low, high), confidence = finding.equivalence_ci, finding.equivalence_confidence
    at = level(confidence)
    interval = (
        f"no {at} interval (too little differs)"
        if low is None or high is None
        else f"{at} interval {difference_interval((low, high), finding.unit)}"
    )
    tests = f"difference p {_equals(finding.p_adjusted)} adjusted"
    if not other:
        # the test beside the one for a difference that carries the verdict
        if finding.verdict == "equivalent":
            tests += f", equivalence p {_equals(finding.equivalence_p)}"
        elif finding.verdict in ("non_inferior", "inconclusive"):
            tests += f", non-inferiority p {_equals(finding.non_inferiority_p)}"
    verdict = verdict_word(finding.verdict)
    if finding.also:
        verdict += f", and {verdict_word(finding.also)}"
    if other:
        verdict += f" at the margin of {margin(finding.margin, finding.unit)}"
    return (
        f"{finding.workload}, {finding.named.replace('_', '-')}: "
        f"{seen(finding)}, {interval}, {tests}: {verdict} [{finding.id}]"
    )


def seen(finding: Finding) -> str:
    """Write the difference that was seen: `−2.6 pp`, `+3.2 edits`."""
    return difference(finding.estimate, finding.unit)


def _equals(value: float | None) -> str:
    shown = p_value_in_sentence(value)
    return shown if shown.startswith(("<", "u")) else f"= {shown}"


def by_margin(kept: Iterable[tuple[str, str]]) -> str:
    """Say which margin, in words, holds where: `1 pp on a and b and 3 pp on c`."""
    where: dict[str, list[str]] = {}
    for bound, what in kept:
        where.setdefault(bound, []).append(what)
    return listed(f"{bound} on {listed(what)}" for bound, what in where.items())


def undecided(missing: int) -> str:
    """Say that answers which are missing leave a contrast open: `undecided: 50 answers missing`."""
    return f"undecided: {plural(missing, 'answer')} missing"


def left_open(row: PickerRow) -> str:
    """Say of a row of the picker's table that missing answers alone leave it open; else nothing."""
    kept = row.answered is not None and row.answered.holds
    return undecided(row.missing) if kept and not row.holds else ""


_W = TypeVar("_W", bound=_Worded)


def without_repeats(entries: Sequence[_W]) -> list[_W]:
    """Leave out what reads the same as an entry before it: figures that round alike are one."""
    found: dict[str, _W] = {}
    for one in entries:
        found.setdefault(one.text, one)
    return list(found.values())
