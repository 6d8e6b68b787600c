import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats import bootstrap_ratios, score_flips, score_ratios
from quantrial.stats._null_variance import Null, value_moments
from quantrial.stats.linearised import influences
from stats.tango import z_of

Array = NDArray[np.float64]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def flips(harmful: int, beneficial: int, n: int) -> tuple[Array, Array]:
    same = n - harmful - beneficial
    rows = [[1.0, 0.0]] * harmful + [[0.0, 1.0]] * beneficial + [[1.0, 1.0]] * same
    return np.array(rows), np.ones((n, 2))


def f1_columns(generator: np.random.Generator, n: int, share: float) -> tuple[Array, Array]:
    """Micro-F1 of a reference and of a candidate that answers a share of items anew.

    A fifth of the items hold no entity; a changed item loses a hit, invents spans, or (one in
    eight) returns nothing usable.
    """
    gold = np.where(generator.random(n) < 0.2, 0, 1 + generator.poisson(1.2, n))
    hits, spurious = generator.binomial(gold, 0.6), generator.poisson(0.3, n)
    kind = np.where(generator.random(n) < share, generator.integers(0, 8, n), 9)
    hits_after = np.where(kind < 4, np.maximum(hits - 1, 0), np.where(kind == 7, 0, hits))
    hits_after = np.where((kind == 4) & (hits < gold), hits + 1, hits_after)
    spurious_after = np.where((kind == 5) | (kind == 6), spurious + 1, spurious)
    spurious_after = np.where(kind == 7, 0, spurious_after)
    top = 2.0 * np.stack([hits, hits_after], axis=1)
    bottom = np.stack([hits * 0 + gold + spurious + hits, gold + spurious_after + hits_after], 1)
    return top, bottom.astype(np.float64)


def test_score_ratios_by_hand_influences_of_two_items() -> None:
    # reference 2/4 + 0/4, candidate 2/4 + 2/4: F1 1/4 and 1/2 on a mean denominator of 4
    difference, known = influences(
        np.array([[2.0, 2.0], [0.0, 2.0]]), np.array([[4.0, 4.0], [4.0, 4.0]]), 1.0
    )
    assert difference == 0.25
    assert known is not None
    # (2 - .5*4)/4 - (2 - .25*4)/4 = -.25 and (2 - 2)/4 - (0 - 1)/4 = .25, each plus .25
    np.testing.assert_allclose(known.values(), [0.0, 0.5])
    np.testing.assert_allclose(known.weights, [1.0, 1.0])


def test_score_ratios_by_hand_long_items_carry_more_of_another_difference() -> None:
    # the reference is 1 on every item, so all variance is the candidate's, 1/1 and 2/3: a true
    # difference of m makes its ratio 1 + m, and an item's influence (t - (1 + m) b) / 2 then
    difference, known = influences(
        np.array([[1.0, 1.0], [1.0, 2.0]]), np.array([[1.0, 1.0], [1.0, 3.0]]), 1.0
    )
    assert difference == -0.25
    assert known is not None
    for m in (-0.4, -0.1, 0.2):
        by_hand = [(1 - (1 + m)) / 2, (2 - 3 * (1 + m)) / 2]
        np.testing.assert_allclose(known.parts + (difference - m) * known.weights, by_hand)


def test_score_ratios_by_hand_a_sum_of_unchanged_items_counts_as_n() -> None:
    few = score_ratios(*flips(4, 1, 50), support=1)
    many = score_ratios(*flips(4, 1, 500), support=1)
    assert (few.n, few.changed) == (50, 5)
    assert few.effective == pytest.approx(5.0)
    assert few.interval().low < many.interval().low < 0.0


def test_score_ratios_by_hand_without_a_known_support() -> None:
    # three gains and no loss in 50: a true loss of .1 puts mass on the unseen end of the support,
    # the largest change seen (1) and the tested difference below 0, so 1 below the tested one;
    # at the largest tilt what was seen .1 and 1.1 above it keeps 47/50/1.1 and 3/50/2.1 of the mass
    kept = (47 / 55, 3 / 105)
    rest = 1 - sum(kept)
    assert rest == pytest.approx(0.1 * kept[0] + 1.1 * kept[1])  # the mean is the tested one
    second = 0.1**2 * kept[0] + 1.1**2 * kept[1] + rest
    third = 0.1**3 * kept[0] + 1.1**3 * kept[1] - rest
    # half of the change is taken off, and the skewness of the mean of 50
    t = (0.06 + 0.1 - 0.5 / 50) / math.sqrt(second / 50)
    a = third / second**1.5 / math.sqrt(50) / 6
    score = score_ratios(*flips(0, 3, 50))
    result = score.test(-0.1, "greater")
    assert a < -0.02
    assert result.statistic == pytest.approx(t - a * t**2 + a**2 * t**3 / 3 + a)
    fourth = 0.1**4 * kept[0] + 1.1**4 * kept[1] + rest
    assert score.effective_at(-0.1) == pytest.approx(50 * second**2 / fourth)


