import json
import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats import flip_power, mcnemar, score_flips
from quantrial.stats._null_variance import cell_variance, flip_variance
from quantrial.stats._numerics import likely_outcomes
from quantrial.stats.score import CORRECTION
from stats.tango import z_of

FLIPS = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 400)).map(
    lambda c: (c[0], c[1], c[0] + c[1] + c[2])
)
Z = 1.959963984540054


def published() -> list[dict[str, Any]]:
    path = Path(__file__).parents[1] / "reference" / "tango_published.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["intervals"]
    return rows


def test_score_flips_by_hand_without_a_flip() -> None:
    # the variance under a difference d is then |d| (1 - |d|): n d^2 = z^2 d (1 - d)
    interval = score_flips(0, 0, n=60, correction=0).interval()
    end = Z**2 / (60 + Z**2)
    assert interval.low == pytest.approx(-end)
    assert interval.high == pytest.approx(end)


def test_score_flips_by_hand_zero_null_is_mcnemars_z() -> None:
    result = score_flips(20, 8, n=300, correction=0).test()
    assert result.statistic == pytest.approx(-12 / math.sqrt(28))
    assert result.p_value == pytest.approx(mcnemar(20, 8, n=300, method="asymptotic").p_value)
    corrected = score_flips(20, 8, n=300).test()
    assert corrected.statistic == pytest.approx(-11.85 / math.sqrt(28))
    assert score_flips(5, 5, n=40).test().p_value == 1.0
    assert score_flips(0, 0, n=40).test().p_value == 1.0


def test_score_flips_by_hand_directions() -> None:
    loss = score_flips(12, 2, n=200)
    assert loss.estimate == pytest.approx(-0.05)
    less, greater = loss.test(alternative="less"), loss.test(alternative="greater")
    assert less.p_value < 0.01
    assert greater.p_value > 0.99
    gain = score_flips(2, 12, n=200)
    assert gain.equivalence(0.02).non_inferior
    assert not gain.equivalence(0.02).equivalent
    assert not loss.equivalence(0.02).non_inferior


def test_score_flips_by_hand_three_flips_in_499() -> None:
    # the case that made this method the default: the bootstrap claims equivalence at p = .02
    plain = score_flips(2, 1, n=499, correction=0).equivalence(0.01)
    assert plain.p_lower == pytest.approx(0.0538, abs=1e-4)
    assert plain.p_upper == pytest.approx(0.0123, abs=1e-4)
    assert plain.interval.low == pytest.approx(-0.0102, abs=1e-4)
    assert plain.interval.confidence == pytest.approx(0.9)
    corrected = score_flips(2, 1, n=499).equivalence(0.01)
    assert corrected.p_value == pytest.approx(0.0607, abs=1e-4)
    assert not corrected.equivalent


def test_score_flips_against_reference_published_intervals() -> None:
    for row in published():
        score = score_flips(row["harmful"], row["beneficial"], n=row["n"], correction=0)
        interval = score.interval(row["confidence"])
        assert interval.low == pytest.approx(row["low"], abs=row["rounded_to"]), row["source"]
        assert interval.high == pytest.approx(row["high"], abs=row["rounded_to"]), row["source"]
        # the formula that other tests are held against is the published one
        z = NormalDist().inv_cdf(0.5 + row["confidence"] / 2)
        for end, sign in ((interval.low, 1), (interval.high, -1)):
            found = z_of(row["harmful"], row["beneficial"], row["n"], end)
            assert found == pytest.approx(sign * z, abs=1e-6)


def test_score_flips_against_reference_likelihood_maximised_numerically() -> None:
    from scipy.optimize import minimize_scalar

    for gains, losses, n, mean in [(2, 5, 60, -0.1), (4, 1, 60, -0.02), (9, 3, 80, 0.2)]:
        rest = n - gains - losses

        def against(q: float, data: Any = (gains, losses, rest, mean)) -> float:
            up, down, same, delta = data
            return -float(
                up * math.log(q + delta) + down * math.log(q) + same * math.log(1 - 2 * q - delta)
            )

        low = max(0.0, -mean) + 1e-12
        best = minimize_scalar(
            against, bounds=(low, (1 - mean) / 2), method="bounded", options={"xatol": 1e-12}
        ).x
        ours = cell_variance(np.array(float(gains)), np.array(float(losses)), n, mean)
        assert float(ours) == pytest.approx(2 * best + mean - mean**2, rel=1e-6)


@given(FLIPS, st.floats(-1.0, 1.0))
def test_flip_variance_property_is_cell_variance_to_the_bit(
    case: tuple[int, int, int], mean: float
) -> None:
    losses, gains, n = (float(count) for count in case)
    table = cell_variance(np.array([gains]), np.array([losses]), n, mean)
    assert flip_variance(gains, losses, n, mean) == table[0]


