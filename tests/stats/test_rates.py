from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats import drift, pooled_rate, rate_ratio, ratio_between
from quantrial.stats.rates import p_of_none


def test_rate_ratio_by_hand() -> None:
    # 30 tokens in 6 s against 30 in 4 s: 5 and 7.5 a second. Shares in the logarithm: 2/3 - 1/2
    # and 4/3 - 3/2, so its standard error is sqrt(2 / 36 / 1 / 2) = 1/6; t(1, .975) = 12.7062.
    found = rate_ratio([[10, 10], [20, 20]], [[2, 1], [4, 3]])
    assert found.estimate == pytest.approx(1.5)
    assert found.interval.low == pytest.approx(1.5 * math.exp(-12.7062 / 6), rel=1e-5)
    assert found.interval.high == pytest.approx(1.5 * math.exp(12.7062 / 6), rel=1e-5)
    assert (found.n, found.interval.method) == (2, "log-t-over-blocks")


def test_rate_ratio_by_hand_is_no_mean_of_ratios() -> None:
    # a short block at 3 to 1 and a long one at 1 to 1: the mean of ratios would say 2
    found = rate_ratio([[1, 3], [99, 97]], [[1, 1], [99, 99]])
    assert found.estimate == pytest.approx(1.0)


def test_pooled_rate_by_hand() -> None:
    # shares 1/2 - 2/3 and 3/2 - 4/3: the standard error is 1/6 again
    found = pooled_rate([10, 30], [2, 4])
    assert found.estimate == pytest.approx(40 / 6)
    assert found.interval.high == pytest.approx(40 / 6 * math.exp(12.7062 / 6), rel=1e-5)


def test_rate_ratio_against_reference_of_a_poisson_regression() -> None:
    # With exposure, a Poisson regression's rate ratio is the ratio of sums, and its sandwich over
    # blocks is the delta method without the factor of n / (n - 1).
    from scipy.special import stdtrit
    from statsmodels.api import families
    from statsmodels.genmod.generalized_linear_model import GLM

    rng = np.random.default_rng(3)
    amounts = rng.integers(80, 120, (9, 2)).astype(float)
    seconds = rng.lognormal(0.0, 0.2, (9, 1)) * rng.lognormal([0.0, -0.4], 0.05, (9, 2))
    design = np.column_stack([np.ones(18), np.tile([0.0, 1.0], 9)])
    fit = GLM(amounts.ravel(), design, family=families.Poisson(), exposure=seconds.ravel()).fit(
        cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(9), 2), "use_correction": False}
    )
    half = stdtrit(8, 0.975) * fit.bse[1] * math.sqrt(9 / 8)
    found = rate_ratio(amounts, seconds)
    assert math.log(found.estimate) == pytest.approx(fit.params[1], rel=1e-9)
    assert math.log(found.interval.high) == pytest.approx(fit.params[1] + half, rel=1e-6)
    assert math.log(found.interval.low) == pytest.approx(fit.params[1] - half, rel=1e-6)


def test_drift_against_reference() -> None:
    from scipy.special import stdtrit
    from scipy.stats import linregress

    values = np.array([1.0, 1.4, 0.7, 2.2, 2.0, 1.9, 3.1])
    fit = linregress(np.arange(7), values)
    found = drift(values)
    assert found.estimate == pytest.approx(6 * fit.slope)
    half = stdtrit(5, 0.975) * 6 * fit.stderr
    assert found.interval.high == pytest.approx(6 * fit.slope + half)
    assert found.interval.low == pytest.approx(6 * fit.slope - half)


@pytest.mark.parametrize(
    ("blocks", "spikes", "trend"),
    [(6, 0.0, 0.0), (10, 0.0, 0.0), (20, 0.05, 0.0), (10, 0.0, 0.3)],
)
def test_rate_ratio_against_simulation_covers(blocks: int, spikes: float, trend: float) -> None:
    """Shared noise of 30 %, own noise of 5 %; stalls that hit one arm; a drift that hits both."""
    rng = np.random.default_rng(17)
    true, covered, runs = 1.4, 0, 2000
    for _ in range(runs):
        shared = rng.lognormal(0.0, 0.3, (blocks, 1))
        own = rng.lognormal(0.0, 0.05, (blocks, 2))
        stalls = 1.0 + (rng.random((blocks, 2)) < spikes) * rng.exponential(0.5, (blocks, 2))
        slower = 1.0 + trend * np.linspace(0.0, 1.0, blocks)[:, None]
        seconds = shared * own * stalls * slower / np.array([1.0, true])
        found = rate_ratio(np.full((blocks, 2), 100.0), seconds)
        covered += found.interval.low <= true <= found.interval.high
    # three standard errors of a share of .95 in 2000 runs are .0146
    assert 0.935 <= covered / runs <= 0.975


