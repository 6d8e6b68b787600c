"""A reader that goes away is no failure: the command ends as if it had been read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from repetitions import repetitions
from studies import allowed, answered, write_study


def piped(*arguments: str | Path, reader: str = "head -1", errors: bool = False) -> tuple[int, str]:
    """Run a command whose output goes to a reader that leaves; return its exit code and errors."""
    words = " ".join(f"'{one}'" for one in (sys.executable, "-m", "quantrial", *allowed(arguments)))
    into = "2>&1" if errors else ""
    script = f"set -o pipefail; {words} {into} | {reader} > /dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100", "PYTHONUNBUFFERED": "1"},
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "reader"),
    [
        (("--help",), "true"),
        (("plan", "STUDY"), "head -1"),
        (("plan", "STUDY", "--json"), "true"),
        *repetitions(
            (("--help",), "head -1"),
            (("plan", "STUDY"), "true"),
            (("plan", "STUDY", "--json"), "head -1"),
        ),
    ],
)
def test_a_reader_that_leaves_is_no_failure(
    tmp_path: Path, arguments: tuple[str, ...], reader: str
) -> None:
    study = write_study(tmp_path)
    said = [study if one == "STUDY" else one for one in arguments]
    assert piped(*said, reader=reader) == (0, "")


@pytest.mark.parametrize("errors", [False, True])
def test_a_run_whose_output_nobody_reads_runs_to_its_end(tmp_path: Path, *, errors: bool) -> None:
    study, run = write_study(tmp_path), tmp_path / "run"
    code, said = piped("run", study, "-o", run, "--only-answers", reader="true", errors=errors)
    assert code == 0
    assert all(line.startswith("warning: ") for line in said.splitlines())  # of a small study
    assert len(answered(run)) == 108


def test_an_exit_code_is_that_of_the_command(tmp_path: Path) -> None:
    code, _ = piped("plan", tmp_path / "nothing.yaml", reader="true", errors=True)
    assert code == 2


@pytest.mark.parametrize(
    ("closed", "until"),
    [
        (">&-", "--only-answers"),
        ("2>&-", "--only-answers"),
        (">&- 2>&-", ""),  # to the decision
        ("<&- >&-", "--only-answers"),
    ],
)
def test_a_stream_that_was_closed_before_is_no_failure(
    tmp_path: Path, closed: str, until: str
) -> None:
    study, run = write_study(tmp_path), tmp_path / "run"
    flag = "--allow-code"  # the study is a scripted one
    others = (f"plan '{study}' {flag}", "--help") if until else ()
    for words in (f"run '{study}' -o '{run}' {flag} {until}", *others[: 2 if "2" in closed else 1]):
        script = f"'{sys.executable}' -m quantrial {words} {closed}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stderr)
        assert "Error" not in done.stderr
    assert len(answered(run)) == 108


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_to_a_full_disk_is_said_and_is_no_defect(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "quantrial", "plan", str(study), "--allow-code"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "defect" not in done.stderr
