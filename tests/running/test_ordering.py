"""The order of a run's calls: decided once, written down, and followed by every session."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.engines.scripted import Script, ScriptedEngine
from quantrial.errors import RecordError, RunChangedError, StudyError
from quantrial.running.arms import ModelPool
from quantrial.running.ordering import Probe
from studies import QUESTIONS, SENTENCES, arm, read_lines, write_study

pytestmark = pytest.mark.usefixtures("undrawn")

ITEMS = QUESTIONS + SENTENCES
TOO_LARGE = 10**15  # bytes; no machine holds it
REPLIES = ["A", "B"]


def large(**options: Any) -> dict[str, Any]:
    """Three arms that do not fit in memory together."""
    return {n: arm(n, TOO_LARGE, REPLIES, **options) for n in ("f16", "q8_0", "q4_0")}


def responses(run: Path) -> list[dict[str, Any]]:
    found = [r for path in (run / "responses").glob("*.jsonl") for r in read_lines(path)]
    return sorted(found, key=lambda r: r["order"])


def design(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text())["design"]
    return found


def test_arms_that_fit_are_asked_in_blocks_of_one_item_and_loaded_once(tmp_path: Path) -> None:
    study = write_study(tmp_path, design={"repeat_reference": 0})
    quantrial.run(study, out=tmp_path / "run")
    assert design(tmp_path / "run") == {
        "schedule": "blocked",
        "blocks": ITEMS,
        "repeats": 0,
        "whole": [],
        "samples": 1,
        "together": True,
        "load_seconds": None,
        "because": "all arms fit in memory together",
        "slots": 1,
    }
    session = json.loads((tmp_path / "run/manifest.json").read_text())["sessions"][0]
    assert session["loads"] == {"f16": 1, "q8_0": 1, "q4_0": 1}


def test_arms_that_do_not_fit_are_loaded_one_at_a_time_in_few_blocks(tmp_path: Path) -> None:
    study = write_study(tmp_path, arms=large(load=0.002))
    quantrial.run(study, out=tmp_path / "run")
    said = design(tmp_path / "run")
    assert (said["schedule"], said["together"]) == ("blocked", False)
    # answers take no time here, so loading is most of the run and 8 blocks are all there are
    assert said["blocks"] == 8
    recorded = responses(tmp_path / "run")
    assert len(recorded) == 3 * ITEMS
    # the first answer after each change of arm, and no other, says how long the load took
    turns = [list(turn) for _, turn in groupby(recorded, key=lambda r: r["arm"])]
    assert 8 * 2 < len(turns) <= 8 * 3
    for first, *others in turns:
        assert first["timing"]["load"] >= 0.002
        assert all(r["timing"]["load"] is None for r in others)
    session = json.loads((tmp_path / "run/manifest.json").read_text())["sessions"][0]
    assert sum(session["loads"].values()) == len(turns)
    total = sum(turn[0]["timing"]["load"] for turn in turns)
    assert sum(session["load_seconds"].values()) == pytest.approx(total)
    assert quantrial.verify(analysed(tmp_path / "run")).ok


def analysed(run: Path) -> Path:
    quantrial.analyze(run)
    quantrial.decide(run)
    quantrial.report(run)
    return run


def test_quick_loads_allow_more_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = Probe(load_seconds=0.1, seconds={"sums": 20.0, "names": 10.0})
    monkeypatch.setattr("quantrial.running.ordering.probe", lambda *_, **__: timed)
    quantrial.run(write_study(tmp_path, arms=large()), out=tmp_path / "run")
    said = design(tmp_path / "run")
    # 90 s of answers allow 4.7 s of loads, 47 of them, 2 to 3 a block
    assert 16 <= said["blocks"] <= 22
    assert said["load_seconds"] <= 90 / 0.95 * 0.05


def test_an_engine_that_holds_one_model_decides_it_too(tmp_path: Path) -> None:
    arms = {n: arm(n, 100, REPLIES, one_at_a_time=True) for n in ("f16", "q8_0")}
    quantrial.run(write_study(tmp_path, arms=arms), out=tmp_path / "run")
    assert design(tmp_path / "run")["together"] is False


def test_what_was_decided_is_kept_when_the_run_goes_on_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with more memory, or a faster disk, would decide otherwise; the run does not."""
    arms = {n: arm(n, 10**9, REPLIES) for n in ("f16", "q8_0", "q4_0")}
    study = write_study(tmp_path, arms=arms)
    run = tmp_path / "run"
    monkeypatch.setattr("quantrial.running.ordering.available_memory", lambda: 10**9)
    quantrial.run(study, out=run)
    first = design(run)
    assert first["together"] is False
    path = run / "responses" / "sums.q8_0.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:10]))
    monkeypatch.setattr("quantrial.running.ordering.available_memory", lambda: 10**12)
    assert quantrial.run(study, out=run).asked == QUESTIONS - 10
    assert design(run) == first
    assert [r["order"] for r in responses(run)] == list(range(3 * ITEMS))


