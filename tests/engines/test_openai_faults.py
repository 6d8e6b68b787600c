"""Every way a server fails: the right error, whether asking again can help, and nothing kept."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from engines.made_openai import CHAT, TEXT, made
from quantrial.engines import Request
from quantrial.engines.openai import OpenAIEngine
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
    ModelChangedError,
)
from servers.faulty import (
    HUGE,
    Answer,
    Call,
    FaultyServer,
    Say,
    faulty_server,
    openai_answer,
)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server(model="m") as listening:
        yield listening


@pytest.fixture(params=[True, False], ids=["stream", "whole"])
def engine(request: pytest.FixtureRequest, server: FaultyServer) -> OpenAIEngine:
    return made("m", {"base_url": server.url, "stream": request.param})


def test_a_sound_server_is_answered_by_once_a_call(
    engine: OpenAIEngine, server: FaultyServer
) -> None:
    for request in (TEXT, CHAT):
        reply = engine.ask(request)
        assert (reply.output, reply.finish_reason) == ("Paris.", "stop")
        assert (reply.prompt_tokens, reply.completion_tokens) == (5, 2)
    assert [call.path for call in server.asked] == ["/v1/completions", "/v1/chat/completions"]


# the fault, the error, a part of its message, whether asking again can help, after how many seconds
FAULTS: list[tuple[str, type[EngineError], str, bool, float | None]] = [
    ("reset", EngineCrashedError, "broke off while it answered", True, None),
    ("cut", EngineCrashedError, "broke off while it answered", True, None),
    ("half_json", EngineError, "JSON", True, None),
    ("half_stream", EngineCrashedError, "broke off while it answered", True, None),
    ("html", EngineError, "html", True, None),
    ("html_500", EngineError, "answered 502: <html>Bad Gateway", True, None),
    ("null", EngineError, "b'null'|not a JSON object", True, None),
    ("invalid_utf8", EngineError, "not UTF-8", True, None),
    ("huge", EngineError, "cut off after 1,064,960 bytes", True, None),
    ("bomb", EngineError, r"compressed answer \(gzip\)", True, None),
    ("error_in_answer", EngineError, "scripted error", True, None),
    ("429_seconds", EngineError, "answered 429: scripted 429", True, 7.0),
    ("429_date", EngineError, "answered 429", True, 90.0),
    ("429_past", EngineError, "answered 429", True, 0.0),
    ("429_nonsense", EngineError, "answered 429", True, None),
    ("429_plain", EngineError, "answered 429", True, None),
    ("429_quota", EngineError, "answered 429", False, None),
    ("400", EngineError, "answered 400", False, None),
    ("401", EngineError, "answered 401: .*`api_key_env`", False, None),
    ("404", EngineError, "answered 404", False, None),
    ("500", EngineError, "answered 500: scripted 500", True, None),
    ("503", EngineError, "answered 503", True, 3.0),
    ("redirect", EngineError, "answered 302", False, None),
    ("overflow", ContextOverflowError, "answered 400", False, None),
    ("other_model", EngineError, r"of the model 'another', and 'm' was asked", False, None),
    ("odd_finish", EngineError, "kept its answer back: content_filter", False, None),
]


@pytest.mark.parametrize(("fault", "kind", "message", "retryable", "after"), FAULTS)
@pytest.mark.parametrize("request_", [TEXT, CHAT], ids=["text", "chat"])
def test_a_fault_is_the_right_error_and_the_next_call_is_answered(
    engine: OpenAIEngine,
    server: FaultyServer,
    request_: Request,
    fault: str,
    kind: type[EngineError],
    message: str,
    retryable: bool,
    after: float | None,
) -> None:
    server.faults = [fault]
    with pytest.raises(EngineError, match=message) as caught:
        engine.ask(request_)
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert caught.value.retry_after == (None if after is None else pytest.approx(after, abs=3))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert engine.ask(request_).output == "Paris."
    # the client did not ask again by itself
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("fault", "message"), [("empty", "broke off|JSON"), ("quiet_end", "broke")]
)
def test_an_answer_that_is_not_whole_is_a_fault(
    server: FaultyServer, fault: str, message: str
) -> None:
    for stream in (True, False):
        if fault == "quiet_end" and not stream:
            continue  # a whole answer has no middle to end in
        engine = made("m", {"base_url": server.url, "stream": stream})
        for request in (TEXT, CHAT):
            server.faults = [fault]
            with pytest.raises(EngineError, match=message) as caught:
                engine.ask(request)
            assert caught.value.retryable


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_server_that_does_not_come_to_an_end_is_a_timeout(
    engine: OpenAIEngine, server: FaultyServer, fault: str
) -> None:
    server.faults = [fault]
    started = time.monotonic()
    with pytest.raises(EngineTimeoutError, match=r"no answer within 0\.3 s") as caught:
        engine.ask(Request(text="x", timeout=0.3))
    assert time.monotonic() - started < 2
    assert caught.value.retryable
    assert engine.ask(TEXT).output == "Paris."


def test_a_server_that_refuses_cannot_be_reached_and_is_asked_again_when_it_is_back(
    engine: OpenAIEngine, server: FaultyServer
) -> None:
    assert engine.ask(TEXT).output == "Paris."
    server.down()
    for _ in range(2):
        with pytest.raises(EngineStartError, match=r"cannot be reached: .*refused") as caught:
            engine.ask(TEXT)
        assert caught.value.retryable
        assert caught.value.__cause__ is not None
    server.up()
    assert engine.ask(TEXT).output == "Paris."


MEMORY = """
import resource, sys
from quantrial.engines import Request
from quantrial.engines.openai import OpenAIEngine
engine = OpenAIEngine("m", {"base_url": sys.argv[1], "stream": sys.argv[2] == "stream"})
request = Request(text="x", max_tokens=8)
engine.ask(request)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(2):
    try:
        engine.ask(request)
    except Exception as exc:
        print(exc)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("form", ["stream", "whole"])
