"""Williams designs, and the orders of arms that are drawn from them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from quantrial.design.orders import balanced_orders, williams


def test_four_treatments_by_hand() -> None:
    # Williams (1949): 0 3 1 2 and its shifts
    assert williams(4) == ((0, 3, 1, 2), (1, 0, 2, 3), (2, 1, 3, 0), (3, 2, 0, 1))


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6, 7])
def test_every_treatment_takes_every_place_and_follows_every_other_equally_often(k: int) -> None:
    rows = williams(k)
    assert len(rows) == (k if k % 2 == 0 else 2 * k)
    places = Counter((place, t) for row in rows for place, t in enumerate(row))
    follows = Counter(pair for row in rows for pair in pairwise(row))
    assert set(places.values()) == {len(rows) // k}
    assert len(follows) == k * (k - 1)
    assert len(set(follows.values())) == 1


def test_two_arms_are_asked_in_turn_and_in_reverse() -> None:
    orders = balanced_orders("AB", 6, rng=np.random.default_rng(3))
    for first, second in zip(orders[::2], orders[1::2], strict=True):
        assert first == second[::-1]


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_a_linear_drift_touches_all_arms_alike_over_an_even_number_of_blocks(k: int) -> None:
    arms = "ABCDE"[:k]
    orders = balanced_orders(arms, 12, rng=np.random.default_rng(7))
    times = dict.fromkeys(arms, 0)
    clock = 0
    for pair in zip(orders[::2], orders[1::2], strict=True):
        for place, arm in enumerate(arm for order in pair for arm in order):
            times[arm] += clock + place
        clock += 2 * k
    assert len(set(times.values())) == 1


def test_the_design_is_whole_before_an_order_comes_again() -> None:
    orders = balanced_orders("ABC", 12, rng=np.random.default_rng(1))
    assert len(set(orders[:6])) == 6
    assert Counter(orders) == dict.fromkeys(orders[:6], 2)


def test_orders_follow_from_the_generator() -> None:
    drawn = [balanced_orders("ABCD", 9, rng=np.random.default_rng(s)) for s in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 9
