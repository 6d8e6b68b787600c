"""Whether the right answer stands somewhere in the text."""

from __future__ import annotations

from typing import Any, Literal

from quantrial.scorers.base import Said, Score, Scorer, ScorerPart
from quantrial.scorers.exact import NORMALIZE, aliases
from quantrial.tasks.base import Endpoint

CONTAINS = Endpoint(
    "contains",
    "proportion",
    {"correct": 1.0},
    meaning="The share of answers that hold what is right.",
)


class ContainsPart(ScorerPart):
    """The answer holds the right text, or several of them."""

    scorer: Literal["contains"]
    match: Literal["any", "all"] = "any"
    """Of several right texts: whether one is enough, or all are needed."""
    ignore_case: bool = True
    """Whether upper and lower case are the same."""


class Contains(Scorer):
    """Whether the answer holds what is right."""

    part = ContainsPart
    endpoints = (CONTAINS,)
    right = CONTAINS.name

    def check(self, gold: Any) -> None:
        """Refuse what is no text."""
        aliases(gold)

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """1 for a text that holds one right text, or all of them; else 0."""
        form = NORMALIZE["case" if self.spec.ignore_case else "none"]
        found, enough = form(text), any if self.spec.match == "any" else all
        right = enough(form(alias) in found for alias in aliases(gold))
        return Score({"correct": float(right)}, bool(found), found)
