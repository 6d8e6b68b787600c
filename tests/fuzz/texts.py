"""The readers of answers: letters, spans, thoughts, signs of failure, classes of errors, a row."""

from __future__ import annotations

from quantrial.analysis.answers.reading import Given, why_ended
from quantrial.analysis.answers.text_signs import is_empty, is_refused, is_repeating, is_truncated
from quantrial.engines.replies import ends_in_repeats
from quantrial.inert import clean, harmless, in_json
from quantrial.records import Response
from quantrial.tasks.answer import read_answer, starts_in_thought
from quantrial.tasks.letters import first_letter, stated_letter
from quantrial.tasks.span_errors import classify
from quantrial.tasks.span_reader import read_spans
from quantrial.tasks.spans import gold_spans, parse_spans
from quantrial.thought_tags import opening_tag_at_end

GOLD = gold_spans([["Ada", "PER"], ["Bo Li", "PER"], ["New York", "LOC"], ["Rome", "LOC"]])
SENTENCE = "Ada met Bo Li in New York, not in Rome; York is elsewhere, and Ada knew."


def response_of(text: str, finish_reason: str | None = None) -> Response:
    """Make the response that one arm gave."""
    return Response(
        study="s", task="t", arm="a", item="i", replicate=0, attempt=1, order=0, block=0,
        status="ok", error=None, output=text, finish_reason=finish_reason, prompt_tokens=9,
        completion_tokens=9, timing={}, started_at="",
    )  # fmt: skip


def read_text(data: bytes) -> None:
    """Read one text by everything that reads answers."""
    text = data.decode("utf-8", "replace")
    for reason, opened in ((None, False), ("length", True), ("stop", False)):
        response = response_of(text, reason)
        answer = read_answer(text, finish_reason=reason, opened=opened, tags=[("<a>", "</a>")])
        given = Given(response, answer, None, 9)
        assert is_empty(given) in (True, False)
        assert is_refused(given) in (True, False)
        assert is_repeating(given) in (True, False)
        assert is_truncated(given) in (True, False, None)
        why_ended(response, 9)
    starts_in_thought(text, [("<a>", "</a>")])
    opening_tag_at_end(text)
    answer = read_answer(text)
    for letters in ("ABCD", "ABCDEFGHIJ"):
        assert stated_letter(answer.text, letters) in (None, *letters)
        assert first_letter(answer.output, letters) in (None, *letters)
    for found in (read_spans(answer.text), parse_spans(answer.output)):
        errors = classify(GOLD, found, SENTENCE)
        assert sum(e.gold is not None for e in errors.errors) == len(GOLD - (found or set()))
    ends_in_repeats(text)
    assert "\n" not in clean(text)
    harmless(text)
    in_json(text)
