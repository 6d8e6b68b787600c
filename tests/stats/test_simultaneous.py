import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats import holm, holm_intervals, mcnemar, score_flips, score_ratios
from stats.tango import z_of

FAMILIES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=6)


def test_holm_intervals_by_hand_levels() -> None:
    # p about .0003, .02 and .6: the second is Holm's alone (2 x .02 <= .05 < 3 x .02)
    scores = [score_flips(20, 2, n=300), score_flips(14, 4, n=300), score_flips(5, 7, n=300)]
    p = [score.test().p_value for score in scores]
    assert p[0] < 0.05 / 3 < p[1] < 0.05 / 2 < p[2]
    first, second, third = holm_intervals(scores, p)
    assert first == scores[0].interval(1 - 0.05 / 3)
    half = scores[1].interval(1 - 0.05 / 2)
    assert (second.low, second.high) == (half.low, half.high)
    assert math.isnan(second.confidence)  # chosen because it leaves 0 out
    assert third == scores[2].interval(1 - 0.05 / 3)
    assert first.high < 0
    assert second.high < 0
    assert scores[1].interval(1 - 0.05 / 3).high > 0
    assert third.low < 0 < third.high


def test_holm_intervals_by_hand_what_could_not_be_tested_does_not_count() -> None:
    scores = [score_flips(20, 4, n=300), score_flips(0, 0, n=300)]
    known, unknown = holm_intervals(scores, [scores[0].test().p_value, math.nan])
    assert known == scores[0].interval(0.95)
    assert math.isnan(unknown.low)
    assert math.isnan(unknown.high)
    assert holm_intervals([], []) == []


@settings(max_examples=150)
@given(FAMILIES, st.sampled_from([0.01, 0.05, 0.1, 0.3]))
def test_holm_intervals_property_exclude_zero_exactly_where_holm_rejects(
    flips: list[tuple[int, int]], alpha: float
) -> None:
    scores = [score_flips(harmful, beneficial, n=100) for harmful, beneficial in flips]
    p = [score.test().p_value for score in scores]
    intervals = holm_intervals(scores, p, alpha=alpha)
    excludes = [interval.low > 0.0 or interval.high < 0.0 for interval in intervals]
    assert excludes == (holm(p) <= alpha).tolist()
    whole = 1 - alpha / len(scores)
    for score, interval in zip(scores, intervals, strict=True):
        if math.isnan(interval.confidence):
            inside = score.interval(whole)
            assert inside.low <= 0.0 <= inside.high  # else it need not have been narrowed
            assert not interval.low <= 0.0 <= interval.high
        else:
            assert interval.confidence == whole
        assert interval.low < score.estimate < interval.high


def test_holm_intervals_by_hand_of_a_larger_family() -> None:
    # two contrasts of a family of ten, whose adjusted p the caller knows
    scores = [score_flips(20, 2, n=300), score_flips(14, 4, n=300)]
    p = [score.test().p_value for score in scores]
    first, second = holm_intervals(scores, p, adjusted=[10 * p[0], 0.2], family=10)
    assert p[0] < 0.05 / 10
    assert first == scores[0].interval(1 - 0.05 / 10)
    assert second == scores[1].interval(1 - 0.05 / 10)
    assert second.high > 0  # not decided on, so not narrowed
    # others fell first: at half of alpha its p still rejects, at a third no more
    assert 0.05 / 3 < p[1] < 0.05 / 2
    (narrow,) = holm_intervals(scores[1:], p[1:], adjusted=[0.04], family=10)
    assert narrow.high == scores[1].interval(1 - 0.05 / 2).high < 0.0
    assert math.isnan(narrow.confidence)
    with pytest.raises(StatisticsError, match="one each"):
        holm_intervals(scores, p, adjusted=[0.1])


