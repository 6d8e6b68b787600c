"""The short timed probe: what it asks, what it makes of the times, and when it is made unasked."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import quantrial
from quantrial.cli import main
from quantrial.engines import Reply, Request
from quantrial.errors import EngineError
from quantrial.records import ArmRecord
from quantrial.running import ordering
from quantrial.running.ordering import affordable, probe
from quantrial.running.prepare import prepare
from quantrial.study import load_study
from studies import QUESTIONS, SENTENCES, allowed, arm, write_study


class Timed:
    """An engine on a clock of its own: a call alone takes 3 s, and one of several at once 1.5 s.

    Calls beside the main thread go on only when as many as there are slots are under way.
    """

    name = "timed"
    abilities = frozenset({"parallel"})

    def __init__(self, slots: int, load: float):
        self.now = 0.0
        self.load = load
        self.asked: list[str] = []
        self.together = threading.Barrier(slots, timeout=20)
        self.lock = threading.Lock()

    def start(self) -> float:
        return self.load

    def ask(self, request: Request) -> Reply:
        alone = threading.current_thread() is threading.main_thread()
        if not alone:
            self.together.wait()
        with self.lock:
            self.now += 3.0 if alone else 1.5
            self.asked.append(request.messages[-1].content)
        return Reply("A")

    def close(self) -> None:
        self.now = -1.0


def probed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, slots: int, load: float = 7.0
) -> tuple[ordering.Probe, Timed]:
    study = load_study(write_study(folder, design={"slots": slots}))
    engine: Any = Timed(slots, load)
    monkeypatch.setattr(ordering, "time", SimpleNamespace(monotonic=lambda: engine.now))
    return probe(study, prepare(study, base=folder), engine), engine


def test_by_hand_one_at_a_time_calls_are_scaled_to_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, engine = probed(tmp_path, monkeypatch, slots=1)
    assert found == ordering.Probe(7.0, {"sums": 3.0 * QUESTIONS, "names": 3.0 * SENTENCES}, None)
    assert len(engine.asked) == 1 + 3 + 3, "one warms up"


def test_by_hand_with_slots_calls_at_once_are_timed_and_their_gain_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, engine = probed(tmp_path, monkeypatch, slots=2)
    assert found == ordering.Probe(7.0, {"sums": 1.5 * QUESTIONS, "names": 1.5 * SENTENCES}, 2.0)
    assert len(engine.asked) == 1 + 2 * (3 + 4)
    # but for the one that warmed up, no prompt comes twice: an engine may remember it
    assert len(set(engine.asked)) == 2 * (3 + 4)


def test_a_model_that_was_loaded_already_has_no_load_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = probed(tmp_path, monkeypatch, slots=1, load=0.0)
    assert found.load_seconds is None


def test_a_probe_that_costs_money_or_long_loads_is_not_made_unasked() -> None:
    near: Any = SimpleNamespace(local=True)
    far: Any = SimpleNamespace(local=False)
    unknown: Any = SimpleNamespace()
    small, large = (ArmRecord(bytes_on_disk=size * 10**9) for size in (2, 3))
    assert affordable({"a": near, "b": near}, {"a": small, "b": small})
    assert not affordable({"a": near, "b": near}, {"a": small, "b": large}), "5 GB in all"
    assert not affordable({"a": near, "b": far}, {"a": small, "b": small})
    assert not affordable({"a": near, "b": unknown}, {"a": small, "b": small})
    held = replace(large, resident=True)
    assert affordable({"a": near, "b": near}, {"a": held, "b": held}), "loaded already"


def planned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["quantrial", *allowed(["plan", *arguments])])
    try:
        main()
        code = 0
    except SystemExit as exc:
        code = int(exc.code or 0)
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), err


def test_plan_times_small_arms_on_this_machine_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tmp_path, design={"slots": 2})
    code, out, _ = planned(monkeypatch, capsys, study)
    assert code == 0
    assert "not probed" not in out
    assert "With 2 calls at once, " in out
    code, out, _ = planned(monkeypatch, capsys, study, "--no-probe")
    assert code == 0
    assert "Time: not probed; --probe times it" in out
    assert "calls at once" not in out
    assert quantrial.plan(study).seconds is None, "a program asks for what it wants"


def test_a_probe_that_nobody_asked_for_does_not_fail_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = arm("q8", 1, ["A"], faults=[{"call": 2, "kind": "crash"}])
    study = write_study(tmp_path, arms={"f16": arm("f16", 2, ["A"]), "q8_0": broken})
    code, out, _ = planned(monkeypatch, capsys, study)
    assert code == 0
    assert "warning: times are not known: " in out
    assert "(arm 'q8_0')" in out
    assert "Time: not probed" in out
    code, _, err = planned(monkeypatch, capsys, study, "--probe")
    assert code == 1
    assert "(arm 'q8_0')" in err
    with pytest.raises(EngineError, match=r"\(arm 'q8_0'\)"):
        quantrial.plan(study, probe=True)
