from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantrial import analysis
from quantrial.analysis import Standing
from quantrial.analysis.question import SpeedQuestion
from quantrial.analysis.speed.phase import measure_phase
from quantrial.documents import to_dict
from quantrial.records import SpeedRecord
from quantrial.study import Study, load_study
from studies import write_study

QUIET: dict[str, float | None] = {
    "cpu_seconds": 4.0,
    "busy_seconds": 2.0,
    "own_seconds": 2.0,
    "swapped_pages": 0,
    "throttled": 0,
    "on_battery": 0,
    "energy_joules": None,
    "memory_peak_bytes": 1000,
    "others_before": 0.0,
    "paused_seconds": 0.0,
}


def call(arm: str, block: int, seconds: float, *, tokens: int = 11, **more: Any) -> SpeedRecord:
    """One call that decoded tokens - 1 in `seconds`, after half of them for 20 prompt tokens."""
    one = SpeedRecord(
        study="small",
        arm=arm,
        kind="measured",
        block=block,
        position=0,
        attempt=1,
        prompt_length=20,
        output_length=11,
        asked=("exact_length", "fresh"),
        status="ok",
        error=None,
        finish_reason="length",
        prompt_tokens=20,
        completion_tokens=tokens,
        decoded_tokens=tokens - 1,
        timing={
            "load": None,
            "prompt": seconds / 2,
            "first_token": None,
            "decode": seconds,
            "wall": 1.6 * seconds,
        },
        machine=QUIET,
        started_at="2026-01-01T00:00:00.000Z",
        prompt_sha256="0" * 64,
    )
    return replace(one, **more)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    speed = {"prompt_tokens": [20], "output_tokens": [11], "blocks": 2, "time_limit": 100.0}
    arms = write_study(tmp_path, speed=speed)
    loaded = load_study(arms)
    two = {name: loaded.arms[name] for name in ("f16", "q4_0")}
    return loaded.model_copy(update={"arms": two})


def question_of(study: Study) -> SpeedQuestion:
    question = analysis.question_of(study).speed
    assert question is not None
    return question


def standing(study: Study, records: list[SpeedRecord]) -> Standing:
    return analysis.standing(question_of(study), records)


def told(study: Study, records: list[SpeedRecord]) -> dict[str, Any]:
    return to_dict(measure_phase(question_of(study), records).written())


def ratio(found: dict[str, Any], measure: str) -> dict[str, Any]:
    [one] = [one for one in found["ratios"] if one["measure"] == measure]
    return dict(one)


TWO_BLOCKS = [
    *(call("f16", 0, 2.0), call("q4_0", 0, 1.0)),
    *(call("q4_0", 1, 3.0), call("f16", 1, 4.0)),
]


def test_by_hand_an_answer_of_one_token_adds_nothing_to_decoding(study: Study) -> None:
    """An engine that cannot be held to a length may end after one token: no step, no time."""
    speed = study.speed
    assert speed is not None
    wide = study.model_copy(update={"speed": speed.model_copy(update={"output_tokens": (11, 5)})})
    brief = [
        replace(one, completion_tokens=1, decoded_tokens=0, timing={**one.timing, "decode": None})
        for one in TWO_BLOCKS
    ]
    found = told(wide, [*TWO_BLOCKS, *(replace(one, output_length=5) for one in brief)])
    # as if the short answers were not there: 20 tokens in 6 s against 20 in 4 s
    assert ratio(found, "decode")["estimate"] == pytest.approx(6 / 4)
    # and where a block holds nothing else, there is no rate, and none is made up
    assert "decode" not in {one["measure"] for one in told(study, brief)["ratios"]}
    # the phase then aims at the seconds of a call, which are known, and still comes to its end
    wider = study.model_copy(update={"speed": speed.model_copy(update={"precision": 0.9})})
    steady = [replace(one, timing={**one.timing, "prompt": None, "wall": 2.0}) for one in brief]
    assert standing(wider, steady).status == "narrow"


def test_ratios_of_sums_by_hand(study: Study) -> None:
    found = told(study, TWO_BLOCKS)
    # 20 tokens in 6 s against 20 in 4 s
    assert found["arms"]["f16"]["decode"]["estimate"] == pytest.approx(20 / 6)
    decode = ratio(found, "decode")
    assert decode["estimate"] == pytest.approx(1.5)
    # the interval of tests/stats/test_rates.py: the same sums over the same blocks
    assert decode["ci"][1] == pytest.approx(1.5 * math.exp(12.7062 / 6), rel=1e-5)
    assert decode["id"] == "speed.decode.q4_0.vs.f16"
    # 40 prompt tokens in 3 s and in 2 s
    assert found["arms"]["q4_0"]["prompt"]["estimate"] == pytest.approx(20.0)
    # wall without decoding is .6 of the decode seconds, a call: (.6 + 1.8) / 2 s for q4_0
    assert found["arms"]["q4_0"]["first_token"]["estimate"] == pytest.approx(1.2)
    assert ratio(found, "call")["estimate"] == pytest.approx(4 / 6)
    assert (found["blocks"], found["calls"]) == (2, 4)
    assert found["seconds"] == pytest.approx(16.0)


