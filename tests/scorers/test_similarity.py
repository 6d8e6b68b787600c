"""Edit similarity and ANLS by hand and against a slow twin; ROUGE-L against rouge-score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu import within_a_second
from quantrial.records import Item
from quantrial.scorers.base import Said
from quantrial.scorers.similarity import MOST, RougeL, RougeLPart, Similarity, SimilarityPart
from quantrial.tasks.answer import Answer

STORED = json.loads(
    Path(__file__).parents[1].joinpath("data/scorers/rouge_l.json").read_text(encoding="utf-8")
)["cases"]
SAID = Said(Answer(""), Item("qa", "1", {}, None))
SIMILARITY = Similarity(SimilarityPart(scorer="similarity"))
AS_IS = Similarity(SimilarityPart(scorer="similarity", normalize="none"))
ANLS = Similarity(SimilarityPart(scorer="similarity", threshold=0.5))
ROUGE = RougeL(RougeLPart(scorer="rouge_l"))


def similarity(gold: Any, text: str, scorer: Similarity = SIMILARITY) -> float:
    return scorer.score(gold, text, SAID).values["similarity"]


def rouge(gold: Any, text: str) -> float:
    return ROUGE.score(gold, text, SAID).values["rouge_l"]


def test_similarity_by_hand() -> None:
    # kitten -> sitten -> sittin -> sitting: 3 edits, the longer word has 7 letters
    assert similarity("sitting", "Kitten") == pytest.approx(4 / 7)
    assert similarity("Sitting", "Kitten", AS_IS) == pytest.approx(4 / 7)
    assert similarity("sitting", "Sitting", AS_IS) == pytest.approx(6 / 7)
    assert similarity(["flaw", "sitting"], "lawn") == pytest.approx(2 / 4)  # f away, n added
    assert similarity("Paris", "  paris \n") == 1.0
    assert similarity("Paris", "") == 0.0
    assert similarity("é", "e\u0301") == 1.0  # one letter, written as one code point or as two


def test_anls_by_hand() -> None:
    """Biten et al. 2019: a similarity below one half is no reading error, but another answer."""
    assert similarity("sitting", "kitten", ANLS) == pytest.approx(4 / 7)
    assert similarity("flaw", "lawn", ANLS) == pytest.approx(0.5)
    assert similarity("abcde", "abxyz", ANLS) == 0.0  # 2 of 5 alike
    assert similarity("abcde", "abxyz") == pytest.approx(0.4)
    assert ANLS.endpoints[0].label == "ANLS"
    assert SIMILARITY.endpoints[0].label is None


def test_an_answer_is_wholly_right_where_it_equals_an_alias() -> None:
    assert SIMILARITY.score(["Rome", "Paris"], "PARIS", SAID).values["correct"] == 1.0
    assert SIMILARITY.score("Paris", "Pariss", SAID).values["correct"] == 0.0
    assert not SIMILARITY.score("Paris", " ", SAID).parsed


def test_what_lies_beyond_the_compared_characters_counts_as_different() -> None:
    # equal for MOST characters of MOST + MOST / 4: four fifths alike at the most
    gold = "x" * (MOST + MOST // 4)
    assert similarity(gold, "x" * MOST, AS_IS) == pytest.approx(0.8)
    assert similarity(gold, gold, AS_IS) == pytest.approx(0.8)


@pytest.mark.parametrize("score", [similarity, rouge])
def test_a_long_answer_takes_no_longer_than_it_must(score: Any) -> None:
    words = " ".join(str(i % 4999) for i in range(200_000))
    with within_a_second():
        score(words[1:500_000], words)
        score(["Paris", "Rome"], words)


@pytest.mark.parametrize("case", STORED, ids=lambda case: case["answer"][:20].strip() or "empty")
def test_rouge_l_against_reference(case: dict[str, Any]) -> None:
    assert rouge(case["gold"], case["answer"]) == pytest.approx(case["rouge_l"])


def test_rouge_l_by_hand() -> None:
    # shared in order: the, moved, to: 3 of 4 said, 3 of 5 right: 2 * 3 / 9
    assert rouge("the meeting moved to Friday", "The talk moved to.") == pytest.approx(2 / 3)
    # rouge-score drops every letter beyond ASCII, and would find nothing here
    assert rouge("город Москва", "Москва") == pytest.approx(2 / 3)


@pytest.mark.parametrize("gold", ["", None, [], "..."])
def test_a_gold_that_no_answer_could_reach_is_refused(gold: Any) -> None:
    with pytest.raises(ValueError, match=r"text|word"):
        ROUGE.check(gold)


FEW = st.text(st.sampled_from("abc"), max_size=6)


@given(FEW, FEW.filter(bool))
def test_similarity_property_counts_the_least_edits(text: str, gold: str) -> None:
    def edits(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        if a[0] == b[0]:
            return edits(a[1:], b[1:])
        return 1 + min(edits(a[1:], b), edits(a, b[1:]), edits(a[1:], b[1:]))

    expected = 1 - edits(text, gold) / max(len(text), len(gold))
    assert similarity(gold, text, AS_IS) == pytest.approx(expected)
