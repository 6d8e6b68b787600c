"""The speed phase from the command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from command import command
from studies import arm, read_lines, write_study

SPEED = {"prompt_tokens": [5], "output_tokens": [2], "blocks": 2, "precision": 0.99, "pause": 0}


def quantrial_(*arguments: object) -> subprocess.CompletedProcess[str]:
    return command(*arguments, drawn=False)


def test_run_measures_after_the_answers_and_no_speed_puts_it_off(tmp_path: Path) -> None:
    slow = {name: arm(name, 1, ["A", "B"], delay=0.005) for name in ("f16", "q4_0")}
    study = write_study(tmp_path, arms=slow, speed=SPEED | {"time_limit": 100})
    run = tmp_path / "run"
    assert "Speed phase: up to 2 min more" in quantrial_("plan", study).stdout
    put_off = quantrial_("run", study, "-o", run, "--no-speed")
    assert put_off.returncode == 0, put_off.stderr
    assert "Speed:" not in put_off.stdout
    assert not (run / "speed.jsonl").exists()
    done = quantrial_("run", study, "-o", run)
    assert done.returncode == 0, done.stderr
    assert "0 of them now" in done.stdout
    assert "every ratio is known within ±99 %" in done.stdout
    assert {r["arm"] for r in read_lines(run / "speed.jsonl")} == {"f16", "q4_0"}
    again = json.loads(quantrial_("run", run, "--json").stdout)
    assert (again["speed"]["asked"], again["speed"]["status"]) == (0, "narrow")


def test_a_wrong_key_says_which_and_what_would_be_right(tmp_path: Path) -> None:
    study = write_study(tmp_path, speed={"prompt_token": [5]})
    said = quantrial_("plan", study)
    assert said.returncode == 2
    assert "speed.prompt_token: unknown key; did you mean 'prompt_tokens'?" in said.stderr
    study = write_study(tmp_path, speed={"output_tokens": [5, 5]})
    assert "a length occurs twice" in quantrial_("plan", study).stderr
