"""One study over several engines: only its arms change, and the same weights score the same."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from quantrial.assay import arm_checks
from quantrial.engines.model_files import resolve
from quantrial.engines.requantize import made_file
from quantrial.errors import ModelChangedError, StudyError
from quantrial.running import Progress
from repetitions import repetitions
from running.forks import wait_until
from servers.llama_server import LlamaServer, llama_server
from servers.ollama import Model, OllamaServer
from small_model import DEMO
from summaries import arm_records

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("undrawn")]

KEY = "sk-test-0123456789abcdef"

TASKS = {
    "quiz": {
        "kind": "choice",
        "workload": "reasoning",
        "source": {"type": "bundled"},
        "sample": 6,
        "prompt_format": "completion",
        "max_tokens": 4,
    },
    "people": {
        "kind": "spans",
        "workload": "extraction",
        "source": {"type": "bundled"},
        "types": ["PER"],
        "sample": 3,
        "shots": 2,
        "max_tokens": 24,
    },
}


def write(folder: Path, arms: Mapping[str, Any], **tasks: Any) -> Path:
    """Write the study with these arms."""
    folder.mkdir(parents=True, exist_ok=True)
    study = {
        "study": "both",
        "seed": 3,
        "reference": "q8_0",
        "margin": 0.1,
        "arms": arms,
        "tasks": tasks or TASKS,
        "analysis": {"resamples": 200},
        "design": {"repeat_reference": 0},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def embedded(model: str, **options: Any) -> dict[str, Any]:
    return {
        kind.lower(): {
            "model": model,
            "quantize": kind,
            "options": {"context": 1024, "threads": 1, **options},
        }
        for kind in ("Q8_0", "Q4_0")
    }


def served(server: OllamaServer) -> dict[str, Any]:
    options = {"host": server.address, "num_ctx": 1024, "num_thread": 1}
    return {
        name: {"engine": "ollama", "model": f"demo:{name}", "options": options}
        for name in ("q8_0", "q4_0")
    }


@pytest.fixture
def models(ollama_model: Callable[..., Model]) -> dict[str, Model]:
    return {"demo:q8_0": ollama_model("Q8_0"), "demo:q4_0": ollama_model("Q4_0")}


def over_http(servers: Mapping[str, LlamaServer], **options: Any) -> dict[str, Any]:
    said = {"server": "llama.cpp", "api_key_env": "QUANTRIAL_TEST_KEY", **options}
    return {
        name: {"engine": "openai", "model": one.name, "options": {"base_url": one.url, **said}}
        for name, one in servers.items()
    }


@pytest.fixture(scope="module", params=["small", *repetitions("demo")])
def weights(request: pytest.FixtureRequest, shared_cache: Path) -> str:
    """The model whose weights both sides have; what is small answers nonsense, and at once."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def llama_servers(weights: str) -> Iterator[dict[str, LlamaServer]]:
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("QUANTRIAL_TEST_KEY", KEY)
        yield {
            kind.lower(): stack.enter_context(
                llama_server(
                    made_file(resolve(weights, Path()), kind, None),
                    name=f"smollm2-{kind}",
                    key=KEY,
                    context=1024,
                )
            )
            for kind in ("Q8_0", "Q4_0")
        }


# fewer items for the demo model
FEW = {
    name: task | {"sample": few} for (name, task), few in zip(TASKS.items(), (3, 2), strict=True)
}


def scored(summary: Mapping[str, Any]) -> Any:
    """What a summary says of right and wrong: everything but times, sizes and the study's hash."""
    return {
        task: {
            name: {arm: found["estimate"] for arm, found in part["arms"].items()}
            for name, part in of["endpoints"].items()
        }
        | {"flips": of["flips"]}
        for task, of in summary["tasks"].items()
    }


def records(run: Path) -> list[dict[str, Any]]:
    """Every response of a run."""
    paths = sorted((run / "responses").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def answers(run: Path) -> dict[tuple[str, str], str]:
    """The texts of a run, by file and item."""
    return {
        (path.name, response["item"]): response["output"]
        for path in (run / "responses").glob("*.jsonl")
        for response in map(json.loads, path.read_text().splitlines())
    }


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory, weights: str) -> Path:
    """A run of few items over the embedded engine, which the servers' runs are held against."""
    folder = tmp_path_factory.mktemp("embedded")
    # answers of random weights can be near ties: sums are taken in the order that servers take
    options = {} if weights == DEMO else {"prompt_cache": False}
    return quantrial.run(
        write(folder, embedded(weights, **options), **FEW), out=folder / "embedded"
    ).folder