def test_a_run_from_before_orders_were_recorded_goes_on_as_it_began(tmp_path: Path) -> None:
    study = write_study(tmp_path, design={"schedule": "round_robin", "repeat_reference": 0})
    run = tmp_path / "run"
    quantrial.run(study, out=run)
    early = write_study(tmp_path)  # without the key, as its study file was written then
    text = early.read_text().replace("design:\n  repeat_reference: 0\n", "")
    (run / "study.yaml").write_text(text)
    early.write_text(text)
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["design"]
    manifest["study"]["hash"] = quantrial.load_study(early).hash
    (run / "manifest.json").write_text(json.dumps(manifest))
    path = run / "responses" / "names.f16.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))
    assert quantrial.run(early, out=run).asked == SENTENCES - 5
    assert quantrial.verify(analysed(run)).ok
    assert "design" not in json.loads((run / "manifest.json").read_text())


def test_an_early_run_that_named_round_robin_keeps_its_hash(tmp_path: Path) -> None:
    study = write_study(tmp_path, design={"schedule": "round_robin", "repeat_reference": 0})
    run = tmp_path / "run"
    quantrial.run(study, out=run)
    manifest = json.loads((run / "manifest.json").read_text())
    unsaid = quantrial.load_study(write_study(tmp_path / "other", design={"repeat_reference": 0}))
    manifest["study"]["hash"] = unsaid.hash
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunChangedError, match=r"design\.schedule|study\.yaml"):
        quantrial.run(study, out=run)  # a run with a recorded order has the hash of today
    del manifest["design"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert quantrial.run(study, out=run).asked == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"blocks": 10_000}, "10000 blocks"),
        ({"schedule": "random"}, "schedule 'random'"),
        ({"mood": "bad"}, "not an order of calls"),
    ],
)
def test_a_recorded_order_that_cannot_be_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    run = tmp_path / "run"
    study = write_study(tmp_path)
    quantrial.run(study, out=run)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["design"] |= change
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RecordError, match=said):
        quantrial.run(study, out=run)


def test_the_reference_answers_some_items_twice_in_records_of_their_own(tmp_path: Path) -> None:
    study = write_study(tmp_path, design={"repeat_reference": 5})
    run = tmp_path / "run"
    result = quantrial.run(study, out=run)
    assert result.planned == 3 * ITEMS + 2 * 5
    again = [r for r in responses(run) if r["replicate"] == 1]
    assert {(r["arm"], r["task"]) for r in again} == {("f16", "sums"), ("f16", "names")}
    assert len({r["item"] for r in again}) == len(again) == 10
    summary = quantrial.analyze(run)
    for task, items in (("sums", QUESTIONS), ("names", SENTENCES)):
        assert summary["tasks"][task]["flow"]["planned"] == 3 * items
        assert summary["tasks"][task]["flow"]["duplicates"] == 0
        assert summary["tasks"][task]["repeats"]["n"] == 5
    assert quantrial.run(study, out=run).asked == 0


# ---------------------------------------------------------------- slots


def test_slots_answer_at_once_and_lose_nothing(tmp_path: Path) -> None:
    arms = {n: arm(n, 1, REPLIES, delay=0.01) for n in ("f16", "q8_0")}
    study = write_study(tmp_path, arms=arms, design={"slots": 6, "repeat_reference": 4})
    result = quantrial.run(study, out=tmp_path / "run")
    assert result.recorded == result.planned == 2 * ITEMS + 8
    recorded = responses(tmp_path / "run")
    assert [r["order"] for r in recorded] == list(range(result.planned))
    assert design(tmp_path / "run")["slots"] == 6
    serial = write_study(tmp_path / "serial", arms=arms, design={"repeat_reference": 4})
    quantrial.run(serial, out=tmp_path / "one")
    numbers = [quantrial.analyze(tmp_path / n)["tasks"] for n in ("run", "one")]
    assert numbers[0] == numbers[1], "the script answers alike, whoever runs beside"


def test_slots_need_an_engine_that_can(tmp_path: Path) -> None:
    arms = {"f16": arm("f", 1, ["A"]), "q8_0": arm("q", 1, ["A"], parallel=False)}
    study = write_study(tmp_path, arms=arms, design={"slots": 2})
    with pytest.raises(StudyError, match=r"design\.slots: the engine of q8_0 answers one call"):
        quantrial.plan(study)


def test_the_breaker_stops_all_slots(tmp_path: Path) -> None:
    broken = arm("q8", 1, ["A"], delay=0.002, faults=[{"call": 5, "times": 10_000}])
    arms = {"f16": arm("f16", 2, ["A"]), "q8_0": broken}
    study = write_study(tmp_path, arms=arms, design={"slots": 3, "repeat_reference": 0})
    with pytest.raises(quantrial.QuantrialError, match="failed 30 times in a row"):
        quantrial.run(study, out=tmp_path / "run")


# ---------------------------------------------------------------- in memory


def test_by_hand_one_arm_is_held_at_a_time() -> None:
    engines = {name: ScriptedEngine(["x"], Script(load=0.001)) for name in "ab"}
    pool = ModelPool(engines, together=False)
    pool.ready("a")
    pool.ready("a")
    assert (engines["a"].starts, engines["b"].starts) == (1, 0)
    pool.ready("b")
    assert not engines["a"]._loaded
    pool.ready("a")
    assert engines["a"].starts == 2
    assert dict(pool.loads) == {"a": 2, "b": 1}
    # the load is told once, with the first answer after it
    assert pool.load_before("a", None) == pytest.approx(0.001, rel=20)
    assert pool.load_before("a", None) is None
    # an engine that loads again by itself says so, and that counts too
    assert pool.load_before("a", 0.5) == 0.5
    assert pool.loads["a"] == 3
