import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.meta_analysis import combine_effects

from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats import shrunken, shrunken_ratios
from stats.corpora import Array, f1_columns

REFERENCE = Path(__file__).parents[1] / "reference" / "paule_mandel.json"


def test_shrunken_by_hand_equal_variances() -> None:
    # distances -3, 0, 3 squared sum to 18 = 2 (v + b): b = 9 - 1, and 8/9 of a distance is kept
    result = shrunken([1.0, 4.0, 7.0], [1.0, 1.0, 1.0])
    assert result.mean == pytest.approx(4.0)
    assert result.variance_between == pytest.approx(8.0)
    np.testing.assert_allclose(result.weights, 8 / 9)
    np.testing.assert_allclose(result.estimates, [4 - 8 / 3, 4.0, 4 + 8 / 3])
    np.testing.assert_array_equal(result.raw, [1.0, 4.0, 7.0])
    assert (result.replaced, result.method) == (0, "paule-mandel")


def test_shrunken_by_hand_what_chance_explains_goes_to_the_mean() -> None:
    result = shrunken([-0.01, 0.02], [0.01, 0.04])
    assert result.variance_between == 0.0
    assert result.mean == pytest.approx((-0.01 * 4 + 0.02) / 5)
    np.testing.assert_allclose(result.estimates, result.mean)
    np.testing.assert_array_equal(result.weights, 0.0)


def test_shrunken_by_hand_a_variance_of_zero_is_ignorance() -> None:
    alone = shrunken([0.0, -0.1, 0.05], [0.0, 0.004, 0.002])
    np.testing.assert_allclose(alone.variances, [0.003, 0.004, 0.002])
    # one item: 100 * .004 and 200 * .002 are .4; 0 for 100 items more: .4 * 300 / 400 = .3
    sized = shrunken([0.0, -0.1, 0.05], [0.0, 0.004, 0.002], sizes=[100, 100, 200])
    np.testing.assert_allclose(sized.variances, [0.003, 0.004, 0.002])
    small = shrunken([0.0, -0.1, 0.05], [0.0, 0.004, 0.002], sizes=[10, 100, 200])
    assert small.variances[0] == pytest.approx(0.4 * 300 / 310 / 10)
    assert (alone.replaced, sized.replaced) == (1, 1)


def test_shrunken_against_reference_statsmodels() -> None:
    for case in json.loads(REFERENCE.read_text(encoding="utf-8"))["cases"]:
        result = shrunken(case["estimates"], case["variances"])
        assert result.variance_between == pytest.approx(case["variance_between"], abs=1e-9)
        assert result.mean == pytest.approx(case["mean"], abs=1e-8)


def test_shrunken_against_simulation_lies_closer_to_the_truth() -> None:
    generator, raw, pulled = np.random.default_rng(4), 0.0, 0.0
    for _ in range(300):
        truth = generator.normal(-0.01, 0.01, 10)
        variances = generator.uniform(0.0001, 0.0009, 10)
        seen = generator.normal(truth, np.sqrt(variances))
        raw += float(((seen - truth) ** 2).sum())
        pulled += float(((shrunken(seen, variances).estimates - truth) ** 2).sum())
    assert pulled < 0.5 * raw


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(1e-6, 1)), min_size=2, max_size=12),
    st.floats(-5, 5),
)
def test_shrunken_property_solves_its_equation_and_moves_along(
    strata: list[tuple[float, float]], shift: float
) -> None:
    estimates, variances = np.array(strata).T
    result = shrunken(estimates, variances)
    spread = variances + result.variance_between
    mean = np.average(estimates, weights=1 / spread)
    q = float(((estimates - mean) ** 2 / spread).sum())
    assert q <= estimates.size - 1 + 1e-6
    if result.variance_between > 0.0:
        assert q == pytest.approx(estimates.size - 1, abs=1e-6)
    inside = np.sort([estimates, np.full(estimates.size, result.mean)], axis=0)
    assert (result.estimates >= inside[0] - 1e-12).all()
    assert (result.estimates <= inside[1] + 1e-12).all()
    moved = shrunken(estimates + shift, variances)
    np.testing.assert_allclose(moved.estimates, result.estimates + shift, atol=1e-6)


