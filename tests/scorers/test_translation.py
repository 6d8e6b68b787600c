"""Sentence chrF and BLEU: numbers that sacrebleu's authors published, and small ones by hand."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu import within_a_second
from quantrial.errors import MissingExtraError
from quantrial.records import Item
from quantrial.scorers.base import Said
from quantrial.scorers.translation import Bleu, BleuPart, Chrf, ChrfPart
from quantrial.tasks.answer import Answer

SAID = Said(Answer(""), Item("qa", "1", {}, None))
CHRF = Chrf(ChrfPart(scorer="chrf"))
BLEU = Bleu(BleuPart(scorer="bleu"))


def chrf(gold: Any, text: str, scorer: Chrf = CHRF) -> float:
    return scorer.score(gold, text, SAID).values["chrf"]


def bleu(gold: Any, text: str, scorer: Bleu = BLEU) -> float:
    return scorer.score(gold, text, SAID).values["bleu"]


# test_sentence_level_chrf of sacrebleu's own tests; they smooth by 1e-16, hence the tolerance
PUBLISHED = [
    (
        "Co nás nejvíc trápí, protože lékaři si vybírají, kdo bude žít a kdo zemře.",
        "Nejvíce smutní jsme z toho, že musíme rozhodovat o tom, kdo bude žít a kdo zemře.",
        39.14078509,
    ),
    (
        "Nebo prostě nemají vybavení, které by jim pomohlo, uvedli lékaři.",
        "A někdy nemáme ani potřebný materiál, abychom jim pomohli, popsali lékaři.",
        31.22557079,
    ),
    (
        "Lapali po dechu, jejich životy skončily dřív, než skutečně začaly.",
        "Lapali po dechu a pak jejich život skončil - dřív, než skutečně mohl začít, připomněli.",
        57.15704367,
    ),
]


@pytest.mark.parametrize(("text", "gold", "published"), PUBLISHED)
def test_chrf_against_reference_published(text: str, gold: str, published: float) -> None:
    assert chrf(gold, text) == pytest.approx(published / 100, abs=1e-5)
    assert chrf(["nic", gold], text) == pytest.approx(published / 100, abs=1e-5)


def test_chrf_by_hand() -> None:
    # shared runs of 1, 2 and 3 characters: 2 of 3, 1 of 2, 0 of 1; longer ones there are none
    assert chrf("abd", "abc") == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    # characters 3/6, 2/5, 1/4, 0, 0, 0; words 1/2, 0/1
    plus = Chrf(ChrfPart(scorer="chrf", word_order=2))
    assert chrf("the dog", "the cat", plus) == pytest.approx((0.5 + 0.4 + 0.25 + 0.5) / 8)
    assert chrf("abc", "a b c") == 1.0  # white space is left out
    assert chrf("Abc", "abc", Chrf(ChrfPart(scorer="chrf", normalize="case"))) == 1.0
    assert chrf("東京都", "東京") > 0.5


def test_bleu_by_hand() -> None:
    # words 5/6 (one `the` of two), pairs 3/5, threes 2/4, fours 1/3; as long as the reference
    shared = 5 / 6 * 3 / 5 * 2 / 4 * 1 / 3
    assert bleu("the cat sat on a mat", "the cat sat on the mat") == pytest.approx(shared**0.25)
    # 3/4, 2/3 and 1/2; no four is shared, and counts as half of one
    assert bleu("this is a test", "this is a fest") == pytest.approx((1 / 8) ** 0.25)
    # one word, which is right; half as long as the reference: e ** (1 - 2 / 1)
    assert bleu("a test", "test") == pytest.approx(0.36787944)
    # several references count together: each word stands in one of them
    assert bleu(["red house", "green car"], "red car") > bleu("red house", "red car")
    assert bleu("東京", "東京", Bleu(BleuPart(scorer="bleu", tokenize="char"))) == 1.0


@pytest.mark.parametrize("score", [chrf, bleu])
def test_what_is_equal_scores_one_and_what_is_empty_none(score: Any) -> None:
    assert score("This is a test of it.", "This is a test of it.") == 1.0
    assert score("This is a test.", "") == 0.0
    assert CHRF.score("a", "a", SAID).values["correct"] == 1.0
    assert CHRF.score("a", "b", SAID).values == {"chrf": 0.0, "correct": 0.0}


@pytest.mark.parametrize("score", [chrf, bleu])
def test_a_long_answer_takes_no_longer_than_it_must(score: Any) -> None:
    with within_a_second():
        score("How is the weather?", "How is it going? " * 60_000)


def test_a_missing_package_is_named_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("sacrebleu")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtraError, match=r"chrf.*'sacrebleu'.*\.\[text\]"):
        Chrf(ChrfPart(scorer="chrf")).check("text")


TEXT = st.text(st.sampled_from("abc d."), min_size=1, max_size=12).filter(str.strip)


@given(TEXT, TEXT)
def test_scores_property_lie_in_their_range_and_know_what_is_equal(text: str, gold: str) -> None:
    for score in (chrf, bleu):
        assert 0 <= score(gold, text) <= 1
        assert score(text, text) == 1.0
        assert score([gold, text], text) == 1.0