def test_the_same_weights_score_the_same_over_llamacpp_and_ollama(
    tmp_path: Path, weights: str, in_process: Path
) -> None:
    files = {kind: made_file(resolve(weights, Path()), kind) for kind in ("Q8_0", "Q4_0")}
    models = {f"demo:{kind.lower()}": Model(file) for kind, file in files.items()}
    with OllamaServer(models) as server:
        study = write(tmp_path / "b", served(server), **FEW)
        plan = quantrial.plan(study)
        result = quantrial.run(study, out=tmp_path / "served")
        # one model at a time: an order of calls that knows it would load far less often
        assert set(server.loads) == set(models)
    assert plan.calls == result.recorded == 10
    assert answers(in_process) == answers(tmp_path / "served")
    over = [quantrial.analyze(one) for one in (in_process, tmp_path / "served")]
    assert scored(over[0]) == scored(over[1])
    hashes = [{a: arm["artifact_sha256"] for a, arm in one["arms"].items()} for one in over]
    assert hashes[0] == hashes[1]


def test_the_same_weights_score_the_same_over_llamacpp_and_openai(
    tmp_path: Path, in_process: Path, llama_servers: dict[str, LlamaServer]
) -> None:
    study = write(tmp_path / "b", over_http(llama_servers), **FEW)
    plan = quantrial.plan(study, probe=True)
    assert all(arm.seconds_per_call and arm.load_seconds is None for arm in plan.arms)
    result = quantrial.run(study, out=tmp_path / "served")
    assert plan.calls == result.recorded == 10
    assert answers(in_process) == answers(tmp_path / "served")
    over = [quantrial.analyze(one) for one in (in_process, tmp_path / "served")]
    assert scored(over[0]) == scored(over[1])
    hashes = [{a: arm["artifact_sha256"] for a, arm in one["arms"].items()} for one in over]
    assert hashes[0] == hashes[1]
    # two arms on two servers differ in nothing but their weights
    manifest = json.loads((tmp_path / "served" / "manifest.json").read_text())
    # the servers had their models loaded: that took none of our time, and none is made up
    assert manifest["sessions"][0]["loads"] == {}
    assert {r["timing"]["load"] for r in records(tmp_path / "served")} == {None}
    [session] = json.loads((in_process / "manifest.json").read_text())["sessions"]
    assert session["loads"] == {"q8_0": 1, "q4_0": 1}
    checks = arm_checks(arm_records(manifest["arms"]), "q8_0")
    # both were made of a file that was quantized before, and that is said
    odd = [one.id for one in checks if one.status in ("warn", "fail")]
    assert odd == ["origin"]
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"QUANTRIAL_TEST_KEY" in written
    assert KEY.encode() not in written