@pytest.mark.parametrize("n", [50, 300, 1000])
@pytest.mark.parametrize("discordance", [0.01, 0.1])
@pytest.mark.parametrize("share", [-1.0, -0.5, 0.0, 1.0])
def test_score_flips_against_simulation_exact_coverage(
    n: int, discordance: float, share: float
) -> None:
    truth = share * discordance
    harm, gain = (discordance - truth) / 2, (discordance + truth) / 2
    outcomes = likely_outcomes(harm, gain, n)
    assert outcomes is not None
    up, down, chances = outcomes
    spread = np.sqrt(n * cell_variance(up, down, n, truth))
    covered = np.abs(up - down - n * truth) - CORRECTION <= Z * spread
    coverage = chances[covered].sum()
    assert chances.sum() == pytest.approx(1.0, abs=1e-9)
    assert coverage >= 0.935
    assert coverage <= 0.975 or n * discordance < 10


@pytest.mark.parametrize("n", [100, 499, 1000])
@pytest.mark.parametrize("harmless", [0.0, 0.01, 0.1])
def test_score_flips_against_simulation_exact_type_one_error(n: int, harmless: float) -> None:
    # a true loss of exactly the margin
    rates = (0.02 + harmless, harmless, n)
    assert flip_power(*rates, question="non_inferior", margin=0.02).power <= 0.055
    assert flip_power(*rates, question="equivalent", margin=0.02).power <= 0.055


@given(FLIPS, st.sampled_from([0.8, 0.9, 0.95, 0.99]), st.sampled_from([0.0, 0.25, 0.5]))
def test_score_flips_property_interval_and_tests_agree(
    case: tuple[int, int, int], confidence: float, correction: float
) -> None:
    harmful, beneficial, n = case
    score = score_flips(harmful, beneficial, n=n, correction=correction)
    interval = score.interval(confidence)
    assert -1.0 <= interval.low < score.estimate < interval.high <= 1.0
    tail = (1.0 - confidence) / 2.0
    if interval.low > -1.0:
        assert score.test(interval.low, "greater").p_value == pytest.approx(tail, rel=1e-6)
    if interval.high < 1.0:
        assert score.test(interval.high, "less").p_value == pytest.approx(tail, rel=1e-6)


@given(FLIPS)
def test_score_flips_property_tests_are_monotone_in_the_null(case: tuple[int, int, int]) -> None:
    harmful, beneficial, n = case
    score = score_flips(harmful, beneficial, n=n)
    nulls = np.linspace(-0.99, 0.99, 67)
    # the correction can bend p where it is above one half and decides nothing
    greater = [min(0.5, score.test(null, "greater").p_value) for null in nulls]
    less = [min(0.5, score.test(null, "less").p_value) for null in nulls]
    assert (np.diff(greater) >= -1e-12).all()
    assert (np.diff(less) <= 1e-12).all()


@given(FLIPS, st.floats(0.001, 0.3))
def test_score_flips_property_mirrored_and_decided_by_its_interval(
    case: tuple[int, int, int], margin: float
) -> None:
    harmful, beneficial, n = case
    here = score_flips(harmful, beneficial, n=n).equivalence(margin)
    there = score_flips(beneficial, harmful, n=n).equivalence(margin)
    assert here.p_lower == pytest.approx(there.p_upper, abs=1e-12)
    assert here.interval.low == pytest.approx(-there.interval.high, abs=1e-12)
    if abs(here.p_lower - 0.05) > 1e-9:
        assert here.non_inferior == (here.interval.low > -margin)
    if abs(here.p_value - 0.05) > 1e-9:
        inside = -margin < here.interval.low and here.interval.high < margin
        assert here.equivalent == inside


def test_score_of_one_pair_is_wide_but_no_error() -> None:
    interval = score_flips(1, 0, n=1).interval()
    assert interval.low == -1.0
    assert interval.high > 0.5


def test_score_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(InsufficientDataError, match="0 item"):
        score_flips(0, 0, n=0)
    with pytest.raises(StatisticsError, match="counts all pairs"):
        score_flips(3, 2, n=4)
    with pytest.raises(StatisticsError, match="correction"):
        score_flips(1, 1, n=4, correction=-1)
    score = score_flips(1, 2, n=30)
    with pytest.raises(StatisticsError, match="confidence"):
        score.interval(1.0)
    with pytest.raises(StatisticsError, match="null"):
        score.test(math.nan)
    with pytest.raises(StatisticsError, match="choose one of"):
        score.test(alternative="smaller")  # type: ignore[arg-type]
    with pytest.raises(StatisticsError, match="margin"):
        score.equivalence(-0.01)


@pytest.mark.parametrize(("harm", "gain"), [(0.02, 0.01), (0.1, 0.1)])
def test_score_flips_against_simulation_interval_covers(harm: float, gain: float) -> None:
    n, runs = 300, 20_000
    drawn = np.random.default_rng(14).multinomial(n, [harm, gain, 1 - harm - gain], size=runs)
    outcomes, counts = np.unique(drawn[:, :2], axis=0, return_counts=True)
    covered = 0
    for (losses, gains), count in zip(outcomes.tolist(), counts.tolist(), strict=True):
        interval = score_flips(losses, gains, n=n).interval()
        covered += count * (interval.low <= gain - harm <= interval.high)
    # exact enumeration gives 94 to 97.5 %; three standard errors of 20,000 draws are .005
    assert 0.935 <= covered / runs <= 0.98
