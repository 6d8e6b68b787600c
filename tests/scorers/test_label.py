"""Labels of a closed set: what is read, recall of each, which was taken for which."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu import within_a_second
from quantrial.errors import StudyError
from quantrial.records import Item
from quantrial.scorers.base import Said, Score
from quantrial.scorers.label import Label, LabelPart
from quantrial.study import parse_study
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
    return scorer.failures(pairs, lambda n, of: {"share": (n, of)})


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


def test_the_recall_of_each_label_is_a_failure_mode_on_its_own_items() -> None:
    modes = {one.name: one for one in label().failure_modes}
    assert [(one.name, one.label) for one in modes.values()] == [
        ("recall_billing", "recall of billing"),
        ("recall_billing_dispute", "recall of billing dispute"),
        ("recall_technical", "recall of technical"),
        ("recall_c", "recall of C++"),
        ("recall_other", "recall of 退款"),
    ]
    mode = modes["recall_technical"]
    assert mode.applies is not None
    assert [mode.applies(item(gold)) for gold in ("technical", "billing")] == [True, False]
    for text, missed in (("technical", False), ("billing", True), ("?", True)):
        one = scored("technical", text)
        outcome = Outcome(one.values, one.parsed, one.answer)
        assert mode.shows(None, item("technical"), outcome) is missed
    assert [one.name for one in label(("a b", "a.b", "A/B")).failure_modes] == [
        *("recall_a_b", "recall_a_b_2", "recall_a_b_3"),
    ]
    assert len(label(tuple(f"label {n}" for n in range(25))).failure_modes) == 25
    assert len(label(tuple(f"label {n}" for n in range(26))).failure_modes) == 0


def test_endpoints() -> None:
    assert [one.name for one in label().endpoints] == ["accuracy"]
    assert [one.name for one in label(many=True).endpoints] == ["micro_f1", "all_labels"]


def test_what_was_taken_for_what_is_counted_worst_first() -> None:
    said = [("a", "b"), ("c", "b"), ("c", "b"), ("a", "a"), ("b", "a"), ("b", "?")]
    assert failures(label(("a", "b", "c", "d")), said) == {
        "labels": [
            {"label": "b", "n": 2, "right": 0, "share": (0, 2), "added": 3},
            {"label": "a", "n": 2, "right": 1, "share": (1, 2), "added": 1},
            {"label": "c", "n": 2, "right": 0, "share": (0, 2), "added": 0},
        ],
        "confusions": [
            {"gold": "c", "answered": "b", "n": 2},
            {"gold": "a", "answered": "b", "n": 1},
            {"gold": "b", "answered": "a", "n": 1},
        ],
    }


def test_many_labels_are_counted_each() -> None:
    said = [(["a", "b"], "a"), (["a"], "a c"), (["b"], "?"), ([], "[]")]
    assert failures(label(("a", "b", "c"), many=True), said) == {
        "labels": [
            {"label": "b", "n": 2, "right": 0, "share": (0, 2), "added": 0},
            {"label": "c", "n": 0, "right": 0, "share": (0, 0), "added": 1},
            {"label": "a", "n": 2, "right": 2, "share": (2, 2), "added": 0},
        ],
        "confusions": [],
    }


def test_a_study_declares_the_recall_of_its_own_labels_only() -> None:
    study = """
study: own
reference: a
arms: {a: {model: m}, b: {model: n}}
tasks:
  tickets: {kind: text, workload: w, source: {type: jsonl, path: t}, prompt: "{{ q }}",
    score: [{label: [billing, technical]}]}
analysis: {declared_failure_modes: [recall_%s]}
"""
    assert parse_study(study % "billing").analysis.declared_failure_modes == ("recall_billing",)
    with pytest.raises(StudyError, match="did you mean 'recall_billing'"):
        parse_study(study % "biling")


def test_a_solved_example_names_every_right_label() -> None:
    one, two = LABELS[:2]
    assert label().example(one) == one
    both = label(many=True)
    assert both.example([one, two]) == f"{one}, {two}"
    for gold in ([one, two], []):
        assert scored(gold, both.example(gold), many=True).values["correct"] == 1.0


def test_chance_and_schema() -> None:
    assert label(("a", "b", "c", "d")).chance(["a"]) == 0.25
    assert label(many=True).chance([["billing"]]) is None
    assert label(("a", "b")).schema() == {"type": "string", "enum": ["a", "b"]}
    assert label(("a", "b"), many=True).schema() == {
        "type": "array",
        "items": {"type": "string", "enum": ["a", "b"]},
        "maxItems": 2,
    }


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
