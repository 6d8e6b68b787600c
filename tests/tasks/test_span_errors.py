"""What is wrong with a wrong span."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.tasks.span_errors import SpanError, classify
from strategies import FEW_WORDS, SPANS

Spans = Sequence[tuple[str, str]]

SENTENCE = "Yesterday John Smith and Mary of New York University met in York, near Oxford"
PER_JOHN, PER_MARY = ("john smith", "PER"), ("mary", "PER")
ORG_NYU, LOC_YORK = ("new york university", "ORG"), ("york", "LOC")


def kinds(gold: Spans, found: Spans | None, text: str = SENTENCE) -> list[tuple[str, Any, Any]]:
    errors = classify(gold, found, text).errors
    return sorted(((e.kind, e.found and e.found[0], e.gold and e.gold[0]) for e in errors), key=str)


@pytest.mark.parametrize(
    ("gold", "found", "expected"),
    [
        ([PER_JOHN], [PER_JOHN], []),
        ([], [], []),
        ([], [PER_MARY], [("spurious", "mary", None)]),
        ([PER_MARY], [], [("missed", None, "mary")]),
        ([PER_JOHN], [("john smith", "LOC")], [("wrong_type", "john smith", "john smith")]),
        ([PER_JOHN], [("smith", "PER")], [("wrong_boundary", "smith", "john smith")]),
        ([PER_JOHN], [("smith and", "PER")], [("wrong_boundary", "smith and", "john smith")]),
        ([PER_JOHN], [("john", "ORG")], [("both", "john", "john smith")]),
        ([PER_JOHN], None, [("malformed", None, "john smith")]),
        ([], None, []),
        # not a whole word: "smi" stands nowhere
        ([PER_JOHN], [("smi", "PER")], [("missed", None, "john smith"), ("spurious", "smi", None)]),
    ],
)  # fmt: skip
def test_every_class_by_hand(gold: Spans, found: Spans | None, expected: list[Any]) -> None:
    assert kinds(gold, found) == expected


def test_best_pairs_first_by_hand() -> None:
    # the same text beats the same type, which beats neither
    found = [("john smith", "ORG"), ("john", "PER"), ("smith", "ORG")]
    assert kinds([PER_JOHN], found) == [
        ("both", "smith", None),
        ("wrong_boundary", "john", None),
        ("wrong_type", "john smith", "john smith"),
    ]
    # of the same type, the one with more words in common
    assert kinds([ORG_NYU], [("university", "ORG"), ("york university", "ORG")]) == [
        ("wrong_boundary", "university", None),
        ("wrong_boundary", "york university", "new york university"),
    ]


def test_one_wrong_span_over_two_gold_ones_by_hand() -> None:
    assert kinds([PER_JOHN, PER_MARY], [("john smith and mary", "PER")]) == [
        ("wrong_boundary", "john smith and mary", "john smith"),
        ("wrong_boundary", None, "mary"),
    ]


def test_a_span_beside_a_right_one_that_it_overlaps_is_not_spurious() -> None:
    assert kinds([PER_JOHN], [PER_JOHN, ("smith", "PER")]) == [("wrong_boundary", "smith", None)]
    assert kinds([PER_JOHN], [PER_JOHN, ("john smith", "ORG")]) == [
        ("wrong_type", "john smith", None)
    ]


def test_places_in_the_sentence_tell_two_mentions_apart_by_hand() -> None:
    # York stands in the university's name, and elsewhere too
    assert kinds([ORG_NYU, LOC_YORK], [ORG_NYU]) == [("missed", None, "york")]
    assert kinds([ORG_NYU, LOC_YORK], [LOC_YORK]) == [("missed", None, "new york university")]
    assert kinds([ORG_NYU], [ORG_NYU, LOC_YORK]) == [("spurious", "york", None)]
    # where it stands nowhere else, it is part of the longer one
    text = "New York University is old"
    assert kinds([ORG_NYU], [ORG_NYU, LOC_YORK], text) == [("both", "york", None)]
    assert kinds([ORG_NYU, LOC_YORK], [ORG_NYU], text) == [("both", None, "york")]
    # the words are shared, the places are not
    text = "Bank of England and University of Oxford"
    assert kinds([("bank of england", "ORG")], [("university of oxford", "ORG")], text) == [
        ("missed", None, "bank of england"),
        ("spurious", "university of oxford", None),
    ]


@pytest.mark.parametrize(
    ("gold", "found", "kind"),
    [
        ("barack obama", "barak obama", "wrong_boundary"),  # one of two words
        ("united nations", "the united nations", "wrong_boundary"),
        ("bank of england", "university of oxford", "spurious"),  # one of three
        ("rome", "romeo", "spurious"),
        ("rome", "!?", "spurious"),
    ],
)
def test_without_a_place_words_decide_by_hand(gold: str, found: str, kind: str) -> None:
    for text in ("", "Something else"):
        assert {e.kind for e in classify([(gold, "X")], [(found, "X")], text).errors} - {
            "missed"
        } == {kind}


def test_words_of_many_scripts_by_hand() -> None:
    assert kinds([("東京都", "LOC")], [("東京", "LOC")], "私は東京都に住む") == [
        ("wrong_boundary", "東京", "東京都")
    ]
    # an accent that is a sign of its own is part of its word
    assert kinds([("jose\u0301 ruiz", "PER")], [("jose\u0301", "PER")], "Jose\u0301 Ruiz") == [
        ("wrong_boundary", "jose\u0301", "jose\u0301 ruiz")
    ]
    assert kinds([("u.s .", "LOC")], [("u.s.", "LOC")], "The U.S. won") == [
        ("wrong_boundary", "u.s.", "u.s .")
    ]


@given(SPANS, SPANS, FEW_WORDS)
def test_every_wrong_span_has_one_class_property(
    gold: frozenset[tuple[str, str]], found: frozenset[tuple[str, str]], text: str
) -> None:
    errors = classify(gold, found, text)
    assert Counter(e.found for e in errors.errors if e.found) == Counter(found - gold)
    assert Counter(e.gold for e in errors.errors if e.gold) == Counter(gold - found)
    for kind in ("missed", "malformed"):
        assert errors.fp(kind) == 0
    assert errors.fn("spurious") == 0
    for e in errors.errors:
        if e.found and e.gold:
            same = (e.found[0] == e.gold[0], e.found[1] == e.gold[1])
            assert (
                e.kind
                == {
                    (True, False): "wrong_type",
                    (False, True): "wrong_boundary",
                    (False, False): "both",
                }[same]
            )


@given(SPANS, SPANS, FEW_WORDS)
def test_arms_swapped_swap_found_and_gold_property(
    gold: frozenset[tuple[str, str]], found: frozenset[tuple[str, str]], text: str
) -> None:
    # texts of their own: a text that both name takes its place from the gold
    names = {text for text, _ in gold}
    found = frozenset(span for span in found if span[0] not in names)
    there, back = classify(gold, found, text), classify(found, gold, text)
    assert len(there.errors) == len(back.errors)
    assert there.fp("spurious") == back.fn("missed")
    assert there.fn("missed") == back.fp("spurious")


@given(
    st.lists(st.tuples(FEW_WORDS, st.sampled_from("XY")), max_size=5),
    SPANS,
    FEW_WORDS,
    st.randoms(),
)
def test_order_does_not_matter_property(gold: Spans, found: Any, text: str, shuffle: Any) -> None:
    mixed, other = list(gold), list(found)
    shuffle.shuffle(mixed)
    shuffle.shuffle(other)
    assert classify(gold, found, text) == classify(mixed, other, text)
    assert classify(gold, found, text) == classify(gold + mixed, other + other, text)  # type: ignore[operator]


def test_errors_are_what_they_say() -> None:
    assert classify([PER_JOHN], [("john smith", "ORG")]).errors == (
        SpanError("wrong_type", ("john smith", "ORG"), PER_JOHN),
    )
