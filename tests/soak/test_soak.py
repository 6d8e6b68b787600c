"""Long runs, behind `make soak`: many calls, many kills."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import quantrial
from running.forks import Forks
from running.test_killed import Killed, embedded_study, kill_until_done, same_numbers
from servers.faulty import Answer, Call, FaultyServer, Say, openai_answer
from studies import arm, write_study

pytestmark = pytest.mark.soak

CALLS = 100_000


@pytest.fixture
def forks() -> Iterator[Forks]:
    with Forks() as one:
        yield one


def large_study(folder: Path) -> Path:
    """Write a study of 50,000 questions and two scripted arms."""
    (folder / "questions.jsonl").write_text(
        "".join(
            json.dumps({"question": f"Is {i} even?", "options": ["yes", "no"], "answer": i % 2})
            + "\n"
            for i in range(CALLS // 2)
        )
    )
    study = {
        "study": "soak",
        "reference": "f16",
        "arms": {name: arm(name, 1, ["A", "B"]) for name in ("f16", "q8_0")},
        "tasks": {
            "parity": {
                "kind": "choice",
                "workload": "reasoning",
                "source": {"type": "jsonl", "path": "questions.jsonl"},
            }
        },
        "design": {"repeat_reference": 0},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def memory(pid: int) -> int:
    """Resident bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU that a process has had."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def open_streams(pid: int) -> int:
    names = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(os.readlink(fd))
        except OSError:
            continue
    return sum("responses" in name for name in names)


def test_a_hundred_thousand_calls(
    forks: Forks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, run = large_study(tmp_path), tmp_path / "run"
    process = forks.run(study, run)
    files = [run / "responses" / f"parity.{name}.jsonl" for name in ("f16", "q8_0")]
    samples, began, idle, cpu = [], 0.0, 0.0, 0.0
    while process.alive():
        size = sum(path.stat().st_size for path in files if path.exists())
        if size:
            try:
                cpu = cpu_seconds(process.pid)
                began, idle = (began, idle) if began else (time.monotonic(), cpu)
                samples.append((size, memory(process.pid), open_streams(process.pid)))
            except (OSError, IndexError, ValueError):
                break
        time.sleep(0.1)
    took, cpu = time.monotonic() - began, cpu - idle
    assert process.wait() == 0, process.said()
    lines = sum(path.read_bytes().count(b"\n") for path in files)
    assert lines == CALLS
    early = [held for size, held, _ in samples if size < samples[-1][0] / 4]
    late = [held for size, held, _ in samples if size > samples[-1][0] * 3 / 4]
    growth = max(late) - max(early)
    with capsys.disabled():
        sys.stdout.write(
            f"{CALLS / took:,.0f} calls a second, {CALLS / cpu:,.0f} a second of CPU, "
            f"{growth / 2**20:.1f} MiB more\n"
        )
    # none any more once the last answer is there
    assert {streams for _, _, streams in samples} <= {0, 2}
    assert samples[len(samples) // 2][2] == 2
    assert growth < 4 * 2**20
    # of CPU: neighbours of a busy machine take what they take
    assert CALLS / cpu >= 2000


def tell(killed: Killed, peace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compare every run with the undisturbed one, and say what was done."""
    for run in killed.runs:
        same_numbers(run, peace)
    assert min(killed.starting, killed.answering) >= 20
    with capsys.disabled():
        sys.stdout.write(
            f"{killed.starting + killed.answering} kills ({killed.answering} of them after an "
            f"answer of the session), {killed.sessions} sessions, {len(killed.runs)} runs whose "
            "numbers are the undisturbed one's\n"
        )


def test_a_hundred_kills_over_http(
    forks: Forks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def after_a_while(call: Call, say: Say) -> Answer:
        time.sleep(0.03)
        return openai_answer(call, say)

    with FaultyServer("m", answer=after_a_while) as server:
        options = {"base_url": server.url}
        arms = {
            n: {"engine": "openai", "model": "m", "options": {**options, "extra_body": {"arm": n}}}
            for n in ("f16", "q8_0")
        }
        study = write_study(tmp_path, arms=arms, design={"repeat_reference": 12})
        quantrial.run(study, out=tmp_path / "peace")
        killed = kill_until_done(forks, study, tmp_path / "run", kills=100, longest=0.25, seed=1)
    tell(killed, tmp_path / "peace", capsys)


@pytest.mark.model
def test_a_hundred_kills_with_the_embedded_engine(
    forks: Forks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = embedded_study(tmp_path, design={"repeat_reference": 30})
    text = study.read_text().replace("sample: 5", "sample: 150")
    study.write_text(text)
    quantrial.run(study, out=tmp_path / "peace")
    killed = kill_until_done(forks, study, tmp_path / "run", kills=100, longest=2.0, seed=2)
    tell(killed, tmp_path / "peace", capsys)
