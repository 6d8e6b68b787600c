"""Whatever comes over the wire can be written down and read again, or is a fault of its call.

`QUANTRIAL_FUZZ=100000 pytest tests/engines/test_odd_replies.py` tries more of them.
"""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantrial.engines import Message, Reply, Request, make_engine
from quantrial.engines.artifact import Artifact
from quantrial.engines.replies import read_logprobs
from quantrial.engines.scripted import ScriptedEngine
from quantrial.errors import EngineError, QuantrialError
from quantrial.records import Manifest, Response, manifest_from_json, response_from_json
from quantrial.running.arms import arm_records
from quantrial.running.asking import Attempt, attempt
from quantrial.study import Arm, Study
from servers.faulty import Answer, Call, FaultyServer, Say, faulty_server

CASES = int(os.environ.get("QUANTRIAL_FUZZ", "400"))
CHAT = Request(messages=(Message("user", "x"),), logprobs=2, timeout=5.0)
TEXT = Request(text="x", logprobs=2, timeout=5.0)


def nested(levels: int) -> list[Any]:
    outer: list[Any] = []
    inner = outer
    for _ in range(levels):
        inner.append([])
        inner = inner[0]
    return outer


ODD: tuple[Any, ...] = (
    *("\ud800", "a\udcffb", "\ud83d\ude00", "\x00", "", "1", "none", "x" * 5000, "\u202e\x07\x1b["),
    *(None, True, False, 0, -1, 10**30, 10**400, 1.5, 1e308, math.nan, math.inf),
    *([], [None], {}, {"a": {}}, [[[[]]]], ["\ud800"], {"\ud800": "\ud800"}, [1, 2]),
    *({"message": {"message": {"x": 1}}}, nested(300)),
)


def recorded(found: Attempt) -> Response:
    """Write an attempt down as a run does, and read it again."""
    reply = found.reply
    response = Response(
        study="s",
        task="t",
        arm="a",
        item="i",
        replicate=0,
        attempt=1,
        order=0,
        block=0,
        status=found.status,
        error=found.error,
        output=reply.output,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        timing=asdict(reply.timing),
        started_at="x",
        decoded_tokens=reply.decoded_tokens,
        cached_tokens=reply.cached_tokens,
        logprobs=None if reply.logprobs is None else [dict(one) for one in reply.logprobs],
        thought=reply.thought,
        tool_calls=None if reply.tool_calls is None else [dict(one) for one in reply.tool_calls],
        host=reply.host,
    )
    again = response_from_json(response.to_json(), path="x")
    assert again == response
    return again


class _Foreign(ScriptedEngine):
    def __init__(self, reply: Any = None, artifact: Any = None, versions: Any = None):
        super().__init__(lambda _: "B")
        self._reply, self._artifact, self._versions = reply, artifact, versions

    def ask(self, request: Request) -> Reply:
        if isinstance(self._reply, Exception):
            raise self._reply
        reply: Reply = self._reply
        return reply

    def describe(self) -> Artifact:
        artifact: Artifact = self._artifact
        return artifact

    def versions(self) -> Any:
        return self._versions


TEXTS = ("finish_reason", "thought", "host")
REPAIRED = "held what cannot be written down"


@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("name", [*TEXTS, "output", "logprobs", "tool_calls", "timing", "doubts"])
def test_a_reply_of_any_engine_can_be_written_down_or_is_a_fault(name: str, value: Any) -> None:
    fields: dict[str, Any] = {"output": "B", "finish_reason": "stop", name: value}
    found = attempt(_Foreign(Reply(**fields)), CHAT)
    kept = recorded(found)
    assert kept.status in ("ok", "engine_error")
    assert found.final
    if kept.status == "engine_error":
        assert kept.error
        assert "internal" not in kept.error
    elif name in TEXTS and value == "\ud800":
        assert getattr(kept, name) == "?"
        assert any(REPAIRED in said for said in found.reply.mended)
    elif name in TEXTS and isinstance(value, str) and value.isprintable():
        assert (getattr(kept, name) or None) == (value or None)
        assert not found.reply.mended


