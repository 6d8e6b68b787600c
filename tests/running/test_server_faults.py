"""A run whose servers fail in every way: asked again where that helps, and no fault an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import quantrial
from quantrial.cli import show
from quantrial.errors import EngineError, ModelChangedError, RecordWarning
from quantrial.runfolder import RunFolder
from quantrial.running import Listener, Progress
from quantrial.running.prepare import OpenStudy
from quantrial.running.runner import RunResult, run_study
from quantrial.running.waiting import Clock
from quantrial.study import parse_study
from servers.faulty import FaultyServer, faulty_server
from studies import QUESTIONS, answered, read_lines, write_study

pytestmark = pytest.mark.usefixtures("undrawn")

KEY = "sk-test-0123456789abcdef"
# those that asking again can help; each is sound at the next attempt
PASSING = [
    *("reset", "cut", "half_json", "half_stream", "quiet_end", "html", "html_500", "empty", "null"),
    *("invalid_utf8", "huge", "bomb", "error_in_answer", "429_seconds", "429_date", "500", "503"),
    "hang",
]
# what an arm is asked before its first recorded call: twice a fixed prompt, by which its server is
# known again, and one that shows a penalty for repetition
UNRECORDED = [None, None, None]
# an answer is one whatever was counted
MISCOUNTED = ["negative_usage", "text_usage", "too_much_usage", "no_tokens_usage", "list_usage"]


class Sleepless(Clock):
    """A clock that does not sleep, and remembers for how long it was told to."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def wait(self, event: Event, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FaultyServer, FaultyServer]]:
    monkeypatch.setenv("QUANTRIAL_TEST_KEY", KEY)
    with faulty_server(model="m", text="A") as one, faulty_server(model="m", text="A") as other:
        yield one, other


def study_over(folder: Path, servers: tuple[FaultyServer, FaultyServer], **design: Any) -> Path:
    arms = {
        name: {
            "engine": "openai",
            "model": "m",
            "options": {"base_url": server.url, "api_key_env": "QUANTRIAL_TEST_KEY"},
        }
        for name, server in zip(("f16", "q8_0"), servers, strict=True)
    }
    path = write_study(folder, arms=arms, design={"repeat_reference": 0, **design})
    text = path.read_text().replace("workload: reasoning", "workload: reasoning\n    timeout: 2")
    path.write_text(text.replace("  names:", "  names:\n    sample: 2\n    timeout: 2"))
    return path


def run(
    study: Path, folder: Path, clock: Clock | None = None, listener: Listener | None = None
) -> RunResult:
    text = study.read_text()
    return run_study(
        OpenStudy(parse_study(text), text, study.parent),
        folder=folder,
        clock=clock or Sleepless(),
        listener=listener,
    )


def responses(folder: Path, arm: str) -> list[dict[str, Any]]:
    paths = sorted((folder / "responses").glob(f"*.{arm}.jsonl"))
    return [record for path in paths for record in read_lines(path)]


