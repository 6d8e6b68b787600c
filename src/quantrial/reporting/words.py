"""The names of verdicts, methods and endpoints, and what the terms of the report mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.reporting.blocks import Fact

VERDICT_WORDS = {
    "equivalent": "equivalent",
    "non_inferior": "non-inferior",
    "better": "better",
    "worse": "worse",
    "inconclusive": "inconclusive",
}
# Shapes as well as words: a verdict is recognised without colour.
VERDICT_SIGNS = {
    "equivalent": "●",
    "non_inferior": "◆",
    "better": "▲",
    "worse": "▼",
    "inconclusive": "○",
}
_METHODS = {
    "wilson": "Wilson score",
    "bootstrap-percentile": "percentile bootstrap",
    "cluster-bootstrap-percentile": "cluster bootstrap",
    "bootstrap-centred": "centred bootstrap",
    "bootstrap-tost": "bootstrap TOST",
    "score": "score",
    "score-strata": "score, within strata",
    "score-clusters": "score, over clusters",
    "refused": "none: too few clusters",
    "sign-flip": "sign-flip permutation",
    "sign-flip-exact": "sign-flip, all outcomes",
    "mcnemar-midp": "McNemar, mid-p",
    "mcnemar-exact": "McNemar, exact",
    "mcnemar-yates": "McNemar, Yates",
}
_ENDPOINTS = {"micro_f1": "micro-F1", "macro_f1": "macro-F1"}


def verdict(name: str) -> str:
    """Write a verdict with its sign."""
    return f"{VERDICT_SIGNS.get(name, '?')} {VERDICT_WORDS.get(name, name)}"


def verdict_and_also(one: Mapping[str, Any]) -> str:
    """Write a contrast's verdict with its sign, and what holds beside it."""
    beside = one.get("also")
    said = verdict(one["verdict"])
    return f"{said}, and {VERDICT_WORDS.get(beside, beside)}" if beside else said


def method(name: str) -> str:
    """Write the name of a method."""
    return _METHODS.get(name, name.replace("-", " "))


def endpoint(name: str) -> str:
    """Write the name of an endpoint."""
    return _ENDPOINTS.get(name, name.replace("_", " "))


def error_class(name: str) -> str:
    """Write the name of a class of errors."""
    return name.replace("_", " ")


WORDS = (
    Fact(
        "reference, candidate",
        "The reference is the arm the others are compared with. A difference is candidate minus "
        "reference, over the items both answered: negative is a loss.",
    ),
    Fact("pp", "Percentage points: from 60 % to 58 % is −2 pp."),
    Fact("margin", "The largest loss that the study's authors still call practically the same."),
    Fact(
        "interval",
        "The values that fit what was seen. A 95 % interval covers the truth in 95 of 100 such "
        "studies, where its method keeps its promise. Intervals are not adjusted for the number of "
        "pairs, and the p of a difference comes from a test of its own: an interval may leave out "
        "zero although the adjusted p is not small, or hold zero although it is.",
    ),
    Fact(
        "adjusted p",
        "How surprising the result would be if there were no difference (or, for equivalence, a "
        "difference as large as the margin), corrected by Holm for the number of comparisons.",
    ),
    Fact("● equivalent", "Shown to lie within the margin, in both directions."),
    Fact("◆ non-inferior", "Shown to lose less than the margin; it may gain more."),
    Fact(
        "▲ better, ▼ worse", "A difference is shown, and it is not shown to be within the margin."
    ),
    Fact(
        "○ inconclusive",
        "Nothing of this is shown. That is not evidence of equality: more items, or items whose "
        "answers change more, are needed.",
    ),
    Fact(
        "floor",
        "The score that needs no skill: blind guessing among the options, or 0 where nothing is "
        "guessed. Where the reference is not above it, there is nothing to lose, and a loss could "
        "not show.",
    ),
    Fact(
        "shrunken",
        "A difference within one stratum, drawn towards the mean of all strata: the fewer its "
        "items, the further. It is the better guess of what that stratum would show again.",
    ),
    Fact(
        "declared, exploratory",
        "A failure mode that the study named before its answers were seen, and one that it did "
        "not.",
    ),
    Fact(
        "positive control",
        "An arm damaged on purpose. A trial that does not find it worse could have missed real "
        "harm.",
    ),
)