def test_an_engines_own_first_token_goes_before_what_is_left_of_the_wall(study: Study) -> None:
    timing = {"load": None, "prompt": 1.0, "first_token": 0.25, "decode": 1.0, "wall": 2.0}
    found = told(study, [call("f16", 0, 1.0, timing=timing), call("q4_0", 0, 1.0)])
    assert found["arms"]["f16"]["first_token"]["estimate"] == pytest.approx(0.25)


def test_blocks_that_one_arm_did_not_finish_are_left_out_of_its_ratio(study: Study) -> None:
    found = told(study, [*TWO_BLOCKS, call("f16", 2, 100.0)])
    assert ratio(found, "decode")["estimate"] == pytest.approx(1.5)
    assert found["blocks"] == 2
    failed = call("q4_0", 2, 0.0, status="timeout", error="no answer")
    found = told(study, [*TWO_BLOCKS, call("f16", 2, 100.0), failed])
    assert ratio(found, "decode")["estimate"] == pytest.approx(1.5)
    assert found["arms"]["q4_0"]["faulted"] == 1


def test_a_measure_that_an_engine_does_not_give_is_unknown_and_not_guessed(study: Study) -> None:
    timing = {"load": None, "prompt": None, "first_token": None, "decode": None, "wall": 2.0}
    records = [
        call("f16", 0, 1.0, timing=timing),
        call("q4_0", 0, 1.0),
        call("q4_0", 1, 1.0),
        call("f16", 1, 1.0, timing=timing),
    ]
    found = told(study, records)
    assert found["arms"]["f16"]["decode"] is None
    assert {one["measure"] for one in found["ratios"]} == {"call", "memory"}
    # then the whole call decides when it is enough: 4 s against 3.2 s, the same in both blocks
    assert found["status"] == "narrow"
    assert ratio(found, "call")["estimate"] == pytest.approx(0.8)


def test_loads_and_peaks_by_hand(study: Study) -> None:
    def start(arm: str, block: int, load: float, peak: int) -> SpeedRecord:
        warm = call(arm, block, 1.0, kind="warm_up", machine=QUIET | {"memory_peak_bytes": peak})
        return replace(warm, timing=dict(warm.timing) | {"load": load})

    records = [
        *(start("f16", 0, 2.0, 5000), start("q4_0", 0, 1.0, 2000)),
        *(start("f16", 1, 4.0, 6000), start("q4_0", 1, 1.4, 3000)),
    ]
    found = told(study, [*records, *TWO_BLOCKS])
    assert found["arms"]["f16"]["load"]["estimate"] == pytest.approx(3.0)
    assert ratio(found, "load")["estimate"] == pytest.approx(0.4)
    assert found["arms"]["f16"]["memory_peak_bytes"] == 6000
    memory = ratio(found, "memory")
    assert memory["estimate"] == pytest.approx(0.5)
    assert memory["ci"] == [None, None], "a peak is one number; no interval is made up"
    # warm-ups take time, and count for nothing else: 1.6 s each, and the loads
    assert found["seconds"] == pytest.approx(16.0 + 4 * 1.6 + 2.0 + 4.0 + 1.0 + 1.4)
    assert found["calls"] == 4


def test_energy_a_token_by_hand(study: Study) -> None:
    joules = {"f16": 22.0, "q4_0": 11.0}
    records = [
        replace(one, machine=QUIET | {"energy_joules": joules[one.arm]}) for one in TWO_BLOCKS
    ]
    found = told(study, records)
    # 11 tokens a call
    assert found["arms"]["f16"]["energy"]["estimate"] == pytest.approx(2.0)
    assert ratio(found, "energy")["estimate"] == pytest.approx(0.5)


def test_drift_of_one_arm_alone_is_told_by_hand(study: Study) -> None:
    # f16 slows down by 1 % a block, q4_0 does not: over 8 blocks 1.01 ** -7
    records = [
        one for b in range(8) for one in (call("f16", b, 2.0 * 1.01**b), call("q4_0", b, 1.0))
    ]
    found = told(study, records)
    assert found["drift"]["measure"] == "decode"
    assert found["drift"]["arms"]["f16"]["change"] == pytest.approx(1.01**-7 - 1)
    assert found["drift"]["arms"]["q4_0"]["change"] == pytest.approx(0.0, abs=1e-9)
    assert found["drift"]["ratios"]["q4_0"]["change"] == pytest.approx(1.01**7 - 1)
    [mark] = [one for one in found["marks"] if one["mark"] == "drift"]
    assert mark["arm"] == "q4_0"


