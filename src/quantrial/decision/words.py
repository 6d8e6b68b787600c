"""How a finding is said. Fractions become percentage points here, and nowhere earlier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Document = Mapping[str, Any]

MINUS = "\N{MINUS SIGN}"

# The test beside the one for a difference that carries a verdict, and what it is called.
_TESTS = {
    "equivalent": ("equivalence_p", "equivalence"),
    "non_inferior": ("non_inferiority_p", "non-inferiority"),
    "inconclusive": ("non_inferiority_p", "non-inferiority"),
}


def points(value: float | None, *, unit: str = " pp") -> str:
    """Write a difference of fractions in percentage points, with its sign."""
    if value is None:
        return "unknown"
    shown = f"{100 * value:+.1f}"
    return ("0.0" if float(shown) == 0 else shown.replace("-", MINUS)) + unit


def margin(value: float) -> str:
    """Write a margin without its sign: `3 pp`."""
    return f"{100 * value:g} pp"


def p_value(value: float | None) -> str:
    """Write a p-value: `.013`, `< .001`, `unknown`."""
    if value is None:
        return "unknown"
    if value < 0.001:
        return "< .001"
    return "1" if value > 0.9995 else f"{value:.3f}".removeprefix("0")


def evidence(finding: Document) -> str:
    """Write a finding as one line: estimate, interval, adjusted p of a difference, verdict, id.

    Where equivalence or non-inferiority carries the verdict, its own p stands beside.
    """
    low, high = finding["ci"]
    level = round(100 * finding["confidence"])
    interval = (
        f"{level} % interval {points(low, unit='')} to {points(high)}"
        if low is not None
        else f"no {level} % interval (no item was scored differently)"
    )
    tests = f"difference p {_equals(finding['p_adjusted'])} adjusted"
    if finding["verdict"] in _TESTS:
        key, name = _TESTS[finding["verdict"]]
        tests += f", {name} p {_equals(finding[key])}"
    return (
        f"{finding['workload']}, {finding['endpoint'].replace('_', '-')}: "
        f"{points(finding['estimate'])}, {interval}, {tests}: "
        f"{finding['verdict'].replace('_', '-')} [{finding['id']}]"
    )


def _equals(value: float | None) -> str:
    shown = p_value(value)
    return shown if shown.startswith(("<", "u")) else f"= {shown}"


def listed(words: Iterable[str]) -> str:
    """Join words as a sentence does: `a, b and c`, each once."""
    unique = list(dict.fromkeys(words))
    return unique[0] if len(unique) == 1 else ", ".join(unique[:-1]) + " and " + unique[-1]


def ratio(value: float) -> str:
    """Write a ratio of speeds: `1.30 times`."""
    return f"{value:.2f} times"