def test_a_huge_answer_is_read_no_further_than_its_limit(server: FaultyServer, form: str) -> None:
    server.faults = [None, "huge", "bomb"]
    command = [sys.executable, "-c", MEMORY, server.url, form]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *errors, kib = done.stdout.splitlines()
    assert ["cut off" in errors[0], "compressed" in errors[1]] == [True, True]
    # what fills the pipes is little against the whole
    assert server.sent < HUGE / 5
    assert int(kib) * 1024 < HUGE / 5


def test_half_of_a_character_in_json_is_no_text(engine: OpenAIEngine, server: FaultyServer) -> None:
    server.say = replace(server.say, text="a\ud800b")  # JSON can say it, UTF-8 cannot
    with pytest.raises(EngineError, match=r"unknown form .*surrogates"):
        engine.ask(TEXT)


# what a server counts, and what is believed of it (tokens of the prompt, of the answer)
COUNTS: list[tuple[Any, int | None, int | None]] = [
    ({"prompt_tokens": 5, "completion_tokens": 2}, 5, 2),
    ({"prompt_tokens": 5, "completion_tokens": 8}, 5, 8),  # exactly the limit
    ({"prompt_tokens": 5, "completion_tokens": 9}, 5, None),
    ({"prompt_tokens": 5, "completion_tokens": 10**6}, 5, None),
    ({"prompt_tokens": 5, "completion_tokens": 10**30}, 5, None),
    ({"prompt_tokens": 5, "completion_tokens": 0}, 5, None),
    ({"prompt_tokens": 0, "completion_tokens": 0}, None, None),
    ({"prompt_tokens": 5, "completion_tokens": -2}, 5, None),
    ({"prompt_tokens": -5, "completion_tokens": 2}, None, 2),
    ({"prompt_tokens": "5", "completion_tokens": "2"}, None, None),
    ({"prompt_tokens": True, "completion_tokens": 2.5}, None, None),
    ({"prompt_tokens": 5.0, "completion_tokens": 2.0}, 5, 2),
    ({"prompt_tokens": None, "completion_tokens": float("nan")}, None, None),
    ({"prompt_tokens": 5, "completion_tokens": [2]}, 5, None),
    ([5, 2], None, None),
    ("many", None, None),
    ({}, None, None),
]