def test_score_ratios_by_hand_the_support_reaches_half_a_scoring_items_share() -> None:
    # 40 of 50 items score 2 of 2; of three others the candidate withdraws a wrong span (gains of
    # less than 1/50 each): an item that scores stakes 2 over a mean denominator near 2, and half
    # of that is the least support, far more than any change seen
    top = np.repeat([[2.0, 2.0], [0.0, 0.0]], [40, 10], axis=0)
    bottom = np.full((50, 2), 2.0)
    bottom[40:43, 1] = 1.0
    score = score_ratios(top, bottom)
    difference, known = influences(top, bottom, 1.0)
    assert known is not None
    largest = float(np.abs(known.values()).max())
    assert difference == pytest.approx(80 / 97 - 0.8)
    half = 0.5 * 2.0 / (97 / 50)
    assert largest < half
    offsets = known.parts + (difference + 0.05) * known.weights
    gap = difference + 0.05 - 0.5 * largest / 50

    def statistic(support: float) -> float:
        ends = (-support - 0.05 + 0.05, support + 0.05 + 0.05)
        second, third, _ = value_moments(offsets, np.ones(50), ends)
        null = Null(second / 50, third / second**1.5 / math.sqrt(50))
        return null.beyond(gap / math.sqrt(null.variance))

    result = score.test(-0.05, "greater")
    assert result.statistic == pytest.approx(statistic(half))
    # with the support that was seen alone, the same data would claim far more
    assert statistic(float(np.abs(offsets - 0.05).max())) > result.statistic + 0.3


def test_null_by_hand_skewness_is_removed_both_ways() -> None:
    null = Null(1.0, skewness=-0.6)
    # a = -.1: 2 + .1 * 4 + .01 * 8 / 3 - .1
    assert null.beyond(2.0) == pytest.approx(2.0 + 0.4 + 0.08 / 3 - 0.1)
    assert null.mirrored().beyond(2.0) == pytest.approx(2.0 - 0.4 + 0.08 / 3 + 0.1)
    assert Null(1.0).beyond(2.0) == 2.0 == Null(1.0).reach(2.0)


def test_null_against_reference_the_tails_of_a_mean_of_exponentials() -> None:
    from scipy import stats

    n, z = 30, 1.6448536269514722
    null = Null(1.0 / n, skewness=2.0 / math.sqrt(n))
    above = stats.gamma.sf(n * (1.0 + null.reach(z) / math.sqrt(n)), n)
    below = stats.gamma.cdf(n * (1.0 - null.mirrored().reach(z) / math.sqrt(n)), n)
    assert above == pytest.approx(0.05, abs=0.0025)
    assert below == pytest.approx(0.05, abs=0.0025)
    # the normal distribution misses both by far
    assert stats.gamma.sf(n + math.sqrt(n) * z, n) > 0.056
    assert stats.gamma.cdf(n - math.sqrt(n) * z, n) < 0.043


@given(st.floats(-3.0, 3.0), st.floats(-2.0, 2.0), st.floats(-2.0, 2.0))
def test_null_property_reach_undoes_beyond_and_both_rise(z: float, g: float, more: float) -> None:
    null = Null(1.0, skewness=g)
    assert null.beyond(null.reach(z)) == pytest.approx(z, abs=1e-6)
    assert (null.reach(z + abs(more)) - null.reach(z)) >= -1e-9


