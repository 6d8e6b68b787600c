"""kill -9 at random moments: no acknowledged answer is lost, none is doubled, the numbers stay."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from quantrial.commands.studies import preset_text
from running.forks import Forks, wait_until
from servers.faulty import Answer, Call, FaultyServer, Say, openai_answer
from small_model import write_small
from studies import arm, read_lines, write_study


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as one:
        yield one


def acknowledged(run: Path) -> dict[tuple[str, str, str, int], str]:
    """Return every answer whose line is whole."""
    found = {}
    for path in (run / "responses").glob("*.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            record = json.loads(line)
            if record["status"] == "ok":
                key = (record["task"], record["item"], record["arm"], record["replicate"])
                found[key] = record["output"]
    return found


@dataclass
class Killed:
    """What came of a run that was killed again and again."""

    runs: list[Path]  # every run that came to its end
    starting: int = 0  # kills before the first answer of a session
    answering: int = 0  # kills after it

    @property
    def sessions(self) -> int:
        """How many processes there were: those killed, and one for the end of each run."""
        return self.starting + self.answering + len(self.runs)


def kill_until_done(
    forks: Forks, study: Path, run: Path, *, kills: int, longest: float, seed: int
) -> Killed:
    """Run, kill at a random moment, check, and again; at last run in peace.

    Every other session is killed a random while after its start, and the ones between a random
    while after their first answer: however slow the machine is just now, kills fall on all that a
    session does. A run that comes to its end before all kills are spent is put aside, and the next
    one killed.
    """
    chance = random.Random(seed)
    before: dict[tuple[str, str, str, int], str] = {}
    killed = Killed([run])
    while killed.starting + killed.answering < kills:
        held = written(run)
        process = forks.run(study, run)
        if (killed.starting + killed.answering) % 2:
            wait_until(lambda p=process, h=held: written(run) > h or not p.alive(), seconds=120)
        time.sleep(chance.uniform(0, longest))
        if not process.alive():
            assert process.wait() == 0, process.said()
            killed.runs.append(run.rename(run.with_name(f"{run.name}-{len(killed.runs)}")))
            before = {}
            continue
        process.kill()
        now = acknowledged(run)
        assert before.items() <= now.items(), "an acknowledged answer was lost, or replaced"
        if len(now) > len(before):
            killed.answering += 1
        else:
            killed.starting += 1
        before = now
    assert forks.run(study, run).wait() == 0
    return killed


def written(run: Path) -> int:
    """Bytes of answers."""
    return sum(path.stat().st_size for path in (run / "responses").glob("*.jsonl"))


def same_numbers(run: Path, peace: Path) -> None:
    """Assert that nothing was doubled and that every derived number is the undisturbed run's."""
    answers = acknowledged(run)
    lines = [r for p in (run / "responses").glob("*.jsonl") for r in read_lines(p)]
    counts = Counter((r["task"], r["item"], r["arm"], r["replicate"]) for r in lines)
    assert set(counts.values()) == {1}, "a call was answered twice"
    assert answers == acknowledged(peace)
    numbers = [quantrial.analyze(folder)["tasks"] for folder in (run, peace)]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("kills", [12, pytest.param(100, marks=pytest.mark.soak)])
def test_killed_at_random_moments(forks: Forks, tmp_path: Path, kills: int) -> None:
    """Moments from the first line of the session on: settling, recalling, warming up, answering."""
    slow = {name: arm(name, 1, ["A", "B", "C"], delay=0.008) for name in ("f16", "q8_0", "q4_0")}
    study = write_study(tmp_path, arms=slow, design={"repeat_reference": 6})
    quantrial.run(study, out=tmp_path / "peace")
    killed = kill_until_done(forks, study, tmp_path / "run", kills=kills, longest=0.09, seed=5)
    for run in killed.runs:
        same_numbers(run, tmp_path / "peace")


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_with_slots_and_one_arm_in_memory_at_a_time(
    forks: Forks, tmp_path: Path, kills: int
) -> None:
    arms = {n: arm(n, 10**15, ["A", "B"], delay=0.008, load=0.005) for n in ("f16", "q8_0")}
    study = write_study(tmp_path, arms=arms, design={"repeat_reference": 6, "slots": 3})
    quantrial.run(study, out=tmp_path / "peace")
    killed = kill_until_done(forks, study, tmp_path / "run", kills=kills, longest=0.12, seed=6)
    for run in killed.runs:
        same_numbers(run, tmp_path / "peace")


def test_killed_over_http(forks: Forks, tmp_path: Path) -> None:
    def after_a_while(call: Call, say: Say) -> Answer:
        time.sleep(0.01)
        return openai_answer(call, say)

    with FaultyServer("m", answer=after_a_while) as server:
        options = {"base_url": server.url}
        arms = {
            n: {"engine": "openai", "model": "m", "options": {**options, "extra_body": {"arm": n}}}
            for n in ("f16", "q8_0")
        }
        study = write_study(tmp_path, arms=arms, design={"repeat_reference": 4})
        quantrial.run(study, out=tmp_path / "peace")
        killed = kill_until_done(forks, study, tmp_path / "run", kills=4, longest=0.15, seed=7)
    for run in killed.runs:
        same_numbers(run, tmp_path / "peace")


@pytest.mark.model
def test_killed_with_the_embedded_engine(forks: Forks, tmp_path: Path) -> None:
    """The worker goes with its parent, and the next one answers the same."""
    study = small_embedded_study(tmp_path)
    quantrial.run(study, out=tmp_path / "peace")
    killed = kill_until_done(forks, study, tmp_path / "run", kills=2, longest=0.5, seed=8)
    for run in killed.runs:
        same_numbers(run, tmp_path / "peace")


def small_embedded_study(folder: Path, **changes: Any) -> Path:
    """Write the same over a small model, whose answers are nonsense and come at once."""
    study = embedded_study(folder, **changes)
    data = yaml.safe_load(study.read_text())
    model = str(write_small(folder / "small.gguf"))
    for one in data["arms"].values():
        one["model"] = model
        one["options"]["threads"] = 1
    study.write_text(yaml.safe_dump(data, sort_keys=False))
    return study


def embedded_study(folder: Path, **changes: Any) -> Path:
    """Write the demo on a few items and two arms."""
    data = yaml.safe_load(preset_text("embedded"))
    data["arms"] = {name: data["arms"][name] for name in ("f16", "q8_0")}
    data["tasks"] = {"quiz": data["tasks"]["quiz"] | {"sample": 5}}
    data["design"] = {"repeat_reference": 2}
    data["analysis"] = {"resamples": 200}
    del data["speed"]
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(data | changes, sort_keys=False))
    return path
