"""What is wrong with a wrong span: invented, missed, of another type, cut elsewhere. Pure."""

from __future__ import annotations

import bisect
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from quantrial.tasks.span_reader import Span

ERROR_CLASSES = ("spurious", "missed", "wrong_type", "wrong_boundary", "both", "malformed")

_REMEMBERED = 20_000  # answers, so that a table, a contrast and a panel class each of them once
_MOST_COMPARED = 1000
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

    Of an answer with more than a thousand wrong spans only so many are compared, those that stand
    in the sentence first; the others are `spurious`.

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
    compared = sorted(wrong, key=lambda span: (not sentence.found[span[0]], span))[:_MOST_COMPARED]
    of_lacking, of_right = _ByWord(sentence, lacking), _ByWord(sentence, right)
    of_said = _ByWord(sentence, (*compared, *(said & right)))
    near = sorted(
        (*rank, f, g)
        for f in compared
        for g in of_lacking.alike(f)
        if (rank := sentence.rank(f, g)) is not None
    )
    errors: list[SpanError] = []
    free_found, free_gold = set(wrong), set(lacking)
    for order, _, f, g in near:
        if f in free_found and g in free_gold:
            free_found.remove(f)
            free_gold.remove(g)
            errors.append(SpanError(_NEAREST_FIRST[order], f, g))
    alone = free_found.intersection(compared)
    for f in sorted(free_found):
        ranks = (sentence.rank(f, g) for g in (of_right.alike(f) if f in alone else ()))
        kind = _nearest(ranks) or "spurious"
        errors.append(SpanError(kind, f, None))
    for g in sorted(free_gold):
        kind = _nearest(sentence.rank(f, g) for f in of_said.alike(g)) or "missed"
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
        inner = _inner({place for places in everywhere.values() for place in places})
        return {
            text: [place for place in places if place not in inner] or places
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
            return _best_share(there, here)
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


def _inner(places: Collection[Place]) -> set[Place]:
    """Return the places that lie within another one."""
    inner = set[Place]()
    furthest = -1
    # whatever holds a place comes before it
    for start, end in sorted(places, key=lambda place: (place[0], -place[1])):
        if end <= furthest:
            inner.add((start, end))
        furthest = max(furthest, end)
    return inner


class _ByWord:
    """Spans by the words of their texts: two without a common word, nor text, do not overlap."""

    def __init__(self, sentence: _Sentence, spans: Iterable[Span]):
        self._words = sentence.words
        self._spans: dict[str, list[Span]] = {}
        for span in spans:
            for key in self._keys(span):
                self._spans.setdefault(key, []).append(span)

    def alike(self, span: Span) -> set[Span]:
        """Return the spans that may overlap one."""
        return {other for key in self._keys(span) for other in self._spans.get(key, ())}

    def _keys(self, span: Span) -> Iterable[str]:
        return set(self._words[span[0]]) or {span[0]}


def _best_share(there: Sequence[Place], here: Sequence[Place]) -> float:
    """Return the largest share of two places, one of each list; each is in order, of one width."""
    starts = [start for start, _ in here]
    wider = (there[0][1] - there[0][0]) - (here[0][1] - here[0][0])
    best = 0.0
    for place in there:
        # the common part grows up to where one holds the other, and shrinks behind it
        at = bisect.bisect_left(starts, place[0] + min(wider, 0))
        best = max(best, *(_share(place, here[i]) for i in (at - 1, at) if 0 <= i < len(here)))
    return best


def _share(a: Place, b: Place) -> float:
    common = min(a[1], b[1]) - max(a[0], b[0])
    return common / (max(a[1], b[1]) - min(a[0], b[0])) if common > 0 else 0.0


def _common_run(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest run of words that both hold, in linear time.

    By a suffix automaton of one of them. Source: Blumer et al. (1985), "The smallest automaton
    recognizing the subwords of a text", https://doi.org/10.1016/0304-3975(85)90157-4
    """
    following: list[dict[str, int]] = [{}]
    links, lengths, last = [-1], [0], 0
    for word in b:
        new = len(following)
        following.append({})
        links.append(0)
        lengths.append(lengths[last] + 1)
        state = last
        while state >= 0 and word not in following[state]:
            following[state][word] = new
            state = links[state]
        if state >= 0:
            links[new] = _split(following, links, lengths, state, word)
        last = new
    best = state = run = 0
    for word in a:
        while state and word not in following[state]:
            state = links[state]
            run = lengths[state]
        if word in following[state]:
            state, run = following[state][word], run + 1
            best = max(best, run)
    return best


def _split(
    following: list[dict[str, int]], links: list[int], lengths: list[int], state: int, word: str
) -> int:
    """Return the state that a new one links to, made now where none of that length is there."""
    old = following[state][word]
    if lengths[old] == lengths[state] + 1:
        return old
    clone = len(following)
    following.append(dict(following[old]))
    links.append(links[old])
    lengths.append(lengths[state] + 1)
    links[old] = clone
    while state >= 0 and following[state].get(word) == old:
        following[state][word] = clone
        state = links[state]
    return clone
