import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats import TestResult, mcnemar, sign_flip
from quantrial.stats.permutation import share_reached
from stats.corpora import f1_columns

Array = NDArray[np.float64]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def skew_corrected(changes: Array, axis: int = -1) -> Array:
    """Johnson's t of changes, taken about zero."""
    square = (changes**2).sum(axis)
    t = changes.sum(axis) / np.sqrt(square)
    return np.asarray(np.abs(t + (changes**3).sum(axis) / square**1.5 * (1 + 2 * t**2) / 6))


def by_swapping(top: Array, bottom: Array) -> float:
    """Every swap of every item, one after the other."""
    common = top.sum() / bottom.sum() if bottom.sum() > 0 else 1.0
    changes = (top[:, 1] - top[:, 0]) - common * (bottom[:, 1] - bottom[:, 0])
    if np.abs(changes).max() < 1e-12:
        return 1.0
    observed = skew_corrected(changes)
    swaps = [
        skew_corrected(changes * np.array(signs)) >= observed - 1e-10
        for signs in itertools.product([1.0, -1.0], repeat=changes.size)
    ]
    return float(np.mean(swaps))


def test_sign_flip_by_hand_three_losses() -> None:
    scores = np.array([[1.0, 0.0]] * 3 + [[1.0, 1.0]] * 7)
    result = sign_flip(scores, np.ones((10, 2)), rng=rng())
    assert result == TestResult(0.25, result.statistic, "two-sided", "sign-flip-exact", 10)
    assert result.statistic == pytest.approx(-0.3)


def test_sign_flip_by_hand_without_a_change_p_is_one() -> None:
    same = np.ones((5, 2))
    assert sign_flip(same, same, rng=rng()).p_value == 1.0


def test_sign_flip_property_on_binary_scores_is_exact_mcnemar() -> None:
    scores = np.array([[1.0, 0.0]] * 27 + [[0.0, 1.0]] * 19 + [[1.0, 1.0]] * 54)
    p = sign_flip(scores, np.ones((100, 2)), rng=rng()).p_value
    assert p == pytest.approx(mcnemar(27, 19, n=100, method="exact").p_value)


def test_sign_flip_by_hand_drawn_swaps_count_the_observed_one() -> None:
    scores = rng(1).normal([0.0, 2.0], 0.1, size=(40, 2))
    result = sign_flip(scores, np.ones((40, 2)), rng=rng(), resamples=999)
    assert (result.p_value, result.method) == (1 / 1000, "sign-flip")


@pytest.mark.parametrize("case", range(3))
def test_sign_flip_against_reference_scipy_of_every_swap(
    scipy_values: dict[str, Any], case: int
) -> None:
    one = scipy_values["sign_flip"][case]
    ours = sign_flip(one["top"], one["bottom"], rng=rng(1), resamples=40_000)
    if ours.method == "sign-flip-exact":
        assert ours.p_value == pytest.approx(one["p"], rel=1e-12)
    else:
        error = math.sqrt(one["p"] * (1 - one["p"]) / 40_000)
        assert ours.p_value == pytest.approx(one["p"], abs=4 * error)


@pytest.mark.parametrize("case", range(4))
def test_sign_flip_against_reference_exactranktests(r_values: dict[str, Any], case: int) -> None:
    one = r_values["sign_flip"][case]
    scores = np.array([one["reference"], one["candidate"]], dtype=np.float64).T
    ours = sign_flip(scores, np.ones_like(scores), rng=rng())
    assert ours.method == "sign-flip-exact"
    assert ours.p_value == pytest.approx(one["p"], rel=1e-12)


def test_sign_flip_against_simulation_keeps_its_level() -> None:
    generator, rejected = rng(8), 0
    for _ in range(500):
        top, bottom = f1_columns(generator, 60, gold=1.2, spurious=0.3)
        swap = generator.random((60, 1)) < 0.5  # then neither arm is better
        top = np.where(swap, top[:, ::-1], top)
        bottom = np.where(swap, bottom[:, ::-1], bottom)
        result = sign_flip(top, bottom, rng=generator, resamples=199)
        rejected += result.p_value <= 0.05
    assert rejected / 500 <= 0.055 + 3 * math.sqrt(0.05 * 0.95 / 500)
    assert rejected >= 5


def test_sign_flip_against_simulation_keeps_its_level_without_symmetry() -> None:
    # no true difference, but a loss is three times the size of a gain, and as many times rarer
    generator, rejected = rng(10), 0
    for _ in range(600):
        change = generator.choice([0.0, 1.0, -3.0], size=400, p=[0.8, 0.15, 0.05])
        scores = np.stack([np.full(400, 3.0), 3.0 + change], axis=1)
        result = sign_flip(scores, np.ones((400, 2)), rng=generator, resamples=199)
        rejected += result.p_value <= 0.05
    assert rejected / 600 <= 0.055 + 3 * math.sqrt(0.05 * 0.95 / 600)


