import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.errors import InsufficientDataError, StatisticsError, StatisticsWarning
from quantrial.stats import flip_power, least_items, mcnemar, score_flips, score_ratios
from quantrial.stats.power.flips import normal_power
from stats.tango import z_of

QUESTIONS = ["difference", "non_inferior", "equivalent"]


def by_counting(harm: float, gain: float, n: int, question: str, margin: float) -> float:
    """Every outcome of n pairs, each with its own test."""
    total = 0.0
    for losses in range(n + 1):
        for gains in range(n - losses + 1):
            chance = float(math.comb(n, losses) * math.comb(n - losses, gains))
            chance *= harm**losses * gain**gains * (1 - harm - gain) ** (n - losses - gains)
            if question == "difference":
                yes = mcnemar(losses, gains, n=n, method="midp").p_value <= 0.05
            else:
                result = score_flips(losses, gains, n=n).equivalence(margin)
                yes = result.equivalent if question == "equivalent" else result.non_inferior
            total += chance * yes
    return total


def test_flip_power_by_hand_of_certain_flips() -> None:
    # all six pairs flip, each way with chance 1/2: mid-p is 1/64 for 6-0, 7/64 for 5-1
    result = flip_power(0.5, 0.5, 6, question="difference", alpha=0.02)
    assert result.power == pytest.approx(2 / 64)
    assert (result.method, result.margin, result.n) == ("exact", None, 6)


def test_flip_power_by_hand_without_flips_the_margin_decides() -> None:
    for n, sure in ((297, 0.0), (298, 1.0)):
        assert flip_power(0, 0, n, question="non_inferior", margin=0.01).power == sure
        assert flip_power(0, 0, n, question="equivalent", margin=0.01).power == sure
    assert least_items(0.01) == 298
    assert flip_power(0, 0, 400, question="difference").power == 0.0


@pytest.mark.parametrize("question", QUESTIONS)
def test_flip_power_property_equals_counting_every_outcome(question: Any) -> None:
    ours = flip_power(0.1, 0.05, 24, question=question, margin=0.15)
    assert ours.power == pytest.approx(by_counting(0.1, 0.05, 24, question, 0.15), abs=1e-9)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(("harm", "gain", "n"), [(0.1, 0.05, 60), (0.02, 0.02, 150)])
def test_flip_power_against_reference_scipy_and_tangos_formula(
    question: str, harm: float, gain: float, n: int
) -> None:
    from scipy.stats import binom, multinomial, norm

    margin, z = 0.08, float(norm.ppf(0.95))

    def yes(losses: int, gains: int) -> bool:
        if question == "difference":  # mid-p
            flips, fewer = losses + gains, min(losses, gains)
            p = 2 * binom.cdf(fewer, flips, 0.5) - binom.pmf(fewer, flips, 0.5)
            return flips > 0 and losses != gains and bool(p < 0.05)
        below = z_of(losses, gains, n, -margin, 0.15) > z
        return below and (question != "equivalent" or z_of(losses, gains, n, margin, 0.15) < -z)

    outcomes = [(i, j) for i in range(n + 1) for j in range(n + 1 - i) if i + j < 40]
    chances = multinomial.pmf(
        [(i, j, n - i - j) for i, j in outcomes], n, [harm, gain, 1 - harm - gain]
    )
    expected = sum(p for p, one in zip(chances, outcomes, strict=True) if yes(*one))
    assert chances.sum() > 1 - 1e-9
    ours = flip_power(harm, gain, n, question=question, margin=margin)  # type: ignore[arg-type]
    assert ours.method == "exact"
    assert ours.power == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("question", QUESTIONS)
def test_flip_power_against_simulation(question: Any) -> None:
    flips = np.random.default_rng(4).multinomial(400, [0.05, 0.02, 0.93], size=3000)
    distinct, counts = np.unique(flips, axis=0, return_counts=True)
    yes = 0
    for (losses, gains, _), count in zip(distinct.tolist(), counts.tolist(), strict=True):
        if question == "difference":
            answer = mcnemar(losses, gains, n=400, method="midp").p_value <= 0.05
        else:
            result = score_flips(losses, gains, n=400).equivalence(0.05)
            answer = result.equivalent if question == "equivalent" else result.non_inferior
        yes += count * answer
    power = flip_power(0.05, 0.02, 400, question=question, margin=0.05).power
    assert power == pytest.approx(yes / 3000, abs=3.5 * math.sqrt(0.25 / 3000))