@pytest.mark.parametrize(("usage", "prompt", "completion"), COUNTS)
def test_a_count_that_cannot_be_true_is_left_out_and_the_answer_is_kept(
    engine: OpenAIEngine,
    server: FaultyServer,
    usage: Any,
    prompt: int | None,
    completion: int | None,
) -> None:
    server.say = replace(server.say, usage=usage)
    for request in (TEXT, CHAT):
        reply = engine.ask(request)
        assert (reply.output, reply.finish_reason) == ("Paris.", "stop")
        assert (reply.prompt_tokens, reply.completion_tokens) == (prompt, completion)
        assert reply.at_limit is (completion == 8)
        counted = usage if isinstance(usage, dict) else {"completion_tokens": usage}
        believed = {"prompt_tokens": prompt, "completion_tokens": completion}
        assert bool(reply.doubts) is any(counted.get(n) != believed[n] for n in counted)
        if completion is None:
            assert reply.decoded_tokens is None


@pytest.mark.parametrize(
    ("finish", "counted", "said", "at_limit"),
    [
        ("stop", 8, "stop", True),
        ("stop", 7, "stop", False),
        ("length", 8, "length", False),
        ("length", 9, "length", False),
        (None, 8, "length", False),  # nothing says why it ended, but it is as long as it may be
        (None, 9, "length", False),
        ("eos_token", 8, "stop", True),
        ("MAX_TOKENS", 3, "length", False),
    ],
)
def test_how_an_answer_ended_at_its_limit(
    engine: OpenAIEngine,
    server: FaultyServer,
    finish: str | None,
    counted: int,
    said: str,
    at_limit: bool,
) -> None:
    counts = {"prompt_tokens": 5, "completion_tokens": counted}
    server.say = replace(server.say, finish=finish, usage=counts)
    for request in (TEXT, CHAT):
        reply = engine.ask(request)
        assert (reply.output, reply.finish_reason, reply.at_limit) == ("Paris.", said, at_limit)
        assert reply.completion_tokens == (counted if counted <= 8 else None)


@pytest.mark.parametrize("finish", [None, ""])
def test_a_whole_answer_that_ends_for_no_reason_below_its_limit_is_one_that_does_not_say_why(
    engine: OpenAIEngine, server: FaultyServer, finish: str | None
) -> None:
    server.say = replace(server.say, finish=finish)
    for request in (TEXT, CHAT):
        reply = engine.ask(request)
        assert (reply.output, reply.finish_reason, reply.at_limit) == ("Paris.", None, False)


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_what_ends_for_no_reason_and_was_not_counted_is_broken_off(
    server: FaultyServer, usage: Any
) -> None:
    server.say = replace(server.say, finish=None, usage=usage)
    engine = made("m", {"base_url": server.url, "stream": False})
    for request in (TEXT, CHAT):
        with pytest.raises(EngineCrashedError, match="broke off after 6 characters") as caught:
            engine.ask(request)
        assert caught.value.partial is not None


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_at_all_is_no_answer(server: FaultyServer, stream: bool) -> None:
    engine = made("m", {"base_url": server.url, "stream": stream})
    for request in (TEXT, CHAT):
        server.say = replace(server.say, text="", finish=None)
        with pytest.raises(EngineCrashedError, match="broke off at its beginning"):
            engine.ask(request)
        server.say = replace(server.say, text="", finish="stop")
        assert engine.ask(request).output == ""


@pytest.mark.parametrize("counting", [False, True])
def test_a_stream_that_ends_without_the_word_for_it_is_broken_off(
    server: FaultyServer, counting: bool
) -> None:
    def count(call: Call, say: Say) -> Answer:
        """Count with every piece, as some servers do."""
        made = openai_answer(call, say)
        said = b'"usage": {"prompt_tokens": 5, "completion_tokens": 2}, "choices"'
        return replace(made, pieces=tuple(one.replace(b'"choices"', said) for one in made.pieces))

    server.answer = count if counting else openai_answer
    engine = made("m", {"base_url": server.url})
    for request in (TEXT, CHAT):
        server.faults = ["quiet_end"]
        with pytest.raises(EngineCrashedError, match=r"broke off after [36] characters") as caught:
            engine.ask(request)
        assert caught.value.partial is not None
        assert "Paris.".startswith(caught.value.partial.output)


