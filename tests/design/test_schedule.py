from __future__ import annotations

from collections import Counter
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.design.plan import DISCORDANCES, prospects
from quantrial.design.schedule import round_robin

NAMES = st.lists(st.text("abcdefgh", min_size=1), min_size=1, max_size=6, unique=True)


@given(arms=NAMES, items=NAMES, others=NAMES, seed=st.integers(0, 2**63 - 1))
def test_property_every_arm_answers_every_item_once(
    arms: list[str], items: list[str], others: list[str], seed: int
) -> None:
    calls = round_robin({"one": items, "two": others}, arms, seed=seed)
    assert [call.order for call in calls] == list(range(len(arms) * (len(items) + len(others))))
    assert len({(c.task, c.item, c.arm) for c in calls}) == len(calls)
    for block in range(len(items) + len(others)):
        inside = calls[block * len(arms) : (block + 1) * len(arms)]
        assert {c.block for c in inside} == {block}
        assert {c.arm for c in inside} == set(arms)


@given(arms=NAMES, seed=st.integers(0, 2**63 - 1))
def test_property_each_arm_takes_each_position_equally_often(arms: list[str], seed: int) -> None:
    items = [str(i) for i in range(3 * len(arms))]
    calls = round_robin({"t": items}, arms, seed=seed)
    positions = Counter((call.arm, call.order % len(arms)) for call in calls)
    assert set(positions.values()) == {3}


def test_by_hand_the_order_rotates_by_one() -> None:
    calls = round_robin({"t": ["i", "j", "k"]}, ["a", "b", "c"], seed=1)
    first, second, third = ([c.arm for c in calls[i : i + 3]] for i in (0, 3, 6))
    assert second == first[1:] + first[:1]
    assert third == first[2:] + first[:2]


def test_the_first_order_is_drawn_from_the_seed() -> None:
    firsts = {
        tuple(c.arm for c in round_robin({"t": ["i"]}, ["a", "b", "c"], seed=seed))
        for seed in range(60)
    }
    assert len(firsts) == 6, "every order of three arms occurs"


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
