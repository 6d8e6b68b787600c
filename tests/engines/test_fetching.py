"""Models that are not there: offered with their sizes, fetched when agreed to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from quantrial.cli import main
from quantrial.commands import provision
from quantrial.engines.ollama_server import registry_bytes
from servers.ollama import Model, OllamaServer

pytestmark = pytest.mark.model


@pytest.fixture
def server(
    ollama_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> Iterator[OllamaServer]:
    """A server that has one model and could pull another one; it is the registry, too."""
    here = {"demo:q8_0": ollama_model("Q8_0")}
    with OllamaServer(here, remote={"demo:q4_0": ollama_model("Q4_0")}) as own:
        monkeypatch.setattr("quantrial.engines.ollama_server.REGISTRY", own.address)
        yield own


@pytest.fixture
def study(tmp_path: Path, server: OllamaServer) -> Path:
    options = {"host": server.address, "num_ctx": 512}
    path = tmp_path / "study.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "study": "fetching",
                "reference": "q8_0",
                "arms": {
                    name: {"engine": "ollama", "model": f"demo:{name}", "options": options}
                    for name in ("q8_0", "q4_0")
                },
                "tasks": {
                    "quiz": {
                        "kind": "choice",
                        "workload": "reasoning",
                        "source": {"type": "bundled"},
                        "sample": 4,
                    }
                },
            }
        )
    )
    return path


def status(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command line in this process; return its exit code."""
    monkeypatch.setattr("sys.argv", ["quantrial", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_missing_models_are_listed_with_their_sizes(study: Path, server: OllamaServer) -> None:
    [missing] = provision.missing(study)
    size = server.remote["demo:q4_0"].path.stat().st_size + 110
    assert (missing.model, missing.arms, missing.bytes) == ("demo:q4_0", ("q4_0",), size)
    assert "demo:q4_0" not in server.models, "nothing is fetched"


def test_sizes_that_cannot_be_found_out_are_unknown(
    server: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registry_bytes("nobody:knows") is None
    monkeypatch.setattr("quantrial.engines.ollama_server.REGISTRY", "http://127.0.0.1:9")
    assert registry_bytes("demo:q4_0") is None


@pytest.mark.parametrize("command", ["plan", "run"])
def test_without_a_terminal_and_without_yes_nothing_is_fetched(
    command: str,
    study: Path,
    server: OllamaServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status(monkeypatch, command, study) == 2
    said = capsys.readouterr().err
    assert "Not on this machine: demo:q4_0 (" in said
    assert "MB). Fetch it? There is no terminal to ask on: nothing was fetched. --yes" in said
    assert "demo:q4_0" not in server.models


def test_with_yes_it_is_fetched_and_planned(
    study: Path,
    server: OllamaServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status(monkeypatch, "plan", study, "--yes") == 0
    out, err = capsys.readouterr()
    assert "demo:q4_0: success" in err
    assert "demo:q4_0" in server.models
    assert "one is held at a time" in out
    assert "in prompts (4 bytes per token)" in out