def test_holm_intervals_against_simulation_a_stated_level_is_kept() -> None:
    # one of three contrasts is real; where Holm alone rejects one of the others its interval leaves
    # out the 0 that is the truth: it covers nothing, and states no level
    generator = np.random.default_rng(11)
    stated: dict[float, list[bool]] = {}
    narrowed: list[bool] = []
    for _ in range(3000):
        counts = generator.multinomial(200, [0.05, 0.05, 0.9], size=2)
        scores = [score_flips(int(a), int(b), n=200) for a, b, _ in counts]
        scores.append(score_flips(30, 2, n=200))
        found = holm_intervals(scores, [score.test().p_value for score in scores])
        for one in found[:2]:
            covers = one.low <= 0.0 <= one.high
            if math.isnan(one.confidence):
                narrowed.append(covers)
            else:
                stated.setdefault(round(one.confidence, 9), []).append(covers)
    assert len(narrowed) > 20
    assert not any(narrowed)
    for level, hits in stated.items():
        assert np.mean(hits) >= level - 3 * math.sqrt(level * (1 - level) / len(hits))


def test_holm_intervals_against_simulation_no_true_zero_is_excluded() -> None:
    # one contrast of four is real; intervals of the others share the reference and exclude 0
    generator, wrong = np.random.default_rng(3), 0
    for _ in range(1500):
        counts = generator.multinomial(200, [0.04, 0.04, 0.92], size=3)
        scores = [score_flips(int(a), int(b), n=200) for a, b, _ in counts]
        scores.append(score_flips(30, 2, n=200))
        found = holm_intervals(scores, [score.test().p_value for score in scores])
        wrong += any(one.low > 0 or one.high < 0 for one in found[:3])
    assert wrong / 1500 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)
    assert wrong > 15


def test_holm_intervals_against_reference_bonferroni_where_holm_adds_nothing() -> None:
    from scipy.stats import norm
    from statsmodels.stats.multitest import multipletests

    flips = [(20, 2), (9, 8), (1, 2)]
    scores = [score_flips(harmful, beneficial, n=300) for harmful, beneficial in flips]
    p = [score.test().p_value for score in scores]
    decided, _, _, bonferroni = multipletests(p, alpha=0.05, method="bonferroni")
    assert decided.tolist() == multipletests(p, alpha=0.05, method="holm")[0].tolist()
    z = float(norm.isf(bonferroni / 2))
    for (harmful, beneficial), found in zip(flips, holm_intervals(scores, p), strict=True):
        assert found.confidence == pytest.approx(1 - bonferroni)
        assert z_of(harmful, beneficial, 300, found.low, 0.15) == pytest.approx(z, abs=1e-6)
        assert z_of(harmful, beneficial, 300, found.high, 0.15) == pytest.approx(-z, abs=1e-6)


def test_holm_intervals_warn_where_p_comes_from_another_test() -> None:
    flips = next(
        (harmful, beneficial)
        for beneficial in range(12)
        for harmful in range(beneficial, 40)
        if mcnemar(harmful, beneficial, n=100, method="exact").p_value > 0.05
        and score_flips(harmful, beneficial, n=100).test().p_value <= 0.05
    )
    p = mcnemar(*flips, n=100, method="exact").p_value
    with pytest.warns(StatisticsWarning, match="1 of 1 intervals"):
        (interval,) = holm_intervals([score_flips(*flips, n=100)], [p])
    assert interval.high < 0


def test_holm_intervals_of_data_that_carry_none_are_nan_with_a_warning() -> None:
    same = np.full((20, 2), 0.5)
    score = score_ratios(same, np.ones((20, 2)))
    with pytest.warns(StatisticsWarning, match="carry no interval"):
        (interval,) = holm_intervals([score], [score.test().p_value])
    assert math.isnan(interval.low)


def test_holm_intervals_refuse_what_is_no_family() -> None:
    score = score_flips(3, 2, n=50)
    with pytest.raises(StatisticsError, match="one each"):
        holm_intervals([score], [0.1, 0.2])
    with pytest.raises(StatisticsError, match="p_values"):
        holm_intervals([score], [1.2])
    with pytest.raises(StatisticsError, match="alpha"):
        holm_intervals([score], [0.2], alpha=0.0)