def test_a_drift_that_hits_all_arms_alike_is_no_mark(study: Study) -> None:
    records = [
        one
        for b in range(8)
        for one in (call("f16", b, 2.0 * 1.05**b), call("q4_0", b, 1.0 * 1.05**b))
    ]
    found = told(study, records)
    assert found["drift"]["arms"]["f16"]["change"] == pytest.approx(1.05**-7 - 1)
    assert [one["mark"] for one in found["marks"]] == []


@pytest.mark.parametrize(
    ("state", "mark"),
    [
        ({"busy_seconds": 2.5}, "busy"),  # .5 of 4 CPU seconds were others'
        ({"own_seconds": None, "others_before": 0.2}, "busy"),  # the engine names no process
        ({"swapped_pages": 3}, "swap"),
        ({"throttled": 1}, "throttled"),
        ({"on_battery": 1}, "battery"),
        (dict.fromkeys(QUIET), "unwatched"),
    ],
)
def test_what_disturbs_the_machine_marks_the_figures(
    study: Study, state: dict[str, float | None], mark: str
) -> None:
    records = [replace(one, machine=QUIET | state) for one in TWO_BLOCKS]
    seen = {one["mark"] for one in told(study, records)["marks"]}
    quiet = {one["mark"] for one in told(study, TWO_BLOCKS)["marks"]}
    assert seen - quiet == {mark}


def test_the_share_of_others_is_pooled_by_hand(study: Study) -> None:
    # 1 of 4 CPU seconds in a long call, 0 of 4 in the others
    records = [replace(TWO_BLOCKS[0], machine=QUIET | {"busy_seconds": 3.0}), *TWO_BLOCKS[1:]]
    seen = told(study, records)["conditions"]
    assert seen["others_share"] == pytest.approx(1 / 16)
    assert seen["others_share_by_arm"]["f16"] == pytest.approx(1 / 8)
    assert seen["busy_calls"] == 1


def test_other_tokenizers_and_lengths_are_marked(study: Study) -> None:
    records = [
        replace(one, prompt_tokens=22, completion_tokens=9) if one.arm == "q4_0" else one
        for one in TWO_BLOCKS
    ]
    seen = told(study, records)["marks"]
    assert {"mark": "other_length", "arm": "q4_0", "calls": 2} in seen
    [one] = [one for one in seen if one["mark"] == "tokenizer"]
    assert one["tokens"] == {"f16": 20.0, "q4_0": 22.0}


def test_when_it_is_enough(study: Study) -> None:
    same = [one for b in range(4) for one in (call("f16", b, 2.0), call("q4_0", b, 1.0))]
    assert standing(study, []).status == "unfinished"
    assert standing(study, same[:2]).status == "unfinished", "one block has no interval"
    assert standing(study, same[:4]).status == "narrow"
    assert standing(study, same[:6]).status == "unfinished", "a pair of orders is not whole"
    wide = standing(study, TWO_BLOCKS)
    assert wide.status == "unfinished"
    assert wide.widest is not None
    # half-width exp(12.7062 / 6) - 1 of the widest; blocks go with its square
    assert wide.widest == pytest.approx(math.exp(12.7062 / 6) - 1, rel=1e-5)
    assert wide.forecast == math.ceil(2 * (wide.widest / 0.03) ** 2)
    slow = [replace(one, machine=QUIET | {"paused_seconds": 30.0}) for one in TWO_BLOCKS]
    assert standing(study, slow).status == "time_limit"


def test_no_phase_without_a_section(study: Study) -> None:
    assert analysis.question_of(study.model_copy(update={"speed": None})).speed is None
    empty = told(study, [])
    assert (empty["calls"], empty["status"]) == (0, "unfinished")


def test_blocks_in_turn_by_hand(study: Study) -> None:
    found = told(study, TWO_BLOCKS)["blocks_in_turn"]
    # f16: 10 tokens in 2 s and in 4 s, 20 in 6 s over both; q4_0: in 1 s and in 3 s, 20 in 4 s
    assert [(one["arm"], one["block"]) for one in found] == [
        *(("f16", 0), ("f16", 1)),
        *(("q4_0", 0), ("q4_0", 1)),
    ]
    assert [one["pace"] for one in found] == pytest.approx([1.5, 0.75, 2.0, 2 / 3])


def test_peaks_are_told_apart_by_start(study: Study) -> None:
    def held(block: int, peak: int, load: float | None) -> SpeedRecord:
        kind = "measured" if load is None else "warm_up"
        one = call("f16", block, 1.0, kind=kind, machine=QUIET | {"memory_peak_bytes": peak})
        return replace(one, timing=dict(one.timing) | {"load": load})

    records = [held(0, 10, 1.0), held(0, 40, None), held(1, 20, 1.0), held(1, 30, None)]
    found = told(study, [*records, call("q4_0", 0, 1.0)])["arms"]["f16"]
    assert found["memory_peaks_bytes"] == [40, 30]
    assert found["memory_peak_bytes"] == 40
