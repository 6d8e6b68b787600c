import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats import interaction, score_flips
from quantrial.stats.strata._changes import (
    Counted,
    changes_of,
    pooled_null,
    pooled_variance,
    right_or_wrong,
    sums_of,
    tilted,
)
from quantrial.stats.strata.interaction import _permuted, _statistic, _under_null
from repetitions import repetitions

Array = NDArray[np.float64]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def answers(change: Array, right: Array | float = 0.0) -> tuple[Array, Array]:
    """Scores of two arms whose difference is `change`."""
    before = np.where(change < 0, 1.0, np.where(change > 0, 0.0, right))
    return np.stack([before, before + change], axis=1), np.ones((change.size, 2))


def drawn(
    generator: np.random.Generator, sizes: list[int], discordance: list[float], mean: float
) -> tuple[Array, NDArray[np.int64]]:
    changes = [
        generator.choice([1.0, -1.0, 0.0], size=n, p=[(d + mean) / 2, (d - mean) / 2, 1 - d])
        for n, d in zip(sizes, discordance, strict=True)
    ]
    return np.concatenate(changes), np.repeat(np.arange(len(sizes)), sizes)


def spans(generator: np.random.Generator, labels: NDArray[np.int64]) -> tuple[Array, Array]:
    """Micro-F1 counts; the higher the label, the harder the stratum, for both arms alike."""
    gold = generator.poisson(1.5, labels.size)
    hits = [generator.binomial(gold, 0.9 - 0.2 * labels) for _ in range(2)]
    spurious = [generator.poisson(0.3, labels.size) for _ in range(2)]
    top = np.stack([2.0 * tp for tp in hits], axis=1)
    bottom = np.stack([tp + fp + gold for tp, fp in zip(hits, spurious, strict=True)], axis=1)
    return top, bottom.astype(np.float64)


def test_interaction_by_hand_two_strata() -> None:
    # 10 of 50 lost, 10 of 50 gained: the common difference is 0, and the variance of each
    # stratum's then .2 / 50: Q = 2 * .2 ** 2 / .004 = 20
    change = np.array([-1.0] * 10 + [0.0] * 40 + [1.0] * 10 + [0.0] * 40)
    result = interaction(*answers(change), ["a"] * 50 + ["b"] * 50, rng=rng(), resamples=999)
    assert result.statistic == pytest.approx(20.0)
    assert result.p_value == 1 / 1000
    assert (result.alternative, result.method, result.n) == ("two-sided", result.method, 100)


def test_interaction_by_hand_one_changed_item_in_equal_strata_says_nothing() -> None:
    change = np.zeros(40)
    change[3] = -1.0
    assert interaction(*answers(change), np.arange(40) % 4, rng=rng()).p_value == 1.0


def test_interaction_by_hand_changes_average_to_the_strata_differences() -> None:
    labels = np.repeat([0, 1], 30)
    top, bottom = spans(rng(2), labels)
    values, codes = changes_of(top, bottom, labels)
    for stratum in (0, 1):
        inside = labels == stratum
        before, after = top[inside].sum(axis=0) / bottom[inside].sum(axis=0)
        assert values[codes == stratum].mean() == pytest.approx(after - before)
    same = (top[:, 0] == top[:, 1]) & (bottom[:, 0] == bottom[:, 1])
    assert (values[same] == 0.0).all()


def test_interaction_property_variance_is_tangos() -> None:
    # two strata of 0/1 answers; the score interval of each ends where (d - mean)^2 / v = z^2
    counted = Counted.of(
        sums_of(np.array([1.0, -1, -1, 0, 0]), np.zeros(5, int), 1), np.array([5]), 1.0
    )
    low = score_flips(2, 1, n=5, correction=0).interval(0.5).low
    distance = (-0.2 - low) ** 2 / counted.variance(np.array([low]))[0]
    assert math.sqrt(distance) == pytest.approx(0.6744898, abs=1e-6)


@pytest.mark.parametrize("last", [-1.0, -2.0])  # dealt by distinct change, and item by item
def test_interaction_property_permutation_counts_every_deal(last: float) -> None:
    values, codes = np.array([1.0, -1.0, last, 0.0, 0.0, 0.0]), np.array([0, 0, 1, 1, 1, 1])
    sizes = np.array([2, 4])
    every = [
        _statistic(sums_of(np.array(deal), codes, 2)[None], sizes, 1.0)[0]
        for deal in itertools.permutations(values)
    ]
    blocks = [
        _statistic(sums, sizes, 1.0) for sums in _permuted(values, codes, sizes, 6000, rng(1))
    ]
    ours = np.concatenate(blocks)
    assert ours.size == 6000
    for limit in np.unique(np.round(every, 9)):
        expected = np.mean(np.array(every) >= limit - 1e-8)
        assert np.mean(ours >= limit - 1e-8) == pytest.approx(expected, abs=0.025)


