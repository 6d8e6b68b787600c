"""A server that goes on with other weights under the same name: found, and the run stops."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.engines.identity import differences, without_folder
from quantrial.errors import ModelChangedError, RunChangedError
from quantrial.running import Progress
from quantrial.running.prepare import OpenStudy
from quantrial.running.runner import RunResult, run_study
from quantrial.running.waiting import Clock
from quantrial.running.watch import EVERY
from quantrial.study import parse_study
from repetitions import mostly_repetitions
from servers.faulty import Answer, Call, FaultyServer, Say, openai_answer
from studies import QUESTIONS, read_lines, write_study

pytestmark = pytest.mark.usefixtures("undrawn")

PROMPT = "lighthouse keeper"


@dataclass
class Model:
    """What stands behind a server: what it tells of itself, and the letter that it answers with."""

    letter: str = "A"
    root: str | None = None
    version: str | None = None
    file: str | None = None
    owner: str | None = None
    logprob: float | None = None
    probes: list[str] = field(default_factory=list)  # what it says to the fixed prompt next
    probed: int = 0

    def __call__(self, call: Call, say: Say) -> Answer:
        if call.path == "/version":
            return _json({"version": self.version} if self.version else {})
        if call.path == "/props":
            return _json({"model_path": self.file} if self.file else {})
        if not call.body:
            entry = {"id": say.model, "root": self.root, "owned_by": self.owner}
            listed = {name: value for name, value in entry.items() if value is not None}
            return _json({"object": "list", "data": [listed]})
        text = self.letter
        if PROMPT in json.dumps(call.body):
            self.probed += 1
            text = self.probes.pop(0) if self.probes else f"turned away, {self.letter}."
        answer = openai_answer(call, replace(say, text=text))
        if self.logprob is None or not call.body.get("logprobs"):
            return answer
        token: dict[str, Any] = {
            "token": text,
            "bytes": None,
            "logprob": self.logprob,
            "top_logprobs": [],
        }
        said = {"index": 0, "delta": {"content": ""}, "logprobs": {"content": [token]}}
        event = {"id": "x", "model": say.model, "choices": [said]}
        piece = b"data: " + json.dumps(event).encode() + b"\n\n"
        return Answer(answer.content_type, (answer.pieces[0], piece, *answer.pieces[1:]))


def _json(said: Any) -> Answer:
    return Answer("application/json", (json.dumps(said).encode(),))


class Ticking(Clock):
    """A clock that goes on by so many seconds at every call of its steady hand."""

    def __init__(self, step: float = 0.0):
        self.now, self.step = 0.0, step

    def steady(self) -> float:
        self.now += self.step
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def servers() -> Iterator[tuple[FaultyServer, FaultyServer]]:
    with FaultyServer(answer=Model()) as one, FaultyServer(answer=Model()) as other:
        yield one, other


def study_over(folder: Path, servers: Any, slots: int = 1, **options: Any) -> Path:
    arms = {
        name: {"engine": "openai", "model": "m", "options": {"base_url": server.url, **options}}
        for name, server in zip(("f16", "q8_0"), servers, strict=True)
    }
    sums = {
        "kind": "choice",
        "workload": "reasoning",
        "source": {"type": "jsonl", "path": "questions.jsonl"},
    }
    design = {"repeat_reference": 0, "slots": slots}
    return write_study(folder, arms=arms, tasks={"sums": sums}, design=design)


def run(study: Path, folder: Path, clock: Clock | None = None, listener: Any = None) -> RunResult:
    text = study.read_text()
    return run_study(
        OpenStudy(parse_study(text), text, study.parent),
        folder=folder,
        clock=clock or Ticking(),
        listener=listener,
    )


def outputs(folder: Path, arm: str = "q8_0") -> list[str]:
    path = folder / "responses" / f"sums.{arm}.jsonl"
    return [one["output"] for one in read_lines(path) if one["status"] == "ok"]


def behind(server: FaultyServer) -> Any:
    """Return the model behind a server."""
    return server.answer


def swap_after(server: FaultyServer, calls: int, **changes: Any) -> Callable[[Progress], None]:
    """Put another model behind a server's name once so many calls are recorded."""

    def listener(progress: Progress) -> None:
        if progress.done["q8_0"] >= calls and behind(server).letter == "A":
            server.answer = replace(behind(server), letter="B", **changes)

    return listener


