import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats import bca_ratios, bootstrap_ratios
from quantrial.stats.bca import _acceleration, _bias_correction, _corrected, without_each
from stats.corpora import f1_columns

Array = NDArray[np.float64]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_bca_ratios_by_hand_corrections() -> None:
    # two of four below and none at the estimate: no bias; half of a tie counts
    assert _bias_correction(np.array([1.0, 2.0, 4.0, 5.0]), 3.0) == 0.0
    assert _bias_correction(np.array([3.0, 3.0, 4.0, 5.0]), 3.0) == pytest.approx(
        -0.674490, abs=1e-6
    )
    assert math.isnan(_bias_correction(np.array([4.0, 5.0]), 3.0))
    # pulls -1, -1, 2 about the mean: 6 / (6 * 6 ** 1.5)
    assert _acceleration(np.array([1.0, 1.0, -2.0])) == pytest.approx(6 / (6 * 6**1.5))
    assert _corrected(0.0, 0.0, 0.0) == 0.5
    assert _corrected(-1.0, 0.5, 0.1) == pytest.approx(0.509498, abs=1e-6)  # z = .5 - .5 / 1.05
    assert math.isnan(_corrected(3.0, 2.0, 0.25))


def test_bca_ratios_by_hand_of_a_statistic_without_skew_is_the_percentile_interval() -> None:
    scores = np.array([[1.0, 0.0]] * 40 + [[0.0, 1.0]] * 40 + [[1.0, 1.0]] * 120)
    ours = bca_ratios(scores, np.ones((200, 2)), rng=rng(3))
    plain = bootstrap_ratios(scores, np.ones((200, 2)), rng=rng(3))
    interval = plain.difference(candidate=1, reference=0).interval()
    assert ours.interval.low == pytest.approx(interval.low, abs=0.011)
    assert ours.interval.high == pytest.approx(interval.high, abs=0.011)
    assert (ours.estimate, ours.n, ours.interval.method) == (0.0, 200, "bootstrap-bca")


@pytest.mark.parametrize(("seed", "n"), [(4, 120), (5, 30)])
def test_bca_ratios_against_reference_scipy(seed: int, n: int) -> None:
    from scipy import stats

    top, bottom = f1_columns(rng(seed), n)

    def contrast(a: Array, b: Array, c: Array, d: Array, axis: int) -> Any:
        return a.sum(axis) / b.sum(axis) - c.sum(axis) / d.sum(axis)

    theirs = stats.bootstrap(
        (top[:, 1], bottom[:, 1], top[:, 0], bottom[:, 0]),
        contrast,
        paired=True,
        method="BCa",
        n_resamples=10_000,
        rng=rng(1),
    ).confidence_interval
    ours = bca_ratios(top, bottom, rng=rng(2)).interval
    width = ours.high - ours.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_bca_ratios_against_reference_scipy_moves_away_from_the_percentiles() -> None:
    # eight large losses in 100 items: scipy's BCa lies lower than its percentiles, and so must ours
    from scipy import stats

    change = np.concatenate([-rng(1).exponential(1.0, 8), np.zeros(92)])
    theirs = stats.bootstrap(
        (change,), np.mean, method="BCa", n_resamples=10_000, rng=rng(1)
    ).confidence_interval
    scores, ones = np.stack([np.zeros(100), change], axis=1), np.ones((100, 2))
    ours = bca_ratios(scores, ones, rng=rng(2)).interval
    plain = bootstrap_ratios(scores, ones, rng=rng(2)).difference(candidate=1, reference=0)
    width = ours.high - ours.low
    assert ours.low == pytest.approx(theirs.low, abs=0.04 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.04 * width)
    assert plain.interval().low - ours.low > 0.06 * width


def test_bca_ratios_against_simulation_covers_where_many_items_differ() -> None:
    generator, hits = rng(6), 0
    for _ in range(300):
        draw = generator.choice([-1, 0, 1], size=300, p=[0.12, 0.8, 0.08])
        scores = np.stack([draw == -1, draw == 1], axis=1).astype(float)
        interval = bca_ratios(scores, np.ones((300, 2)), rng=generator, resamples=400).interval
        hits += interval.low <= -0.04 <= interval.high
    assert hits / 300 == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 300))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_bca_ratios_property_the_jackknife_equals_leaving_items_out(seed: int, n: int) -> None:
    top, bottom = f1_columns(rng(seed), n)
    slow = []
    for i in range(n):
        t, b = np.delete(top, i, axis=0).sum(axis=0), np.delete(bottom, i, axis=0).sum(axis=0)
        ratios = [x / y if y > 0 else 1.0 for x, y in zip(t, b, strict=True)]
        slow.append(ratios[1] - ratios[0])
    np.testing.assert_allclose(without_each(top, bottom, 1.0), slow, atol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_bca_ratios_property_repeats_and_turns_round_with_the_arms(seed: int) -> None:
    top, bottom = f1_columns(rng(seed), 60)
    first, second = (bca_ratios(top, bottom, rng=rng(1), resamples=300) for _ in range(2))
    turned = bca_ratios(top[:, ::-1], bottom[:, ::-1], rng=rng(1), resamples=300)
    assert first == second
    assert turned.estimate == -first.estimate
    assert turned.interval.low == pytest.approx(-first.interval.high, abs=1e-9)


@pytest.mark.parametrize(
    "scores", [np.ones((30, 2)), np.array([[1.0, 0.0]]), np.tile([1, 0], (9, 1))]
)
def test_bca_without_variation_is_nan_with_a_warning(scores: Array) -> None:
    with pytest.warns(StatisticsWarning, match="no BCa interval"):
        result = bca_ratios(scores, np.ones(scores.shape), rng=rng(), resamples=100)
    assert math.isnan(result.interval.low)
    assert math.isnan(result.interval.high)


def test_bca_leaves_out_resamples_without_a_ratio() -> None:
    top = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    bottom = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    with pytest.warns(StatisticsWarning, match="left out of the interval"):
        result = bca_ratios(top, bottom, rng=rng(), resamples=2000, empty=math.nan)
    assert result.interval.low < result.estimate < result.interval.high


def test_bca_refuses_what_it_cannot_answer() -> None:
    ones = np.ones((3, 2))
    with pytest.raises(StatisticsError, match="two columns"):
        bca_ratios(np.ones((3, 1)), np.ones((3, 1)), rng=rng())
    with pytest.raises(StatisticsError, match="confidence"):
        bca_ratios(ones, ones, rng=rng(), confidence=1.0)
    with pytest.raises(StatisticsError, match="resamples is 0"):
        bca_ratios(ones, ones, rng=rng(), resamples=0)
    with pytest.raises(InsufficientDataError, match="no item"):
        bca_ratios(np.ones((0, 2)), np.ones((0, 2)), rng=rng())
