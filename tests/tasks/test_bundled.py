"""The bundled items: the promises that docs make about them."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from quantrial.records import Item
from quantrial.tasks.sources import LoadedItems, load_items, shots_for
from quantrial.tasks.spans import entity_types
from tasks.specs import choice, spans


@pytest.fixture(scope="module")
def quiz() -> LoadedItems:
    return load_items("quiz", choice({"type": "bundled"}), base=Path("/nowhere"))


@pytest.fixture(scope="module")
def names() -> LoadedItems:
    return load_items("names", spans({"type": "bundled"}), base=Path("/nowhere"))


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def alike(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def near_duplicates(texts: list[str]) -> list[tuple[str, str]]:
    """Pairs whose words are the same but for a fifth."""
    pairs = itertools.combinations([(text, words(text)) for text in texts], 2)
    return [(one, other) for (one, a), (other, b) in pairs if alike(a, b) > 0.8]


def whole(item: Item) -> str:
    return " ".join([item.content["question"], *item.content["options"]])


def test_enough_questions_in_enough_subjects(quiz: LoadedItems) -> None:
    subjects = Counter(item.metadata["subject"] for item in quiz.items)
    assert len(quiz.items) >= 150
    assert len(subjects) >= 6
    assert min(subjects.values()) >= 20


def test_answers_are_balanced_over_letters(quiz: LoadedItems) -> None:
    golds = Counter(item.gold for item in quiz.items)
    assert {len(item.content["options"]) for item in quiz.items} == {4}
    assert (
        max(golds.values()) - min(golds[letter] for letter in "ABCD") <= 0.1 * len(quiz.items) / 4
    )


def test_answers_are_not_the_longest_option_more_than_by_chance(quiz: LoadedItems) -> None:
    # a set where the longest option is right can be answered without reading the question
    longest = sum(
        len(i.content["options"]["ABCD".index(i.gold)]) == max(map(len, i.content["options"]))
        and len({len(option) for option in i.content["options"]}) > 1
        for i in quiz.items
    )
    assert longest / len(quiz.items) < 0.45


def test_questions_are_well_formed(quiz: LoadedItems) -> None:
    for item in quiz.items:
        for text in (item.content["question"], *item.content["options"]):
            assert text == text.strip(), item
            assert "  " not in text, item
            assert text.isprintable(), item


def test_no_question_is_there_twice(quiz: LoadedItems) -> None:
    assert quiz.provenance["duplicates"] == []
    assert near_duplicates([whole(item) for item in (*quiz.items, *quiz.shots)]) == []
    # the words of question and options may differ and the question still be the same
    questions = Counter(item.content["question"].lower() for item in (*quiz.items, *quiz.shots))
    assert [question for question, count in questions.items() if count > 1] == []


def test_enough_sentences(names: LoadedItems) -> None:
    assert len(names.items) >= 100
    assert sum(not item.gold for item in names.items) >= 0.25 * len(names.items)
    assert entity_types(names.items) == ("LOC", "MISC", "ORG", "PER")
    assert all(item.metadata["genre"] for item in names.items)


def test_every_span_is_whole_words_of_its_sentence(names: LoadedItems) -> None:
    for item in (*names.items, *names.shots):
        for text, _ in item.gold:
            assert text == text.strip(), item
            found = re.search(rf"(?<!\w){re.escape(text)}(?!\w)", item.content["text"])
            assert found, (text, item.content["text"])


def test_no_span_has_two_types(names: LoadedItems) -> None:
    for item in (*names.items, *names.shots):
        types: dict[str, str] = {}
        for text, label in item.gold:
            assert types.setdefault(text.lower(), label) == label, item


def test_no_sentence_is_there_twice(names: LoadedItems) -> None:
    assert names.provenance["duplicates"] == []
    assert near_duplicates([item.content["text"] for item in (*names.items, *names.shots)]) == []


def test_examples_are_no_items_and_show_both_kinds(names: LoadedItems) -> None:
    assert len(names.shots) >= 7
    assert {item.id for item in names.shots}.isdisjoint(item.id for item in names.items)
    shots = shots_for(names.items[0], names.shots, 7)
    assert any(not shot.gold for shot in shots)
    assert set(entity_types(shots)) <= set(entity_types(names.items))


def test_entities_are_listed_as_they_stand_in_the_sentence(names: LoadedItems) -> None:
    for item in (*names.items, *names.shots):
        places = [item.content["text"].index(text) for text, _ in item.gold]
        if len({text for text, _ in item.gold}) == len(item.gold):
            assert places == sorted(places), item


def test_the_files_are_plain_lines(quiz: LoadedItems, names: LoadedItems) -> None:
    files = {**quiz.provenance["files"], **names.provenance["files"]}
    assert set(files) >= {"choice.jsonl", "spans.jsonl", "spans_dev.jsonl"}
    json.dumps([dict(quiz.provenance), dict(names.provenance)])