TOLD: dict[str, tuple[dict[str, str], dict[str, str | None], str]] = {
    "root": ({}, {"root": "acme/other"}, "root was 'acme/small', is 'acme/other'"),
    "vllm": ({"server": "vllm"}, {"root": "acme/other"}, "root was 'acme/small', is 'acme/other'"),
    "version": ({}, {"version": "0.33.0"}, "version was '0.32.0', is '0.33.0'"),
    "version_gone": ({}, {"version": None}, "version was '0.32.0', is None"),
    "root_gone": ({}, {"root": None}, "root was 'acme/small', is None"),
    "file": ({"server": "llama.cpp"}, {"file": "/b.gguf"}, "file was '/a.gguf', is '/b.gguf'"),
    "props_of_a_generic_one": ({}, {"file": "/b.gguf"}, "file was '/a.gguf', is '/b.gguf'"),
}


@pytest.mark.parametrize(
    ("way", "slots"),
    mostly_repetitions(
        itertools.product(TOLD, [1, 3]), kept=[*((way, 1) for way in TOLD), ("root", 3)]
    ),
)
def test_what_a_server_tells_of_its_weights_stops_a_run_when_it_changes(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer], way: str, slots: int
) -> None:
    options, changes, said = TOLD[way]
    for server in servers:
        server.answer = Model(root="acme/small", version="0.32.0", file="/a.gguf", owner="llamacpp")
    study, folder = study_over(tmp_path, servers, slots, **options), tmp_path / "run"
    with pytest.raises(ModelChangedError, match=re.escape(said)) as caught:
        run(study, folder, listener=swap_after(servers[1], 5, **changes))
    assert "Start the server with what it served before, and the same command" in str(caught.value)
    assert set(outputs(folder)) == {"A"}, "no answer of the other model is recorded"
    assert len(outputs(folder)) >= 5
    identity = json.loads((folder / "manifest.json").read_text())["arms"]["q8_0"]["identity"]
    assert (identity["root"], identity["file"][:6]) == ("acme/small", "a.gguf")
    # another model is no reason to go on, and the first one is
    with pytest.raises(RunChangedError, match=r"the server of arm 'q8_0' is another one"):
        run(study, folder)
    servers[1].answer = replace(behind(servers[0]))
    assert run(study, folder).recorded == 2 * QUESTIONS
    assert set(outputs(folder)) == {"A"}


@pytest.mark.parametrize("server", ["vllm", "sglang", "llama.cpp"])
def test_a_fingerprint_that_changes_stops_a_run_in_mid_run_and_between_sessions(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer], server: str
) -> None:
    study, folder = study_over(tmp_path, servers, server=server), tmp_path / "run"

    def other(progress: Progress) -> None:
        if progress.done["q8_0"] == 5:
            servers[1].say = replace(servers[1].say, fingerprint="fp_2")

    with pytest.raises(ModelChangedError, match="fingerprint 'fp_2', where it was 'fp_1'"):
        run(study, folder, listener=other)
    assert len(outputs(folder)) == 5
    with pytest.raises(ModelChangedError, match="fingerprint 'fp_2', where it was 'fp_1'"):
        run(study, folder)
    assert len(outputs(folder)) == 5
    servers[1].say = replace(servers[1].say, fingerprint="fp_1")
    assert run(study, folder).recorded == 2 * QUESTIONS


