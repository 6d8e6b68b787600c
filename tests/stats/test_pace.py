"""Drift of a machine that several arms shared."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats import Calls, block_paces, common_drift
from quantrial.stats.rates import _student


def test_common_drift_by_hand_a_line_through_two_arms() -> None:
    """Arm 0 takes 1, 1.1 and 1.2 s a token at 0, 1/2 and 1; arm 1 twice as long, one call each.

    Their means are 1.1 and 2.2, so relative to them -1/11, 0, 1/11: a slope of 2/11.
    """
    found = common_drift(
        Calls([1.0] * 6, [1.0, 2.0, 1.1, 2.2, 1.2, 2.4], [0, 0, 0.5, 0.5, 1, 1], [0, 1] * 3,
              [0, 0, 1, 1, 2, 2])
    )  # fmt: skip
    assert found.estimate == pytest.approx(2 / 11)
    assert found.n == 3
    # the line fits: nothing is left for the interval
    assert found.interval.high - found.interval.low == pytest.approx(0, abs=1e-12)


def test_an_arm_that_is_slower_and_later_is_no_drift() -> None:
    calls = Calls([1.0] * 4, [1.0, 1.0, 3.0, 3.0], [0, 0.3, 0.7, 1], [0, 0, 1, 1], [0, 0, 0, 0])
    assert common_drift(calls).estimate == pytest.approx(0, abs=1e-12)


def simulated(
    rng: np.random.Generator, drift: float, blocks: int = 12
) -> tuple[Calls, dict[str, np.ndarray]]:
    n, arms = 40 * blocks, 3
    block = np.repeat(np.arange(blocks), 40)
    arm = rng.integers(0, arms, n)
    tokens = rng.integers(5, 60, n).astype(float)
    position = np.arange(n) / (n - 1)
    shock = rng.normal(0, 0.02, blocks)[block]
    pace = 1 + drift * (position - 0.5) + shock
    seconds = tokens * np.array([1.0, 0.6, 0.4])[arm] * pace * rng.lognormal(0, 0.05, n)
    return Calls(tokens, seconds, position, arm, block), {"w": tokens, "b": block, "x": position}


def test_common_drift_against_reference_cluster_robust_weighted_least_squares() -> None:
    calls, columns = simulated(np.random.default_rng(4), 0.2)
    arm, w = np.asarray(calls.arms), columns["w"]
    seconds = np.asarray(calls.seconds)
    relative = np.empty_like(seconds)
    for a in range(3):
        own = arm == a
        relative[own] = seconds[own] / w[own] / (seconds[own].sum() / w[own].sum()) - 1
    design = np.column_stack([columns["x"], *(arm == a for a in range(3))]).astype(float)
    model = sm.WLS(relative, design, weights=w).fit(
        cov_type="cluster", cov_kwds={"groups": columns["b"], "use_correction": False}
    )
    found = common_drift(calls)
    assert found.estimate == pytest.approx(model.params[0], rel=1e-9)
    half = (found.interval.high - found.interval.low) / 2
    error = model.bse[0] * np.sqrt(12 / 11)
    assert half == pytest.approx(scipy_stats.t.ppf(0.975, 11) * error, rel=1e-4)


def test_common_drift_against_simulation_the_interval_covers_it() -> None:
    covered = 0
    for seed in range(400):
        found = common_drift(simulated(np.random.default_rng(seed), 0.2)[0])
        covered += found.interval.low <= 0.2 <= found.interval.high
    # shocks of 12 blocks; robust variances are a little small: 91 % or more, four standard errors
    assert covered / 400 > 0.91 - 4 * np.sqrt(0.09 * 0.91 / 400)


def test_student_against_reference() -> None:
    for df, within in ((2, 0.01), (3, 0.003), (7, 1e-4), (23, 1e-6)):
        for p in (0.9, 0.975):
            assert _student(p, df) == pytest.approx(scipy_stats.t.ppf(p, df), rel=within)


def test_block_paces_by_hand_blocks_and_arms_are_told_apart() -> None:
    # arm 1 takes half the time; the second block is a fifth slower; arm 0 did twice as much there
    done = np.array([[10.0, 10.0], [20.0, 10.0]])
    took = done * np.array([[1.0, 0.5]]) * np.array([[1.0], [1.2]])
    rates, paces = block_paces(done, took)
    assert rates[1] / rates[0] == pytest.approx(0.5)
    assert paces[1] / paces[0] == pytest.approx(1.2)
    assert np.average(paces, weights=done.sum(axis=1)) == pytest.approx(1)
    # the plain ratio of sums is off: arm 0 did more of its work in the slow block
    pooled = took.sum(axis=0) / done.sum(axis=0)
    assert pooled[1] / pooled[0] == pytest.approx((5 + 6) / 20 / ((10 + 24) / 30))


def test_block_paces_against_reference_poisson_regression() -> None:
    rng = np.random.default_rng(2)
    done = rng.integers(1, 50, (6, 3)).astype(float)
    done[2, 1] = 0
    took = done * rng.uniform(0.5, 2, (6, 1)) * np.array([1.0, 0.6, 0.4])
    took *= rng.lognormal(0, 0.1, took.shape)
    rates, paces = block_paces(done, took)
    there = done.ravel() > 0
    block, arm = (x.ravel()[there] for x in np.indices(done.shape))
    design = np.column_stack(
        [*(block == b for b in range(6)), *(arm == a for a in range(1, 3))]
    ).astype(float)
    offset = np.log(done.ravel()[there])
    model = sm.GLM(took.ravel()[there], design, sm.families.Poisson(), offset=offset).fit(tol=1e-12)
    assert np.log(rates[1:] / rates[0]) == pytest.approx(model.params[6:], abs=1e-7)
    assert np.log(paces / paces[0]) == pytest.approx(model.params[:6] - model.params[0], abs=1e-7)


def test_arms_that_share_no_block_cannot_be_told_from_it() -> None:
    rates, paces = block_paces([[5.0, 0.0], [0.0, 5.0]], [[5.0, 0.0], [0.0, 9.0]])
    assert np.isnan(rates).all()
    assert np.isnan(paces).all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InsufficientDataError, match="one moment only"):
        common_drift(Calls([1.0, 1.0], [1.0, 2.0], [0.0, 1.0], [0, 1], [0, 1]))
    with pytest.raises(InsufficientDataError, match="no calls"):
        common_drift(Calls([], [], [], [], []))
    with pytest.raises(StatisticsError, match="above 0"):
        common_drift(Calls([0.0, 1.0], [1.0, 2.0], [0.0, 1.0], [0, 0], [0, 1]))
    with pytest.raises(StatisticsError, match="two tables"):
        block_paces([[1.0]], [[1.0, 2.0]])
    two = common_drift(Calls([1.0, 1.0], [1.0, 1.1], [0.0, 1.0], [0, 0], [0, 1]))
    assert np.isnan(two.interval.low), "two blocks say nothing of their spread"


def test_common_drift_property_units_and_direction() -> None:
    calls = simulated(np.random.default_rng(8), 0.3)[0]
    amounts, seconds, positions = map(np.asarray, (calls.amounts, calls.seconds, calls.positions))
    arms = np.asarray(calls.arms)
    known = common_drift(calls)
    for scale in (np.array([0.01, 0.01, 0.01]), np.array([1.0, 7.0, 0.2])):  # of all; of each arm
        same = common_drift(Calls(amounts, seconds * scale[arms], positions, arms, calls.blocks))
        assert same.estimate == pytest.approx(known.estimate)
        assert same.interval.low == pytest.approx(known.interval.low)
    back = common_drift(Calls(amounts, seconds, 1 - positions, arms, calls.blocks))
    assert back.estimate == pytest.approx(-known.estimate)
    assert back.interval.low == pytest.approx(-known.interval.high)


def test_block_paces_against_simulation_finds_the_truth_on_average() -> None:
    rng = np.random.default_rng(5)
    rates, paces = np.array([1.0, 0.6, 0.4]), np.linspace(0.8, 1.3, 6)
    found = []
    for _ in range(300):
        done = rng.integers(5, 50, (6, 3)).astype(float)
        took = done * paces[:, None] * rates * rng.lognormal(0, 0.05, done.shape)
        ours, pace = block_paces(done, took)
        found.append([ours[1] / ours[0], ours[2] / ours[0], pace[5] / pace[0]])
    error = np.std(found, axis=0) / np.sqrt(300)
    assert (np.abs(np.mean(found, axis=0) - [0.6, 0.4, 1.3 / 0.8]) < 4 * error + 0.001).all()


tables = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@given(tables, st.integers(1, 5), st.integers(1, 4))
def test_block_paces_property_reproduce_the_sums(
    rng: np.random.Generator, blocks: int, arms: int
) -> None:
    done, took = rng.uniform(0.1, 9, (2, blocks, arms))
    rates, paces = block_paces(done, took)
    fitted = done * rates * paces[:, None]
    np.testing.assert_allclose(fitted.sum(axis=0), took.sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(fitted.sum(axis=1), took.sum(axis=1), rtol=1e-9)
    assert np.average(paces, weights=done.sum(axis=1)) == pytest.approx(1.0)
