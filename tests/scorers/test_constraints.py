"""Instructions that a program can check."""

from __future__ import annotations

from typing import Any

import pytest

from quantrial.records import Item
from quantrial.scorers.base import Said
from quantrial.scorers.constraints import Constraints, ConstraintsPart
from quantrial.tasks.answer import as_answer

SCORER = Constraints(ConstraintsPart(scorer="constraints"))
KEPT = [
    ({"lines": 2}, "one\n\ntwo\n", 1),
    ({"lines": 2}, "one two", 0),
    ({"words_at_most": 3}, "a b c", 1),
    ({"words_at_most": 2}, "a b c", 0),
    ({"words_at_least": 3}, "a b c", 1),
    ({"contains": "Harbour"}, "the harbour.", 1),
    ({"contains": "harbour"}, "the port", 0),
    ({"without": ","}, "a; b", 1),
    ({"without": ","}, "a, b", 0),
    ({"starts_with": "dear"}, "Dear Ada", 1),
    ({"ends_with": "ember"}, "a warm Ember!**", 1),
    ({"ends_with": "ember"}, "september", 0),
    ({"ends_with": "ember"}, "!!", 0),
    ({"lines_begin_with": "- "}, "- a\n  - b", 1),
    ({"lines_begin_with": "- "}, "- a\nb", 0),
    ({"lower_case": True}, "ada 2", 1),
    ({"lower_case": True}, "Ada", 0),
    ({"lower_case": False}, "Ada", 1),
    ({"upper_case": True}, "ADA", 1),
    ({"lines": 1, "contains": "x"}, "y", 0.5),
    ({"without": "x"}, "", 0),  # an empty answer does nothing that it was told
]


def score(gold: Any, text: str) -> Any:
    item = Item("t", "1", {"request": "x"}, gold, {})
    return SCORER.score(gold, text, Said(as_answer(text), item))


@pytest.mark.parametrize(("gold", "text", "kept"), KEPT)
def test_constraints_are_counted(gold: Any, text: str, kept: float) -> None:
    SCORER.check(gold)
    found = score(gold, text)
    assert found.values == {"kept": kept, "correct": float(kept == 1)}
    assert found.parsed is bool(text)


@pytest.mark.parametrize(
    ("gold", "says"),
    [
        ({}, "names no constraints"),
        ("three lines", "names no constraints"),
        ({"line": 3}, "did you mean 'lines'"),
        ({"lines": "3"}, "lines is '3'; expected a whole number"),
        ({"lines": True}, "expected a whole number"),
        ({"contains": ""}, "expected a text"),
        ({"lower_case": 1}, "expected true or false"),
    ],
)
def test_what_is_no_constraint_is_refused(gold: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SCORER.check(gold)


def test_a_megabyte_is_no_matter() -> None:
    gold = {"lines": 1, "ends_with": "x", "lines_begin_with": "_", "words_at_most": 9}
    for text in ("_" * 2**20, "a " * 2**19, "\n" * 2**20 + "x"):
        assert set(score(gold, text).values) == {"kept", "correct"}
