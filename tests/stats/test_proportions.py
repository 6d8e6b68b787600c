import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from characteristics.comparators import jeffreys
from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats import TestResult, clopper_pearson, mcnemar, wilson


def test_wilson_by_hand() -> None:
    # 5 of 10, z = 1.959964: centre 0.5, half-width z sqrt(.025 + z^2/400) / (1 + z^2/10)
    result = wilson(5, 10)
    z = 1.959964
    half = z * math.sqrt(0.025 + z * z / 400) / (1 + z * z / 10)
    assert result.estimate == 0.5
    assert result.n == 10
    assert result.interval.low == pytest.approx(0.5 - half, rel=1e-6)
    assert result.interval.high == pytest.approx(0.5 + half, rel=1e-6)
    assert (result.interval.confidence, result.interval.method) == (0.95, "wilson")


def test_wilson_against_reference(statsmodels_values: dict[str, Any]) -> None:
    for row in statsmodels_values["proportions"]:
        interval = wilson(row["successes"], row["n"], confidence=row["confidence"]).interval
        np.testing.assert_allclose([interval.low, interval.high], row["wilson"], atol=1e-12)


def test_wilson_against_simulation_covers_on_average() -> None:
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.05, 0.95, 4000)
    counts = rng.binomial(60, truth)
    covered = 0
    for p, count in zip(truth, counts, strict=True):
        interval = wilson(int(count), 60).interval
        covered += interval.low <= p <= interval.high
    assert covered / 4000 == pytest.approx(0.95, abs=0.012)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_property_ends_solve_the_score_equation(case: tuple[int, int]) -> None:
    count, n = case
    share, interval = count / n, wilson(count, n).interval
    assert 0.0 <= interval.low <= share <= interval.high <= 1.0
    assert interval.low < interval.high
    for end in (interval.low, interval.high):
        if 0.0 < end < 1.0:
            z = (share - end) / math.sqrt(end * (1 - end) / n)
            assert abs(z) == pytest.approx(1.959964, rel=1e-5)


def test_clopper_pearson_by_hand_without_a_success() -> None:
    # P(X = 0) = (1 - high)^10 = .025
    interval = clopper_pearson(0, 10).interval
    assert interval.low == 0.0
    assert interval.high == pytest.approx(1 - 0.025**0.1)
    assert clopper_pearson(10, 10).interval.low == pytest.approx(0.025**0.1)


@pytest.mark.parametrize("name", ["clopper_pearson", "jeffreys"])
def test_proportion_intervals_against_reference(
    statsmodels_values: dict[str, Any], name: str
) -> None:
    method = {"clopper_pearson": clopper_pearson, "jeffreys": jeffreys}[name]
    for row in statsmodels_values["proportions"]:
        count, n = row["successes"], row["n"]
        interval = method(count, n, confidence=row["confidence"]).interval
        expected = list(row[name])
        if name == "jeffreys":  # statsmodels leaves the ends open where all or none succeed
            expected[0] = 0.0 if count == 0 else expected[0]
            expected[1] = 1.0 if count == n else expected[1]
        np.testing.assert_allclose([interval.low, interval.high], expected, atol=1e-9)


def test_jeffreys_by_hand_is_symmetric_about_a_half() -> None:
    interval = jeffreys(5, 10).interval
    assert interval.low + interval.high == pytest.approx(1.0)
    assert interval.method == "jeffreys"


def test_proportion_intervals_against_simulation_exact_covers_most() -> None:
    counts = np.random.default_rng(4).binomial(30, 0.12, 1500)
    cover = []
    for method in (clopper_pearson, jeffreys, wilson):
        ends = {int(k): method(int(k), 30).interval for k in np.unique(counts)}
        cover.append(sum(ends[int(k)].low <= 0.12 <= ends[int(k)].high for k in counts) / 1500)
    assert cover[0] >= max(cover[1], 0.95 - 0.017)
    assert cover[1] >= 0.90


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_proportion_intervals_property_nested_and_mirrored(case: tuple[int, int]) -> None:
    count, n = case
    exact, bayes = clopper_pearson(count, n).interval, jeffreys(count, n).interval
    assert exact.low <= bayes.low <= count / n <= bayes.high <= exact.high
    mirror = clopper_pearson(n - count, n).interval
    assert mirror.low == pytest.approx(1 - exact.high, abs=1e-9)


def test_mcnemar_by_hand() -> None:
    # 3 against 0: exact 2 x 1/8, mid-p less 1/8, chi-square 3 and (with Yates) 4/3
    assert mcnemar(3, 0, n=499) == TestResult(0.25, 0.0, "two-sided", "mcnemar-exact", 499)
    assert mcnemar(3, 0, n=499, method="midp").p_value == 0.125
    assert mcnemar(3, 0, n=499, method="asymptotic").statistic == pytest.approx(3.0)
    assert mcnemar(3, 0, n=499, method="yates").statistic == pytest.approx(4 / 3)


def test_mcnemar_by_hand_fourteen_flips_against_none() -> None:
    assert mcnemar(14, 0, n=100).p_value == pytest.approx(2 / 2**14)


