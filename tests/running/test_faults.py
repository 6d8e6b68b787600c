"""Disks, folders and processes that fail in the middle of a run: each made to happen."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from quantrial.errors import RunFolderError
from quantrial.running import Progress
from running.forks import Forks, wait_until
from running.test_killed import same_numbers, small_embedded_study
from servers.faulty import Answer, Call, FaultyServer, Say, openai_answer
from studies import QUESTIONS, SENTENCES, answered, arm, read_lines, write_study

CALLS = 2 * (QUESTIONS + SENTENCES)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as one:
        yield one


def slow_study(folder: Path, delay: float = 0.01) -> Path:
    arms = {name: arm(name, 1, ["A", "B"], delay=delay) for name in ("f16", "q8_0")}
    return write_study(folder, arms=arms)


def size(run: Path) -> int:
    return sum(p.stat().st_size for p in (run / "responses").glob("*.jsonl"))


# ------------------------------------------------------------------ the folder


def test_no_space_left_is_said_and_loses_nothing(tmp_path: Path) -> None:
    """From the twentieth call on, the kernel answers every write with ENOSPC, as /dev/full does."""
    study, run = slow_study(tmp_path, 0.0), tmp_path / "run"

    def fill(progress: Progress) -> None:
        if sum(progress.done.values()) == 20:
            full = os.open("/dev/full", os.O_WRONLY)
            for fd in Path("/proc/self/fd").iterdir():
                if fd.exists() and str(run / "responses") in os.readlink(fd):
                    os.dup2(full, int(fd.name))
            os.close(full)

    with pytest.raises(RunFolderError, match=r"\.jsonl: cannot be written \(No space left"):
        quantrial.run(study, out=run, listener=fill)
    before = answered(run)
    assert len(before) == 20
    assert quantrial.run(study, out=run).asked == CALLS - 20
    assert len(answered(run)) == CALLS


def test_a_folder_that_is_removed_ends_the_run_and_does_not_come_back(
    forks: Forks, tmp_path: Path
) -> None:
    study, run = slow_study(tmp_path), tmp_path / "run"
    process = forks.run(study, run)
    wait_until(lambda: size(run) > 0)
    shutil.rmtree(run)
    assert process.wait() == 2
    assert "was removed while the run went on" in process.said()
    assert not run.exists()
    assert forks.run(study, run).wait() == 0, "the same command begins anew"
    assert len(answered(run)) == CALLS


def test_a_folder_that_is_moved_takes_its_records_along(forks: Forks, tmp_path: Path) -> None:
    study, run, elsewhere = slow_study(tmp_path), tmp_path / "run", tmp_path / "elsewhere"
    process = forks.run(study, run)
    wait_until(lambda: size(run) > 0)
    run.rename(elsewhere)
    assert process.wait() == 2, "the manifest cannot be written where it was"
    assert len(answered(elsewhere)) == CALLS
    assert not run.exists()


def test_a_read_only_folder_is_said_before_anything_is_asked(forks: Forks) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        study, run = slow_study(folder, 0.0), folder / "run"
        quantrial.run(study, out=run)
        (run / "responses" / "sums.q8_0.jsonl").unlink()
        for path in (run / "responses", run):
            path.chmod(0o555)
        # rights do not hold for the superuser, who becomes nobody here
        process = forks.run(study, run, nobody=True)
        assert process.wait() == 2, process.said()
        assert "cannot be written (Permission denied)" in process.said()
        for path in (run, run / "responses"):
            path.chmod(0o755)
        assert quantrial.run(study, out=run).asked == QUESTIONS


def test_two_runners_on_one_folder_answer_nothing_twice(forks: Forks, tmp_path: Path) -> None:
    study, run = slow_study(tmp_path), tmp_path / "run"
    both = [forks.run(study, run) for _ in range(2)]
    codes = sorted(process.wait() for process in both)
    assert codes == [0, 2]
    assert "another process is running in this folder" in "".join(p.said() for p in both)
    lines = [r for p in (run / "responses").glob("*.jsonl") for r in read_lines(p)]
    assert len(lines) == CALLS


def test_one_open_file_a_stream(forks: Forks, tmp_path: Path) -> None:
    study, run = slow_study(tmp_path), tmp_path / "run"
    process = forks.run(study, run)
    wait_until(lambda: size(run) > 0)
    opened = Counter(
        os.readlink(fd)
        for fd in Path(f"/proc/{process.pid}/fd").iterdir()
        if "responses" in os.readlink(fd)
    )
    assert process.wait() == 0
    names = {Path(path).name for path in opened}
    assert names == {f"{t}.{a}.jsonl" for t in ("sums", "names") for a in ("f16", "q8_0")}
    assert set(opened.values()) == {1}


def test_a_process_that_is_stopped_for_a_while_goes_on(forks: Forks, tmp_path: Path) -> None:
    """A laptop that sleeps stops every process; the calls after it are as those before it."""
    study, run = slow_study(tmp_path), tmp_path / "run"
    process = forks.run(study, run)
    wait_until(lambda: size(run) > 0)
    process.signal(signal.SIGSTOP)
    time.sleep(0.1)
    held = size(run)
    time.sleep(0.1)
    assert size(run) == held
    process.signal(signal.SIGCONT)
    assert process.wait() == 0
    assert len(answered(run)) == CALLS


@pytest.mark.parametrize("left", [None, "reset"], ids=["answered", "hung up"])
def test_a_process_that_is_asleep_in_mid_call_for_longer_than_its_timeout(
    forks: Forks, tmp_path: Path, left: str | None
) -> None:
    """While it slept the server answered, or hung up: the call is answered, or asked again."""

    quick = threading.Event()  # once it woke up, nothing depends on when a call is answered

    def after_a_while(call: Call, say: Say) -> Answer:
        quick.wait(0.05)
        return openai_answer(call, say)

    with FaultyServer("m", text="A", answer=after_a_while) as server:
        options = {"base_url": server.url}
        arms = {
            n: {"engine": "openai", "model": "m", "options": {**options, "extra_body": {"arm": n}}}
            for n in ("f16", "q8_0")
        }
        study = write_study(tmp_path, arms=arms, design={"repeat_reference": 0})
        text = study.read_text().replace(
            "workload: reasoning", "workload: reasoning\n    timeout: 0.5"
        )
        study.write_text(text)
        run = tmp_path / "run"
        process = forks.run(study, run)
        wait_until(lambda: size(run) > 0)
        asked = len(server.asked)
        server.faults = [left]
        wait_until(lambda: len(server.asked) > asked)
        process.signal(signal.SIGSTOP)
        time.sleep(0.8)
        process.signal(signal.SIGCONT)
        quick.set()
        assert process.wait() == 0, process.said()
    assert len(answered(run)) == CALLS
    lines = [r for p in (run / "responses").glob("*.jsonl") for r in read_lines(p)]
    ok = Counter((r["task"], r["item"], r["arm"]) for r in lines if r["status"] == "ok")
    assert set(ok.values()) == {1}
    assert len(lines) - CALLS <= 2
    assert all(r["output"] == "" for r in lines if r["status"] != "ok")


# ------------------------------------------------------------------ the embedded worker


def few(folder: Path, **changes: Any) -> Path:
    """Write the embedded study over three items, whose answers take some tenths of a second."""
    study = small_embedded_study(folder, **changes)
    data = yaml.safe_load(study.read_text())
    data["tasks"]["quiz"] |= {"sample": 3, "answer_mode": "letter", "max_tokens": 300, "timeout": 2}
    study.write_text(yaml.safe_dump(data, sort_keys=False))
    return study


@pytest.fixture(scope="module")
def peace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run of the embedded study."""
    folder = tmp_path_factory.mktemp("peace")
    quantrial.run(few(folder), out=folder / "run")
    return folder / "run"