def test_every_passing_fault_is_recorded_asked_again_and_changes_no_number(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    study = study_over(tmp_path, servers)
    peace = run(study, tmp_path / "peace")
    _, candidate = servers
    candidate.faults = [*UNRECORDED, *(fault for one in PASSING for fault in (one, None))]
    clock = Sleepless()
    disturbed = run(study, tmp_path / "disturbed", clock)
    assert disturbed.faulted == 0
    assert disturbed.recorded == disturbed.planned == peace.planned == 2 * (QUESTIONS + 2)
    assert answered(tmp_path / "disturbed") == answered(tmp_path / "peace")
    said = responses(tmp_path / "disturbed", "q8_0")
    assert Counter(r["status"] for r in said) == {
        "ok": QUESTIONS + 2,
        "engine_error": len(PASSING) - 1,
        "timeout": 1,
    }
    for record in said:
        assert (record["output"] == "A") == (record["status"] == "ok")
        assert (record["error"] is None) == (record["status"] == "ok")
    # what the server asked for is waited for
    assert {7.0, 3.0} <= set(clock.slept)
    assert any(80 < seconds <= 90 for seconds in clock.slept)
    # the reference was not disturbed, and was asked once a call
    assert {r["status"] for r in responses(tmp_path / "disturbed", "f16")} == {"ok"}
    cautions = [quantrial.decide(tmp_path / name)["cautions"] for name in ("peace", "disturbed")]
    unequal = [any("asked again unequally" in one["text"] for one in said) for said in cautions]
    assert unequal == [False, True]
    numbers = [quantrial.analyze(tmp_path / name)["tasks"] for name in ("peace", "disturbed")]
    for tasks in numbers:
        for task in tasks.values():
            task.pop("flow")
    assert numbers[0] == numbers[1]


def test_an_answer_that_is_counted_wrongly_is_kept_and_said_once_a_run(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    study, folder = study_over(tmp_path, servers), tmp_path / "run"
    peace = run(study, tmp_path / "peace")
    servers[1].faults = [*UNRECORDED, *MISCOUNTED]
    with pytest.warns(RecordWarning) as warned:
        result = run(study, folder)
    (said,) = [str(one.message) for one in warned]
    assert "counts of tokens that cannot be true are left out" in said
    assert f"(q8_0 {len(MISCOUNTED)}); the first: q8_0: -2 tokens were counted" in said
    assert RunFolder(folder).read_manifest().notes == (said,)
    assert (result.recorded, result.faulted) == (peace.recorded, 0)
    lines = responses(folder, "q8_0")
    assert {(line["status"], line["output"], line["attempt"]) for line in lines} == {("ok", "A", 1)}
    counts = Counter((line["prompt_tokens"], line["completion_tokens"]) for line in lines)
    # two say nothing usable of the prompt, and four of the answer
    assert counts == {(5, 2): QUESTIONS + 2 - 5, (None, 2): 1, (None, None): 1, (5, None): 3}
    found = quantrial.analyze(folder)["tasks"]
    for name, task in quantrial.analyze(tmp_path / "peace")["tasks"].items():
        assert found[name]["endpoints"] == task["endpoints"]


def test_with_slots_and_replicas_every_call_is_answered_once(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    with faulty_server(model="m", text="A") as third:
        study = study_over(tmp_path, servers, slots=3)
        one = servers[1].url
        study.write_text(study.read_text().replace(one, f"{one}\n      replicas: [{third.url}]"))
        for server in (*servers, third):
            server.pause = 0.002
        # after a 503 a replica is left alone for a while
        servers[1].faults = [*UNRECORDED, None, "500", None, "error_in_answer", "503"]
        result = run(study, tmp_path / "run")
        assert (result.recorded, result.faulted) == (result.planned, 0)
        said = responses(tmp_path / "run", "q8_0")
        assert Counter(r["status"] for r in said) == {"ok": QUESTIONS + 2, "engine_error": 3}
        assert len({(r["task"], r["item"]) for r in said}) == QUESTIONS + 2
        assert {r["host"] for r in said if r["status"] == "ok"} == {
            server.url.removeprefix("http://").removesuffix("/v1") for server in (servers[1], third)
        }
        # each replica got its share, and together they got every attempt, what was asked before
        # them, and the fixed prompt after the 503 and at the end
        asked = len(servers[1].asked) + len(third.asked)
        assert asked == QUESTIONS + 2 + 3 + len(UNRECORDED) + 1 + 1
        assert min(len(servers[1].asked), len(third.asked)) >= 5


def test_an_answer_of_another_model_is_a_fault_and_is_not_asked_again(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    study = study_over(tmp_path, servers)
    servers[1].faults = [*UNRECORDED, "other_model"]
    result = run(study, tmp_path / "run")
    assert result.faulted == 1
    (fault,) = [r for r in responses(tmp_path / "run", "q8_0") if r["status"] != "ok"]
    assert (fault["output"], fault["attempt"]) == ("", 1)
    assert "of the model 'another', and 'm' was asked" in fault["error"]


def test_what_asking_again_cannot_help_stands_until_it_is_asked_for(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer], capsys: pytest.CaptureFixture[str]
) -> None:
    study, folder = study_over(tmp_path, servers), tmp_path / "run"
    _, candidate = servers
    candidate.faults = [*UNRECORDED, "400", None, "401", "404", "500"]
    first = run(study, folder)
    assert (first.faulted, first.faults) == (3, {"q8_0": 3})
    show.run(first)
    said = " ".join(capsys.readouterr().out.split())
    assert "3 of them ended in a fault (q8_0 3). They have no answer and are not asked" in said
    assert f"quantrial run {folder} --retry-faults" in said
    final = [r for r in responses(folder, "q8_0") if r.get("final")]
    assert [r["attempt"] for r in final] == [1, 1, 1]
    assert {r["status"] for r in responses(folder, "q8_0") if "final" not in r} == {
        "ok",
        "engine_error",  # the 500, which was asked again
    }
    # the next session has nothing to do, whatever the server would answer by now
    asked, recorded = len(candidate.asked), responses(folder, "q8_0")
    again = quantrial.run(folder)
    assert (again.asked, again.faulted, len(candidate.asked)) == (0, 3, asked)
    assert responses(folder, "q8_0") == recorded
    mended = quantrial.run(folder, retry_faults=True)
    assert (mended.asked, mended.faulted, mended.faults) == (3, 0, {})
    show.run(mended)
    assert "fault" not in capsys.readouterr().out


def test_a_server_that_goes_on_failing_stops_the_run_with_what_it_said(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    study = study_over(tmp_path, servers)
    servers[1].always = "500"
    with pytest.raises(EngineError, match=r"arm 'q8_0' failed 10 times in a row.*scripted 500"):
        run(study, tmp_path / "run")
    servers[1].always = None
    text = study.read_text()
    result = run_study(
        OpenStudy(parse_study(text), text, tmp_path), folder=tmp_path / "run", retry_faults=True
    )
    assert result.recorded < result.planned  # it asks again what failed, and nothing else
    done = run(study, tmp_path / "run")
    assert (done.recorded, done.faulted) == (done.planned, 0)


def test_a_model_that_is_unloaded_in_mid_run_stops_it(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    study = study_over(tmp_path, servers)
    _, candidate = servers

    def unload(progress: Progress) -> None:
        if progress.done["q8_0"] == 5 and candidate.say.model == "m":
            # its server is started anew with another model, as the first call after that finds out
            candidate.down()
            candidate.say = replace(candidate.say, model="another")
            candidate.up()
            candidate.faults = ["reset"]

    with pytest.raises(ModelChangedError, match="does not serve 'm' any more; it has another"):
        run(study, tmp_path / "run", listener=unload)
    texts = [r for r in responses(tmp_path / "run", "q8_0") if r["status"] == "ok"]
    assert len(texts) == 5


def test_a_server_that_is_gone_for_a_moment_costs_an_attempt(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    study = study_over(tmp_path, servers)
    _, candidate = servers
    gone: list[bool] = []

    def away(progress: Progress) -> None:
        if progress.done["q8_0"] == 5 and not gone:
            gone.append(True)
            candidate.down()

    class Mending(Sleepless):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            candidate.up()

    result = run(study, tmp_path / "run", Mending(), away)
    assert (result.recorded, result.faulted) == (result.planned, 0)
    (fault,) = [r for r in responses(tmp_path / "run", "q8_0") if r["status"] != "ok"]
    assert "cannot be reached" in fault["error"]


def test_no_file_of_a_run_holds_a_key_though_a_server_repeats_it(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    study = study_over(tmp_path, servers)
    servers[1].faults = [*UNRECORDED, "echo", "reset", "401"]
    result = run(study, tmp_path / "run")
    assert result.faulted == 2  # a key that is not taken is not taken the second time
    quantrial.analyze(tmp_path / "run")
    quantrial.report(tmp_path / "run")
    errors = [r["error"] for r in responses(tmp_path / "run", "q8_0") if r["error"]]
    assert any("Incorrect API key provided: Bearer ***" in error for error in errors)
    written = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert len(written) > 10
    assert [path for path, content in written.items() if KEY.encode() in content] == []
