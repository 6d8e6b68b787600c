import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from characteristics.resampled import jackknife_ratios
from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning

Array = NDArray[np.float64]


def counts(seed: int, n: int, share: float) -> tuple[Array, Array]:
    """Micro-F1 of two arms, of which the second loses one hit on a share of items."""
    rng = np.random.default_rng(seed)
    gold = 1 + rng.poisson(1.0, n)
    hits = rng.binomial(gold, 0.7)
    after = np.maximum(hits - (rng.random(n) < share), 0)
    top = np.stack([2.0 * hits, 2.0 * after], axis=1)
    return top, np.stack([hits + gold, after + gold], axis=1).astype(np.float64)


def test_jackknife_ratios_by_hand_three_items() -> None:
    # leaving out each of three items gives differences 1/2, 0 and 0 from scores (0, 0), (0, 1)...
    top = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    found = jackknife_ratios(top, np.ones((3, 2)), confidence=0.9)
    # left out: 1/2, 0, 1/2; mean 1/3, sum of squares 1/6; se^2 = 2/3 * 1/6; t_.95(2) = 2.919986
    assert found.estimate == pytest.approx(1 / 3)
    assert found.interval.high - found.estimate == pytest.approx(2.919986 / 3, rel=1e-6)
    assert (found.interval.method, found.n) == ("jackknife-t", 3)


def test_jackknife_ratios_against_reference_scipy_paired_t_of_means() -> None:
    from scipy import stats

    scores = np.random.default_rng(1).random((40, 2))
    theirs = stats.ttest_rel(scores[:, 1], scores[:, 0]).confidence_interval(0.95)
    ours = jackknife_ratios(scores, np.ones((40, 2))).interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


@pytest.mark.parametrize("case", range(3))
def test_jackknife_ratios_against_reference_boot(r_values: dict[str, Any], case: int) -> None:
    from scipy import stats

    one = r_values["ratios"][case]
    top = np.array([one["reference_top"], one["candidate_top"]], dtype=np.float64).T
    bottom = np.array([one["reference_bottom"], one["candidate_bottom"]], dtype=np.float64).T
    ours = jackknife_ratios(top, bottom, confidence=one["confidence"])
    reach = stats.t(ours.n - 1).ppf(0.5 + one["confidence"] / 2) * one["error"]
    assert ours.estimate == pytest.approx(one["estimate"], rel=1e-12)
    assert ours.interval.high - ours.estimate == pytest.approx(reach, rel=1e-9)


def test_jackknife_ratios_against_reference_published_ratio_of_the_patch_data(
    r_values: dict[str, Any],
) -> None:
    # Efron and Tibshirani (1993), section 10.3: the ratio is -0.0713
    one = r_values["ratios"][2]
    top = np.array([one["reference_top"], one["candidate_top"]], dtype=np.float64).T
    bottom = np.array([one["reference_bottom"], one["candidate_bottom"]], dtype=np.float64).T
    assert round(jackknife_ratios(top, bottom).estimate, 4) == -0.0713


def test_jackknife_ratios_against_simulation_covers_where_many_items_changed() -> None:
    top, bottom = counts(0, 200_000, 0.4)
    truth = float(np.diff(top.sum(axis=0) / bottom.sum(axis=0))[0])
    found = [jackknife_ratios(*counts(seed, 300, 0.4)).interval for seed in range(1, 801)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.05 * 0.95 / 800) + 0.003)


@given(st.integers(0, 2**32 - 1), st.integers(3, 40))
def test_jackknife_ratios_property_equals_leaving_items_out(seed: int, n: int) -> None:
    top, bottom = counts(seed, n, 0.5)
    left = []
    for item in range(n):
        kept = np.delete(np.arange(n), item)
        a, b = top[kept].sum(axis=0), bottom[kept].sum(axis=0)
        left.append(a[1] / b[1] - a[0] / b[0])
    error = math.sqrt((n - 1) / n * sum((x - np.mean(left)) ** 2 for x in left))
    if error < 1e-12:
        return
    found = jackknife_ratios(top, bottom).interval
    back = jackknife_ratios(top[:, ::-1], bottom[:, ::-1]).interval
    from scipy import stats

    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, n - 1) * error)
    assert back.low == pytest.approx(-found.high, abs=1e-12)


def test_jackknife_of_degenerate_data_is_nan_with_a_warning() -> None:
    same = np.full((20, 2), 0.5)
    for top, bottom in (
        (same, np.ones((20, 2))),  # all equal
        (np.zeros((20, 2)), np.zeros((20, 2))),  # nothing to find anywhere
        (np.array([[0.0, 1.0]]), np.ones((1, 2))),  # one item
    ):
        with pytest.warns(StatisticsWarning, match="knows no interval"):
            found = jackknife_ratios(top, bottom)
        assert math.isnan(found.interval.low)
        assert math.isnan(found.interval.high)


def test_jackknife_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(InsufficientDataError, match="no item"):
        jackknife_ratios(np.ones((0, 2)), np.ones((0, 2)))
    with pytest.raises(StatisticsError, match="two columns"):
        jackknife_ratios(np.ones((4, 3)), np.ones((4, 3)))
    with pytest.raises(StatisticsError, match="confidence"):
        jackknife_ratios(np.ones((4, 2)), np.ones((4, 2)), confidence=1.0)
