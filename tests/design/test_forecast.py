from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import NormalIndPower, TTestPower

from quantrial.design.forecast import (
    QUESTIONS,
    Forecast,
    PowerQuery,
    QuestionResult,
    Rates,
    Spread,
    detectable_by_flips,
    forecast,
    spread_power,
)
from quantrial.stats import flip_power, least_items, score_flips


def ask(n: int | None = None, *, power: float = 0.8, margin: float = 0.05) -> PowerQuery:
    return PowerQuery(n, power, margin, 0.05)


def answers(found: Forecast) -> dict[str, QuestionResult]:
    return {one.question: one for one in found.answers}


def mid_p(losses: int, gains: int) -> float:
    """The definition: twice the smaller tail, less the chance of what was seen."""
    flips, few = losses + gains, min(losses, gains)
    if losses == gains:
        return 1.0
    ways = [math.comb(flips, i) for i in range(few + 1)]
    return float(2 * sum(ways) - ways[-1]) / 2.0**flips


def by_counting(harm: float, gain: float, n: int, question: str, margin: float) -> float:
    total = 0.0
    for losses in range(n + 1):
        for gains in range(n - losses + 1):
            ways = math.comb(n, losses) * math.comb(n - losses, gains)
            chance = ways * harm**losses * gain**gains * (1 - harm - gain) ** (n - losses - gains)
            test = score_flips(losses, gains, n=n).equivalence(margin)
            yes = {
                "difference": losses + gains > 0 and mid_p(losses, gains) <= 0.05,
                "non_inferior": test.non_inferior,
                "equivalent": test.equivalent,
            }
            total += chance * yes[question]
    return total


def test_by_hand_every_outcome_of_a_few_pairs() -> None:
    found = forecast(Rates(0.3, 0.1), ask(12, margin=0.4))
    for question, answer in answers(found).items():
        expected = by_counting(0.3, 0.1, 12, question, 0.4)
        assert answer.power == pytest.approx(expected, abs=1e-12), question
        assert answer.power_method == "exact"
    assert found.difference == pytest.approx(-0.2)
    assert found.sd == pytest.approx(math.sqrt(0.4 - 0.04))


def test_by_hand_what_ten_flips_detect() -> None:
    # mid-p of a 9-1 split is 12/1024, of 8-2 67/1024: found are nine or ten of one kind
    assert mid_p(9, 1) == 12 / 1024
    assert mid_p(8, 2) == 67 / 1024
    found = detectable_by_flips(1.0, 10, power=0.8, alpha=0.05)
    assert found is not None
    up = (1 + found) / 2
    chance = sum(10 * p**9 * (1 - p) + p**10 for p in (up, 1 - up))
    assert chance == pytest.approx(0.8, abs=1e-4)


def test_by_hand_five_flips_prove_nothing() -> None:
    # 5-0 has mid-p 1/32, but five flips among 20 are not certain; two never suffice
    assert detectable_by_flips(1.0, 5, power=0.8, alpha=0.05) is not None
    assert detectable_by_flips(0.25, 20, power=0.8, alpha=0.05) is None
    assert detectable_by_flips(1.0, 2, power=0.8, alpha=0.05) is None
    assert detectable_by_flips(0.0, 1000, power=0.8, alpha=0.05) is None
    assert detectable_by_flips(0.5, 200, power=0.01, alpha=0.05) == 0.0


@settings(max_examples=20)
@given(share=st.floats(0.05, 0.9), n=st.integers(50, 600), power=st.floats(0.3, 0.95))
def test_property_the_detectable_difference_is_where_power_reaches_its_target(
    share: float, n: int, power: float
) -> None:
    found = detectable_by_flips(share, n, power=power, alpha=0.05)

    def at(size: float) -> float:
        harm, gain = (share + size) / 2, (share - size) / 2
        return flip_power(harm, max(0.0, gain), n, question="difference").power

    if found is None:
        assert at(share) < power
    else:
        assert at(found) >= power
        assert at(found * 0.999 - 1e-4) < power


def test_against_reference_statsmodels_normal_power() -> None:
    for sd, true, n in ((0.2, 0.02, 300), (0.5, -0.05, 900), (0.3, 0.0, 100)):
        answer = answers(forecast(Spread(sd, true), ask(n)))["difference"]
        reference = NormalIndPower(ddof=0).power(
            effect_size=true / sd, nobs1=n, alpha=0.05, ratio=0, alternative="two-sided"
        )
        assert answer.power == pytest.approx(float(reference), abs=1e-9)
        t_test = TTestPower().power(effect_size=true / sd, nobs=n, alpha=0.05)
        assert answer.power == pytest.approx(float(t_test), abs=0.01)
        # one side: the distance from the margin
        reference = NormalIndPower(ddof=0).power(
            effect_size=(true + 0.05) / sd, nobs1=n, alpha=0.05, ratio=0, alternative="larger"
        )
        non_inferior = answers(forecast(Spread(sd, true), ask(n)))["non_inferior"]
        assert non_inferior.power == pytest.approx(float(reference), abs=1e-9)


