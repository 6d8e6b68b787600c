import math
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats import PairedBootstrap, bootstrap_ratios
from quantrial.stats.resampling import collapse, grid_parts, resampled_sums
from stats.corpora import f1_columns

Array = NDArray[np.float64]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def spread(replicates: list[float], estimate: float) -> PairedBootstrap:
    return PairedBootstrap(estimate, np.array(replicates), 10, None, "bootstrap")


def test_bootstrap_ratios_by_hand_of_two_items() -> None:
    # items score (1, 0) and (0, 0): the difference is -1/2 and resamples to 0, -1/2 or -1
    result = bootstrap_ratios([[1, 0], [0, 0]], np.ones((2, 2)), rng=rng(), resamples=4000)
    contrast = result.difference(candidate=1, reference=0)
    assert contrast.estimate == -0.5
    values, counts = np.unique(contrast.replicates, return_counts=True)
    np.testing.assert_array_equal(values, [-1.0, -0.5, 0.0])
    np.testing.assert_allclose(counts / 4000, [0.25, 0.5, 0.25], atol=0.04)
    assert contrast.n == result.n == 2


def test_bootstrap_ratios_by_hand_interval_p_value_and_tost() -> None:
    contrast = spread([-0.05, -0.04, -0.03, -0.03, -0.02, -0.02, -0.02, -0.01, 0.0, 0.01], -0.02)
    assert contrast.interval(0.5).low == pytest.approx(-0.03)
    assert contrast.interval(0.5).high == pytest.approx(-0.0125)
    # centred: -.03 -.02 -.01 -.01 0 0 0 .01 .02 .03; four are at least .02 away
    assert contrast.p_value() == pytest.approx(0.4)
    result = contrast.tost(0.03, alpha=0.15)
    # moved to -.03, one of ten reaches -.02 or more ... .02-.03 and .03-.03; .01-.03 = -.02 ties
    assert result.p_lower == pytest.approx(0.3)
    assert result.p_upper == 0.0
    assert result.p_value == pytest.approx(0.3)
    assert not result.equivalent
    assert not result.non_inferior
    assert result.interval.confidence == pytest.approx(0.7)
    wider = contrast.tost(0.045, alpha=0.15)
    assert wider.p_lower == pytest.approx(0.1)
    assert wider.equivalent
    assert wider.non_inferior


def test_bootstrap_ratios_by_hand_a_gain_is_non_inferior_but_not_equivalent() -> None:
    result = spread(list(np.linspace(0.01, 0.05, 41)), 0.03).tost(0.01)
    assert result.non_inferior
    assert not result.equivalent
    assert result.p_value == result.p_upper


def test_bootstrap_ratios_by_hand_nothing_to_find_and_nothing_found() -> None:
    top, bottom = [[0.0], [2.0]], [[0.0], [4.0]]
    as_right = bootstrap_ratios(top, bottom, rng=rng(), resamples=200)
    assert as_right.observed[0] == 0.5
    assert set(np.unique(as_right.replicates)) == {0.5, 1.0}
    unknown = bootstrap_ratios(top, bottom, rng=rng(), resamples=200, empty=math.nan)
    assert np.isnan(unknown.replicates).any()
    with (
        pytest.warns(StatisticsWarning, match="left out of the interval"),
        pytest.warns(StatisticsWarning, match="do not vary"),
    ):
        assert math.isnan(unknown.estimate(0).interval.low)


def test_bootstrap_ratios_by_hand_takes_all_items_of_a_cluster() -> None:
    # cluster a: two items right; cluster b: one item wrong
    result = bootstrap_ratios(
        [[1.0], [1.0], [0.0]], np.ones((3, 1)), rng=rng(), resamples=4000, clusters=["a", "a", "b"]
    )
    values, counts = np.unique(result.replicates, return_counts=True)
    np.testing.assert_allclose(values, [0.0, 2 / 3, 1.0])
    np.testing.assert_allclose(counts / 4000, [0.25, 0.5, 0.25], atol=0.04)
    estimate = result.estimate(0)
    assert (estimate.n, estimate.clusters) == (3, 2)
    assert estimate.interval.method == "cluster-bootstrap-percentile"


