import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quantrial.errors import StatisticsError
from quantrial.stats import flip_power, items_for_flips, mcnemar, score_flips
from quantrial.stats.power.flip_items import FlipCurve
from repetitions import mostly_repetitions

QUESTIONS = ["difference", "non_inferior", "equivalent"]


def by_trying_every_number(
    rates: tuple[float, float], question: Any, margin: float, power: float, *, to: int
) -> list[bool]:
    """Whether 0, 1, 2 ... pairs reach the power, by enumeration of every outcome of each."""
    reached = [False, False]
    for n in range(2, to + 1):
        found = flip_power(*rates, n, question=question, margin=margin)
        assert found.method == "exact"
        reached.append(found.power >= power)
    return reached


def last_miss(reached: list[bool]) -> int:
    return max(n for n, reaches in enumerate(reached) if not reaches)


# few and many flips, of either kind alone, of both, and none
SHARES = [(0.0, 0.0), (0.1, 0.0), (0.3, 0.1), (0.0, 0.6), (0.6, 0.6), (2.0, 1.6), (0.5, 3.0)]


MARGINS, POWERS = (0.03, 0.1, 0.25), (0.5, 0.8, 0.95)
# any two of a question, a margin and a power meet in one of these
SQUARE = [(QUESTIONS[i], MARGINS[j], POWERS[(i + j) % 3]) for i in range(3) for j in range(3)]


@pytest.mark.parametrize(
    ("question", "margin", "power"),
    mostly_repetitions(itertools.product(QUESTIONS, MARGINS, POWERS), SQUARE),
)
def test_items_for_flips_property_from_there_on_every_number_reaches_the_power(
    question: Any, margin: float, power: float
) -> None:
    for shares in SHARES:
        rates = shares[0] * margin, shares[1] * margin
        n = items_for_flips(*rates, question=question, margin=margin, power=power)
        if n is None:
            gap = rates[1] - rates[0]
            assert gap == 0.0 if question == "difference" else abs(gap) >= margin
        elif n < 700 and n * sum(rates) < 80:
            reached = by_trying_every_number(rates, question, margin, power, to=2 * n)
            assert n == last_miss(reached) + 1, (rates, n, last_miss(reached))


