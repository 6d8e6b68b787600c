"""A fault that comes again with the same text is the answer's, and is kept as one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.engines import Reply
from quantrial.runfolder import RunFolder
from quantrial.running.asking import Attempt
from quantrial.running.prepare import OpenStudy
from quantrial.running.runner import run_study
from quantrial.running.waiting import Endings
from quantrial.study import parse_study
from running.test_server_faults import Sleepless
from servers.faulty import Answer, Call, FaultyServer, Say, faulty_server, openai_answer
from studies import QUESTIONS, read_lines, write_study

CUT = "9 plus 9"  # the item at which the candidate's server breaks off
LOOP = "no" + ", no" * 40
SOUND = "reference"  # who asks for the arm that is never broken off
TEXT = "The answer is ( and so on"


def event(choice: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"model": "m", "choices": [choice]}).encode() + b"\n\n"


def quiet(call: Call, number: int) -> tuple[bytes, ...]:
    """End the stream properly, without a word."""
    return (event({"delta": {"content": TEXT}}),)


def error(call: Call, number: int) -> tuple[bytes, ...]:
    """Report an error in the middle."""
    return (*quiet(call, number), b'data: {"error": {"message": "no such token"}}\n\n')


def half(call: Call, number: int) -> tuple[bytes, ...]:
    """Send half of an event."""
    return (*quiet(call, number), b'data: {"model": "m", "cho\n\n')


def surrogate(call: Call, number: int) -> tuple[bytes, ...]:
    """Go on with half of a character."""
    return (*quiet(call, number), b'data: {"choices": [{"delta": {"content": "\\ud800"}}]}\n\n')


def no_utf8(call: Call, number: int) -> tuple[bytes, ...]:
    """Go on with bytes that are no text."""
    return (*quiet(call, number), b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n')


def elsewhere(call: Call, number: int) -> tuple[bytes, ...]:
    """Break off at another place every time."""
    return (event({"delta": {"content": TEXT[: 5 + number]}}),)


def at_once(call: Call, number: int) -> tuple[bytes, ...]:
    """Break off before there is any text."""
    return (event({"delta": {"role": "assistant"}}),)


Break = Callable[[Call, int], tuple[bytes, ...]]


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server(model="m", text="A") as listening:
        yield listening


def breaking(server: FaultyServer, how: Break) -> None:
    """Have a server break off at one item."""
    asked = 0

    def answer(call: Call, say: Say) -> Answer:
        nonlocal asked
        if CUT not in json.dumps(call.body) or call.body.get("user") == SOUND:
            return openai_answer(call, say)
        asked += 1
        return Answer("text/event-stream", how(call, asked))

    server.answer = answer


def study_over(folder: Path, server: FaultyServer, **design: Any) -> Path:
    """Write a study whose candidate answers over a server, and whose reference says nothing else.

    The reference stands on the same server under a name of its own, which never breaks off.
    """
    arms = {
        name: {"engine": "openai", "model": "m", "options": {"base_url": server.url, **own}}
        for name, own in (("f16", {"extra_body": {"user": SOUND}}), ("q4", {}))
    }
    return write_study(folder, arms=arms, design={"repeat_reference": 0, **design})


def run(study: Path, folder: Path) -> Any:
    text = study.read_text()
    return run_study(
        OpenStudy(parse_study(text), text, study.parent), folder=folder, clock=Sleepless()
    )


def of_item(folder: Path) -> list[dict[str, Any]]:
    """Read what became of the item at which the server breaks off."""
    (item,) = (
        one["id"]
        for one in read_lines(folder / "items.jsonl")
        if CUT in one["content"].get("question", "")
    )
    lines = read_lines(folder / "responses" / "sums.q4.jsonl")
    return [line for line in lines if line["item"] == item]


@pytest.mark.parametrize("how", [quiet, error, half, surrogate, no_utf8])
def test_an_answer_that_breaks_off_alike_every_time_is_a_truncated_answer(
    tmp_path: Path, server: FaultyServer, how: Break
) -> None:
    breaking(server, how)
    result = run(study_over(tmp_path, server), tmp_path / "run")
    assert (result.faulted, result.recorded) == (0, result.planned)
    first, second, last = of_item(tmp_path / "run")
    for fault in (first, second):
        assert (fault["status"], fault["output"]) == ("engine_error", "")
    assert (last["status"], last["error"], last["attempt"]) == ("ok", None, 3)
    assert last["output"].startswith(TEXT)
    assert last["finish_reason"] == "broken_off"
    (note,) = RunFolder(tmp_path / "run").read_manifest().notes
    assert note.endswith("are kept, as truncated ones (q4 1)")
    tasks = quantrial.analyze(tmp_path / "run")["tasks"]
    assert tasks["sums"]["flow"]["analysed_items"] == QUESTIONS
    assert tasks["sums"]["flow"]["faults"] == {"f16": 0, "q4": 0}
    assert tasks["sums"]["failure_modes"]["q4"]["truncated"] == 1


def test_a_thought_that_breaks_off_alike_is_an_answer_without_text(
    tmp_path: Path, server: FaultyServer
) -> None:
    breaking(server, lambda call, number: (event({"delta": {"reasoning_content": "Hm"}}),))
    assert run(study_over(tmp_path, server), tmp_path / "run").faulted == 0
    last = of_item(tmp_path / "run")[-1]
    assert (last["output"], last["thought"], last["status"]) == ("", "Hm", "ok")


@pytest.mark.parametrize("how", [elsewhere, at_once])
def test_an_answer_that_breaks_off_elsewhere_or_at_once_is_a_fault(
    tmp_path: Path, server: FaultyServer, how: Break
) -> None:
    breaking(server, how)
    assert run(study_over(tmp_path, server), tmp_path / "run").faults == {"q4": 1}
    assert {line["status"] for line in of_item(tmp_path / "run")} == {"engine_error"}


def test_one_attempt_shows_nothing(tmp_path: Path, server: FaultyServer) -> None:
    breaking(server, quiet)
    result = run(study_over(tmp_path, server, attempts=1), tmp_path / "run")
    assert result.faults == {"q4": 1}


def test_a_fault_of_the_machinery_between_them_changes_nothing(
    tmp_path: Path, server: FaultyServer
) -> None:
    breaking(server, quiet)
    sound = server.answer
    disturbed: list[Call] = []

    def answer(call: Call, say: Say) -> Answer:
        cut = CUT in json.dumps(call.body) and call.body.get("user") != SOUND
        if cut and not disturbed:
            disturbed.append(call)
            server.faults = ["500"]  # for the second attempt
        return sound(call, say)

    server.answer = answer
    assert run(study_over(tmp_path, server), tmp_path / "run").faulted == 0
    assert [line["status"] for line in of_item(tmp_path / "run")] == [
        *("engine_error", "engine_error", "ok")
    ]


@pytest.mark.parametrize("kept", [1, 2])
def test_attempts_of_an_earlier_session_count(
    tmp_path: Path, server: FaultyServer, kept: int
) -> None:
    breaking(server, quiet)
    study, folder = study_over(tmp_path, server), tmp_path / "run"
    run(study, folder)
    whole = {path: path.read_bytes() for path in (folder / "responses").iterdir()}
    path = folder / "responses" / "sums.q4.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if json.loads(line)["status"] != "ok")
    path.write_text("".join(lines[: at + kept]))  # as if it had been killed there
    assert run(study, folder).faulted == 0
    then, now = (
        [(line["item"], line["attempt"], line["status"], line["output"]) for line in said]
        for said in ([json.loads(one) for one in whole[path].splitlines()], read_lines(path))
    )
    assert now == then


def failed(text: str | None, error: str = "broke off") -> Attempt:
    partial = None if text is None else Reply(text)
    return Attempt(Reply(""), "engine_error", error, final=False, partial=partial)


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["a", "a"], True),
        (["a", "a", "a"], True),
        ([None, "a", "a"], True),
        (["a", None, "a"], True),
        (["a", "b", "a"], False),
        (["b", "a", "a"], False),
        (["a"], False),
        ([None, "a"], False),
        (["a", "a", None], False),
        ([LOOP, LOOP], True),
    ],
)
def test_by_hand_which_attempts_are_alike(texts: list[str | None], kept: bool) -> None:
    endings = Endings()
    for number, text in enumerate(texts, start=1):
        found = endings.note(7, failed(text), last=number == len(texts))
        assert (found.status == "ok") is (kept and number == len(texts))
    if kept and texts[0] != LOOP:
        assert (found.reply.output, found.reply.finish_reason) == ("a", "broken_off")
    elif kept:
        assert (found.reply.output, found.reply.finish_reason) == (LOOP, "repeat_limit")