def test_bootstrap_ratios_against_reference_scipy() -> None:
    from scipy import stats

    top, bottom = f1_columns(rng(4), 120, recalls=(0.7, 0.65))

    def contrast(a: Array, b: Array, c: Array, d: Array, axis: int) -> Any:
        return a.sum(axis) / b.sum(axis) - c.sum(axis) / d.sum(axis)

    theirs = stats.bootstrap(
        (top[:, 1], bottom[:, 1], top[:, 0], bottom[:, 0]),
        contrast,
        paired=True,
        method="percentile",
        n_resamples=6000,
        rng=rng(1),
    )
    ours = bootstrap_ratios(top, bottom, rng=rng(2)).difference(candidate=1, reference=0)
    interval = ours.interval()
    width = interval.high - interval.low
    assert interval.low == pytest.approx(theirs.confidence_interval.low, abs=0.04 * width)
    assert interval.high == pytest.approx(theirs.confidence_interval.high, abs=0.04 * width)
    assert np.std(ours.replicates) == pytest.approx(theirs.standard_error, rel=0.04)


def test_bootstrap_ratios_against_simulation_covers_where_many_items_differ() -> None:
    # 300 items, 20 % discordant: the textbook case, in which the percentile interval holds
    generator = rng(6)
    hits = 0
    for _ in range(400):
        draw = generator.choice([-1, 0, 1], size=300, p=[0.12, 0.8, 0.08])
        scores = np.stack([draw == -1, draw == 1], axis=1).astype(float)
        result = bootstrap_ratios(scores, np.ones((300, 2)), rng=generator, resamples=500)
        interval = result.difference(candidate=1, reference=0).interval()
        hits += interval.low <= -0.04 <= interval.high
    assert hits / 400 == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 400))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.booleans())
def test_bootstrap_ratios_property_same_seed_same_bits_and_pairing(
    seed: int, n: int, clustered: bool
) -> None:
    top, bottom = f1_columns(rng(seed), n, recalls=(0.7, 0.65))
    top, bottom = np.tile(top, 2), np.tile(bottom, 2)
    labels = rng(seed).integers(0, 4, n) if clustered else None
    first, second = (
        bootstrap_ratios(top, bottom, rng=rng(seed), resamples=50, clusters=labels)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.replicates, second.replicates)
    # equal columns resample alike, so an arm never differs from itself
    np.testing.assert_array_equal(first.replicates[:, 0], first.replicates[:, 2])
    same = first.difference(candidate=2, reference=0)
    assert same.estimate == 0.0
    assert same.p_value() == 1.0


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 4))
def test_bootstrap_ratios_property_sums_equal_a_slow_twin(seed: int, n: int, columns: int) -> None:
    values = rng(seed).normal(size=(n, columns))
    sums = resampled_sums(values, 7, rng(seed))
    drawn = rng(seed).integers(0, n, size=(7, n))
    slow = [[math.fsum(values[i, c] for i in row) for c in range(columns)] for row in drawn]
    np.testing.assert_allclose(sums, slow, rtol=0, atol=1e-13 * n)


def test_bootstrap_ratios_property_collapsed_rows_have_the_moments_of_all_rows() -> None:
    values = np.repeat([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]], [500, 300, 200], axis=0)
    sums = resampled_sums(values, 20_000, rng(9))
    np.testing.assert_allclose(sums.mean(axis=0), values.sum(axis=0), rtol=0.001)
    expected = np.cov(values.T, ddof=0) * 1000
    np.testing.assert_allclose(np.cov(sums.T), expected, rtol=0.06, atol=8)


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(1, 4))
def test_collapse_property_restores_the_rows(seed: int, n: int, columns: int) -> None:
    rows = rng(seed).integers(0, 3, (n + 1, columns)).astype(np.float64)
    distinct, codes = collapse(rows)
    np.testing.assert_array_equal(distinct[codes], rows)
    assert len({tuple(row) for row in distinct}) == len(distinct)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.integers(1, 2000), st.randoms())
