import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats import cluster_interaction
from quantrial.stats.strata.interaction import _freedom, _jackknife, _Parts, _wald
from repetitions import repetitions

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "r_clusters.json").read_text(encoding="utf-8")
)["interaction"]


def answers(change: Array) -> tuple[Array, Array]:
    """Scores of two arms whose difference is `change`."""
    before = np.where(change < 0, -change, 0.0)
    return np.stack([before, before + change], axis=1), np.ones((change.size, 2))


def test_cluster_interaction_by_hand_two_strata_of_five_equal_clusters() -> None:
    # each cluster's ten items: losses 0..4 in one stratum, gains 0..4 in the other; means -.2, .2
    losses = [np.array([-1.0] * k + [0.0] * (10 - k)) for k in range(5)]
    change = np.concatenate([*losses, *(-one for one in losses)])
    clusters = np.repeat(np.arange(10), 10)
    found = cluster_interaction(*answers(change), clusters // 5, clusters)
    # variance of a mean of five clusters: .025 / 5 by CR2, and five quarters of that; the
    # item-level one of ten losses in fifty is .2 / 50 = .004, and below it. F = .4^2 / .0125, on
    # the degrees of freedom of two spreads of five, eight, less 3.5
    assert found.statistic == pytest.approx(0.16 / 0.0125)
    assert found.p_value == pytest.approx(stats.f.sf(12.8, 1, 4.5))
    assert (found.n, found.clusters, found.alternative) == (100, 10, "two-sided")


def test_cluster_interaction_by_hand_a_stratum_without_a_change_is_not_certain() -> None:
    # 10 losses in 50, all clusters alike, against none: no spread between clusters at all
    change = np.tile([-1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 10)
    clusters = np.repeat(np.arange(10), 10)
    change[clusters >= 5] = 0.0
    found = cluster_interaction(*answers(change), clusters // 5, clusters)
    assert 1.0 < found.statistic < 0.04 / (0.16 / 50)  # less than by the seen variance alone
    assert 0.001 < found.p_value < 0.1


@pytest.mark.parametrize("case", REFERENCE)
def test_cluster_interaction_against_reference_clubsandwich(case: dict[str, Any]) -> None:
    y = np.array(case["values"], dtype=np.float64)
    strata, clusters = (
        np.unique(case[name], return_inverse=True)[1] for name in ("strata", "clusters")
    )
    top = np.stack([np.zeros(y.size), y], axis=1)
    parts = _Parts.of(top, np.ones_like(top), strata, clusters)
    relief, variance = _jackknife(parts)
    np.testing.assert_allclose(variance.ravel(), case["variance"], rtol=1e-9, atol=1e-12)
    freedom = _freedom(parts.counts, relief, np.ones(parts.sizes.size), 0.0)
    found = _wald(parts.differences, variance, freedom)
    assert found[2] == pytest.approx(case["df"], rel=1e-6)
    assert found[0] == pytest.approx(case["f"], rel=1e-6)
    assert stats.f.sf(*found) == pytest.approx(case["p"], rel=1e-6)


def test_cluster_interaction_against_reference_where_nothing_departs_from_it() -> None:
    case = REFERENCE[0]
    change = np.array(case["values"], dtype=np.float64)
    found = cluster_interaction(*answers(change), case["strata"], case["clusters"])
    assert found.statistic == pytest.approx(case["f"], rel=1e-9)
    assert found.p_value == pytest.approx(stats.f.sf(case["f"], 1, case["df"] - 3.5), rel=1e-6)


def layout(kind: str, groups: int, strata: int, size: int) -> tuple[Labels, Labels]:
    """Clusters of one size, within strata or across them."""
    clusters = np.repeat(np.arange(groups), size)
    places = clusters if kind == "within" else np.arange(groups * size) + clusters
    return places % strata, clusters


def drawn(
    generator: np.random.Generator, strata: Labels, clusters: Labels, rates: Array, icc: float
) -> Array:
    """Changes without a true difference, of clusters that lean one way or the other."""
    flips = generator.random(strata.size) < rates[strata]
    lean = np.full(clusters.max() + 1, 0.5)
    if icc > 0.0:
        shape = (float(rates[strata].mean()) / icc - 1.0) / 2.0
        lean = generator.beta(shape, shape, lean.size)
    return np.where(flips, np.where(generator.random(strata.size) < lean[clusters], 1.0, -1.0), 0.0)


@pytest.mark.parametrize("kind", ["within", "across"])
@pytest.mark.parametrize(
    ("groups", "rates", "icc"),
    [
        (10, [0.02, 0.02], 0.0),  # ten changed items
        *repetitions((10, [0.03, 0.2], 0.02)),
        (10, [0.15, 0.15], 0.1),
        (30, [0.02, 0.1, 0.2], 0.02),
    ],
)
def test_cluster_interaction_against_simulation_keeps_its_level(
    kind: str, groups: int, rates: list[float], icc: float
) -> None:
    generator, rejected, draws = np.random.default_rng(2), 0, 250
    strata, clusters = layout(kind, groups, len(rates), 600 // groups)
    for _ in range(draws):
        change = drawn(generator, strata, clusters, np.array(rates), icc)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StatisticsWarning)  # a draw without a change
            found = cluster_interaction(*answers(change), strata, clusters)
        rejected += found.p_value < 0.05
    assert rejected / draws <= 0.055 + 3 * math.sqrt(0.055 * 0.945 / draws)


def test_cluster_interaction_against_simulation_finds_what_is_there() -> None:
    generator, found = np.random.default_rng(3), 0
    strata, clusters = layout("within", 20, 2, 50)
    for _ in range(100):
        change = drawn(generator, strata, clusters, np.array([0.1, 0.1]), 0.0)
        lost = (strata == 0) & (generator.random(strata.size) < 0.08)
        change = np.where(lost, -1.0, change)
        found += cluster_interaction(*answers(change), strata, clusters).p_value < 0.05
    assert found >= 70


def slowly(counts: Array, relief: Array, items: Array, alike: float) -> float:
    """Return the degrees of freedom by the paper's sums over all pairs of clusters."""
    sizes, (groups, strata) = counts.sum(axis=0), counts.shape
    covariance = np.zeros((groups, groups, strata))
    for h in range(strata):
        spread = np.diag(counts[:, h] * (1.0 + alike * (counts[:, h] - 1.0))) * items[h]
        left = np.eye(groups) - np.outer(counts[:, h] / sizes[h], np.ones(groups))
        covariance[:, :, h] = np.diag(relief[:, h]) @ left @ spread @ left.T @ np.diag(relief[:, h])
    contrast = np.hstack([np.eye(strata - 1), -np.ones((strata - 1, 1))])
    expected = contrast @ np.diag(np.einsum("iih->h", covariance)) @ contrast.T
    root = np.linalg.inv(np.linalg.cholesky(expected))
    total = 0.0
    for i in range(groups):
        for j in range(groups):
            part = root @ contrast @ np.diag(covariance[i, j]) @ contrast.T @ root.T
            total += np.trace(part) ** 2 + np.trace(part @ part)
    return float((strata - 1) * strata / total)


def test_cluster_interaction_by_hand_unequal_clusters_have_the_smaller_degrees_of_freedom() -> None:
    # nine clusters of 2 to 18 items in either stratum, every other answer lost in one, gained in
    # the other: the strata's items vary alike, so their variance plays no part
    sizes = np.arange(2, 20, 2)
    clusters = np.repeat(np.arange(18), np.tile(sizes, 2))
    strata = (clusters >= 9).astype(np.int64)
    change = np.where(np.arange(clusters.size) % 2 == 0, 1.0, 0.0) * (2.0 * strata - 1.0)
    found = cluster_interaction(*answers(change), strata, clusters)
    counts = np.zeros((18, 2))
    counts[:9, 0] = counts[9:, 1] = sizes
    relief = 1.0 / (counts.sum(axis=0) - counts)
    apart, alike = (slowly(counts, relief, np.ones(2), one) for one in (0.0, 1.0))
    assert alike < apart - 1.0
    assert found.p_value == pytest.approx(stats.f.sf(found.statistic, 1, alike - 3.5), rel=1e-6)


@given(st.integers(2, 4), st.integers(5, 9), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1.0]))
def test_cluster_interaction_property_degrees_of_freedom_equal_the_papers_sums(
    strata: int, groups: int, seed: int, alike: float
) -> None:
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 9, (groups, strata)).astype(np.float64)
    counts[:2] += 1.0  # no stratum within one cluster
    relief = 1.0 / (counts.sum(axis=0) - counts)
    items = generator.uniform(0.5, 2.0, strata)
    found = _freedom(counts, relief, items, alike)
    assert found == pytest.approx(slowly(counts, relief, items, alike), rel=1e-8)


