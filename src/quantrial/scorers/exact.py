"""Equality with the right answer, or with one of its aliases."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from quantrial.scorers.base import Said, Score, Scorer, ScorerPart
from quantrial.tasks.base import Endpoint

EXACT_MATCH = Endpoint(
    "exact_match",
    "proportion",
    {"correct": 1.0},
    hub_metric="exact_match",
    meaning="The share of answers that equal the right one.",
    written="exact[- ]match",
)

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad(text: str) -> str:
    """Bring a text to the form that SQuAD's published script compares.

    Lower case, without ASCII punctuation and the English articles, single spaces (Rajpurkar et al.
    2016, `evaluate-v1.1.py`).
    """
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def _composed(text: str) -> str:
    # the same letters may be written as one code point or two
    return " ".join(unicodedata.normalize("NFC", text).split())


NORMALIZE: Mapping[str, Callable[[str], str]] = {
    "none": _composed,
    "case": lambda text: _composed(text).casefold(),
    "squad": lambda text: squad(_composed(text)),
}


def aliases(gold: Any) -> Sequence[str]:
    """Return the texts that are right: a list's, or the one there is; numbers as JSON writes them.

    Raises:
        ValueError: there is none, or one is no text and no number.
    """
    found = list(gold) if isinstance(gold, (list, tuple)) else [gold]
    texts = []
    for one in found:
        if isinstance(one, bool) or not isinstance(one, (str, int, float)):
            raise ValueError(f"{one!r:.40} is no text; expected a text, or a list of texts")
        texts.append(str(one))
    if not texts or not all(text.strip() for text in texts):
        raise ValueError("an empty text is right of no answer; expected a text, or several")
    return texts


def normalized_aliases(gold: Any, normalize: str) -> Sequence[str]:
    """Return the texts that are right as they are compared.

    Raises:
        ValueError: as of `aliases`, or one is nothing once it is normalized.
    """
    texts = aliases(gold)
    found = [NORMALIZE[normalize](text) for text in texts]
    if not all(found):
        empty = texts[found.index("")]
        raise ValueError(f"{empty!r:.40} is empty once it is normalized for comparison")
    return found


class ExactPart(ScorerPart):
    """The answer equals the right text, or one of several."""

    scorer: Literal["exact"]
    normalize: Literal["none", "case", "squad"] = "none"
    """How texts are compared: `none` as they are, but for white space; `case` in any case; `squad`
    in lower case, without punctuation and the English articles a, an, the."""


class Exact(Scorer):
    """Whether the answer is a right one."""

    part = ExactPart
    compares = True
    endpoints = (EXACT_MATCH,)
    right = EXACT_MATCH.name

    def check(self, gold: Any) -> None:
        """Refuse what is no text, or nothing once it is normalized."""
        normalized_aliases(gold, self.spec.normalize)

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """1 for a text that equals an alias, else 0."""
        found = NORMALIZE[self.spec.normalize](text)
        right = found in normalized_aliases(gold, self.spec.normalize)
        return Score({"correct": float(right)}, bool(found), found)
