"""Finds the letter that a text gives as its answer; `letters.answer_letter` says by which rules.

Apart from it because its patterns take longer to compile than a study of bare letters to score.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass


def read(text: str, letters: str) -> str | None:
    """Read what comes before an invented next question; where nothing does, all of it."""
    plain = _plain(text)
    invented = _NEXT_QUESTION.search(plain)
    head = plain[: invented.start()] if invented else ""
    return (_read(head, letters) if head.strip() else None) or _read(plain, letters)


@dataclass(frozen=True, slots=True)
class _Group:
    """One letter, or several joined as in "A or B", with what stands around."""

    letters: frozenset[str]
    before: str
    after: str
    lower: bool
    leads: bool


# What stands around a letter is looked at this far; of a text longer than twice _HALF, begin and
# end are read. So no text takes long, whatever a broken model writes.
_REACH = 80
_HALF = 8_000

_TAG = re.compile(r"<[^<>]{0,40}>")
_ANSWER_TAG = re.compile(r"(?i)<answer>")
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathsf)\b")
_EMPHASIS = re.compile(r"[*`${}]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_NEXT_QUESTION = re.compile(r"(?i)\n[ \t#]*(?:question|q|human|user)[ \t]?\d{0,3}[ \t]?[:.)]")
_QUOTES = "\"'"
# typographic quotes and dashes, as typed
_TYPED = str.maketrans(
    dict.fromkeys("\u2018\u2019", "'")
    | dict.fromkeys("\u201c\u201d", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2192", "-")
)

_OPEN, _CLOSE = rf"[\s(\[{_QUOTES}]", rf"[)\]{_QUOTES}]"
_LETTER = (
    r"(?<![A-Za-z0-9])(?<![A-Za-z0-9]['\-])(?P<letter>[A-Ja-j])(?![A-Za-z0-9]|['\-][A-Za-z0-9])"
)
# A comma joins letters only within a list: "A, B or C", not "B, C is wrong".
_LIST_GOES_ON = r"(?=\s*(?:[,.;)\]]|$|or\b|and\b|are\b|&|/))"
_ALONE = re.compile(_LETTER)
_JOINED = re.compile(
    rf"{_CLOSE}{{0,3}}\s{{0,3}}"
    rf"(?:(?P<comma>,)|,?\s?(?:(?:and/or|or|nor|(?P<and>and))(?![A-Za-z])|[&/+]))\s{{0,3}}"
    rf"(?:(?:option|choice|answer)\s)?[(\[{_QUOTES}]{{0,3}}{_LETTER}(?(comma){_LIST_GOES_ON})"
    r"(?(and)(?!\s+(?:is|was|isn't|wasn't|would|can|can't|cannot|does|doesn't|has|seems|looks)\b))"
)

_ADVERB = (
    r"(?:(?:indeed|clearly|therefore|thus|most\s+likely|likely|probably|definitely|simply|then|also)"
    r"\s+)?"
)
_KIND = r"(?:the\s+)?(?:(?:correct|right|best)\s+)?(?:(?:option|choice|letter|answer|one)\s*)?"
_LINK = rf"(?:\b(?:is|be|was)\b|[:=\->]){_CLOSE}{{0,2}}:?\s*{_ADVERB}{_KIND}[:\-]?{_OPEN}{{0,4}}$"
_FINAL = re.compile(rf"(?i)(?:\bfinal\s+answer\b[^.;\n]{{0,30}}?{_LINK}|\\boxed{_OPEN}{{0,4}}$)")
_STATED = re.compile(
    rf"(?i)(?:\b(?:answer|ans|solution)\b[^.;:\n]{{0,60}}?{_LINK}"
    rf"|\banswer\s+(?:(?:option|choice|letter)\s+)?[(\[{_QUOTES}]{{0,3}}$"
    rf"|\b(?:correct|right|best)\b[^.;:\n]{{0,40}}?{_LINK}"
    rf"|\b(?:option|choice|letter)\s+{_LINK})"
)
_CHOSEN = re.compile(
    r"(?i)\b(?:(?:choose|pick|select|chose|picked|say|go\s+with|going\s+with|went\s+with|opt\s+for"
    r"|vote\s+for)|(?:therefore|thus|hence|so),?(?:\s+(?:it\s+is|it's|it\s+must\s+be))?)\s+"
    rf"{_ADVERB}{_KIND}:?{_OPEN}{{0,4}}$"
)
# Between a letter and its verb may stand its text ("B) Paris is correct"), not another clause.
_TEXT = (
    r"(?:(?!\b(?:because|since|as|while|whereas|and|but|or|so|when|which|that|if)\b|(?-i:\b[A-J]\b))"
    r"[^.;:,\n]){0,40}?"
)
_CONFIRMED = re.compile(
    rf"(?i){_CLOSE}{{0,3}}{_TEXT}\b(?:is|are|seems|looks|would\s+be|must\s+be)\s+{_ADVERB}"
    r"(?:(?:(?:the|our|my)\s+)?(?:only\s+|most\s+|more\s+)?"
    r"(?:correct|right|best|accurate|appropriate)\b|(?:the|our|my)\s+(?:answer|one)\b)"
)
_NEGATED = re.compile(
    r"(?i)\b(?:not|isn't|cannot\s+be|can't\s+be|never|except|rather\s+than|instead\s+of|unlike"
    r"|rule\s+out|eliminate|neither|exclude)\s+(?:the\s+)?(?:(?:options?|choices?)\s+)?"
    rf"{_OPEN}{{0,3}}$"
)
_REFUTED = re.compile(
    rf"(?i){_CLOSE}{{0,3}}{_TEXT}(?:\b(?:is|are|was|were|seems?|looks?|would\s+be)\s+"
    r"(?:\w+\s+)?(?:not|wrong|incorrect|false|ruled|eliminated|out|impossible|unlikely)\b"
    r"|\b(?:is|are|was|were|does|do|would|could)n't\b|\bcan(?:not|'t)\b|\b(?:does|do)\s+not\b)"
)
_NEGATION = re.compile(r"(?i)\b(?:not|never|cannot|neither)\b|n't\b")

# A single letter is an answer only in such company; elsewhere it is an article, a pronoun or part
# of a name: "A planet", "vitamin C", "Plan B", "E coli".
_BEFORE_A_MENTION = re.compile(
    r"(?i)options?|choices?|letter|answer|is|be|with|choose|pick|select|say|think|believe|guess|or|and"
    r"|so|therefore|thus|hence|it's|for|to|either|between|both|but|then|maybe|perhaps|probably|likely"
    r"|mean|prefer|than"
)
_AFTER_A_MENTION = re.compile(
    r"(?i)is|are|or|and|because|since|as|would|seems|looks|was|but|should|must|due|too|for|which"
)
_AFTER_THE_LETTER_I = re.compile(r"is|or|because")
_LAST_WORD = re.compile(r"([A-Za-z']+)[\s\"']*$")
_NEXT_WORD = re.compile(r"\s+([A-Za-z']+|\d)")
_ENUMERATED = re.compile(r"(?m)^[ \t(\[\-]*([A-J])[.):]")


def _plain(text: str) -> str:
    """Take away what only decorates: thinking, markup, LaTeX wrappers, wide forms of letters."""
    if len(text) > 2 * _HALF:
        text = f"{text[:_HALF]}\n{text[-_HALF:]}"
    text = unicodedata.normalize("NFKC", text).translate(_TYPED)
    text = text.rpartition("</think>")[2]
    text = _TAG.sub(" ", _ANSWER_TAG.sub("\nAnswer: ", text))
    # `\boxed{B}` keeps its name, since it is a statement
    text = _WRAPPER.sub("", text).replace("\\boxed{", "\\boxed ")
    return _EMPHASIS.sub("", text).strip()


def _read(text: str, letters: str) -> str | None:
    groups = [group for group in _groups(text, letters) if group.letters and not _is_refuted(group)]
    stated = next(
        (
            found
            for rank in (_is_final, _is_stated, _is_concluded)
            if (found := _union(groups, rank))
        ),
        frozenset(),
    )
    leading = next((g.letters for g in groups if g.leads and _leads(g)), frozenset())
    if stated:
        alone_above = text[:1] in letters and text[1:2] in ("", "\n") and leading
        return _only(stated | leading if alone_above else stated)
    if _lists_options(text, letters):
        return None
    if leading:
        return _only(leading)
    return _only(_union(groups, _is_mention))


def _only(letters: frozenset[str]) -> str | None:
    return next(iter(letters)) if len(letters) == 1 else None


def _union(groups: list[_Group], rank: Callable[[_Group], bool]) -> frozenset[str]:
    return frozenset(letter for group in groups if rank(group) for letter in group.letters)


def _groups(text: str, letters: str) -> Iterator[_Group]:
    position = 0
    while match := _ALONE.search(text, position):
        start, first, found = match.start(), match, [match.group()]
        while joined := _JOINED.match(text, match.end()):
            if joined.group("letter").islower():
                break
            found.append(joined.group("letter"))
            match = joined
        position = match.end()
        yield _Group(
            frozenset(letter.upper() for letter in found) & frozenset(letters),
            text[max(0, start - _REACH) : start],
            text[position : position + _REACH],
            lower=first.group().islower(),
            leads=not text[:start].strip("([\"' \n"),
        )


def _is_refuted(group: _Group) -> bool:
    return bool(_NEGATED.search(group.before) or _REFUTED.match(group.after))


def _bounded(group: _Group) -> bool:
    """Whether a lower-case letter is closed off, as a word ("a planet") is not."""
    return not group.lower or not group.after.strip() or group.after[0] in ".,:;)]\n\"'"


def _cued(pattern: re.Pattern[str], group: _Group) -> bool:
    match = pattern.search(group.before)
    return bool(match and _bounded(group) and not _NEGATION.search(match.group()))


def _is_final(group: _Group) -> bool:
    return _cued(_FINAL, group)


def _is_stated(group: _Group) -> bool:
    return _cued(_STATED, group) and not _is_word(group)


def _is_concluded(group: _Group) -> bool:
    if group.lower or _is_word(group):
        return False
    return _cued(_CHOSEN, group) or bool(_CONFIRMED.match(group.after))


def _is_word(group: _Group) -> bool:
    """Whether a lone A or I goes on as a word: "Answer: A planet", "Answer: I think"."""
    word = _NEXT_WORD.match(group.after)
    if not word or not word.group(1)[0].islower() or len(group.letters) > 1:
        return False
    if group.letters == {"I"}:
        return not _AFTER_THE_LETTER_I.fullmatch(word.group(1))
    opens = group.before.rstrip()[-1:] in ("", ":", ".", "!", "?")
    return group.letters == {"A"} and opens and not _AFTER_A_MENTION.fullmatch(word.group(1))


def _leads(group: _Group) -> bool:
    after = group.after.lstrip(")]\"'")
    closed = len(after) < len(group.after)
    if group.lower:
        return not after or closed or (after[0] in ".:" and not after[1:2].strip())
    if not after or closed or after[0] in ".:,;-\n":
        return True
    word = _NEXT_WORD.match(after)
    if not word or _AFTER_A_MENTION.fullmatch(word.group(1)):
        return _is_mention(group)
    return not group.letters & {"A", "I"} and not word.group(1)[0].islower()


def _is_mention(group: _Group) -> bool:
    if group.lower:
        return False
    last = _LAST_WORD.search(group.before)
    if last and not _BEFORE_A_MENTION.fullmatch(last.group(1)):
        return False
    word = _NEXT_WORD.match(group.after)
    if not word:
        return True
    allowed = _AFTER_THE_LETTER_I if "I" in group.letters else _AFTER_A_MENTION
    return allowed.fullmatch(word.group(1)) is not None


def _lists_options(text: str, letters: str) -> bool:
    """Whether the text repeats the options, one a line or in a row."""
    enumerated = {match.group(1) for match in _ENUMERATED.finditer(text)} & set(letters)
    if len(enumerated) > 1:
        return True
    # of two options only "A) ... B)" is a list; "A. It is not B." is none
    mark = "[).:]" if len(letters) > 2 else "[)]"
    position = 0
    for letter in letters[:3]:
        found = re.compile(rf"(?<![A-Za-z0-9]){letter}{mark}").search(text, position)
        if not found:
            return False
        position = found.end()
    return True
