"""SQuAD's F1 of words: stored numbers of Inspect, the published script's rules by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from cpu import within_a_second
from quantrial.records import Item
from quantrial.scorers.base import Said
from quantrial.scorers.token_f1 import TokenF1, TokenF1Part
from quantrial.tasks.answer import Answer
from strategies import FEW_WORDS

STORED = json.loads(
    Path(__file__).parents[1].joinpath("data/scorers/token_f1.json").read_text(encoding="utf-8")
)["cases"]
SAID = Said(Answer(""), Item("qa", "1", {}, None))
SQUAD = TokenF1(TokenF1Part(scorer="token_f1"))
AS_IS = TokenF1(TokenF1Part(scorer="token_f1", normalize="none"))


def f1(gold: Any, text: str, scorer: TokenF1 = SQUAD) -> float:
    return scorer.score(gold, text, SAID).values["f1"]


@pytest.mark.parametrize("case", STORED, ids=lambda case: case["answer"][:20].strip() or "empty")
def test_f1_against_reference_inspect(case: dict[str, Any]) -> None:
    """Where Inspect leaves the published script (numbers, hyphens, ß), the script's is stored."""
    expected = case.get("squad", case["inspect"])
    assert round(f1(case["gold"], case["answer"]), 2) == expected


def test_f1_by_hand() -> None:
    # said: cat cat dog; right: cat dog bird: 2 shared, precision 2/3, recall 2/3
    assert f1("a cat, a dog, a bird", "The cat... cat: dog") == pytest.approx(2 / 3)
    # 1 shared of 4 said and of 1 right: 2 * (1/4 * 1) / (1/4 + 1) = 2/5
    assert f1("Paris", "it might be Paris") == pytest.approx(0.4)
    assert f1(["Rome", "Paris"], "it might be Paris") == pytest.approx(0.4)
    # a word counts as often as both have it: 2 shared of 2 said and of 3 right
    assert f1("dog cat dog", "dog dog") == pytest.approx(0.8)
    # as they are: `The` and `the` are two words, and so are `end` and `end.`
    assert f1("the end", "The end.", AS_IS) == 0.0
    assert f1("the end", "the end of", AS_IS) == pytest.approx(0.8)


def test_an_answer_is_wholly_right_where_it_equals_an_alias() -> None:
    right = SQUAD.score(["Rome", "The Paris"], "paris.", SAID)
    assert right.values == {"f1": 1.0, "correct": 1.0}
    turned = SQUAD.score("New York", "York New", SAID)
    assert turned.values == {"f1": 1.0, "correct": 0.0}


def test_an_answer_without_words_is_unread() -> None:
    score = SQUAD.score("Paris", "the ...", SAID)
    assert not score.parsed
    assert score.values == {"f1": 0.0, "correct": 0.0}


@pytest.mark.parametrize(("gold", "problem"), [("the", "empty once"), ([], "empty"), (None, "no")])
def test_a_gold_that_no_answer_could_reach_is_refused(gold: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SQUAD.check(gold)


def test_a_long_answer_takes_no_longer_than_it_must() -> None:
    with within_a_second():
        assert f1("Paris", "a!" * 250_000 + " paris " * 70_000) > 0
        assert f1("Paris", "the " * 250_000) == 0.0


@given(FEW_WORDS, FEW_WORDS.filter(bool))
def test_f1_property_is_the_harmonic_mean_of_precision_and_recall(text: str, gold: str) -> None:
    said, left = text.split(), gold.split()
    shared = 0
    for word in said:
        if word in left:
            left.remove(word)
            shared += 1
    precision, recall = shared / max(len(said), 1), shared / len(gold.split())
    expected = 2 * precision * recall / (precision + recall) if shared else 0.0
    assert f1(gold, text, AS_IS) == pytest.approx(expected)
