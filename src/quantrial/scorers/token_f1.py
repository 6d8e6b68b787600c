"""The words that an answer shares with the right one: SQuAD's F1."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

from quantrial.scorers.base import Said, Score, Scorer, ScorerPart
from quantrial.scorers.exact import NORMALIZE, normalized_aliases
from quantrial.tasks.base import Endpoint

TOKEN_F1 = Endpoint(
    "token_f1",
    "mean",
    {"f1": 1.0},
    hub_metric="f1",
    label="token F1",
    meaning="Mean over answers of the F1 of their words: the harmonic mean of the share of the "
    "answer's words that are right, and the share of the right words that are there. The best "
    "of several right answers counts.",
    written="token F1",
)


class TokenF1Part(ScorerPart):
    """How many words the answer shares with the right text: F1 as in SQuAD's published script.

    The nearest of several right texts counts. Words are split at white space, so that a text in
    Japanese or Chinese is one word: use `similarity` or `chrf` there.
    """

    scorer: Literal["token_f1"]
    normalize: Literal["none", "case", "squad"] = "squad"
    """How texts are compared: `squad` in lower case, without punctuation and the English articles
    a, an, the; `case` in any case; `none` as they are."""


class TokenF1(Scorer):
    """F1 of words, with the best alias."""

    part = TokenF1Part
    compares = True
    scored_by = ("quantrial.scorers.exact",)
    endpoints = (TOKEN_F1,)

    def check(self, gold: Any) -> None:
        """Refuse what is no text, or nothing once it is normalized."""
        normalized_aliases(gold, self.spec.normalize)

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """F1 of the words that text and alias share, each as often as both have it."""
        found = NORMALIZE[self.spec.normalize](text)
        right = normalized_aliases(gold, self.spec.normalize)
        words = Counter(found.split())
        values = {
            "f1": max(_f1(words, Counter(one.split())) for one in right),
            "correct": float(found in right),
        }
        return Score(values, bool(found), found)


def _f1(said: Counter[str], right: Counter[str]) -> float:
    # 2 · shared / (words of both) is the harmonic mean of precision and recall
    return 2 * (said & right).total() / (said.total() + right.total())
