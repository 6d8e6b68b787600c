"""Whether all arms were shown the same prompts: the bytes sent, and the counts of tokens read.

Every arm is sent the same bytes. What a server makes of them (another chat template, a system
prompt of its own, a window that cuts) shows in how many tokens it says that it read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from quantrial.documents import TokenCeiling, TokenMismatch

if TYPE_CHECKING:
    from quantrial.records import Response


_FEW = 3  # items; of fewer, nothing is said of a pattern
_TWICE, _APART = 2, 200  # by so much and so many bytes, texts of one count of tokens differ
_NEAR = 8  # tokens below a window's edge at which a cut prompt still counts as cut there

Rows = Mapping[str, Sequence["Response | None"]]
Again = Mapping[str, Mapping[int, "Response"]]
_Counts = Sequence[int | None]


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """What the counts of one task say: `left_out` are the items of each arm that differ.

    `unsteady` are arms that counted one and the same prompt in two ways, with the smallest and the
    largest count of such a prompt: their counts are of something else, and are not compared.
    `uncounted` is on how many items some arm's answer does not say what was read. `ceilings` are
    arms whose counts do not grow with the length of what they are sent.
    """

    mismatches: tuple[TokenMismatch, ...] = ()
    left_out: Mapping[str, frozenset[int]] = field(default_factory=dict)
    unsteady: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    uncounted: int = 0
    ceilings: Mapping[str, TokenCeiling] = field(default_factory=dict)


def ceilings(rows: Rows, length: Callable[[int], tuple[int, int]]) -> dict[str, TokenCeiling]:
    """Find arms whose counts of tokens pile up at one number, though the texts' lengths differ.

    A window that is smaller than the prompts shows so where all arms have it.

    Args:
        rows: the answers of each arm, in the order of the items.
        length: of the item of an index, in bytes: its question or sentence, and all its texts. A
            prompt shows one or the other, so both have to differ.
    """
    found = {}
    for arm, row in rows.items():
        # counts may leave out what came from a cache: then their sum grows
        readings = [_ceiling(one.counts, length) for one in _readings(row, ())]
        if None not in readings and readings and readings[0] is not None:
            found[arm] = readings[0]
    return found


def _ceiling(counts: _Counts, length: Callable[[int], tuple[int, int]]) -> TokenCeiling | None:
    most = max(filter(None, counts), default=0)
    places = [i for i, count in enumerate(counts) if count and count == most]
    if len(places) < _FEW:
        return None
    at = [length(i) for i in places]
    if not all(map(_differ, zip(*at, strict=True))):
        return None
    whole = [texts for _, texts in at]
    known = sum(count is not None for count in counts)
    return TokenCeiling(
        tokens=most, items=len(at), counted=known, shortest=min(whole), longest=max(whole)
    )


def _differ(lengths: Sequence[int]) -> bool:
    least, most = min(lengths), max(lengths)
    return most - least > _APART and most > _TWICE * least


def check_tokens(rows: Rows, again: Again, reference: str | None) -> TokenCheck:
    """Hold the prompt tokens of every arm against the reference's, item by item.

    A count may leave out what came from a server's cache, where the server says how much that was;
    it is then taken as the sum of both if only so all counts agree. A count of 0 is none: no prompt
    is empty.

    Args:
        rows: the answers of each arm, in the order of the items.
        again: second answers, by arm and item.
        reference: the arm that the others are held against; where it counts nothing, they are held
            against the first that does, and neither of two that differ is taken to be right.
    """
    steady: dict[str, list[_Counts]] = {}
    unsteady: dict[str, tuple[int, int]] = {}
    for arm, row in rows.items():
        seconds = [*again.get(arm, {}).values()]
        readings = [one for one in _readings(row, seconds) if one.contradiction is None]
        if readings:
            steady[arm] = [one.counts for one in readings]
        elif (found := _reading(row, seconds).contradiction) is not None:
            unsteady[arm] = found
    uncounted = sum(
        any(answer is not None and not answer.prompt_tokens for answer in answers)
        for answers in zip(*rows.values(), strict=True)
    )
    if reference in unsteady:
        return TokenCheck(unsteady=unsteady, uncounted=uncounted)
    counting = [arm for arm, known in steady.items() if any(known[0])]
    base = reference if reference in counting else next(iter(counting), None)
    mismatches: list[TokenMismatch] = []
    left_out: dict[str, frozenset[int]] = {}
    for arm in counting:
        if base is None or arm == base:
            continue
        ours, theirs = _agreeing(steady[arm], steady[base])
        if differing := _differing(ours, theirs):
            mismatches.append(_mismatch(arm, base, ours, theirs))
            left_out[arm] = differing
            if base != reference:  # nobody knows which of the two read what the reference did
                mismatches.append(_mismatch(base, arm, theirs, ours))
                left_out[base] = left_out.get(base, frozenset()) | differing
    return TokenCheck(tuple(mismatches), left_out, unsteady, uncounted)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read an arm's counts; the two counts of one prompt where it contradicts itself."""

    counts: _Counts
    contradiction: tuple[int, int] | None


def _readings(row: Sequence[Response | None], seconds: Sequence[Response]) -> list[_Reading]:
    """List the ways to read an arm's counts: as they stand, or without what came from a cache."""
    answers = [answer for answer in (*row, *seconds) if answer is not None]
    cached = any(answer.cached_tokens for answer in answers)
    # more from the cache than in the prompt: the count is of what was read anew
    apart = any((a.cached_tokens or 0) > (a.prompt_tokens or 0) > 0 for a in answers)
    readings = [] if apart else [_reading(row, seconds)]
    if cached:
        readings.append(_reading(row, seconds, with_cached=True))
    return readings