@given(st.integers(0, 2**32 - 1))
def test_cluster_interaction_property_labels_and_arms_do_not_matter(seed: int) -> None:
    generator = np.random.default_rng(seed)
    strata, clusters = layout("across", 14, 3, 12)
    change = drawn(generator, strata, clusters, np.full(3, 0.3), 0.0)
    top, bottom = answers(change)
    first = cluster_interaction(top, bottom, strata, clusters)
    order = generator.permutation(strata.size)
    again = cluster_interaction(
        top[order][:, ::-1], bottom[order], -strata[order], clusters[order].astype(str)
    )
    assert again.p_value == pytest.approx(first.p_value, rel=1e-6)
    assert cluster_interaction(
        2.0 * top, 2.0 * bottom, strata, clusters
    ).statistic == pytest.approx(first.statistic, rel=1e-6)


def test_cluster_interaction_leaves_out_strata_of_few_clusters_and_says_so() -> None:
    strata, clusters = layout("within", 40, 4, 10)
    change = drawn(np.random.default_rng(1), strata, clusters, np.full(4, 0.3), 0.0)
    few = np.where((strata == 3) & (clusters > 5), 0, strata)  # one cluster is left in stratum 3
    with pytest.warns(StatisticsWarning, match="1 of 4 strata is left out"):
        found = cluster_interaction(*answers(change), few, clusters)
    kept = few != 3
    top, bottom = answers(change)
    without = cluster_interaction(top[kept], bottom[kept], few[kept], clusters[kept])
    assert found.p_value == without.p_value
    assert (found.n, found.clusters) == (400, 40)


