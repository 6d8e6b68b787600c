"""How an arm fails on a task, by the task's kind, as `summary.json` holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.documents.base import Interval, Number, Part


class Lengths(Part, frozen=True, kw_only=True):
    """Lengths of `n` texts."""

    n: int
    mean: Number | None
    median: Number | None


class Sign(Part, frozen=True, kw_only=True):
    """How many of the `n` texts that tell show a sign."""

    n: int
    count: int
    rate: Number | None


class TextSigns(Part, frozen=True, kw_only=True):
    """What an arm's texts show, whatever the task: lengths, and signs of something wrong."""

    n: int
    characters: Lengths
    completion_tokens: Lengths
    truncated: Sign
    refused: Sign
    repeating: Sign
    empty: Sign


class FailureModes(Part, frozen=True, kw_only=True):
    """An arm's failures, of any kind of task: `n` answers, how many a limit cut, their texts."""

    n: int
    truncated: int
    texts: TextSigns


class LetterCount(Part, frozen=True, kw_only=True):
    """Right answers, of those to items whose right option has one letter."""

    n: int
    correct: int


class ChoiceFailures(FailureModes, frozen=True, kw_only=True):
    """Failures on multiple choice: answers without a letter, letters given and right ones."""

    unparsed: int
    unparsed_rate: Number | None
    letters: Mapping[str, int]
    gold_letters: Mapping[str, int]
    by_letter: Mapping[str, LetterCount]


class OtherFailures(FailureModes, frozen=True, kw_only=True):
    """Failures of a kind of task from outside, by its own keys."""

    more: Mapping[str, Any]


class EntityFree(Part, frozen=True, kw_only=True):
    """Right answers to sentences without entities; no rate of none."""

    n: int
    correct: int
    rate: Number | None
    ci: Interval | None


class ErrorClass(Part, frozen=True, kw_only=True):
    """One class of errors: pairs of `fp` and `fn` count once; the first `examples` are item ids."""

    errors: int
    fp: int
    fn: int
    items: int
    examples: tuple[str, ...]


class Confusion(Part, frozen=True, kw_only=True):
    """How often one type of entity was taken for another."""

    gold: str
    found: str
    n: int


class SpanErrors(Part, frozen=True, kw_only=True):
    """Wrong and missing spans of `n` answers, by class."""

    n: int
    fp: int
    fn: int
    classes: Mapping[str, ErrorClass]
    confusions: tuple[Confusion, ...]

    def count_of(self, kind: str) -> int:
        """Return how many errors of a class there are."""
        found = self.classes.get(kind)
        return found.errors if found else 0


class Spurious(Part, frozen=True, kw_only=True):
    """Entities that overlap no gold, in the `n` answers that could be read."""

    n: int
    spurious: int
    per_sentence: Number | None


class SpanFailures(FailureModes, frozen=True, kw_only=True):
    """Failures on spans: counts pooled over items, answers that could be read, errors by class."""

    tp: int
    fp: int
    fn: int
    precision: Number | None
    recall: Number | None
    parsed: int
    parse_rate: Number | None
    entity_free: EntityFree
    errors: SpanErrors
    spurious: Spurious


class ErrorLoss(Part, frozen=True, kw_only=True):
    """A candidate's change in micro-F1 (negative: a loss), split over the classes of errors."""

    reference: str
    candidate: str
    classes: Mapping[str, Number | None]
