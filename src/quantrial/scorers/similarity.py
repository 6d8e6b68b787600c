"""How near a text comes to the right one: edits of characters, and words in the right order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from quantrial.scorers.base import Said, Score, Scorer, ScorerPart
from quantrial.scorers.exact import NORMALIZE, normalized_aliases
from quantrial.tasks.base import Endpoint

MOST = 20_000
"""How many characters (of ROUGE-L: words) at the start of a text are compared.

Edits take the product of both lengths, so that a megabyte against a megabyte would take minutes.
"""

SIMILARITY = Endpoint(
    "similarity",
    "mean",
    {"similarity": 1.0},
    meaning="Mean over answers of how similar they are to the right text: 1 minus the least number "
    "of characters to insert, delete or replace, divided by the length of the longer text. The "
    "best of several right texts counts.",
)
ROUGE_L = Endpoint(
    "rouge_l",
    "mean",
    {"rouge_l": 1.0},
    hub_metric="rougeL",
    label="ROUGE-L",
    meaning="Mean over answers of the F1 of the longest sequence of words that answer and right "
    "text share, in the same order and with gaps. The best of several right texts counts.",
)
_WORD = re.compile(r"[^\W_]+")


class NearestPart(ScorerPart):
    """What every scorer of nearness takes."""

    normalize: Literal["none", "case", "squad"] = "case"
    """How texts are compared: `case` in any case; `none` as they are; `squad` in lower case,
    without punctuation and the English articles a, an, the. White space counts as one space."""


class Nearest(Scorer):
    """A number from 0 to 1 for how near a text comes to what is right.

    `measure` computes it, in the column that its one endpoint is the mean of.
    """

    compares = True
    scored_by: ClassVar[Sequence[str]] = ("quantrial.scorers.exact", "quantrial.scorers.similarity")

    def check(self, gold: Any) -> None:
        """Refuse what is no text, or nothing once it is normalized."""
        normalized_aliases(gold, self.spec.normalize)

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """How near the text comes to the nearest alias; `correct` where it equals one."""
        found = NORMALIZE[self.spec.normalize](text)
        right = normalized_aliases(gold, self.spec.normalize)
        (column,) = self.endpoints[0].numerator
        values = {column: self.measure(found, right), "correct": float(found in right)}
        return Score(values, bool(found), found)

    def measure(self, text: str, right: Sequence[str]) -> float:
        """Compute the number for a text and all that would be right, from 0 to 1."""
        raise NotImplementedError


class SimilarityPart(NearestPart):
    """How few characters of the answer differ from the right text.

    1 minus the edits it would take (characters inserted, deleted or replaced), divided by the
    length of the longer text. Of several right texts the best counts. The first 20,000 characters
    are compared; what follows counts as different.
    """

    short = "threshold"
    scorer: Literal["similarity"]
    threshold: float = Field(default=0.0, ge=0, le=1)
    """A lower similarity counts as 0; with 0.5 the mean is ANLS."""


class Similarity(Nearest):
    """Normalised edit similarity; with a threshold ANLS."""

    part = SimilarityPart
    endpoints = (SIMILARITY,)

    def __init__(self, spec: SimilarityPart):
        super().__init__(spec)
        if spec.threshold:
            anls = spec.threshold == 0.5
            meaning = f"{SIMILARITY.meaning} A similarity below {spec.threshold:g} counts as 0" + (
                ": this is ANLS, the average normalised Levenshtein similarity." if anls else "."
            )
            label = "ANLS" if anls else None
            self.endpoints = (replace(SIMILARITY, label=label, meaning=meaning),)

    def measure(self, text: str, right: Sequence[str]) -> float:
        """1 minus edits over the longer length; 0 below the threshold."""
        best = max(edit_similarity(text, one) for one in right)
        return best if best >= self.spec.threshold else 0.0


def edit_similarity(first: str, second: str) -> float:
    """Compute 1 minus the Levenshtein distance divided by the longer length; 1 of two empty texts.

    What stands beyond `MOST` characters counts as different, so that long texts are not found more
    similar than they are.
    """
    from rapidfuzz.distance import Levenshtein

    longer = max(len(first), len(second))
    beyond = max(longer - MOST, 0)
    edits = Levenshtein.distance(first[:MOST], second[:MOST]) + beyond
    return 1 - edits / longer if longer else 1.0


class RougeLPart(NearestPart):
    """How many words of the answer are in the right text in the same order: ROUGE-L.

    Words are runs of letters and digits of any script; without stems, as `rouge-score` has it. The
    first 20,000 words are compared; what follows counts as different.
    """

    scorer: Literal["rouge_l"]


class RougeL(Nearest):
    """F1 of the longest common subsequence of words (Lin 2004)."""

    part = RougeLPart
    endpoints = (ROUGE_L,)

    def check(self, gold: Any) -> None:
        """Refuse what holds no word."""
        for text in normalized_aliases(gold, self.spec.normalize):
            if not _WORD.search(text):
                raise ValueError(f"{text!r:.40} holds no word of letters or digits")

    def measure(self, text: str, right: Sequence[str]) -> float:
        """F1 of the longest common subsequence with the alias that has the most."""
        from rapidfuzz.distance import LCSseq

        said = _WORD.findall(text)
        best = 0.0
        for words in map(_WORD.findall, right):
            # 2 · shared / (words of both) is the harmonic mean of precision and recall
            both = len(said) + len(words)
            shared = LCSseq.similarity(said[:MOST], words[:MOST])
            best = max(best, 2 * shared / both if both else 0.0)
        return best
