import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats import intraclass

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "r_clusters.json").read_text(encoding="utf-8")
)["intraclass"]


def test_intraclass_by_hand_five_pairs() -> None:
    # means 1, 3, 5, 7, 9 about 5: between 2 * 40 / 4 = 20; each pair +-1: within 10 / 5 = 2
    values = [0, 2, 2, 4, 4, 6, 6, 8, 8, 10]
    found = intraclass([*map(float, values)], np.repeat(np.arange(5), 2))
    assert found.estimate == pytest.approx((20 - 2) / (20 + 2))
    assert (found.n, found.clusters, found.interval.method) == (10, 5, "anova")


def test_intraclass_by_hand_clusters_of_two_sizes() -> None:
    # sizes 1, 1, 1, 1, 4; the only spread lies within the last: between 0, within 4 / 3, and the
    # mean size is (8 - 20 / 8) / 4 = 1.375
    values = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, -1.0, -1.0])
    with pytest.warns(StatisticsWarning, match="vary within clusters only"):
        found = intraclass(values, [0, 1, 2, 3, 4, 4, 4, 4])
    assert found.estimate == pytest.approx(-(4 / 3) / (0.375 * 4 / 3))
    assert math.isnan(found.interval.low)
    with pytest.warns(StatisticsWarning, match="5 clusters hold as much as 1 equal changes"):
        intraclass([1.0, 0.0] + [0.0] * 8, np.repeat(np.arange(5), 2))


@pytest.mark.parametrize("case", REFERENCE, ids=lambda case: case["name"])
def test_intraclass_against_reference_analysis_of_variance_in_r(case: dict[str, Any]) -> None:
    found = intraclass(case["values"], case["clusters"])
    assert found.estimate == pytest.approx(case["estimate"], rel=1e-9)
    ends = [found.interval.low, found.interval.high]
    assert ends == pytest.approx(case["interval"], rel=1e-8)


def test_intraclass_against_reference_published_components_of_variance() -> None:
    # Davies (1949), in Box and Tiao (1973): 1764.05 between batches, 2451.25 within
    case = next(case for case in REFERENCE if case["name"] == "dyestuff")
    found = intraclass(case["values"], case["clusters"]).estimate
    assert found == pytest.approx(1764.05 / (1764.05 + 2451.25), rel=1e-9)


@pytest.mark.parametrize(("sizes", "true"), [([12] * 10, 0.1), ([4, 8, 12, 16, 20] * 3, 0.3)])
def test_intraclass_against_simulation_of_normal_values(sizes: list[int], true: float) -> None:
    generator = np.random.default_rng(4)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    covered, estimates, draws = 0, [], 1000
    for _ in range(draws):
        shared = generator.normal(0.0, math.sqrt(true), len(sizes))
        values = shared[labels] + generator.normal(0.0, math.sqrt(1.0 - true), labels.size)
        found = intraclass(values, labels)
        estimates.append(found.estimate)
        covered += found.interval.low <= true <= found.interval.high
    assert covered / draws == pytest.approx(0.94, abs=0.03)
    assert np.mean(estimates) == pytest.approx(true, abs=0.02)


def test_intraclass_against_simulation_of_flips_in_clusters_that_lean() -> None:
    # 15 % flip; a cluster leans one way by Beta(3.25, 3.25) on [-1, 1], of variance 1 / 7.5
    generator = np.random.default_rng(5)
    labels = np.repeat(np.arange(20), 25)
    true, covered, estimates = 0.15 / 7.5, 0, []
    for _ in range(400):
        gains = generator.beta(3.25, 3.25, 20)[labels]
        sign = np.where(generator.random(500) < gains, 1.0, -1.0)
        found = intraclass(np.where(generator.random(500) < 0.15, sign, 0.0), labels)
        estimates.append(found.estimate)
        covered += found.interval.low <= true <= found.interval.high
    assert covered / 400 >= 0.92
    assert np.mean(estimates) == pytest.approx(true, abs=0.005)


def by_sums_of_squares(values: list[float], labels: list[int]) -> float:
    """Compute the estimate as textbooks write it, cluster by cluster."""
    y, g = np.array(values), np.array(labels)
    parts = [y[g == one] for one in np.unique(g)]
    k, n = len(parts), y.size
    between = sum(p.size * (p.mean() - y.mean()) ** 2 for p in parts) / (k - 1)
    within = sum(((p - p.mean()) ** 2).sum() for p in parts) / (n - k)
    size = (n - sum(p.size**2 for p in parts) / n) / (k - 1)
    return float((between - within) / (between + (size - 1.0) * within))


@given(st.lists(st.integers(0, 5), min_size=6, max_size=40), st.integers(0, 2**32 - 1))
def test_intraclass_property_equals_the_textbook_in_any_unit(labels: list[int], seed: int) -> None:
    labels = [*range(6), *labels]
    values = np.random.default_rng(seed).normal(size=len(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticsWarning)
        found = intraclass(values, labels)
        scaled = intraclass(3.0 * values, [f"c{label}" for label in labels])
    assert found.estimate == pytest.approx(by_sums_of_squares(values.tolist(), labels), rel=1e-6)
    assert found.interval.low <= found.estimate <= found.interval.high <= 1.0
    assert scaled.estimate == pytest.approx(found.estimate, rel=1e-6)
    assert scaled.interval.high == pytest.approx(found.interval.high, rel=1e-6)


def test_intraclass_of_what_does_not_vary_is_not_known() -> None:
    labels = np.arange(12) % 6
    with pytest.warns(StatisticsWarning, match="all values are equal"):
        same = intraclass(np.full(12, 0.1), labels)
    assert math.isnan(same.estimate)
    assert math.isnan(same.interval.low)
    with pytest.warns(StatisticsWarning, match="between clusters only"):
        between = intraclass(0.1 * labels, labels)
    assert between.estimate == 1.0
    assert math.isnan(between.interval.low)


def test_intraclass_by_hand_of_clusters_with_one_mean_has_no_interval() -> None:
    # nothing between: F is 0, and the estimate (0 - 1) / (0 + 4 - 1)
    with pytest.warns(StatisticsWarning, match="vary within clusters only"):
        found = intraclass([1.0, -1.0, 0.0, 0.0] * 6, np.repeat(np.arange(6), 4))
    assert found.estimate == pytest.approx(-1 / 3)
    assert math.isnan(found.interval.low)
    assert math.isnan(found.interval.high)


def test_intraclass_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(InsufficientDataError, match="4 cluster"):
        intraclass(np.arange(8.0), np.arange(8) % 4)
    with pytest.raises(InsufficientDataError, match="8 items came in as many clusters"):
        intraclass(np.arange(8.0), np.arange(8))
    with pytest.raises(StatisticsError, match="confidence"):
        intraclass(np.arange(12.0), np.arange(12) % 6, confidence=1.0)
