"""What texts of any task can show: their length, a cut, a refusal, a loop, silence."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean, median
from typing import TYPE_CHECKING

import numpy as np

from quantrial import documents
from quantrial.analysis.answers.reading import Given, ended_at_limit, given, why_ended
from quantrial.analysis.outcomes import Panel
from quantrial.tasks import Endpoint
from quantrial.tasks.answer import was_cut

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.records import Response

# a loop is a unit said this often in a row, over at least so many characters
_TIMES = 5
_LOOP = 50
# units are looked for in blocks of these sizes, and are no longer than the largest
_BLOCKS = (20, 40, 80, 160, 320, 640)

_OPENING = 300
_REMEMBERED = 4096  # texts: arms say the same, and what is counted is tested as well
_LONG = 10_000  # characters: beyond that a text is not remembered
_APOSTROPHES = str.maketrans("\u2018\u2019", "''")
_LEAD = (
    r"(?:(?:(?:i'm|i\sam|we're|we\sare)\s)?(?:(?:so|very|truly)\s)?sorry|my\sapologies|apologies"
    r"|(?:i|we)\sapologi[sz]e(?:\sfor\s[^.,;\n]{1,60})?|unfortunately|(?:i'm|i\sam)\safraid(?:\sthat)?"
    r"|as\san?\s(?:ai|artificial\sintelligence|(?:ai\s|large\s)?language\smodel)"
    r"(?:\s(?:language\s)?(?:model|assistant))?)"
)
_UNWILLING = (
    r"(?:\s(?:can't|cannot|can\snot|won't|will\snot|couldn't|could\snot)"
    r"|(?:'m|'re|\sam|\sare)\s(?:not\sable|unable|not\sgoing|not\sallowed|not\spermitted)\sto)"
    r"\s(?:(?:really|currently|directly|simply|just|be\sable\sto)\s)?"
)
_SERVE = (
    r"(?:help|assist|answer|provide|comply|fulfil|fulfill|respond|engage|discuss|participate|generate"
    r"|create|write|share|do\s(?:that|this|so)|continue\swith)\b"
)
_REFUSAL = re.compile(
    rf"\W{{0,5}}(?:{_LEAD}\W{{1,3}}(?:(?:but|however)\W{{1,2}})?){{0,3}}(?:i|we)"
    rf"(?:{_UNWILLING}{_SERVE}"
    r"|\s(?:must|have\sto|need\sto)\s(?:(?:respectfully|politely)\s)?(?:decline|refuse)\b"
    r"|\s(?:(?:respectfully|politely)\s)?(?:decline|refuse)\sto\b)",
    re.IGNORECASE,
)


_Sign = Callable[["Given | Response"], bool | None]


def _or_recorded(name: str) -> Callable[[_Sign], _Sign]:
    """Take a sign as it is recorded beside the hash of a text, where the text is gone."""

    def wrapped(sign: _Sign) -> _Sign:
        @functools.wraps(sign)
        def seen(one: Given | Response) -> bool | None:
            read = isinstance(one, Given)
            scores = (one.response if isinstance(one, Given) else one).scores
            key = f"{'sign' if read else 'text'}.{name}"
            if scores is not None and key in scores:
                return None if scores[key] is None else scores[key] == 1.0
            return sign(one)

        return seen

    return wrapped


@_or_recorded("empty")
def is_empty(one: Given | Response) -> bool | None:
    """Whether nothing but white space was said beside thoughts; None where no text is recorded."""
    shown = given(one)
    return shown.answer.is_empty if shown.response.has_text else None


@_or_recorded("truncated")
def is_truncated(one: Given | Response) -> bool | None:
    """Whether a limit ended the text; None where that is not known.

    It did where the engine says so, where it says nothing and the tokens are as many as there might
    be, and where the text ends inside a thought. A text that ended by itself with exactly as many
    tokens is truncated only where it breaks off: the task could not read it.
    """
    shown = given(one)
    if shown.answer.unfinished:
        return True
    cut = was_cut(why_ended(shown.response, shown.limit))
    if shown.response.finish_reason is None and not cut:
        return None  # the window of the model may have ended it
    if ended_at_limit(shown.response, shown.limit):
        return shown.parsed is False
    return cut


@_or_recorded("refused")
def is_refused(one: Given | Response) -> bool | None:
    """Whether an English answer opens by declining to do what was asked.

    Only the opening counts (after thoughts, and after "sorry", "unfortunately", "as an AI
    language model"), and only a verb of serving: "I can't help", "I'm unable to provide", "I must
    decline". Not knowing ("I cannot determine") is an answer, if a poor one; what somebody says
    further down in a story is no refusal.
    """
    shown = given(one)
    return _declines(shown.answer.text.lstrip()[:_OPENING]) if shown.response.has_text else None


@functools.lru_cache(maxsize=_REMEMBERED)
def _declines(opening: str) -> bool:
    return _REFUSAL.match(opening.translate(_APOSTROPHES)) is not None


@_or_recorded("repeating")
def is_repeating(one: Given | Response) -> bool | None:
    """Whether the text, thoughts included, is caught in a loop.

    It is where the engine ended it for that, or where the same unit of 1 to 640 characters, with
    what separates it from the next, stands at least five times in a row, over at least 50
    characters; white space of any kind counts as one space. A unit without a letter or digit (rules
    and lines of tables are made of such) must fill half of the text. The time is linear in the
    text's length.
    """
    shown = given(one)
    if shown.response.finish_reason == "repeat_limit":
        return True
    if not shown.response.has_text:
        return None
    return any(_has_loop(text) for text in (shown.response.said, shown.answer.thought))


def _has_loop(text: str) -> bool:
    if len(text) < _LOOP:
        return False
    plain = " ".join(text.split())
    return _remembered_loops(plain) if len(plain) <= _LONG else _loops(plain)


@functools.lru_cache(maxsize=_REMEMBERED)
def _remembered_loops(text: str) -> bool:
    return _loops(text)


def _loops(text: str) -> bool:
    # A run of period p that is 5 p and 50 long holds a whole aligned block of the smallest size
    # that is at least p, and p more after it. A block no shorter than p comes again after p, and
    # no sooner (Fine and Wilf), so one search from each block finds every run. A run that was
    # measured is not measured again: that keeps the time linear.
    n = len(text)
    for size in _BLOCKS:
        if n < max(_LOOP, _TIMES * size // 2):
            break
        known, until = 0, -1
        for at in range(0, n - size, size):
            again = text.find(text[at : at + size], at + 1, at + 2 * size)
            period = again - at
            if again < 0 or (period == known and at + period <= until):
                continue
            start, end = _run(text, at, again + size, period)
            known, until = period, end
            length = end - start
            if length < max(_LOOP, _TIMES * period):
                continue
            unit = text[start : start + period]
            if 2 * length >= n or any(ch.isalnum() for ch in unit):
                return True
    return False


def _run(text: str, start: int, end: int, period: int) -> tuple[int, int]:
    """Widen a stretch as far as each character equals the one a period away."""

    def before(k: int) -> bool:
        return text[start - k : start] == text[start - k + period : start + period]

    def after(k: int) -> bool:
        return text[end : end + k] == text[end - period : end - period + k]

    return start - _longest(start, before), end + _longest(len(text) - end, after)


def _longest(most: int, holds: Callable[[int], bool]) -> int:
    """Return the largest k up to `most` that holds, where all below one that holds do too."""
    low, step = 0, 1
    while low + step <= most and holds(low + step):
        low, step = low + step, 2 * step
    high = min(most + 1, low + step)  # it does not hold here
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


SIGNS: Mapping[str, _Sign] = {
    "truncated": is_truncated,
    "refused": is_refused,
    "repeating": is_repeating,
    "empty": is_empty,
}


def text_signs(responses: Iterable[Given | Response | None]) -> documents.TextSigns:
    """Describe one arm's texts on one task; faults and missing answers (None) are left out."""
    said = [given(one) for one in responses if one is not None]
    texts = [one.response for one in said]
    tokens = [r.completion_tokens for r in texts if r.completion_tokens is not None]
    return documents.TextSigns(
        n=len(said),
        characters=_lengths([n for r in texts if (n := r.characters) is not None]),
        completion_tokens=_lengths(tokens),
        truncated=_sign(said, is_truncated),
        refused=_sign(said, is_refused),
        repeating=_sign(said, is_repeating),
        empty=_sign(said, is_empty),
    )


def _sign(said: Iterable[Given], sign: _Sign) -> documents.Sign:
    known = [shown for one in said if (shown := sign(one)) is not None]
    count = sum(known)
    return documents.Sign(n=len(known), count=count, rate=count / len(known) if known else None)


def _lengths(values: list[int]) -> documents.Lengths:
    if not values:
        return documents.Lengths(n=0, mean=None, median=None)
    return documents.Lengths(n=len(values), mean=fmean(values), median=float(median(values)))


def sign_panels(outcomes: TaskOutcomes) -> list[Panel]:
    """Score each sign as the share of items without it, so that negative is a loss.

    One panel each for `not_truncated`, `not_refused`, `not_repeating`, `not_empty`; none for a
    sign that no arm shows. An item whose truncation an engine does not tell is left out, and is no
    missing answer.
    """
    panels = []
    given_by = [outcomes.given(arm) for arm in outcomes.arms]
    for name, sign in SIGNS.items():
        shown = [[None if one is None else sign(one) for one in row] for row in given_by]
        panel = panel_without(outcomes, f"not_{name}", shown)
        if panel is not None:
            panels.append(panel)
    return panels


def panel_without(
    outcomes: TaskOutcomes, name: str, shown: Iterable[Iterable[bool | None]]
) -> Panel | None:
    """Score the share of items that do not show something, in a panel of one endpoint.

    Args:
        outcomes: whose items, arms and groups (clusters and strata) the panel has.
        name: of the endpoint.
        shown: for each arm in order, for each item in order; None where nothing is known.

    Returns:
        None where no arm shows it on any item: there is nothing to test.
    """
    table = [list(row) for row in shown]
    if not any(any(row) for row in table):
        return None
    answered = np.array([[one is not None for one in row] for row in table]).T
    without = np.array([[one is False for one in row] for row in table]).T
    return outcomes.panel.of_one(Endpoint(name, "proportion", {name: 1.0}), without, answered)
