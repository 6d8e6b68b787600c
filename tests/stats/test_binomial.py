"""Chances of large counts, against scipy; critical counts and distinct rows, against slow twins."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from quantrial.stats._numerics import half_tail, likely_outcomes, remainder
from quantrial.stats.power.flips import most_fewer
from quantrial.stats.proportions import mcnemar
from quantrial.stats.resampling import collapse, product


@pytest.mark.parametrize(
    ("count", "trials"),
    [(0, 0), (0, 1), (1, 2), (3, 30), (200, 500), (0, 1001), (480, 1001), (9800, 20_000)],
)
def test_half_tail_against_reference(count: int, trials: int) -> None:
    tail, term = half_tail(count, trials)
    assert tail == pytest.approx(scipy.stats.binom.cdf(count, trials, 0.5), rel=1e-12)
    assert term == pytest.approx(scipy.stats.binom.pmf(count, trials, 0.5), rel=1e-12)


def test_remainder_against_reference_on_both_sides_of_its_table() -> None:
    counts = np.arange(4000.0, 4200.0)
    known = scipy.special.gammaln(counts + 1.0) - scipy.special.xlogy(counts, counts) + counts
    np.testing.assert_allclose(remainder(counts), known, rtol=1e-10)  # what gammaln keeps
    each = [remainder(counts[i : i + 1])[0] for i in range(counts.size)]  # the small looked up
    np.testing.assert_array_equal(remainder(counts), each)


@pytest.mark.parametrize(
    ("harm", "gain", "n"),
    [(0.02, 0.01, 500), (0.3, 0.2, 1000), (0.0, 0.01, 300), (0.5, 0.5, 40), (0.01, 0.008, 20_000)],
)
def test_likely_outcomes_against_reference(harm: float, gain: float, n: int) -> None:
    found = likely_outcomes(harm, gain, n)
    assert found is not None
    gains, losses, chances = found
    rest = n - gains - losses
    counts = np.stack(np.broadcast_arrays(gains, losses, np.maximum(rest, 0.0)), axis=-1)
    expected = scipy.stats.multinomial.pmf(counts, n, [gain, harm, max(0.0, 1.0 - gain - harm)])
    np.testing.assert_allclose(chances, np.where(rest >= 0, expected, 0.0), atol=1e-12, rtol=0)
    assert chances.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.3, 0.5])
def test_critical_counts_of_mid_p_property_one_by_one(alpha: float) -> None:
    for flips, most in enumerate(most_fewer(0, 1100, alpha)[:1101:50]):
        flips *= 50  # noqa: PLW2901
        rejected = [
            count
            for count in range(flips // 2 + 1)
            if flips and mcnemar(count, flips - count, n=flips, method="midp").p_value <= alpha
        ]
        assert most == max(rejected, default=-1)


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.sampled_from([0.0, 0.1, 1 / 3]), st.integers(0, 10**9)),
        min_size=1,
        max_size=40,
    )
)
def test_collapse_property_same_rows_as_numpy_finds(rows: list[tuple[float, ...]]) -> None:
    table = np.array(rows, dtype=np.float64)
    table = np.concatenate([table, table[:, :1]], axis=1)  # a column that stands twice
    distinct, codes = collapse(table)
    expected, inverse = np.unique(table, axis=0, return_inverse=True)
    np.testing.assert_array_equal(distinct, expected)
    np.testing.assert_array_equal(codes, inverse.ravel())


@pytest.mark.parametrize("columns", [1, 2, 30])
@pytest.mark.parametrize("terms", [1, 300, 5000])
def test_product_property_no_bit_depends_on_how_it_is_cut(terms: int, columns: int) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (2000, terms)).astype(np.float64)
    table = rng.integers(-99, 99, (terms, columns)) / 64.0
    np.testing.assert_array_equal(product(counts, table), counts @ table)
