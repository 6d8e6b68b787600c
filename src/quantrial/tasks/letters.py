"""Readers of multiple-choice answers: which option's letter a text gives."""

from __future__ import annotations

import functools

from quantrial.tasks.answer import as_answer

LETTERS = "ABCDEFGHIJ"  # of options
_LONG = 2_000  # characters: beyond that a text is not remembered


def first_letter(text: str, letters: str) -> str | None:
    """Read the first of A-D anywhere in the text, upper-cased: the rule of published studies.

    "The answer is B" is read as A, the A of "answer"; that is the rule, kept for reproduction. It
    looks at A-D whatever the options (`letters`) are.
    """
    return next((ch for ch in text.strip().upper() if ch in "ABCD"), None)


def answer_letter(text: str, letters: str) -> str | None:
    """Read the answer that a whole text states, its thoughts left out; see `stated_letter`."""
    return stated_letter(as_answer(text).text, letters)


def stated_letter(text: str, letters: str) -> str | None:
    r"""Read the answer a reader would take: "The answer is **B**." is B.

    The first of these that names any option decides; if it names two, the text is ambiguous:

    1. a final answer: `\boxed{B}`, "final answer: B"; the last of several corrects the others
    2. an explicit answer: "ANSWER: B"; of several the last, where more than a list of them stands
       there, unless a sentence below states another
    3. a stated answer: "the answer is B", "the correct option is (B)"
    4. a conclusion: "B is correct", "I choose B", "so B"
    5. a leading letter: "B", "B) Paris"
    6. a mention: a letter that stands alone, where a letter and not a word ("A dog") or a name
       ("vitamin C") is meant

    What takes an answer back and names another one corrects it: "The answer is A. No, it's B" is B.
    All of it in English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Swedish and
    Chinese. Refuted options ("not A", "A is wrong") and letters that are no option are passed over.
    A letter alone on the first line that a statement below contradicts is ambiguous, and so is a
    list of the options. What follows a next question that the model invented is not read, unless
    nothing stands before it. Ambiguous or absent is None, which scores wrong and is counted as
    unparsed.
    """
    bare = text.strip()
    if len(bare) == 1 and bare in letters:
        return bare  # what most models say, and no pattern is needed for
    return _remembered(text, letters) if len(text) <= _LONG else _read(text, letters)


@functools.lru_cache(maxsize=4096)  # arms and items share their short answers
def _remembered(text: str, letters: str) -> str | None:
    return _read(text, letters)


def _read(text: str, letters: str) -> str | None:
    from quantrial.tasks import letter_reader

    return letter_reader.read(text, letters)
