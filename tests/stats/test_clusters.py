import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats import cluster_variance


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


def test_cluster_variance_against_reference_statsmodels_cr1() -> None:
    import statsmodels.api as sm

    generator = np.random.default_rng(2)
    labels = np.repeat(np.arange(400), 3)
    values = generator.normal(size=400)[labels] + generator.normal(size=1200)
    fit = sm.OLS(values, np.ones(1200)).fit(cov_type="cluster", cov_kwds={"groups": labels})
    # the corrections differ by a factor that tends to 1 with the number of equal clusters
    ours = math.sqrt(cluster_variance(values, labels).variance)
    assert ours == pytest.approx(float(fit.bse[0]), rel=1e-3)


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
