"""What an arm refuses is an error of `plan`, and a run without answers is one of `run`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.cli import main
from quantrial.engines.names import models_shown, nearest_model
from quantrial.errors import EngineError
from quantrial.running import penalty
from servers.faulty import Answer, Call, FaultyServer, Say, faulty_server, openai_answer
from studies import write_study

pytestmark = pytest.mark.usefixtures("undrawn")

FEW = 4  # questions: too few for an arm to fail ten times in a row


@pytest.fixture
def servers() -> Iterator[tuple[FaultyServer, FaultyServer]]:
    with faulty_server(model="m", text="A") as one, faulty_server(model="m", text="A") as other:
        yield one, other


def study_over(
    folder: Path, servers: tuple[FaultyServer, FaultyServer], model: str = "m", **changes: Any
) -> Path:
    arms = {
        name: {"engine": "openai", "model": model, "options": {"base_url": server.url}}
        for name, server in zip(("f16", "q8_0"), servers, strict=True)
    }
    sums = {
        "kind": "choice",
        "workload": "reasoning",
        "source": {"type": "jsonl", "path": "questions.jsonl"},
        "sample": FEW,
        "timeout": 0.4,
    }
    return write_study(folder, **({"arms": arms, "tasks": {"sums": sums}} | changes))


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["quantrial", *map(str, arguments)])
    try:
        main()
        code = 0
    except SystemExit as exc:
        code = int(exc.code or 0)
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), " ".join(err.split())


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("400", "answered 400: scripted 400"),
        ("401", "answered 401: scripted 401; a key comes from the environment"),
        ("404", "answered 404: scripted 404"),
        ("429_quota", "answered 429: scripted 429"),
        ("other_model", "say it in the option `served_as` (served_as: another)"),
        ("redirect", "answered 302"),
    ],
)
def test_what_a_server_refuses_fails_a_plan(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    servers: tuple[FaultyServer, FaultyServer],
    fault: str,
    said: str,
) -> None:
    servers[1].always = fault
    code, out, err = command(monkeypatch, capsys, "plan", study_over(tmp_path, servers))
    assert (code, out) == (1, "")
    assert said in err
    assert "(arm 'q8_0')" in err


def test_probabilities_and_a_schema_that_a_server_does_not_know_fail_a_plan(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    servers: tuple[FaultyServer, FaultyServer],
) -> None:
    study = study_over(tmp_path, servers, design={"repeat_reference": 0, "logprobs": 2})
    code, _, err = command(monkeypatch, capsys, "plan", study)
    assert (code, "the server gave no probabilities of tokens" in err) == (1, True)
    names = {
        "kind": "spans",
        "workload": "extraction",
        "source": {"type": "jsonl", "path": "sentences.jsonl"},
        "constrained": True,
    }
    study = study_over(tmp_path, servers, tasks={"names": names})
    code, _, err = command(monkeypatch, capsys, "plan", study)
    assert (code, "the schema was not held to: the answer is 'A'" in err) == (1, True)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("503", "answered 503"),
        ("429_plain", "answered 429"),
        ("500", "answered 500"),
        ("hang", "no answer within 0.4 s"),
        ("reset", "broke off"),
        ("overflow", "scripted 400"),  # of this prompt alone
        ("odd_finish", "kept its answer back: content_filter"),  # likewise
    ],
)
def test_what_passes_or_is_of_one_prompt_is_a_warning_of_a_plan(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    servers: tuple[FaultyServer, FaultyServer],
    fault: str,
    said: str,
) -> None:
    monkeypatch.setattr(penalty, "_TIMEOUT", 0.2)
    servers[0].always = fault
    study = study_over(tmp_path, servers)
    code, out, _ = command(monkeypatch, capsys, "plan", study)
    assert code == 0
    assert "warning: times are not known: " in out
    assert said in out
    # the other arm is asked all the same, and what it refuses is an error
    servers[1].always = "401"
    code, _, err = command(monkeypatch, capsys, "plan", study)
    assert (code, "(arm 'q8_0')" in err) == (1, True)


@pytest.mark.parametrize(
    ("asked", "there", "meant"),
    [
        ("acme/small", ["other", "acme/small@main", "acme/smaller"], "acme/small@main"),
        ("acme/small@main", ["acme/small", "x"], "acme/small"),
        ("Acme/Small", ["acme/small"], "acme/small"),
        ("small", ["zeta/small", "large"], "zeta/small"),
        ("llama-3.1-8b-q8", ["llama-3.1-8b-q4", "qwen"], "llama-3.1-8b-q4"),
        ("m", ["another"], None),
        ("m", [], None),
    ],
)
def test_the_name_that_was_meant_is_offered(
    asked: str, there: list[str], meant: str | None
) -> None:
    assert nearest_model(asked, there) == meant
    shown = models_shown(asked, [*there, *(f"_{i}" for i in range(9))])
    assert (f"did you mean {meant!r}?" in shown) == (meant is not None)


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_model_of_another_name_on_the_server_is_an_error_that_offers_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    servers: tuple[FaultyServer, FaultyServer],
    verb: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for server in servers:
        server.say = replace(server.say, model="acme/small@main")
    study = study_over(tmp_path, servers, model="acme/small")
    code, out, err = command(monkeypatch, capsys, verb, study)
    assert (code, out) == (1, "")
    assert "does not serve 'acme/small'" in err
    assert "did you mean 'acme/small@main'?" in err


def test_a_name_that_stands_in_answers_alone_is_offered_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    servers: tuple[FaultyServer, FaultyServer],
) -> None:
    def listed_otherwise(call: Call, say: Say) -> Answer:
        return openai_answer(call, say if call.body else replace(say, model="acme/small"))

    for server in servers:
        server.answer = listed_otherwise
        server.say = replace(server.say, model="acme/small@main")
    study = study_over(tmp_path, servers, model="acme/small")
    code, _, err = command(monkeypatch, capsys, "plan", study)
    assert (code, "(served_as: acme/small@main)" in err) == (1, True)


def test_a_run_without_one_answer_fails_and_says_why_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    servers: tuple[FaultyServer, FaultyServer],
) -> None:
    for server in servers:
        server.always = "404"
    study, folder = study_over(tmp_path, servers), tmp_path / "run"
    for _ in range(2):  # the second time nothing is left to be asked
        code, out, err = command(monkeypatch, capsys, "run", study, "--out", folder)
        assert code == 1
        assert "error: no call has an answer. First fault: f16: http://" in err
        assert "scripted 404; q8_0: " in err
        assert "quantrial analyze" not in out
        assert "--retry-faults" in out
    for server in servers:
        server.always = None
    code, out, err = command(monkeypatch, capsys, "run", folder, "--retry-faults")
    assert code == 0
    assert "error" not in err
    assert "quantrial verify" in out


@pytest.mark.parametrize("fault", ["401", "overflow", "500"])
def test_an_arm_without_one_answer_fails_a_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    servers: tuple[FaultyServer, FaultyServer],
    fault: str,
) -> None:
    servers[1].always = fault
    study = study_over(tmp_path, servers, design={"repeat_reference": 0, "attempts": 1})
    run = ("run", study, "--out", tmp_path / "run", "--json")
    code, out, err = command(monkeypatch, capsys, *run)
    assert code == 1
    assert "error: q8_0 answered nothing. First fault: q8_0: " in err
    said = json.loads(out)
    assert list(said["unanswered"]) == ["q8_0"]
    assert said["faults"] == {"q8_0": FEW}
    # one answer is enough to go on with; the first two are of the fixed prompt
    servers[1].faults, servers[1].always = [None] * 4, fault
    code, _, _ = command(
        monkeypatch, capsys, "run", study, "--out", tmp_path / "other", "--no-speed"
    )
    assert code == 0


def test_in_python_a_plan_raises_and_a_run_tells(
    tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    study = study_over(tmp_path, servers, design={"repeat_reference": 0, "attempts": 1})
    servers[0].always = "400"
    with pytest.raises(EngineError, match=r"scripted 400 \(arm 'f16'\)"):
        quantrial.plan(study, probe=None)
    result = quantrial.run(study, out=tmp_path / "run")
    assert list(result.unanswered) == ["f16"]
    assert "scripted 400" in result.unanswered["f16"]
    assert quantrial.run(tmp_path / "run").unanswered == result.unanswered