positive = st.floats(0.1, 100.0)


@given(st.lists(st.tuples(positive, positive, positive, positive), min_size=2, max_size=12))
def test_rate_ratio_property_swapped_columns_give_the_reciprocal(
    rows: list[tuple[float, float, float, float]],
) -> None:
    data = np.array(rows)
    one = rate_ratio(data[:, :2], data[:, 2:])
    other = rate_ratio(data[:, 1::-1], data[:, :1:-1])
    assert one.estimate * other.estimate == pytest.approx(1.0)
    assert one.interval.low * other.interval.high == pytest.approx(1.0)


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=8), positive)
def test_rate_ratio_property_the_unit_of_time_drops_out(
    rows: list[tuple[float, float]], unit: float
) -> None:
    seconds = np.array(rows)
    amounts = np.ones_like(seconds)
    one, other = rate_ratio(amounts, seconds), rate_ratio(amounts, seconds * unit)
    assert one.estimate == pytest.approx(other.estimate)
    if len(rows) > 1:
        assert one.interval.high == pytest.approx(other.interval.high)


def test_one_block_has_no_interval() -> None:
    found = rate_ratio([[10, 10]], [[2, 1]])
    assert found.estimate == pytest.approx(2.0)
    assert math.isnan(found.interval.low)
    assert math.isnan(found.interval.high)
    assert math.isnan(drift([1.0, 2.0]).interval.low)


@pytest.mark.parametrize(
    ("amounts", "divisors"),
    [
        ([[1.0, 0.0]], [[1.0, 1.0]]),
        ([[1.0, 1.0]], [[1.0, -1.0]]),
        ([[1.0, 1.0, 1.0]], [[1.0, 1.0, 1.0]]),
        ([[1.0, math.nan]], [[1.0, 1.0]]),
        ([1.0, 1.0], [1.0, 1.0]),
    ],
)
def test_what_is_no_rate_is_refused(amounts: object, divisors: object) -> None:
    with pytest.raises(StatisticsError):
        rate_ratio(amounts, divisors)  # type: ignore[arg-type]


def test_nothing_is_refused() -> None:
    with pytest.raises(InsufficientDataError):
        rate_ratio(np.empty((0, 2)), np.empty((0, 2)))
    with pytest.raises(InsufficientDataError):
        drift([1.0])


@pytest.mark.parametrize("spread", [0.01, 0.03, 0.05])
def test_rate_ratio_against_simulation_where_blocks_go_on_until_it_is_narrow(spread: float) -> None:
    """Looking again after every second block costs a little coverage, from eight blocks on."""
    rng = np.random.default_rng(23)
    true, covered, runs, most = 1.4, 0, 800, 80
    for _ in range(runs):
        seconds = rng.lognormal(0.0, spread, (most, 2)) / np.array([1.0, true])
        for blocks in range(8, most + 1, 2):
            found = rate_ratio(np.ones((blocks, 2)), seconds[:blocks])
            if found.interval.high <= 1.03 * found.estimate:
                break
        covered += found.interval.low <= true <= found.interval.high
    # three standard errors of a share of .935 in 800 runs are .026
    assert covered / runs >= 0.909


def test_ratio_between_by_hand_of_rates() -> None:
    # 40 in 6 s with a standard error of 1/6 (above), against the same blocks at double speed: the
    # variances add to 1/18, on (1/18)^2 / (2 * (1/36)^2) = 2 degrees of freedom: 4.3027
    found = ratio_between(([10, 30], [2, 4]), ([10, 30], [1, 2]))
    assert found.estimate == pytest.approx(2.0)
    half = 4.302653 * math.sqrt(1 / 18)
    assert found.interval.low == pytest.approx(2 * math.exp(-half), rel=1e-5)
    assert found.interval.high == pytest.approx(2 * math.exp(half), rel=1e-5)
    assert found.n == 4


