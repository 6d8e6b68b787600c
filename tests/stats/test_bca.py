import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from characteristics.resampled import (
    _acceleration,
    _bias_correction,
    _corrected,
    bca_ratios,
    without_each,
)
from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats import bootstrap_ratios
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


def test_bca_ratios_by_hand_of_three_items() -> None:
    # scores 0, 0, 1: resampled means are 0, 1/3, 2/3, 1 with chances 8, 12, 6 and 1 of 27. Half of
    # the ties at 1/3 are below: z0 = z(14/27) = .0464. Left out one by one: 1/2, 1/2, 0, so that
    # a = 1/36 / (6 * (1/6)^1.5) = .0680. At 90 % the ends are the shares .0815 and .9749, that is 0
    # and 1; the share .95 of the percentile interval is 2/3
    scores = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    ours = bca_ratios(scores, np.ones((3, 2)), rng=rng(4), confidence=0.9)
    assert (ours.interval.low, ours.interval.high) == (0.0, 1.0)
    plain = bootstrap_ratios(scores, np.ones((3, 2)), rng=rng(4))
    interval = plain.difference(candidate=1, reference=0).interval(0.9)
    assert [interval.low, interval.high] == pytest.approx([0.0, 2 / 3])


def test_bca_ratios_property_without_skew_is_the_percentile_interval() -> None:
    scores = np.array([[1.0, 0.0]] * 40 + [[0.0, 1.0]] * 40 + [[1.0, 1.0]] * 120)
    ours = bca_ratios(scores, np.ones((200, 2)), rng=rng(3))
    plain = bootstrap_ratios(scores, np.ones((200, 2)), rng=rng(3))
    interval = plain.difference(candidate=1, reference=0).interval()
    assert ours.interval.low == pytest.approx(interval.low, abs=0.011)
    assert ours.interval.high == pytest.approx(interval.high, abs=0.011)
    assert (ours.estimate, ours.n, ours.interval.method) == (0.0, 200, "bootstrap-bca")


@pytest.mark.parametrize("case", range(3))
def test_bca_ratios_against_reference_scipy(scipy_values: dict[str, Any], case: int) -> None:
    one = scipy_values["bca"][case]
    ours = bca_ratios(one["top"], one["bottom"], rng=rng(2), resamples=40_000).interval
    # what is left between them is the Monte-Carlo error of either
    assert [ours.low, ours.high] == pytest.approx(one["bca"], abs=0.025 * (ours.high - ours.low))


@pytest.mark.parametrize(("case", "within"), [(0, 0.02), (1, 0.06), (2, 0.02)])
def test_bca_ratios_against_reference_boot(
    r_values: dict[str, Any], case: int, within: float
) -> None:
    # boot counts no tie with the estimate as half below: where ties are many, the ends differ more
    one = r_values["ratios"][case]
    top = np.array([one["reference_top"], one["candidate_top"]], dtype=np.float64).T
    bottom = np.array([one["reference_bottom"], one["candidate_bottom"]], dtype=np.float64).T
    level = one["confidence"]
    ours = bca_ratios(top, bottom, rng=rng(2), resamples=40_000, confidence=level)
    width = ours.interval.high - ours.interval.low
    assert ours.estimate == pytest.approx(one["estimate"], rel=1e-12)
    assert [ours.interval.low, ours.interval.high] == pytest.approx(one["bca"], abs=within * width)


def test_bca_ratios_against_reference_scipy_moves_away_from_the_percentiles(
    scipy_values: dict[str, Any],
) -> None:
    # eight large losses in 100 items: scipy's BCa lies lower than the percentiles, and so must ours
    one = scipy_values["bca"][2]
    top, bottom = np.array(one["top"]), np.array(one["bottom"])
    ours = bca_ratios(top, bottom, rng=rng(2)).interval
    plain = bootstrap_ratios(top, bottom, rng=rng(2)).difference(candidate=1, reference=0)
    low = plain.interval().low
    assert min(low - one["bca"][0], low - ours.low) > 0.06 * (ours.high - ours.low)


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