def test_shrunken_without_any_variance_is_nan_with_a_warning() -> None:
    with pytest.warns(StatisticsWarning, match="variance above 0"):
        result = shrunken([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    assert np.isnan(result.estimates).all()
    assert math.isnan(result.mean)
    assert math.isnan(result.variance_between)


def test_shrunken_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(InsufficientDataError, match="at least two"):
        shrunken([0.1], [0.1])
    with pytest.raises(InsufficientDataError, match="at least two"):
        shrunken([], [])
    with pytest.raises(StatisticsError, match="one each"):
        shrunken([0.1, 0.2], [0.1])
    with pytest.raises(StatisticsError, match="at least 0"):
        shrunken([0.1, 0.2], [0.1, -0.1])
    with pytest.raises(StatisticsError, match="not finite"):
        shrunken([0.1, math.nan], [0.1, 0.1])
    for sizes in ([1, 2, 3], [1, 0]):
        with pytest.raises(StatisticsError, match="sizes"):
            shrunken([0.1, 0.2], [0.1, 0.1], sizes=sizes)


def test_shrunken_ratios_by_hand() -> None:
    # one of four lost, one of four won: the mean of four has variance (1 - 1/4) / 3 / 4 = 1/16;
    # (1/16 + 1/16) / (1/16 + b) = 1 gives b = 1/16: half of each distance from 0 is kept
    lost, won, same = [1, 0], [0, 1], [1, 1]
    top = np.array([lost, same, same, same, won, same, same, same])
    result = shrunken_ratios(top, np.ones((8, 2)), list("aaaabbbb"))
    np.testing.assert_allclose(result.raw, [-0.25, 0.25])
    np.testing.assert_allclose(result.variances, 1 / 16)
    assert result.variance_between == pytest.approx(1 / 16)
    np.testing.assert_allclose(result.estimates, [-0.125, 0.125])


def test_shrunken_ratios_by_hand_leave_out_what_has_no_difference() -> None:
    lost, won, same = [1, 0], [0, 1], [1, 1]
    top = np.array([lost, same, same, same, lost, won, same, same, same, [0, 0], [0, 0]])
    bottom = np.array([[1, 1]] * 9 + [[0, 1]] * 2)
    # `alone` holds one item; in `none` an arm has a ratio of nothing
    strata = ["a"] * 4 + ["alone"] + ["b"] * 4 + ["none"] * 2
    result = shrunken_ratios(top, bottom, strata)
    np.testing.assert_allclose(result.estimates, [-0.125, math.nan, 0.125, math.nan])
    assert np.isnan(result.raw[[1, 3]]).all()
    with pytest.raises(InsufficientDataError, match="at least two"):
        shrunken_ratios(top[:5], bottom[:5], strata[:5])


@pytest.mark.parametrize("seed", range(3))
def test_shrunken_ratios_against_reference(seed: int) -> None:
    # means of scores: the variance of a mean of differences, pooled by statsmodels
    rng = np.random.default_rng(seed)
    strata = np.repeat(np.arange(6), rng.integers(20, 60, 6))
    tops = rng.random((strata.size, 2)) + (strata * rng.normal(0, 0.1))[:, None] * [0, 1]
    result = shrunken_ratios(tops, np.ones_like(tops), strata)
    changes = [(tops[:, 1] - tops[:, 0])[strata == k] for k in range(6)]
    effects = np.array([one.mean() for one in changes])
    variances = np.array([one.var(ddof=1) / one.size for one in changes])
    pooled = combine_effects(effects, variances, method_re="iterated", atol=1e-14, maxiter=1000)
    keep = pooled.tau2 / (pooled.tau2 + variances)
    expected = pooled.mean_effect_re + keep * (effects - pooled.mean_effect_re)
    np.testing.assert_allclose(result.estimates, expected, atol=1e-8)


def test_shrunken_ratios_against_simulation_lie_closer_to_the_truth() -> None:
    # the strata of a corpus differ by chance alone: the truth is one difference
    rng, raw, pulled = np.random.default_rng(5), 0.0, 0.0
    strata = np.repeat(np.arange(8), 40)
    worse, better = (2 * 1.5 * r / (1.5 * r + 0.2 + 1.5) for r in (0.5, 0.7))
    truth = worse - better
    for _ in range(100):
        result = shrunken_ratios(*f1_columns(rng, strata.size), strata)
        raw += float(((result.raw - truth) ** 2).sum())
        pulled += float(((result.estimates - truth) ** 2).sum())
    assert pulled < 0.5 * raw


def weighted_difference(top: Array, bottom: Array, weights: Array) -> float:
    ratios = (weights @ top) / (weights @ bottom)
    return float(ratios[1] - ratios[0])


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_shrunken_ratios_property_a_slow_twin_weighs_each_item_a_little_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    strata = np.repeat(["a", "b", "c"], [12, 15, 18])
    top, bottom = f1_columns(rng, strata.size)
    result = shrunken_ratios(top, bottom, strata)
    for at, name in enumerate("abc"):
        items = top[strata == name], bottom[strata == name]
        n, step = len(items[0]), 1e-6
        even = np.ones(n)
        seen = weighted_difference(*items, even)
        assert result.raw[at] == pytest.approx(seen)
        if result.replaced == 0:
            heavier = [weighted_difference(*items, even + step * unit) for unit in np.eye(n)]
            variance = np.var((np.array(heavier) - seen) / step * n, ddof=1) / n
            assert result.variances[at] == pytest.approx(variance, rel=1e-3)
    # labels say nothing but who belongs together
    renamed = shrunken_ratios(top, bottom, np.array([f"z{name}" for name in strata]))
    np.testing.assert_array_equal(result.estimates, renamed.estimates)