@pytest.mark.parametrize(
    "timings",
    [
        {"prompt_ms": -1.0, "predicted_ms": 2.0, "predicted_n": 2},
        {"prompt_ms": float("inf"), "predicted_ms": float("nan"), "predicted_n": 2},
        {"prompt_ms": float("-inf"), "predicted_ms": None, "predicted_n": float("nan")},
        {"prompt_ms": "fast", "predicted_ms": "2", "predicted_n": "2"},
        {"prompt_ms": 10**400, "predicted_ms": [], "predicted_n": 2},
        {"predicted_ms": float("inf"), "predicted_n": 2},
        [1, 2],
        "soon",
    ],
)
def test_a_time_that_cannot_be_is_left_out_and_the_answer_is_kept(
    engine: OpenAIEngine, server: FaultyServer, timings: Any
) -> None:
    server.say = replace(server.say, extra={"timings": timings})
    reply = engine.ask(CHAT)
    assert (reply.output, reply.timing.prompt) == ("Paris.", None)
    assert reply.timing.decode in (None, 0.002)
    assert reply.timing.wall is not None


def _tokens(form: str, bad: Any) -> Any:
    """Two tokens in the form of chats or of the older completions; `bad` is in place of numbers."""
    if form == "chat":
        return {
            "content": [
                {
                    "token": "Pa",
                    "logprob": -0.5,
                    "top_logprobs": [
                        {"token": "Pa", "logprob": -0.5},
                        {"token": "Lo", "logprob": bad},
                        {"token": "Ro", "logprob": -1.5},
                    ],
                },
                {"token": "ris.", "logprob": bad, "top_logprobs": [{"token": "x", "logprob": bad}]},
            ]
        }
    return {
        "tokens": ["Pa", "ris."],
        "token_logprobs": [-0.5, bad],
        "top_logprobs": [{"Pa": -0.5, "Lo": bad, "Ro": -1.5}, {"x": bad}],
    }


