"""Stuart and Maxwell's test, of items and over clusters."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2, permutation_test
from statsmodels.stats.contingency_tables import SquareTable, mcnemar

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats import HomogeneityResult, stuart_maxwell, stuart_maxwell_clusters

Table = NDArray[np.int64]


def table_of(pairs: list[tuple[int, int]], categories: int) -> Table:
    table = np.zeros((categories, categories), dtype=np.int64)
    for before, after in pairs:
        table[before, after] += 1
    return table


def over_clusters(tables: list[Table], *, alpha: float = 0.05) -> HomogeneityResult:
    return stuart_maxwell_clusters(np.array(tables), rng=np.random.default_rng(1), alpha=alpha)


def test_stuart_maxwell_by_hand() -> None:
    # the third category goes to the first four times and back once
    found = stuart_maxwell([[2, 0, 1], [0, 1, 0], [4, 0, 0]])
    assert found.p_value == pytest.approx(2 * (1 + 5) / 2**5)
    assert found.statistic == pytest.approx((4 - 1) ** 2 / 5)
    assert (found.df, found.method) == (1, "stuart-maxwell-exact")
    assert (found.n, found.changed, found.shift, found.clusters) == (8, 5, (3, 0, -3), None)
    # on a ring nothing shifts
    ring = stuart_maxwell([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert (ring.statistic, ring.p_value, ring.df, ring.shift) == (0, 1, 2, (0, 0, 0))


def test_stuart_maxwell_by_hand_of_categories_that_never_meet() -> None:
    # A with B, C with D: two coins, three each, all one way; of 64 outcomes four lie as far
    found = stuart_maxwell(table_of([(0, 1)] * 3 + [(2, 3)] * 3, 4))
    assert found.df == 2
    assert found.statistic == pytest.approx(9 / 3 + 9 / 3)
    assert found.p_value == pytest.approx(4 / 64)


def test_stuart_maxwell_by_hand_where_nothing_changed() -> None:
    found = stuart_maxwell([[3, 0], [0, 2]])
    assert (found.p_value, found.statistic, found.df) == (1, 0, 0)
    assert (found.n, found.changed, found.shift) == (5, 0, (0, 0))


@pytest.mark.parametrize("categories", [2, 3, 4, 10])
@pytest.mark.parametrize("seed", range(3))
def test_stuart_maxwell_against_reference(categories: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # two answers of three stay
    share = rng.dirichlet(np.ones(categories**2)) / 3
    share[:: categories + 1] += 2 / 3 / categories
    table = rng.multinomial(2000, share).reshape(categories, categories)
    expected = SquareTable(table, shift_zeros=False).homogeneity("stuart_maxwell")
    found = stuart_maxwell(table)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert found.df == expected.df == categories - 1
    if categories == 2:
        assert found.method == "stuart-maxwell-exact"
        assert found.p_value == pytest.approx(mcnemar(table, exact=True).pvalue, rel=1e-9)
    else:
        assert found.method == "stuart-maxwell"
        # statsmodels subtracts from 1, which ends at 1e-16
        assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-12)
        tail = chi2.sf(found.statistic, found.df)
        assert found.p_value == pytest.approx(tail, rel=1e-9, abs=1e-300)


MOVES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda pair: pair[0] != pair[1]),
    min_size=1,
    max_size=6,
)


@given(MOVES)
def test_stuart_maxwell_property_a_slow_twin_swaps_every_subset(
    moves: list[tuple[int, int]],
) -> None:
    observed = stuart_maxwell(table_of(moves, 4))
    swaps = [
        stuart_maxwell(
            table_of([m[::-1] if swap else m for m, swap in zip(moves, one, strict=True)], 4)
        ).statistic
        for one in itertools.product([False, True], repeat=len(moves))
    ]
    p = float(np.mean([one >= observed.statistic - 1e-9 for one in swaps]))
    assert observed.p_value == pytest.approx(p, abs=1e-12)


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=4, max_size=4))
def test_stuart_maxwell_property_knows_no_side(rows: list[list[int]]) -> None:
    table = np.array(rows)
    table[0, 0] += 1
    there, back = stuart_maxwell(table), stuart_maxwell(table.T)
    assert there.p_value == pytest.approx(back.p_value)
    assert there.statistic == pytest.approx(back.statistic)
    assert there.shift == tuple(-by for by in back.shift)


def test_stuart_maxwell_against_simulation() -> None:
    # no difference, unequal categories, more changes than can be counted: at most about 5 %
    rng = np.random.default_rng(3)
    below = 0
    for _ in range(300):
        pairs = zip(*rng.choice([0, 0, 1, 2, 3], size=(2, 60)).tolist(), strict=True)
        below += stuart_maxwell(table_of(list(pairs), 4)).p_value < 0.05
    assert below <= 300 * 0.05 + 3 * (300 * 0.05 * 0.95) ** 0.5


def test_stuart_maxwell_clusters_by_hand_six_that_all_lean_one_way() -> None:
    # one answer more of the second category in each: only all signs alike lie as far, 2 of 2^6
    found = over_clusters([table_of([(0, 1), (1, 1)], 2)] * 6)
    assert found.p_value == 2 / 64
    assert found.statistic == pytest.approx(6**2 / 6)
    assert (found.df, found.method) == (1, "stuart-maxwell-clusters-exact")
    assert (found.n, found.changed, found.shift, found.clusters) == (12, 6, (-6, 6), 6)


def test_stuart_maxwell_clusters_by_hand_five_cannot_reject_and_are_refused() -> None:
    tables = [table_of([(0, 1)] * 2, 2)] * 5
    with pytest.raises(InsufficientDataError, match=r"5 cluster.* alpha of 0\.05"):
        over_clusters(tables)
    assert over_clusters(tables, alpha=0.1).p_value == 2 / 32


def drawn_tables(clusters: int, seed: int) -> list[Table]:
    rng = np.random.default_rng(seed)
    return [rng.multinomial(6, np.full(9, 1 / 9)).reshape(3, 3) for _ in range(clusters)]


@pytest.mark.parametrize("seed", range(3))
def test_stuart_maxwell_clusters_against_reference(seed: int) -> None:
    # one item a cluster has the items' own statistic
    pairs = [(0, 1), (0, 2), (1, 2), (2, 0), (0, 1), (0, 2), (0, 1), (1, 1)]
    alone = over_clusters([table_of([pair], 3) for pair in pairs])
    items = SquareTable(table_of(pairs, 3), shift_zeros=False).homogeneity("stuart_maxwell")
    assert alone.statistic == pytest.approx(items.statistic, rel=1e-9)
    # SciPy swaps the sides of each cluster's two labels in all ways: one below 0 is swapped
    tables = drawn_tables(8, seed)
    sums = np.array([table.sum(axis=0) - table.sum(axis=1) for table in tables])
    weights = np.linalg.pinv(sums.T @ sums)
    labels = np.arange(1, 9)

    def distance(one: NDArray[np.int64], _: NDArray[np.int64]) -> float:
        total = np.sign(one) @ sums[np.abs(one) - 1]
        return float(round(total @ weights @ total, 9))  # ties are ties

    expected = permutation_test(
        (labels, -labels),
        distance,
        permutation_type="samples",
        vectorized=False,
        n_resamples=1_000,  # more than 2^8: all are counted
        alternative="greater",
    )
    assert over_clusters(tables).p_value == pytest.approx(expected.pvalue, abs=1e-12)


@given(st.integers(0, 10_000))
def test_stuart_maxwell_clusters_property_a_slow_twin_flips_whole_clusters(seed: int) -> None:
    tables = drawn_tables(7, seed)
    sums = np.array([table.sum(axis=0) - table.sum(axis=1) for table in tables])
    shifted = [row for row in sums if row.any()]
    if len(shifted) < 6:
        return
    inverse = np.linalg.pinv(sums.T @ sums)

    def distance(signs: tuple[int, ...]) -> float:
        total = np.array(signs) @ np.array(shifted)
        return float(total @ inverse @ total)

    every = [distance(signs) for signs in itertools.product((-1, 1), repeat=len(shifted))]
    expected = np.mean(np.array(every) >= distance((1,) * len(shifted)) - 1e-9)
    assert over_clusters(tables).p_value == pytest.approx(expected)


def test_stuart_maxwell_clusters_against_simulation() -> None:
    # clusters that lean at random err in five of a hundred; items taken alone, in most
    rng = np.random.default_rng(4)
    wrong, alone = 0, 0
    for _ in range(300):
        leans, moved = rng.integers(0, 2, 12), rng.binomial(20, 0.3, 12)
        tables = [
            table_of([(0, 1) if lean else (1, 0)] * count, 2)
            for lean, count in zip(leans.tolist(), moved.tolist(), strict=True)
        ]
        wrong += over_clusters(tables).p_value < 0.05
        alone += stuart_maxwell(np.sum(tables, axis=0)).p_value < 0.05
    assert wrong / 300 < 0.09
    assert alone / 300 > 0.3


def test_stuart_maxwell_clusters_by_hand_draws_where_signs_are_too_many() -> None:
    tables = [table_of([(0, 1)], 2)] * 20
    first = stuart_maxwell_clusters(tables, rng=np.random.default_rng(1), resamples=999)
    # 2 of 2^20 signs lie as far: 999 draws hold none
    assert (first.p_value, first.method) == (1 / 1000, "stuart-maxwell-clusters")


@pytest.mark.parametrize(
    ("table", "error", "said"),
    [
        ([[1, 2, 3], [1, 2, 3]], StatisticsError, r"shape \(2, 3\)"),
        ([1, 2], StatisticsError, r"shape \(2,\)"),
        ([[1, -1], [0, 1]], StatisticsError, "no count"),
        ([[0.5, 1], [0, 1]], StatisticsError, "no count"),
        ([[math.nan, 1], [0, 1]], StatisticsError, "no count"),
        ([[0, 0], [0, 0]], InsufficientDataError, "no item"),
    ],
)
def test_what_is_no_table_of_counts_is_refused(
    table: object, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        stuart_maxwell(table)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(error, match=said if "shape" not in said else "shape"):
        over_clusters([table])  # type: ignore[list-item]  # wrong on purpose
