"""What the embedded engine can do beyond plain text, on the real model."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from quantrial.engines import Message, Request
from quantrial.engines.abilities import refuse_unheld
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.replies import read_logprobs
from quantrial.errors import EngineError, StudyError

PARIS = "Question: What is the capital of France?\nAnswer:"
CHAT = (Message("user", "Name the people in this sentence: Ada met Bo in Rome."),)
SCHEMA = {
    "type": "array",
    "minItems": 1,
    "maxItems": 2,
    "items": {
        "type": "object",
        "properties": {"text": {"type": "string", "maxLength": 8}, "type": {"enum": ["PER"]}},
        "required": ["text", "type"],
        "additionalProperties": False,
    },
}


def raw(engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Keep what the server says, beside what the engine makes of it."""
    engine.start()
    assert engine._worker is not None
    client, said = engine._worker.client, list[dict[str, Any]]()
    post = client.post

    def keep(*args: Any, **kwargs: Any) -> httpx.Response:
        response = post(*args, **kwargs)
        said.append(response.json())
        return response

    monkeypatch.setattr(client, "post", keep)
    return said


@pytest.mark.model
def test_an_exact_length_goes_on_past_the_end_of_an_answer(
    demo_llamacpp: LlamaCppEngine,
) -> None:
    sum_ = "What is 2 + 2?"
    for request in (
        Request(messages=(Message("user", sum_),), max_tokens=80),
        Request(text=f"<|im_start|>user\n{sum_}<|im_end|>\n<|im_start|>assistant\n", max_tokens=80),
    ):
        natural = demo_llamacpp.ask(request)
        assert natural.finish_reason == "stop"
        assert natural.completion_tokens is not None
        assert natural.completion_tokens < 80
        exact = demo_llamacpp.ask(
            Request(messages=request.messages, text=request.text, max_tokens=80, exact_length=True)
        )
        assert (exact.completion_tokens, exact.finish_reason) == (80, "length")
        assert exact.decoded_tokens == 79