@pytest.mark.parametrize(
    ("slots", "logprob", "every"),
    mostly_repetitions(
        itertools.product([1, 3], [None, -0.5], [0.0, 400.0]),
        kept=[(1, None, 0.0), (3, None, 400.0), (1, -0.5, 400.0), (3, -0.5, 0.0)],
    ),
)
def test_a_silent_swap_is_found_and_what_may_be_of_the_other_model_is_asked_again(
    tmp_path: Path,
    servers: tuple[FaultyServer, FaultyServer],
    slots: int,
    logprob: float | None,
    every: float,
) -> None:
    for server in servers:
        server.answer = Model(logprob=logprob)
    study, folder = study_over(tmp_path, servers, slots), tmp_path / "run"
    # by its clock a call takes over five minutes, or no time: then only the end tells
    with pytest.raises(ModelChangedError, match="arm 'q8_0' answers a fixed prompt otherwise") as e:
        run(study, folder, Ticking(every), swap_after(servers[1], 5))
    assert "4 times out of 4: it said 'turned away, A.', and says 'turned away, B.'" in str(e.value)
    assert "will be asked again" in str(e.value)
    wrong = outputs(folder).count("B")
    assert wrong < 10 if every else QUESTIONS - 5 - slots < wrong <= QUESTIONS - 5
    arm = json.loads((folder / "manifest.json").read_text())["arms"]["q8_0"]
    assert len(arm["doubtful_answers"]) >= wrong
    # a look at it as it is says so first
    cautions = [one["text"] for one in quantrial.decide(folder)["cautions"]]
    assert any("may be another model's" in one for one in cautions) == bool(arm["doubtful_answers"])
    # the other model is refused again, and nothing of it recorded
    lines = len(outputs(folder))
    with pytest.raises(ModelChangedError, match="otherwise than before"):
        run(study, folder)
    assert len(outputs(folder)) == lines
    servers[1].answer = Model(logprob=logprob)
    result = run(study, folder)
    assert (result.recorded, result.faulted) == (2 * QUESTIONS, 0)
    assert outputs(folder)[lines:] == ["A"] * (len(outputs(folder)) - lines)
    found = quantrial.analyze(folder)
    assert found["tasks"]["sums"]["endpoints"]["accuracy"]["arms"]["q8_0"]["estimate"] == 1.0
    assert (
        json.loads((folder / "manifest.json").read_text())["arms"]["q8_0"]["doubtful_answers"] == []
    )
    assert not [one for one in quantrial.decide(folder)["cautions"] if "another model" in str(one)]


def test_other_probabilities_of_the_same_text_are_another_model(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    for server in servers:
        server.answer = Model(logprob=-0.5)
    study, folder = study_over(tmp_path, servers), tmp_path / "run"

    def swap(progress: Progress) -> None:
        if progress.done["q8_0"] == 5:
            servers[1].answer = Model(logprob=-0.6)

    with pytest.raises(ModelChangedError, match="with other probabilities"):
        run(study, folder, listener=swap)
    servers[1].answer = Model(logprob=-0.505)  # what rounding may do
    assert run(study, folder).recorded == 2 * QUESTIONS


@pytest.mark.parametrize("slots", [1, 3])
def test_an_honest_server_whose_answers_vary_is_a_caution_and_no_end(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer], slots: int
) -> None:
    # another answer at the end of the run, and one of the three more is as at first
    behind(servers[1]).probes = ["one", "one", "another", "a third", "one", "a fourth"]
    study, folder = study_over(tmp_path, servers, slots), tmp_path / "run"
    assert run(study, folder).recorded == 2 * QUESTIONS
    assert behind(servers[1]).probed == 6
    said = [one["text"] for one in quantrial.decide(folder)["cautions"]]
    (caution,) = [one for one in said if "fixed prompt" in one]
    assert caution.startswith(
        "The server of q8_0 answered a fixed prompt otherwise in 1 of 2 looks"
    )
    quantrial.report(folder)
    assert "answered a fixed prompt otherwise" in (folder / "report.md").read_text()
    assert quantrial.verify(folder).ok