def test_interaction_by_hand_common_difference_is_a_mean_by_its_own_weights() -> None:
    sizes = np.array([50, 500])
    counted = Counted.of(np.array([[10.0, 15.0, 25.0], [2.0, 8.0, 10.0]]), sizes, 1.0)
    means, common = counted.common()
    np.testing.assert_allclose(means, [-0.1, -0.012])
    weights = 1.0 / counted.variance(common)
    assert common[0] == pytest.approx(np.average(means, weights=weights), abs=1e-7)
    assert common[0] == pytest.approx(-0.0122, abs=2e-4)  # the noisy stratum hardly counts


def test_interaction_against_simulation_null_has_one_difference_and_each_frequency() -> None:
    sizes = np.array([100, 400])
    seen = np.array([[20.0, 24.0, 44.0], [2.0, 10.0, 12.0]])
    common = float(Counted.of(seen, sizes, 1.0).common()[1][0])
    sums = np.concatenate(list(_under_null(seen, sizes, 1.0, 20_000, rng(2))))
    np.testing.assert_allclose(
        (sums[:, :, 0] - sums[:, :, 1]).mean(axis=0) / sizes, common, atol=0.002
    )
    # as often as seen, with half a pair more of either kind among one pair more
    np.testing.assert_allclose(sums[:, :, 2].mean(axis=0), [45 / 1.01, 13 / 1.0025], atol=0.2)


@pytest.mark.parametrize(
    ("sizes", "discordance", "mean"),
    [
        ([100] * 4, [0.02] * 4, 0.0),  # two changed items in a stratum
        *repetitions(([20, 400], [0.5, 0.02], -0.02)),  # permutation alone errs in 18 %
        ([20] * 9 + [1000], [0.3] * 9 + [0.01], -0.01),  # and here in 35 %
    ],
)
def test_interaction_against_simulation_keeps_its_level(
    sizes: list[int], discordance: list[float], mean: float
) -> None:
    generator, rejected = rng(12), 0
    for _ in range(200):
        change, labels = drawn(generator, sizes, discordance, mean)
        result = interaction(*answers(change), labels, rng=generator, resamples=99)
        rejected += result.p_value <= 0.05
    assert rejected / 200 <= 0.055 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_interaction_against_simulation_is_blind_to_levels_of_f1() -> None:
    # F1 of about .85 and .25, and no difference between the arms in either
    generator, rejected = rng(13), 0
    labels = np.repeat([0, 3], 100)
    for _ in range(150):
        result = interaction(*spans(generator, labels), labels, rng=generator, resamples=99)
        rejected += result.p_value <= 0.05
    assert rejected / 150 <= 0.055 + 3 * math.sqrt(0.05 * 0.95 / 150)


def test_interaction_against_simulation_finds_one_stratum_that_loses() -> None:
    generator, found = rng(14), 0
    for _ in range(60):
        change, labels = drawn(generator, [100] * 4, [0.05] * 4, 0.0)
        change[:100] = np.where(generator.random(100) < 0.2, -1.0, 0.0)
        found += interaction(*answers(change), labels, rng=generator, resamples=99).p_value <= 0.05
    assert found >= 50


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_interaction_property_repeats_and_is_blind_to_names_and_direction(
    seed: int, strata: int
) -> None:
    change = rng(seed).choice([1.0, -1.0, 0.0], size=60, p=[0.2, 0.2, 0.6])
    labels = np.arange(60) % strata
    top, bottom = answers(change, rng(seed).integers(0, 2, 60).astype(float))
    here, again = (interaction(top, bottom, labels, rng=rng(1), resamples=99) for _ in range(2))
    level = interaction(*answers(change), labels, rng=rng(1), resamples=99)
    named = interaction(top, bottom, [f"{9 - x}" for x in labels], rng=rng(1), resamples=99)
    turned = interaction(top[:, ::-1], bottom[:, ::-1], labels, rng=rng(1), resamples=99)
    assert here == again == level
    assert 0.01 <= here.p_value <= 1.0
    assert named.statistic == pytest.approx(here.statistic, abs=1e-6)
    assert turned.statistic == pytest.approx(here.statistic, abs=1e-6)


def test_interaction_where_nothing_can_be_said_is_nan_with_a_warning() -> None:
    change = np.array([1.0, -1.0, 0.0, 0.0])
    for scores, labels in ((answers(change), [0] * 4), (answers(change * 0), [0, 0, 1, 1])):
        with pytest.warns(StatisticsWarning, match="interaction cannot be tested"):
            result = interaction(*scores, labels, rng=rng())
        assert math.isnan(result.p_value)
        assert math.isnan(result.statistic)


