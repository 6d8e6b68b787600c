"""Whatever a broken model writes: each reader takes a second of CPU at most, for any text."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable

import pytest

from cpu import within_a_second
from fuzz.texts import GOLD, SENTENCE, response_of
from quantrial.analysis.answers.reading import Given
from quantrial.analysis.answers.text_signs import is_empty, is_refused, is_repeating, is_truncated
from quantrial.engines.replies import ends_in_repeats
from quantrial.tasks.answer import read_answer, starts_in_thought
from quantrial.tasks.letters import first_letter, stated_letter
from quantrial.tasks.span_errors import classify
from quantrial.tasks.span_reader import read_spans
from quantrial.tasks.spans import parse_spans
from repetitions import repetitions

TEXTS: dict[str, Callable[[int], str]] = {
    "many tokens": lambda n: "word " * n,
    "one long line": lambda n: "x" * 5 * n,
    "many digits": lambda n: f"[{'9' * (n // 10)}]",
    "many brackets": lambda n: "[" * n,
    "many thoughts begun": lambda n: "<think>" * n,
    "many thoughts ended": lambda n: "</think>" * n,
    "thoughts of two kinds": lambda n: "<think>" * (n * 3 // 10) + "</reasoning>" * (n * 3 // 10),
    "elements begun": lambda n: "<answer>" * (n // 2),
    "elements": lambda n: "<answer>A</answer>" * (n * 3 // 10),
    "strange tags": lambda n: "<a>" * n,
    "many answers": lambda n: "ANSWER: A\n" * n,
    "many letters": lambda n: "A " * n,
    "combining characters": lambda n: "\u0301" * n,
    "backslashes": lambda n: "\\" * n,
    "quotes": lambda n: '"' * n,
    "line feeds": lambda n: "\n" * n,
    "fences": lambda n: "```\n" * (n // 4),
    "objects": lambda n: '[{"text":' * (n // 9),
    "many spans": lambda n: _spans(n // 25, "w%d Ada"),
    "spans that all overlap": lambda n: _spans(n // 25, "Ada %d"),
    "a span of many words": lambda n: (
        f'[{{"text": "{"Ada met " * (n * 3 // 10)}", "type": "PER"}}]'
    ),
}


def _spans(count: int, form: str) -> str:
    return "[" + ",".join(f'{{"text":"{form % i}","type":"PER"}}' for i in range(count)) + "]"


@pytest.mark.parametrize("size", [250_000, *repetitions(10**6)])
@pytest.mark.parametrize("name", TEXTS)
def test_no_text_takes_a_reader_more_than_a_second(name: str, size: int) -> None:
    text = TEXTS[name](size)
    with within_a_second("the answer"):
        answer = read_answer(text, finish_reason="length")
    given = Given(response_of(text, "length"), answer, None, 9)
    said = answer.text or text
    readers: dict[str, Callable[[], object]] = {
        "where it begins": lambda: starts_in_thought(text),
        "the letter": lambda: stated_letter(said, "ABCD"),
        "the first letter": lambda: first_letter(text, "ABCD"),
        "the spans": lambda: read_spans(said),
        "the published spans": lambda: parse_spans(text),
        "a refusal": lambda: is_refused(given),
        "a loop": lambda: is_repeating(given),
        "silence": lambda: is_empty(given),
        "a cut": lambda: is_truncated(given),
        "repeats at the end": lambda: ends_in_repeats(text),
    }
    for what, read in readers.items():
        with within_a_second(what):
            read()
    found = read_spans(said)
    with within_a_second("classes of errors"):
        classify(GOLD, found, SENTENCE)


@pytest.mark.parametrize(
    ("gold", "found", "sentence"),
    [
        ({("ada", "PER")}, {("ada", "LOC"), ("ada ada", "PER")}, "Ada " * 30_000),
        ({("a b " * 30_000, "PER")}, {("b a " * 30_000, "PER")}, "c"),
        ({(f"w{i} x", "P") for i in range(100)}, {(f"w{i} y", "P") for i in range(20_000)}, "w1 x"),
        ({(f"w{i} x", "P") for i in range(30)}, {(f"x {i}", "P") for i in range(30_000)}, "w1 x"),
    ],
)
def test_spans_without_end_are_classed_within_a_second(
    gold: set[tuple[str, str]], found: set[tuple[str, str]], sentence: str
) -> None:
    with within_a_second():
        errors = classify(gold, found, sentence)
    assert sum(e.found is not None for e in errors.errors) == len(found - gold)
    assert sum(e.gold is not None for e in errors.errors) == len(gold - found)


def test_of_very_many_spans_those_in_the_sentence_are_compared() -> None:
    found = {(f"a{i} x", "P") for i in range(2000)} | {("york", "P")}
    errors = classify({("new york", "P")}, found, "In New York and York.")
    assert errors.fn("wrong_boundary") == 1
    assert errors.fp("spurious") == 2000


def test_long_texts_are_not_remembered() -> None:
    """Readers remember what many answers say; of long ones that would fill the memory."""
    first = f"first{'[ab ' * 20_000}"
    for read in (read_spans, parse_spans, functools.partial(stated_letter, letters="ABCD")):
        read(first)
    tracemalloc.start()
    try:
        for i in range(6):  # of 80,000 characters each
            text = f"{i}{'[ab ' * 20_000}"
            for finish in (None, "stop"):
                response = response_of(text, finish)
                is_repeating(Given(response, read_answer(text), None, 9))
            read_spans(text)
            parse_spans(text)
            stated_letter(text, "ABCD")
        del text, response
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2e5


def test_a_text_of_too_many_thoughts_is_no_answer() -> None:
    loop = read_answer("<think>a</think>" * 10_001 + "B", finish_reason="stop")
    assert (loop.text, loop.unfinished) == ("", True)
    many = read_answer("<think>a</think>" * 10_000 + "B", finish_reason="stop")
    assert (many.text, many.unfinished) == ("B", False)


def test_of_very_many_elements_the_last_counts() -> None:
    assert read_answer("<answer>A</answer>" * 5000 + "<answer>B</answer>").text == "B"
