import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats import shrunken

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