@pytest.mark.model
def test_a_fresh_prompt_is_read_whole_in_spite_of_the_cache(
    new_llamacpp: Callable[..., LlamaCppEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_llamacpp(prompt_cache=True)
    said = raw(engine, monkeypatch)
    text = "The sea is wide and deep. " * 8
    request = Request(text=text + "The sky", shared=len(text), max_tokens=1)
    replies = [
        engine.ask(dataclasses.replace(request, fresh=fresh))
        for fresh in (False, False, True, False)
    ]
    anew = [said[i]["timings"]["prompt_n"] for i in (2, 4, 5, 7)]  # others read or restore
    assert anew[2] == replies[2].prompt_tokens
    assert anew[2] > 40
    assert max(anew[0], anew[1], anew[3]) < 6
    assert said[5]["timings"]["cache_n"] == 0
    engine.close()


@pytest.mark.model
def test_probabilities_are_those_of_the_tokens_and_of_the_best_others(
    llamacpp: LlamaCppEngine,
) -> None:
    for request in (
        Request(text=PARIS, max_tokens=4, logprobs=3),
        Request(messages=CHAT, max_tokens=4, logprobs=3),
    ):
        reply = llamacpp.ask(request)
        assert reply.logprobs is not None
        assert "".join(token["token"] for token in reply.logprobs) == reply.output
        assert len(reply.logprobs) == reply.completion_tokens == 4
        for token in reply.logprobs:
            assert len(token["top"]) == 3
            best = [logprob for _, logprob in token["top"]]
            assert best == sorted(best, reverse=True)
            # greedy takes the best one
            assert token["top"][0] == [token["token"], token["logprob"]]
            assert sum(map(math.exp, best)) <= 1 + 1e-6
    assert llamacpp.ask(Request(text=PARIS, max_tokens=2)).logprobs is None


@pytest.mark.model
def test_a_schema_holds_the_answer(llamacpp: LlamaCppEngine) -> None:
    free = llamacpp.ask(Request(messages=CHAT, max_tokens=100))
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(free.output)
    for request in (
        Request(messages=CHAT, schema=SCHEMA, max_tokens=100),
        Request(text="Names as JSON:", schema=SCHEMA, max_tokens=100),
    ):
        reply = llamacpp.ask(request)
        assert reply.finish_reason == "stop"
        found = json.loads(reply.output)
        assert 1 <= len(found) <= 2
        assert all(set(one) == {"text", "type"} and one["type"] == "PER" for one in found)


@pytest.mark.model
def test_the_first_token_comes_after_the_prompt_and_before_the_rest(
    llamacpp: LlamaCppEngine,
) -> None:
    timing = llamacpp.ask(Request(text=PARIS, max_tokens=12, exact_length=True)).timing
    assert timing.first_token is not None
    assert timing.prompt is not None
    assert timing.decode is not None
    assert timing.wall is not None
    assert timing.prompt <= timing.first_token
    assert timing.first_token + timing.decode == pytest.approx(timing.wall)
    alone = llamacpp.ask(Request(text=PARIS, max_tokens=1)).timing
    assert (alone.first_token, alone.decode) == (alone.wall, None)


@pytest.mark.model
def test_a_cache_of_another_type_is_used(new_llamacpp: Callable[..., LlamaCppEngine]) -> None:
    request = Request(text="Once upon a time", max_tokens=40, logprobs=1)
    plain = new_llamacpp()
    small = new_llamacpp(cache_type_k="q4_0", cache_type_v="q4_0")
    answers = [engine.ask(request).logprobs for engine in (plain, small)]
    assert answers[0] != answers[1]
    assert small.describe().options["cache_type_k"] == "q4_0"
    # a block of 32 numbers takes 64 bytes as F16, and 18 as Q4_0
    wide, narrow = plain.describe().kv_bytes, small.describe().kv_bytes
    assert wide is not None
    assert narrow == wide * 18 // 64
    # a run from before there was the option is not refused for it
    assert "cache_type_k" not in plain.describe().options
    plain.close()
    small.close()


def test_a_cache_type_is_one_of_those_there_are() -> None:
    with pytest.raises(StudyError, match=r"cache_type_k: expected one of .*did you mean 'q8_0'"):
        LlamaCppEngine("m", {"cache_type_k": "q8"})


@pytest.mark.model
def test_the_cache_types_are_those_of_this_llama_cpp() -> None:
    import xllamacpp

    from quantrial.engines.llamacpp import CACHE_TYPES

    for name in CACHE_TYPES:
        assert hasattr(xllamacpp.ggml_type, f"GGML_TYPE_{name.upper()}")


@pytest.mark.model
def test_with_slots_several_threads_each_get_their_own_answer(
    new_llamacpp: Callable[..., LlamaCppEngine],
) -> None:
    assert "parallel" not in new_llamacpp().abilities
    engine = new_llamacpp(slots=2, context=256)
    assert "parallel" in engine.abilities
    words = [f"word{i}" for i in range(8)]
    answers: dict[str, str] = {}

    def ask(some: list[str]) -> None:
        for word in some:
            # held to the word: an answer that went to another thread would show
            request = Request(text="Say", grammar=f'root ::= "{word}"', max_tokens=16)
            answers[word] = engine.ask(request).output

    threads = [threading.Thread(target=ask, args=(words[i::3],)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {word: word for word in words}
    engine.close()


@pytest.mark.parametrize(
    "said",
    [
        [{"token": "a", "logprob": -1, "top_logprobs": [{"token": "b", "logprob": -2}]}],
        {
            "content": [
                {"token": "a", "logprob": -1, "top_logprobs": [{"token": "b", "logprob": -2}]}
            ]
        },
        {"tokens": ["a"], "token_logprobs": [-1], "top_logprobs": [{"b": -2}]},
    ],
)
def test_both_forms_of_probabilities_are_read(said: Any) -> None:
    assert read_logprobs(said) == ({"token": "a", "logprob": -1.0, "top": [["b", -2.0]]},)


def test_probabilities_without_alternatives_are_read_and_other_forms_refused() -> None:
    assert read_logprobs({"tokens": ["a"], "token_logprobs": [-1]})[0]["top"] == []
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_logprobs({"tokens": ["a", "b"], "token_logprobs": [-1]})
    with pytest.raises(KeyError):
        read_logprobs({})


@pytest.mark.model
@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"type": "string", "pattern": "("}])
def test_a_schema_that_llama_cpp_passes_over_is_refused_for_good(
    demo_llamacpp: LlamaCppEngine, schema: dict[str, Any]
) -> None:
    with pytest.raises(EngineError, match="the schema was not held to") as caught:
        demo_llamacpp.ask(Request(messages=CHAT, schema=schema, max_tokens=100))
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("output", "finish_reason", "stop", "held"),
    [
        ('[{"text": "a"}]', "stop", (), True),
        (' [\n{"te', "length", (), True),
        ("", "length", (), True),
        ('[{"te', "stop", ('"xt',), True),  # a stop text may end it anywhere
        ('[{"te', "stop", (), False),
        ("Here is", "length", (), False),
        ("Here is", "stop", ("\n",), False),
        ('{"a": 1}', "stop", (), False),
        ("[" * 100_000, "stop", (), False),
    ],
)
def test_an_answer_shows_whether_its_schema_was_held_to(
    output: str, finish_reason: str, stop: tuple[str, ...], held: bool
) -> None:
    request = Request(text="x", schema=SCHEMA, stop=stop)
    if held:
        refuse_unheld(request, output, finish_reason)
    else:
        with pytest.raises(EngineError, match="not held to"):
            refuse_unheld(request, output, finish_reason)