def test_a_server_killed_and_started_again_in_mid_run_changes_no_answer(
    tmp_path: Path, small: str, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is gone and while it loads, calls are asked again; it is found to serve the same."""
    monkeypatch.setenv("QUANTRIAL_TEST_KEY", KEY)
    with contextlib.ExitStack() as stack:

        def start(kind: str, port: int = 0) -> LlamaServer:
            file = made_file(Path(small), kind, None)
            made = llama_server(file, name=f"smollm2-{kind}", key=KEY, context=1024, port=port)
            return stack.enter_context(made)

        servers = {kind.lower(): start(kind) for kind in ("Q8_0", "Q4_0")}
        task = TASKS["quiz"] | {"sample": 6}
        study = write(tmp_path, over_http(servers), quiz=task)
        study.write_text(study.read_text() + "  attempts: 8\n")
        quantrial.run(study, out=tmp_path / "peace")
        starting: list[threading.Thread] = []
        said = tmp_path / "run" / "responses" / "quiz.q4_0.jsonl"

        def bring_back() -> None:
            wait_until(lambda: "engine_error" in said.read_text())  # not before it is missed
            start("Q4_0", int(servers["q4_0"].url.rpartition(":")[2].partition("/")[0]))

        def kill(progress: Progress) -> None:
            if not starting and progress.done["q4_0"] == 3:
                one = servers["q4_0"]
                one.process.kill()
                one.process.wait()
                starting.append(threading.Thread(target=bring_back))
                starting[0].start()

        result = quantrial.run(study, out=tmp_path / "run", listener=kill)
        starting[0].join()
    assert (result.recorded, result.faulted) == (12, 0)
    lines = map(json.loads, said.read_text().splitlines())
    failed = [one for one in lines if one["status"] != "ok"]
    assert failed
    assert all("cannot be reached" in one["error"] or "503" in one["error"] for one in failed)
    assert answers(tmp_path / "run") == answers(tmp_path / "peace")


def test_entities_are_held_to_a_schema_over_both_engines(
    tmp_path: Path, weights: str, llama_servers: dict[str, LlamaServer]
) -> None:
    task = TASKS["people"] | {"constrained": True, "sample": 3, "shots": 1, "max_tokens": 400}
    for name, arms in (("a", embedded(weights)), ("b", over_http(llama_servers))):
        quantrial.run(write(tmp_path / name, arms, people=task), out=tmp_path / name / "run")
        texts = answers(tmp_path / name / "run")
        assert len(texts) == 6
        for text in texts.values():
            assert text.lstrip().startswith("[")
        whole = [json.loads(text) for text in texts.values() if text.rstrip().endswith("]")]
        assert whole
        for found in whole:
            assert all(set(one) == {"text", "type"} and one["type"] == "PER" for one in found)


def test_a_model_replaced_in_mid_run_stops_it_and_no_answer_of_it_is_recorded(
    tmp_path: Path, models: dict[str, Model]
) -> None:
    replacement = models["demo:q8_0"]
    with OllamaServer(models) as server:
        study = write(tmp_path, served(server))
        answered: list[int] = []

        def replace(progress: Progress) -> None:
            if not answered and progress.done["q4_0"] >= 4:
                answered.append(progress.done["q4_0"])
                server.models["demo:q4_0"] = replacement

        with pytest.raises(ModelChangedError, match=r"demo:q4_0.*another model than before"):
            quantrial.run(study, out=tmp_path / "run", listener=replace)
        texts = answers(tmp_path / "run")
        assert sum("q4_0" in file for file, _ in texts) == answered[0]
        # going on with it is refused too, naming the arm
        with pytest.raises(quantrial.QuantrialError, match="artifact of arm 'q4_0' changed"):
            quantrial.run(study, out=tmp_path / "run")
        assert answers(tmp_path / "run") == texts


def test_a_task_that_needs_a_grammar_is_refused_at_plan_with_what_to_do(
    tmp_path: Path, models: dict[str, Model]
) -> None:
    with OllamaServer(models) as server:
        task = TASKS["quiz"] | {"answer_mode": "option"}
        with pytest.raises(StudyError, match=r"tasks\.quiz\.answer_mode: .*answer_mode 'letter'"):
            quantrial.plan(write(tmp_path, served(server), quiz=task))


def test_models_the_server_does_not_have_are_named_before_anything_is_read(
    tmp_path: Path, models: dict[str, Model]
) -> None:
    del models["demo:q4_0"]
    with OllamaServer(models) as server:
        study = write(tmp_path, served(server))
        with pytest.raises(
            quantrial.QuantrialError, match=r"not there yet: demo:q4_0 \(arm q4_0\).*quantrial plan"
        ):
            quantrial.run(study, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_probabilities_are_recorded_and_held_against_the_references(
    tmp_path: Path, small: str
) -> None:
    path = write(tmp_path, embedded(small), quiz=TASKS["quiz"] | {"sample": 6})
    study = yaml.safe_load(path.read_text())
    study["design"]["logprobs"] = 3
    path.write_text(yaml.safe_dump(study))
    quantrial.run(path, out=tmp_path / "run")
    [one] = quantrial.analyze(tmp_path / "run")["tasks"]["quiz"]["fidelity"]
    assert (one["reference"], one["candidate"], one["items"]) == ("q8_0", "q4_0", 6)
    assert one["tokens"] >= 6
    low, high = one["kl"]["ci"]
    assert low < one["kl"]["estimate"] < high
    assert 0 < one["top_agreement"]["estimate"] <= 1
    quantrial.decide(tmp_path / "run")
    quantrial.report(tmp_path / "run")
    assert "Fidelity of probabilities" in (tmp_path / "run" / "report.md").read_text()
    assert quantrial.verify(tmp_path / "run").ok
    silent = {name: {"engine": "scripted", "model": name} for name in ("q8_0", "q4_0")}
    study["arms"] = silent
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(StudyError, match=r"design\.logprobs: .*reports no probabilities"):
        quantrial.plan(path)


SPEED = {
    "prompt_tokens": [24],
    "output_tokens": [6],
    "blocks": 2,
    "precision": 0.99,
    "time_limit": 120,
    "pause": 0,
}


def timed(folder: Path, arms: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run a small study with a speed phase; return what the summary says of it, and its records."""
    path = write(folder, arms, quiz=TASKS["quiz"] | {"sample": 2})
    path.write_text(path.read_text() + yaml.safe_dump({"speed": SPEED}))
    result = quantrial.run(path, out=folder / "run")
    assert result.speed is not None
    assert result.speed.status in ("narrow", "time_limit")
    lines = (folder / "run" / "speed.jsonl").read_text().splitlines()
    found = quantrial.analyze(folder / "run")["speed_phase"]
    quantrial.report(folder / "run")
    calls = [one for one in map(json.loads, lines) if one["kind"] == "measured"]
    assert {one["status"] for one in calls} == {"ok"}
    # every arm is shown the same bytes in a block, and others in the next
    shown = {(one["block"], one["prompt_sha256"]) for one in calls}
    assert len(shown) == len({one["block"] for one in calls}) >= 2
    return found, calls


def test_speed_over_llama_server_is_measured_as_the_embedded_engine_measures_it(
    tmp_path: Path, llama_servers: dict[str, LlamaServer]
) -> None:
    found, calls = timed(tmp_path, over_http(llama_servers))
    for one in calls:
        assert one["asked"] == ["exact_length", "fresh"]
        assert (one["completion_tokens"], one["decoded_tokens"]) == (6, 5)
        assert one["timing"]["load"] is None
        assert min(one["timing"][name] for name in ("prompt", "decode", "first_token")) > 0
    measures = {one["measure"] for one in found["ratios"]}
    assert {"decode", "prompt", "first_token", "call"} <= measures
    assert "load" not in measures, "no server says how long it loaded"
    assert found["arms"]["q4_0"]["load"] is None
    assert not {one["mark"] for one in found["marks"]} & {"own_length", "other_length", "cache"}


def test_speed_over_a_server_that_is_only_openai_compatible_says_what_it_could_not_ask(
    tmp_path: Path, llama_servers: dict[str, LlamaServer]
) -> None:
    arms = over_http(llama_servers, server="generic")
    found, calls = timed(tmp_path, arms)
    assert {tuple(one["asked"]) for one in calls} == {()}
    assert found["arms"]["q4_0"]["asked_exact_length"] == found["arms"]["q4_0"]["asked_fresh"] == 0
    # no length is held to, and yet all are alike: the prompts are chosen for that
    assert {(one["form"], one["completion_tokens"]) for one in calls} == {("list", 6)}
    assert {one["mark"] for one in found["marks"]} & {"own_length", "cache"} == {"cache"}
    assert {"call", "first_token"} <= {one["measure"] for one in found["ratios"]}
    said = quantrial.plan(tmp_path / "study.yaml").warnings
    for arm in ("q8_0", "q4_0"):
        [line] = [one for one in said if one.startswith(f"speed phase: the engine of {arm} cannot")]
        assert "cannot fix the number of answer tokens" in line
        assert "It cannot skip its prompt cache." in line


def test_speed_over_ollama_times_loads_by_what_the_server_says(
    tmp_path: Path, models: dict[str, Model]
) -> None:
    with OllamaServer(models) as server:
        found, calls = timed(tmp_path, served(server))
        # one model is held at a time, so each arm is loaded anew for each of its turns
        assert len(server.loads) >= 2 * 2
        assert len(quantrial.plan(tmp_path / "study.yaml").warnings) >= 2
    assert {tuple(one["asked"]) for one in calls} == {()}
    assert all(one["timing"]["prompt"] for one in calls)
    assert {(one["form"], one["completion_tokens"]) for one in calls} == {("list", 6)}
    assert {one["mark"] for one in found["marks"]} & {"own_length", "cache"} == {"cache"}
    assert {"prompt", "call", "load"} <= {one["measure"] for one in found["ratios"]}
    assert found["arms"]["q4_0"]["load"]["estimate"] > 0
