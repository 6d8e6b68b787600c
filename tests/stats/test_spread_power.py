import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats import (
    detectable_difference,
    items_for_difference,
    items_for_equivalence,
    items_for_non_inferiority,
)

SD = st.floats(0.02, 0.6)


def test_detectable_difference_by_hand() -> None:
    # z_.975 + z_.80 = 1.959964 + 0.841621
    assert detectable_difference(0.3, 900) == pytest.approx(2.801585 * 0.3 / 30, rel=1e-6)


def test_planned_items_by_hand() -> None:
    assert items_for_difference(0.3, -0.03) == math.ceil((2.801585 * 10) ** 2)
    # one-sided: z_.95 + z_.80 = 1.644854 + 0.841621; the estimate is 0.5 pp inside a 1 pp margin
    assert items_for_non_inferiority(0.1, -0.005, 0.01) == math.ceil((2.486475 * 20) ** 2)
    # at zero both sides bind: z_.95 + z_.90
    assert items_for_equivalence(0.1, 0.0, 0.02) == math.ceil((2.926405 * 5) ** 2)


def test_planned_items_by_hand_where_no_number_will_do() -> None:
    assert items_for_difference(0.1, 0.0) is None
    assert items_for_non_inferiority(0.1, -0.01, 0.01) is None
    assert items_for_equivalence(0.1, 0.012, 0.01) is None
    assert items_for_equivalence(0.1, 0.01 * (1 - 1e-12), 0.01) is None


def test_planned_items_against_reference(statsmodels_values: dict[str, Any]) -> None:
    for plan in statsmodels_values["plans"]:
        levels = {"power": plan["power"], "alpha": plan["alpha"]}
        pairs = items_for_difference(plan["sd"], plan["difference"], **levels)
        assert pairs == math.ceil(plan["two_sided"])
        pairs = items_for_non_inferiority(plan["sd"], 0.0, plan["difference"], **levels)
        assert pairs == math.ceil(plan["one_sided"])


def test_items_for_equivalence_against_simulation() -> None:
    rng = np.random.default_rng(8)
    n = items_for_equivalence(0.1, 0.004, 0.02)
    assert n is not None
    means = 0.004 + rng.standard_normal(40_000) * 0.1 / math.sqrt(n)
    reach = 1.644854 * 0.1 / math.sqrt(n)
    shown = np.mean((means - reach > -0.02) & (means + reach < 0.02))
    assert shown == pytest.approx(0.8, abs=0.01)


@given(SD, st.floats(0.001, 0.1), st.floats(0.05, 0.99))
def test_planned_items_property_inverts_the_detectable_difference(
    sd: float, difference: float, power: float
) -> None:
    n = items_for_difference(sd, difference, power=power)
    assert n is not None
    assert detectable_difference(sd, n, power=power) <= difference * (1 + 1e-9)
    if n > 2:
        assert detectable_difference(sd, n - 1, power=power) >= difference * (1 - 1e-9)


@given(SD, st.floats(-0.009, 0.009))
def test_planned_items_property_equivalence_asks_more_than_non_inferiority(
    sd: float, estimate: float
) -> None:
    both = items_for_equivalence(sd, estimate, 0.01)
    one = items_for_non_inferiority(sd, estimate, 0.01)
    assert both is not None
    assert one is not None
    assert both >= one
    assert both == items_for_equivalence(sd, -estimate, 0.01)


def test_planning_without_variation_is_nan_or_none_with_a_warning() -> None:
    with pytest.warns(StatisticsWarning, match="do not vary"):
        assert math.isnan(detectable_difference(0.0, 100))
    with pytest.warns(StatisticsWarning, match="do not vary"):
        assert items_for_difference(0.0, 0.1) is None
    with pytest.warns(StatisticsWarning, match="do not vary"):
        assert items_for_non_inferiority(0.0, 0.0, 0.01) is None
    with pytest.warns(StatisticsWarning, match="do not vary"):
        assert items_for_equivalence(0.0, 0.0, 0.01) is None


def test_planning_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(InsufficientDataError, match="at least 2"):
        detectable_difference(0.1, 1)
    with pytest.raises(StatisticsError, match="sd is"):
        detectable_difference(-0.1, 10)
    with pytest.raises(StatisticsError, match="difference is"):
        items_for_difference(0.1, math.nan)
    with pytest.raises(StatisticsError, match="margin"):
        items_for_non_inferiority(0.1, 0.0, 0.0)
    with pytest.raises(StatisticsError, match="power is"):
        items_for_equivalence(0.1, 0.0, 0.01, power=1.0)


def test_detectable_difference_against_reference_statsmodels() -> None:
    from statsmodels.stats.power import NormalIndPower

    for sd, n, power, alpha in ((0.3, 900, 0.8, 0.05), (0.12, 250, 0.9, 0.01)):
        effect = NormalIndPower(ddof=0).solve_power(
            None, nobs1=n, alpha=alpha, power=power, ratio=0
        )
        ours = detectable_difference(sd, n, power=power, alpha=alpha)
        # theirs counts the far tail too, which is below 1e-5 here
        assert ours == pytest.approx(float(effect) * sd, rel=1e-4)


def test_detectable_difference_against_simulation_is_found_that_often() -> None:
    n = items_for_difference(0.2, 0.03)
    assert n is not None
    means = detectable_difference(0.2, n) + np.random.default_rng(3).normal(
        size=40_000
    ) * 0.2 / math.sqrt(n)
    assert np.mean(np.abs(means) > 1.959964 * 0.2 / math.sqrt(n)) == pytest.approx(0.8, abs=0.01)


def test_planned_items_against_simulation_difference_and_non_inferiority() -> None:
    rng = np.random.default_rng(9)
    for items, truth, bound, z in (
        (items_for_difference(0.2, 0.02), 0.02, 0.0, 1.959964),
        (items_for_non_inferiority(0.2, -0.004, 0.02), -0.004, -0.02, 1.644854),
    ):
        assert items is not None
        error = 0.2 / math.sqrt(items)
        shown = truth + rng.standard_normal(40_000) * error - z * error > bound
        assert np.mean(shown) == pytest.approx(0.8, abs=0.01)


def test_items_for_equivalence_against_reference_scipy() -> None:
    from scipy.optimize import brentq
    from scipy.stats import norm

    def power(n: float) -> float:
        error = 0.1 / math.sqrt(n)
        reach = norm.ppf(0.95) * error
        inside = norm.cdf(0.02 - reach, 0.004, error) - norm.cdf(reach - 0.02, 0.004, error)
        return float(max(0.0, inside))

    found = math.ceil(brentq(lambda n: power(n) - 0.8, 100, 10_000))
    assert items_for_equivalence(0.1, 0.004, 0.02) == found


@given(SD, st.integers(2, 10_000), st.floats(0.1, 0.95), st.floats(0.1, 10.0))
def test_detectable_difference_property_scales(
    sd: float, n: int, power: float, unit: float
) -> None:
    known = detectable_difference(sd, n, power=power)
    assert detectable_difference(sd, 4 * n, power=power) == pytest.approx(known / 2)
    assert detectable_difference(sd * unit, n, power=power) == pytest.approx(known * unit)
    assert detectable_difference(sd, n, power=power, alpha=0.01) > known
