"""How a finding is said. Fractions become percentage points here, and nowhere earlier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quantrial.agreement import fixed

Document = Mapping[str, Any]

# What people read. The keys stay as they are for machines.
VERDICT_WORDS = {
    "equivalent": "equivalent",
    "non_inferior": "non-inferior",
    "better": "better",
    "worse": "worse",
    "inconclusive": "undecided",
}

MINUS = "\N{MINUS SIGN}"

# The test beside the one for a difference that carries a verdict, and what it is called.
_TESTS = {
    "equivalent": ("equivalence_p", "equivalence"),
    "non_inferior": ("non_inferiority_p", "non-inferiority"),
    "inconclusive": ("non_inferiority_p", "non-inferiority"),
}


def memory_noun(source: str | None) -> str:
    """Name what memory goes by (`picker.memory_source`): of a file it is just `memory`."""
    return {"peak": "peak memory", "stated": "stated memory"}.get(source or "", "memory")


def points(value: float | None, *, unit: str = " pp") -> str:
    """Write a difference of fractions in percentage points, with its sign."""
    if value is None:
        return "unknown"
    shown = fixed(100 * value, 1, "+")
    return ("0.0" if float(shown) == 0 else shown.replace("-", MINUS)) + unit


def size(value: float) -> str:
    """Write how large a difference is, whichever its direction: `3.1 pp`."""
    shown = fixed(100 * abs(value), 1)
    return "less than 0.1 pp" if float(shown) == 0 else f"{shown} pp"


def margin(value: float) -> str:
    """Write a margin without its sign: `3 pp`."""
    return f"{100 * value:g} pp"


def p_value(value: float | None) -> str:
    """Write a p-value: `.013`, `< .001`, `unknown`."""
    if value is None:
        return "unknown"
    if value < 0.001:
        return "< .001"
    return "1" if value >= 0.9995 else fixed(value, 3).removeprefix("0")


def evidence(finding: Document, *, tolerated: float | None = None) -> str:
    """Write a finding as one line: estimate, interval, adjusted p of a difference, verdict, id.

    Where equivalence or non-inferiority carries the verdict, its own p stands beside and the
    interval is the one that belongs to its test. So it is where a loss other than the margin is
    `tolerated`: its lower end is what that is held against, and the p at the margin says nothing.
    """
    if finding["kind"] == "speed":
        return (
            f"{finding['endpoint']}: {ratio(finding['estimate'])} {finding['reference']}'s, "
            f"{100 * finding['confidence']:g} % interval {between(finding['ci'])}, "
            f"{counted(finding['n'], 'block')} [{finding['id']}]"
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


def verdict_word(name: str) -> str:
    """Write a verdict as people read it."""
    return VERDICT_WORDS.get(name, name.replace("_", "-"))


def _equals(value: float | None) -> str:
    shown = p_value(value)
    return shown if shown.startswith(("<", "u")) else f"= {shown}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Join words as a sentence does: `a, b and c`, each once."""
    unique = list(dict.fromkeys(words))
    if len(unique) < 2:
        return "".join(unique)
    return f"{', '.join(unique[:-1])} {last} {unique[-1]}"


def by_margin(kept: Iterable[tuple[float, str]]) -> str:
    """Say which margin holds where: `1 pp on a and b and 3 pp on c`."""
    where: dict[float, list[str]] = {}
    for bound, what in kept:
        where.setdefault(bound, []).append(what)
    return listed(f"{margin(bound)} on {listed(what)}" for bound, what in where.items())


def counted(count: int, noun: str) -> str:
    """Write a number of things: `1 more item`, `1,200 more items`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def undecided(missing: int) -> str:
    """Say that answers which are missing leave a contrast open: `undecided: 50 answers missing`."""
    return f"undecided: {counted(missing, 'answer')} missing"


def left_open(row: Document) -> str:
    """Say of a row of the picker's table that missing answers alone leave it open; else nothing."""
    kept = (row.get("answered") or {"holds": False})["holds"]
    return undecided(row["missing"]) if kept and not row["holds"] else ""


def seconds(value: float) -> str:
    """Write a time: `0.323 s`, `12.5 s`, `4.1 ms`."""
    return f"{value:.3g} s" if value >= 0.1 else f"{1000 * value:.3g} ms"


def ratio(value: float) -> str:
    """Write a ratio of speeds: `1.30 times`."""
    return f"{fixed(value, 2)} times"


def between(ends: Sequence[float]) -> str:
    """Write the interval of a ratio: `1.25 to 1.36`."""
    low, high = ends
    return f"{fixed(low, 2)} to {fixed(high, 2)}"


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
