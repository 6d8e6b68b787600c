"""How a finding is said: its line of evidence, and an entry of the decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quantrial.words import (
    listed,
    margin,
    p_value_in_sentence,
    plural,
    points,
    times,
    times_interval,
    verdict_word,
)

Document = Mapping[str, Any]

# The test beside the one for a difference that carries a verdict, and what it is called.
_TESTS = {
    "equivalent": ("equivalence_p", "equivalence"),
    "non_inferior": ("non_inferiority_p", "non-inferiority"),
    "inconclusive": ("non_inferiority_p", "non-inferiority"),
}


def evidence(finding: Document, *, tolerated: float | None = None) -> str:
    """Write a finding as one line: estimate, interval, adjusted p of a difference, verdict, id.

    Where equivalence or non-inferiority carries the verdict, its own p stands beside and the
    interval is the one that belongs to its test. So it is where a loss other than the margin is
    `tolerated`: its lower end is what that is held against, and the p at the margin says nothing.
    """
    if finding["kind"] == "speed":
        return (
            f"{finding['endpoint']}: {times(finding['estimate'])} {finding['reference']}'s, "
            f"{100 * finding['confidence']:g} % interval {times_interval(finding['ci'])}, "
            f"{plural(finding['n'], 'block')} [{finding['id']}]"
        )
    shown = finding["verdict"] in ("equivalent", "non_inferior")
    other = tolerated is not None and tolerated != finding["margin"]
    own = "equivalence_" if shown or tolerated is not None else ""
    low, high = finding[f"{own}ci"]
    level = f"{round(100 * finding[f'{own}confidence'], 1):g} %"
    interval = (
        f"no {level} interval (too little differs)"
        if low is None or high is None
        else f"{level} interval {points(low, unit='')} to {points(high)}"
    )
    tests = f"difference p {_equals(finding['p_adjusted'])} adjusted"
    if finding["verdict"] in _TESTS and not other:
        key, name = _TESTS[finding["verdict"]]
        tests += f", {name} p {_equals(finding[key])}"
    verdict = verdict_word(finding["verdict"])
    if finding.get("also"):
        verdict += f", and {verdict_word(finding['also'])}"
    if other:
        verdict += f" at the margin of {margin(finding['margin'])}"
    return (
        f"{finding['workload']}, {finding['endpoint'].replace('_', '-')}: "
        f"{points(finding['estimate'])}, {interval}, {tests}: {verdict} [{finding['id']}]"
    )


def _equals(value: float | None) -> str:
    shown = p_value_in_sentence(value)
    return shown if shown.startswith(("<", "u")) else f"= {shown}"


def by_margin(kept: Iterable[tuple[float, str]]) -> str:
    """Say which margin holds where: `1 pp on a and b and 3 pp on c`."""
    where: dict[float, list[str]] = {}
    for bound, what in kept:
        where.setdefault(bound, []).append(what)
    return listed(f"{margin(bound)} on {listed(what)}" for bound, what in where.items())


def undecided(missing: int) -> str:
    """Say that answers which are missing leave a contrast open: `undecided: 50 answers missing`."""
    return f"undecided: {plural(missing, 'answer')} missing"


def left_open(row: Document) -> str:
    """Say of a row of the picker's table that missing answers alone leave it open; else nothing."""
    kept = (row.get("answered") or {"holds": False})["holds"]
    return undecided(row["missing"]) if kept and not row["holds"] else ""


def said_once(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what reads the same as an entry before it: figures that round alike are one."""
    found: dict[str, dict[str, Any]] = {}
    for one in entries:
        found.setdefault(one["text"], one)
    return list(found.values())


def entry(text: str, findings: Sequence[Document | None], **more: Any) -> dict[str, Any]:
    """Write one entry of a decision: its text, the ids of its findings, their numbers."""
    found = {f["id"]: f for f in findings if f is not None}
    return {
        **more,
        "text": text,
        "because": list(found),
        "evidence": [evidence(finding) for finding in found.values()],
    }
