"""What is hashed of what an arm is asked, and what is believed of what it replies."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantrial.engines import Reply, Request, Timing
from quantrial.engines.scripted import ScriptedEngine
from quantrial.errors import EngineError
from quantrial.running.asking import Attempt, attempt, prompt_hash
from quantrial.tasks import Prompt

PROMPT = Prompt(messages=(("system", "Be brief."), ("user", "Hello.")), stop=("\n",))
REQUEST = Request(text="x")


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (("system", "Be long."), ("user", "Hello."))},
        {"messages": (("user", "Be brief."), ("user", "Hello."))},
        {"messages": (("user", "Hello."),)},
        {"messages": (), "text": "Hello."},
        {"max_tokens": 65},
        {"stop": ()},
        {"grammar": 'root ::= "a"'},
        {"schema": {"type": "array"}},
    ],
)
def test_whatever_an_arm_is_shown_changes_the_hash(change: dict[str, Any]) -> None:
    assert prompt_hash(replace(PROMPT, **change), REQUEST) != prompt_hash(PROMPT, REQUEST)


def test_sampling_counts_where_there_is_any() -> None:
    def asked(**sampling: Any) -> str:
        return prompt_hash(PROMPT, replace(REQUEST, **sampling))

    assert asked(seed=1) == asked(seed=2), "a greedy answer does not depend on the seed"
    drawn = {asked(temperature=0.5, seed=1), asked(temperature=0.5, seed=2), asked(temperature=0.6)}
    assert len(drawn | {asked()}) == 4
    assert asked(timeout=1.0) == asked(logprobs=3) == asked(), "these change no answer"


# --- replies of any engine ------------------------------------------------------------------------


class _Foreign(ScriptedEngine):
    """An engine of a third party that replies with whatever it is given, or raises it."""

    def __init__(self, reply: Any):
        super().__init__(lambda _: "B")
        self._reply = reply

    def ask(self, request: Request) -> Reply:
        if isinstance(self._reply, Exception):
            raise self._reply
        reply: Reply = self._reply
        return reply


def asked_of(reply: Any, request: Request = REQUEST) -> Attempt:
    return attempt(_Foreign(reply), request)


def replied(output: Any, finish: str | None = None, **rest: Any) -> Reply:
    """Make a reply of any values, right or wrong."""
    return Reply(output, finish, **rest)


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        (replied("B", "stop", completion_tokens=1, decoded_tokens=0), (1, 0, "stop")),
        (replied("B", "stop", completion_tokens=64, decoded_tokens=63), (64, 63, "stop")),
        (replied("B", "stop", completion_tokens=65, decoded_tokens=64), (None, None, "stop")),
        (replied("B", "stop", completion_tokens=0, decoded_tokens=0), (None, None, "stop")),
        (replied("", "stop", completion_tokens=0), (0, None, "stop")),
        (replied(" \n", "stop", completion_tokens=0), (0, None, "stop")),
        (replied("", "stop", completion_tokens=0, thought="Hm"), (None, None, "stop")),
        (replied("B", None, completion_tokens=64), (64, None, "length")),
        (replied("B", None, completion_tokens=70), (None, None, "length")),
        (replied("B", None, completion_tokens=3), (3, None, None)),
        (replied("B", None), (None, None, None)),
        (replied("B", "stop", completion_tokens=np.int64(3)), (3, None, "stop")),
        (replied("B", "stop", completion_tokens=True), (None, None, "stop")),
        (replied("B", "stop", completion_tokens=math.inf), (None, None, "stop")),
    ],
)
def test_no_count_of_any_engine_takes_an_answer_away(
    reply: Reply, kept: tuple[int | None, int | None, str | None]
) -> None:
    found = asked_of(reply)
    assert (found.status, found.reply.output) == ("ok", reply.output)
    said = found.reply
    assert (said.completion_tokens, said.decoded_tokens, said.finish_reason) == kept
    assert said.at_limit is (kept == (64, 63, "stop"))
    doubtful = reply.completion_tokens is not None and kept[0] is None
    assert bool(said.doubts) is doubtful


def test_no_number_of_any_engine_that_is_not_finite_is_recorded() -> None:
    wrong: dict[str, Any] = {"decode": np.float32(0.5), "wall": "1"}
    timing = Timing(load=math.nan, prompt=-1.0, first_token=math.inf, **wrong)
    top = [["B", -0.5], ["C", -math.inf], ["D", math.nan], ["E", None], ["F", 3.0]]
    tokens = ({"token": "B", "logprob": math.nan, "top": top}, {"token": "x"})
    calls = ({"arguments": {"at": math.nan, "of": {1}}, "name": "\ud800"},)
    said = asked_of(
        replied("B", "stop", timing=timing, logprobs=tokens, thought="\ud800", tool_calls=calls)
    ).reply
    assert said.timing == Timing(decode=0.5)
    assert said.logprobs == (
        {"token": "B", "logprob": None, "top": [["B", -0.5]]},
        {"token": "x", "logprob": None, "top": []},
    )
    assert said.thought == "?"
    assert said.tool_calls == ({"arguments": {"at": None, "of": "{1}"}, "name": "?"},)


@pytest.mark.parametrize("output", [None, 3, b"B", "\ud800"])
def test_an_answer_that_is_no_text_is_a_fault(output: Any) -> None:
    found = asked_of(replied(output, "stop"))
    assert (found.status, found.final, found.reply.output) == ("engine_error", True, "")
    assert "the answer is no text" in str(found.error)


def test_what_an_engine_says_of_a_fault_can_be_written_down() -> None:
    error = EngineError("no \ud800")
    error.partial = Reply("half\ud800")
    found = asked_of(error)
    assert (found.status, found.error, found.partial) == ("engine_error", "no ?", None)