def test_interaction_leaves_out_strata_without_a_ratio() -> None:
    top, bottom = answers(np.array([1.0, -1.0, 0.0, 0.0, -1.0, 0.0]))
    empty = np.zeros((2, 2))
    whole = interaction(top, bottom, [0, 0, 0, 1, 1, 1], rng=rng(), resamples=99)
    with pytest.warns(StatisticsWarning, match="1 of 3 strata is left out"):
        part = interaction(
            np.vstack([top, empty]),
            np.vstack([bottom, empty]),
            [0, 0, 0, 2, 2, 2, 1, 1],
            rng=rng(),
            resamples=99,
        )
    assert (part.p_value, part.statistic) == (whole.p_value, whole.statistic)
    with (
        pytest.warns(StatisticsWarning, match="2 of 2 strata are left out"),
        pytest.warns(StatisticsWarning, match="interaction cannot be tested"),
    ):
        assert math.isnan(interaction(empty, empty, [0, 1], rng=rng()).p_value)


def test_interaction_refuses_what_it_cannot_answer() -> None:
    ones = np.ones((3, 2))
    with pytest.raises(StatisticsError, match="two columns"):
        interaction(np.ones((3, 1)), np.ones((3, 1)), [0, 1, 1], rng=rng())
    with pytest.raises(StatisticsError, match="one label an item"):
        interaction(ones, ones, [0, 1], rng=rng())
    with pytest.raises(StatisticsError, match="resamples is 0"):
        interaction(ones, ones, [0, 1, 1], rng=rng(), resamples=0)
    with pytest.raises(InsufficientDataError, match="no item"):
        interaction(np.ones((0, 2)), np.ones((0, 2)), [], rng=rng())


def test_interaction_against_reference_statsmodels_where_many_items_changed() -> None:
    from scipy.stats import chi2
    from statsmodels.stats.meta_analysis import combine_effects

    generator = rng(21)
    change, labels = drawn(generator, [4000] * 3, [0.3] * 3, -0.02)
    change[labels == 1] = np.where(generator.random(4000) < 0.01, -1.0, change[labels == 1])
    found = interaction(*answers(change), labels, rng=rng(1), resamples=1999)
    means = np.array([change[labels == k].mean() for k in range(3)])
    variances = np.array([change[labels == k].var(ddof=1) / 4000 for k in range(3)])
    theirs = float(combine_effects(means, variances).q)
    assert found.statistic == pytest.approx(theirs, rel=0.02)
    assert found.p_value == pytest.approx(float(chi2.sf(theirs, 2)), abs=0.04)


# --- ratios, whose changes differ in size --------------------------------------------------------


def test_tilted_by_hand_two_values() -> None:
    # -9 once and 1 nine times, a mean of 0; a mean of .5 takes chances of .05 and .95
    found = tilted(np.array([-9.0, 1.0]), np.array([1.0, 9.0]), 0.0)
    np.testing.assert_allclose(found, [0.1, 0.9], atol=1e-9)
    found = tilted(np.array([-9.0, 1.0]), np.array([1.0, 9.0]), 0.5)
    np.testing.assert_allclose(found, [0.05, 0.95], atol=1e-9)


def test_tilted_against_reference_scipy_closest_by_kullback_leibler() -> None:
    from scipy.optimize import LinearConstraint, minimize

    support, weights = np.array([-4.0, -1.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0, 1.0])
    share = weights / weights.sum()

    def divergence(x: Array) -> float:
        return float((x * np.log(x / share)).sum())

    sums = LinearConstraint(np.stack([np.ones(4), support]), [1.0, -0.4], [1.0, -0.4])
    best = minimize(divergence, share, bounds=[(1e-9, 1.0)] * 4, constraints=sums, tol=1e-12)
    np.testing.assert_allclose(tilted(support, weights, -0.4), best.x, atol=1e-4)


