"""Code of a study runs in a process that ends, holds no key and writes no file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quantrial.errors import PlatformError, ScoringError
from quantrial.scorers import guarded
from quantrial.scorers.guarded import Guarded, Limits

SOURCE = """
import os, subprocess, sys, time

class Mute(Exception):
    def __str__(self):
        raise ValueError

def do(item, answer):
    return globals()[item](answer)

def pid(_): return os.getpid()
def length(answer): return len(answer)
def sleep(_): time.sleep(600)
def spin(_):
    while True:
        try:
            while True: pass
        except Exception: pass
def memory(_): return len(bytes(2**40))
def leave(_): os._exit(7)
def exits(_): sys.exit("enough")
def mute(_): raise Mute
def secret(_): return float("SECRET_OF_A_TEST" in os.environ)
def write(path): os.write(os.open(path, os.O_WRONLY | os.O_CREAT), b"x")
def prints(_):
    print('{"value": 5}', flush=True)
    sys.stdin.read()
    return 1.5
def divide(_):
    return 1 / 0
def text(_): return "yes"
def huge(_): return 10 ** 100_000
def nan(_): return float("nan")
def odd(_): return {1: 2}
def columns(_): return {"tp": 1, "fp": True}
def forks(_): os.fork(); time.sleep(0.1); return 1
def program(path): return subprocess.run(["sh", "-c", 'echo x >> "$0"', path]).returncode
def empty(path): open(path, "w")
def remove(path): os.remove(path)
def reads(path): return len(open(path).read())
"""
SETUP = {"job": "load", "source": SOURCE, "path": "mine.py", "function": "do"}


@pytest.fixture(scope="module")
def process() -> Iterator[Guarded]:
    made = Guarded(Limits(seconds=20, cpu=0.2, memory=2**30), SETUP)
    yield made
    made.close()


def ask(process: Guarded, function: str, answer: str = "") -> Any:
    return process.call({"job": "score", "item": function, "answer": answer}, what="it")


def test_it_answers_and_stays(process: Guarded) -> None:
    assert ask(process, "length", "\ud800é") == 2
    assert ask(process, "pid") == ask(process, "pid") != os.getpid()
    assert ask(process, "columns") == {"tp": 1, "fp": 1}
    assert ask(process, "length", "x" * 2_000_000) == 2_000_000


def test_what_is_printed_or_read_is_no_part_of_the_talk(process: Guarded) -> None:
    assert ask(process, "prints") == 1.5


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("spin", "it took more than 0.2 s of computing"),
        ("memory", r"it needed more memory than it may have \(1.1 GB\)"),
        ("leave", r"it ended the process that it ran in \(exit code 7\)"),
        ("exits", "it: SystemExit: enough"),
        ("mute", "it: Mute"),
        ("divide", r"it: ZeroDivisionError: division by zero \(line 30\)"),
        ("text", "returned str; needed is a bool, a number or columns"),
        ("huge", "OverflowError"),
        ("odd", "a column is called 1; its name must be a text"),
    ],
)
def test_what_fails_is_said_and_the_next_call_is_answered(
    process: Guarded, function: str, said: str
) -> None:
    with pytest.raises(ScoringError, match=said):
        ask(process, function)
    assert ask(process, "length", "abc") == 3


def test_one_that_waits_is_ended_by_the_clock() -> None:
    process = Guarded(Limits(seconds=0.3), SETUP)
    before = ask(process, "pid")
    with pytest.raises(ScoringError, match=r"it took longer than 0\.3 s"):
        ask(process, "sleep")
    with pytest.raises(ProcessLookupError):
        os.kill(int(before), 0)
    process.close()


def test_source_that_fails_is_said() -> None:
    process = Guarded(Limits(seconds=20), {**SETUP, "source": "x = 1\nimport nothing_such"})
    for _ in range(2):
        with pytest.raises(ScoringError, match=r"named 'nothing_such' \(line 2\)"):
            ask(process, "length")
    process.close()


def test_no_key_and_no_file_is_given(
    process: Guarded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    process.close()  # it is started again with what the environment is now
    monkeypatch.setenv("SECRET_OF_A_TEST", "sk-12345678")
    assert ask(process, "secret") == 0
    kept = tmp_path / "file"
    kept.write_text("kept")
    with pytest.raises(ScoringError, match=r"a scorer changes no files: .*file"):
        ask(process, "write", str(kept))
    with pytest.raises(ScoringError, match="a scorer changes no files"):
        ask(process, "empty", str(kept))
    with pytest.raises(ScoringError, match="a scorer changes no files"):
        ask(process, "remove", str(kept))
    assert ask(process, "program", str(kept)) != 0  # File too large
    assert ask(process, "reads", str(kept)) == 4
    assert kept.read_text() == "kept"


def test_a_reply_is_never_taken_for_that_of_another_call(process: Guarded) -> None:
    assert ask(process, "forks") == 1
    # the second reply comes at any moment: an error, and never the score of another answer
    for _ in range(50):
        try:
            assert ask(process, "length", "abc") == 3
        except ScoringError as exc:
            if "replied twice to one call" not in str(exc):
                raise


def test_memory_is_not_limited_by_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "can_limit_memory", lambda: False)
    with pytest.raises(PlatformError, match="only Linux"):
        ask(Guarded(Limits(seconds=1, memory=2**30), SETUP), "length")


def test_it_ends_with_its_parent() -> None:
    program = (
        "import os, sys, threading, time; from quantrial.scorers.guarded import Guarded, Limits\n"
        "process = Guarded(Limits(60), {'job': 'load', 'source': sys.argv[1], 'path': 'x.py',"
        " 'function': 'do'})\n"
        "ask = lambda name: process.call({'job': 'score', 'item': name, 'answer': ''}, what='it')\n"
        "print(int(ask('pid')), flush=True)\n"
        "threading.Thread(target=ask, args=('sleep',), daemon=True).start()\n"
        "time.sleep(0.2); os._exit(0)\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", program, SOURCE), stdout=subprocess.PIPE, check=True
    )
    child = Path(f"/proc/{int(done.stdout)}/stat")
    for _ in range(100):
        # one that nobody waits for any more may stay as a zombie
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] in "ZX":
            return
        time.sleep(0.1)
    pytest.fail("it outlived its parent")
