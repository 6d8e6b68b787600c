"""Data that carry no answer: a typed error, or NaN with a warning, never a made-up number.

What each statistic does with it stands in its own tests, too; here all meet the same data.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from characteristics.comparators import jeffreys, wild_clusters
from characteristics.resampled import bca_ratios, jackknife_ratios
from quantrial.errors import InsufficientDataError, StatisticsWarning
from quantrial.stats import (
    bootstrap_ratios,
    clopper_pearson,
    cluster_variance,
    flip_power,
    interaction,
    mcnemar,
    score_flips,
    score_ratios,
    sign_flip,
    wilson,
    worst_case,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Found = list[float]


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def score(top: Array, bottom: Array) -> Found:
    found = score_ratios(top, bottom)
    interval, both = found.interval(), found.equivalence(0.05)
    return [interval.low, interval.high, both.p_lower, both.p_upper, both.interval.low]


def percentile(top: Array, bottom: Array) -> Found:
    found = bootstrap_ratios(top, bottom, rng=rng(), resamples=50)
    difference = found.difference(candidate=1, reference=0)
    interval, both = difference.interval(), difference.tost(0.05)
    return [interval.low, interval.high, both.p_lower, both.p_upper]


def bca(top: Array, bottom: Array) -> Found:
    interval = bca_ratios(top, bottom, rng=rng(), resamples=50).interval
    return [interval.low, interval.high]


def jackknife(top: Array, bottom: Array) -> Found:
    interval = jackknife_ratios(top, bottom).interval
    return [interval.low, interval.high]


def strata(top: Array, bottom: Array) -> Found:
    labels = np.arange(len(top)) % 2
    found = interaction(top, bottom, labels, rng=rng(), resamples=50)
    return [found.p_value, found.statistic]


OF_RATIOS = [score, percentile, bca, jackknife, strata]
NOTHING = np.zeros((24, 2))
SILENT = {  # what carries no interval: numerators, denominators
    "all equal": (np.full((24, 2), 0.5), np.ones((24, 2))),
    "empty gold everywhere": (NOTHING, NOTHING),
    "both arms never parse": (NOTHING, np.full((24, 2), 2.0)),
    "one item": (np.array([[1.0, 1.0]]), np.ones((1, 2))),
}


@pytest.mark.parametrize("statistic", OF_RATIOS)
@pytest.mark.parametrize("data", SILENT)
def test_ratios_without_a_change_are_nan_with_a_warning(
    statistic: Callable[[Array, Array], Found], data: str
) -> None:
    with pytest.warns(StatisticsWarning):
        found = statistic(*SILENT[data])
    assert all(math.isnan(value) for value in found)


@pytest.mark.parametrize("statistic", OF_RATIOS)
def test_ratios_of_no_item_are_refused(statistic: Callable[[Array, Array], Found]) -> None:
    with pytest.raises(InsufficientDataError):
        statistic(np.zeros((0, 2)), np.zeros((0, 2)))


@pytest.mark.parametrize("data", SILENT)
def test_sign_flip_by_hand_without_a_change_says_nothing_differs(data: str) -> None:
    assert sign_flip(*SILENT[data], rng=rng()).p_value == 1.0


def test_sign_flip_of_no_item_is_refused() -> None:
    with pytest.raises(InsufficientDataError):
        sign_flip(np.zeros((0, 2)), np.zeros((0, 2)), rng=rng())


def test_an_arm_that_never_parses_is_no_degenerate_case() -> None:
    # all of its gold is missed; the reference finds two of three: a loss of F1 to 0, with bounds
    found = np.where(np.arange(60) % 3 == 0, 0.0, 2.0)
    top = np.stack([found, np.zeros(60)], axis=1)
    bottom = np.stack([found / 2 + 1, np.ones(60)], axis=1)
    result = score_ratios(top, bottom)
    assert result.estimate == -0.8  # 80 / (40 + 60)
    interval = result.interval()
    assert -1.0 < interval.low < -0.8 < interval.high < -0.5
    assert sign_flip(top, bottom, rng=rng()).p_value < 0.001
    # with right and wrong answers, all of which are lost
    lost = score_flips(40, 0, n=60).interval()
    assert -1.0 < lost.low < -40 / 60 < lost.high < 0.0


def test_gold_that_is_empty_for_one_arm_alone_is_nan() -> None:
    # nothing to find; the candidate invents: its F1 is 0 and the reference's has no denominator
    bottom = np.stack([np.zeros(24), np.ones(24)], axis=1)
    for statistic in (score, bca, percentile):
        with pytest.warns(StatisticsWarning):
            found = statistic(np.zeros((24, 2)), bottom)
        assert all(math.isnan(value) for value in found), statistic


@pytest.mark.parametrize(
    "refused",
    [
        lambda: wilson(0, 0),
        lambda: clopper_pearson(0, 0),
        lambda: jeffreys(0, 0),
        lambda: mcnemar(0, 0, n=0),
        lambda: score_flips(0, 0, n=0),
        lambda: flip_power(0.1, 0.1, 0, question="difference"),
        lambda: worst_case([], []),
        lambda: cluster_variance([], []),
        lambda: cluster_variance([1.0, 2.0, 3.0], ["a", "a", "a"]),
        lambda: wild_clusters([1.0, 2.0, 3.0], ["a", "a", "a"], rng=rng()),
        lambda: score_ratios(np.ones((9, 2)), np.ones((9, 2)), clusters=["a"] * 9),
    ],
)
def test_no_item_and_one_cluster_are_refused(refused: Callable[[], Any]) -> None:
    with pytest.raises(InsufficientDataError):
        refused()


def test_one_cluster_is_no_interval_of_the_cluster_bootstrap() -> None:
    top = np.stack([np.ones(9), np.arange(9) % 2], axis=1)
    drawn = bootstrap_ratios(top, np.ones((9, 2)), rng=rng(), resamples=50, clusters=["a"] * 9)
    with pytest.warns(StatisticsWarning):
        assert math.isnan(drawn.difference(candidate=1, reference=0).interval().low)


def test_one_item_and_no_discordant_pair_are_wide_but_no_error() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one in (wilson(1, 1), clopper_pearson(1, 1), jeffreys(0, 1)):
            assert one.interval.high - one.interval.low > 0.7
        silent = score_flips(0, 0, n=30)
        assert mcnemar(0, 0, n=30, method="midp").p_value == silent.test().p_value == 1.0
        assert -0.2 < silent.interval().low < 0.0 < silent.interval().high < 0.2
        assert not silent.equivalence(0.01).non_inferior
        assert not score_flips(0, 0, n=1).equivalence(0.4).non_inferior
        single = worst_case([1.0], [math.nan])
        assert math.isnan(single.complete)
        assert single.bound == -1.0