def test_another_fingerprint_of_a_generic_server_has_it_looked_at_and_is_a_caution(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    study, folder = study_over(tmp_path, servers), tmp_path / "run"

    def other(progress: Progress) -> None:
        if progress.done["q8_0"] == 5:
            servers[1].say = replace(servers[1].say, fingerprint="fp_2")

    run(study, folder, listener=other)
    assert behind(servers[1]).probed == 4, "twice at first, once at the change, once at the end"
    said = [one["text"] for one in quantrial.decide(folder)["cautions"]]
    assert any("fingerprint of q8_0's server changed" in one for one in said)
    # where the weights changed with it, that is found at once
    folder = tmp_path / "other"
    servers[1].say = replace(servers[1].say, fingerprint="fp_1")

    def swap(progress: Progress) -> None:
        if progress.done["q8_0"] == 5:
            servers[1].say = replace(servers[1].say, fingerprint="fp_2")
            servers[1].answer = Model(letter="B")

    with pytest.raises(ModelChangedError, match="otherwise than before"):
        run(study, folder, listener=swap)
    assert outputs(folder).count("B") == 1


def test_a_run_that_was_killed_asks_again_what_came_after_its_last_look(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    study, folder = study_over(tmp_path, servers), tmp_path / "run"
    swap = swap_after(servers[1], 5)

    class Killed(BaseException):
        pass

    def killed(progress: Progress) -> None:
        swap(progress)
        if progress.done["q8_0"] == 9:
            raise Killed

    clock = Ticking(0.01)
    with pytest.raises(Killed):
        run(study, folder, clock, killed)
    assert outputs(folder).count("B") == 4
    with pytest.raises(ModelChangedError, match="The 9 answers recorded since"):
        run(study, folder, clock)
    servers[1].answer = Model()
    assert run(study, folder, clock).recorded == 2 * QUESTIONS
    assert outputs(folder)[9:] == ["A"] * QUESTIONS


def test_a_server_that_names_its_weights_is_asked_no_fixed_prompt(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    servers[0].answer = Model(root="acme/small")
    servers[1].answer = Model(root="m")  # no more than the name
    folder = tmp_path / "run"
    run(study_over(tmp_path, servers), folder, Ticking(EVERY / 100))
    assert (behind(servers[0]).probed, behind(servers[1]).probed > 3) == (0, True)
    arms = json.loads((folder / "manifest.json").read_text())["arms"]
    assert [arms[name]["identity_probe"]["checked"] > 0 for name in ("f16", "q8_0")] == [
        False,
        True,
    ]


def test_a_fixed_prompt_that_fails_says_nothing(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    servers[1].faults = ["500", None, "reset"]
    assert run(study_over(tmp_path, servers), tmp_path / "run").recorded == 2 * QUESTIONS


def test_an_identity_is_compared_by_what_was_known_and_holds_no_folder() -> None:
    assert differences({}, {"root": "a"}) == ""
    assert differences({"root": None}, {"root": "a"}) == ""
    assert differences({"root": "a", "version": "1"}, {"root": "a", "version": "1"}) == ""
    assert differences({"root": "a"}, {}) == "its root was 'a', is None"
    assert without_folder(None) is None
    assert without_folder("acme/small") == "acme/small"
    hidden = [without_folder(path) for path in ("/home/u/x/a.gguf", "/mnt/a.gguf", r"C:\u\a.gguf")]
    assert all(one is not None and one.startswith("a.gguf (folder ") for one in hidden)
    assert len(set(hidden)) == 3


@dataclass
class Ollama:
    """What an Ollama server says, with one model in memory."""

    version: str = "0.22.1"
    digest: str = "sha256:" + "a" * 64
    letter: str = "A"

    def __call__(self, call: Call, say: Say) -> Answer:
        entry = {"name": "m:latest", "model": "m:latest", "digest": self.digest, "size": 5}
        if call.path == "/api/version":
            return _json({"version": self.version})
        if call.path in ("/api/tags", "/api/ps"):
            return _json({"models": [entry]})
        if call.path == "/api/show":
            return _json({"modelfile": "FROM m", "details": {}, "model_info": {}})
        part = {"model": "m", "message": {"role": "assistant", "content": self.letter}}
        read = len(json.dumps(call.body)) // 4
        counts = {"prompt_eval_count": read, "eval_count": 1, "load_duration": 1}
        done = {**part, **counts, "done": True, "done_reason": "stop"}
        return Answer("application/x-ndjson", (json.dumps(done).encode() + b"\n",))


def over_ollama(folder: Path, servers: tuple[FaultyServer, FaultyServer]) -> Path:
    study = study_over(folder, servers)
    text = study.read_text().replace("engine: openai", "engine: ollama")
    study.write_text(re.sub(r"base_url: (\S+)/v1", r"host: \1", text))
    return study


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "0.23.0"}, "its version was '0.22.1', is '0.23.0'"),
        ({"digest": "sha256:" + "b" * 64}, "its digest was sha256:aaaaa, is sha256:bbbbb"),
    ],
)
def test_an_ollama_server_that_becomes_another_one_stops_a_run(
    tmp_path: Path,
    servers: tuple[FaultyServer, FaultyServer],
    changes: dict[str, str],
    said: str,
) -> None:
    for server in servers:
        server.answer = Ollama()
        server.is_answer = lambda call: bool(call.body) and call.path != "/api/show"
    study, folder = over_ollama(tmp_path, servers), tmp_path / "run"
    with pytest.raises(ModelChangedError, match=re.escape(said)):
        run(study, folder, listener=swap_after(servers[1], 5, **changes))
    assert set(outputs(folder)) == {"A"}
    assert len(outputs(folder)) == 5
    with pytest.raises(RunChangedError, match="arm 'q8_0'"):
        run(study, folder)
    servers[1].answer = Ollama()
    result = run(study, folder)
    assert (result.recorded, result.faulted) == (2 * QUESTIONS, 0)
    assert set(outputs(folder)) == {"A"}
