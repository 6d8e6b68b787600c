"""Caches of prompts on servers: read from replies, said where nobody asked, switched off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import quantrial
from engines.made_openai import CHAT, TEXT, close_made, made
from quantrial.engines import Request
from quantrial.engines.openai_wire import cached_tokens
from quantrial.record_checks import Caches, cache_findings
from quantrial.records import ArmRecord
from servers.faulty import Answer, Call, FaultyServer, Say, faulty_server, openai_answer
from studies import QUESTIONS, write_study

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server(model="m", text="A") as listening:
        yield listening
    close_made()


@pytest.mark.parametrize(
    ("usage", "timings", "count"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 62}}, None, 62),
        ({"prompt_tokens_details": None, "prompt_cache_hit_tokens": 5}, None, 5),
        ({"cache_read_input_tokens": 7}, None, 7),
        ({"cached_tokens": 8}, None, 8),
        ({}, {"cache_n": 9, "tokens_cached": 70}, 9),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, {"cache_n": 9}, 0),
        ({"prompt_tokens_details": [1]}, [2], None),
        ({}, {"tokens_cached": 70}, None),  # what is kept after the answer
    ],
)
def test_what_came_from_a_cache_is_read_by_every_name_for_it(
    usage: dict[str, Any], timings: Any, count: int | None
) -> None:
    assert cached_tokens(usage, timings) == count


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("count", ["no", -1, None, True, 1.5])
def test_a_count_that_is_none_is_left_out(server: FaultyServer, stream: bool, count: Any) -> None:
    usage = {"prompt_tokens": 63, "completion_tokens": 1, "prompt_cache_hit_tokens": count}
    server.say = replace(server.say, usage=usage)
    assert made("m", {"base_url": server.url, "stream": stream}).ask(TEXT).cached_tokens is None


def test_by_hand_counts_are_added_up() -> None:
    both = Caches.of([(63, 62), (63, 0), (63, None), (None, None)]) + Caches.of([(10, 40)])
    assert both == Caches(answers=5, reused=2, cached=102, tokens=103)
    arms = {
        "a": ArmRecord(engine="openai"),
        "b": ArmRecord(engine="openai", options={"prompt_cache": True}),
        "c": ArmRecord(engine="llamacpp"),
        "d": ArmRecord(engine="openai"),
    }
    (said,) = cache_findings({"a": both, "b": both, "c": both, "d": Caches(answers=5)}, arms)
    assert "earlier prompts: a in 2 of 5 answers (102 of their 103 prompt tokens, 99 %)." in said
    assert not list(cache_findings({"b": both, "c": both}, arms))


def test_a_cache_that_nobody_asked_for_is_said_with_numbers(
    tmp_path: Path, server: FaultyServer
) -> None:
    asked: set[str] = set()

    def caching(call: Call, say: Say) -> Answer:
        seen = str(call.body.get("messages"))
        usage: dict[str, Any] = {"prompt_tokens": 63, "completion_tokens": 1}
        if seen in asked:
            usage["prompt_tokens_details"] = {"cached_tokens": 62}
        asked.add(seen)
        return openai_answer(call, replace(say, usage=usage))

    server.say = replace(server.say, usage={"prompt_tokens": 63, "completion_tokens": 1})
    with faulty_server(model="m", text="A", answer=caching) as proxy:
        arms = {
            name: {"engine": "openai", "model": "m", "options": {"base_url": one.url}}
            for name, one in (("f16", server), ("q8_0", proxy))
        }
        source = {"type": "jsonl", "path": "questions.jsonl"}
        tasks = {"sums": {"kind": "choice", "workload": "reasoning", "source": source}}
        design = {"repeat_reference": 0}
        study = write_study(tmp_path, arms=arms, tasks=tasks, design=design)
        run = tmp_path / "run"
        quantrial.run(study, out=run)
        assert not [one for one in quantrial.analyze(run)["assay"] if one["id"] == "cache"]
        # the second study asks the same prompts
        again = tmp_path / "again"
        quantrial.run(study, out=again)
    (check,) = [one for one in quantrial.analyze(again)["assay"] if one["id"] == "cache"]
    tokens = f"{62 * QUESTIONS:,} of their {63 * QUESTIONS:,} prompt tokens, 98 %"
    assert f"q8_0 in {QUESTIONS} of {QUESTIONS} answers ({tokens})" in check["text"]
    assert check["status"] == "warn"
    cautions = [one["text"] for one in quantrial.decide(again)["cautions"]]
    assert [one for one in cautions if one.startswith("Servers reused what they had read")]
    quantrial.report(again)
    assert "q8_0 in 24 of 24 answers" in (again / "report.md").read_text()
    assert quantrial.verify(again).ok


def salts(server: FaultyServer) -> list[Any]:
    return [call.body.get("cache_salt") for call in server.asked]


def test_vllm_is_kept_from_its_cache_by_a_salt_for_each_call(server: FaultyServer) -> None:
    engine = made("m", {"base_url": server.url, "server": "vllm"})
    assert "fresh" in engine.abilities
    for request in (TEXT, CHAT, TEXT):
        engine.ask(request)
    assert len(set(salts(server))) == 3
    assert all(isinstance(salt, str) and len(salt) >= 16 for salt in salts(server))


def test_a_cache_of_vllm_that_the_study_asks_for_is_left_on_but_for_fresh_prompts(
    server: FaultyServer,
) -> None:
    engine = made("m", {"base_url": server.url, "server": "vllm", "prompt_cache": True})
    engine.ask(TEXT)
    engine.ask(Request(text="x", max_tokens=8, fresh=True))
    assert [salt is not None for salt in salts(server)] == [False, True]
    # an older vLLM may refuse it, and a study may name its own
    for said, sent in ((None, None), ("mine", "mine")):
        own = {"base_url": server.url, "server": "vllm", "extra_body": {"cache_salt": said}}
        made("m", own).ask(TEXT)
        assert salts(server)[-1] == sent


@pytest.mark.parametrize(("owner", "salted"), [("vllm", True), ("sglang", False), (None, False)])
def test_a_generic_server_that_says_that_it_is_vllm_is_asked_so_too(
    server: FaultyServer, owner: str | None, salted: bool
) -> None:
    def listed(call: Call, say: Say) -> Answer:
        answer = openai_answer(call, say)
        if owner is None or not call.path.endswith("/models"):
            return answer
        said = answer.pieces[0].replace(b'"object": "model"', b'"owned_by": "%s"' % owner.encode())
        return Answer(answer.content_type, (said,))

    server.answer = listed
    engine = made("m", {"base_url": server.url})
    engine.describe()
    engine.ask(TEXT)
    assert [salt is not None for salt in salts(server)] == [salted]
    assert ("fresh" in engine.abilities) == salted
    others = made("m", {"base_url": server.url, "server": "sglang"})
    others.describe()
    others.ask(TEXT)
    assert salts(server)[-1] is None