@pytest.mark.parametrize("case", [(2, 1, 499), (0, 0, 60), (7, 1, 21), (20, 35, 300), (0, 9, 40)])
def test_score_ratios_property_of_flips_is_score_flips(case: tuple[int, int, int]) -> None:
    harmful, beneficial, n = case
    tango = score_flips(harmful, beneficial, n=n)
    ours = score_ratios(*flips(harmful, beneficial, n), support=1)
    assert ours.estimate == pytest.approx(tango.estimate, abs=1e-15)
    for confidence in (0.8, 0.95, 0.99):
        one, other = ours.interval(confidence), tango.interval(confidence)
        assert one.low == pytest.approx(other.low, abs=1e-12)
        assert one.high == pytest.approx(other.high, abs=1e-12)
    assert ours.equivalence(0.02).p_value == pytest.approx(tango.equivalence(0.02).p_value)
    assert ours.test(-0.01).p_value == pytest.approx(tango.test(-0.01).p_value)


@pytest.mark.parametrize("case", [(2, 1, 499), (7, 1, 21), (20, 35, 300), (0, 9, 40)])
def test_score_ratios_against_reference_tangos_formula(case: tuple[int, int, int]) -> None:
    harmful, beneficial, n = case
    ours = score_ratios(*flips(harmful, beneficial, n), support=1)
    for confidence, z in ((0.8, 1.2815515655446), (0.95, 1.9599639845401)):
        found = ours.interval(confidence)
        assert z_of(harmful, beneficial, n, found.low, 0.15) == pytest.approx(z, abs=1e-6)
        assert z_of(harmful, beneficial, n, found.high, 0.15) == pytest.approx(-z, abs=1e-6)


def test_score_ratios_property_almost_right_or_wrong_is_almost_tango() -> None:
    # where a score's bound is known, nothing jumps between 0/1 and graded scores
    tops, bottoms = flips(5, 2, 200)
    graded = score_ratios(tops * 0.9999, bottoms, support=1)
    tango = score_flips(5, 2, n=200).interval()
    found = graded.interval()
    # skewness is removed from graded scores only: a little, where changes are this few
    assert found.low == pytest.approx(tango.low, abs=0.004)
    assert found.high == pytest.approx(tango.high, abs=0.004)
    assert graded._correction == pytest.approx(0.15 * 0.9999 / 200)


def test_score_ratios_against_reference_paired_t_where_many_items_differ() -> None:
    from scipy import stats

    before = rng(1).uniform(0.2, 0.8, 4000)
    scores = np.stack([before, before + rng(2).normal(-0.02, 0.1, 4000)], axis=1)
    ours = score_ratios(scores, np.ones((4000, 2))).interval()
    theirs = stats.ttest_rel(scores[:, 1], scores[:, 0]).confidence_interval()
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.02 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.02 * width)


def test_score_ratios_against_reference_likelihood_maximised_numerically() -> None:
    from scipy.optimize import LinearConstraint, minimize

    values, counts = np.array([-0.6, -0.1, 0.0, 0.3]), np.array([2.0, 5.0, 30.0, 3.0])
    support, weights = np.append(values, [-1.0, 1.0]), np.append(counts, [0.0, 0.0])

    def against(chances: Array) -> float:
        return -float((weights * np.log(np.maximum(chances, 1e-300))).sum())

    for mean in (-0.3, -0.12, 0.05, 0.3):
        best = minimize(
            against,
            np.full(6, 1 / 6),
            bounds=[(1e-12, 1.0)] * 6,
            constraints=LinearConstraint(np.stack([np.ones(6), support]), [1, mean], [1, mean]),
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 1000},
        ).x
        ours = value_moments(values - mean, counts, (-1.0 - mean, 1.0 - mean))
        for power, moment in zip((2, 3, 4), ours, strict=True):
            theirs = float((best * (support - mean) ** power).sum())
            assert moment == pytest.approx(theirs, rel=3e-3, abs=1e-5)


def test_score_ratios_against_simulation_covers_corpus_f1() -> None:
    big = f1_columns(rng(9), 400_000, 1.0)
    unchanged, changed = big[0].sum(axis=0), big[1].sum(axis=0)
    share, n, generator = 0.08, 200, rng(3)
    after = [(1 - share) * s[0] + share * s[1] for s in (unchanged, changed)]
    truth = after[0] / after[1] - unchanged[0] / changed[0]
    low = high = 0
    for _ in range(600):
        interval = score_ratios(*f1_columns(generator, n, share)).interval()
        low += truth < interval.low
        high += truth > interval.high
    assert 1 - (low + high) / 600 >= 0.935 - 3 * math.sqrt(0.05 * 0.95 / 600)
    assert min(low, high) >= 1