def test_ratio_between_by_hand_of_ratios() -> None:
    # the ratio of 1.5 above with its standard error of 1/6, in a sample where it is 3
    pair = ([[10, 10], [20, 20]], [[2, 1], [4, 3]])
    twice = ([[10, 20], [20, 40]], [[2, 1], [4, 3]])
    found = ratio_between(pair, twice)
    assert found.estimate == pytest.approx(2.0)
    half = 4.302653 * math.sqrt(1 / 18)
    assert found.interval.high == pytest.approx(2 * math.exp(half), rel=1e-5)


def test_ratio_between_against_reference_of_welchs_test() -> None:
    # with blocks of equal seconds and amounts that hardly vary, logarithms of the sums behave as
    # means: the interval is Welch's on relative amounts
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(5)
    one, two = 100 * (1 + 1e-4 * rng.normal(size=9)), 100 * (1 + 3e-4 * rng.normal(size=5))
    found = ratio_between((one, np.ones(9)), (two, np.ones(5)))
    welch = ttest_ind(two / two.mean(), one / one.mean(), equal_var=False).confidence_interval()
    assert math.log(found.interval.high / found.estimate) == pytest.approx(welch.high, rel=1e-3)


def test_ratio_between_against_simulation_covers() -> None:
    rng = np.random.default_rng(17)
    inside, draws = 0, 1500
    for _ in range(draws):
        samples = []
        for blocks, spread in ((8, 0.03), (12, 0.08)):
            slow = np.exp(rng.normal(0, 0.2, (blocks, 1)))  # what slows a block slows both arms
            seconds = slow * np.exp(rng.normal(0, spread, (blocks, 2))) * [1.0, 0.5]
            samples.append((np.full((blocks, 2), 100.0), seconds))
        found = ratio_between(*samples)
        inside += found.interval.low <= 1.0 <= found.interval.high
    # 95 % within three standard errors of the simulation
    assert abs(inside / draws - 0.95) < 3 * math.sqrt(0.95 * 0.05 / draws)


def test_ratio_between_says_nothing_without_repeats() -> None:
    found = ratio_between(([10], [2]), ([10, 30], [1, 2]))
    assert math.isnan(found.interval.low)
    same = ratio_between(([10, 10], [2, 2]), ([10, 10], [1, 1]))
    assert same.estimate == pytest.approx(2.0)
    assert math.isnan(same.interval.high)


def test_pooled_rate_against_reference_of_a_poisson_regression() -> None:
    from scipy.special import stdtrit
    from statsmodels.api import families
    from statsmodels.genmod.generalized_linear_model import GLM

    rng = np.random.default_rng(6)
    amounts = rng.integers(80, 120, 7).astype(float)
    seconds = amounts * rng.lognormal(-3.0, 0.2, 7)
    # the sandwich of a regression on the intercept alone is the delta method, less n / (n - 1)
    fit = GLM(amounts, np.ones(7), family=families.Poisson(), exposure=seconds).fit(cov_type="HC0")
    half = stdtrit(6, 0.95) * fit.bse[0] * math.sqrt(7 / 6)
    found = pooled_rate(amounts, seconds, confidence=0.9)
    assert math.log(found.estimate) == pytest.approx(fit.params[0], rel=1e-9)
    assert math.log(found.interval.low) == pytest.approx(fit.params[0] - half, rel=1e-6)
    assert math.log(found.interval.high) == pytest.approx(fit.params[0] + half, rel=1e-6)


@pytest.mark.parametrize("blocks", [5, 12])
def test_pooled_rate_against_simulation_covers(blocks: int) -> None:
    rng = np.random.default_rng(29)
    true, covered, runs = 40.0, 0, 2000
    for _ in range(runs):
        amounts = rng.uniform(50, 150, blocks)
        seconds = amounts / true * rng.uniform(0.7, 1.3, blocks)
        found = pooled_rate(amounts, seconds)
        covered += found.interval.low <= true <= found.interval.high
    assert 0.935 <= covered / runs <= 0.965


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=12), positive)
def test_pooled_rate_property_lies_among_its_blocks_and_follows_the_unit(
    rows: list[tuple[float, float]], unit: float
) -> None:
    amounts, seconds = np.array(rows).T
    found = pooled_rate(amounts, seconds)
    rates = amounts / seconds
    assert rates.min() * (1 - 1e-9) <= found.estimate <= rates.max() * (1 + 1e-9)
    other = pooled_rate(amounts[::-1], seconds[::-1] * unit)
    assert other.estimate * unit == pytest.approx(found.estimate)
    if len(rows) > 1:
        assert other.interval.low * unit == pytest.approx(found.interval.low)
        assert found.interval.low <= found.estimate <= found.interval.high


