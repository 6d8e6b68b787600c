import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats import flip_power, items_for_flips, least_items, mcnemar, score_flips
from quantrial.stats.flip_power import _normal_power
from quantrial.stats.spread_power import smallest_count

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
def test_flip_power_against_reference_counting_every_outcome(question: Any) -> None:
    ours = flip_power(0.1, 0.05, 24, question=question, margin=0.15)
    assert ours.power == pytest.approx(by_counting(0.1, 0.05, 24, question, 0.15), abs=1e-9)


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
    near = _normal_power(9_000, 0.2, 0.196, question, exact.margin, 0.05)
    assert exact.power == pytest.approx(near, abs=0.02)
    assert 0.05 < near < 0.95


@settings(max_examples=10)
@given(st.floats(0.005, 0.1), st.floats(0.005, 0.1), st.sampled_from(QUESTIONS))
def test_items_for_flips_property_reach_the_power_and_one_fewer_does_not(
    harm: float, gain: float, question: Any
) -> None:
    n = items_for_flips(harm, gain, question=question, margin=0.2)
    if n is None:
        assert question == "difference"
        assert harm == gain
    elif n < 10_000:
        rates = {"question": question, "margin": 0.2}
        assert flip_power(harm, gain, n, **rates).power >= 0.8
        assert n == 2 or flip_power(harm, gain, n - 1, **rates).power < 0.8


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("rates", [(0.05, 0.02), (0.011, 0.013), (0.2, 0.0)])
def test_items_for_flips_property_as_a_search_that_sees_every_outcome(
    rates: tuple[float, float], question: Any
) -> None:
    def enough(n: int) -> bool:
        return flip_power(*rates, n, question=question, margin=0.3).power >= 0.8

    found = items_for_flips(*rates, question=question, margin=0.3)
    assert found == smallest_count(enough)


def test_items_for_flips_by_hand_where_no_number_will_do() -> None:
    assert items_for_flips(0.1, 0.1, question="difference") is None
    assert items_for_flips(0.03, 0.02, question="non_inferior", margin=0.01) is None
    assert items_for_flips(0.02, 0.03, question="equivalent", margin=0.01) is None
    assert items_for_flips(0.02, 0.04, question="non_inferior", margin=0.01) is not None


@given(st.floats(0.002, 0.4), st.floats(0.005, 0.2))
def test_least_items_property_is_the_turning_point(margin: float, alpha: float) -> None:
    n = least_items(margin, alpha=alpha)
    assert score_flips(0, 0, n=n).equivalence(margin, alpha).equivalent
    assert n == 1 or not score_flips(0, 0, n=n - 1).equivalence(margin, alpha).non_inferior


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
    with pytest.raises(StatisticsError, match="power"):
        items_for_flips(0.1, 0.0, question="difference", power=80)


def scipy_power(harm: float, gain: float, n: int, margin: float) -> float:
    """Chance that the score test rules a loss of the margin out, by scipy's binomials."""
    from scipy.optimize import brentq
    from scipy.stats import binom

    total = 0.0
    for losses in range(int(binom.isf(1e-12, n, harm)) + 1):
        rest = gain / (1 - harm)
        for gains in range(int(binom.isf(1e-12, n - losses, rest)) + 1):
            low = (gains - losses) / n

            def slope(q: float, up: int = gains, down: int = losses) -> float:
                # of the likelihood in the chance of a loss, the difference held at -margin
                return up / (q - margin) + down / q - 2 * (n - up - down) / (1 - 2 * q + margin)

            inner = (margin + 1e-12, (1 + margin) / 2 - 1e-12)
            q = brentq(slope, *inner) if slope(inner[0]) > 0 else margin
            error = math.sqrt((2 * q - margin - margin**2) / n)
            if low + margin - 0.15 / n > 1.6448536269514722 * error:
                total += binom.pmf(losses, n, harm) * binom.pmf(gains, n - losses, rest)
    return total


def test_items_for_flips_against_reference_scipy() -> None:
    n = items_for_flips(0.03, 0.02, question="non_inferior", margin=0.05, power=0.8)
    assert n is not None
    assert scipy_power(0.03, 0.02, n, 0.05) >= 0.8
    assert scipy_power(0.03, 0.02, n - 1, 0.05) < 0.8


def test_items_for_flips_against_simulation_answer_yes_that_often() -> None:
    n = items_for_flips(0.05, 0.02, question="difference", power=0.8)
    assert n is not None
    flips = np.random.default_rng(12).multinomial(n, [0.05, 0.02, 0.93], size=4000)
    yes = [mcnemar(a, b, n=n, method="midp").p_value <= 0.05 for a, b, _ in flips.tolist()]
    assert np.mean(yes) == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / 4000) + 0.005)


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
