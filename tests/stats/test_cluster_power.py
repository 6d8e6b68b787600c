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
    score_flips,
    score_ratios,
)
from quantrial.stats.flip_power import Question


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