def test_score_ratios_against_simulation_clusters_widen_the_interval() -> None:
    generator, hits = rng(4), 0
    for _ in range(300):
        shift = np.repeat(generator.normal(0, 0.1, 25), 12)
        change = shift + generator.normal(0, 0.3, 300)
        scores = np.stack([np.full(300, 0.5), 0.5 + change], axis=1)
        labels = np.repeat(np.arange(25), 12)
        interval = score_ratios(scores, np.ones((300, 2)), clusters=labels).interval()
        hits += interval.low <= 0.0 <= interval.high
    assert hits / 300 == pytest.approx(0.95, abs=0.038)


def test_score_ratios_against_simulation_fixed_strata_narrow_it() -> None:
    generator, hits, narrower = rng(5), 0, 0
    effects = np.repeat([-0.5, 0.0, 0.5], 50)
    for _ in range(300):
        change = effects + generator.normal(0, 0.3, 150)
        scores = np.stack([np.zeros(150) + 0.5, 0.5 + change], axis=1)
        fixed = score_ratios(scores, np.ones((150, 2)), strata=effects).interval()
        free = score_ratios(scores, np.ones((150, 2))).interval()
        hits += fixed.low <= 0.0 <= fixed.high
        narrower += fixed.high - fixed.low < free.high - free.low
    assert hits / 300 >= 0.93  # what the strata explain is taken off with caution
    assert narrower == 300


def lost(counts: Sequence[int], size: int) -> tuple[Array, NDArray[np.intp]]:
    """Right answers of which each stratum of `size` items loses so many, and the strata."""
    scores = np.ones((size * len(counts), 2))
    for stratum, count in enumerate(counts):
        scores[stratum * size : stratum * size + count, 1] = 0.0
    return scores, np.repeat(np.arange(len(counts)), size)


def test_score_ratios_by_hand_a_stratum_wholly_lost_is_not_certain() -> None:
    # one of ten strata of ten: variance .09, all of it between; chance alone would put
    # .09 * 100 / 99 * (1 / 10 - 1 / 100) = .0081818 there; four items of prior weight leave
    # (10 / 14)^2 of what is beyond
    share = 1.0 - (10 / 14) ** 2 * (0.09 - 0.00818182) / 0.09
    scores, strata = lost([10] + [0] * 9, 10)
    score = score_ratios(scores, np.ones((100, 2)), strata=strata, support=1)
    interval = score.interval()
    for end, sign in ((interval.low, -1), (interval.high, 1)):
        # nothing was gained, so at a tested loss x the likeliest variance is x (1 - x)
        error = math.sqrt(-end * (1.0 + end) * share / 100)
        assert sign * (end + 0.1) - 0.0015 == pytest.approx(1.959964 * error, rel=1e-6)


@pytest.mark.parametrize(
    ("strata", "size", "chance"), [(10, 10, 0.7), (5, 20, 0.9), (2, 25, 0.97), (50, 4, 0.7)]
)
def test_score_ratios_against_enumeration_strata_that_lose_nearly_all(
    strata: int, size: int, chance: float
) -> None:
    # one stratum loses (of fifty, five: there the losses sit as close together as they can), the
    # others nothing: every outcome is counted
    losing = max(1, strata // 10)
    counts = range(size * losing + 1)
    chances = [float(stats.binom.pmf(k, size * losing, chance)) for k in counts]
    truth, covered, wrong = -losing * chance / strata, 0.0, 0.0
    for count, probability in zip(counts, chances, strict=True):
        full, rest = divmod(count, size)
        split = [size] * full + [rest] * (rest > 0)
        scores, labels = lost(split + [0] * (strata - len(split)), size)
        score = score_ratios(scores, np.ones(scores.shape), strata=labels, support=1)
        covered += probability * (score.test(truth).p_value >= 0.05)
        wrong += probability * (score.test(truth, "greater").p_value < 0.05)
    assert covered >= 0.935
    assert wrong <= 0.055


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0.05, 1.0))
def test_score_ratios_property_strata_never_widen_and_never_leave_nothing(
    seed: int, groups: int, share: float
) -> None:
    top, bottom = f1_columns(rng(seed), 60, share)
    top, bottom = np.vstack([top, [[2.0, 0.0]]]), np.vstack([bottom, [[3.0, 2.0]]])
    labels = rng(seed).integers(0, groups, 61)
    fixed = score_ratios(top, bottom, strata=labels).interval()
    free = score_ratios(top, bottom).interval()
    assert free.low - 1e-9 <= fixed.low < fixed.high <= free.high + 1e-9
    # a stratum that is everything, and strata of one item each, say nothing
    for alone in (np.zeros(61), np.arange(61)):
        one = score_ratios(top, bottom, strata=alone).interval()
        assert (one.low, one.high) == pytest.approx((free.low, free.high))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(14, 120), st.floats(0.05, 1.0))
