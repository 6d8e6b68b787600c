"""A machine that slows down by a fifth: what is found, and how near the bias comes to the truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.fabricated import make_response, make_study, quiz
from quantrial.analysis import score_task
from quantrial.analysis.speed.timings import drift
from quantrial.design.schedule import Order, calls_of
from quantrial.documents import to_dict
from quantrial.tasks import make_task

ITEMS = quiz(120)
PACE = {"ref": 0.1, "new": 0.06, "old": 0.05}  # seconds a token


def found(plan: Order, slowdown: float, **changes: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """Return what is derived, and the true bias of each candidate's ratio of speeds."""
    study = make_study(arms=("ref", "new", "old"))
    calls = calls_of(
        plan, {"quiz": [item.id for item in ITEMS]}, list(PACE), reference="ref", seed=3
    )
    by_id = {item.id: item for item in ITEMS}
    responses: dict[str, list[Any]] = {arm: [] for arm in PACE}
    spent = dict.fromkeys(PACE, 0.0)
    done = dict.fromkeys(PACE, 0)
    for call in calls:
        tokens = 5 + int(call.item[1:]) % 7
        pace = 1 + slowdown * call.order / (len(calls) - 1)
        seconds = tokens * PACE[call.arm] * pace
        timing = {"load": None, "prompt": 0.1, "decode": seconds, "wall": seconds + 0.1}
        made = make_response(
            by_id[call.item],
            call.arm,
            "A",
            order=call.order,
            block=call.block,
            completion_tokens=tokens,
            timing=timing,
        )
        responses[call.arm].append(replace(made, **changes))
        spent[call.arm] += seconds
        done[call.arm] += tokens
    scored = score_task(make_task("quiz", study.tasks["quiz"]), ITEMS, responses)
    speed = {arm: done[arm] / spent[arm] for arm in PACE}
    bias = {
        arm: speed[arm] / speed["ref"] / (PACE["ref"] / PACE[arm]) - 1
        for arm in PACE
        if arm != "ref"
    }
    said = drift(scored, "ref", alpha=0.05)
    return {arm: to_dict(one) for arm, one in said.items()}, bias


def test_one_arm_after_the_other_is_biased_and_it_is_said_by_how_much() -> None:
    said, bias = found(Order("sequential", 1), 0.2)
    # the middles of the first and the last third of the run, at 1 + x / 5
    assert bias["old"] == pytest.approx(1.0333 / 1.1667 - 1, abs=0.002)
    for arm in ("new", "old"):
        # one block: no interval, and no block to tell from its arm by
        assert said[arm]["bias_linear"] == pytest.approx(bias[arm], abs=0.012)
        assert (said[arm]["stretches"], said[arm]["bias_blocks"]) == (1, None)
    assert said["ref"]["bias_linear"] is None


def test_balanced_blocks_find_the_drift_and_are_not_biased_by_it() -> None:
    said, bias = found(Order("blocked", 8), 0.2)
    assert abs(bias["new"]) < 0.005
    line = said["new"]["linear"]
    # relative to the mean pace, 1.1: a change of 0.2 / 1.1
    assert line["change"] == pytest.approx(0.2 / 1.1, rel=0.03)
    assert line["ci"][0] < line["change"] < line["ci"][1]
    assert said["new"]["stretches"] == 8
    for arm in ("new", "old"):
        assert said[arm]["bias_linear"] == pytest.approx(bias[arm], abs=0.002)
        assert said[arm]["bias_blocks"] == pytest.approx(0, abs=0.005)
        assert said[arm]["bias_linear_bound"] >= abs(said[arm]["bias_linear"])
    # from the middle of the first eighth to that of the last
    assert said["ref"]["stretch_range"] == pytest.approx(1.1875 / 1.0125 - 1, abs=0.01)


def test_blocks_of_one_item_are_taken_together() -> None:
    said, _ = found(Order("blocked", len(ITEMS)), 0.2)
    assert said["new"]["stretches"] == 24
    assert abs(said["new"]["bias_linear_bound"]) < 1e-3


def test_a_steady_machine_has_no_drift() -> None:
    said, bias = found(Order("blocked", 8), 0.0)
    assert bias["new"] == pytest.approx(0, abs=1e-12)
    assert said["new"]["linear"]["change"] == pytest.approx(0, abs=1e-12)
    assert said["new"]["stretch_range"] == pytest.approx(0, abs=1e-9)


def test_without_timings_nothing_is_said() -> None:
    empty = {"load": None, "prompt": None, "decode": None, "wall": 1.0}
    assert found(Order("blocked", 8), 0.2, timing=empty)[0] == {}


def test_answers_after_a_load_are_left_out() -> None:
    said, _ = found(Order("blocked", 8), 0.2, timing={"load": 3.0, "decode": 1.0})
    assert said == {}


def test_calls_without_an_order_say_nothing() -> None:
    assert found(Order("blocked", 8), 0.2, order=0)[0] == {}
