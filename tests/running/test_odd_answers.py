"""A run over servers that say odd things ends, goes on after a kill at such a record, reports."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.errors import QuantrialWarning
from quantrial.running.prepare import OpenStudy
from quantrial.running.runner import RunResult, run_study
from quantrial.study import parse_study
from running.test_server_faults import Sleepless
from servers.faulty import Answer, Call, FaultyServer, Say, faulty_server, openai_answer
from studies import write_study

Servers = tuple[FaultyServer, FaultyServer]


@pytest.fixture
def servers() -> Iterator[Servers]:
    with faulty_server(model="m", text="A") as one, faulty_server(model="m", text="A") as other:
        yield one, other


def study_over(folder: Path, servers: Servers) -> Path:
    arms = {
        name: {"engine": "openai", "model": "m", "options": {"base_url": server.url}}
        for name, server in zip(("f16", "q4"), servers, strict=True)
    }
    return write_study(folder, arms=arms, design={"repeat_reference": 0, "logprobs": 1})


def run(study: Path, folder: Path) -> RunResult:
    text = study.read_text()
    return run_study(
        OpenStudy(parse_study(text), text, study.parent), folder=folder, clock=Sleepless()
    )


def said_in(delta: dict[str, Any], token: Any, finish: Any) -> Any:
    """Answer with a message that holds more than a text."""

    def answer(call: Call, say: Say) -> Answer:
        if not call.body:
            return openai_answer(call, say)
        top = [{"token": token, "logprob": -0.1}]
        tokens = {"content": [{"token": token, "logprob": -0.1, "top_logprobs": top}]}
        events = [
            {"model": "m", "choices": [{"delta": {"content": "A", **delta}, "logprobs": tokens}]},
            {"model": "m", "choices": [{"delta": {}, "finish_reason": finish}]},
            {"model": "m", "choices": [], "usage": say.usage},
        ]
        lines = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
        return Answer("text/event-stream", (*lines, b"data: [DONE]\n\n"))

    return answer


pytestmark = pytest.mark.usefixtures("undrawn")

HALF = "\ud800"


@pytest.mark.parametrize(
    ("delta", "token", "finish"),
    [
        ({}, "A", HALF),
        ({}, HALF, "stop"),
        ({"reasoning": f"so {HALF}"}, "A", "stop"),
        ({"tool_calls": [{"id": HALF, "function": {"name": HALF, "n": 10**30}}]}, "A", "stop"),
        ({"reasoning": "\x00\x1b[31m\u202e"}, "\x00", "\x00"),
    ],
)
def test_odd_answers_are_kept_said_and_reported_and_a_killed_run_goes_on(
    servers: Servers, tmp_path: Path, delta: dict[str, Any], token: str, finish: str
) -> None:
    for server in servers:
        server.answer = said_in(delta, token, finish)
    study = study_over(tmp_path, servers)
    folder = tmp_path / "run"
    odd = HALF in json.dumps([delta, token, finish], ensure_ascii=False)
    with pytest.warns(QuantrialWarning) as warned:  # noqa: PT031 - both sessions warn
        first = run(study, folder)
        path = folder / "responses" / "sums.q4.jsonl"
        path.write_bytes(path.read_bytes()[:-7])  # killed while it wrote
        again = run(study, folder)
    assert first.faulted == again.faulted == 0
    assert (again.asked, again.recorded) == (1, again.planned)
    texts = [str(one.message) for one in warned]
    assert any("held what cannot be written down" in said for said in texts) is odd
    quantrial.analyze(folder)
    quantrial.decide(folder)
    quantrial.report(folder)
    assert quantrial.verify(folder).ok


def test_odd_errors_are_recorded_and_the_next_attempt_is_asked(
    servers: Servers, tmp_path: Path
) -> None:
    odd = [f"no {HALF}", {HALF: HALF}, [HALF], None, 10**30, True, {"message": [HALF]}]
    bodies = [json.dumps({"error": one}).encode() for one in odd]
    asked = iter([*bodies, b"\xff\xfe", b'{"choices": "\\ud800"}', b'"\\ud800"', b"null"])
    sound, turn = servers[1].answer, itertools.count()  # every other answer is sound

    def answer(call: Call, say: Say) -> Answer:
        item = call.body and "plus" in json.dumps(call.body)  # not the fixed prompt
        body = next(asked, None) if item and next(turn) % 2 == 0 else None
        return sound(call, say) if body is None else Answer("application/json", (body,))

    servers[1].answer = answer
    study = study_over(tmp_path, servers)
    study.write_text(study.read_text().replace("logprobs: 1", "logprobs: 0"))
    result = run(study, tmp_path / "run")
    assert result.recorded == result.planned
    lines = (tmp_path / "run" / "responses" / "sums.q4.jsonl").read_text().splitlines()
    errors = [one["error"] for one in map(json.loads, lines) if one["error"]]
    assert len(errors) >= 9
    assert result.faulted <= 4


@pytest.mark.parametrize("said", [HALF, f"fp {HALF}", 10**30, ["fp"], {"fp": HALF}, True])
def test_an_odd_fingerprint_is_recorded_and_the_same_in_the_next_session(
    servers: Servers, tmp_path: Path, said: Any
) -> None:
    for server in servers:
        server.say = replace(server.say, fingerprint=said)
    study = study_over(tmp_path, servers)
    study.write_text(study.read_text().replace("logprobs: 1", "logprobs: 0"))
    first = run(study, tmp_path / "run")
    path = tmp_path / "run" / "responses" / "sums.q4.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    again = run(study, tmp_path / "run")
    assert (again.asked, again.recorded, again.faulted) == (1, first.planned, 0)