def test_sign_flip_of_changes_that_cancel_in_the_ratio_is_one() -> None:
    top, bottom = (
        np.tile([[1.0, 2.0], [1.0, 1.0]], (9, 1)),
        np.tile([[2.0, 4.0], [2.0, 2.0]], (9, 1)),
    )
    result = sign_flip(top, bottom, rng=rng())
    assert (result.p_value, result.statistic) == (1.0, 0.0)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_sign_flip_property_equals_every_swap(seed: int, n: int) -> None:
    top, bottom = f1_columns(rng(seed), n, gold=1.2, spurious=0.3)
    result = sign_flip(top, bottom, rng=rng())
    assert result.method == "sign-flip-exact"
    assert result.p_value == pytest.approx(by_swapping(top, bottom))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_sign_flip_property_blind_to_direction_and_repeatable(seed: int) -> None:
    top, bottom = f1_columns(rng(seed), 80, gold=1.2, spurious=0.3)
    here = sign_flip(top, bottom, rng=rng(3), resamples=400)
    again = sign_flip(top, bottom, rng=rng(3), resamples=400)
    there = sign_flip(top[:, ::-1], bottom[:, ::-1], rng=rng(3), resamples=400)
    assert here == again
    assert there.p_value == here.p_value
    assert there.statistic == pytest.approx(-here.statistic)


def test_sign_flip_property_drawn_and_counted_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    top, bottom = f1_columns(rng(15), 12, gold=1.2, spurious=0.3)
    exact = sign_flip(top, bottom, rng=rng())
    monkeypatch.setattr("quantrial.stats.permutation._ENUMERATE_UP_TO", 0)
    drawn = sign_flip(top, bottom, rng=rng(1), resamples=20_000)
    assert (exact.method, drawn.method) == ("sign-flip-exact", "sign-flip")
    assert 0.02 < exact.p_value < 0.98
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.015)


def test_sign_flip_swaps_whole_clusters() -> None:
    scores = np.array([[1.0, 0.0]] * 12 + [[1.0, 1.0]] * 8)
    labels = [0] * 4 + [1] * 4 + [2] * 4 + [3] * 8
    result = sign_flip(scores, np.ones((20, 2)), rng=rng(), clusters=labels)
    assert (result.p_value, result.clusters) == (0.25, 4)


def test_sign_flip_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(InsufficientDataError, match="no item"):
        sign_flip(np.ones((0, 2)), np.ones((0, 2)), rng=rng())
    with pytest.raises(StatisticsError, match="two columns"):
        sign_flip(np.ones((3, 1)), np.ones((3, 1)), rng=rng())
    with pytest.raises(StatisticsError, match="resamples is 0"):
        sign_flip(np.ones((3, 2)), np.ones((3, 2)), rng=rng(), resamples=0)


def test_sign_flip_draws_on_where_p_is_small_by_hand() -> None:
    # 300 losses of unequal size all one way: no draw comes near, 1 / 500, then 1 / 2000
    top = np.stack([np.linspace(1.0, 2.0, 300), np.zeros(300)], axis=1)
    ones = np.ones((300, 2))
    first, more = (sign_flip(top, ones, rng=rng(), resamples=499, most=most) for most in (0, 1999))
    assert (first.p_value, more.p_value) == (1 / 500, 1 / 2000)
    # one that is not small is that of the first draws, the same ones
    even = np.stack([np.linspace(1.0, 2.0, 300), np.linspace(1.0, 2.0, 300)[::-1]], axis=1)
    assert sign_flip(even, ones, rng=rng(), resamples=499) == sign_flip(
        even, ones, rng=rng(), resamples=499, most=1999
    )


def test_share_reached_against_simulation_keeps_its_level_at_every_t() -> None:
    # under the null the observed is one of the draws: p of a uniform rank, at 99 draws, then 999
    generator, found = rng(4), []
    for _ in range(4000):
        observed = generator.random()
        count = lambda more, least=observed: int((generator.random(more) >= least).sum())  # noqa: E731
        found.append(share_reached([count], 99, 999))
    p = np.array(found)
    for t in (0.002, 0.01, 0.05, 0.1, 0.11, 0.12, 0.5):
        assert (p <= t).mean() <= t + 3 * math.sqrt(t * (1 - t) / 4000)
    assert (p < 0.01).mean() > 0.006  # which 99 draws cannot tell


@pytest.mark.parametrize("tied", [0, 300])
def test_against_simulation_of_many_distinct_changes(tied: int) -> None:
    # changes that occur once are drawn as bits, the others as binomial counts
    draw = rng(5)
    changes = np.concatenate([draw.normal(0.03, 1.0, 1_500), draw.choice([-0.5, 0.5], tied)])
    pairs = np.stack([np.zeros(changes.size), changes], axis=1)
    found = sign_flip(pairs, np.ones_like(pairs), rng=rng(1), resamples=4_000)
    swapped = draw.choice([-1.0, 1.0], size=(4_000, changes.size)) * changes
    wanted = float((skew_corrected(swapped) >= skew_corrected(changes)).mean())
    assert 0.02 < wanted < 0.5
    assert found.p_value == pytest.approx(wanted, abs=4 * math.sqrt(2 * wanted / 4_000))
