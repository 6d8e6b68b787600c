"""What the terms of the report mean, and where in a sentence they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from quantrial.reporting.blocks import Claim, Part, Sentence, Word

WORDS = (
    Word(
        "arm",
        "arm",
        "One version of the model under test, at one precision. Cheaper: it takes less memory, "
        "or as much and is faster.",
    ),
    Word(
        "reference",
        "reference, candidate",
        "The reference is the arm the others are compared with. A difference is candidate minus "
        "reference, over the items both answered: negative is a loss.",
    ),
    Word("pp", "pp", "Percentage points: from 60 % to 58 % is −2 pp."),
    Word(
        "margin",
        "margin",
        "The largest loss that the study's authors still call practically the same.",
    ),
    Word(
        "interval",
        "interval",
        "The values that fit what was seen. A 95 % interval covers the truth in 95 of 100 such "
        "studies, where its method keeps its promise. Intervals are not adjusted for the number of "
        "pairs, and the p of a difference comes from a test of its own: an interval may leave out "
        "zero although the adjusted p is not small, or hold zero although it is.",
    ),
    Word(
        "likely",
        "likely",
        "Where the true difference may lie, given what was seen: the interval that the verdict "
        "rests on, its level in brackets. 95 % where a difference is asked for; where the arm is "
        "shown to keep the margin, that of its test (90 % for an error rate of 5 %).",
    ),
    Word(
        "adjusted-p",
        "adjusted p",
        "How surprising the result would be if there were no difference (or, for equivalence, a "
        "difference as large as the margin), corrected by Holm for the number of comparisons: for "
        "a primary endpoint the pairs of arms, for all else everything this report tests.",
    ),
    Word(
        "equivalent",
        "● equivalent",
        "Practically the same: shown to lie within the margin, in both directions.",
    ),
    Word("non_inferior", "◆ non-inferior", "Shown to lose less than the margin; it may gain more."),
    Word("better", "▲ better", "A gain is shown, and it is not shown to be within the margin."),
    Word("worse", "▼ worse", "A loss is shown, and it is not shown to be within the margin."),
    Word(
        "inconclusive",
        "○ undecided",
        "Nothing of this is shown. That is not evidence of equality: a larger study is needed.",
    ),
    Word("accuracy", "accuracy", "The share of questions that were answered right."),
    Word(
        "micro_f1",
        "micro-F1",
        "One score for finding things in text, from 0 to 100 %: high only when little is missed "
        "and little is invented. All entities of all texts count together.",
    ),
    Word("macro_f1", "macro-F1", "The same score worked out text by text, then averaged."),
    Word("precision", "precision", "Of what the arm returned, the share that is right."),
    Word("recall", "recall", "Of what there was to find, the share that the arm found."),
    Word(
        "entity_free",
        "entity-free-correct",
        "The share of texts with nothing to find for which the arm rightly returned nothing.",
    ),
    Word(
        "answered",
        "answered",
        "The share of calls that got an answer at all: a fault or a timeout is none. Missing "
        "answers are held against the candidate where an arm is shipped.",
    ),
    Word("parse_rate", "parse-rate", "The share of answers that could be read as asked for."),
    Word(
        "exact_match",
        "exact-match",
        "The share of texts for which the arm returned all there was to find, and nothing else.",
    ),
    Word(
        "chance",
        "80 % chance",
        "If the true difference is the one seen here, four of five such studies would settle the "
        "question.",
    ),
    Word(
        "peak",
        "peak memory",
        "The most memory that the arm's own process held in the speed phase, pages of its file "
        "included.",
    ),
    Word("weights", "weights", "The model's file: what must fit into memory before anything runs."),
    Word(
        "speedup",
        "decoding speed",
        "Tokens written a second, all tokens over all seconds, beside the reference's.",
    ),
    Word("workload", "workload", "The kind of work that a task stands for."),
    Word(
        "floor",
        "floor",
        "The score that needs no skill: blind guessing among the options, or 0 where nothing is "
        "guessed. Where the reference is not above it, there is nothing to lose, and a loss could "
        "not show.",
    ),
    Word(
        "shrunken",
        "shrunken",
        "A difference within one stratum, drawn towards the mean of all strata: the fewer its "
        "items, the further. It is the better guess of what that stratum would show again.",
    ),
    Word(
        "declared",
        "declared, exploratory",
        "A failure mode that the study named before its answers were seen, and one that it did "
        "not.",
    ),
    Word(
        "control",
        "positive control",
        "An arm damaged on purpose. A trial that does not find it worse could have missed real "
        "harm.",
    ),
)

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
    r"entity[- ]free[- ]correct": "entity_free",
    r"parse[- ]rate": "parse_rate",
    r"exact[- ]match": "exact_match",
    r"80 % chance": "chance",
    r"decoding speed": "speedup",
    r"worse": "worse",
    r"workloads?": "workload",
    r"floor": "floor",
    r"positive control": "control",
}
_TERM = re.compile(rf"(?<![\w-])(?:{'|'.join(f'({one})' for one in _WRITTEN)})(?![\w-])")
_IN_ORDER = tuple(_WRITTEN.values())
KEYS = frozenset(word.key for word in WORDS)


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
