"""When an answer counts as one that its server ended because it repeats itself."""

from __future__ import annotations

import pytest

from quantrial.engines.replies import Repeats, ends_in_repeats


def after(*pieces: str) -> bool:
    repeats = Repeats()
    for piece in pieces:
        repeats.add(piece)
    return repeats.reached


@pytest.mark.parametrize(
    ("pieces", "reached"),
    [
        ([" no"] * 31, True),
        (["Well", ",", *[" no"] * 31], True),
        ([" no"] * 29, False),
        (["no", *[" no ", "\tno", "no\n"] * 10], True),  # white space around it makes no other
        (["\n", " "] * 15, True),  # white space at the start repeats nothing, 30 times
        (["So", *["\n"] * 29], False),
        ([*["a"] * 31, "b"], False),  # it went on
        (["a", "b"] * 60, False),  # a loop of two
        ([" no", ""] * 31, True),  # an empty piece is none
        (["日", *["日"] * 30], True),
        (["No", *[" no"] * 28], False),
        ([], False),
    ],
)
def test_pieces_that_repeat(pieces: list[str], reached: bool) -> None:
    assert after(*pieces) is reached


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ('[{"text": "Bam,' + " Bam" * 31, True),
        ("no" * 31, True),
        ("Well, " + "no way " * 30, True),  # a piece may hold more than a word
        ("Well, " + "no " * 29, False),
        ("Well" + "\n" * 30, True),
        ("Well" + " " * 29, False),
        ("Well, " + "no, " * 31 + "but", False),
        ("a" * 29, False),
        ("", False),
        ("The capital of France is Paris.", False),
        ("0.1, 0.2, 0.3, " * 31, True),
    ],
)
def test_a_whole_text_that_repeats(text: str, reached: bool) -> None:
    assert ends_in_repeats(text) is reached


def test_long_texts_are_looked_at_in_no_time_to_speak_of() -> None:
    """The work is bounded by the longest piece there is, not by the text."""
    assert not ends_in_repeats("ab" * 2_000_000 + "c")
    assert ends_in_repeats("ab" * 2_000_000)
