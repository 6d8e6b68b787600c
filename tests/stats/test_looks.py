"""Bounds of looks and the p over them: by hand, against other integrators, by simulation."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import multivariate_normal, norm

from quantrial.stats import look_bounds, sequential_p
from quantrial.stats.error.looks import crossing

# one-sided 5 %, 20 even looks, and two-sided: as published beside the procedure
ONE_SIDED = [
    *(3.662, 3.352, 3.165, 3.021, 2.900, 2.795, 2.700, 2.615, 2.536, 2.462),
    *(2.393, 2.328, 2.266, 2.207, 2.150, 2.095, 2.042, 1.991, 1.941, 1.892),
]
TWO_SIDED = [
    *(3.836, 3.542, 3.367, 3.234, 3.122, 3.025, 2.939, 2.861, 2.790, 2.723),
    *(2.661, 2.603, 2.547, 2.495, 2.444, 2.396, 2.350, 2.305, 2.262, 2.220),
]


def even(looks: int) -> list[float]:
    return [k / looks for k in range(1, looks)] + [1.0]


def test_look_bounds_by_hand_of_one_look_is_the_normal_quantile() -> None:
    assert look_bounds([1.0]).bounds[0] == pytest.approx(1.6448536269514722, abs=1e-9)
    assert look_bounds([1.0], sides=2).bounds[0] == pytest.approx(1.959963984540054, abs=1e-9)
    # the first of two looks spends a quarter of the level: P(Z >= 2.2414) = 0.0125
    assert look_bounds([0.5, 1.0]).bounds[0] == pytest.approx(2.241402727604947, abs=1e-9)


@pytest.mark.parametrize(("sides", "published"), [(1, ONE_SIDED), (2, TWO_SIDED)])
def test_look_bounds_are_those_published_of_the_procedure(
    sides: int, published: list[float]
) -> None:
    found = look_bounds(even(20), sides=sides).bounds
    # 5e-4 is half of the last digit, 5e-4 more its rounding
    assert np.abs(np.array(found) - published).max() < 1e-3
    assert look_bounds(even(10), sides=sides).bounds[-1] == pytest.approx(
        1.848 if sides == 1 else 2.174, abs=1e-3
    )


def within(shares: list[float], limits: list[float], sides: int) -> float:
    """The chance to reach no limit, by the multivariate normal distribution of scipy."""
    times = np.array(shares)
    covariance = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    low = [-math.inf if sides == 1 else -limit for limit in limits]
    normal: Any = multivariate_normal
    accuracy = {"maxpts": 2_000_000, "abseps": 1e-7, "releps": 1e-7}
    return float(normal.cdf(limits, np.zeros(len(limits)), covariance, lower_limit=low, **accuracy))


@pytest.mark.parametrize("sides", [1, 2])
def test_look_bounds_against_reference_integrator_of_scipy(sides: int) -> None:
    shares = [0.2, 0.45, 0.7, 1.0]
    bounds = look_bounds(shares, sides=sides).bounds
    for looks in (1, 2, 3, 4):
        reached = 1 - within(shares[:looks], list(bounds[:looks]), sides)
        assert reached == pytest.approx(0.05 * shares[looks - 1] ** 2, abs=2e-6)


def test_sequential_p_against_reference_integrator_of_scipy() -> None:
    shares, z = [0.3, 0.6, 1.0], [1.1, 1.9]
    bounds = look_bounds(shares)
    ratio = max(1.1 / bounds.bounds[0], 1.9 / bounds.bounds[1])
    other = 1 - within(shares, [ratio * bound for bound in bounds.bounds], 1)
    assert sequential_p(z, bounds) == pytest.approx(other, abs=2e-6)


def test_crossing_of_constant_limits_are_those_of_pocock() -> None:
    # Jennison and Turnbull (2000), table 2.1: two-sided 5 %, 2, 5 and 10 looks
    for looks, constant in ((2, 2.178), (5, 2.413), (10, 2.555)):
        assert crossing(even(looks), [constant] * looks, 2) == pytest.approx(0.05, abs=2e-4)
    assert crossing(even(10), [2.270] * 10, 1) == pytest.approx(0.05, abs=2e-4)


def test_crossing_of_the_limits_of_o_brien_and_fleming() -> None:
    # Jennison and Turnbull (2000), table 2.3: two-sided 5 %, constant / sqrt(t)
    for looks, constant in ((2, 1.977), (5, 2.040), (10, 2.087)):
        limits = [constant / math.sqrt(t) for t in even(looks)]
        assert crossing(even(looks), limits, 2) == pytest.approx(0.05, abs=3e-4)


def walks(looks: int, count: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(19)
    steps = rng.standard_normal((count, looks)) / math.sqrt(looks)
    walked: NDArray[np.float64] = np.cumsum(steps, axis=1) / np.sqrt(np.array(even(looks)))
    return walked


def test_look_bounds_against_simulation_of_walks() -> None:
    z, bounds = walks(20, 200_000), look_bounds(even(20))
    reached = (z >= bounds.bounds).any(axis=1).mean()
    assert reached == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 200_000))
    half = (z >= bounds.bounds)[:, :10].any(axis=1).mean()
    assert half == pytest.approx(0.0125, abs=4 * math.sqrt(0.0125 / 200_000))


def test_sequential_p_against_simulation_is_uniform() -> None:
    z, bounds = walks(5, 200_000), look_bounds(even(5))
    farthest = (z / bounds.bounds).max(axis=1)
    for level in (0.01, 0.05, 0.2, 0.5):
        # p follows from the farthest look alone: where is it as small as the level?
        least = brentq(
            lambda m, p: sequential_p([m * bounds.bounds[0]], bounds) - p, 0.01, 3, args=(level,)
        )
        error = math.sqrt(level * (1 - level) / len(z))
        assert (farthest >= least).mean() == pytest.approx(level, abs=4 * error)


def test_sequential_p_by_hand() -> None:
    bounds = look_bounds([1.0])
    assert sequential_p([1.2], bounds) == pytest.approx(norm.sf(1.2), abs=1e-9)
    both = look_bounds([1.0], sides=2)
    assert sequential_p([-1.2], both) == pytest.approx(2 * norm.sf(1.2), abs=1e-9)
    assert sequential_p([], bounds) == sequential_p([math.nan], bounds) == 1.0
    with pytest.raises(ValueError, match="2 looks were taken, and 1 were planned"):
        sequential_p([1.0, 2.0], bounds)


looks_and_values = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0.02, 0.98), min_size=n - 1, max_size=n - 1, unique=True),
        st.lists(st.floats(-4, 5), min_size=n, max_size=n),
        st.sampled_from([1, 2]),
        st.sampled_from([0.01, 0.05, 0.1]),
    )
)


@given(looks_and_values)
def test_sequential_p_property_small_where_a_bound_is_crossed_and_falling(
    drawn: tuple[list[float], list[float], int, float],
) -> None:
    shares, z, sides, alpha = drawn
    shares = sorted(shares)
    if any(b - a < 0.01 for a, b in itertools.pairwise(shares)):
        return
    bounds = look_bounds([*shares, 1.0], alpha=alpha, sides=sides)
    found = [sequential_p(z[: k + 1], bounds) for k in range(len(z))]
    assert all(0.0 <= p <= 1.0 for p in found)
    assert all(b <= a for a, b in itertools.pairwise(found))
    size = [abs(one) if sides == 2 else one for one in z]
    gaps = [one - bound for one, bound in zip(size, bounds.bounds, strict=True)]
    if all(abs(gap) > 1e-6 for gap in gaps):
        assert (found[-1] <= alpha) == any(gap > 0 for gap in gaps)


@given(st.integers(1, 12), st.sampled_from([1, 2]), st.sampled_from([0.01, 0.05]))
def test_look_bounds_property_all_that_is_spent_is_the_level(
    looks: int, sides: int, alpha: float
) -> None:
    bounds = look_bounds(even(looks), alpha=alpha, sides=sides)
    assert crossing(bounds.shares, bounds.bounds, sides) == pytest.approx(alpha, abs=1e-9)
    assert list(bounds.bounds) == sorted(bounds.bounds, reverse=True)


@pytest.mark.parametrize(
    ("shares", "options"),
    [
        ([], {}),
        ([0.5], {}),
        ([0.0, 1.0], {}),
        ([0.5, 0.5, 1.0], {}),
        ([0.5, math.nan, 1.0], {}),
        ([1.0], {"alpha": 0.0}),
        ([1.0], {"sides": 3}),
    ],
)
def test_what_are_no_looks_is_refused(shares: list[float], options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="should"):
        look_bounds(shares, **options)  # type: ignore[arg-type]
