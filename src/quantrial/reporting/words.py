"""The names of verdicts, methods and endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.decision import words as decision_words

VERDICT_WORDS = decision_words.VERDICT_WORDS

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
