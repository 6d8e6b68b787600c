from __future__ import annotations

from collections import Counter
from itertools import groupby, pairwise
from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.design.orders import Draws
from quantrial.design.plan import DISCORDANCES, prospects
from quantrial.design.schedule import Call, Order, Schedule, calls_of, decide
from quantrial.running.planning import loads_of
from quantrial.study import Design

NAMES = st.lists(st.text("abcdefgh", min_size=1), min_size=1, max_size=6, unique=True)
SCHEDULES: tuple[Schedule, ...] = ("blocked", "round_robin", "sequential")
ORDERS = st.sampled_from(SCHEDULES)


def ids(n: int, prefix: str = "i") -> list[str]:
    return [f"{prefix}{j}" for j in range(n)]


def calls(order: Order, counts: dict[str, int], arms: str = "abc", seed: int = 1) -> list[Call]:
    items = {task: ids(n, task) for task, n in counts.items()}
    return list(calls_of(order, items, list(arms), reference=arms[0], seed=seed))


@given(arms=NAMES, one=NAMES, two=NAMES, seed=st.integers(0, 2**63 - 1), data=st.data())
def test_property_every_arm_answers_every_item_once_and_the_reference_some_twice(
    arms: list[str], one: list[str], two: list[str], seed: int, data: st.DataObject
) -> None:
    total = len(one) + len(two)
    schedule = data.draw(ORDERS)
    allowed = {"blocked": [*range(1, max(len(one), len(two)) + 1), total], "round_robin": [total]}
    blocks = data.draw(st.sampled_from(allowed.get(schedule, [1])))
    repeats = data.draw(st.integers(0, 4))
    found = calls_of(
        Order(schedule, blocks, repeats),
        {"one": one, "two": two},
        arms,
        reference=arms[0],
        seed=seed,
    )
    assert [call.order for call in found] == list(range(len(found)))
    first = [(c.task, c.item, c.arm) for c in found if c.replicate == 0]
    assert len(first) == len(set(first)) == len(arms) * total
    again = [(c.task, c.item) for c in found if c.replicate == 1]
    assert len(again) == len(set(again)) == min(repeats, len(one)) + min(repeats, len(two))
    assert {c.arm for c in found if c.replicate} <= {arms[0]}
    # blocks follow one another, none is empty, and in each every arm answers the same items
    assert [block for block, _ in groupby(found, key=lambda c: c.block)] == list(range(blocks))
    for _, inside in groupby(found, key=lambda c: c.block):
        turns = [
            (arm, [(c.task, c.item) for c in turn if not c.replicate])
            for arm, turn in groupby(inside, key=lambda c: c.arm)
        ]
        assert sorted(arm for arm, _ in turns) == sorted(arms)
        assert len({tuple(asked) for _, asked in turns}) == 1


@given(arms=NAMES, seed=st.integers(0, 2**63 - 1))
def test_property_round_robin_gives_each_arm_each_position_equally_often(
    arms: list[str], seed: int
) -> None:
    n = 3 * len(arms)
    order = Order("round_robin", n)
    found = calls_of(order, {"t": ids(n)}, arms, reference=arms[0], seed=seed)
    positions = Counter((call.arm, call.order % len(arms)) for call in found)
    assert set(positions.values()) == {3}


def test_by_hand_the_order_of_round_robin_rotates_by_one() -> None:
    found = calls(Order("round_robin", 3), {"t": 3})
    first, second, third = ([c.arm for c in found[i : i + 3]] for i in (0, 3, 6))
    assert second == first[1:] + first[:1]
    assert third == first[2:] + first[:2]


def test_the_first_order_is_drawn_from_the_seed() -> None:
    for schedule in SCHEDULES[:2]:
        firsts = {
            tuple(c.arm for c in calls(Order(schedule, 1), {"t": 1}, seed=seed))
            for seed in range(80)
        }
        assert len(firsts) == 6, "every order of three arms occurs"


def test_round_robin_is_what_runs_without_a_recorded_order_were_asked_in() -> None:
    # printf '1\0a' | sha256sum begins with 03a9, that of b with 68be, of c with 75ee
    assert [c.arm for c in calls(Order("round_robin", 1), {"t": 1})] == ["a", "b", "c"]


