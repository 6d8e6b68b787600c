import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from characteristics.comparators import cr1_variance, wild_clusters
from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats import cluster_variance, score_ratios


def by_matrices(values: list[float], labels: list[int]) -> tuple[float, float]:
    """CR2 and Satterthwaite as the papers write them, with matrices of items by items."""
    y, g = np.array(values), np.array(labels)
    n = y.size
    hat = np.full((n, n), 1.0 / n)
    residual = y - y.mean()
    variance, vectors = 0.0, []
    for label in np.unique(g):
        members = np.flatnonzero(g == label)
        block = np.eye(members.size) - hat[np.ix_(members, members)]
        eigen, basis = np.linalg.eigh(block)
        adjust = basis @ np.diag(eigen**-0.5) @ basis.T
        variance += float(np.ones(members.size) @ adjust @ residual[members] / n) ** 2
        vectors.append((np.eye(n) - hat)[:, members] @ adjust @ np.ones(members.size) / n)
    gram = np.array(vectors) @ np.array(vectors).T
    return variance, float(np.trace(gram) ** 2 / (gram**2).sum())


def test_cluster_variance_by_hand_equal_clusters() -> None:
    # five clusters of two with means 1..5: variance of the mean is var(means) / 5, df 4
    result = cluster_variance([0, 2, 1, 3, 2, 4, 3, 5, 4, 6], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    assert result.mean == 3.0
    assert result.variance == pytest.approx(2.5 / 5)
    assert result.df == pytest.approx(4.0)
    assert (result.n, result.clusters, result.method) == (10, 5, "cr2-satterthwaite")


def test_cluster_variance_by_hand_clusters_of_one_are_items() -> None:
    values = np.random.default_rng(1).normal(size=40)
    result = cluster_variance(values, np.arange(40))
    assert result.variance == pytest.approx(values.var(ddof=1) / 40)
    assert result.item_level == pytest.approx(values.var(ddof=1) / 40)
    assert result.df == pytest.approx(39.0)


@pytest.mark.parametrize("case", range(5))
def test_cluster_variance_against_reference_clubsandwich(
    r_values: dict[str, Any], case: int
) -> None:
    one = r_values["cluster_variance"][case]
    ours = cluster_variance(one["values"], one["clusters"])
    assert ours.mean == pytest.approx(one["mean"], abs=1e-12)
    assert ours.variance == pytest.approx(one["cr2"], rel=1e-10)
    assert ours.df == pytest.approx(one["df"], rel=1e-10)
    crude = cr1_variance(one["values"], one["clusters"])
    assert crude.variance == pytest.approx(one["cr1"], rel=1e-10)


def test_cluster_variance_against_reference_statsmodels_cr1() -> None:
    import statsmodels.api as sm

    generator = np.random.default_rng(2)
    labels = np.repeat(np.arange(400), 3)
    values = generator.normal(size=400)[labels] + generator.normal(size=1200)
    fit = sm.OLS(values, np.ones(1200)).fit(cov_type="cluster", cov_kwds={"groups": labels})
    # the corrections differ by a factor that tends to 1 with the number of equal clusters
    ours = math.sqrt(cluster_variance(values, labels).variance)
    assert ours == pytest.approx(float(fit.bse[0]), rel=1e-3)


def test_cluster_variance_against_reference_statsmodels_weighted_cluster_means() -> None:
    import statsmodels.api as sm

    # CR2 of a mean is HC2 of the cluster means weighted by their size: the leverages agree
    generator = np.random.default_rng(5)
    labels = np.repeat(np.arange(9), [3, 1, 4, 1, 5, 9, 2, 6, 5])
    values = generator.normal(size=9)[labels] + generator.normal(size=labels.size)
    sizes = np.bincount(labels)
    means = np.bincount(labels, weights=values) / sizes
    fit = sm.WLS(means, np.ones(9), weights=sizes).fit(cov_type="HC2")
    ours = cluster_variance(values, labels)
    assert ours.mean == pytest.approx(float(fit.params[0]))
    assert math.sqrt(ours.variance) == pytest.approx(float(fit.bse[0]), rel=1e-12)


def test_cr1_variance_against_reference_statsmodels() -> None:
    import statsmodels.api as sm

    labels = np.repeat(np.arange(7), [3, 1, 4, 1, 5, 9, 2])
    values = np.random.default_rng(6).normal(size=labels.size) + labels % 3
    fit = sm.OLS(values, np.ones(labels.size)).fit(
        cov_type="cluster", cov_kwds={"groups": labels, "df_correction": True}
    )
    crude = cr1_variance(values, labels)
    n = labels.size
    # statsmodels multiplies by (n - 1) / (n - k) too, which is 1 for a mean
    assert math.sqrt(crude.variance) == pytest.approx(float(fit.bse[0]) * math.sqrt(1), rel=1e-9)
    assert (crude.df, crude.method, crude.n) == (6.0, "cr1", n)


def test_cluster_variance_against_simulation_has_the_stated_degrees_of_freedom() -> None:
    # a variance estimate on df degrees of freedom has the squared coefficient of variation 2 / df
    generator = np.random.default_rng(4)
    labels = np.repeat(np.arange(8), [2, 4, 6, 8, 10, 20, 30, 40])
    found = [cluster_variance(generator.normal(size=120), labels) for _ in range(6000)]
    drawn = np.array([one.variance for one in found])
    assert 2 * drawn.mean() ** 2 / drawn.var() == pytest.approx(found[0].df, rel=0.1)


def test_cluster_variance_against_simulation_is_unbiased() -> None:
    generator = np.random.default_rng(3)
    labels = np.repeat(np.arange(8), [2, 4, 6, 8, 10, 20, 30, 40])
    estimates = [cluster_variance(generator.normal(size=120), labels).variance for _ in range(4000)]
    assert np.mean(estimates) == pytest.approx(1 / 120, rel=0.04)


@given(st.lists(st.integers(0, 5), min_size=12, max_size=40), st.integers(0, 2**32 - 1))
def test_cluster_variance_property_equals_the_matrix_formula(labels: list[int], seed: int) -> None:
    labels = [*range(6), *labels]
    values = np.random.default_rng(seed).normal(size=len(labels)).tolist()
    variance, df = by_matrices(values, labels)
    result = cluster_variance(values, labels)
    assert result.variance == pytest.approx(variance, rel=1e-9)
    assert result.df == pytest.approx(df, rel=1e-9)


def test_cluster_variance_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(InsufficientDataError, match="1 cluster"):
        cluster_variance([1.0, 2.0, 3.0], ["a", "a", "a"])
    with pytest.raises(StatisticsError, match="not finite"):
        cluster_variance([1.0, math.nan], [0, 1])
    with pytest.raises(StatisticsError, match="one label an item"):
        cluster_variance([1.0, 2.0], [0])


def test_cluster_variance_of_equal_values_is_zero_and_claims_nothing() -> None:
    assert cluster_variance(np.zeros(10), np.arange(10) % 5).variance == 0.0
    same = np.ones((40, 2))
    score = score_ratios(same, np.ones((40, 2)), clusters=np.arange(40) % 20, support=1)
    assert score.interval().low < 0.0 < score.interval().high


def by_every_sign(values: list[float], labels: list[int]) -> float:
    """Rebuild the data for each combination of signs, and take its t."""
    y, g = np.array(values), np.array(labels)

    def t(data: NDArray[np.float64]) -> float:
        mean = data.mean()
        totals = [float((data[g == k] - mean).sum()) for k in np.unique(g)]
        groups = len(totals)
        error = math.sqrt(sum(x * x for x in totals) * groups / (groups - 1)) / data.size
        return abs(float(mean)) / error if error > 1e-12 else math.inf

    seen = t(y)
    rows = [t(y * np.array(signs)[g]) for signs in itertools.product((1, -1), repeat=g.max() + 1)]
    return float(np.mean([row >= seen * (1 - 1e-9) for row in rows]))


def test_wild_clusters_by_hand_five_equal_clusters() -> None:
    # all five clusters lose alike: of 32 sign patterns only all-plus and all-minus are as extreme
    result = wild_clusters([-1.0] * 10, np.arange(10) % 5, rng=np.random.default_rng(0))
    assert result.p_value == 2 / 32
    assert (result.method, result.n, result.clusters) == ("wild-cluster-exact", 10, 5)
    # null at the mean: every cluster equals it
    at = wild_clusters([-1.0] * 10, np.arange(10) % 5, rng=np.random.default_rng(0), null=-1.0)
    assert at.p_value == 1.0
    assert math.isnan(at.statistic)


@given(st.lists(st.integers(0, 4), min_size=8, max_size=24), st.integers(0, 2**32 - 1))
def test_wild_clusters_property_equals_rebuilding_the_data(labels: list[int], seed: int) -> None:
    labels = [*range(5), *labels]
    values = (0.5 + np.random.default_rng(seed).normal(size=len(labels))).tolist()
    result = wild_clusters(values, labels, rng=np.random.default_rng(0))
    assert result.p_value == pytest.approx(by_every_sign(values, labels))


def test_wild_clusters_against_reference_scipy_for_clusters_of_one() -> None:
    from scipy import stats

    # with one item a cluster and a null of 0, |t| orders sign patterns as |mean| does
    values = np.random.default_rng(3).normal(0.4, 1.0, size=11)
    theirs = stats.permutation_test(
        [values], np.mean, permutation_type="samples", n_resamples=2**12
    ).pvalue
    ours = wild_clusters(values, np.arange(11), rng=np.random.default_rng(0)).p_value
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_wild_clusters_against_simulation_keeps_its_level_for_equal_clusters() -> None:
    generator = np.random.default_rng(7)
    labels = np.repeat(np.arange(20), 5)
    wrong = 0
    for _ in range(600):
        values = generator.normal(size=20)[labels] + generator.normal(size=100)
        wrong += wild_clusters(values, labels, rng=generator, resamples=199).p_value <= 0.05
    assert wrong / 600 == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 600))


def test_wild_clusters_refuses_what_it_cannot_answer() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InsufficientDataError, match="1 cluster"):
        wild_clusters([1.0, 2.0], [0, 0], rng=rng)
    with pytest.raises(InsufficientDataError, match="0 cluster"):
        wild_clusters([], [], rng=rng)
    with pytest.raises(StatisticsError, match="null"):
        wild_clusters(np.ones(5), np.arange(5), rng=rng, null=math.inf)
    with pytest.raises(StatisticsError, match="resamples"):
        wild_clusters(np.ones(5), np.arange(5), rng=rng, resamples=0)
