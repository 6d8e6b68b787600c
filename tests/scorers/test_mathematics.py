"""Mathematical equality by hand, and what would hang: math-verify runs in a process with limits."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantrial.errors import MissingExtraError
from quantrial.records import Item
from quantrial.scorers.base import Said, Score
from quantrial.scorers.mathematics import Math, MathPart
from quantrial.tasks.answer import Answer

SAID = Said(Answer(""), Item("problems", "1", {}, None))
MATH = Math(MathPart(scorer="math"))


def scored(gold: Any, text: str) -> Score:
    return MATH.score(gold, text, SAID)


@pytest.mark.parametrize(
    ("gold", "text", "right"),
    [
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac{1}{2}", "So it is 1/2.", True),
        ("0.5", r"The answer is $\frac{2}{4}$.", True),
        (3, "It is 3.", True),
        (3, r"First 3, then \boxed{4}", False),
        ("4", r"First 3, then \boxed{4}", True),
        ("(x+1)^2", "$x^2 + 2x + 1$", True),
        ("(x+1)^2", "$x^2 + x + 1$", False),
        (r"$\sqrt{8}$", r"$2\sqrt{2}$", True),
        (r"\{1, 2\}", r"$\{2, 1\}$", True),
        ("(1, 2)", "$(2, 1)$", False),
        ("1000", "1,000 dollars", True),
        ([2, 5], "5", True),
        ([2, 5], "3", False),
    ],
)
def test_values_by_hand(gold: Any, text: str, right: bool) -> None:
    MATH.check(gold)
    score = scored(gold, text)
    assert score.values == {"correct": float(right)}
    assert score.parsed


def test_a_text_without_an_expression_is_unread() -> None:
    assert scored("3", "I do not know") == Score({"correct": 0.0}, parsed=False)


@pytest.mark.parametrize("gold", ["", None, {"x": 1}, "?!"])
def test_a_gold_that_is_no_expression_is_refused(gold: Any) -> None:
    with pytest.raises(ValueError, match=r"no text|empty|cannot be read as mathematics"):
        MATH.check(gold)


@pytest.mark.parametrize(
    "text",
    [
        "$" + "{" * 10_000 + "$",
        "$9^{9^{9^{9}}}$",
        "1" * 100_000,
        "$" + r"\frac{" * 3_000,
        "x" * 10**6,
    ],
    ids=["braces", "tower", "digits", "fractions", "megabyte"],
)
def test_what_would_hang_ends_as_an_answer_that_is_wrong(text: str) -> None:
    scored("3", "3")  # the process is there
    began = time.monotonic()
    assert scored("3", text).values == {"correct": 0.0}
    assert time.monotonic() - began < 10  # of a busy machine; the computing ends after a second
    assert scored("3", "3").values == {"correct": 1.0}


def test_a_missing_package_is_named_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"'math-verify'.*\.\[math\]"):
        MATH.check("3")


@settings(max_examples=25, deadline=None)
@given(st.integers(-99, 99), st.integers(1, 99), st.integers(-99, 99), st.integers(1, 99))
def test_values_property_fractions_are_equal_by_cross_multiplication(
    a: int, b: int, c: int, d: int
) -> None:
    text = rf"$\frac{{{c}}}{{{d}}}$"
    assert scored(rf"\frac{{{a}}}{{{b}}}", text).values["correct"] == float(a * d == b * c)
    twice = rf"$\frac{{{2 * a}}}{{{2 * b}}}$"
    assert scored(rf"\frac{{{a}}}{{{b}}}", twice).values["correct"] == 1.0
