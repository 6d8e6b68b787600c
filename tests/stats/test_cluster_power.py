import dataclasses
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats import (
    PairedScore,
    cluster_power,
    clusters_for_score,
    clusters_for_spread,
    detectable_over_clusters,
    in_clusters,
    score_flips,
    score_power_over_clusters,
    score_ratios,
)
from quantrial.stats.power.flips import Question


def score_of(differences: NDArray[np.float64], labels: NDArray[np.int64]) -> PairedScore:
    scores = np.stack([1.0 - (differences > 0), 1.0 - (differences < 0)], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticsWarning)
        return score_ratios(scores, np.ones_like(scores), clusters=labels, support=1.0)


def pilot(
    groups: int, size: int, lost: list[float]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Clusters of one size; shares of each are lost."""
    rows = [[-1.0] * round(size * share) for share in lost]
    filled = [row + [0.0] * (size - len(row)) for row in rows]
    return np.array(filled).ravel(), np.repeat(np.arange(groups), size)


def test_clusters_for_score_against_reference_noncentral_t_of_scipy() -> None:
    # five clusters of 100, losses 0, 2, 4, 6, 8 %: mean -.04, variance between clusters .001
    score = score_of(*pilot(5, 100, [0.0, 0.02, 0.04, 0.06, 0.08]))
    assert 5 * score._null(score.estimate).variance == pytest.approx(0.001, rel=0.01)  # type: ignore[misc]
    found = clusters_for_score(score, question="difference")

    # under no difference a loss is as likely as a gain: the item variance is .04, not .04 * .96
    def power(groups: int) -> float:
        null, true = math.sqrt(0.001 / 0.96), math.sqrt(0.001)
        reach = (0.04 - 0.15 / (100 * groups)) * math.sqrt(groups)
        t = stats.t.ppf(0.975, groups - 1)
        return float(stats.nct.sf(t * null / true, groups - 1, reach / true))

    by_hand = next(g for g in range(5, 100) if power(g) >= 0.8)
    assert found == by_hand == 8


@pytest.mark.parametrize("question", ["difference", "non_inferior", "equivalent"])
def test_clusters_for_score_against_simulation_of_studies_as_large(question: Question) -> None:
    generator = np.random.default_rng(5)
    margin = 0.04

    def study(groups: int) -> PairedScore:
        lean = generator.beta(2.0, 14.0, groups) if question == "difference" else 0.03
        harm = np.repeat(np.broadcast_to(lean, groups), 10)
        gains = generator.random(harm.size) < 0.03
        losses = generator.random(harm.size) < harm
        return score_of(gains.astype(float) - losses, np.repeat(np.arange(groups), 10))

    found = clusters_for_score(study(10_000), margin, question=question)
    assert found is not None

    def yes(score: PairedScore) -> bool:
        if question == "difference":
            return score.test().p_value < 0.05
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StatisticsWarning)
            test = score.equivalence(margin)
        return test.non_inferior if question == "non_inferior" else test.equivalent

    share = np.mean([yes(study(found)) for _ in range(400)])
    assert share == pytest.approx(0.8, abs=0.08)


def test_clusters_for_score_by_hand_never_below_five() -> None:
    # as large a loss as there is: five clusters would do, two are not spoken of
    score = score_of(*pilot(5, 100, [0.5, 0.48, 0.52, 0.5, 0.49]))
    assert clusters_for_score(score, question="difference") == 5
    assert clusters_for_score(score, question="difference", alpha=1e-6) > 5  # type: ignore[operator]


def test_where_no_number_of_clusters_will_do() -> None:
    balanced = np.tile([-1.0, 1.0, 0.0, 0.0], 25)
    score = score_of(balanced, np.repeat(np.arange(5), 20))
    assert clusters_for_score(score, question="difference") is None
    lost = score_of(*pilot(5, 100, [0.05, 0.04, 0.06, 0.05, 0.05]))
    assert clusters_for_score(lost, 0.05, question="non_inferior") is None
    assert clusters_for_score(lost, 0.05, question="equivalent") is None


def test_wrong_use_is_refused() -> None:
    score = score_of(*pilot(5, 100, [0.0, 0.02, 0.04, 0.06, 0.08]))
    with pytest.raises(StatisticsError, match="needs a margin"):
        clusters_for_score(score, question="equivalent")
    with pytest.raises(StatisticsError, match="choose one of"):
        clusters_for_score(score, question="better")  # type: ignore[arg-type]
    with pytest.raises(StatisticsError, match="knows no clusters"):
        clusters_for_score(score_flips(2, 1, n=100), question="difference")


@pytest.mark.parametrize(
    "lost", [[0.0, 0.02, 0.04, 0.06, 0.08], [0.01, 0.01, 0.02, 0.0, 0.03, 0.01]]
)
def test_clusters_for_score_property_mirrored_and_harder_questions_take_more(
    lost: list[float],
) -> None:
    differences, labels = pilot(len(lost), 100, lost)
    score, mirrored = score_of(differences, labels), score_of(-differences, labels)

    def clusters(of: PairedScore, question: Question, **options: float) -> int:
        found = clusters_for_score(of, 0.08, question=question, **options)
        assert found is not None
        return found

    for question in ("difference", "equivalent"):
        base = clusters(score, question)
        assert base == clusters(mirrored, question)
        assert base <= clusters(score, question, power=0.95)
        assert base < clusters(score, question, alpha=0.001)
    assert clusters(score, "non_inferior") <= clusters(score, "equivalent")
    assert clusters(mirrored, "non_inferior") <= clusters(score, "non_inferior")


def test_cluster_plans_against_simulation_of_cluster_means() -> None:
    generator = np.random.default_rng(6)
    groups, sd, margin = 8, 0.05, 0.06
    means = generator.normal(-0.01, sd, (20_000, groups))
    errors = means.std(axis=1, ddof=1) / math.sqrt(groups)
    low, high = 1.8946 * errors, 2.3646 * errors  # t of 7 degrees of freedom: .95, .975
    centre = means.mean(axis=1)
    yes = {
        "difference": np.abs(centre) > high,
        "non_inferior": centre + margin > low,
        "equivalent": (centre + margin > low) & (margin - centre > low),
    }
    for question, hits in yes.items():
        found = cluster_power(sd, -0.01, groups, margin, question=question)  # type: ignore[arg-type]
        # two one-sided tests are taken as if both could not fail at once
        assert found == pytest.approx(hits.mean(), abs=0.02), question
    found = detectable_over_clusters(sd, groups)
    assert np.mean(np.abs(centre + 0.01 + found) > high) == pytest.approx(0.8, abs=0.01)
    needed = clusters_for_spread(sd, found, question="difference")
    assert needed == groups


def test_cluster_plans_by_hand_turn_where_the_power_does() -> None:
    needed = clusters_for_spread(0.05, -0.04, question="difference")
    assert needed is not None
    assert cluster_power(0.05, -0.04, needed, question="difference") >= 0.8
    assert cluster_power(0.05, -0.04, needed - 1, question="difference") < 0.8
    assert clusters_for_spread(1e-4, -0.04, question="difference") == 5
    assert clusters_for_spread(0.05, 0.0, question="difference") is None
    assert clusters_for_spread(0.05, -0.05, 0.05, question="non_inferior") is None
    found = detectable_over_clusters(0.05, 10)
    assert cluster_power(0.05, found, 10, question="difference") == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize(("groups", "difference"), [(5, 0.05), (12, -0.03), (60, 0.02)])
def test_cluster_plans_against_reference_statsmodels(groups: int, difference: float) -> None:
    from statsmodels.stats.power import TTestPower

    found = cluster_power(0.05, difference, groups, question="difference")
    reference = TTestPower().power(difference / 0.05, groups, 0.05)
    assert found == pytest.approx(reference, abs=1e-8)
    # what one finds at its own power, the others give back
    assert detectable_over_clusters(0.05, groups, power=found) == pytest.approx(
        abs(difference), rel=1e-5
    )
    just = found - 1e-9
    assert clusters_for_spread(0.05, difference, question="difference", power=just) == groups


@given(st.floats(0.01, 1.0), st.integers(5, 60), st.floats(0.001, 0.2))
def test_cluster_plans_property_more_clusters_and_less_spread_show_more(
    sd: float, groups: int, margin: float
) -> None:
    asked: tuple[Question, ...] = ("non_inferior", "equivalent")
    for question in asked:
        here = cluster_power(sd, 0.0, groups, margin, question=question)
        more = cluster_power(sd, 0.0, groups + 1, margin, question=question)
        less = cluster_power(sd / 1.5, 0.0, groups, margin, question=question)
        assert here <= more + 1e-9
        assert here <= less + 1e-9
    assert detectable_over_clusters(sd, groups + 1) <= detectable_over_clusters(sd, groups)
    needed = clusters_for_spread(sd, 0.0, margin, question="equivalent")
    assert needed is not None
    assert needed >= 5


def test_cluster_plans_refuse_wrong_use() -> None:
    with pytest.raises(StatisticsError):
        cluster_power(0.0, 0.0, 10, question="difference")
    with pytest.raises(StatisticsError):
        cluster_power(0.1, 0.0, 1, question="difference")
    with pytest.raises(StatisticsError, match="needs a margin"):
        cluster_power(0.1, 0.0, 10, question="equivalent")


def test_in_clusters_by_hand_the_design_effect_and_its_degrees_of_freedom() -> None:
    # ten clusters of 20 at .05: 1 + 19 * .05 = 1.95; degrees of freedom nine
    items = score_flips(12, 8, n=200)
    found = in_clusters(items, 0.05, [20] * 10)
    assert (found.clusters, found.n, found.estimate) == (10, 200, -0.02)
    assert found.df == pytest.approx(9.0)
    for value in (-0.05, -0.02, 0.0):
        expected = 1.95 * items._null(value).variance  # type: ignore[misc]
        assert found._null(value).variance == pytest.approx(expected)  # type: ignore[misc]
    # a pilot of 100 stands for a sample of 200 as well, and 5 and 35 in turn are 31.25 to an item
    unequal = in_clusters(score_flips(6, 4, n=100), 0.05, [5, 35] * 5)
    assert unequal._null(0.0).variance == pytest.approx(  # type: ignore[misc]
        (1 + (5 * (25 + 1225) / 200 - 1) * 0.05) * items._null(0.0).variance  # type: ignore[misc]
    )
    assert unequal.df < 9.0
    assert unequal._correction == items._correction


def test_in_clusters_against_reference_variance_between_and_within() -> None:
    # Donner and Klar: of one item s^2, between clusters icc s^2, within (1 - icc) s^2
    items = score_flips(30, 30, n=600)
    spread = 600 * items._null(0.0).variance  # type: ignore[misc]
    found = in_clusters(items, 0.2, [30] * 20)
    by_parts = (0.2 * spread + 0.8 * spread / 30) / 20
    assert found._null(0.0).variance == pytest.approx(by_parts)  # type: ignore[misc]


def leaning(
    generator: np.random.Generator, groups: int, size: int, rate: float, icc: float
) -> PairedScore:
    """A study without a true difference, in clusters that lean one way or the other."""
    labels = np.repeat(np.arange(groups), size)
    shape = (rate / icc - 1.0) / 2.0
    gains = generator.random(labels.size) < generator.beta(shape, shape, groups)[labels]
    flips = generator.random(labels.size) < rate
    return score_of(np.where(flips, np.where(gains, 1.0, -1.0), 0.0), labels)


@pytest.mark.parametrize(
    ("groups", "size", "rate", "icc", "margin"),
    [(20, 50, 0.02, 0.01, 0.018), (10, 60, 0.05, 0.02, 0.04), (40, 50, 0.05, 0.02, 0.02)],
)
def test_in_clusters_against_simulation_gives_the_power_of_studies_that_lean(
    groups: int, size: int, rate: float, icc: float, margin: float
) -> None:
    generator, draws = np.random.default_rng(8), 300
    found = np.zeros(2)
    for _ in range(draws):
        score = leaning(generator, groups, size, rate, icc)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StatisticsWarning)
            test = score.equivalence(margin)
        found += np.array([test.non_inferior, test.equivalent]) / draws
    half = round(50_000 * rate)
    planned = in_clusters(score_flips(half, half, n=100_000), icc, [size] * 100)
    for share, question in zip(found, ("non_inferior", "equivalent"), strict=True):
        power = score_power_over_clusters(planned, groups, margin, question=question)  # type: ignore[arg-type]
        assert power == pytest.approx(share, abs=0.09), question


@given(st.integers(0, 20), st.integers(0, 20), st.floats(0.0, 0.5), st.integers(2, 40), st.data())
def test_in_clusters_property_alike_items_widen_and_clusters_of_one_change_nothing(
    harmful: int, beneficial: int, icc: float, groups: int, data: st.DataObject
) -> None:
    items = score_flips(harmful, beneficial, n=120)
    sizes = data.draw(st.lists(st.integers(1, 30), min_size=groups, max_size=groups))
    alone = in_clusters(items, icc, np.ones(120))
    assert alone.interval().low == pytest.approx(
        score_ratios_as(items, 119.0).interval().low, abs=1e-9
    )
    less, more = (in_clusters(items, one, sizes).interval() for one in (icc / 2.0, icc))
    assert more.low <= less.low + 1e-9
    assert less.high <= more.high + 1e-9


def score_ratios_as(score: PairedScore, df: float) -> PairedScore:
    """The same evidence on a t distribution."""
    return dataclasses.replace(score, df=df)


def test_score_power_over_clusters_by_hand_turns_where_the_clusters_are_counted() -> None:
    score = in_clusters(score_flips(50, 50, n=2000), 0.02, [20] * 100)
    for question in ("non_inferior", "equivalent"):
        needed = clusters_for_score(score, 0.03, question=question)
        assert needed is not None
        there, before = (
            score_power_over_clusters(score, count, 0.03, question=question)
            for count in (needed, needed - 1)
        )
        assert before < 0.8 <= there
    assert score_power_over_clusters(score, 4, 0.5, question="equivalent") == 0.0
    assert math.isnan(
        score_power_over_clusters(dataclasses.replace(score, _null=None), 9, question="difference")
    )


@pytest.mark.parametrize("difference", [0.0, -0.02])
def test_score_power_over_clusters_against_reference_noncentral_t_of_scipy(
    difference: float,
) -> None:
    # of scores whose variance hardly depends on the tested difference it is the t test's power
    generator = np.random.default_rng(4)
    shares = generator.normal(0.0, 0.3, 4000)
    values = 0.5 + np.stack([np.zeros(4000), shares - shares.mean() + difference], axis=1)
    score = in_clusters(score_ratios(values, np.ones_like(values)), 0.0, [20] * 200)
    sd = shares.std() / math.sqrt(20)
    reach = (0.1 + difference - score._correction * 200 / 12) / sd * math.sqrt(12)
    expected = stats.nct.sf(stats.t.ppf(0.95, 11), 11, reach)
    found = score_power_over_clusters(score, 12, 0.1, question="non_inferior")
    assert found == pytest.approx(expected, abs=0.03)


def test_score_power_over_clusters_against_simulation_of_a_difference() -> None:
    generator, found = np.random.default_rng(9), 0
    for _ in range(300):
        harm = np.repeat(generator.beta(2.0, 14.0, 12), 20)
        gains = generator.random(240) < 0.03
        losses = generator.random(240) < harm
        score = score_of(gains.astype(float) - losses, np.repeat(np.arange(12), 20))
        found += score.test().p_value < 0.05
    harm = np.repeat(generator.beta(2.0, 14.0, 4000), 20)
    gains = generator.random(harm.size) < 0.03
    truth = score_of(
        gains.astype(float) - (generator.random(harm.size) < harm), np.repeat(np.arange(4000), 20)
    )
    power = score_power_over_clusters(truth, 12, question="difference")
    assert power == pytest.approx(found / 300, abs=0.09)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.0, 0.2), st.integers(5, 60))
def test_score_power_over_clusters_property_more_clusters_show_more(
    harmful: int, beneficial: int, icc: float, groups: int
) -> None:
    score = in_clusters(score_flips(harmful, beneficial, n=800), icc, [20] * 40)
    bound = abs(score.estimate) + 0.02
    for question in ("difference", "non_inferior", "equivalent"):
        here, more = (
            score_power_over_clusters(score, count, bound, question=question)
            for count in (groups, 2 * groups)
        )
        assert 0.0 <= here <= more + 1e-6 <= 1.0 + 1e-6


def test_in_clusters_refuses_wrong_use() -> None:
    score = score_flips(3, 2, n=100)
    with pytest.raises(StatisticsError, match="icc is 1"):
        in_clusters(score, 1.0, [10] * 10)
    with pytest.raises(StatisticsError, match="over clusters already"):
        in_clusters(in_clusters(score, 0.1, [10] * 10), 0.1, [10] * 10)
    with pytest.raises(StatisticsError, match="1 size"):
        in_clusters(score, 0.1, [10])
    with pytest.raises(StatisticsError, match="the least 0"):
        in_clusters(score, 0.1, [10, 0])