def test_grid_parts_property_restore_the_values_and_add_up_exactly(
    values: list[float], draws: int, random: Random
) -> None:
    parts = grid_parts(np.array(values), draws)
    largest = max(abs(value) for value in values)
    counts = np.bincount(random.choices(range(len(values)), k=draws), minlength=len(values))
    for index, value in enumerate(values):
        restored = sum(Fraction(float(part[index])) for part in parts)
        # two parts of 52 bits each, less the bits that the sum of all draws needs
        assert abs(restored - Fraction(value)) <= Fraction(largest) * draws**2 / 2**98
    for part in parts:
        exact = sum(Fraction(float(v)) * int(c) for v, c in zip(part, counts, strict=True))
        assert Fraction(float(counts.astype(np.float64) @ part)) == exact


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_bootstrap_without_variation_is_nan_with_a_warning(value: float) -> None:
    scores = np.full((30, 2), value)
    result = bootstrap_ratios(scores, np.ones((30, 2)), rng=rng(), resamples=100)
    with pytest.warns(StatisticsWarning, match="do not vary"):
        assert math.isnan(result.estimate(0).interval.high)
    contrast = result.difference(candidate=1, reference=0)
    assert contrast.p_value() == 1.0
    with pytest.warns(StatisticsWarning, match="do not vary"):
        equivalence = contrast.tost(0.01)
    assert math.isnan(equivalence.p_value)
    assert not equivalence.equivalent
    assert not equivalence.non_inferior


def test_bootstrap_of_one_item_or_one_cluster_knows_nothing() -> None:
    single = bootstrap_ratios([[1.0, 0.0]], np.ones((1, 2)), rng=rng(), resamples=100)
    with pytest.warns(StatisticsWarning, match="do not vary"):
        assert math.isnan(single.difference(candidate=1, reference=0).p_value())
    scores = rng(1).integers(0, 2, (50, 2))
    one = bootstrap_ratios(
        scores, np.ones((50, 2)), rng=rng(), resamples=100, clusters=np.zeros(50, dtype=int)
    )
    with pytest.warns(StatisticsWarning, match="do not vary"):
        assert math.isnan(one.estimate(1).interval.low)


def test_bootstrap_refuses_what_it_cannot_answer() -> None:
    ones = np.ones((3, 1))
    with pytest.raises(InsufficientDataError, match="no item"):
        bootstrap_ratios(np.ones((0, 2)), np.ones((0, 2)), rng=rng())
    with pytest.raises(StatisticsError, match="same shape"):
        bootstrap_ratios(ones, np.ones((3, 2)), rng=rng())
    with pytest.raises(StatisticsError, match="not finite"):
        bootstrap_ratios(ones * math.nan, ones, rng=rng())
    with pytest.raises(StatisticsError, match="denominator"):
        bootstrap_ratios(ones, ones * 0, rng=rng())
    with pytest.raises(StatisticsError, match="one label an item"):
        bootstrap_ratios(ones, ones, rng=rng(), clusters=["a", "b"])
    with pytest.raises(StatisticsError, match="resamples is 0"):
        bootstrap_ratios(ones, ones, rng=rng(), resamples=0)
    result = bootstrap_ratios(ones, ones, rng=rng(), resamples=10)
    with pytest.raises(StatisticsError, match="column 1"):
        result.estimate(1)
    with pytest.raises(StatisticsError, match="margin"):
        result.difference(candidate=0, reference=0).tost(0.0)
    with pytest.raises(StatisticsError, match="alpha"):
        result.difference(candidate=0, reference=0).tost(0.01, alpha=0.5)
