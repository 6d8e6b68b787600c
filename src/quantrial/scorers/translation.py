"""The n-grams that a text shares with a reference translation or summary: chrF and BLEU."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from quantrial.errors import MissingExtraError
from quantrial.scorers.exact import normalized_aliases
from quantrial.scorers.similarity import MOST, Nearest, NearestPart
from quantrial.tasks.base import Endpoint

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

CHRF = Endpoint(
    "chrf",
    "mean",
    {"chrf": 1.0},
    label="chrF",
    meaning="Mean over answers of chrF: how many runs of 1 to 6 characters answer and reference "
    "translation share. It is computed answer by answer, so it differs from the chrF of a corpus.",
)
BLEU = Endpoint(
    "bleu",
    "mean",
    {"bleu": 1.0},
    label="sentence BLEU",
    meaning="Mean over answers of BLEU: how many runs of 1 to 4 words answer and reference "
    "translation share. It is computed answer by answer, so it differs from the BLEU of a corpus.",
)


class _SacrePart(NearestPart):
    normalize: Literal["none", "case"] = "none"
    """How texts are compared: `none` as they are; `case` in any case."""


class _Sacre(Nearest):
    """A metric of sacrebleu on one text, as a share of what is at most 100."""

    scored_by: ClassVar[Sequence[str]] = (
        "quantrial.scorers.exact",
        "quantrial.scorers.similarity",
        "sacrebleu.metrics.base",
        "sacrebleu.metrics.helpers",
    )

    def check(self, gold: Any) -> None:
        """Refuse what is no text; say that a package is missing before anything is asked."""
        normalized_aliases(gold, self.spec.normalize)
        _ = self.metric

    @functools.cached_property
    def metric(self) -> Metric:
        """What computes the score.

        Raises:
            MissingExtraError: sacrebleu is not installed.
        """
        try:
            return self.make()
        except ModuleNotFoundError as exc:
            what = f"the scorer `{self.spec.scorer}`"
            raise MissingExtraError(what, package="sacrebleu", extra="text") from exc

    def make(self) -> Metric:
        """Make the metric as the study has it."""
        raise NotImplementedError

    def measure(self, text: str, right: Sequence[str]) -> float:
        """Compute the score of one text against all its references."""
        found = self.metric.sentence_score(text[:MOST], [one[:MOST] for one in right])
        return min(float(found.score) / 100, 1.0)  # equal texts come to 100.00000000000004


class ChrfPart(_SacrePart):
    """How many runs of 1 to 6 characters the answer shares with a reference: chrF.

    As sacrebleu has it (beta 2, white space left out), a sentence at a time. The best of several
    references counts. Fits every script. The first 20,000 characters are compared. Needs the extra
    `text`.
    """

    short = "word_order"
    scorer: Literal["chrf"]
    word_order: Literal[0, 2] = 0
    """2 counts runs of one and two words, too: chrF++."""


class Chrf(_Sacre):
    """Sentence chrF (Popović 2015), or chrF++ (2017)."""

    part = ChrfPart
    endpoints = (CHRF,)
    scored_by = (*_Sacre.scored_by, "sacrebleu.metrics.chrf")

    def make(self) -> Metric:
        """Make chrF, or chrF++."""
        from sacrebleu.metrics.chrf import CHRF

        return CHRF(word_order=self.spec.word_order)


class BleuPart(_SacrePart):
    """How many runs of 1 to 4 words the answer shares with a reference: BLEU.

    As sacrebleu has it, a sentence at a time: shorter runs alone where there are no longer ones,
    and smoothed where none is shared (`exp`). Several references count together. The first 20,000
    characters are compared. Needs the extra `text`. chrF says more of short texts.
    """

    short = "tokenize"
    scorer: Literal["bleu"]
    tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a"
    """What a word is: `13a` as in the WMT campaigns; `intl` for other alphabets; `zh` for Chinese;
    `char` each character, as for Japanese; `none` splits at white space."""


class Bleu(_Sacre):
    """Sentence BLEU (Papineni et al. 2002; smoothing of Chen and Cherry 2014)."""

    part = BleuPart
    endpoints = (BLEU,)
    scored_by = (*_Sacre.scored_by, "sacrebleu.metrics.bleu")

    def make(self) -> Metric:
        """Make BLEU for single sentences."""
        from sacrebleu.metrics.bleu import BLEU

        return BLEU(tokenize=self.spec.tokenize, effective_order=True)