@pytest.mark.parametrize(
    "reply",
    [None, "B", {"output": "B"}, 3, Reply, [Reply("B")], (c for c in "B"), object()],
    ids=lambda reply: type(reply).__name__,
)
def test_what_is_no_reply_is_a_fault(reply: Any) -> None:
    kept = recorded(attempt(_Foreign(reply), CHAT))
    assert kept.status == "engine_error"
    assert "gave no reply" in str(kept.error)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("logprobs", [{"token": "\ud800", "logprob": -0.5, "top": [["\ud800", -0.5]]}], "?"),
        ("logprobs", [{"token": "a\x00", "logprob": True, "top": []}], "a\\u0000"),
        ("logprobs", [{"token": "B", "logprob": -1, "top": [], "bytes": b"\xff"}], "B"),
        ("tool_calls", "call me", "call me"),
        ("tool_calls", [{"n": 10**30, "f": math.nan, "b": b"\xff", "np": np.int64(3)}], "10000"),
        ("tool_calls", [{"deep": nested(3000)}], "nested too deeply"),
        ("tool_calls", [{("a", 1): {"\ud800"}, "\ud800": 1}], '"?": 1'),
    ],
)
def test_what_comes_apart_is_repaired_and_said(name: str, value: Any, kept: str) -> None:
    found = attempt(_Foreign(Reply(output="B", finish_reason="stop", **{name: value})), CHAT)
    again = recorded(found)
    if again.status == "engine_error":
        assert kept in str(again.error)
    else:
        assert kept in json.dumps(getattr(again, name), ensure_ascii=False)


@pytest.mark.parametrize("token", [None, 3, ["B"], {"token": None}, {"logprob": -1}, {"token": 3}])
def test_tokens_of_another_form_are_a_fault_of_the_call(token: Any) -> None:
    found = attempt(_Foreign(Reply("B", "stop", logprobs=(token,))), CHAT)
    assert recorded(found).status == "engine_error"
    assert "another form than documented" in str(found.error)


@pytest.mark.parametrize("wait", ["1", math.nan, math.inf, -1, True, 10**400, [1]])
def test_a_time_to_wait_that_is_none_is_passed_over(wait: Any) -> None:
    error = EngineError("busy")
    error.retry_after = wait
    assert attempt(_Foreign(error), CHAT).retry_after is None


@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    "name",
    [
        *("quantization", "bytes_on_disk", "parameters", "details", "options", "stored_as"),
        *("one_at_a_time", "resident", "structure", "template_date", "sampling", "identity"),
    ],
)
def test_what_an_engine_says_of_its_model_can_be_written_down(name: str, value: Any) -> None:
    study = Study.model_construct(
        study="s", reference="a", tasks={}, arms={"a": Arm(engine="their", model="m")}
    )
    facts: dict[str, Any] = {"model": "m", name: value}
    engine = _Foreign(artifact=Artifact(**facts), versions={"server": value})
    records = arm_records(study, {"a": engine})
    manifest = Manifest(study={}, arms=records, tasks={}, software={}, host={})
    read = manifest_from_json(manifest.to_json(), path="x").arms["a"]
    assert read["model"] == "m"
    if name in ("bytes_on_disk", "parameters"):
        assert read[name] is None or isinstance(read[name], int)
    if name == "quantization":
        assert read[name] is None or isinstance(read[name], str)


@pytest.mark.parametrize("artifact", [None, "m", {"model": "m"}, 3])
def test_what_is_no_artifact_is_an_error_that_names_the_arm(artifact: Any) -> None:
    study = Study.model_construct(
        study="s", reference="a", tasks={}, arms={"a": Arm(engine="their", model="m")}
    )
    with pytest.raises(EngineError, match=r"\(arm 'a'\)"):
        arm_records(study, {"a": _Foreign(artifact=artifact, versions={})})


# --- over the wire --------------------------------------------------------------------------------

