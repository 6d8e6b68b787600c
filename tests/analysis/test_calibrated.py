"""Which statistic `calibrated` answers with, on the analysis' own objects."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

from quantrial.analysis.comparison import heterogeneity
from quantrial.analysis.methods import settled_by
from quantrial.analysis.methods.calibrated import Calibrated
from quantrial.analysis.outcomes import Panel
from quantrial.documents.codec import nan
from quantrial.errors import StatisticsWarning
from quantrial.stats import Question, flip_power, least_items, mcnemar, score_flips
from quantrial.tasks import Endpoint

ACCURACY = Endpoint("accuracy", "proportion", {"correct": 1.0})
PRECISION = Endpoint("precision", "ratio", {"tp": 1.0}, {"tp": 1.0, "fp": 1.0})


def panel(
    columns: list[list[float]],
    *,
    endpoint: Endpoint = ACCURACY,
    bottoms: list[list[float]] | None = None,
    **groups: Any,
) -> Panel:
    top = np.array(columns, dtype=np.float64).T[:, :, None]
    bottom = np.ones_like(top) if bottoms is None else np.array(bottoms).T[:, :, None]
    answered = np.ones(top.shape[:2], dtype=np.bool_)
    arms = ("ref", "new", "third")[: top.shape[1]]
    return Panel(arms, (endpoint,), top, bottom, answered, **groups)


def calibrated(scores: Panel) -> Calibrated:
    return Calibrated(scores, seed=1, label="t", resamples=500, alpha=0.05)


def flips(n: int, harmful: int, beneficial: int) -> list[list[float]]:
    reference = [1.0] * harmful + [0.0] * beneficial + [1.0] * (n - harmful - beneficial)
    candidate = [0.0] * harmful + [1.0] * beneficial + [1.0] * (n - harmful - beneficial)
    return [reference, candidate]


def test_by_hand_the_published_case_is_non_inferior_at_two_points_only() -> None:
    # three discordant answers in 499: what a bootstrap calls equivalent within a point
    methods = calibrated(panel(flips(499, 2, 1)))
    one = methods.equivalence("ref", "new", "accuracy", 0.01)
    assert not one.equivalent
    assert not one.non_inferior
    assert methods.equivalence("ref", "new", "accuracy", 0.02).equivalent


def test_against_reference_a_proportion_is_tango_and_midp() -> None:
    methods = calibrated(panel(flips(200, 9, 3)))
    contrast = methods.contrast("ref", "new", "accuracy")
    interval = score_flips(9, 3, n=200).interval(0.95)
    assert contrast.estimate == pytest.approx(-6 / 200)
    assert contrast.interval.low == pytest.approx(interval.low, abs=1e-9)
    assert contrast.interval.high == pytest.approx(interval.high, abs=1e-9)
    assert contrast.p_value == mcnemar(9, 3, n=200, method="midp").p_value


def test_without_a_changed_answer_there_is_still_an_interval() -> None:
    methods = calibrated(panel(flips(400, 0, 0)))
    contrast = methods.contrast("ref", "new", "accuracy")
    assert contrast.interval.low < 0 < contrast.interval.high
    assert contrast.p_value == 1
    assert methods.equivalence("ref", "new", "accuracy", 0.01).equivalent
    # planned as if half an answer in 200 turned each way: more items than silence would need
    needed = calibrated(panel(flips(200, 0, 0))).items_needed(contrast, "accuracy", 0.01, family=1)
    asked: Question
    for question, asked in (("equivalence", "equivalent"), ("non_inferiority", "non_inferior")):
        items = needed[question]
        assert items is not None
        assert items > least_items(0.01)
        for n, enough in ((items, True), (items - 1, False)):
            reached = flip_power(0.0025, 0.0025, n, question=asked, margin=0.01).power >= 0.8
            assert reached is enough
    assert needed["difference"] is None


def test_a_ratio_of_nothing_is_compared_with_nothing() -> None:
    scores = panel(
        [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]],
        endpoint=PRECISION,
        bottoms=[[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]],
    )
    with pytest.warns(StatisticsWarning, match="an arm has no ratio"):
        contrast = calibrated(scores).contrast("ref", "new", "precision")
    assert math.isnan(contrast.estimate)
    assert math.isnan(contrast.p_value)
    assert math.isnan(contrast.interval.low)
    with pytest.warns(StatisticsWarning):
        test = calibrated(scores).equivalence("ref", "new", "precision", 0.05)
    assert (test.equivalent, test.non_inferior) == (False, False)


def test_below_five_clusters_nothing_is_claimed() -> None:
    groups = np.array(["a", "b", "c", "d"] * 50)
    scores = panel(flips(200, 1, 1), clusters=groups)
    methods = calibrated(scores)
    with pytest.warns(StatisticsWarning, match="is claimed"):
        contrast = methods.contrast("ref", "new", "accuracy")
    test = methods.equivalence("ref", "new", "accuracy", 0.05)  # which warns of nothing more
    assert (contrast.estimate, contrast.interval.method) == (0.0, "refused")
    assert math.isnan(contrast.interval.low)
    assert math.isnan(contrast.p_value)
    assert (test.equivalent, test.non_inferior) == (False, False)
    assert set(methods.items_needed(contrast, "accuracy", 0.05, family=1).values()) == {None}


@pytest.mark.parametrize("groups", [5, 6, 20])
def test_property_over_clusters_p_and_interval_agree_and_a_large_loss_is_worse(
    groups: int,
) -> None:
    generator = np.random.default_rng(groups)
    labels = np.array([f"g{i % groups}" for i in range(100 * groups)])
    for lost in (0.02, 0.1, 0.5, 1.0):
        candidate = (generator.random(labels.size) >= lost).astype(float).tolist()
        scores = panel([[1.0] * labels.size, candidate], clusters=labels)
        methods = calibrated(scores)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StatisticsWarning)  # few clusters are approximate
            one = methods.contrast("ref", "new", "accuracy")
        excludes = one.interval.low > 0.0 or one.interval.high < 0.0
        assert excludes == (one.p_value < 0.05)
        assert one.p_method == one.interval.method == "score-clusters"
        if lost >= 0.5:  # sign flips of five clusters stop at p = 2 / 2^5
            assert one.p_value < 0.001


def test_an_arm_over_clusters_against_simulation_covers_and_too_few_are_refused() -> None:
    generator, covered = np.random.default_rng(8), 0
    labels = np.repeat([f"g{i:02}" for i in range(20)], 20)
    for _ in range(200):
        share = np.repeat(generator.beta(2.4, 1.6, 20), 20)  # of .6, correlated by .2
        right = (generator.random(400) < share).astype(float).tolist()
        methods = calibrated(panel([right, right], clusters=labels))
        found = methods.arm("ref", "accuracy")
        covered += found.interval.low <= 0.6 <= found.interval.high
    assert found.interval.method == "score-clusters"
    assert covered >= 180  # Wilson's, of independent items, cover about 130
    few = calibrated(panel(flips(200, 50, 0), clusters=np.array(["a", "b", "c", "d"] * 50)))
    with pytest.warns(StatisticsWarning, match="No interval is given"):
        one = few.arm("new", "accuracy")
    assert (one.estimate, one.interval.method) == (0.75, "refused")
    assert math.isnan(one.interval.low)


def test_over_clusters_whole_clusters_of_the_mean_size_are_needed() -> None:
    generator = np.random.default_rng(3)
    sizes = [20, 30, 40, 50, 60]
    labels = np.repeat([f"g{i}" for i in range(5)], sizes)
    lost = generator.random(200) < np.repeat([0.02, 0.0, 0.2, 0.0, 0.04], sizes)
    scores = panel([[1.0] * 200, (~lost).astype(float).tolist()], clusters=labels)
    methods = calibrated(scores)
    with pytest.warns(StatisticsWarning, match="5 clusters are few"):
        one = methods.contrast("ref", "new", "accuracy")
    assert one.p_value > 0.05
    needed = methods.items_needed(one, "accuracy", 0.05, family=1)["difference"]
    found = settled_by({"difference": needed}, one.n, one.clusters)
    assert found is not None
    assert found.clusters is not None
    assert found.items == 40 * found.clusters
    assert found.further_clusters == found.clusters - 5 > 0


def test_clusters_widen_and_strata_narrow() -> None:
    # nearly all losses sit in two of twenty groups
    groups = np.repeat([f"g{i:02}" for i in range(20)], 20)
    reference = np.ones(400)
    candidate = np.where(np.isin(groups, ["g00", "g01"]), 0.0, 1.0)
    candidate[[0, 20]] = 1.0
    candidate[60::100] = 0.0
    columns = [reference.tolist(), candidate.tolist()]

    def width(**kind: Any) -> float:
        interval = calibrated(panel(columns, **kind)).contrast("ref", "new", "accuracy").interval
        return interval.high - interval.low

    assert width(clusters=groups) > 1.5 * width() > 1.5 * width(strata=groups)


def test_intervals_stay_within_what_two_ratios_can_have() -> None:
    # twenty sentences whose entities are all lost: precision falls from .91 to nothing
    tp = [1.0] * 20
    tops, bottoms = [tp, [0.0] * 20], [[1.0] * 18 + [2.0] * 2, [1.0] * 20]
    methods = calibrated(panel(tops, endpoint=PRECISION, bottoms=bottoms))
    one = methods.contrast("ref", "new", "precision")
    assert one.interval.low == -1.0 < one.estimate < one.interval.high < 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticsWarning)
        assert methods.equivalence("ref", "new", "precision", 0.01).interval.low >= -1.0
    assert methods.simultaneous([one], "precision")[0].low == -1.0
    # a mean of counts has no such bound
    counts = Endpoint("spurious", "mean", {"spurious": 1.0}, unit="entities", low=None, high=None)
    invented = [[0.0] * 20, [-3.0, -1.0] * 10]
    low = calibrated(panel(invented, endpoint=counts)).contrast("ref", "new", "spurious")
    assert low.interval.low < -2.0


def test_a_mean_of_zeros_and_ones_is_planned_as_the_proportion_it_is() -> None:
    mean = Endpoint("macro_f1", "mean", {"f1": 1.0})
    columns = flips(3, 3, 0)
    needed = []
    for endpoint in (ACCURACY, mean):
        methods = calibrated(panel(columns, endpoint=endpoint))
        one = methods.contrast("ref", "new", endpoint.name)
        needed.append(methods.items_needed(one, endpoint.name, 0.01, family=1))
    assert needed[0] == needed[1]
    assert needed[1]["difference"] is not None


def test_heterogeneity_is_found_where_it_is_and_shrinks_towards_the_mean() -> None:
    values = np.repeat(["a", "b", "c", "d"], 100)
    reference, candidate = np.ones(400), np.ones(400)
    candidate[:30] = 0.0  # a loses 30 points, the others nothing
    found = heterogeneity(
        panel([reference.tolist(), candidate.tolist()]),
        values,
        key="subject",
        contrast=("ref", "new", "accuracy"),
        seed=1,
        resamples=500,
    )
    assert nan(found.p_value) < 0.01
    shrunken = {value: nan(one) for value, one in found.shrunken.items()}
    assert -0.3 < shrunken["a"] < -0.075 < shrunken["b"] <= 0.0
    even = np.ones(400)
    even[::10] = 0.0  # every stratum loses ten points
    found = heterogeneity(
        panel([reference.tolist(), even.tolist()]),
        values,
        key="subject",
        contrast=("ref", "new", "accuracy"),
        seed=1,
        resamples=500,
    )
    assert nan(found.p_value) > 0.5
    assert found.shrunken["a"] == pytest.approx(-0.1)