def test_score_ratios_property_interval_and_tests_agree(seed: int, n: int, share: float) -> None:
    top, bottom = f1_columns(rng(seed), n, share)
    top, bottom = np.vstack([top, [[2.0, 0.0]]]), np.vstack([bottom, [[3.0, 2.0]]])
    score = score_ratios(top, bottom)
    interval = score.interval(0.9)
    assert interval.low < score.estimate < interval.high
    assert score.test(interval.low, "greater").p_value == pytest.approx(0.05, rel=1e-6)
    assert score.test(interval.high, "less").p_value == pytest.approx(0.05, rel=1e-6)
    swapped = score_ratios(top[:, ::-1], bottom[:, ::-1]).interval(0.9)
    assert swapped.high == pytest.approx(-interval.low, rel=1e-8, abs=1e-12)
    nulls = score.estimate + np.linspace(-3, 3, 41) * (interval.high - interval.low)
    p = np.array([score.test(null, "greater").p_value for null in nulls])
    # Fieller's sets: of a handful of items of unequal length a far difference may be as likely
    told = (p[1:] > 0.001) & (p[1:] < 0.5) & (n >= 20)
    assert (np.diff(p)[told] >= -1e-9).all()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(-0.9, 0.9))
def test_value_moments_property_has_the_mean_it_was_given(seed: int, mean: float) -> None:
    values = np.unique(rng(seed).uniform(-0.8, 0.8, 6))
    counts = rng(seed).integers(1, 9, values.size).astype(np.float64)
    variance, third, fourth = value_moments(values - mean, counts, (-1.0 - mean, 1.0 - mean))
    # no distribution is more skewed than its fourth moment allows
    assert third**2 <= variance * fourth * (1.0 + 1e-9)
    # a distribution on [-1, 1] with this mean cannot vary more
    assert 0.0 < variance <= 1.0 - mean**2 + 1e-9
    observed = float((counts * values).sum() / counts.sum())
    free = float((counts * (values - observed) ** 2).sum() / counts.sum())
    ends = (-1.0 - observed, 1.0 - observed)
    assert value_moments(values - observed, counts, ends)[0] == pytest.approx(free, rel=1e-9)


def test_score_ratios_without_a_change_is_nan_unless_the_support_is_known() -> None:
    scores = rng(1).random((30, 1)).repeat(2, axis=1)
    score = score_ratios(scores, np.ones((30, 2)))
    assert score.test().p_value == 1.0
    with pytest.warns(StatisticsWarning, match="carry no interval"):
        assert math.isnan(score.interval().low)
    with pytest.warns(StatisticsWarning, match="carry no interval"):
        result = score.equivalence(0.01)
    assert math.isnan(result.p_value)
    assert not result.equivalent
    with pytest.warns(StatisticsWarning, match="carry no interval"):
        assert math.isnan(score.test(-0.01, "greater").p_value)
    known = score_ratios(scores, np.ones((30, 2)), support=1).interval()
    assert known.low == pytest.approx(score_flips(0, 0, n=30).interval().low)


def test_score_ratios_of_an_arm_without_any_denominator_is_nan() -> None:
    # nothing to find anywhere, and the reference found nothing: its F1 is 1 by convention
    top, bottom = np.zeros((20, 2)), np.zeros((20, 2))
    bottom[:4, 1] = 1.0
    score = score_ratios(top, bottom)
    assert score.estimate == -1.0
    with pytest.warns(StatisticsWarning, match="carry no interval"):
        assert math.isnan(score.interval().high)


