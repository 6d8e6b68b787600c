"""A server that is started anew under a run: waited for, and the run goes on."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from quantrial.cli.progress import listening
from quantrial.errors import EngineError, ModelChangedError, StudyError
from quantrial.records import Response
from quantrial.runfolder import ResponseWriter
from quantrial.running import Progress, asking, watch
from quantrial.running.prepare import OpenStudy
from quantrial.running.runner import RunResult, run_study
from quantrial.running.waiting import Clock
from quantrial.running.watch import Watch
from quantrial.study import parse_study
from repetitions import mostly_repetitions
from running.test_swapped_weights import Model, Ollama, outputs, over_ollama
from servers.faulty import FaultyServer
from studies import QUESTIONS, read_lines, write_study

GONE_AFTER = 5  # answers


class Restarting(Clock):
    """A clock that goes on by what is slept; after so many seconds it starts the server again."""

    def __init__(self, server: FaultyServer, seconds: float, **changes: Any):
        self.now, self.server, self.seconds, self.changes = 0.0, server, seconds, changes
        self.down_at: float | None = None
        self.waits: list[float] = []
        self.fault: str | None = None

    def steady(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        if self.down_at is not None and self.now - self.down_at >= self.seconds:
            self.down_at = None
            if self.changes:
                self.server.answer = replace(self.server.answer, **self.changes)  # type: ignore
            self.server.always = None
            if self.fault is None:
                self.server.up()

    def wait(self, event: Event, seconds: float) -> None:
        if not event.is_set():
            self.sleep(seconds)

    def listen(self, progress: Progress) -> None:
        if progress.done["q8_0"] >= GONE_AFTER and not self.waits and self.down_at is None:
            self.down_at = self.now
            if self.fault is None:
                self.server.down()
            else:
                self.server.always = self.fault


@pytest.fixture
def servers() -> Iterator[tuple[FaultyServer, FaultyServer]]:
    with FaultyServer(answer=Model()) as one, FaultyServer(answer=Model()) as other:
        yield one, other


def study_over(folder: Path, servers: Any, **design: Any) -> Path:
    arms = {
        name: {"engine": "openai", "model": "m", "options": {"base_url": server.url}}
        for name, server in zip(("f16", "q8_0"), servers, strict=True)
    }
    source = {"type": "jsonl", "path": "questions.jsonl"}
    sums = {"kind": "choice", "workload": "reasoning", "source": source, "timeout": 5}
    design = {"repeat_reference": 0, **design}
    return write_study(folder, arms=arms, tasks={"sums": sums}, design=design)


def run(study: Path, folder: Path, clock: Restarting, listener: Any = None) -> RunResult:
    text = study.read_text()
    return run_study(
        OpenStudy(parse_study(text), text, study.parent),
        folder=folder,
        clock=clock,
        listener=listener or clock.listen,
    )


def statuses(folder: Path) -> Counter[str]:
    return Counter(one["status"] for one in read_lines(folder / "responses" / "sums.q8_0.jsonl"))


@pytest.mark.parametrize(
    ("fault", "attempts", "slots"),
    mostly_repetitions(
        itertools.product([None, "503", "html_500"], [1, 3], [1, 3]),  # refused, 503, 502
        kept=[(None, 1, 1), (None, 3, 3), ("503", 3, 1), ("503", 1, 3), ("html_500", 1, 1)],
    ),
)
def test_a_server_that_is_away_for_a_minute_ends_no_run(
    tmp_path: Path,
    servers: tuple[FaultyServer, FaultyServer],
    fault: str | None,
    attempts: int,
    slots: int,
) -> None:
    study = study_over(tmp_path, servers, slots=slots, attempts=attempts)
    clock = Restarting(servers[1], 60)
    clock.fault = fault
    said: list[str] = []

    def listener(progress: Progress) -> None:
        clock.listen(progress)
        if progress.said:
            said.append(progress.said)

    result = run(study, tmp_path / "run", clock, listener)
    assert (result.recorded, result.faulted) == (2 * QUESTIONS, 0)
    assert statuses(tmp_path / "run")["ok"] == QUESTIONS
    assert max(clock.waits) <= 10, "it is looked after often"
    (once,) = said
    assert once.startswith("q8_0: http://")
    assert once.endswith("Waiting for it, for up to 120 s")
    notes = json.loads((tmp_path / "run" / "manifest.json").read_text())["notes"]
    assert [note for note in notes if note.startswith("the server of q8_0 was gone for ")]


@pytest.mark.parametrize(("limit", "least"), [(120, 100), (20, 15)])
def test_a_server_that_does_not_come_back_ends_the_run_after_its_time(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer], limit: int, least: int
) -> None:
    study, folder = study_over(tmp_path, servers, restart_timeout=limit), tmp_path / "run"
    clock = Restarting(servers[1], 10_000)
    said = f"server of arm 'q8_0' did not come back within {limit} s, last with: .*cannot be reach"
    with pytest.raises(EngineError, match=said):
        run(study, folder, clock)
    assert least <= sum(clock.waits) <= limit + 10
    assert statuses(folder)["ok"] == GONE_AFTER
    servers[1].up()
    # no call stands as a fault
    result = run(study, folder, Restarting(servers[1], 1), lambda _: None)
    assert (result.recorded, result.faulted) == (2 * QUESTIONS, 0)


def test_none_is_waited_for_where_the_study_says_so(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    study = study_over(tmp_path, servers, restart_timeout=0)
    with pytest.raises(EngineError, match="failed 10 times in a row"):
        run(study, tmp_path / "run", Restarting(servers[1], 10_000))
    with pytest.raises(StudyError, match="restart_timeout"):
        parse_study(study.read_text().replace("restart_timeout: 0", "restart_timeout: -1"))


def test_one_prompt_that_a_proxy_answers_502_is_a_fault_and_no_end(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    def fails(call: Any) -> str | None:
        servers[1].calls.append(call)
        return "html_500" if "What is 7 plus 7?" in json.dumps(call.body) else None

    servers[1].next_fault = fails  # type: ignore[method-assign]
    result = run(study_over(tmp_path, servers), tmp_path / "run", Restarting(servers[1], 1))
    assert (result.recorded, result.faulted) == (2 * QUESTIONS, 1)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("changes", [{"letter": "B"}, {"letter": "B", "root": "acme/other"}])
def test_a_server_that_comes_back_with_other_weights_answers_nothing(
    tmp_path: Path,
    servers: tuple[FaultyServer, FaultyServer],
    changes: dict[str, str],
    slots: int,
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(ModelChangedError, match="Start the server with what it served before"):
        run(
            study_over(tmp_path, servers, slots=slots),
            folder,
            Restarting(servers[1], 60, **changes),
        )
    # one that was under way when the server went may meet the other model: it is asked again
    record = json.loads((folder / "manifest.json").read_text())["arms"]["q8_0"]
    doubtful = {tuple(one) for one in record.get("doubtful_answers") or ()}
    answers = read_lines(folder / "responses" / "sums.q8_0.jsonl")
    of_the_other = [one for one in answers if one["output"] == "B" and one["status"] == "ok"]
    assert len(of_the_other) < slots
    assert {(one["order"], one["attempt"]) for one in of_the_other} <= doubtful
    servers[1].answer = Model()
    result = run(tmp_path / "study.yaml", folder, Restarting(servers[1], 1), lambda _: None)
    assert (result.recorded, result.faulted) == (2 * QUESTIONS, 0)
    last = {
        one["order"]: one["output"] for one in read_lines(folder / "responses" / "sums.q8_0.jsonl")
    }
    assert set(last.values()) == {"A"}


@pytest.mark.parametrize("slots", [1, 3])
def test_a_server_is_not_looked_at_before_an_answer_of_it_is_recorded(
    tmp_path: Path,
    servers: tuple[FaultyServer, FaultyServer],
    monkeypatch: pytest.MonkeyPatch,
    slots: int,
) -> None:
    """Else the look clears what it covers, and the answer would stand as the first model's."""
    asked: list[str] = []
    recorded: list[Response] = []
    looks: list[str] = []
    ask, append, look = asking.attempt, ResponseWriter.append, Watch.look

    def attempting(engine: Any, request: Any) -> Any:
        asked.append(engine.name)
        return ask(engine, request)

    def appending(self: ResponseWriter, response: Response) -> None:
        recorded.append(response)
        append(self, response)

    def looking(self: Watch, arm: str) -> bool:
        assert len(asked) == len(recorded), "looked at while an answer was under way"
        looks.append(arm)
        return look(self, arm)

    monkeypatch.setattr("quantrial.running.asking.attempt", attempting)
    monkeypatch.setattr(ResponseWriter, "append", appending)
    monkeypatch.setattr(Watch, "look", looking)
    monkeypatch.setattr(watch, "EVERY", 0.0)  # it is due before every call
    study = study_over(tmp_path, servers, slots=slots)
    run(study, tmp_path / "run", Restarting(servers[1], 1), lambda _: None)
    assert len(recorded) == 2 * QUESTIONS
    assert len(looks) > QUESTIONS


def test_an_ollama_server_that_is_started_anew_ends_no_run(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    for server in servers:
        server.answer = Ollama()
    study, folder = over_ollama(tmp_path, servers), tmp_path / "run"
    result = run(study, folder, Restarting(servers[1], 60))
    assert (result.recorded, result.faulted) == (2 * QUESTIONS, 0)
    # one that is another version by then is noticed before anything is recorded
    folder = tmp_path / "other"
    with pytest.raises(ModelChangedError, match=r"version was '0\.22\.1', is '0\.23\.0'"):
        run(study, folder, Restarting(servers[1], 60, version="0.23.0", letter="B"))
    assert set(outputs(folder)) == {"A"}


def test_that_a_server_is_waited_for_is_printed_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with listening() as listener:
        assert listener is not None
        listener(Progress("asking", {}, {}, None, None, 0))
        listener(Progress("waiting", {}, {}, None, None, 0, said="q8_0: \x1b[2Jgone. Waiting"))
    assert capsys.readouterr().err == "q8_0: \\u001b[2Jgone. Waiting\n"
