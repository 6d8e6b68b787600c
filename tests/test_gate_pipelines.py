"""The example pipelines: their steps run under bash, and end in the codes of runs that are so."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import import_lm_eval
import quantrial
from quantrial.study import parse_gate
from quantrial.testing import assert_gate
from test_gate import write

ROOT = Path(__file__).parents[1]
PIPELINES = ROOT / "examples" / "pipelines"
CODES = {"right": 0, "worse": 1, "few": 3, "many": 4}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipelines of bash")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project with a run in it, and programs that a runner would have."""
    folder = tmp_path_factory.mktemp("pipelines")
    quantrial.run(write(folder / "study"), out=folder / "runs" / "tickets")
    programs = {
        "quantrial": f'exec "{sys.executable}" -m quantrial "$@"',
        "python": 'echo "$@" >> installed.txt',
    }
    (folder / "bin").mkdir()
    for name, body in programs.items():
        program = folder / "bin" / name
        program.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def bash(place: Path, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    files = {"GITHUB_STEP_SUMMARY": str(place / "step.md"), "GITHUB_OUTPUT": str(place / "out.txt")}
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=place,
        env={**os.environ, **files, "PATH": path, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def write_gate(place: Path, arm: str) -> None:
    text = yaml.safe_dump({"gate": {"arms": [arm], "require": [{"non_inferior": "2pp"}]}})
    (place / "gate.yaml").write_text(text, encoding="utf-8")


def of_action(place: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the steps of `action.yml` as a runner does; what it uses of others is left out."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    given = {key: one.get("default", "") for key, one in action["inputs"].items()} | inputs
    done = None
    for step in action["runs"]["steps"]:
        if "run" in step:
            assert step["shell"] == "bash"
            env = {
                key: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda m: given[m[1]], value)
                for key, value in step["env"].items()
            }
            done = bash(place, step["run"], **env)
            if done.returncode:
                break
    assert done is not None
    return done


@pytest.mark.parametrize(("arm", "code"), CODES.items())
def test_the_action_ends_in_the_code(place: Path, arm: str, code: int) -> None:
    options = {"arm": arm, "non-inferior": "2pp", "junit": "gate.xml", "package": "./here it is"}
    done = of_action(place, run="runs/tickets", **options)
    assert done.returncode == code, done.stderr
    assert (place / "out.txt").read_text().splitlines()[-1] == f"exit-code={code}"
    assert (place / "installed.txt").read_text().splitlines()[-1] == "-m pip install ./here it is"
    assert "<!-- quantrial:gated -->" in (place / "step.md").read_text(encoding="utf-8")


def test_the_action_needs_no_token_and_no_input_stands_in_a_script() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    action = yaml.safe_load(text)
    assert action["runs"]["using"] == "composite"
    assert "secrets." not in text
    assert "github.token" not in text
    for step in action["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def steps_of(name: str) -> list[tuple[str, dict[str, str]]]:
    told: Any = yaml.safe_load((PIPELINES / name).read_text(encoding="utf-8"))
    if name == "gitlab.yml":
        return [(one, told["gate"]["variables"]) for one in told["gate"]["script"]]
    steps = told["jobs"]["gate"]["steps"]
    return [(one["run"], one.get("env", {})) for one in steps if "run" in one]


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
@pytest.mark.parametrize(("arm", "code"), [("right", 0), ("worse", 1)])
def test_the_steps_of_a_pipeline_end_in_the_code(
    place: Path, name: str, arm: str, code: int
) -> None:
    write_gate(place, arm)
    (place / "gate.xml").unlink(missing_ok=True)
    codes = [bash(place, script, **env).returncode for script, env in steps_of(name)]
    assert codes == [0, code]
    assert (place / "gate.xml").exists()


@pytest.mark.parametrize(("arm", "code"), CODES.items())
def test_the_plain_script_ends_in_the_code(place: Path, arm: str, code: int) -> None:
    words = {0: "ship right", 1: "loses too much", 3: "too few items", 4: "shows nothing"}
    done = bash(place, f"bash '{PIPELINES / 'gate.sh'}' runs/tickets {arm}")
    assert done.returncode == code
    assert words[code] in done.stdout


def test_the_example_of_requirements_is_one() -> None:
    gate = parse_gate(yaml.safe_load((PIPELINES / "gate.yaml").read_text(encoding="utf-8")))
    assert gate.arms == ("q4_k_m",)
    assert gate.require[0].non_inferior == 0.02
    assert gate.require[2].memory_at_most == 8 * 10**9


def test_an_assertion_fails_with_each_line_that_is_not_met(place: Path) -> None:
    run = place / "runs" / "tickets"
    assert assert_gate(run, {"arms": ["right"], "require": [{"non_inferior": "2pp"}]}).ok
    with pytest.raises(AssertionError) as caught:
        assert_gate(run, {"arms": ["right", "worse"], "require": [{"non_inferior": "2pp"}]})
    assert "violated: worse lost" in str(caught.value)
    assert "right" not in str(caught.value)


def real_logs(out: Path) -> None:
    """Copy real logs of 36 items: too few for a loss of 2 pp."""
    for arm, name in (("f16", "f16"), ("q4", "q8_0")):
        logs = ROOT / "tests" / "data" / "formats" / "lm-eval" / arm
        # one task each: with all of them an import asks which filter is meant
        (out / name).mkdir(parents=True)
        for file in (logs / "__models").iterdir():
            if file.name.startswith(("results_", "samples_toy_mc_")):
                shutil.copy(file, out / name)


def long_logs(noise: float) -> Callable[[Path], None]:
    """Make logs of 2,000 items in lm-eval's form, in which an arm differs by so much noise."""

    def write(out: Path) -> None:
        out.mkdir()
        for name, own in (("f16", 0.0), ("q8_0", noise)):
            import_lm_eval.write_log(out / name, 2_000, 1_100, 1, own)

    return write


@pytest.mark.parametrize(
    ("logs", "decided", "code", "judged"),
    [
        (long_logs(0.005), "Ship q8_0", 0, "met"),
        (long_logs(2.0), "Stay with f16 instead of q8_0", 1, "violated"),
        (real_logs, "Stay with f16 instead of q8_0", 3, "an arm that changes no answer needs 148."),
    ],
    ids=["fine", "worse", "few"],
)
def test_from_two_folders_of_lm_eval_to_a_decision_and_a_verdict_as_the_readme_has_it(
    place: Path, tmp_path: Path, logs: Callable[[Path], None], decided: str, code: int, judged: str
) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    (quantrial (?:import lm-eval|gate runs/x) .*)$", page, re.MULTILINE)
    assert [line.split()[1] for line in lines] == ["import", "gate"]
    logs(tmp_path / "out")
    (tmp_path / "bin").symlink_to(place / "bin")
    imported = bash(tmp_path, lines[0])
    assert imported.returncode == 0, imported.stderr
    assert decided in imported.stdout
    assert (tmp_path / "runs" / "x" / "report.html").is_file()
    gate = bash(tmp_path, lines[1])
    assert gate.returncode == code, gate.stderr
    assert judged in " ".join(gate.stdout.split())