def test_cluster_interaction_says_where_there_is_no_test() -> None:
    strata, clusters = layout("within", 10, 2, 10)
    change = np.zeros(100)
    with pytest.warns(StatisticsWarning, match="two strata of at least 5 clusters, and a change"):
        assert math.isnan(cluster_interaction(*answers(change), strata, clusters).p_value)
    change[::7] = -1.0
    with (
        pytest.warns(StatisticsWarning, match="cannot test whether strata differ"),
        pytest.warns(StatisticsWarning, match="5 of 5 strata are left out"),
    ):
        assert math.isnan(cluster_interaction(*answers(change), clusters % 5, clusters).p_value)
    with pytest.warns(StatisticsWarning, match="too few, or too unequal, for 10 strata"):
        found = cluster_interaction(*answers(change), np.arange(100) % 10, clusters // 2)
    assert math.isnan(found.p_value)
    with pytest.raises(InsufficientDataError, match="4 cluster"):
        cluster_interaction(*answers(change), strata, clusters % 4)
    with pytest.raises(StatisticsError, match="one label an item"):
        cluster_interaction(*answers(change), strata, clusters[1:])


def test_cluster_interaction_against_simulation_where_losses_of_a_ratio_are_rare_and_large() -> (
    None
):
    # twenty clusters across two strata that do not differ; the small one changes more often
    generator, rejected, tested = np.random.default_rng(9), 0, 0
    strata = np.repeat([0, 1], [60, 900])
    for _ in range(200):
        moves = generator.random(960) < np.where(strata == 0, 0.5, 0.05)
        step = np.where(generator.random(960) < 0.1, -9.0, 1.0) * moves
        top = np.stack([np.full(960, 18.0), 18.0 + 2.0 * step], axis=1)
        bottom = np.full((960, 2), 24.0)
        clusters = generator.permutation(np.arange(960) % 20)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StatisticsWarning)  # few answers changed: no test
            p = cluster_interaction(top, bottom, strata, clusters).p_value
        rejected, tested = rejected + (p <= 0.05), tested + (not math.isnan(p))
    assert tested > 180
    assert rejected / 200 <= 0.055 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_cluster_interaction_leaves_out_strata_of_a_ratio_with_few_changes() -> None:
    generator = np.random.default_rng(10)
    strata, clusters = layout("across", 30, 3, 30)
    change = drawn(generator, strata, clusters, np.full(3, 0.3), 0.0)
    change[(strata == 2) & (np.cumsum(strata == 2) > 20)] = 0.0
    top, bottom = answers(change)
    top = 0.5 * top  # half of what there is to lose
    with pytest.warns(StatisticsWarning, match="1 of 3 strata is left out: fewer than 20"):
        found = cluster_interaction(top, bottom, strata, clusters)
    kept = strata < 2
    without = cluster_interaction(top[kept], bottom[kept], strata[kept], clusters[kept])
    assert found.p_value == pytest.approx(without.p_value)
