"""Models of the hub: nothing is downloaded unless it was agreed to, with its size."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from command import command
from quantrial.cli import consent
from quantrial.engines import model_files
from quantrial.engines.abilities import Fetching
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.errors import ConsentError, ModelFileError
from servers.hub import COMMIT, HubServer

REFERENCE = "hf://org/repo/sub/m.gguf"


@pytest.fixture
def hub(tmp_path: Path, write_gguf: Callable[..., Path]) -> Iterator[HubServer]:
    weights = {"token_embd.weight": np.zeros((4, 64), np.float32)}
    data = write_gguf(tmp_path / "m.gguf", weights).read_bytes()
    with HubServer({"org/repo/sub/m.gguf": data + bytes(2_000_000)}) as own:
        yield own


@pytest.fixture
def study(tmp_path: Path) -> Path:
    task = {"kind": "choice", "workload": "r", "source": {"type": "bundled"}, "sample": 4}
    path = tmp_path / "study.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "study": "hub",
                "reference": "a",
                "arms": {"a": {"model": REFERENCE}, "b": {"model": REFERENCE}},
                "tasks": {"quiz": task},
            }
        )
    )
    return path


def quantrial(hub: HubServer, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line with the hub's own client, which knows no other hub than this one."""
    return command(
        *arguments,
        cwd=folder,
        allow=False,
        env={
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_HUB_CACHE": str(folder / "hub"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "*",
        },
    )


@pytest.mark.parametrize(
    "command",
    [
        ("plan", "study.yaml"),
        ("run", "study.yaml"),
        ("run", "study.yaml", "--json"),
        ("quantize", REFERENCE, "--to", "Q8_0"),
    ],
)
def test_no_command_downloads_without_being_told(
    command: tuple[str, ...], hub: HubServer, study: Path, tmp_path: Path
) -> None:
    done = quantrial(hub, tmp_path, *command)
    assert done.returncode == 2, done.stderr
    assert f"Not on this machine: {REFERENCE} (2 MB). Fetch it?" in done.stderr
    assert "There is no terminal to ask on: nothing was fetched. --yes agrees" in done.stderr
    assert hub.fetched == []
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "models").exists()


def test_what_was_agreed_to_is_fetched_once_and_then_read_offline(
    hub: HubServer, study: Path, tmp_path: Path
) -> None:
    # no calls are timed: this small file is a header without a model
    first = quantrial(hub, tmp_path, "plan", study, "--no-probe", "--yes")
    assert f"{REFERENCE}: fetched 100 %" in first.stderr
    assert first.returncode == 0, first.stderr
    again = quantrial(hub, tmp_path, "plan", study, "--no-probe")
    assert (again.returncode, again.stderr) == (0, "")
    assert hub.fetched == ["m.gguf"]


def test_what_the_hub_does_not_have_is_said_in_a_line(
    hub: HubServer, study: Path, tmp_path: Path
) -> None:
    hub.files.clear()
    done = quantrial(hub, tmp_path, "plan", study, "--yes")
    assert done.returncode == 2
    [*_, line] = done.stderr.splitlines()
    assert line.startswith(f"error: {REFERENCE}: the download failed: ")
    unsized = quantrial(hub, tmp_path, "plan", study)
    assert f"Not on this machine: {REFERENCE} (unknown). Fetch it?" in unsized.stderr


def test_the_embedded_engine_never_fetches_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    def download(*arguments: object, **_: object) -> str:
        asked.append(arguments)
        raise OSError

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    engine = LlamaCppEngine(REFERENCE)
    assert isinstance(engine, Fetching)
    assert engine.missing()
    for step in (engine.describe, engine.start):
        with pytest.raises(ModelFileError, match=r"not in the hub's cache .* `quantrial plan`"):
            step()
    assert asked == []
    # a revision is looked for, and fetched, as it is named
    with pytest.raises(ModelFileError, match="the download failed"):
        list(LlamaCppEngine(f"hf://org/repo@{COMMIT}/m.gguf").pull())
    assert asked == [("org/repo", "m.gguf")]


def test_a_no_on_the_terminal_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files.HubFile, "cached", lambda _: None)
    monkeypatch.setattr(model_files.HubFile, "bytes", lambda _: 3_000_000_000)
    asked = []

    def say_no(question: str, *, refused: str) -> None:
        asked.append(question)
        raise ConsentError(refused)

    monkeypatch.setattr(consent, "ask", say_no)
    with pytest.raises(ConsentError, match="nothing was fetched"):
        consent.fetch_missing_file(REFERENCE, yes=False)
    assert asked == [f"Not on this machine: {REFERENCE} (3.0 GB). Fetch it?"]