def uneven(generator: np.random.Generator, gains: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """A small stratum changes ten times as often; one change in so many is a large loss."""
    labels = np.repeat([0, 1], [60, 900])
    moves = generator.random(960) < np.where(labels == 0, 0.5, 0.05)
    large = generator.random(960) < 1.0 / (gains + 1)
    hits = np.full(960, float(gains))
    after = hits + np.where(large, -gains, 1.0) * moves
    return np.stack([2 * hits, 2 * after], axis=1), np.full((960, 2), 2.0 * gains + 6.0), labels


@pytest.mark.parametrize("scaled", [False, True])
def test_pooled_null_against_simulation_has_one_difference_and_each_frequency(
    scaled: bool,
) -> None:
    top, bottom, labels = uneven(rng(3), 9)
    values, codes = changes_of(top, bottom, labels)
    sizes = np.bincount(codes)
    # one difference: the strata's, weighed by items over how often they change (one size of change)
    changed = np.array([np.count_nonzero(values[codes == k]) for k in (0, 1)])
    weights = sizes * (sizes + 1.0) / (changed + 1.0)
    means = np.array([values[codes == k].mean() for k in (0, 1)])
    common = float(np.average(means, weights=weights))
    drawn = np.concatenate(list(pooled_null(values, codes, 20_000, rng(4), scaled=scaled)))
    means = (drawn[:, :, 0] - drawn[:, :, 1]).mean(axis=0) / sizes
    np.testing.assert_allclose(means, common, atol=0.004)
    spread = (drawn[:, :, 0] - drawn[:, :, 1]).var(axis=0) / sizes**2
    np.testing.assert_allclose(spread, pooled_variance(values, codes, scaled=scaled), rtol=0.05)


@pytest.mark.parametrize("gains", [*repetitions(4), 9])
def test_interaction_against_simulation_keeps_its_level_where_losses_are_rare_and_large(
    gains: int,
) -> None:
    generator, rejected, tested = rng(15), 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticsWarning)  # few answers changed: no test
        for _ in range(150):
            p = interaction(*uneven(generator, gains), rng=generator, resamples=99).p_value
            rejected, tested = rejected + (p <= 0.05), tested + (not math.isnan(p))
    assert tested > 120
    assert rejected / 150 <= 0.055 + 3 * math.sqrt(0.05 * 0.95 / 150)


def test_interaction_against_simulation_finds_a_stratum_of_spans_that_loses() -> None:
    generator, found = rng(16), 0
    for _ in range(40):
        labels = np.repeat([0, 1], 150)
        top, bottom = spans(generator, labels * 0)
        lost = generator.random(300) < np.where(labels == 0, 0.5, 0.0)
        bottom[lost, 1] -= top[lost, 1] / 2.0
        top[lost, 1] = 0.0
        found += interaction(top, bottom, labels, rng=generator, resamples=99).p_value <= 0.05
    assert found >= 36


def test_interaction_leaves_out_strata_of_a_ratio_with_few_changes() -> None:
    top, bottom, labels = uneven(rng(5), 4)
    few = np.where((labels == 1) & (np.arange(960) >= 900), 2, labels)
    kept = few < 2
    whole = interaction(top[kept], bottom[kept], few[kept], rng=rng(), resamples=99)
    with pytest.warns(StatisticsWarning, match="1 of 3 strata is left out: fewer than 20 answers"):
        part = interaction(top, bottom, few, rng=rng(), resamples=99)
    assert (part.p_value, part.statistic) == (whole.p_value, whole.statistic)
    with (
        pytest.warns(StatisticsWarning, match="2 of 2 strata are left out: fewer than 20 answers"),
        pytest.warns(StatisticsWarning, match="interaction cannot be tested"),
    ):
        part = interaction(top[40:80], bottom[40:80], labels[40:80], rng=rng())
    assert math.isnan(part.p_value)


def test_interaction_property_right_or_wrong_needs_no_more_than_it_did() -> None:
    # scores of 0 and 1, on whatever scale, can change by no more than they do
    change = rng(6).choice([1.0, -1.0, 0.0], size=60, p=[0.1, 0.1, 0.8])
    top, bottom = answers(change)
    plain = interaction(top, bottom, np.arange(60) % 3, rng=rng(1), resamples=99)
    assert 0.0 < plain.p_value <= 1.0
    assert right_or_wrong(top, bottom)
    assert right_or_wrong(3.0 * top, 3.0 * bottom)
    assert not right_or_wrong(0.5 * top, bottom)
    assert not right_or_wrong(*uneven(rng(7), 4)[:2])


def test_interaction_draws_on_where_p_is_small_by_hand() -> None:
    # 10 of 50 lost, 10 of 50 gained: no draw of either kind comes near; 1 / 1000, then 1 / 4000
    change = np.array([-1.0] * 10 + [0.0] * 40 + [1.0] * 10 + [0.0] * 40)
    strata = ["a"] * 50 + ["b"] * 50
    more = interaction(*answers(change), strata, rng=rng(), resamples=999, most=3999)
    assert more.p_value == 1 / 4000
    # a p that is not small is that of the first draws
    even = np.tile([1.0, -1.0, 0.0, 0.0], 25)
    first, again = (
        interaction(*answers(even), np.arange(100) // 50, rng=rng(2), resamples=99, most=most)
        for most in (0, 999)
    )
    assert first == again
