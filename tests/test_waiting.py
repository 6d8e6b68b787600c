"""That `plan` says what it is doing, and for how long it has."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import pytest

import quantrial
from quantrial.cli import main, progress
from quantrial.cli.progress import _Waiting, telling
from studies import arm, write_study


class Hand:
    """A clock that is set by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def said_at(capsys: pytest.CaptureFixture[str], *seconds: float) -> list[str]:
    clock = Hand()
    shown = _Waiting(interactive=False, clock=clock)
    shown.tell("timing f16: loading on the server")
    for second in seconds:
        clock.now = 100.0 + second
        shown.tick()
    shown.close()
    clock.now += 1000
    shown.tick()
    return capsys.readouterr().err.splitlines()


def test_by_hand_without_a_terminal_what_is_slow_is_printed_seldom(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said_at(capsys, 0, 1, 2.9) == []
    lines = said_at(capsys, *range(0, 240))
    seconds = [3, 6, 12, 24, 48, *range(78, 229, 30)]
    assert lines == [f"timing f16: loading on the server ({one} s)" for one in seconds]


def test_by_hand_every_step_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Hand()
    shown = _Waiting(interactive=False, clock=clock)
    for step in ("one", "two\x1b[2J"):
        shown.tell(step)
        clock.now += 4
        shown.tick()
    assert capsys.readouterr().err.splitlines() == ["one (4 s)", "two\\u001b[2J (4 s)"]


def test_on_a_terminal_one_line_is_kept_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    clock = Hand()
    shown = _Waiting(interactive=True, clock=clock)
    shown.tell("timing f16: loading on the server")
    clock.now += 53
    shown.tick()
    time.sleep(0.3)  # as often as it is drawn
    shown.close()
    assert "timing f16: loading on the server (53 s)" in terminal.getvalue()


def test_plan_tells_every_step_of_every_arm(tmp_path: Path) -> None:
    study = write_study(
        tmp_path,
        arms={"f16": arm("f16", 2, ["A"]), "q8_0": arm("q8", 1, ["A"])},
        design={"repeat_reference": 0, "slots": 2},
    )
    steps: list[str] = []
    quantrial.plan(study, probe=True, tell=steps.append)
    assert steps[0] == "reading the items"
    for name in ("f16", "q8_0"):
        assert f"looking at what {name} is" in steps
        own = [one for one in steps if one.startswith(f"timing {name}: ")]
        assert f"timing {name}: loading" in own
        assert f"timing {name}: 3 calls of sums, one at a time" in own
        assert f"timing {name}: 4 calls of names, 2 at once" in own


def test_a_plan_that_takes_a_while_says_so_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST", 0.3)
    monkeypatch.setattr(progress, "_TICK", 0.05)
    study = write_study(
        tmp_path,
        arms={"f16": arm("f16", 2, ["A"]), "q8_0": arm("q8", 1, ["A"])},
        design={"repeat_reference": 0},
    )
    monkeypatch.setattr("sys.argv", ["quantrial", "plan", str(study), "--probe", "--allow-code"])
    from quantrial.engines.scripted import ScriptedEngine

    started, slept = ScriptedEngine.start, set[int]()

    def start(self: ScriptedEngine) -> float:
        if id(self) not in slept:
            time.sleep(0.6)
        slept.add(id(self))
        return started(self)

    monkeypatch.setattr(ScriptedEngine, "start", start)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    out, err = capsys.readouterr()
    assert "timing f16: loading (" in err
    assert "timing f16" not in out


def test_nothing_is_left_running(capsys: pytest.CaptureFixture[str]) -> None:
    import threading

    before = threading.active_count()
    with telling() as tell:
        tell("quick")
    assert threading.active_count() == before
    assert capsys.readouterr().err == ""
