"""Whether an Ollama server keeps all arms in memory is asked, and not assumed; what a load took."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import quantrial
from servers.ollama import Model, OllamaServer

pytestmark = pytest.mark.model
NAMES = ("q8_0", "q4_0")


@pytest.fixture
def models(ollama_model: Callable[..., Model]) -> dict[str, Model]:
    return {f"demo:{name}": ollama_model(name.upper()) for name in NAMES}


def study_on(server: OllamaServer, folder: Path, **options: Any) -> Path:
    items = [
        {"question": f"{i} + {i}?", "options": [str(i), str(2 * i)], "answer": 1}
        for i in range(1, 5)
    ]
    (folder / "sums.jsonl").write_text("".join(json.dumps(one) + "\n" for one in items))
    said = {"host": server.address, "num_ctx": 512, "num_thread": 1, **options}
    source = {"type": "jsonl", "path": "sums.jsonl"}
    study = {
        "study": "memory",
        "reference": "q8_0",
        "arms": {n: {"engine": "ollama", "model": f"demo:{n}", "options": said} for n in NAMES},
        "tasks": {"sums": {"kind": "choice", "workload": "w", "source": source, "max_tokens": 2}},
        "design": {"repeat_reference": 0},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def had_loaded(server: OllamaServer, model: str = "demo:q8_0") -> None:
    """Somebody else asked for a model before."""
    body = {"model": model, "options": {"num_ctx": 512}, "keep_alive": "30m", "stream": False}
    httpx.post(f"{server.address}/api/generate", json=body, timeout=60).raise_for_status()
    server.loads.clear()


def designed(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text())["design"]
    return found


def test_a_server_that_keeps_all_arms_is_found_out(
    tmp_path: Path, models: dict[str, Model], capsys: pytest.CaptureFixture[str]
) -> None:
    from quantrial.cli import show

    with OllamaServer(models, holds=2) as server:
        study = study_on(server, tmp_path)
        had_loaded(server)
        plan = quantrial.plan(study, probe=True)
        assert plan.together
        assert {arm.name: arm.loads for arm in plan.arms} == {"q8_0": 1, "q4_0": 1}
        loaded, other = plan.arms
        assert (loaded.was_loaded, loaded.load_seconds) == (True, None)
        assert not other.was_loaded
        assert other.load_seconds
        assert server.loads == ["demo:q4_0"], "what somebody has loaded is not taken from them"
        show.plan(plan)
        rows = [one for one in capsys.readouterr().out.splitlines() if "already loaded" in one]
        assert len(rows) == 1
        assert "q8_0" in rows[0]
        server.loads.clear()
        server.unload()
        quantrial.run(study, out=tmp_path / "run")
        assert designed(tmp_path / "run")["together"] is True
        assert sorted(server.loads) == ["demo:q4_0", "demo:q8_0"], "each is loaded once"


def test_a_server_that_keeps_one_model_is_found_out(
    tmp_path: Path, models: dict[str, Model]
) -> None:
    with OllamaServer(models) as server:
        study = study_on(server, tmp_path)
        had_loaded(server)
        plan = quantrial.plan(study, probe=True)
        assert not plan.together
        # they are loaded again and again: how long that takes is timed, whoever had them loaded
        assert all(arm.load_seconds and not arm.was_loaded for arm in plan.arms)
        quantrial.run(study, out=tmp_path / "run")
        order = designed(tmp_path / "run")
        assert order["together"] is False
        assert order["load_seconds"]


@pytest.mark.parametrize("said", [True, False])
def test_what_a_study_says_of_its_server_is_not_asked(
    tmp_path: Path, models: dict[str, Model], said: bool
) -> None:
    with OllamaServer(models, holds=2) as server:
        assert (
            quantrial.plan(study_on(server, tmp_path, together=said), probe=False).together is said
        )
        quantrial.run(study_on(server, tmp_path, together=said), out=tmp_path / "run")
        assert designed(tmp_path / "run")["together"] is said


def test_a_plan_that_asks_nothing_says_what_it_assumes(
    tmp_path: Path, models: dict[str, Model]
) -> None:
    with OllamaServer(models, holds=2) as server:
        plan = quantrial.plan(study_on(server, tmp_path), probe=False)
        assert not plan.together
        assert "the server may hold q8_0, q4_0 in memory" in "\n".join(plan.warnings)
        assert not server.loads