def test_by_hand_few_blocks_hold_their_share_of_every_task() -> None:
    found = calls(Order("blocked", 2), {"p": 4, "q": 2}, arms="ab")
    blocks = [
        [(arm, [c.item for c in turn]) for arm, turn in groupby(inside, key=lambda c: c.arm)]
        for _, inside in groupby(found, key=lambda c: c.block)
    ]
    assert [dict(block) for block in blocks] == [
        {"a": ["p0", "p1", "q0"], "b": ["p0", "p1", "q0"]},
        {"a": ["p2", "p3", "q1"], "b": ["p2", "p3", "q1"]},
    ]
    # ABBA
    assert [arm for block in blocks for arm, _ in block] in (list("abba"), list("baab"))


def test_blocks_of_one_item_take_one_task_after_the_other() -> None:
    found = calls(Order("blocked", 5), {"p": 3, "q": 2}, arms="ab")
    assert [c.item for c in found[::2]] == ["p0", "p1", "p2", "q0", "q1"]


def test_the_second_time_is_half_a_task_away() -> None:
    n = 40
    found = calls(Order("blocked", n, repeats=10), {"t": n}, arms="ab")
    block = {(c.item, c.replicate): c.block for c in found if c.arm == "a"}
    apart = [abs(at - block[item, 0]) for (item, again), at in block.items() if again]
    assert len(apart) == 10
    assert set(apart) == {n // 2}
    # which items: by their hash, so that some lie in either half
    assert {at < n // 2 for (_, again), at in block.items() if again} == {True, False}


# ------------------------------------------------------------------ decide

LOADS: dict[str, float | None] = {"f16": 10.8, "q8_0": 6.0, "q4_k_m": 5.0}
UNKNOWN: dict[str, float | None] = dict.fromkeys(LOADS)


def decided(
    design: dict[str, Any], counts: list[int], *, together: bool, **more: Any
) -> tuple[str, int]:
    order = decide(Design(**design), counts, more.pop("loads", UNKNOWN), seed=3, together=together,
                   **more)  # fmt: skip
    return order.schedule, order.blocks


def test_arms_that_fit_are_asked_in_blocks_of_one_item() -> None:
    assert decided({}, [500, 300], together=True) == ("blocked", 800)


def test_with_several_slots_a_turn_keeps_them_busy() -> None:
    # 8 calls a slot: 800 items in turns of 32
    assert decided({"slots": 4}, [500, 300], together=True) == ("blocked", 25)
    # and never fewer than 8 blocks for it
    assert decided({"slots": 4}, [60], together=True) == ("blocked", 8)


def test_arms_that_do_not_fit_get_eight_blocks_where_loading_is_unknown() -> None:
    assert decided({}, [500, 300], together=False) == ("blocked", 8)
    assert decided({}, [5], together=False) == ("blocked", 5)


def test_by_hand_as_many_blocks_as_keep_loading_under_five_percent() -> None:
    """950 s of answers allow 50 loads of 1 s: one within each block, some between.

    Between a block and its reverse nothing is loaded (AB BA), between pairs perhaps.
    """
    order = decide(
        Design(), [10_000], {"a": 1.0, "b": 1.0}, seed=3, together=False, answer_seconds=950
    )
    found = calls(order, {"t": 10_000}, arms="ab", seed=3)
    count = sum(loads_of(found, "ab", together=False).values())
    assert order.load_seconds == count <= 50
    assert order.blocks % 2 == 0
    more = calls(Order("blocked", order.blocks + 2), {"t": 10_000}, arms="ab", seed=3)
    assert sum(loads_of(more, "ab", together=False).values()) > 50, (
        "two more blocks would take too long"
    )


def test_the_published_case_gets_eight_blocks_and_says_what_loading_takes() -> None:
    order = decide(Design(), [500, 300], LOADS, seed=3, together=False, answer_seconds=3000.0)
    assert order.blocks == 8
    assert order.load_seconds is not None
    # 8 blocks of 3 loads, less one in every pair, at 5.0 to 10.8 s a load
    assert 16 * 5.0 < order.load_seconds < 20 * 10.8
    assert order.because == (
        "the arms do not fit in memory together: the fewest blocks there may be; with more, "
        "loading would pass 5 % of the run"
    )


def test_why_there_are_so_many_blocks_never_contradicts_itself() -> None:
    """Many where loading is quick; where it is slow, or not timed, no word of keeping a share."""
    cases: list[tuple[float | None, float | None, str]] = [
        (1.0, 950.0, "as many blocks as keep loading under 5 % of the run"),
        (1.0, 10.0, "with more, loading would pass 5 % of the run"),
        (None, None, "as it is not known how long loading takes"),
    ]
    for load, seconds, said in cases:
        order = decide(
            Design(),
            [10_000],
            dict.fromkeys("ab", load),
            seed=3,
            together=False,
            answer_seconds=seconds,
        )
        assert order.because.endswith(said)
        assert (order.blocks > 8) == ("as many" in order.because)


def test_loading_that_costs_nothing_allows_blocks_of_one_item_of_the_longest_task() -> None:
    free: dict[str, float | None] = {"a": 0.0, "b": 0.0}
    assert decided({}, [50, 30], together=False, loads=free, answer_seconds=10.0)[1] == 50


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ({"schedule": "blocked"}, ("blocked", 8)),
        ({"schedule": "blocked", "blocks": 20}, ("blocked", 20)),
        ({"blocks": 20}, ("blocked", 20)),
        ({"blocks": 10_000}, ("blocked", 800)),
        ({"blocks": 600}, ("blocked", 500)),  # between the longest task and all: none stays empty
        ({"schedule": "round_robin"}, ("round_robin", 800)),
        ({"schedule": "sequential"}, ("sequential", 1)),
    ],
)
def test_what_the_study_says_holds_whether_arms_fit_or_not(
    design: dict[str, Any], expected: tuple[str, int]
) -> None:
    for together in (True, False):
        assert decided(design, [500, 300], together=together) == expected


