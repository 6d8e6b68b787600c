"""Labels of a closed set: what is read, recall of each, which was taken for which."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu import within_a_second
from quantrial.records import Item
from quantrial.scorers.base import Said, Score
from quantrial.scorers.label import Label, LabelPart
from quantrial.study.scoring import _entry
from quantrial.tasks.answer import as_answer
from quantrial.tasks.base import Outcome

LABELS = ("billing", "billing dispute", "technical", "C++", "退款")


@functools.cache
def label(labels: tuple[Any, ...] = LABELS, many: bool = False) -> Label:
    return Label(LabelPart(scorer="label", labels=labels, many=many))


def item(gold: Any) -> Item:
    return Item("tickets", "1", {}, gold)


def scored(gold: Any, text: str, **options: Any) -> Score:
    scorer = label(**options)
    scorer.check(gold)
    return scorer.score(gold, text, Said(as_answer(text), item(gold)))


def failures(scorer: Label, said: list[tuple[Any, str]]) -> Any:
    pairs = []
    for gold, text in said:
        one = scorer.score(gold, text, Said(as_answer(text), item(gold)))
        pairs.append((item(gold), Outcome(one.values, one.parsed, one.answer)))
    return scorer.failures(pairs, lambda *_: {})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("billing", "billing"),
        (" **Billing** ", "billing"),
        ('"BILLING"', "billing"),
        ('"\\u9000\\u6b3e"', "退款"),  # a JSON string with escapes
        ('{"label": "technical"}', "technical"),
        ("billing-dispute", "billing dispute"),  # the longer one, however it is joined
        ("Billing_Dispute.", "billing dispute"),
        ("billing\n dispute", "billing dispute"),
        ("This is about billing, I think.", "billing"),  # the only one
        ("It is technical, certainly technical, so nothing else.", "technical"),
        ("Not billing but technical.", "technical"),  # the last thing said
        ("billing? No: C++!", "C++"),
        ("标签是退款。", "退款"),
        ("billings", None),
        ("Either billing or technical, who knows", None),
        ("C", None),
        ("", None),
        ("none", None),
    ],
)
def test_label_by_hand(text: str, found: str | None) -> None:
    one = scored("billing", text)
    assert (one.parsed, one.answer) == (found is not None, found)
    assert one.values["correct"] == (found == "billing")
    assert (one.values["gold_billing"], one.values["gold_technical"]) == (1, 0)
    assert one.values["hit_billing"] == (found == "billing")
    assert one.values["hit_technical"] == 0  # it was not there to be found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('["technical", "billing"]', ["billing", "technical"]),
        ("technical, C++ and 退款", ["technical", "C++", "退款"]),
        ("- billing\n- billing\n", ["billing"]),
        ("[]", []),
        ("None.", []),
        ("nothing here", None),
        ("", None),
    ],
)
def test_many_labels_by_hand(text: str, found: list[str] | None) -> None:
    one = scored(["technical", "billing"], text, many=True)
    assert (one.parsed, one.answer) == (found is not None, found)
    right = len({"technical", "billing"} & set(found or []))
    assert one.values["tp"] == right
    assert one.values["fn"] == 2 - right
    assert one.values["fp"] == len(found or []) - right
    assert one.values["correct"] == (found == ["billing", "technical"])


def test_endpoints_follow_from_the_labels() -> None:
    endpoints = {one.name: one for one in label().endpoints}
    assert list(endpoints) == [
        *("accuracy", "recall_billing", "recall_billing_dispute", "recall_technical", "recall_c"),
        "recall_other",
    ]
    assert endpoints["recall_c"].label == "recall of C++"
    assert endpoints["recall_technical"].numerator == {"hit_technical": 1.0}
    assert endpoints["recall_technical"].denominator == {"gold_technical": 1.0}
    assert [one.name for one in label(many=True).endpoints[:2]] == ["micro_f1", "all_labels"]
    assert [one.name for one in label(("a b", "a.b", "A/B")).endpoints[1:]] == [
        *("recall_a_b", "recall_a_b_2", "recall_a_b_3"),
    ]
    assert len(label(tuple(f"label {n}" for n in range(25))).endpoints) == 26
    assert len(label(tuple(f"label {n}" for n in range(26))).endpoints) == 1


def test_what_was_taken_for_what_is_counted_most_first() -> None:
    scorer = label(("a", "b", "c"))
    said = [("a", "b"), ("c", "b"), ("c", "b"), ("a", "a"), ("b", "a"), ("b", "?")]
    assert failures(scorer, said) == {
        "confusions": [
            {"gold": "c", "answered": "b", "n": 2},
            {"gold": "a", "answered": "b", "n": 1},
            {"gold": "b", "answered": "a", "n": 1},
        ]
    }


def test_missed_and_added_labels_are_counted() -> None:
    scorer = label(("a", "b", "c"), many=True)
    said = [(["a", "b"], "a"), (["a"], "a c"), (["b"], "?"), ([], "[]")]
    assert failures(scorer, said) == {
        "label_errors": [
            {"label": "b", "gold": 2, "missed": 2, "added": 0},
            {"label": "c", "gold": 0, "missed": 0, "added": 1},
        ]
    }


def test_chance_and_schema() -> None:
    assert label(("a", "b", "c", "d")).chance(["a"]) == 0.25
    assert label(many=True).chance([["billing"]]) is None
    assert label(("a", "b")).schema() == {"type": "string", "enum": ["a", "b"]}
    assert label(("a", "b"), many=True).schema()["items"] == {"type": "string", "enum": ["a", "b"]}


def test_labels_stand_for_the_options() -> None:
    assert _entry({"label": ["a", "b"]}) == {"scorer": "label", "labels": ["a", "b"]}
    assert scored(1, "1", labels=(0, 1)).values["correct"] == 1


@pytest.mark.parametrize(
    ("gold", "many", "said"),
    [
        ("biling", False, "did you mean 'billing'"),
        (["billing"], False, "is not one label"),
        ("billing", True, "is not a list of labels"),
        (["billing", "other"], True, "'other' is none of the labels"),
        (None, False, "none of the labels"),
        (True, False, "none of the labels"),
        ({}, False, "none of the labels"),
    ],
)
def test_a_gold_that_is_no_label_is_refused(gold: Any, many: bool, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        label(many=many).check(gold)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["a"], "at least 2"),
        (["a_b", "A b"], "read as the same one"),
        (["a", "a"], "read as the same one"),
        (["a", ""], "blanks"),
        (["a", "b\nc"], "one line"),
        (["a", "b" * 201], "at most 200"),
        ([True, False], "valid string"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(labels: list[Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LabelPart(scorer="label", labels=labels)


@pytest.mark.parametrize(
    "text", ["billing " * 125_000, "billing" * 150_000, "!" * 10**6, "退" * 300_000, '"' * 10**6]
)
def test_no_text_takes_long(text: str) -> None:
    many = [f"billing {'billing ' * n}x".strip() for n in range(9)] + ["billing", "退款"]
    with within_a_second():
        scored("billing", text, labels=(*many,))


@given(st.text(max_size=60) | st.lists(st.sampled_from(LABELS)).map(" or ".join), st.booleans())
def test_property_only_labels_are_read_and_columns_stay(text: str, many: bool) -> None:
    gold: Any = ["technical"] if many else "technical"
    scorer, one = label(many=many), scored(gold, text, many=many)
    named = one.answer if isinstance(one.answer, list) else [one.answer] if one.parsed else []
    assert set(named) <= set(LABELS)
    assert one.values.keys() == scorer.unread(gold, Said(as_answer(""), item(gold))).values.keys()
    used = {name for end in scorer.endpoints for name in (*end.numerator, *end.denominator)}
    assert used <= one.values.keys()


@given(st.sampled_from(LABELS), st.sampled_from([str.upper, str.title, json.dumps, repr]))
def test_property_a_label_is_read_however_it_is_written(name: str, form: Any) -> None:
    assert scored(name, f"\n{form(name)}\n").values["correct"] == 1
