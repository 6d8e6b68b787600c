"""The engine for OpenAI-compatible servers: options, provenance, keys, errors, times."""

from __future__ import annotations

import importlib.metadata
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines.made_openai import CHAT, TEXT, made
from quantrial.engines import Message, Request, Timing
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.openai import OpenAIEngine
from quantrial.engines.openai_wire import Dialect, Gathered
from quantrial.engines.requantize import made_file
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineStartError,
    ModelChangedError,
    StudyError,
)
from servers.faulty import FaultyServer, faulty_server
from servers.llama_server import LlamaServer, llama_server

KEY = "sk-proj-AbCdEf0123456789"
URL = "http://127.0.0.1:1/v1"


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server(model="m") as listening:
        yield listening


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"a\.options\.base_url: missing: the server's address"),
        ({"base_url": "127.0.0.1:80"}, r"base_url: expected a URL such as .* got '127"),
        ({"base_url": "ftp://x/v1"}, "expected a URL"),
        ({"base_url": "http://x:port/v1"}, "expected a URL"),
        ({"base_url": URL, "replicas": [3]}, r"replicas\.0: expected a URL"),
        ({"base_url": URL, "replicas": [URL]}, "occurs twice"),
        ({"base_url": "http://x/v1?api-key=abc"}, "a key does not stand in a URL"),
        ({"base_url": "http://me:secret@x/v1"}, "a key does not stand in a URL"),
        ({"base_url": URL, "api_key_env": "QUANTRIAL_NOT_SET"}, "QUANTRIAL_NOT_SET is not set"),
        (
            {"base_url": URL, "api_key_env": KEY},
            "api_key_env: expected the name of an environment",
        ),
        ({"base_url": URL, "api_key": KEY}, r"api_key: unknown option; did you mean 'api_key_env'"),
        ({"base_url": URL, "server": "llamacpp"}, r"server: .*did you mean 'llama\.cpp'"),
        ({"base_url": URL, "extra_body": {"a": {1}}}, "cannot be sent as JSON"),
        ({"base_url": URL, "extra_body": [1]}, "expected a mapping, got"),
    ],
)
def test_what_an_arm_gets_wrong_is_named_and_no_key_repeated(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        made("m", options, key="a")
    assert KEY not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_is_asked_follows_the_request_and_the_options(server: FaultyServer) -> None:
    def body(request: Request, **options: Any) -> dict[str, Any]:
        made("m", {"base_url": server.url, "stream": False, **options}).ask(request)
        return dict(server.asked[-1].body)

    plain = replace(CHAT, seed=2**40, stop=("X",))
    assert body(plain) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Capital of France?"}],
        "temperature": 0.0,
        "seed": 2**40,
        "max_tokens": 8,
        "stop": ["X"],
    }
    hosted = body(
        TEXT, limit_key="max_completion_tokens", extra_body={"seed": None, "top_k": 1}, stream=True
    )
    assert hosted == {
        "model": "m",
        "prompt": "The capital of France is",
        "temperature": 0.0,
        "max_completion_tokens": 8,
        "top_k": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    llama = body(replace(TEXT, seed=2**32 - 1, grammar='root ::= "a"'), server="llama.cpp")
    assert (llama["seed"], llama["cache_prompt"], llama["grammar"]) == (0, False, 'root ::= "a"')
    assert (llama["top_k"], llama["min_p"], llama["repeat_penalty"]) == (40, 0.05, 1)
    assert body(TEXT, server="vllm")["repetition_penalty"] == 1
    own = {"server": "vllm", "extra_body": {"top_k": 7}}
    assert body(TEXT, **own)["top_k"] == 7
    cached = {"server": "llama.cpp", "prompt_cache": True}
    assert body(TEXT, **cached)["cache_prompt"] is True
    assert body(replace(TEXT, fresh=True), **cached)["cache_prompt"] is False
    assert body(replace(CHAT, exact_length=True), server="vllm")["ignore_eos"] is True


def test_tokens_that_a_server_took_from_its_cache_are_told(server: FaultyServer) -> None:
    counts = {"prompt_tokens": 5, "completion_tokens": 2}
    for details, told in (({"cached_tokens": 4}, 4), ({}, None), (None, None), ("4", None)):
        server.say = replace(server.say, usage={**counts, "prompt_tokens_details": details})
        assert made("m", {"base_url": server.url}).ask(TEXT).cached_tokens == told


def test_a_schema_is_asked_for_in_the_form_the_server_knows(server: FaultyServer) -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    server.say = replace(server.say, text='{"b": 1}')
    said = {"base_url": server.url}
    for request, options, key in (
        (CHAT, {}, "response_format"),
        (CHAT, {"server": "llama.cpp"}, "response_format"),
        (TEXT, {"server": "vllm"}, "response_format"),
        (TEXT, {"server": "llama.cpp"}, "json_schema"),
    ):
        made("m", {**said, **options}).ask(replace(request, schema=schema))
        sent = server.asked[-1].body[key]
        if key == "response_format":
            assert sent["type"] == "json_schema"
            sent = sent["json_schema"]["schema"]
        assert sent == schema
        assert list(sent["properties"]) == ["b", "a"]  # the order of an answer's keys


def test_llama_cpp_pythons_server_knows_schemas_and_grammars_in_forms_of_its_own(
    server: FaultyServer,
) -> None:
    """As llama-cpp-python 0.3.36 does it.

    It answers 500 to a `response_format` of the type `json_schema`, takes none at all outside
    chats, ends one stream when another call comes, and counts no tokens in a stream.
    """
    engine = made("m", {"base_url": server.url, "server": "llama-cpp-python"})
    server.say = replace(server.say, text='{"b": 1}', usage=None)
    reply = engine.ask(replace(CHAT, schema={"type": "object"}, seed=2**32 - 1))
    assert (reply.output, reply.completion_tokens) == ('{"b": 1}', None)
    sent = server.asked[-1].body
    assert sent["response_format"] == {"type": "json_object", "schema": {"type": "object"}}
    assert (sent["seed"], sent["top_k"], sent["repeat_penalty"]) == (0, 40, 1)
    engine.ask(replace(TEXT, grammar='root ::= "a"'))
    assert server.asked[-1].body["grammar"] == 'root ::= "a"'
    with pytest.raises(EngineError, match=r"holds chats to a schema.*`prompt_format: chat`") as got:
        engine.ask(replace(TEXT, schema={"type": "object"}))
    assert not got.value.retryable
    assert len(server.asked) == 2
    assert engine.abilities == {"schema", "tools", "logprobs", "grammar"}


def test_the_abilities_are_those_of_the_server() -> None:
    def abilities(server: str) -> frozenset[str]:
        return made("m", {"base_url": URL, "server": server}).abilities

    assert abilities("generic") == {"schema", "tools", "logprobs", "parallel"}
    assert abilities("llama.cpp") - abilities("vllm") == {"grammar"}
    with pytest.raises(EngineError, match="engine 'openai' cannot decode under a grammar"):
        made("m", {"base_url": URL}).ask(replace(TEXT, grammar='root ::= "a"'))


# --- keys -----------------------------------------------------------------------------------------


def test_a_key_goes_to_the_server_and_nowhere_else(
    server: FaultyServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    engine = made("m", {"base_url": server.url, "api_key_env": "MY_KEY"}, key="a")
    seen = [repr(engine.describe()), repr(engine.versions()), repr(engine), f"{engine.start()}"]
    seen.append(repr(engine.ask(TEXT)))
    assert {call.headers.get("authorization") for call in server.calls} == {f"Bearer {KEY}"}
    server.faults = ["echo", "echo", "500", "reset"]
    for request in (TEXT, CHAT, TEXT, TEXT):
        with pytest.raises(EngineError) as caught:
            engine.ask(request)
        link: BaseException | None = caught.value
        while link is not None:
            seen += [str(link), repr(link)]
            link = link.__cause__
    assert "Incorrect API key provided: Bearer ***" in "\n".join(seen)
    # a server that puts the key into an answer makes a fault of it
    server.say = replace(server.say, text=f"You said {KEY}.")
    with pytest.raises(EngineError, match="repeats the API key") as leaked:
        engine.ask(TEXT)
    seen += [str(leaked.value), caplog.text, *capfd.readouterr()]
    assert caplog.records
    assert KEY not in "\n".join(seen)


def test_no_key_of_the_environment_goes_to_a_server_unless_the_study_names_it(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    made("m", {"base_url": server.url}).ask(TEXT)
    assert server.calls
    for call in server.calls:
        assert KEY not in repr(call.headers)


# --- errors ---------------------------------------------------------------------------------------


def test_a_server_elsewhere_is_not_local() -> None:
    near, far = "http://127.0.0.1:1/v1", "https://api.example.org/v1"
    assert OpenAIEngine("m", {"base_url": near}).local
    # one hosted replica may cost money
    assert not OpenAIEngine("m", {"base_url": near, "replicas": [far]}).local


def test_a_connection_that_is_costly_is_used_again(
    server: FaultyServer,
) -> None:
    server.keep_alive = True
    for stream in (True, False):
        engine = made("m", {"base_url": server.url, "stream": stream})
        connection = engine._replicas[0].server
        connection._reuse = True  # without TLS in a test: as if the address began with https
        for _ in range(3):
            engine.ask(CHAT)
        assert connection.opened == 1
    # one look at what is served for each engine: its list and its version
    assert len(server.calls) - len(server.asked) == 2 * 2


# --- times ----------------------------------------------------------------------------------------


def test_a_stream_is_timed_where_the_server_says_nothing_of_time_by_hand() -> None:
    gathered = Gathered(CHAT, Dialect("m"))
    role = {"model": "m", "choices": [{"delta": {"role": "assistant", "content": None}}]}
    gathered.add(role, 0.5)
    for at, text in ((2.0, "Pa"), (2.25, "ri"), (3.0, "s")):
        gathered.add({"choices": [{"delta": {"content": text}}]}, at)
    gathered.add({"choices": [{"delta": {}, "finish_reason": "stop"}]}, 3.5)
    gathered.add({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}, 3.75)
    reply = gathered.reply(4.0)
    assert reply.output == "Paris"
    # from the first piece of text to the last one: three tokens, of which two took a step
    assert reply.timing == Timing(first_token=2.0, decode=1.0, wall=4.0)
    assert reply.decoded_tokens == 2


def test_the_servers_own_times_are_taken_where_it_says_them_by_hand() -> None:
    timings = {"prompt_ms": 1500.0, "predicted_ms": 900.0, "predicted_n": 3}
    usage = {"prompt_tokens": 5, "completion_tokens": 3}
    for stream, first in ((True, 2.0), (False, 4.0 - 0.9)):
        gathered = Gathered(TEXT, Dialect("m", stream=stream))
        gathered.add({"choices": [{"text": "Paris", "finish_reason": "stop"}]}, 2.0)
        gathered.add({"choices": [], "usage": usage, "timings": timings}, 3.0)
        reply = gathered.reply(4.0)
        assert reply.timing.first_token == pytest.approx(first)
        assert (reply.timing.prompt, reply.timing.decode, reply.timing.wall) == (1.5, 0.9, 4.0)
        assert reply.decoded_tokens == 2


def test_a_stream_is_timed_from_the_call_on(server: FaultyServer) -> None:
    server.pause = 0.05
    engine = made("m", {"base_url": server.url})
    for request, before, pieces in ((TEXT, 1, 5), (CHAT, 2, 6)):  # a chat says first who speaks
        timing = engine.ask(request).timing
        assert timing.first_token is not None
        assert timing.wall is not None
        assert timing.first_token >= 0.05 * before
        assert timing.wall >= 0.05 * pieces
        assert timing.prompt is None


def test_an_answer_that_comes_whole_is_timed_as_a_whole(server: FaultyServer) -> None:
    reply = made("m", {"base_url": server.url, "stream": False}).ask(TEXT)
    timing = reply.timing
    assert (timing.first_token, timing.prompt, timing.decode) == (None, None, None)
    assert reply.decoded_tokens is None
    assert timing.wall is not None


# --- provenance, on the real server ---------------------------------------------------------------


@pytest.mark.model
def test_the_artifact_is_that_of_the_file_which_the_server_has(
    openai_engine: OpenAIEngine, llamacpp: LlamaCppEngine, real_server: LlamaServer
) -> None:
    served, embedded = openai_engine.describe(), llamacpp.describe()
    assert served.model == real_server.name
    for name in ("sha256", "bytes_on_disk", "quantization", "parameters", "architecture"):
        assert getattr(served, name) == getattr(embedded, name)
    for name in ("tokenizer_sha256", "template_sha256", "context", "kv_bytes"):
        assert getattr(served, name) == getattr(embedded, name)
    assert served.details["slots"] == 1
    assert served.resident
    # where a server stands is no part of what it is: it may move between two sessions of a run
    assert set(served.options) == {"server", "stream", "limit_key"}
    assert real_server.url not in repr(served)
    versions = openai_engine.versions()
    assert versions["httpx"] == importlib.metadata.version("httpx")
    assert versions["server"].startswith("b")


@pytest.mark.model
def test_a_file_on_another_machine_is_described_as_the_server_does(
    new_openai: Callable[..., OpenAIEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    import quantrial.engines.openai_served as module

    monkeypatch.setattr(module, "_file_facts", lambda *_: None)
    artifact = new_openai().describe()
    assert (artifact.sha256, artifact.quantization) == (None, "Q4_0")
    assert artifact.parameters == 6_373_696
    assert artifact.template_sha256 is not None


@pytest.mark.model
def test_the_real_server_takes_no_other_key(
    real_server: LlamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    said = {"base_url": real_server.url, "server": "llama.cpp", "api_key_env": "MY_KEY"}
    with pytest.raises(EngineStartError, match=r"answered 401: Invalid API Key.*`api_key_env`"):
        made(real_server.name, said).start()


@pytest.mark.model
def test_the_same_weights_give_the_same_answers_over_both_engines(
    llamacpp: LlamaCppEngine, new_openai: Callable[..., OpenAIEngine]
) -> None:
    chat = (Message("system", "Be brief."), Message("user", "Name three seas."))
    schema = {"type": "array", "items": {"enum": ["Baltic", "North", "Dead"]}, "maxItems": 3}
    for request in (
        Request(text="Once upon a time", max_tokens=24, logprobs=2),
        Request(messages=chat, max_tokens=24, logprobs=2),
        Request(messages=chat, max_tokens=24, temperature=0.8, seed=7),
        Request(text="Three seas as JSON:", max_tokens=40, schema=schema),
        Request(text="Say", max_tokens=8, grammar='root ::= "sea" | "lake"'),
        Request(messages=chat, max_tokens=60, exact_length=True),
    ):
        embedded = llamacpp.ask(request)
        for stream in (True, False):
            served = new_openai(stream=stream).ask(request)
            for name in ("output", "finish_reason", "prompt_tokens", "completion_tokens"):
                assert getattr(served, name) == getattr(embedded, name), request
            assert served.decoded_tokens == embedded.decoded_tokens
            assert served.logprobs == embedded.logprobs


@pytest.mark.model
def test_a_prompt_longer_than_the_context_is_an_overflow(openai_engine: OpenAIEngine) -> None:
    for request in (Request(text="hi " * 600), Request(messages=(Message("user", "hi " * 600),))):
        with pytest.raises(ContextOverflowError, match="exceeds the available context size"):
            openai_engine.ask(request)
    assert openai_engine.ask(TEXT).output


@pytest.mark.model
def test_what_a_request_gets_wrong_is_refused_for_good(openai_engine: OpenAIEngine) -> None:
    for request, message in (
        (replace(TEXT, grammar="root ::= (("), "failed to parse grammar"),
        (Request(text="\ud800"), "not valid text"),
        (replace(CHAT, schema={"type": "nonsense"}, max_tokens=40), "schema|400"),
    ):
        with pytest.raises(EngineError, match=message) as caught:
            openai_engine.ask(request)
        assert not caught.value.retryable


@pytest.mark.model
def test_a_server_killed_in_mid_call_is_a_crash_and_answers_once_it_is_back(
    small: str, shared_cache: Path
) -> None:
    model = Path(small)
    slow = Request(text="abc", max_tokens=400, exact_length=True, timeout=60)
    with llama_server(model, name="smol", key="k") as first:
        port = int(first.url.removesuffix("/v1").rpartition(":")[2])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MY_KEY", "k")
            engine = made(
                "smol", {"base_url": first.url, "server": "llama.cpp", "api_key_env": "MY_KEY"}
            )
        undisturbed = engine.ask(TEXT).output
        first.process.send_signal(signal.SIGSTOP)  # so that the call cannot have ended before
        threading.Timer(0.3, first.process.kill).start()
        with pytest.raises(EngineCrashedError) as caught:
            engine.ask(slow)
        assert caught.value.retryable
        first.process.wait()
        with pytest.raises(EngineStartError, match="cannot be reached"):
            engine.ask(TEXT)
    with llama_server(model, name="smol", key="k", port=port):
        assert engine.ask(TEXT).output == undisturbed
    # another file under the same name, put there between two calls, does not answer for the first
    with llama_server(made_file(model, "Q8_0", None), name="smol", key="k", port=port):
        time.sleep(0.6)  # a server is looked at anew half a second after the last look
        for _ in range(2):
            with pytest.raises(ModelChangedError, match="serves another 'smol' than before: quan"):
                engine.ask(TEXT)
