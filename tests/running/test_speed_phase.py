from __future__ import annotations

import itertools
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from benches import LOAD, PACE, Hall, Paced, Room
from quantrial.commands.verification import speed_drifts
from quantrial.engines.base import Request
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    RecordError,
    RecordWarning,
    RunChangedError,
)
from quantrial.runfolder import RunFolder
from quantrial.running import Progress
from running.forks import Forks, wait_until
from studies import arm, read_lines, write_study

SHAPES = 4


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hall:
    return Hall(tmp_path, monkeypatch)


def measured(run: Path) -> list[dict[str, Any]]:
    return [r for r in read_lines(run / "speed.jsonl") if r["kind"] == "measured"]


def phase(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = quantrial.analyze(run)["speed_phase"]
    return found


def key(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[n] for n in ("arm", "block", "prompt_length", "output_length"))


def marks(run: Path) -> set[str]:
    return {one["mark"] for one in phase(run)["marks"]}


def test_rates_and_ratios_are_those_of_the_engines(hall: Hall) -> None:
    result = hall.measure()
    assert (result.status, result.blocks) == ("narrow", 4)
    assert result.asked == 3 * SHAPES * 4
    found = phase(hall.run)
    for name, pace in PACE.items():
        assert found["arms"][name]["decode"]["estimate"] == pytest.approx(pace)
        assert found["arms"][name]["prompt"]["estimate"] == pytest.approx(10 * pace)
        assert found["arms"][name]["load"]["estimate"] == pytest.approx(LOAD)
        # 20 words and 60 words, twice each a block
        assert found["arms"][name]["first_token"]["estimate"] == pytest.approx(40 / (10 * pace))
        assert found["arms"][name]["memory_peak_bytes"] == 1000 * len(name)
    ratios = {one["id"]: one["estimate"] for one in found["ratios"]}
    assert ratios["speed.decode.q4_0.vs.f16"] == pytest.approx(2.0)
    assert ratios["speed.first_token.q8_0.vs.f16"] == pytest.approx(50 / 80)
    assert ratios["speed.memory.q4_0.vs.f16"] == pytest.approx(4 / 3)
    assert found["marks"] == []


def test_every_arm_reads_the_same_bytes_and_takes_every_place_alike(hall: Hall) -> None:
    hall.measure()
    texts: dict[tuple[int, int, int], set[str]] = {}
    for record in measured(hall.run):
        cell = (record["block"], record["prompt_length"], record["output_length"])
        texts.setdefault(cell, set()).add(record["prompt_sha256"])
    assert all(len(seen) == 1 for seen in texts.values())
    assert len({digest for seen in texts.values() for digest in seen}) == 4 * SHAPES
    by_cell: dict[tuple[int, int, int], list[str]] = {}
    for record in sorted(measured(hall.run), key=lambda r: (r["block"], r["position"])):
        cell = (record["prompt_length"], record["output_length"], record["block"])
        by_cell.setdefault(cell, []).append(record["arm"])
    for (prompt, output, block), order in by_cell.items():
        assert sorted(order) == ["f16", "q4_0", "q8_0"]
        if block % 2 == 0:
            assert by_cell[prompt, output, block + 1] == order[::-1]


def test_it_asks_for_whole_prompts_and_exact_lengths_and_never_two_at_once(hall: Hall) -> None:
    hall.measure()
    requests = [request for engine in hall.engines.values() for request in engine.asked]
    assert all(request.fresh and request.exact_length for request in requests)
    assert {request.max_tokens for request in requests} == {11, 31}


def test_controls_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hall = Hall(tmp_path, monkeypatch)
    arms = {name: one.model_dump() for name, one in hall.study.arms.items()}
    arms["q8_0"]["control"] = "positive"
    folder = tmp_path / "other"
    path = write_study(folder, arms=arms, speed=hall.study.speed.model_dump(mode="json"))  # type: ignore[union-attr]
    hall.study, hall.base, hall.run = quantrial.load_study(path), folder, folder / "run"
    quantrial.run(path, out=hall.run, speed=False)
    hall.measure()
    assert {r["arm"] for r in measured(hall.run)} == {"f16", "q4_0"}


def test_the_same_command_again_asks_nothing(hall: Hall) -> None:
    hall.measure()
    before = (hall.run / "speed.jsonl").read_bytes()
    again = hall.measure()
    assert (again.asked, again.status) == (0, "narrow")
    assert (hall.run / "speed.jsonl").read_bytes() == before


def test_noise_takes_more_blocks_until_the_intervals_are_narrow(hall: Hall) -> None:
    chance = random.Random(1)
    hall.slower = lambda arm, number: chance.lognormvariate(0.0, 0.1)
    result = hall.measure()
    assert result.status == "narrow"
    assert result.blocks > 4
    assert result.blocks % 2 == 0
    assert result.widest is not None
    assert result.widest <= 0.03
    found = phase(hall.run)
    for one in found["ratios"]:
        if one["measure"] in ("decode", "prompt"):
            assert max(one["ci"][1] / one["estimate"] - 1, 1 - one["ci"][0] / one["estimate"]) <= (
                0.03
            )


def test_it_stops_when_its_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hall = Hall(tmp_path, monkeypatch, time_limit=60.0)
    chance = random.Random(2)
    hall.slower = lambda arm, number: chance.lognormvariate(0.0, 1.0)
    result = hall.measure()
    assert result.status == "time_limit"
    # no call is begun after that, and the longest takes a few seconds
    assert 60.0 <= result.seconds < 75.0
    assert result.seconds == pytest.approx(phase(hall.run)["seconds"])
    assert hall.measure().asked == 0
    assert "time_limit" in marks(hall.run)


def test_each_arm_is_started_anew_in_the_first_blocks_and_warmed_up_uncounted(hall: Hall) -> None:
    hall.measure()
    warm = [r for r in read_lines(hall.run / "speed.jsonl") if r["kind"] == "warm_up"]
    assert Counter((r["arm"], r["block"]) for r in warm) == Counter(
        (name, block) for name in PACE for block in range(3)
    )
    assert all(r["timing"]["load"] == LOAD for r in warm)
    assert all(r["timing"]["load"] is None for r in measured(hall.run))
    seen = {r["prompt_sha256"] for r in warm}
    assert seen.isdisjoint(r["prompt_sha256"] for r in measured(hall.run))


def test_arms_that_do_not_fit_together_are_in_memory_one_at_a_time(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantrial.running.speed_phase.available_memory", lambda: 500)
    hall.measure()
    assert all(len(loaded) == 1 for loaded in hall.in_memory)
    # one turn a block and arm: all lengths are answered before the next arm is loaded; the arm
    # that ends the third block begins the fourth, and is not started anew by then
    assert len(hall.in_memory) == 3 * 4 - 1


def test_a_server_that_pushes_arms_out_is_asked_and_each_has_its_turn(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Paced, "in_memory", lambda one: one.hall.order[-1] == one.arm, raising=False
    )
    monkeypatch.setattr(Paced, "reload", lambda one: LOAD, raising=False)
    hall.measure()
    turns = [[arm for arm, _ in itertools.groupby(block)] for block in by_block(hall.run)]
    # they take turns at each length, until the server was found to hold one at a time
    assert len(turns[0]) > 3
    assert all(sorted(turn) == ["f16", "q4_0", "q8_0"] for turn in turns[1:])


def by_block(run: Path) -> list[list[str]]:
    """The arms of each block's calls, in their order."""
    records = measured(run)
    return [
        [r["arm"] for r in records if r["block"] == block]
        for block in range(max(r["block"] for r in records) + 1)
    ]


def test_killed_and_gone_on_it_measures_the_same_calls_once(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peace = Hall(tmp_path / "peace", monkeypatch)
    peace.measure()
    monkeypatch.setattr("quantrial.running.speed_phase.open_engines", hall.opened)

    def interrupt(arm: str, number: int, request: Request) -> None:
        if number % 13 == 0:
            raise KeyboardInterrupt

    hall.fail = interrupt
    stops = 0
    while True:
        try:
            hall.measure()
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops >= 3
    mine, theirs = measured(hall.run), measured(peace.run)
    assert Counter(map(key, mine)) == Counter(map(key, theirs))
    assert max(Counter(map(key, mine)).values()) == 1
    fields = ("position", "prompt_sha256")
    assert {key(r): [r[f] for f in fields] for r in mine} == {
        key(r): [r[f] for f in fields] for r in theirs
    }
    one, other = phase(hall.run)["ratios"], phase(peace.run)["ratios"]
    assert [r["estimate"] for r in one] == pytest.approx([r["estimate"] for r in other])


def test_a_torn_last_line_is_cut_and_measured_again(hall: Hall) -> None:
    hall.measure()
    path = hall.run / "speed.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.warns(RecordWarning, match=r"speed\.jsonl: cut"):
        assert hall.measure().asked == 1
    lines = read_lines(path)
    assert Counter(key(r) for r in lines if r["kind"] == "measured") == Counter(
        key(r) for r in map(json.loads, whole.splitlines()) if r["kind"] == "measured"
    )


def test_a_fault_is_recorded_and_asked_again_after_a_new_start(hall: Hall) -> None:
    crashes: list[str] = []

    def crash(arm: str, number: int, request: Request) -> None:
        # 31 tokens: no warm-up
        if number >= 20 and request.max_tokens == 31 and not crashes:
            crashes.append(arm)
            hall.engines[arm].loaded = False
            raise EngineCrashedError("gone")

    hall.fail = crash
    assert hall.measure().status == "narrow"
    lines = read_lines(hall.run / "speed.jsonl")
    [at] = [i for i, r in enumerate(lines) if r["status"] != "ok"]
    assert (lines[at]["status"], lines[at]["error"]) == ("engine_error", "gone")
    # warmed up again, then the same call on its second attempt
    assert lines[at + 1]["kind"] == "warm_up"
    assert key(lines[at + 2]) == key(lines[at])
    assert lines[at + 2]["attempt"] == 2
    found = phase(hall.run)
    assert found["arms"][lines[at]["arm"]]["faulted"] == 1
    assert {"mark": "faults", "arm": lines[at]["arm"], "calls": 1} in found["marks"]


def test_a_final_fault_is_not_asked_again_in_a_later_session(hall: Hall) -> None:
    refused: list[tuple[str, int]] = []

    def refuse_once_and_stop(arm: str, number: int, request: Request) -> None:
        if number >= 20 and request.max_tokens == 31:  # 31 tokens: no warm-up
            if refused:
                raise KeyboardInterrupt
            refused.append((arm, number))
            error = EngineError("will not")
            error.retryable = False
            raise error

    hall.fail = refuse_once_and_stop
    with pytest.raises(KeyboardInterrupt):
        hall.measure()
    [fault] = [r for r in measured(hall.run) if r["status"] != "ok"]
    assert fault["final"] is True
    hall.fail = lambda arm, number, request: None
    hall.measure()
    asked = [r for r in measured(hall.run) if key(r) == key(fault)]
    assert asked == [fault], "the second session asked it again"
    assert [r for r in measured(hall.run) if "final" in r] == [fault]


def test_a_warm_up_that_fails_is_done_again(hall: Hall) -> None:
    def crash(arm: str, number: int, request: Request) -> None:
        if number == 1:
            raise EngineCrashedError("gone")

    hall.fail = crash
    hall.measure()
    lines = read_lines(hall.run / "speed.jsonl")
    said = [(r["kind"], r["attempt"], r["status"]) for r in lines[:3]]
    assert said == [("warm_up", 1, "engine_error"), ("warm_up", 2, "ok"), ("measured", 1, "ok")]


def test_an_arm_that_keeps_failing_ends_the_phase_with_a_reason(hall: Hall) -> None:
    def refuse(arm: str, number: int, request: Request) -> None:
        if arm == "q4_0":
            error = EngineError("no such model")
            error.retryable = False
            raise error

    hall.fail = refuse
    with pytest.raises(EngineError, match=r"'q4_0' failed 3 calls.*no such model.*--no-speed"):
        hall.measure()


def test_a_length_that_does_not_fit_a_context_is_asked_of_nobody_again(hall: Hall) -> None:
    def overflow(arm: str, number: int, request: Request) -> None:
        if arm == "q8_0" and len(request.messages[0].content.split()) == 60:
            raise ContextOverflowError("60 tokens and a context of 50")

    hall.fail = overflow
    assert hall.measure().status == "narrow"
    found = phase(hall.run)
    assert found["too_long"] == [[60, 11], [60, 31]]
    assert {(one["prompt_length"], one["output_length"]) for one in found["lengths"]} == {
        (20, 11),
        (20, 31),
    }
    assert found["arms"]["q8_0"]["prompt"]["estimate"] == pytest.approx(800.0)
    assert "too_long" in marks(hall.run)
    later = [r for r in measured(hall.run) if r["prompt_length"] == 60 and r["block"] > 0]
    assert later == []


def test_no_length_that_fits_ends_the_phase(hall: Hall) -> None:
    def overflow(arm: str, number: int, request: Request) -> None:
        raise ContextOverflowError("a context of 5")

    hall.fail = overflow
    assert hall.measure().status == "no_length"
    assert hall.measure().asked == 0


def test_an_engine_without_the_abilities_is_asked_plainly_and_marked(hall: Hall) -> None:
    hall.abilities = frozenset()
    hall.measure()
    requests = [request for engine in hall.engines.values() for request in engine.asked]
    assert not any(request.fresh or request.exact_length for request in requests)
    assert all(r["asked"] == [] for r in measured(hall.run))
    found = phase(hall.run)
    assert {(one["mark"], one["arm"]) for one in found["marks"]} == {
        (mark, name) for mark in ("own_length", "cache") for name in PACE
    }
    # answers end where they like; the rate is still tokens over seconds
    assert found["arms"]["q4_0"]["decode"]["estimate"] == pytest.approx(100.0)


UNHELD = frozenset({"fresh", "grammar"})


def forms(run: Path, kind: str = "measured") -> set[str]:
    return {r.get("form", "words") for r in read_lines(run / "speed.jsonl") if r["kind"] == kind}


def is_list(request: Request) -> bool:
    return request.text is not None


def test_lengths_that_cannot_be_held_are_reached_by_a_list_that_goes_on(hall: Hall) -> None:
    hall.abilities = UNHELD
    # answers to mere words end early, and everywhere else
    hall.length = lambda arm, r: r.max_tokens if is_list(r) else 6 + len(arm)
    assert hall.measure().status == "narrow"
    assert forms(hall.run) == {"list"}
    assert all(r["completion_tokens"] == r["output_length"] for r in measured(hall.run))
    assert "own_length" not in marks(hall.run)
    found = phase(hall.run)
    assert found["prompts"] == "list"
    assert found["arms"]["q4_0"]["decode"]["estimate"] == pytest.approx(100.0)
    tried = [r for r in read_lines(hall.run / "speed.jsonl") if r["kind"] == "rehearsal"]
    assert sorted((r["arm"], r["prompt_length"], r["output_length"]) for r in tried) == sorted(
        (arm, prompt, 31) for arm in PACE for prompt in (20, 60)
    )
    # every block has a prompt of its own, the same for all arms, and verify derives each
    cells = {(r["block"], *r["asked"], r["prompt_length"], r["output_length"]) for r in tried}
    assert len({r["prompt_sha256"] for r in measured(hall.run)}) == 4 * SHAPES
    assert len(cells) == 2
    assert list(speed_drifts(RunFolder(hall.run), hall.study)) == []


def test_a_form_that_ends_early_on_one_arm_is_asked_of_none(hall: Hall) -> None:
    hall.abilities = UNHELD
    hall.length = lambda arm, r: 9 if is_list(r) and arm == "q4_0" else r.max_tokens
    hall.measure()
    assert forms(hall.run) == {"request"}
    assert not any(is_list(r) for r in hall.engines["f16"].asked[3:])
    assert all(r["completion_tokens"] == r["output_length"] for r in measured(hall.run))


def test_a_server_that_only_chats_is_tried_by_a_message(hall: Hall) -> None:
    hall.abilities = UNHELD
    hall.length = lambda arm, r: r.max_tokens

    def refuse(arm: str, number: int, request: Request) -> None:
        if request.text is not None:
            error = EngineError("404: no completions here")
            error.retryable = False
            raise error

    hall.fail = refuse
    hall.measure()
    assert forms(hall.run) == {"request"}
    assert "faults" not in marks(hall.run), "what was tried out is no fault of an arm"


def test_where_no_form_will_do_it_is_said_how_many_answers_ended_early(hall: Hall) -> None:
    hall.abilities = UNHELD
    hall.length = lambda arm, r: 6 if arm == "q4_0" else r.max_tokens
    hall.measure()
    assert forms(hall.run) == {"words"}
    found = phase(hall.run)
    assert "prompts" not in found
    assert [one for one in found["marks"] if one["mark"] == "own_length"] == [
        {"mark": "own_length", "arm": "q4_0", "calls": 4 * SHAPES}
    ]


def test_a_phase_stopped_while_forms_are_tried_goes_on_with_the_same_choice(hall: Hall) -> None:
    hall.abilities = UNHELD
    hall.length = lambda arm, r: r.max_tokens if not is_list(r) or arm != "q8_0" else 3

    def interrupt(arm: str, number: int, request: Request) -> None:
        if number % 4 == 0:
            raise KeyboardInterrupt

    hall.fail = interrupt
    for _ in range(60):
        try:
            hall.measure()
            break
        except KeyboardInterrupt:
            pass
    tried = [r for r in read_lines(hall.run / "speed.jsonl") if r["kind"] == "rehearsal"]
    cells = [(r["form"], r["arm"], r["prompt_length"]) for r in tried]
    assert len(set(cells)) == len(cells), "nothing is tried twice"
    assert forms(hall.run) == {"request"}


def test_arms_that_can_be_held_to_a_length_are_tried_with_nothing(hall: Hall) -> None:
    hall.measure()
    assert forms(hall.run, "rehearsal") == set()
    assert forms(hall.run) == {"words"}
    assert b'"form"' not in (hall.run / "speed.jsonl").read_bytes()


@pytest.mark.parametrize("slow", [20.0, 2000.0])
def test_the_time_limit_holds_on_a_slow_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: float
) -> None:
    hall = Hall(tmp_path, monkeypatch, time_limit=60.0)
    hall.slower = lambda arm, number: slow
    began = hall.clock.time
    result = hall.measure()
    assert result.status == "time_limit"
    assert hall.clock.time - began <= 60.0 + LOAD + 2.0, "at most a load and a second more"
    last = read_lines(hall.run / "speed.jsonl")[-1]
    assert last["kind"] == "cut"
    assert "faults" not in marks(hall.run), "its time was up: that is no fault of the arm"
    assert hall.measure().asked == 0
    assert hall.measure().status == "time_limit"


def test_the_time_limit_holds_where_loads_are_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall = Hall(tmp_path, monkeypatch, time_limit=60.0)
    hall.load = 50.0
    result = hall.measure()
    assert result.status == "time_limit"
    assert sum(r["timing"]["load"] or 0 for r in read_lines(hall.run / "speed.jsonl")) == 100.0
    assert result.seconds < 60.0 + hall.load + 2.0


def test_a_load_before_a_call_that_fails_counts_for_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall = Hall(tmp_path, monkeypatch, time_limit=60.0)
    hall.load = 30.0

    def crash(arm: str, number: int, request: Request) -> None:
        raise EngineCrashedError("gone")

    hall.fail = crash
    result = hall.measure()
    assert result.status == "time_limit"
    assert result.seconds == 60.0


def test_a_busy_machine_is_waited_for_and_then_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall = Hall(tmp_path, monkeypatch, pause=20.0)
    hall.machine = Room(hall.clock, lambda time: 0.5)
    hall.measure()
    found = phase(hall.run)
    seen = found["conditions"]
    # looks of .25 s and waits of 1 s, as many as fit into 20 s, and no more in later blocks
    assert seen["paused_seconds"] == pytest.approx(20.0)
    assert seen["others_share"] == pytest.approx(0.5)
    assert seen["busy_calls"] == seen["calls"] == 48
    assert {"mark": "busy", "others_share": pytest.approx(0.5), "calls": 48} in found["marks"]


def test_a_machine_that_calms_down_is_measured_without_a_mark(hall: Hall) -> None:
    hall.machine = Room(hall.clock, lambda time: 0.9 if time < 1010.0 else 0.0)
    hall.measure()
    seen = phase(hall.run)["conditions"]
    assert 10.0 <= seen["paused_seconds"] < 12.0
    assert seen["busy_calls"] == 0
    assert marks(hall.run) == set()


def test_the_listener_hears_of_every_call(hall: Hall) -> None:
    heard: list[Progress] = []
    hall.measure(listener=heard.append)
    assert heard[-1].done == heard[-1].total == dict.fromkeys(PACE, 16)
    assert [sum(one.done.values()) for one in heard[1:-1]] == list(range(1, 49))
    assert "aim ±3 %" in heard[0].phase


def test_another_artifact_is_refused(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hall.base / "study.yaml"
    study = yaml.safe_load(path.read_text())
    study["arms"]["q4_0"]["model"] = "another"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    hall.study = quantrial.load_study(path)
    with pytest.raises(RunChangedError, match=r"arms\.q4_0\.model"):
        hall.measure()


def test_a_call_measured_twice_or_of_a_strange_arm_is_refused(hall: Hall) -> None:
    hall.measure()
    path = hall.run / "speed.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[-1]]))
    with pytest.raises(RecordError, match=r"measured twice"):
        RunFolder(hall.run).read_speed(arms=PACE)
    path.write_bytes(b"".join(lines))
    with pytest.raises(RecordError, match=r"'q4_0', which the study does not have"):
        RunFolder(hall.run).read_speed(arms=("f16", "q8_0"))


def test_kill_minus_nine_loses_and_doubles_nothing(tmp_path: Path) -> None:
    slow = {n: arm(n, 1, ["A", "B", "C"], delay=0.01) for n in ("f16", "q8_0")}
    # no pause: others may be at work on the machine that runs the tests
    speed = {
        "prompt_tokens": [5],
        "output_tokens": [2, 3],
        "blocks": 6,
        "precision": 0.9,
        "pause": 0,
    }
    study = write_study(tmp_path, arms=slow, speed=speed)
    run = tmp_path / "run"
    quantrial.run(study, out=run, speed=False)
    chance = random.Random(5)
    acknowledged: set[bytes] = set()
    path = run / "speed.jsonl"
    kills = 0
    with Forks() as forks:
        for _ in range(5):
            before = path.read_bytes() if path.exists() else b""
            process = forks.run(study, run)
            wait_until(
                lambda p=process, b=before: (
                    not p.alive() or (path.exists() and path.read_bytes() != b)
                )
            )
            time.sleep(chance.uniform(0, 0.05))
            if not process.alive():
                break
            process.kill()
            kills += 1
            now = set(path.read_bytes().split(b"\n")[:-1])
            assert acknowledged <= now, "an acknowledged call was lost"
            acknowledged = now
    result = quantrial.run(study, out=run)
    assert kills >= 3
    assert result.speed is not None
    assert result.speed.status == "narrow"
    counted = Counter(map(key, measured(run)))
    assert set(counted.values()) == {1}, "a call was measured twice"
    assert len(counted) == 2 * 2 * result.speed.blocks
