"""What is wrong with a wrong span: invented, missed, of another type, cut elsewhere. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from quantrial.tasks.spans import Span

ERROR_CLASSES = ("spurious", "missed", "wrong_type", "wrong_boundary", "both", "malformed")

_REMEMBERED = 20_000  # answers, so that a table, a contrast and a panel class each of them once
_NEAREST_FIRST = ("wrong_type", "wrong_boundary", "both")
# scripts without spaces between words: each sign is taken as a word
_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
# accents and vowel signs that `\w` leaves out are part of their word
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\w\u0300-\u036f\u0900-\u0dff])+")

Place = tuple[int, int]  # of a text in its sentence: first word, and the one after the last


@dataclass(frozen=True, slots=True)
class SpanError:
    """One error: a false positive (`found`), a false negative (`gold`), or both of them paired."""

    kind: str
    found: Span | None
    gold: Span | None


@dataclass(frozen=True, slots=True)
class SpanErrors:
    """Every error of one answer, each wrong or missing span in exactly one of them."""

    errors: tuple[SpanError, ...] = ()

    def fp(self, kind: str) -> int:
        """Count the false positives of a class."""
        return sum(e.kind == kind and e.found is not None for e in self.errors)

    def fn(self, kind: str) -> int:
        """Count the false negatives of a class."""
        return sum(e.kind == kind and e.gold is not None for e in self.errors)


NO_ERRORS = SpanErrors()


def classify(gold: Collection[Span], found: Collection[Span] | None, text: str = "") -> SpanErrors:
    """Class every wrong span of one answer.

    - `spurious`: found, overlaps no gold span
    - `missed`: gold, overlapped by nothing found
    - `wrong_type`: the same text, another type
    - `wrong_boundary`: overlapping texts, the same type
    - `both`: overlapping texts, another type
    - `malformed`: gold of an answer that could not be read

    A wrong span found and a gold span not found are paired one to one, best first: the same text,
    then the same type, then the larger share of common words, then the alphabet. A span left over
    that overlaps a gold (found) span with another partner has the class of its nearest one, and
    stands alone: "John and Mary" for the gold "John" and "Mary" is one false positive and two false
    negatives of `wrong_boundary`.

    Spans have no offsets. Texts that stand in the sentence as whole words overlap if two of their
    places do, where a place within that of a longer span of the same set does not count ("York"
    is not at "New York" if both are named and it stands elsewhere too). Where a text does not
    stand in the sentence, texts overlap if a run of words common to both is at least half of the
    shorter one.

    Args:
        gold: spans in the compared form (`quantrial.tasks.spans.normalize`), a set.
        found: the same, or None for an answer that could not be read.
        text: the sentence; without one, words alone are compared.
    """
    return _classified(frozenset(gold), None if found is None else frozenset(found), text)


@lru_cache(maxsize=_REMEMBERED)
def _classified(right: frozenset[Span], said: frozenset[Span] | None, text: str) -> SpanErrors:
    if said is None:
        return SpanErrors(tuple(SpanError("malformed", None, span) for span in sorted(right)))
    wrong, lacking = sorted(said - right), sorted(right - said)
    if not wrong and not lacking:
        return NO_ERRORS
    sentence = _Sentence(text, right, said)
    near = sorted(
        (*rank, f, g) for f in wrong for g in lacking if (rank := sentence.rank(f, g)) is not None
    )
    errors: list[SpanError] = []
    free_found, free_gold = set(wrong), set(lacking)
    for order, _, f, g in near:
        if f in free_found and g in free_gold:
            free_found.remove(f)
            free_gold.remove(g)
            errors.append(SpanError(_NEAREST_FIRST[order], f, g))
    for f in sorted(free_found):
        kind = _nearest(sentence.rank(f, g) for g in right) or "spurious"
        errors.append(SpanError(kind, f, None))
    for g in sorted(free_gold):
        kind = _nearest(sentence.rank(f, g) for f in said) or "missed"
        errors.append(SpanError(kind, None, g))
    return SpanErrors(tuple(errors))


def _nearest(ranks: Iterable[tuple[int, float] | None]) -> str | None:
    best = min((rank for rank in ranks if rank is not None), default=None)
    return None if best is None else _NEAREST_FIRST[best[0]]


class _Sentence:
    """One sentence, and where in it the texts of two sets of spans stand."""

    def __init__(self, text: str, gold: Collection[Span], found: Collection[Span]):
        words = _WORD.findall(text.lower())
        self.words = {span[0]: _WORD.findall(span[0]) for span in (*gold, *found)}
        self.gold = self._places({span[0] for span in gold}, words)
        # a text that both name is at the place it has in the gold
        self.found = self._places({span[0] for span in found}, words) | {
            span[0]: self.gold[span[0]] for span in found if span[0] in self.gold
        }

    def _places(self, texts: Collection[str], words: Sequence[str]) -> dict[str, list[Place]]:
        everywhere = {text: _places_of(self.words[text], words) for text in texts}
        taken = {place for places in everywhere.values() for place in places}
        return {
            text: [p for p in places if not any(_within(p, other) for other in taken)] or places
            for text, places in everywhere.items()
        }

    def rank(self, found: Span, gold: Span) -> tuple[int, float] | None:
        """Say how near two spans are, least first; None where they do not overlap."""
        if found[0] == gold[0]:
            return (_NEAREST_FIRST.index("wrong_type"), -1.0)
        share = self._overlap(found[0], gold[0])
        if share == 0.0:
            return None
        kind = "wrong_boundary" if found[1] == gold[1] else "both"
        return (_NEAREST_FIRST.index(kind), -share)

    def _overlap(self, found: str, gold: str) -> float:
        """Return the common words' share of all words of two texts."""
        there, here = self.found[found], self.gold[gold]
        if there and here:
            return max(_share(p, q) for p in there for q in here)
        a, b = self.words[found], self.words[gold]
        run = _common_run(a, b)
        enough = run > 0 and 2 * run >= min(len(a), len(b))
        return run / (len(a) + len(b) - run) if enough else 0.0


def _places_of(part: Sequence[str], words: Sequence[str]) -> list[Place]:
    size = len(part)
    if not size:
        return []
    return [
        (i, i + size)
        for i in range(len(words) - size + 1)
        if words[i] == part[0] and words[i : i + size] == part
    ]


def _within(place: Place, other: Place) -> bool:
    return place != other and other[0] <= place[0] and place[1] <= other[1]


def _share(a: Place, b: Place) -> float:
    common = min(a[1], b[1]) - max(a[0], b[0])
    return common / (max(a[1], b[1]) - min(a[0], b[0])) if common > 0 else 0.0


def _common_run(a: Sequence[str], b: Sequence[str]) -> int:
    best, above = 0, [0] * (len(b) + 1)
    for word in a:
        row = [0] * (len(b) + 1)
        for j, other in enumerate(b):
            if word == other:
                row[j + 1] = above[j] + 1
        best, above = max(best, *row), row
    return best
