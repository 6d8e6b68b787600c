"""What comes apart from an answer's text: thoughts, calls of tools, refusals. None is dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from engines.made_openai import CHAT, TEXT, made
from quantrial.engines import Reply, Request
from quantrial.engines.llamacpp_process import Began
from quantrial.engines.llamacpp_wire import read_reply
from quantrial.engines.replies import Message
from quantrial.errors import EngineError
from servers.faulty import Answer, Call, FaultyServer, Say, faulty_server

KEY = "sk-proj-AbCdEf0123456789"
COUNTS = {"prompt_tokens": 5, "completion_tokens": 6}


def answering(pieces: list[dict[str, Any]], whole: dict[str, Any], finish: str = "stop") -> Any:
    """Answer chats with a message: in pieces where a stream was asked for, else whole."""

    def answer(call: Call, say: Say) -> Answer:
        head: dict[str, Any] = {"model": say.model}
        if not call.body:
            listed = {"data": [{"id": say.model}]}
            return Answer("application/json", (json.dumps(listed).encode(),))
        if not call.body.get("stream"):
            choice = {"message": whole, "finish_reason": finish}
            said = {**head, "choices": [choice], "usage": COUNTS}
            return Answer("application/json", (json.dumps(said).encode(),))
        events = [{**head, "choices": [{"delta": piece}]} for piece in pieces]
        events.append({**head, "choices": [{"delta": {}, "finish_reason": finish}]})
        events.append({**head, "choices": [], "usage": COUNTS})
        lines = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
        return Answer("text/event-stream", (*lines, b"data: [DONE]\n\n"))

    return answer


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server(model="m") as listening:
        yield listening


def asked(server: FaultyServer, stream: bool, request: Request = CHAT) -> Reply:
    return made("m", {"base_url": server.url, "stream": stream}).ask(request)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "field", ["reasoning_content", "reasoning", "thinking", "reasoning_text", "thoughts"]
)
def test_a_thought_that_is_handed_over_apart_is_kept_apart(
    server: FaultyServer, field: str, stream: bool
) -> None:
    server.answer = answering(
        [{"role": "assistant", field: "Hm, "}, {field: "B?", "content": None}, {"content": "B"}],
        {"role": "assistant", "content": "B", field: "Hm, B?"},
    )
    reply = asked(server, stream)
    assert (reply.output, reply.thought, reply.completion_tokens) == ("B", "Hm, B?", 6)


@pytest.mark.parametrize("stream", [True, False])
def test_a_thought_under_two_names_is_kept_once(server: FaultyServer, stream: bool) -> None:
    """As vLLM does it, whose new name stands beside the old one."""
    both = {"reasoning": "Hm.", "reasoning_content": "Hm."}
    server.answer = answering([both, {"content": "B"}], {"content": "B", **both})
    assert asked(server, stream).thought == "Hm."


@pytest.mark.parametrize(
    ("message", "text", "thought"),
    [
        # Mistral's: parts of the content
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm, "}]},
                    {"type": "thinking", "thinking": "B."},
                    {"type": "text", "text": "B"},
                ]
            },
            "B",
            "Hm, B.",
        ),
        # OpenRouter's
        (
            {
                "content": "B",
                "reasoning": None,
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "Hm. "},
                    {"type": "reasoning.summary", "summary": "B."},
                    {"type": "reasoning.encrypted", "data": "AbC="},
                ],
            },
            "B",
            "Hm. B.",
        ),
        ({"content": "", "reasoning": {"content": "Hm."}}, "", "Hm."),
        ({"content": None, "refusal": "I cannot say."}, "I cannot say.", None),
        ({"content": "B", "refusal": None, "reasoning_content": ""}, "B", None),
        ({"content": "B", "reasoning_effort": "low", "thinking": 3}, "B", None),
    ],
)
def test_other_forms_of_thoughts_and_refusals_are_read(
    server: FaultyServer, message: dict[str, Any], text: str, thought: str | None
) -> None:
    server.answer = answering([message], message)
    for stream in (True, False):
        reply = asked(server, stream)
        assert (reply.output, reply.thought) == (text, thought)


def test_nothing_but_a_thought_is_an_answer_without_text(server: FaultyServer) -> None:
    server.answer = answering([{"reasoning": "Hm"}], {"reasoning": "Hm", "content": None}, "length")
    for stream in (True, False):
        reply = asked(server, stream)
        assert (reply.output, reply.thought, reply.finish_reason) == ("", "Hm", "length")
        assert (reply.completion_tokens, reply.doubts) == (6, ())


def test_an_older_completion_may_think_apart_too(server: FaultyServer) -> None:
    def answer(call: Call, say: Say) -> Answer:
        choice = {"text": "B", "reasoning_content": "Hm", "finish_reason": "stop"}
        said = {"model": say.model, "choices": [choice], "usage": COUNTS, "data": [{"id": "m"}]}
        return Answer("application/json", (json.dumps(said).encode(),))

    server.answer = answer
    reply = asked(server, False, TEXT)
    assert (reply.output, reply.thought) == ("B", "Hm")


def test_calls_of_tools_are_kept_whole_however_they_come(server: FaultyServer) -> None:
    one = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
    two = {"id": "2", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    pieces = [
        {"tool_calls": [{"index": 0, **one, "function": {"name": "look", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 1, **two}, {"index": 0, "function": {"arguments": ": 1}"}}]},
    ]
    whole = {"content": None, "tool_calls": [one, two]}
    server.answer = answering(pieces, whole, "tool_calls")
    for stream in (True, False):
        reply = asked(server, stream)
        assert (reply.output, reply.finish_reason) == ("", "tool_calls")
        assert reply.tool_calls == (one, two)


def test_the_first_thought_is_the_first_token() -> None:
    message = Message()
    assert message.add({"reasoning": "Hm"})
    assert not message.add({"role": "assistant", "content": ""})
    assert message.add({"content": "B"})


@pytest.mark.parametrize("content", [3, {"text": "B"}, True])
def test_content_of_no_known_form_is_a_fault(server: FaultyServer, content: Any) -> None:
    server.answer = answering([{"content": content}], {"content": content})
    for stream in (True, False):
        with pytest.raises(EngineError, match="unknown form"):
            asked(server, stream)


@pytest.mark.parametrize(
    "message",
    [
        {"content": "B", "reasoning": f"The key is {KEY}."},
        {"content": "B", "tool_calls": [{"function": {"name": "f", "arguments": KEY}}]},
    ],
)
def test_a_key_is_kept_in_no_thought_and_no_call(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch, message: dict[str, Any]
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.answer = answering([message], message)
    for stream in (True, False):
        engine = made("m", {"base_url": server.url, "stream": stream, "api_key_env": "MY_KEY"})
        with pytest.raises(EngineError, match="repeats the API key"):
            engine.ask(CHAT)


def test_the_embedded_engine_keeps_what_its_server_hands_over_apart() -> None:
    message = {"content": "B", "reasoning_content": "Hm.", "tool_calls": [{"id": "1"}]}
    timings = {"predicted_n": 2, "predicted_ms": None, "prompt_ms": 2000.0, "cache_n": 0}
    said = {
        "choices": [{"message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 9},
        "timings": timings,
    }
    response = httpx.Response(200, content=json.dumps(said).encode())
    reply = read_reply(response, CHAT, Began(0, shared=False), load=None, wall=3.0)
    assert (reply.output, reply.thought, reply.tool_calls) == ("B", "Hm.", ({"id": "1"},))
    assert (reply.timing.prompt, reply.timing.decode, reply.timing.wall) == (2.0, None, 3.0)
    assert (reply.prompt_tokens, reply.completion_tokens) == (4, None)  # of 8 that were allowed


@pytest.mark.parametrize("bad", ["-Infinity", "NaN", "null", "Infinity"])
def test_the_embedded_engine_leaves_out_what_is_not_finite(bad: str) -> None:
    probabilities = (
        '[{"token": "B", "logprob": -0.25, "top_logprobs": [{"token": "B", "logprob": -0.25}, '
        f'{{"token": "C", "logprob": {bad}}}]}}]'
    )
    body = (
        f'{{"content": "B", "stop_type": "eos", "tokens_evaluated": 4, "tokens_predicted": 1, '
        f'"completion_probabilities": {probabilities}, "timings": {{"predicted_n": 1, '
        f'"predicted_ms": {bad}, "prompt_ms": {bad}, "cache_n": {bad}}}}}'
    )
    response = httpx.Response(200, content=body.encode())
    reply = read_reply(
        response, replace(TEXT, logprobs=2), Began(0, shared=False), load=None, wall=3.0
    )
    assert (reply.output, reply.finish_reason, reply.completion_tokens) == ("B", "stop", 1)
    assert reply.logprobs == ({"token": "B", "logprob": -0.25, "top": [["B", -0.25]]},)
    assert (reply.timing.prompt, reply.timing.decode, reply.cached_tokens) == (None, None, None)
