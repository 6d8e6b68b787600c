"""What a plan promises of items that come in random clusters."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from quantrial.design.clustered import (
    CORRELATIONS,
    ClusterModel,
    cluster_prospects,
    cluster_warning,
)
from quantrial.design.forecast import Clusters, PowerQuery, Rates
from quantrial.stats import Question


def test_fewer_than_five_clusters_promise_nothing_and_say_so() -> None:
    assert cluster_prospects(250, 3, 0.05, alpha=0.05) == ()
    said = cluster_warning("sums", "subject", 3)
    assert said is not None
    assert "3 clusters (subject); an interval or a test needs at least 5" in said
    few = cluster_warning("sums", "subject", 12)
    assert few is not None
    assert "with fewer than 20" in few
    assert cluster_warning("sums", "subject", 20) is None


def test_correlation_within_clusters_costs_power() -> None:
    found = cluster_prospects(250, 10, 0.05, alpha=0.05)
    for share in (0.01, 0.05, 0.15):
        rows = [one for one in found if one.discordance == share]
        assert [one.icc for one in rows] == list(CORRELATIONS)
        powers = [one.power_equivalent for one in rows]
        assert powers == sorted(powers, reverse=True)
        assert [one.items_for_margin for one in rows] == sorted(
            one.items_for_margin or 0 for one in rows
        )


def test_by_hand_a_stated_correlation_stands_alone_and_clusters_are_counted() -> None:
    found = cluster_prospects(250, 10, 0.05, alpha=0.05, icc=0.04)
    assert [one.icc for one in found] == [0.04, 0.04, 0.04]
    for one in found:
        # clusters of 25
        assert one.items_for_margin is not None
        assert one.items_for_margin == 25 * (one.clusters_for_margin or 0)
    # by hand, without correlation: of .05 the mean of 25 has the variance .05 / 25, and ten of
    # them t of nine degrees of freedom
    spread = cluster_prospects(250, 10, 0.05, alpha=0.05, icc=0.0)[1]
    reach = 0.05 / math.sqrt(0.05 / 250)
    once = float(stats.nct.sf(stats.t.ppf(0.95, 9), 9, reach))
    assert spread.power_non_inferior == pytest.approx(once, abs=1e-6)
    assert spread.power_equivalent == pytest.approx(2 * once - 1, abs=1e-6)


def test_answers_right_and_wrong_are_planned_by_the_variance_under_the_margin() -> None:
    # one answer in a hundred changes, and a margin of two points is far from that: the test
    # counts losses that nobody saw, so it shows less than the spread alone says
    loose = cluster_prospects(1000, 20, 0.02, alpha=0.05, icc=0.0)[0]
    strict = cluster_prospects(1000, 20, 0.02, alpha=0.05, icc=0.0, proportion=True)[0]
    assert strict.power_equivalent < loose.power_equivalent
    assert (strict.clusters_for_margin or 0) > (loose.clusters_for_margin or 0)


def test_by_hand_clusters_of_unequal_size_cost_more() -> None:
    assert Clusters(20.0, 0.05, 20.0).effect == pytest.approx(1.95)
    assert Clusters(20.0, 0.05, 31.25).effect == pytest.approx(1 + 30.25 * 0.05)
    assert Clusters(20.0, 0.05, 20.0).holding(61) == 3
    asked = PowerQuery(400, 0.8, 0.08, 0.05)
    equal = ClusterModel(Rates(0.05, 0.05), asked, Clusters(20.0, 0.05, 20.0))
    unequal = ClusterModel(
        Rates(0.05, 0.05), asked, Clusters(20.0, 0.05, 31.25), sizes=[5.0, 35.0] * 10
    )
    assert unequal.at("equivalent", 400)[0] < equal.at("equivalent", 400)[0]
    assert (unequal.items("equivalent") or 0) > (equal.items("equivalent") or 0)
    found, worse = equal.detectable(400), unequal.detectable(400)
    assert found is not None
    assert worse is not None
    assert found < worse
    # fewer than five clusters show nothing, and nothing is found where nothing changes
    assert equal.at("non_inferior", 80) == (0.0, "noncentral-t")
    assert equal.detectable(80) is None
    assert ClusterModel(Rates(0.0, 0.0), asked, Clusters(20.0, 0.0, 20.0)).detectable(400) is None


def over(harmful: float, beneficial: float, n: int, size: float, margin: float) -> ClusterModel:
    return ClusterModel(
        Rates(harmful, beneficial), PowerQuery(n, 0.8, margin, 0.05), Clusters(size, 0.1, size)
    )


def test_by_hand_without_flips_the_margin_is_shown_from_the_least_items_on() -> None:
    told = over(0.0, 0.0, 500, 10.0, 0.01)
    # 32 clusters of 10: t of 31 at 5 % is 1.6955; 3.2 - .15 > 1.6955 sqrt(3.2 * .99) = 3.018
    # 31 of 10: t of 30 is 1.6973; 3.1 - .15 = 2.95 < 1.6973 sqrt(3.1 * .99) = 2.973
    assert told.least_items == 320
    assert told.items("equivalent") == told.items("non_inferior") == 320
    questions: tuple[Question, ...] = ("equivalent", "non_inferior")
    for question in questions:
        assert told.at(question, 320) == (1.0, "simulation")
        assert told.at(question, 310) == (0.0, "simulation")
    assert told.at("difference", 500)[0] == 0.0
    assert told.items("difference") is None


def test_few_flips_are_not_planned_as_if_whole_clusters_leaned() -> None:
    # studies drawn and tested item by item (tests/stats/test_flip_clusters.py) show .95 and .75
    assert over(0.0005, 0.0, 500, 10.0, 0.01).at("non_inferior", 500)[0] > 0.9
    told = over(0.002, 0.0, 500, 10.0, 0.01)
    assert 0.65 < told.at("non_inferior", 500)[0] < 0.85
    items = told.items("non_inferior")
    assert items is not None
    assert told.at("non_inferior", items)[0] >= 0.8 > told.at("non_inferior", items - 10)[0]


def test_many_flips_are_told_alike_by_drawn_studies_and_the_noncentral_t(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = over(0.05, 0.05, 2000, 10.0, 0.03)
    asked: tuple[Question, ...] = ("non_inferior", "equivalent")
    powers = [drawn.at(question, 2000) for question in asked]
    assert {method for _, method in powers} == {"simulation"}
    found = drawn.detectable(2000)
    monkeypatch.setattr("quantrial.design.clustered.FEW_FLIPS", 0)
    plain = over(0.05, 0.05, 2000, 10.0, 0.03)
    for (power, _), question in zip(powers, asked, strict=True):
        other, method = plain.at(question, 2000)
        assert method == "noncentral-t"
        assert power == pytest.approx(other, abs=0.04)
    assert found == pytest.approx(plain.detectable(2000), rel=0.05)


def test_drawn_studies_have_the_clusters_that_are_stated() -> None:
    asked, within = PowerQuery(400, 0.8, 0.08, 0.05), Clusters(20.0, 0.05, 31.25)
    told = ClusterModel(Rates(0.01, 0.01), asked, within, sizes=[5.0, 35.0] * 10)
    assert told._studies(Rates(0.01, 0.01), 800).n == 800
    assert over(0.01, 0.01, 333, 10.0, 0.05)._studies(Rates(0.01, 0.01), 333).n == 333
