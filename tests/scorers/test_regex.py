"""Patterns of a study: what they match, and that no pattern holds up an analysis."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from quantrial.errors import ScoringError
from quantrial.records import Item
from quantrial.scorers.base import Said
from quantrial.scorers.regex import Regex, RegexPart, search
from quantrial.study.scoring import Scoring
from quantrial.tasks.answer import Answer

SAID = Said(Answer(""), Item("t", "1", {}, ""))


def right(gold: Any, text: str, **options: Any) -> float:
    scorer = Regex(RegexPart(scorer="regex", **options))
    scorer.check(gold)
    return scorer.score(gold, text, SAID).values["correct"]


@pytest.mark.parametrize(
    ("options", "gold", "text", "expected"),
    [
        ({"pattern": "[0-9]+"}, None, "about 12", 1),
        ({"pattern": "[0-9]+", "match": "full"}, None, "about 12", 0),
        ({"pattern": "[0-9]+", "match": "full"}, None, "12", 1),
        ({"pattern": "yes|no", "match": "full"}, None, "no", 1),
        ({"pattern": "YES"}, None, "yes", 0),
        ({"pattern": "YES", "ignore_case": True}, None, "yes", 1),
        ({"pattern": "(?i)YES"}, None, "yes", 1),
        ({"pattern": r"(\w)\1"}, None, "letter", 1),
        ({"pattern": r"(\w)\1"}, None, "word", 0),
        ({"pattern": "a(b)?", "match": "full"}, None, "a", 1),
        ({"pattern": ""}, None, "", 1),
        ({"pattern": r"Answer:\s*{{ gold }}$"}, "1.5", "Answer: 1.5", 1),
        ({"pattern": r"Answer:\s*{{ gold }}$"}, "1.5", "Answer: 195", 0),
        ({"pattern": r"^{{gold}}!"}, ["a", "b(c"], "b(c!", 1),
        ({"pattern": r"^{{gold}}!"}, ["a", "b(c"], "ab!", 0),
        ({"pattern": r"^{{gold}}!"}, 7, "7!", 1),
        ({"pattern": "{{ gold }}"}, r"\1{{ gold }}", r"it is \1{{ gold }}.", 1),
    ],
)
def test_by_hand(options: dict[str, Any], gold: Any, text: str, expected: int) -> None:
    assert right(gold, text, **options) == expected


def test_a_gold_is_needed_only_where_the_pattern_names_it() -> None:
    assert not Regex(RegexPart(scorer="regex", pattern="x")).needs_gold
    named = Regex(RegexPart(scorer="regex", pattern="{{ gold }}"))
    assert named.needs_gold
    with pytest.raises(ValueError, match="is no text"):
        named.check({"a": 1})


def test_a_study_writes_it_short_or_in_full() -> None:
    entry: TypeAdapter[Any] = TypeAdapter(Scoring)
    assert entry.validate_python({"regex": "a+"}).pattern == "a+"
    assert entry.validate_python({"regex": {"pattern": "a", "match": "full"}}).match == "full"
    with pytest.raises(ValidationError, match="is no regular expression: missing"):
        entry.validate_python({"regex": "(a"})
    with pytest.raises(ValidationError, match="at most 2000 characters"):
        entry.validate_python({"regex": "[\0-\U0010ffff]" * 1000})


@pytest.mark.parametrize(
    ("pattern", "text", "take", "expected"),
    [
        (r"Answer: (\w+)", "Answer: a, Answer: b", "first", "a"),
        (r"Answer: (\w+)", "Answer: a, Answer: b", "last", "b"),
        (r"\d+", "1, 22", "last", "22"),
        (r"\d+", "none", "last", None),
        (r"a|b(c)", "a", "first", ""),
        (r"(\w+) (\w+)", "of two", "first", "of"),
    ],
)
def test_a_search_by_hand(pattern: str, text: str, take: Any, expected: str | None) -> None:
    assert search(pattern, text, take) == expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("(a+)+$", "a" * 60 + "b"), ("(x+x+)+y", "x" * 60), (r"(.*)*y", "x" * 1_000_000)],
)
def test_a_pattern_that_never_ends_is_named(pattern: str, text: str) -> None:
    started = time.process_time()
    with pytest.raises(ScoringError, match=re.escape(f"the pattern {pattern!r} took more than")):
        right(None, text, pattern=pattern)
    assert time.process_time() - started < 1  # none of it is computed here
    assert search("b$", "ab") == "b"


def test_a_long_answer_is_no_problem() -> None:
    assert right(None, "x" * 1_000_000 + "y", pattern="y$") == 1
    assert right(None, "9" * 100_000, pattern=r"\d+", match="full") == 1


@given(st.text("ab.(\\é\ud800 ", min_size=1, max_size=12), st.text("ab.(\\é\ud800 ", max_size=24))
def test_an_escaped_gold_is_found_as_text_is_property(gold: str, text: str) -> None:
    if gold.strip():
        assert right(gold, text, pattern="{{ gold }}") == float(gold in text)


@pytest.mark.parametrize(
    ("pattern", "held"),
    [
        ("^[A-Z]{2}-[0-9]+$", "^([A-Z]{2}-[0-9]+)$"),
        ("yes|no", "^(yes|no)$"),
        (r"\$[0-9]+", r"^(\$[0-9]+)$"),
        (r"a\$", r"^(a\$)$"),
        ("^a|b$", None),
        ("a^b", None),
        ("{{ gold }}", None),
    ],
)
def test_constrained_decoding_is_held_to_one_match(pattern: str, held: str | None) -> None:
    schema = Regex(RegexPart(scorer="regex", pattern=pattern)).schema()
    assert schema == (None if held is None else {"type": "string", "pattern": held})


def test_a_json_string_is_read_as_the_text_in_it() -> None:
    assert right(None, '"AB-12"', pattern="^[A-Z]{2}-[0-9]+$") == 1
    assert right(None, '"AB-x"', pattern="^[A-Z]{2}-[0-9]+$") == 0
    assert right(None, '"AB-12"', pattern='^"AB') == 1