@pytest.mark.parametrize(
    ("rates", "question", "margin", "power", "between"),
    [
        # some number, and the next, the way a search by halves stops at; yet a larger one misses
        ((0.01, 0.0), "non_inferior", 0.02, 0.8, 1027),
        ((1 / 300, 0.0), "equivalent", 0.01, 0.8, 1044),
        ((0.0033, 0.0033), "equivalent", 0.01, 0.8, 822),
        ((0.05, 0.02), "non_inferior", 0.05, 0.8, 1171),
    ],
)
def test_items_for_flips_property_is_not_a_number_before_which_it_turns(
    rates: tuple[float, float], question: Any, margin: float, power: float, between: int
) -> None:
    n = items_for_flips(*rates, question=question, margin=margin, power=power)
    assert n is not None
    reached = by_trying_every_number(rates, question, margin, power, to=n + n // 4)
    assert reached[between]
    assert not reached[between - 1]
    assert between < n == last_miss(reached) + 1


def rates_up_to(most: float) -> st.SearchStrategy[float]:
    return st.just(0.0) | st.floats(1e-6, most)


@settings(max_examples=25)
@given(
    rates_up_to(0.1),
    rates_up_to(0.1),
    st.sampled_from(QUESTIONS),
    st.sampled_from([0.02, 0.1, 0.4, 0.97]),
    st.floats(0.05, 0.97),
    st.floats(0.001, 0.3),
)
def test_items_for_flips_property_of_any_question(
    harm: float, gain: float, question: Any, margin: float, power: float, alpha: float
) -> None:
    asked: dict[str, Any] = {"question": question, "margin": margin, "alpha": alpha}
    n = items_for_flips(harm, gain, power=power, **asked)
    assume(n is not None)
    assert n is not None
    # near the margin it takes more than can be tried one by one
    for more in itertools.chain(range(min(n, 60)), range(60, min(n, 1500), 7)):
        assert flip_power(harm, gain, n + more, **asked).power >= power
    assert n == 2 or flip_power(harm, gain, n - 1, **asked).power < power


def test_items_for_flips_by_hand_of_losses_only() -> None:
    # a loss in 250, margin 10 points. Without a loss 28 pairs show it: 28 * .1 - .15 = 2.65 >
    # 1.6449 sqrt(28 * .09) = 2.61, and 27: 2.55 < 2.56. That happens with chance .996^n, above .88
    # up to n = 31; then too rarely, until one loss is allowed
    def allowed(n: int) -> int:
        yes = [score_flips(k, 0, n=n).equivalence(0.1).non_inferior for k in range(9)]
        return yes.index(False) - 1

    turns = [n for n in range(20, 80) if allowed(n) != allowed(n - 1)]
    assert turns[:2] == [28, 45]
    assert 0.996**31 > 0.88 > 0.996**32
    assert all(0.996**n * (1 + n * 0.004 / 0.996) > 0.88 for n in range(45, turns[2]))
    n = items_for_flips(0.004, 0.0, question="non_inferior", margin=0.1, power=0.88)
    assert n == 45


@settings(max_examples=40)
@given(
    rates_up_to(0.6),
    rates_up_to(0.4),
    st.sampled_from(QUESTIONS),
    st.sampled_from([0.01, 0.1, 0.5, 0.999]),
    st.lists(st.integers(1, 900), min_size=1, max_size=5),
    st.floats(0.001, 0.45),
)
def test_curve_property_is_what_flip_power_enumerates(
    harm: float, gain: float, question: Any, margin: float, pairs: list[int], alpha: float
) -> None:
    assume(harm + gain > 0.0)
    asked: dict[str, Any] = {"question": question, "alpha": alpha}
    bound = None if question == "difference" else margin
    powers = FlipCurve(harm, gain, margin=bound, **asked).powers(np.unique(pairs).astype(float))
    one_by_one = [flip_power(harm, gain, n, margin=margin, **asked).power for n in np.unique(pairs)]
    assert powers == pytest.approx(one_by_one, abs=1e-9)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    "rates", [(0.02, 0.0), (0.004, 0.003), (0.2, 0.25), (0.0, 0.1), (0.5, 0.5)]
)
def test_curve_property_falls_by_no_more_than_is_promised(
    rates: tuple[float, float], question: Any
) -> None:
    margin = None if question == "difference" else 0.05
    curve = FlipCurve(*rates, question, margin, 0.05)
    powers = curve.powers(np.arange(2.0, 1200.0))
    for n in range(2, 1199):
        assert curve.steepest_fall(n) >= curve.steepest_fall(n + 1) - 1e-12 * n
        assert powers[n - 1] >= powers[n - 2] - curve.steepest_fall(n) - 1e-12


def test_curve_against_reference_scipy_no_count_is_likelier_than_is_promised() -> None:
    from scipy.stats import binom

    # harm in a pair that is no gain is p: by the bound, a count of losses has at most this chance
    for k, p in itertools.product((1, 2, 5, 30, 200), (0.01, 0.2, 0.5, 0.77, 0.99)):
        fall = FlipCurve(p, 0.0, "non_inferior", 0.1, 0.05).steepest_fall(k)
        assert binom.pmf(np.arange(k + 1), k, p).max() <= fall / p


def test_items_for_flips_by_hand_where_no_number_will_do() -> None:
    assert items_for_flips(0.1, 0.1, question="difference") is None
    assert items_for_flips(0.03, 0.02, question="non_inferior", margin=0.01) is None
    assert items_for_flips(0.02, 0.03, question="equivalent", margin=0.01) is None
    assert items_for_flips(0.02, 0.04, question="non_inferior", margin=0.01) is not None


def test_items_for_flips_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(StatisticsError, match="power"):
        items_for_flips(0.1, 0.0, question="difference", power=80)
    with pytest.raises(StatisticsError, match="rates"):
        items_for_flips(0.7, 0.4, question="difference")


def test_items_for_flips_by_hand_of_one_certain_outcome() -> None:
    # all pairs are losses: mid-p is 2^-n, at most .05 from n = 5 on
    assert items_for_flips(1.0, 0.0, question="difference") == 5
    # no pair flips: 298 are the fewest whose silence rules a point out
    assert items_for_flips(0.0, 0.0, question="equivalent", margin=0.01) == 298


def test_items_for_flips_by_hand_where_there_is_too_much_to_count() -> None:
    # (1.959964 + .841621)^2 (.5 - .0001) / .0001 = 39236.5; 1.644854 + .841621 = 2.486475
    assert items_for_flips(0.255, 0.245, question="difference") == 39_237
    n = items_for_flips(0.25, 0.25, question="non_inferior", margin=0.01)
    assert n == math.ceil(2.486475**2 * 0.5 / 0.01**2)


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
