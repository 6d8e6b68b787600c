"""Recorded responses read as answers: what counts, what is truncated, what is said beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from analysis.fabricated import NAMES, QUIZ, make_response, make_study, quiz, said, sentences
from quantrial.analysis import TaskOutcomes, score_task
from quantrial.analysis.answers.text_signs import is_empty, is_truncated, text_signs
from quantrial.decision import decide_from
from quantrial.records import Response, response_from_json
from quantrial.tasks import make_task
from summaries import summarise

Given = tuple[str, dict[str, Any]]
CUT: dict[str, Any] = {"finish_reason": "length", "completion_tokens": 16}


def scored(
    ref: Sequence[Given], new: Sequence[Given], task: dict[str, Any] = QUIZ, **how: Any
) -> TaskOutcomes:
    study = make_study(tasks={"quiz": task})
    items = quiz(len(ref)) if task["kind"] == "choice" else sentences([[]] * len(ref), task="quiz")
    rows = {
        arm: [make_response(items[i], arm, text, **more) for i, (text, more) in enumerate(given)]
        for arm, given in (("ref", ref), ("new", new))
    }
    return score_task(make_task("quiz", study.tasks["quiz"]), items, rows, **how)


def summary_of(found: TaskOutcomes) -> dict[str, Any]:
    study = make_study(tasks={"quiz": {**QUIZ, "margin": 0.05}})
    arms = {
        arm: {"sha256": arm, "quantization": kind, "bytes_on_disk": size}
        for arm, kind, size in (("ref", "F16", 1000), ("new", "Q4_0", 300))
    }
    return summarise(study, {"quiz": found}, arms=arms, methods="calibrated")


def right(i: int) -> str:
    return "ABCD"[i % 4]


def test_a_thought_cut_off_on_a_third_of_the_items_is_no_hundred_percent() -> None:
    whole: list[tuple[str, dict[str, Any]]] = [
        (f"<think>hm</think>{right(i)}", {}) for i in range(60)
    ]
    cut = [
        (f"<think>So the answer is {right(i)}", CUT) if i % 3 == 0 else whole[i] for i in range(60)
    ]
    found = scored(whole, cut)
    summary = summary_of(found)
    part = summary["tasks"]["quiz"]
    assert part["endpoints"]["accuracy"]["arms"]["ref"]["estimate"] == 1.0
    assert part["endpoints"]["accuracy"]["arms"]["new"]["estimate"] == pytest.approx(40 / 60)
    modes = part["failure_modes"]["new"]
    assert (modes["unparsed"], modes["truncated"]) == (20, 20)
    assert (modes["texts"]["empty"]["count"], modes["texts"]["truncated"]["count"]) == (20, 20)
    assert part["reading"]["new"]["unfinished"] == part["reading"]["new"]["spent"] == 20
    decision = decide_from(summary)
    assert decision["default"]["arm"] == "ref"
    [caution] = [c["text"] for c in decision["cautions"] if "a setting, not quality" in c["text"]]
    assert "20 of 60 answers of new (20 inside a thought)" in caution
    assert "Raise max_tokens (now 16)" in caution


@pytest.mark.parametrize("opened", [None, {"ref": True, "new": True}])
def test_without_any_tag_other_answers_or_the_template_tell_of_the_thought(opened: Any) -> None:
    new: list[Given] = [("It may be A. So the answer is A", CUT)] * 3
    new += [(f"hm</think>{right(i)}", {}) for i in range(3, 6)] if opened is None else [("B", {})]
    ref: list[Given] = [(right(i), {}) for i in range(len(new))]
    found = scored(ref, new, opened=opened)
    assert found.opened["new"] is True
    assert [one is not None and one.unfinished for one in found.answers["new"]][:3] == [True] * 3
    assert [one.parsed for one in found.outcomes["new"][3:] if one] == [True] * (len(new) - 3)
    assert all(one and one.parsed for one in found.outcomes["ref"])


def test_where_nothing_tells_a_caution_names_what_may_be_thoughts() -> None:
    ref: list[Given] = [(right(i), {}) for i in range(8)]
    new: list[Given] = [(f"Well, it may be {right(i)}", CUT) for i in range(8)]
    found = scored(ref, new)
    assert (found.opened["ref"], found.opened["new"]) == (False, None)
    decision = decide_from(summary_of(found))
    [text] = [
        c["text"] for c in decision["cautions"] if "opens a thought is not known" in c["text"]
    ]
    assert "8 of 8 answers of new" in text
    # answers that ended by themselves without a tag tell that no template opens a thought
    told = summary_of(scored(ref, [*new[:6], (right(6), {}), (right(7), {})]))
    assert "reading" not in told["tasks"]["quiz"]
    # one among many that were cut does not: a model may give up within a thought
    told = summary_of(scored(ref, [*new[:7], (right(7), {})]))
    assert told["tasks"]["quiz"]["reading"]["new"]["doubtful"] == 7
    # one that opens its own does
    told = summary_of(scored(ref, [*new[:7], (f"<think>hm</think>{right(7)}", {})]))
    assert "reading" not in told["tasks"]["quiz"]
    # a letter alone begins no thought
    bare = summary_of(scored(ref, [(right(i), {**CUT, "completion_tokens": 1}) for i in range(8)]))
    assert "reading" not in bare["tasks"]["quiz"]


def test_an_unknown_tag_is_a_caution_and_a_study_may_name_it() -> None:
    ref: list[Given] = [(right(i), {}) for i in range(6)]
    new: list[Given] = [(f"<ponder>A or B</ponder>{right(i)}", {}) for i in range(6)]
    decision = decide_from(summary_of(scored(ref, new)))
    [text] = [c["text"] for c in decision["cautions"] if "<ponder>" in c["text"]]
    assert "6 answers of new" in text
    assert "name the pair in thought_tags of the task." in text
    named = scored(ref, new, {**QUIZ, "thought_tags": [["<ponder>", "</ponder>"]]})
    assert all(one and one.values["correct"] for one in named.outcomes["new"])


@pytest.mark.parametrize(
    ("output", "more"),
    [
        ("", {"thought": "It may be A"}),
        ("", {}),
        ("<think>It may be A", {}),
        ("<|channel|>analysis<|message|>It may be A", {}),
    ],
)
def test_empty_answers_that_cost_tokens_ask_for_no_more_items_at_the_floor(
    output: str, more: dict[str, Any]
) -> None:
    empty: list[Given] = [(output, CUT | more)] * 40
    # a few right ones, so that the arms differ and neither is above guessing
    ref = [(right(i), {}) if i < 6 else empty[i] for i in range(40)]
    new = [(right(i), {}) if i < 5 else empty[i] for i in range(40)]
    summary = summary_of(scored(ref, new))
    part = summary["tasks"]["quiz"]
    assert part["reading"]["ref"]["starved"]
    [one] = part["endpoints"]["accuracy"]["contrasts"]
    assert one["items_needed"] is None
    assert one["settled_by"] is None
    decision = decide_from(summary)
    assert "A new study of" not in decision["default"]["text"]
    assert "are empty because their tokens ran out." in decision["default"]["text"]
    assert any("a setting, not quality" in c["text"] for c in decision["cautions"])


@pytest.mark.parametrize(
    ("output", "tokens"), [("", 1), ("\n\n\n\n\n\n\n\n", 8), (" " * 16, 16), ("", None), ("", 0)]
)
def test_an_empty_answer_that_cost_nothing_unseen_is_no_setting(
    output: str, tokens: int | None
) -> None:
    ref: list[Given] = [(right(i), {}) for i in range(4)]
    new: list[Given] = [(output, {"completion_tokens": tokens})] * 4
    assert "reading" not in summary_of(scored(ref, new))["tasks"]["quiz"]


def test_a_call_of_a_tool_is_no_empty_answer_and_its_arguments_tell_two_answers_apart() -> None:
    def calling(town: str, number: int) -> Given:
        function = {"name": "look", "arguments": json.dumps({"town": town})}
        call = {"id": f"{number}", "type": "function", "function": function}
        return "", {"tool_calls": [call], "completion_tokens": 12, "finish_reason": "tool_calls"}

    towns = ["Riga", "Oslo", "Riga", "Rome"]
    ref = [calling("Riga", i) for i in range(4)]
    found = scored(ref, [calling(town, 10 + i) for i, town in enumerate(towns)])
    [mine, theirs] = [[one for one in found.given(arm) if one] for arm in ("ref", "new")]
    assert not any(is_empty(one) for one in (*mine, *theirs))
    assert theirs[1].answer.calls[0]["function"]["arguments"] == '{"town": "Oslo"}'
    said = [one.response.said for one in theirs]
    assert said[1] == '{"name": "look", "arguments": "{\\"town\\": \\"Oslo\\"}"}'
    # another id is the same answer, other arguments are another one
    same = [a.response.said == b.response.said for a, b in zip(mine, theirs, strict=True)]
    assert same == [True, False, True, False]
    assert text_signs(theirs).empty.count == 0
    assert text_signs(theirs).characters.mean == pytest.approx(len(said[0]))


def test_a_call_that_comes_after_a_thought_is_an_answer() -> None:
    call = {"function": {"name": "look", "arguments": {}}}
    cut = {"thought": "Hm.", "finish_reason": "length", "completion_tokens": 16}
    found = scored([("", cut)] * 2, [("", {**cut, "tool_calls": [call]})] * 2)
    for arm, unfinished in (("ref", True), ("new", False)):
        answers = [one.answer for one in found.given(arm) if one]
        assert [one.unfinished for one in answers] == [unfinished] * 2
        assert [one.thought for one in answers] == ["Hm."] * 2


# (output, finish reason, tokens, at_limit; whether it is truncated), 16 tokens allowed
ENDINGS: list[tuple[str, str | None, int | None, bool, bool | None]] = [
    ("The answer is B", "length", 16, False, True),
    ("The answer is B", "repeat_limit", None, False, True),
    ("The answer is B", "broken_off", None, False, True),
    ("The answer is B", None, 16, False, True),
    ("The answer is B", None, 17, False, True),
    ("The answer is B", None, 5, False, None),
    ("The answer is B", None, None, False, None),
    ("The answer is B", "stop", 5, False, False),
    # by itself with the last token allowed: cut only where it breaks off
    ("The answer is B", "stop", 16, True, False),
    ("The answer is B", "stop", 16, False, False),
    ("The answer is", "stop", 16, True, True),
    ("The answer is", "stop", 16, False, True),
    ("The answer is", "stop", None, True, True),
    ("The answer is", "stop", 15, False, False),
    ("<think>The answer is B", "stop", 15, False, True),
]


@pytest.mark.parametrize(("output", "reason", "tokens", "marked", "cut"), ENDINGS)
def test_what_is_truncated_by_hand(
    output: str, reason: str | None, tokens: int | None, marked: bool, cut: bool | None
) -> None:
    more = {"finish_reason": reason, "completion_tokens": tokens, "at_limit": marked}
    [one] = scored([("A", {})], [(output, more)]).given("new")
    assert one is not None
    assert is_truncated(one) is cut


@pytest.mark.parametrize(
    ("output", "cut"),
    [(said(("Ada", "PER")), False), ('[{"text": "Ada", "ty', True), ("[]", False)],
)
def test_an_array_at_the_limit_is_truncated_where_it_does_not_close(output: str, cut: bool) -> None:
    more = {"finish_reason": "stop", "completion_tokens": 256, "at_limit": True}
    [one] = scored([("[]", {})], [(output, more)], NAMES).given("new")
    assert one is not None
    assert is_truncated(one) is cut


@pytest.mark.parametrize("missing", [None, float("-inf"), float("nan"), float("inf"), "x"])
def test_a_logarithm_that_is_none_is_missing_and_the_run_is_analysed(missing: Any) -> None:
    token = {"token": "A", "logprob": missing, "top": [["A", -0.1], ["B", missing], ["C", -3.0]]}
    whole = {"token": "A", "logprob": -0.1, "top": [["A", -0.1], ["C", -3.0]]}
    ref: list[Given] = [("A", {"logprobs": [token]})] * 6
    new: list[Given] = [("A", {"logprobs": [whole]})] * 6
    [one] = summary_of(scored(ref, new))["tasks"]["quiz"]["fidelity"]
    assert (one["tokens"], one["kl"]["estimate"]) == (6, pytest.approx(0.0))


@pytest.mark.parametrize("top", [None, [], [["A", None]], ["A"], [["A"]], "A", {"A": -0.1}])
def test_a_token_without_alternatives_is_passed_over(top: Any) -> None:
    odd = {"token": "A", "logprob": None, "top": top}
    whole = {"token": "A", "logprob": -0.1, "top": [["A", -0.1]]}
    ref: list[Given] = [("A", {"logprobs": [whole]})] * 6
    new: list[Given] = [("A", {"logprobs": [odd]})] * 5 + [("A", {"logprobs": [whole]})]
    summary = summary_of(scored(ref, new))
    assert summary["tasks"]["quiz"]["fidelity"][0]["tokens"] == 1


def _line(**changes: Any) -> str:
    one = json.loads(make_response(quiz(1)[0], "new", "A").to_json())
    return json.dumps(one | changes)  # as Python writes it, NaN and all


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_lines_with_numbers_that_are_not_finite_are_read_as_missing(number: float) -> None:
    tokens = [{"token": "A", "logprob": number, "top": [["A", -0.1], ["B", number]]}]
    timing = {"load": number, "prompt": None, "decode": 0.5, "wall": 1.0}
    read: Response = response_from_json(
        _line(logprobs=tokens, timing=timing).encode(), path="responses", line=1
    )
    assert read.logprobs == [{"token": "A", "logprob": None, "top": [["A", -0.1]]}]
    assert read.timing["load"] is None
    huge = _line(timing=timing).replace("NaN", "1e999").replace("-Infinity", "-1e999")
    assert response_from_json(huge.encode(), path="responses").timing["load"] is None