def _reading(
    row: Sequence[Response | None], seconds: Sequence[Response], *, with_cached: bool = False
) -> _Reading:
    def count(answer: Response | None) -> int | None:
        if answer is None or not answer.prompt_tokens:
            return None
        return answer.prompt_tokens + (answer.cached_tokens or 0 if with_cached else 0)

    counts = [count(answer) for answer in row]
    first: dict[str, int] = {}
    two: tuple[int, int] | None = None
    pairs = itertools.chain(zip(row, counts, strict=True), ((one, count(one)) for one in seconds))
    for answer, tokens in pairs:
        if answer is None or tokens is None or answer.prompt_sha256 is None:
            continue
        before = first.setdefault(answer.prompt_sha256, tokens)
        if tokens != before and (two is None or abs(tokens - before) > two[1] - two[0]):
            two = min(tokens, before), max(tokens, before)
    return _Reading(counts, two)


def _agreeing(ours: Sequence[_Counts], theirs: Sequence[_Counts]) -> tuple[_Counts, _Counts]:
    """Return the readings under which two arms agree on every item; else the first of each."""
    for one, other in itertools.product(ours, theirs):
        if not _differing(one, other):
            return one, other
    return ours[0], theirs[0]


def _differing(ours: _Counts, theirs: _Counts) -> frozenset[int]:
    return frozenset(
        at
        for at, (one, other) in enumerate(zip(ours, theirs, strict=True))
        if one is not None and other is not None and one != other
    )


def _mismatch(arm: str, against: str, ours: _Counts, theirs: _Counts) -> TokenMismatch:
    both = [
        (one, other)
        for one, other in zip(ours, theirs, strict=True)
        if one is not None and other is not None
    ]
    steps = [one - other for one, other in both if one != other]
    kind: Literal["offset", "window", "other"] = "other"
    limited, ceiling = None, None
    if len(steps) == len(both) >= _FEW and len(set(steps)) == 1 and len(set(both)) > 1:
        kind = "offset"
    elif _is_window(both):
        kind, limited, ceiling = "window", arm, max(one for one, _ in both)
    elif _is_window([(other, one) for one, other in both]):
        kind, limited, ceiling = "window", against, max(other for _, other in both)
    return TokenMismatch(
        arm=arm,
        against=against,
        kind=kind,
        items=len(steps),
        counted=len(both),
        least=min(steps),
        most=max(steps),
        limited=limited,
        ceiling=ceiling,
    )


def _is_window(both: Sequence[tuple[int, int]]) -> bool:
    """Whether the first of two arms has a smaller window: it never reads more, the other does.

    Either every prompt that fits is read alike and every longer one is not, or the shorter counts
    pile up at the window's edge while the prompts' lengths vary. What differs by one number of
    tokens throughout was not cut.
    """
    edge = max(one for one, _ in both)
    cut = [(one, other) for one, other in both if one != other]
    if len(cut) < _FEW - 1 or min(other for _, other in cut) <= edge:
        return False
    if len({other - one for one, other in cut}) == 1 and len({one for one, _ in cut}) > 1:
        return False
    if len(cut) < len(both):
        return True
    piled = sum(edge - one <= _NEAR for one, _ in cut)
    lengths = [other for _, other in cut]
    return len(cut) >= _FEW and 2 * piled >= len(cut) and max(lengths) - min(lengths) > _NEAR


def leave_out_unlike(
    rows: Mapping[str, list[Response | None]],
    again: Mapping[str, dict[int, Response]],
) -> tuple[set[int], int]:
    """Take out the answers to items that were not shown to all arms as the same bytes.

    An item may look otherwise after a run went on with another version of the program. Which arm
    saw the right bytes nobody can say, so its answers of all arms are set to None, in place. Second
    answers go where they were given to other bytes than the first.

    Args:
        rows: the answers of each arm, in the order of the items.
        again: second answers, by arm and item.

    Returns:
        Which items were left out, and on how many of the others some arm's answer does not say what
        was shown.
    """
    unlike, unhashed = set[int](), 0
    for at, answers in enumerate(zip(*rows.values(), strict=True)):
        shown = {answer.prompt_sha256 for answer in answers if answer is not None}
        if len(shown - {None}) > 1:
            unlike.add(at)
        elif None in shown:
            unhashed += 1
    for arm, row in rows.items():
        for at in unlike:
            row[at] = None
        seconds = again.get(arm, {})
        for at in list(seconds):
            first = row[at]
            if at in unlike or (
                first is not None and first.prompt_sha256 != seconds[at].prompt_sha256
            ):
                del seconds[at]
    return unlike, unhashed


def leave_out_unlike_tokens(
    rows: Mapping[str, list[Response | None]],
    again: Mapping[str, dict[int, Response]],
    reference: str | None,
    length: Callable[[int], tuple[int, int]],
) -> TokenCheck:
    """Take out, in place, an arm's answers to prompts of which it read other tokens.

    Here the arm is known: the one whose count is not the reference's. Its second answers to these
    items go too.

    Args:
        rows: the answers of each arm, in the order of the items.
        again: second answers, by arm and item.
        reference: the arm that the others are held against.
        length: of the item of an index, in bytes: its first text, and all its texts.
    """
    found = replace(check_tokens(rows, again, reference), ceilings=ceilings(rows, length))
    for arm, items in found.left_out.items():
        for at in items:
            rows[arm][at] = None
            again.get(arm, {}).pop(at, None)
    return found