@pytest.mark.parametrize(
    "bad", [float("-inf"), float("inf"), float("nan"), None, "-Infinity"], ids=repr
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_probability_that_is_none_is_left_out_and_the_answer_is_kept(
    stream: bool, bad: Any
) -> None:
    for form, request in (("chat", CHAT), ("text", TEXT)):

        def answer(call: Call, say: Say, form: str = form) -> Answer:
            made = openai_answer(call, say)
            if not call.body:
                return made
            said = json.dumps(_tokens(form, bad)).encode()  # NaN and Infinity stand there bare
            old, new = b'"index": 0, ', b'"index": 0, "logprobs": ' + said + b", "
            at = next(i for i, piece in enumerate(made.pieces) if b"Pa" in piece)
            pieces = list(made.pieces)
            pieces[at] = pieces[at].replace(old, new, 1)
            return replace(made, pieces=tuple(pieces))

        with faulty_server(model="m", answer=answer) as server:
            engine = made("m", {"base_url": server.url, "stream": stream})
            reply = engine.ask(replace(request, logprobs=3))
        assert reply.output == "Paris."
        assert reply.logprobs == (
            {"token": "Pa", "logprob": -0.5, "top": [["Pa", -0.5], ["Ro", -1.5]]},
            {"token": "ris.", "logprob": None, "top": []},
        )


def test_an_answer_without_counts_is_kept_without_them(
    engine: OpenAIEngine, server: FaultyServer
) -> None:
    server.faults = ["no_usage"]
    reply = engine.ask(TEXT)
    assert (reply.output, reply.prompt_tokens, reply.completion_tokens) == ("Paris.", None, None)


def test_an_answer_of_no_text_is_one(engine: OpenAIEngine, server: FaultyServer) -> None:
    server.faults = ["no_text"]
    reply = engine.ask(CHAT)
    assert (reply.output, reply.finish_reason, reply.timing.first_token) == ("", "stop", None)


def test_one_that_speaks_no_http_broke_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH_9.7\r\n")
                connection.close()

        threading.Thread(target=talk, daemon=True).start()
        port = listener.getsockname()[1]
        engine = made("m", {"base_url": f"http://127.0.0.1:{port}/v1"})
        with pytest.raises(EngineError, match="broke off"):
            engine.ask(TEXT)


# --- another model, other software ----------------------------------------------------------------


def test_a_model_that_the_server_does_not_list_is_refused(server: FaultyServer) -> None:
    engine = made("elsewhere", {"base_url": server.url})
    for ask in (engine.start, engine.describe, lambda: engine.ask(TEXT)):
        with pytest.raises(EngineStartError, match=r"does not serve 'elsewhere'; it has m") as got:
            ask()
        assert not got.value.retryable
    assert server.asked == []


def test_a_model_that_answers_under_another_name_is_taken_when_the_study_says_so(
    server: FaultyServer,
) -> None:
    server.faults = ["other_model", "other_model"]
    with pytest.raises(EngineError, match="`served_as`"):
        made("m", {"base_url": server.url}).ask(TEXT)
    engine = made("m", {"base_url": server.url, "served_as": "another"})
    assert engine.ask(TEXT).output == "Paris."
    with pytest.raises(EngineError, match="'another' was asked"):
        engine.ask(TEXT)


def test_a_model_replaced_while_the_server_was_gone_is_refused(server: FaultyServer) -> None:
    engine = made("m", {"base_url": server.url})
    assert engine.ask(TEXT).output == "Paris."
    server.down()
    with pytest.raises(EngineStartError, match="cannot be reached"):
        engine.ask(TEXT)
    server.say = replace(server.say, model="another")
    server.up()
    with pytest.raises(ModelChangedError, match="does not serve 'm' any more; it has another"):
        engine.ask(TEXT)


def test_a_fingerprint_is_held_to_where_the_server_has_one_or_the_study_names_it(
    server: FaultyServer,
) -> None:
    hosted = made("m", {"base_url": server.url})
    pinned = made("m", {"base_url": server.url, "fingerprint": "fp_1"})
    own = made("m", {"base_url": server.url, "server": "vllm"})
    for engine, held in ((hosted, False), (pinned, True), (own, True)):
        server.faults = [None, "other_fingerprint"]
        assert engine.ask(TEXT).output == "Paris."
        if held:
            with pytest.raises(ModelChangedError, match="'fp_2', where it was 'fp_1'"):
                engine.ask(TEXT)
        else:
            assert engine.ask(TEXT).output == "Paris."
    assert dict(pinned.describe().options)["fingerprint"] == "fp_1"


def test_a_schema_that_a_server_passes_over_is_a_fault(
    engine: OpenAIEngine, server: FaultyServer
) -> None:
    with pytest.raises(EngineError, match="schema was not held to") as caught:
        engine.ask(Request(messages=CHAT.messages, schema={"type": "array"}, max_tokens=8))
    assert not caught.value.retryable


def test_probabilities_that_a_server_does_not_give_are_a_fault(engine: OpenAIEngine) -> None:
    with pytest.raises(EngineError, match="no probabilities"):
        engine.ask(Request(text="x", logprobs=2, max_tokens=8))


# --- replicas -------------------------------------------------------------------------------------


def test_replicas_share_the_calls_and_one_that_is_gone_is_left_alone(server: FaultyServer) -> None:
    with faulty_server(model="m") as second:
        engine = made("m", {"base_url": server.url, "replicas": [second.url]})
        engine.start()
        for _ in range(6):
            engine.ask(TEXT)
        assert (len(server.asked), len(second.asked)) == (3, 3)
        second.down()
        # the one asked longest ago comes next; it is gone, and the other answers from then on
        engine.ask(TEXT)
        with pytest.raises(EngineError) as caught:
            engine.ask(TEXT)
        assert caught.value.retryable
        for _ in range(5):
            engine.ask(TEXT)
        assert len(server.asked) == 9


def test_a_busy_replica_is_passed_over(server: FaultyServer) -> None:
    with faulty_server(model="m") as second:
        server.always = "hang"
        engine = made("m", {"base_url": server.url, "replicas": [second.url]})
        stuck = threading.Thread(target=_swallow, args=(engine,))
        stuck.start()
        while not server.asked:
            time.sleep(0.005)
        for _ in range(3):
            assert engine.ask(TEXT).output == "Paris."
        assert len(second.asked) == 3
        server.released.set()
        stuck.join()


def _swallow(engine: OpenAIEngine) -> None:
    with pytest.raises(EngineError):
        engine.ask(TEXT)


def test_every_replica_serves_the_model_before_a_run_starts(server: FaultyServer) -> None:
    with faulty_server(model="another") as second:
        engine = made("m", {"base_url": server.url, "replicas": [second.url]})
        with pytest.raises(EngineStartError, match="does not serve 'm'; it has another"):
            engine.start()
