"""What the terms of the report mean, and where in a sentence they stand."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from quantrial.documents import Summary, TaskSummary
from quantrial.registry import TASKS
from quantrial.reporting.blocks import Claim, Part, Sentence, Word
from quantrial.words import endpoint

# at most twenty words are all that a report needs; each has one meaning
_GENERAL = (
    Word("arm", "arm", "One version of the model under test, at one precision."),
    Word(
        "reference",
        "reference",
        "The arm that all others are compared with. A difference is another arm minus the "
        "reference: negative is a loss.",
    ),
    Word("pp", "pp", "Percentage points: from 60 % to 58 % is −2 pp."),
    Word("margin", "margin", "The largest loss that the study accepts."),
    Word(
        "interval",
        "interval",
        "Where the true difference may lie. A 95 % interval holds the truth in 95 of 100 studies "
        "like this one. Cards show that of the test against the margin, whose level is lower.",
    ),
    Word(
        "adjusted-p",
        "adjusted p",
        "How often chance alone would give such a result. It allows for the number of questions "
        "that were asked (Holm's method).",
    ),
    Word(
        "equivalent",
        "● equivalent",
        "Shown to differ by less than the margin, upwards and downwards.",
    ),
    Word("non_inferior", "◆ non-inferior", "Shown to lose less than the margin. It may gain more."),
    Word("better", "▲ better", "Shown to gain. The gain may be larger than the margin."),
    Word("worse", "▼ worse", "Shown to lose. The loss may be larger than the margin."),
    Word(
        "inconclusive",
        "○ undecided",
        "Nothing is shown yet. This does not mean equal: a larger study is needed.",
    ),
    Word(
        "control",
        "positive control",
        "An arm damaged on purpose. A study that finds no harm in it could miss real harm.",
    ),
)
# those of the endpoints that a study has
# How each term is written in a sentence.
_WRITTEN = {
    r"arms?": "arm",
    r"pp": "pp",
    r"margins?": "margin",
    r"(?:95|90) % interval|intervals?": "interval",
    r"equivalent": "equivalent",
    r"non-inferior": "non_inferior",
    r"undecided": "inconclusive",
    r"micro-[fF]1": "micro_f1",
    r"macro-[fF]1": "macro_f1",
    r"precision": "precision",
    r"recall": "recall",
    r"entity[- ]free[- ]correct": "entity_free_correct",
    r"parse[- ]rate": "parse_rate",
    r"exact[- ]match": "exact_match",
    r"worse": "worse",
    r"positive control": "control",
}
_TERM = re.compile(rf"(?<![\w-])(?:{'|'.join(f'({one})' for one in _WRITTEN)})(?![\w-])")
_IN_ORDER = tuple(_WRITTEN.values())


def words_of(summary: Summary) -> tuple[Word, ...]:
    """Return the words that a study's report needs: those of its own endpoints among them."""
    own = {key: word for part in summary.tasks.values() for key, word in meanings(part).items()}
    return (*_GENERAL, *own.values())


def meanings(part: TaskSummary) -> dict[str, Word]:
    """Explain a task's endpoints and failure modes, as far as its kind of task says how."""
    kind, tested = TASKS.load(part.kind), {one.endpoint for one in part.failure_contrasts}
    named = [one for one in kind.endpoints if one.name in part.endpoints]
    named += [one for one in kind.failure_modes if one.name in tested]
    return {
        one.name: Word(one.name, one.label or endpoint(one.name).replace(" ", "-"), one.meaning)
        for one in named
        if one.meaning
    }


def unused(words: Collection[Word]) -> set[str]:
    """Return the keys of the terms that a report has no word for."""
    return set(_IN_ORDER) - {word.key for word in words}


def explained(claim: Claim, seen: set[str]) -> Claim:
    """Mark the first mention of each term, so that it can be explained where it stands."""
    return Claim(
        _marked(claim.words, seen), tuple(_marked(detail, seen) for detail in claim.details)
    )


def _marked(sentence: Sentence, seen: set[str]) -> Sentence:
    return tuple(piece for part in sentence for piece in _pieces(part, seen))


def _pieces(part: Part, seen: set[str]) -> Iterator[Part]:
    if part.target or part.term:
        yield part
        return
    at = 0
    for match in _TERM.finditer(part.text):
        key = _IN_ORDER[(match.lastindex or 1) - 1]
        if key in seen:
            continue
        seen.add(key)
        if match.start() > at:
            yield replace(part, text=part.text[at : match.start()])
        yield replace(part, text=match[0], term=key)
        at = match.end()
    if at < len(part.text):
        yield replace(part, text=part.text[at:])