def test_drift_by_hand() -> None:
    # the line is 1.5, 2, 2.5; left over are -1/2, 1, -1/2, so its slope errs by sqrt(1.5 / 2)
    found = drift([1.0, 3.0, 2.0])
    assert found.estimate == pytest.approx(1.0)
    half = 12.7062 * 2 * math.sqrt(0.75)
    assert found.interval.low == pytest.approx(1.0 - half, rel=1e-5)
    assert found.interval.high == pytest.approx(1.0 + half, rel=1e-5)


@pytest.mark.parametrize("n", [4, 15])
def test_drift_against_simulation_covers(n: int) -> None:
    rng = np.random.default_rng(31)
    covered, runs = 0, 2000
    for _ in range(runs):
        found = drift(np.linspace(2.0, 2.7, n) + rng.normal(0, 0.3, n))
        covered += found.interval.low <= 0.7 <= found.interval.high
    assert 0.935 <= covered / runs <= 0.965


@given(st.lists(st.floats(-50.0, 50.0), min_size=3, max_size=12), st.floats(-9.0, 9.0))
def test_drift_property_blind_to_the_level_and_turned_round(
    values: list[float], level: float
) -> None:
    y = np.array(values)
    known, moved, back = drift(y), drift(y + level), drift(y[::-1])
    assert known.estimate == pytest.approx((y.size - 1) * np.polyfit(range(y.size), y, 1)[0])
    assert moved.estimate == pytest.approx(known.estimate, abs=1e-9)
    assert back.estimate == pytest.approx(-known.estimate, abs=1e-9)
    assert back.interval.low == pytest.approx(-known.interval.high, abs=1e-9)


samples = st.lists(st.tuples(positive, positive), min_size=2, max_size=8)


@given(samples, samples)
def test_ratio_between_property_swapped_samples_give_the_reciprocal(
    one: list[tuple[float, float]], two: list[tuple[float, float]]
) -> None:
    first, second = ((np.array(rows).T[0], np.array(rows).T[1]) for rows in (one, two))
    found, back = ratio_between(first, second), ratio_between(second, first)
    rates = pooled_rate(*first).estimate, pooled_rate(*second).estimate
    assert found.estimate == pytest.approx(rates[1] / rates[0])
    assert found.estimate * back.estimate == pytest.approx(1.0)
    # NaN where neither sample varies at all
    low, high = found.interval.low, back.interval.high
    assert low * high == pytest.approx(1.0, rel=1e-6, nan_ok=True) or math.isnan(low * high)


def test_p_of_none_by_hand() -> None:
    # the rates of the first test: a logarithm of .4055 over a standard error of 1/6, t with one
    # degree of freedom (Cauchy): 1 - 2/pi arctan(2.4328) = .2490
    found = rate_ratio([[10, 10], [20, 20]], [[2, 1], [4, 3]])
    t = 6 * math.log(1.5)
    assert p_of_none(found, df=1, ratio=True) == pytest.approx(1 - 2 / math.pi * math.atan(t))
    single = rate_ratio([[10, 10]], [[2, 1]])
    assert math.isnan(p_of_none(single, df=0, ratio=True))
    assert math.isnan(p_of_none(drift([1.0, 2.0, 3.0]), df=1, ratio=False))  # on a line: no width


def test_p_of_none_against_reference_scipy_regression() -> None:
    from scipy.stats import linregress

    y = np.random.default_rng(5).normal(size=12) + np.linspace(0, 1, 12)
    theirs = float(linregress(np.arange(12), y).pvalue)
    assert p_of_none(drift(y), df=10, ratio=False) == pytest.approx(theirs, rel=1e-9)


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=12), st.floats(0.5, 0.999))
def test_p_of_none_property_is_below_a_level_where_the_interval_leaves_out_none(
    values: list[float], confidence: float
) -> None:
    found = drift(values, confidence=confidence)
    p = p_of_none(found, df=len(values) - 2, ratio=False)
    low, high = found.interval.low, found.interval.high
    if math.isnan(p) or min(abs(low), abs(high)) < 1e-6:
        return  # no width, or an end at none
    assert (p < 1 - confidence) == (not low <= 0.0 <= high)