@pytest.mark.parametrize("method", ["auto", "exact", "midp", "yates", "asymptotic"])
def test_mcnemar_by_hand_without_a_flip_p_is_one(method: Any) -> None:
    result = mcnemar(0, 0, n=499, method=method)
    assert result.p_value == 1.0
    assert result.n == 499


def test_mcnemar_by_hand_auto_turns_to_yates_above_25_flips() -> None:
    assert mcnemar(15, 10, n=100).method == "mcnemar-exact"
    assert mcnemar(15, 11, n=100).method == "mcnemar-yates"


@pytest.mark.parametrize("method", ["exact", "yates", "asymptotic"])
def test_mcnemar_against_reference(statsmodels_values: dict[str, Any], method: Any) -> None:
    for row in statsmodels_values["flips"]:
        harmful, beneficial = row["harmful"], row["beneficial"]
        if method == "yates" and harmful == beneficial:
            continue  # statsmodels corrects a gap of 0 to -1 and squares it; R and we leave it 0
        p = mcnemar(harmful, beneficial, n=5000, method=method).p_value
        assert p == pytest.approx(row[method], rel=1e-9), row


def test_mcnemar_by_hand_yates_never_corrects_past_zero() -> None:
    assert mcnemar(20, 20, n=100, method="yates").p_value == 1.0


def test_mcnemar_against_simulation_of_fair_coins() -> None:
    flips = np.random.default_rng(11).binomial(12, 0.5, 40_000)
    exact = mcnemar(9, 3, n=50, method="exact").p_value
    midp = mcnemar(9, 3, n=50, method="midp").p_value
    further, as_far = np.mean(abs(flips - 6) > 3), np.mean(abs(flips - 6) == 3)
    assert exact == pytest.approx(further + as_far, abs=0.01)
    assert midp == pytest.approx(further + as_far / 2, abs=0.01)


@given(st.integers(0, 1500), st.integers(0, 1500))
def test_mcnemar_property_blind_to_direction_and_ordered(harmful: int, beneficial: int) -> None:
    n = harmful + beneficial + 5
    p = {m: mcnemar(harmful, beneficial, n=n, method=m).p_value for m in ("exact", "midp")}
    assert 0.0 <= p["midp"] <= p["exact"] <= 1.0
    assert mcnemar(beneficial, harmful, n=n, method="exact").p_value == p["exact"]
    assert mcnemar(beneficial, harmful, n=n, method="midp").p_value == p["midp"]


def test_mcnemar_property_large_counts_join_the_exact_integers() -> None:
    # 1000 discordant pairs are counted with integers, 1001 with the incomplete beta function
    exact = sum(math.comb(1001, k) for k in range(471)) / 2**1000
    assert mcnemar(470, 531, n=2000, method="exact").p_value == pytest.approx(exact, rel=1e-9)
    term = math.comb(1001, 470) / 2**1001
    midp = mcnemar(470, 531, n=2000, method="midp").p_value
    assert midp == pytest.approx(exact - term, rel=1e-9)


def test_proportions_refuse_what_they_cannot_answer() -> None:
    with pytest.raises(InsufficientDataError, match="0 item"):
        wilson(0, 0)
    for method in (wilson, clopper_pearson, jeffreys):
        with pytest.raises(StatisticsError, match="cannot exceed"):
            method(3, 2)
        with pytest.raises(InsufficientDataError, match="0 item"):
            method(0, 0)
    with pytest.raises(StatisticsError, match="whole number"):
        wilson(0.5, 2)  # type: ignore[arg-type]
    with pytest.raises(StatisticsError, match="confidence"):
        wilson(1, 2, confidence=95)
    with pytest.raises(InsufficientDataError, match="0 item"):
        mcnemar(0, 0, n=0)
    with pytest.raises(StatisticsError, match="negative"):
        mcnemar(-1, 0, n=3)
    with pytest.raises(StatisticsError, match="counts all pairs"):
        mcnemar(2, 2, n=3)
    with pytest.raises(StatisticsError, match="choose one of"):
        mcnemar(2, 2, n=30, method="fisher")  # type: ignore[arg-type]


def test_mcnemar_against_reference_published_mid_p() -> None:
    path = Path(__file__).parents[1] / "reference" / "mcnemar_published.json"
    for row in json.loads(path.read_text(encoding="utf-8"))["tests"]:
        for method in ("asymptotic", "yates", "exact", "midp"):
            found = mcnemar(row["harmful"], row["beneficial"], n=row["n"], method=method)
            assert found.p_value == pytest.approx(row[method], abs=row["rounded_to"]), method


def test_mcnemar_against_reference_scipy_mid_p() -> None:
    from scipy.stats import binom

    for harmful, beneficial in ((0, 3), (2, 9), (27, 19), (140, 101)):
        fewer, flips = min(harmful, beneficial), harmful + beneficial
        theirs = 2 * binom.cdf(fewer, flips, 0.5) - binom.pmf(fewer, flips, 0.5)
        ours = mcnemar(harmful, beneficial, n=500, method="midp").p_value
        assert ours == pytest.approx(float(theirs), rel=1e-9)