def test_blocks_without_a_schedule_that_has_any_are_refused() -> None:
    with pytest.raises(ValueError, match="`blocks` has no effect under the schedule 'sequential'"):
        Design(schedule="sequential", blocks=3)


def test_by_hand_loads_are_changes_of_arm() -> None:
    order = ["a", "b", "b", "a", "a", "c"]
    made = [Call(i, 0, "t", str(i), arm) for i, arm in enumerate(order)]
    assert loads_of(made, "abc", together=False) == {"a": 2, "b": 1, "c": 1}
    assert sum(1 for one, other in pairwise(order) if one != other) + 1 == 4


# ------------------------------------------------------------------ draws


def test_draws_are_even_and_the_same_every_time() -> None:
    numbers = [Draws(5, "x").random() for _ in range(3)]
    assert len(set(numbers)) == 1
    assert Draws(5, "x").random() != Draws(6, "x").random() != Draws(5, "y").random()
    draws = Draws(5, "x")
    many = np.array([draws.random() for _ in range(4000)])
    # mean and spread of the uniform distribution: 1/2 and 1/sqrt(12); five standard errors
    assert abs(many.mean() - 0.5) < 5 / sqrt(12 * 4000)
    assert abs(many.std() - 1 / sqrt(12)) < 0.01
    orders = Counter(tuple(Draws(seed, "p").permutation(3)) for seed in range(600))
    assert len(orders) == 6
    assert min(orders.values()) > 60  # 100 each, five standard errors are 46


def test_draws_are_those_of_sha256() -> None:
    # printf '5\nx\n1' | sha256sum: the first 12 digits over 16^12
    assert Draws(5, "x").random() == int("24714575d8ce", 16) / 16**12


def test_by_hand_what_a_size_can_detect() -> None:
    found = {p.discordance: p for p in prospects(400, 0.03, alpha=0.05)}
    assert tuple(found) == DISCORDANCES
    # (1.959964 + 0.841621) * sqrt(.05 / 400)
    assert found[0.05].detectable == pytest.approx(2.801585 * sqrt(0.05 / 400), rel=1e-6)
    # TOST at a true difference of 0 with 80 % power: n = (z_.95 + z_.90)^2 psi / margin^2
    by_hand = (1.644854 + 1.281552) ** 2 * 0.05 / 0.03**2
    assert found[0.05].items_for_margin == pytest.approx(by_hand, abs=1)


def test_one_item_promises_nothing() -> None:
    assert prospects(1, 0.03, alpha=0.05) == ()