@pytest.mark.parametrize("question", QUESTIONS)
def test_flip_power_property_exact_joins_the_approximation(question: Any) -> None:
    exact = flip_power(0.2, 0.196, 9_000, question=question, margin=0.015)
    rough = flip_power(0.2, 0.196, 20_000, question=question, margin=0.015)
    assert (exact.method, rough.method) == ("exact", "normal-approximation")
    assert exact.power < rough.power
    near = normal_power(9_000, 0.2, 0.196, question, exact.margin, 0.05)
    assert exact.power == pytest.approx(near, abs=0.02)
    assert 0.05 < near < 0.95


@given(st.floats(0.002, 0.4), st.floats(0.005, 0.2))
def test_least_items_property_is_the_turning_point(margin: float, alpha: float) -> None:
    n = least_items(margin, alpha=alpha)
    assert score_flips(0, 0, n=n).equivalence(margin, alpha).equivalent
    assert n == 1 or not score_flips(0, 0, n=n - 1).equivalence(margin, alpha).non_inferior


@given(st.floats(0.005, 0.2), st.integers(5, 40))
def test_least_items_property_over_clusters_is_where_silence_is_first_enough(
    margin: float, clusters: int
) -> None:
    def silent(n: int) -> bool:
        scores = np.ones((n, 2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StatisticsWarning)
            labels = np.arange(n) % clusters
            found = score_ratios(scores, np.ones((n, 2)), clusters=labels, support=1.0)
            return found.equivalence(margin).equivalent

    n = clusters * math.ceil(least_items(margin, clusters=clusters) / clusters)
    assert silent(n)
    few = clusters * (math.ceil(least_items(margin, clusters=clusters) / clusters) - 1)
    assert few < 2 * clusters or not silent(few)


def test_flip_power_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(StatisticsError, match="rates"):
        flip_power(0.7, 0.4, 10, question="difference")
    with pytest.raises(StatisticsError, match="needs a margin"):
        flip_power(0.1, 0.1, 10, question="equivalent")
    with pytest.raises(StatisticsError, match="choose one of"):
        flip_power(0.1, 0.1, 10, question="superior")  # type: ignore[arg-type]
    with pytest.raises(InsufficientDataError, match="0 item"):
        flip_power(0.1, 0.1, 0, question="difference")
    with pytest.raises(StatisticsError, match="margin"):
        least_items(1.0)


def test_least_items_against_reference_the_equation_solved_by_scipy() -> None:
    from scipy.optimize import brentq

    for margin in (0.005, 0.01, 0.03, 0.1):
        spread = 1.6448536269514722 * math.sqrt(margin * (1 - margin))

        def room(n: float, margin: float = margin, spread: float = spread) -> float:
            return n * margin - 0.15 - spread * math.sqrt(n)

        assert least_items(margin) == math.floor(brentq(room, 2, 10_000)) + 1


def test_least_items_against_simulation_a_loss_of_the_margin_is_rarely_silent() -> None:
    losses = np.random.default_rng(13).binomial(least_items(0.02), 0.02, size=40_000)
    assert 0.045 <= np.mean(losses == 0) <= 0.055


def test_least_items_by_hand() -> None:
    # 58 * .05 - .15 = 2.75 > 1.644854 * sqrt(58 * .05 * .95) = 2.7302; 57: 2.70 < 2.7065
    assert least_items(0.05) == 58
    # 298 * .01 - .15 = 2.83 > 1.644854 * sqrt(298 * .01 * .99) = 2.8252; 297: 2.82 < 2.8205
    assert least_items(0.01) == 298
    # over five clusters t(4) asks 2.131847: 4.65 > 2.131847 * sqrt(4.80 * .99) = 4.6472 at 480,
    # and 4.64 < 2.131847 * sqrt(4.79 * .99) = 4.6424 at 479
    assert least_items(0.01, clusters=5) == 480