@pytest.mark.model
@pytest.mark.parametrize(
    ("blow", "status", "says"),
    [
        (signal.SIGKILL, "engine_error", "SIGKILL"),
        pytest.param(  # what native code does that gives up
            *(signal.SIGABRT, "engine_error", "SIGABRT"), marks=pytest.mark.soak
        ),
        (signal.SIGSTOP, "timeout", "no answer within"),
    ],
    ids=["killed", "aborts", "stops answering"],
)
def test_a_worker_that_fails_in_mid_call_is_restarted_and_asked_again(
    forks: Forks, tmp_path: Path, peace: Path, blow: signal.Signals, status: str, says: str
) -> None:
    study = few(tmp_path)
    run = tmp_path / "run"
    process = forks.run(study, run)
    wait_until(lambda: size(run) > 0, seconds=90)
    worker = workers_of(process.pid)[0]
    wait_until(lambda: busy(worker))
    os.kill(worker, blow)
    assert process.wait() == 0, process.said()
    lines = [r for p in (run / "responses").glob("*.jsonl") for r in read_lines(p)]
    faults = [r for r in lines if r["status"] != "ok"]
    assert [(r["status"], says in r["error"]) for r in faults] == [(status, True)]
    # the call was repeated by a worker that was loaded for it
    again = [r for r in lines if r["attempt"] == 2]
    assert [(r["item"], r["arm"], r["status"]) for r in again] == [
        (faults[0]["item"], faults[0]["arm"], "ok")
    ]
    assert again[0]["timing"]["load"] > 0
    summary = quantrial.analyze(run)["tasks"]["quiz"]
    retried = faults[0]["arm"] if faults[0]["replicate"] == 0 else None
    assert summary["flow"]["retries"] == {a: int(a == retried) for a in ("f16", "q8_0")}
    before = quantrial.analyze(peace)["tasks"]["quiz"]
    for part in ("endpoints", "flips", "failure_modes", "repeats"):
        assert summary[part] == before[part]
    session = json.loads((run / "manifest.json").read_text())["sessions"][0]
    assert (session["faults"], sum(session["loads"].values())) == (1, 3)


@pytest.mark.model
def test_one_worker_at_a_time_where_arms_do_not_fit(
    forks: Forks, tmp_path: Path, peace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is really given back: never do two workers live."""
    study = few(tmp_path, design={"blocks": 2, "repeat_reference": 2})
    run = tmp_path / "run"
    monkeypatch.setattr("quantrial.running.ordering.available_memory", lambda: 20_000_000)
    seen: set[int] = set()
    others = set(workers_of(os.getpid()))  # engines that earlier tests keep

    def watch(_: Any) -> None:
        seen.add(len(set(workers_of(os.getpid())) - others))

    quantrial.run(study, out=run, listener=watch)
    assert seen == {1}
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["design"]["together"] is False
    same_numbers(run, peace)


def workers_of(pid: int) -> list[int]:
    """List the living worker processes of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and b"engines.worker" in command and state != "Z":
            found.append(int(entry.name))
    return sorted(found)


def busy(pid: int) -> bool:
    """Whether any thread of a process is running just now."""
    states = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with open(task / "stat", encoding="utf-8") as stat:
            states.append(stat.read().rpartition(")")[2].split()[0])
    return "R" in states