def test_against_reference_statsmodels_items() -> None:
    items = answers(forecast(Spread(0.4, 0.03), ask()))["difference"].items
    reference = NormalIndPower(ddof=0).solve_power(
        effect_size=0.03 / 0.4, power=0.8, alpha=0.05, ratio=0
    )
    assert items == math.ceil(float(reference))
    t_test = TTestPower().solve_power(effect_size=0.03 / 0.4, power=0.8, alpha=0.05)
    assert items == pytest.approx(float(t_test), abs=3)


def test_against_simulation_mid_p_and_both_margins() -> None:
    n, harm, gain = 300, 0.06, 0.02
    found = answers(forecast(Rates(harm, gain), ask(n, margin=0.08)))
    drawn = np.random.default_rng(7).multinomial(n, [harm, gain, 1 - harm - gain], size=20_000)
    outcomes, counts = np.unique(drawn[:, :2], axis=0, return_counts=True)
    yes = dict.fromkeys(QUESTIONS, 0)
    for (losses, gains), count in zip(outcomes.tolist(), counts.tolist(), strict=True):
        test = score_flips(losses, gains, n=n).equivalence(0.08)
        yes["difference"] += count * (mid_p(losses, gains) <= 0.05)
        yes["non_inferior"] += count * test.non_inferior
        yes["equivalent"] += count * test.equivalent
    for question, times in yes.items():
        power = found[question].power
        assert power is not None
        assert 0.1 < power < 0.99, "a setting that can tell"
        assert times / 20_000 == pytest.approx(power, abs=4 * math.sqrt(0.25 / 20_000))


@pytest.mark.parametrize("assumed", [Rates(0.04, 0.03), Spread(0.25, -0.01)])
@pytest.mark.parametrize("target", [0.5, 0.9])
def test_property_the_items_reach_the_power_and_one_fewer_do_not(
    assumed: Rates | Spread, target: float
) -> None:
    for question, answer in answers(forecast(assumed, ask(power=target, margin=0.04))).items():
        assert answer.power is None
        assert answer.items is not None
        now, before = (
            answers(forecast(assumed, ask(n, power=target, margin=0.04)))[question].power
            for n in (answer.items, answer.items - 1)
        )
        assert now is not None
        assert before is not None
        assert before < target <= now


def test_no_number_of_items_shows_what_is_not_so() -> None:
    equal = answers(forecast(Rates(0.02, 0.02), ask(200)))
    assert (equal["difference"].items, equal["difference"].items_method) == (None, None)
    assert equal["equivalent"].items is not None
    lost: Any
    for lost in (Rates(0.06, 0.01), Spread(0.3, -0.05)):
        found = answers(forecast(lost, ask(200)))
        assert found["difference"].items is not None
        assert found["non_inferior"].items is None
        assert found["equivalent"].items is None
    gained = answers(forecast(Rates(0.01, 0.07), ask(200)))
    assert gained["non_inferior"].items is not None
    assert gained["equivalent"].items is None


def test_the_power_of_equivalence_is_never_negative() -> None:
    assert spread_power(1.0, 0.0, 2, "equivalent", 0.01, alpha=0.05) == 0.0


def test_each_figure_says_how_it_was_found() -> None:
    small = forecast(Rates(0.02, 0.01), ask(500))
    assert small.detectable_method == "exact"
    large = forecast(Rates(0.2, 0.19), ask(50_000))
    assert large.detectable_method == "normal-approximation"
    assert {a.power_method for a in large.answers} == {"normal-approximation"}
    rough = forecast(Spread(0.2), ask(500))
    assert rough.detectable_method == "normal-approximation"
    assert {a.power_method for a in rough.answers} == {"normal-approximation"}
    assert rough.least_items is None
    assert forecast(Rates(0.2, 0.19), ask()).detectable is None


@pytest.mark.parametrize("n", [None, 2, 37, 5000])
@pytest.mark.parametrize("assumed", [Rates(0.02, 0.01), Rates(0.0, 0.0), Spread(0.2, -0.05)])
def test_the_curve_passes_through_what_is_told(assumed: Rates | Spread, n: int | None) -> None:
    found = forecast(assumed, ask(n))
    for question, points in itertools.groupby(found.curve, key=lambda p: p.question):
        line = list(points)
        sizes = [p.n for p in line]
        assert sizes == sorted(set(sizes))
        assert sizes[0] >= 2
        assert len(line) > 5
        told = answers(found)[question]
        if n is not None:
            assert [p.power for p in line if p.n == n] == [told.power]
        if told.items is not None and told.items > 2:
            assert sizes[0] < told.items < sizes[-1], "the curve shows where the answer turns"
    assert tuple(dict.fromkeys(p.question for p in found.curve)) == QUESTIONS


def test_by_hand_below_the_least_items_no_outcome_is_equivalent() -> None:
    least = least_items(0.2)
    assert forecast(Rates(0.1, 0.1), ask(margin=0.2)).least_items == least

    def possible(n: int) -> bool:
        return any(
            score_flips(losses, gains, n=n).equivalence(0.2).equivalent
            for losses in range(n + 1)
            for gains in range(n + 1 - losses)
        )

    assert not any(possible(n) for n in range(1, least))
    assert possible(least)
