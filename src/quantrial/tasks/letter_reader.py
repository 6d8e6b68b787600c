"""Finds the letter that a text gives as its answer; `letters.answer_letter` says by which rules.

Apart from it because its patterns take longer to compile than a study of bare letters to score.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from quantrial.tasks.letter_languages import (
    CLOSE,
    QUOTES,
    WORD,
    Language,
    corrections,
    languages_of,
)


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
    start: int
    end: int
    tongues: Sequence[Language]

    def goes_on(self, word: str) -> bool:
        """Whether a word may follow a letter that is meant as one."""
        return any(tongue.after.fullmatch(word) for tongue in self.tongues)


# What stands around a letter is looked at this far; of a text longer than twice _HALF, begin and
# end are read. So no text takes long, whatever a broken model writes.
_REACH = 80
_HALF = 6_000

_TAG = re.compile(r"<[^<>]{0,40}>")
_ANSWER_TAG = re.compile(r"(?i)<answer>")
_ROLE = re.compile(r"(?i)\Aassistant\s{0,3}[:\n]\s*")  # what a template left in front of the answer
# "A: B", as questions and answers are written
_ANSWER_SIGN = re.compile(
    r"\AA\s{0,3}:\s{0,3}(?=[(\[\"']{0,2}[A-J][)\]\"']{0,2}\s{0,3}(?:[.,;:!\n]|$))"
)
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathsf)\b")
_EMPHASIS = re.compile(r"[*`${}]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_NEXT_QUESTION = re.compile(
    r"(?i)\n[ \t#]*(?:question|q|human|user|frage|pregunta|domanda|pergunta|questão|vraag"
    r"|pytanie|fråga|问题|問題|题目|題目)[ \t]?\d{0,3}[ \t]?[:.)]"
)
_ASKED = re.compile(r"[^.!\n\u3002]*\?")
_SENTENCE_ENDS = re.compile(r"[.!?\n\u3002]")
_CORRECTIONS = 8  # so many, from the end, are looked at
_SIGNS = " ,.:;!-\u2026\u3002\n([\"'"
# typographic quotes and dashes, as typed
_TYPED = str.maketrans(
    dict.fromkeys("\u2018\u2019", "'")
    | dict.fromkeys("\u201a", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f", '"')
    | dict.fromkeys("\u3010", "[")
    | dict.fromkeys("\u3011", "]")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2192", "-")
)

# A letter stands alone where no letter of the Latin script, digit or joined word touches it; those
# of Chinese may.
_LETTER = rf"(?<![{WORD}])(?<![{WORD}]['\-])(?P<letter>[A-Ja-j])(?![{WORD}]|['\-][{WORD}])"
# A comma joins letters only within a list: "A, B or C", not "B, C is wrong".
_LIST_GOES_ON = (
    r"(?=\s*(?:[,.;)\]\u3002\u3001]|$|or\b|and\b|are\b|oder\b|und\b|sind\b|ou\b|et\b|sont\b|u\b|y\b|son\b"
    r"|oppure\b|of\b|en\b|lub\b|albo\b|i\b|eller\b|och\b|&|/))"
)
_ALONE = re.compile(_LETTER)
_CROSSES = tuple("\u274c\u274e\u2717\u2718\u00d7")  # ballot crosses
_JOINED = re.compile(
    rf"{CLOSE}{{0,3}}\s{{0,3}}"
    r"(?:(?P<comma>,)"
    r"|,?\s?(?:(?:and/or|or|nor|oder|ou|o|oppure|of|lub|albo|eller|ni|noch|ani"
    r"|als(?:\s+auch)?|como|che|quanto|que|jak(?:\s+i)?"
    r"|(?P<and>and|und|et|y|e|ed|en|i|oraz|och))(?![A-Za-z])|[&/+\u3001]|或者?|还是|和|与|及))"
    rf"\s{{0,3}}(?:(?:option|choice|answer)\s)?[(\[{QUOTES}]{{0,3}}{_LETTER}(?(comma){_LIST_GOES_ON})"
    r"(?(and)(?!\s+(?:is|was|isn't|wasn't|would|can|can't|cannot|does|doesn't|has|seems|looks|ist|est"
    r"|es|è|é|jest)\b))"
)

# A single letter is an answer only in such company; elsewhere it is an article, a pronoun or part
# of a name: "A planet", "vitamin C", "Plan B", "E coli".
_AFTER_THE_LETTER_I = re.compile(r"is|or|because")
_LAST_WORD = re.compile(rf"([{WORD}']+)[\s\"']*$")
_NEXT_WORD = re.compile(rf"\s+([{WORD}']+)")
_ENUMERATED = re.compile(r"(?m)^[ \t(\[\-]*([A-J])[.):]")
_CHINESE = re.compile("[\u4e00-\u9fff]")
# what stands beside a letter that is meant as one, without a space
_BEFORE_IN_CHINESE = re.compile(
    r"(?:选项|选|選|是|为|為|案|即|故|答|或|和|与|了|认为|觉得)[\s\"'(]*$"
)
_AFTER_IN_CHINESE = re.compile(r"[\s\"')]*(?:项|項|选项|選項|是|正确|对|吧|最|符|为|才)")
# a word or its like, which tells a list of answers from one that was thought over
_WORD_BETWEEN = re.compile(rf"[{WORD}]{{2,}}|[\u4e00-\u9fff]")
_THOUGHT_OVER = re.compile(
    r"(?i)\b(?:wait|no|nope|actually|hmm|sorry|correction|mistake|rather|instead|however|let me"
    r"|again|recheck|moment|halt|doch|nein|attends?|attendez|non|espera|perdón|aspetta|espere"
    r"|desculpe|wacht|nee|czekaj|jednak|vänta|nej)\b|等|不对|重新|[.!?\u3002]\s*$"
)


def _plain(text: str) -> str:
    """Take away what only decorates: thinking, markup, LaTeX wrappers, wide forms of letters."""
    if len(text) > 2 * _HALF:
        text = f"{text[:_HALF]}\n{text[-_HALF:]}"
    text = unicodedata.normalize("NFKC", text).translate(_TYPED)
    text = _TAG.sub(" ", _ANSWER_TAG.sub("\nAnswer: ", text))
    # `\boxed{B}` keeps its name, since it is a statement
    text = _WRAPPER.sub("", text).replace("\\boxed{", "\\boxed ")
    return _ANSWER_SIGN.sub("Answer: ", _ROLE.sub("", _EMPHASIS.sub("", text).strip()))


def _read(text: str, letters: str) -> str | None:
    tongues = languages_of(text)
    found = _groups(text, letters, tongues)
    groups = [group for group in found if group.letters and not _is_refuted(group)]
    stated = _ranked(text, groups)
    leading = next((g.letters for g in groups if g.leads and _leads(g)), frozenset())
    if stated:
        alone_above = text[:1] in letters and text[1:2] in ("", "\n") and leading
        return _only(_corrected(text, groups, stated | leading if alone_above else stated))
    if _lists_options(text, letters):
        return None
    if leading:
        return _only(_corrected(text, groups, leading))
    return _only(_union(groups, _is_mention))


def _ranked(text: str, groups: Sequence[_Group]) -> frozenset[str]:
    """Return what the highest rank that names any option names."""
    ranks = (_finally, _explicitly, _as_stated, _as_concluded)
    return next((given for rank in ranks if (given := rank(text, groups))), frozenset())


def _corrected(text: str, groups: Sequence[_Group], found: frozenset[str]) -> frozenset[str]:
    """Return what stands behind the last correction that names an option; else what was found."""
    first = min((group.end for group in groups if group.letters & found), default=len(text))
    for place in list(corrections(text, first))[: -_CORRECTIONS - 1 : -1]:
        later = [
            g for g in groups if g.start >= place and _bounded(g) and not _ASKED.match(g.after)
        ]
        if given := _ranked(text, later) or _corrects_to(text[place:], place, later):
            return given
    return found


def _corrects_to(rest: str, place: int, groups: Sequence[_Group]) -> frozenset[str]:
    """Return what the sentence behind a correction names: "wait, B", "no, it's B"."""
    for group in groups:
        between = rest[: group.start - place].lstrip(_SIGNS)
        if _SENTENCE_ENDS.search(between):
            break
        after = group.after.lstrip(")]\"'")
        closed = not after.strip() or after[0] in _SIGNS.strip(" ")
        if _is_mention(group) if between else closed:
            return group.letters
    return frozenset()


def _only(letters: frozenset[str]) -> str | None:
    return next(iter(letters)) if len(letters) == 1 else None


def _union(groups: Sequence[_Group], rank: Callable[[_Group], bool]) -> frozenset[str]:
    return frozenset(letter for group in groups if rank(group) for letter in group.letters)


def _finally(text: str, groups: Sequence[_Group]) -> frozenset[str]:
    return _last(text, "final", [group for group in groups if _cued("final", group)])


def _explicitly(text: str, groups: Sequence[_Group]) -> frozenset[str]:
    """Return the last "answer: X", and what a statement behind it says else."""
    explicit = [group for group in groups if _cued("explicit", group) and not _is_word(group)]
    if not explicit:
        return frozenset()
    later = [group for group in groups if group.start > explicit[-1].start]
    return _last(text, "explicit", explicit) | _union(later, _is_stated)


def _as_stated(text: str, groups: Sequence[_Group]) -> frozenset[str]:
    return _union(groups, _is_stated)


def _as_concluded(text: str, groups: Sequence[_Group]) -> frozenset[str]:
    return _union(groups, _is_concluded)


def _last(text: str, rank: str, groups: Sequence[_Group]) -> frozenset[str]:
    """Return the letters of the last of several answers, which corrects the others.

    Answers that stand in a row without a word of why are a list, of which none is the answer. What
    follows a new list of options answers a question that the model invented.
    """
    found = frozenset[str]()
    end = 0
    for group in groups:
        between = text[end : group.start - len(_cue(rank, group))]
        if found and _new_options(between):
            break
        found = group.letters if not found or _corrects(between) else found | group.letters
        end = group.end
    return found


def _corrects(between: str) -> bool:
    """Whether what stands between two answers is more than the text of the first option."""
    if not _WORD_BETWEEN.search(between):
        return False
    own, _, rest = between.partition("\n")
    return bool(_WORD_BETWEEN.search(rest) or _THOUGHT_OVER.search(own))


def _new_options(between: str) -> bool:
    return len({match[1] for match in _ENUMERATED.finditer(between)}) > 1


def _groups(text: str, letters: str, tongues: Sequence[Language]) -> Iterator[_Group]:
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
            start=start,
            end=position,
            tongues=tongues,
        )


def _is_refuted(group: _Group) -> bool:
    return group.after.lstrip(" )\"'.:")[:1] in _CROSSES or any(
        tongue.negated.search(group.before) or tongue.refuted.match(group.after)
        for tongue in group.tongues
    )


def _bounded(group: _Group) -> bool:
    """Whether a lower-case letter is closed off, as a word ("a planet") is not."""
    return not group.lower or not group.after.strip() or group.after[0] in ".,:;)]\n\"'\u3002"


def _cued(rank: str, group: _Group) -> bool:
    """Whether words before a letter give it this rank, in any language."""
    return bool(_cue(rank, group))


def _cue(rank: str, group: _Group) -> str:
    """Return the words before a letter that give it this rank; empty where there are none."""
    if not _bounded(group):
        return ""
    for tongue in group.tongues:
        pattern: re.Pattern[str] = getattr(tongue, rank)
        match = pattern.search(group.before)
        if match and not tongue.negation.search(match.group()):
            return match.group()
    return ""


def _is_stated(group: _Group) -> bool:
    return _cued("stated", group) and not _is_word(group)


def _is_concluded(group: _Group) -> bool:
    if group.lower or _is_word(group):
        return False
    confirmed = any(
        tongue.confirmed.match(group.after) or _is_inverted(tongue, group)
        for tongue in group.tongues
    )
    return confirmed or _cued("chosen", group)


def _is_inverted(tongue: Language, group: _Group) -> bool:
    if tongue.inverted is None:
        return False
    before, after = tongue.inverted
    return bool(before.search(group.before) and after.match(group.after))


def _is_word(group: _Group) -> bool:
    """Whether a lone A or I goes on as a word: "Answer: A planet", "Answer: I think"."""
    word = _NEXT_WORD.match(group.after)
    if not word or not word.group(1)[0].islower() or len(group.letters) > 1:
        return False
    if group.letters == {"I"}:
        return not _AFTER_THE_LETTER_I.fullmatch(word.group(1))
    opens = group.before.rstrip()[-1:] in ("", ":", ".", "!", "?")
    return group.letters == {"A"} and opens and not group.goes_on(word.group(1))


def _is_doubted(group: _Group) -> bool:
    """Whether a letter is asked about, and more is said: "A? No." "B?" alone is an answer."""
    after = group.after.lstrip(")]\"' ")
    return after.startswith("?") and bool(after[1:].strip())


def _leads(group: _Group) -> bool:
    if _is_doubted(group):
        return False
    after = group.after.lstrip(")]\"'")
    closed = len(after) < len(group.after)
    if group.lower:
        return not after or closed or (after[0] in ".:" and not after[1:2].strip())
    if not after or closed or after[0] in ".:,;-\n\u3002":
        return True
    word = _NEXT_WORD.match(after)
    if word and word.group(1) in group.letters:
        return True  # "A A A", from a model that goes round in circles
    if not word or group.goes_on(word.group(1)):
        return _is_mention(group)
    return not group.letters & {"A", "I"} and not word.group(1)[0].islower()


def _is_mention(group: _Group) -> bool:
    if group.lower and not (group.before[-1:] == "(" and group.after[:1] == ")"):
        return False
    if _is_doubted(group):
        return False
    touching = group.before.rstrip(" \"'(")[-1:], group.after.lstrip(" \"')")[:1]
    if any(map(_CHINESE.match, touching)):
        return bool(
            (not _CHINESE.match(touching[0]) or _BEFORE_IN_CHINESE.search(group.before))
            and (not _CHINESE.match(touching[1]) or _AFTER_IN_CHINESE.match(group.after))
        )
    last = _LAST_WORD.search(group.before)
    if last and not any(t.before.fullmatch(last.group(1)) for t in group.tongues):
        return False
    word = _NEXT_WORD.match(group.after)
    if not word:
        return True
    if "I" in group.letters:
        return _AFTER_THE_LETTER_I.fullmatch(word.group(1)) is not None
    return group.goes_on(word.group(1))


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