def test_score_ratios_of_changes_that_cancel_in_the_ratio_is_nan() -> None:
    # one of two spans found, then two of four: changed, but the F1 of both arms is one half
    top, bottom = (
        np.tile([[1.0, 2.0], [1.0, 1.0]], (9, 1)),
        np.tile([[2.0, 4.0], [2.0, 2.0]], (9, 1)),
    )
    score = score_ratios(top, bottom)
    assert (score.estimate, score.changed) == (0.0, 9)
    with pytest.warns(StatisticsWarning, match="carry no interval"):
        assert not score.equivalence(0.01).equivalent


def test_score_ratios_of_too_few_items_is_nan() -> None:
    with pytest.warns(StatisticsWarning, match="carry no interval"):
        assert math.isnan(score_ratios([[0.5, 0.25]], [[1.0, 1.0]]).interval().low)


def test_score_ratios_warns_where_few_unequal_items_changed() -> None:
    top, bottom = f1_columns(rng(7), 150, 0.04)
    with pytest.warns(StatisticsWarning, match="Below ten"):
        score_ratios(top, bottom).equivalence(0.05)


def test_score_ratios_warns_where_only_small_gains_were_seen() -> None:
    # fifteen equal gains of one hit in 200 items and no loss: what was seen would do, but a loss
    # of the margin could only come from few far larger ones that nobody saw
    top = np.tile([[24.0, 24.0]], (200, 1))
    top[:15, 1] = 26.0
    score = score_ratios(top, np.full((200, 2), 32.0))
    assert score.effective == pytest.approx(15.0)
    assert score.effective_at(-0.005) < 8.0
    assert score.approximate(-0.005)
    with pytest.warns(StatisticsWarning, match="equal changes .15 of 200 items changed"):
        score.equivalence(0.005)
    assert not score_ratios(*f1_columns(rng(7), 150, 0.6)).approximate(-0.05)
    # right and wrong answers are of equal weight, whose error rates are known
    assert not score_ratios(*flips(2, 1, 60), support=1).approximate(-0.05)
    assert not score_flips(2, 1, n=60).approximate(-0.05)


@pytest.mark.parametrize(("harmful", "n"), [(2, 3), (1, 3), (6, 7), (48, 49)])
def test_score_ratios_by_hand_nothing_lies_beyond_the_support(harmful: int, n: int) -> None:
    # influences of one whole item are 1 but for rounding; a loss of all is ruled out by one right
    score = score_ratios(*flips(harmful, 0, n), support=1)
    assert score.test(-1.0, "greater").p_value == 0.0
    assert score.test(-1.0).p_value == score_flips(harmful, 0, n=n).test(-1.0).p_value == 0.0


TEXT: Any = "a"
NO_ORDER: Any = [None, "a", "b"]


@pytest.mark.parametrize(
    "refused",
    [
        lambda: score_ratios(*flips(1, 1, 3), clusters=NO_ORDER),
        lambda: score_ratios(*flips(1, 1, 9), empty=TEXT),
        lambda: score_flips(1, 1, n=9).equivalence(TEXT),
        lambda: score_flips(1, 1, n=9).equivalence(0.1, TEXT),
        lambda: score_flips(1, 1, n=9).interval(TEXT),
        lambda: score_flips(1, 1, n=9).test(TEXT),
        lambda: bootstrap_ratios(*flips(1, 1, 9), rng=rng(), resamples=9, empty=[1, 2, 3]),
    ],
)
def test_what_is_no_number_or_label_is_refused_by_name(refused: Callable[[], Any]) -> None:
    with pytest.raises(StatisticsError):
        refused()


def test_score_ratios_refuses_what_it_cannot_answer() -> None:
    ones = np.ones((12, 2))
    with pytest.raises(InsufficientDataError, match="no item"):
        score_ratios(np.ones((0, 2)), np.ones((0, 2)))
    with pytest.raises(StatisticsError, match="two columns"):
        score_ratios(np.ones((4, 3)), np.ones((4, 3)))
    with pytest.raises(StatisticsError, match="both strata and clusters"):
        score_ratios(ones, ones, strata=range(12), clusters=range(12))
    with pytest.raises(StatisticsError, match="support"):
        score_ratios(*flips(1, 1, 20), support=0.5)
    with pytest.raises(InsufficientDataError, match="at least 5"):
        score_ratios(ones, ones, clusters=np.arange(12) % 4)
    with pytest.warns(StatisticsWarning, match="clusters are few"):
        score_ratios(*flips(2, 3, 30), clusters=np.arange(30) % 6)