TOKENS = [
    {
        "token": "A",
        "logprob": -0.1,
        "bytes": [65],
        "top_logprobs": [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2}],
    }
]
COUNTS = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
CALLS = [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}]
EVENTS = [
    {
        "model": "m",
        "system_fingerprint": "f",
        "choices": [
            {"delta": {"content": "A", "reasoning": "hm"}, "logprobs": {"content": TOKENS}}
        ],
    },
    {"model": "m", "choices": [{"delta": {"tool_calls": CALLS}}]},
    {"model": "m", "choices": [{"delta": {}, "finish_reason": "stop"}]},
    {
        "model": "m",
        "choices": [],
        "usage": COUNTS,
        "timings": {"prompt_ms": 3.0, "predicted_n": 2, "predicted_ms": 4.0, "cache_n": 0},
    },
]
CHOICE = {"message": {"content": "A", "tool_calls": CALLS}, "finish_reason": "stop"}
WHOLE = {"model": "m", "choices": [{**CHOICE, "logprobs": {"content": TOKENS}}], "usage": COUNTS}
OLDER = {"tokens": ["A"], "token_logprobs": [-0.1], "top_logprobs": [{"A": -0.1}]}
COMPLETION = {
    "model": "m",
    "choices": [{"text": "A", "finish_reason": "stop", "logprobs": OLDER}],
    "usage": COUNTS,
}
META = {"n_params": 5, "size": 6, "n_vocab": 7, "n_ctx": 8, "ftype": "Q8_0"}
LISTED = {"data": [{"id": "m", "owned_by": "x", "created": 1, "aliases": ["m"], "meta": META}]}
PROPS = {
    "chat_template": "{{ messages }}",
    "default_generation_settings": {"n_ctx": 4},
    "build_info": "b",
    "total_slots": 1,
    "model_path": "/x",
}
PARTS = [
    {"model": "m", "message": {"content": "A", "thinking": "hm"}, "logprobs": TOKENS},
    {
        "model": "m",
        "message": {"content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 15,
        "eval_count": 2,
        "load_duration": 5,
        "eval_duration": 7,
    },
]
NAME = "m:latest"
OF_OLLAMA = {
    "name": NAME,
    "model": NAME,
    "digest": "ab" * 32,
    "size": 100,
    "details": {"family": "l"},
}
DOCUMENTS: dict[str, Any] = {
    "/api/version": {"version": "0.22.1"},
    "/api/tags": {"models": [OF_OLLAMA]},
    "/api/ps": {"models": [{**OF_OLLAMA, "context_length": 4096}]},
    "/api/show": {
        "modelfile": f"FROM /blobs/sha256-{'ab' * 32}",
        "parameters": "p",
        "template": "t",
        "details": {"family": "l", "quantization_level": "Q8_0"},
        "model_info": {
            "general.architecture": "llama",
            "general.parameter_count": 5,
            "llama.context_length": 5,
            "tokenizer.ggml.tokens": ["a"],
            "tokenizer.ggml.token_type": [3],
        },
    },
}
ERROR = {"error": {"message": "m", "type": "t", "code": "c", "param": None}}


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    if isinstance(value, dict | list):
        for name, one in inner:
            yield from places(one, (*place, name))


def changed(document: Any, rng: np.random.Generator) -> Any:
    """Put odd values into one to three places of a document, or take something away."""
    document = copy.deepcopy(document)
    for _ in range(rng.choice([1, 1, 2, 3])):
        there = list(places(document)) if isinstance(document, dict | list) else [()]
        place = there[rng.integers(len(there))]
        odd = ODD[rng.integers(len(ODD))]
        if not place:
            return odd
        inside = document
        for name in place[:-1]:
            inside = inside[name]
        if isinstance(inside, dict) and rng.random() < 0.1:
            del inside[place[-1]]
        else:
            inside[place[-1]] = odd
    return document


class _Astray:
    """What a server answers where one of its documents is changed."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.at = ""

    def __call__(self, call: Call, say: Say) -> Answer:
        asks = "messages" in call.body or "prompt" in call.body
        name = "answer" if asks else call.path
        if call.path in DOCUMENTS:
            return self._whole(name, DOCUMENTS[call.path])
        if call.path.startswith("/api/"):
            return self._lines(name, PARTS, b"%s\n")
        if call.body.get("stream"):
            return self._lines(name, EVENTS, b"data: %s\n\n", b"data: [DONE]\n\n")
        if asks:
            return self._whole(name, WHOLE if "messages" in call.body else COMPLETION)
        known = {"/v1/models": LISTED, "/props": PROPS}
        return self._whole(name, known.get(call.path, ERROR))

    def _whole(self, name: str, document: Any) -> Answer:
        said = changed(document, self.rng) if name == self.at else document
        return Answer("application/json", (json.dumps(said).encode(),))

    def _lines(self, name: str, parts: Any, form: bytes, *end: bytes) -> Answer:
        said = changed(parts, self.rng) if name == self.at else parts
        said = said if isinstance(said, list) else [said]
        lines = [form % json.dumps(one).encode() for one in said]
        return Answer("text/event-stream", (*lines, *end))


OPENAI = ("answer", "answer", "/v1/models", "/props", "/api/version")


@pytest.mark.parametrize(
    ("engine", "options", "targets"),
    [
        ("openai", {"stream": True}, OPENAI),
        ("openai", {"stream": False}, OPENAI),
        ("openai", {"stream": True, "server": "llama.cpp"}, OPENAI),
        ("ollama", {}, ("answer", "answer", *DOCUMENTS)),
    ],
)
def test_property_nothing_that_a_server_says_is_more_than_a_fault(
    engine: str, options: dict[str, Any], targets: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(7)
    astray = _Astray(rng)
    with faulty_server(model="m", answer=astray) as server:
        place = {"base_url": server.url} if engine == "openai" else {"host": server.root}
        arm = Arm(engine=engine, model="m", options={**place, **options})
        study = Study.model_construct(study="s", reference="a", tasks={}, arms={"a": arm})
        asked = make_engine("a", arm, base=Path(), seed=0)
        for _ in range(CASES // 4):
            astray.at = targets[rng.integers(len(targets))]
            try:
                if astray.at != "answer":
                    records = arm_records(study, {"a": asked})
                    Manifest({}, records, {}, {}, {}).to_json()
                found = attempt(asked, (CHAT, TEXT)[rng.integers(2)])
                said = str(found.error)
                recorded(found)
            except QuantrialError as exc:
                # what it found first is accepted alone, so that another begins anew
                said = str(exc)
                asked.close()
                asked = make_engine("a", arm, base=Path(), seed=0)
            assert "raised" not in said, said
        asked.close()


@pytest.mark.parametrize("huge", [10**400, -(10**400), "1e999"])
def test_a_logarithm_that_no_float_holds_is_not_known(huge: Any) -> None:
    tokens = [{"token": "A", "logprob": huge, "top_logprobs": [{"token": "A", "logprob": huge}]}]
    assert read_logprobs(tokens) == ({"token": "A", "logprob": None, "top": []},)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server(model="m") as listening:
        yield listening


def test_whole_numbers_of_a_server_that_no_record_holds_are_not_told(server: FaultyServer) -> None:
    huge = {"data": [{"id": "m", "meta": {"n_params": 10**30, "size": 10**30, "n_vocab": 10**30}}]}
    server.answer = lambda call, say: Answer("application/json", (json.dumps(huge).encode(),))
    arm = Arm(engine="openai", model="m", options={"base_url": server.url})
    study = Study.model_construct(study="s", reference="a", tasks={}, arms={"a": arm})
    records = arm_records(study, {"a": make_engine("a", arm, base=Path(), seed=0)})
    assert records["a"]["bytes_on_disk"] is records["a"]["parameters"] is None
    Manifest({}, records, {}, {}, {}).to_json()
