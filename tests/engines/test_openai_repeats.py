"""Answers that a server of OpenAI's form ends because they repeat themselves, without a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from quantrial.engines import Message, Request
from quantrial.engines.openai import OpenAIEngine
from quantrial.errors import EngineError
from servers.ollama import Model, OllamaServer
from servers.ollama_rules import Said

CHAT = Request(messages=(Message("user", "Go on."),), max_tokens=60)
TEXT = Request(text="Go on", max_tokens=60)


@pytest.fixture
def server(wordy: Callable[..., Model]) -> Iterator[OllamaServer]:
    with OllamaServer({"m:latest": wordy()}) as own:
        yield own


@pytest.fixture(params=[True, False], ids=["stream", "whole"])
def engine(server: OllamaServer, request: pytest.FixtureRequest) -> Iterator[OpenAIEngine]:
    said = {"base_url": f"{server.address}/v1", "stream": request.param}
    made = OpenAIEngine("m:latest", said)
    yield made
    made.close()


def loops(*pieces: str, then: str) -> Callable[[str, Said, int], Said]:
    return lambda _, __, limit: Said((*pieces, *[then] * limit)[:limit], "length", limit)


@pytest.mark.parametrize("request_", [CHAT, TEXT], ids=["chat", "text"])
@pytest.mark.parametrize(("begin", "then"), [(("Well", ","), " no"), (("So",), "\n"), ((), "é")])
def test_it_is_an_answer_whose_length_is_not_known(
    server: OllamaServer, engine: OpenAIEngine, request_: Request, begin: Any, then: str
) -> None:
    server.models["m:latest"].voice = loops(*begin, then=then)
    reply = engine.ask(request_)
    assert (reply.output, reply.finish_reason) == ("".join((*begin, *[then] * 31)), "repeat_limit")
    assert reply.prompt_tokens is reply.completion_tokens is reply.decoded_tokens is None
    assert reply.doubts == (), "that a server counts 0 of it is known"


@pytest.mark.parametrize("request_", [CHAT, TEXT], ids=["chat", "text"])
def test_one_that_ends_before_has_its_reason_and_its_counts(
    server: OllamaServer, engine: OpenAIEngine, request_: Request
) -> None:
    server.models["m:latest"].voice = lambda _, __, limit: Said((" no",) * 31, "stop", 32)
    reply = engine.ask(request_)
    assert (reply.output, reply.finish_reason) == (" no" * 31, "stop")
    assert reply.completion_tokens == 32


@pytest.mark.parametrize("times", [5, 29])
def test_one_that_breaks_off_with_fewer_repeats_is_a_fault(
    server: OllamaServer, engine: OpenAIEngine, times: int
) -> None:
    pieces = ["Well", *[" no"] * times]
    choice = {"index": 0, "finish_reason": None}
    chunks = [{"choices": [choice | {"delta": {"content": piece}}]} for piece in pieces]
    streamed = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode()
    whole = {"choices": [choice | {"message": {"content": "".join(pieces)}}], "usage": None}

    def answer(handler: Any) -> None:
        if server.requests[-1][1].get("stream"):
            handler.raw(streamed, kind="text/event-stream")
        else:
            handler.say(whole, kind="application/json")

    server.faults.append(answer)
    with pytest.raises(EngineError, match="broke off") as caught:
        engine.ask(CHAT)
    assert caught.value.retryable
