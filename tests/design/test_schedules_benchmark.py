"""The simulated case of few loads and a drifting machine, on fewer seeds than in the benchmark."""

from __future__ import annotations

import pytest

import schedules


def test_auto_is_six_times_as_fast_as_round_robin_and_not_biased_by_a_drift() -> None:
    found = {
        name: [schedules.simulate(name, seed, schedules.SHAPES["linear"]) for seed in range(4)]
        for name in schedules.SCHEDULES
    }
    for auto, rotated in zip(found["auto"], found["round_robin"], strict=True):
        assert rotated.total > 6 * auto.total
        assert abs(auto.bias) < 0.01
    # what it saves the user from: the middles of the first and last third, 2/3 of 20 % apart
    assert found["sequential"][0].bias == pytest.approx(-0.2 * 2 / 3, abs=0.02)


def test_by_hand_the_clock_adds_loads_and_work() -> None:
    calls, _ = schedules.order("sequential", 1)
    total, spent = schedules.clock(calls, schedules.work(1), lambda _: 1.0)
    assert total == pytest.approx(2000 + 1000 + 10.8 + 6.0 + 5.0)
    assert sum(spent.values()) == pytest.approx(2000)
