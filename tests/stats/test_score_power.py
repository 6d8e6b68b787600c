"""Items for the score tests at the margin: against the tests themselves, and against simulation."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import pytest

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats import (
    flip_power,
    items_for_score,
    score_flips,
    score_power,
    score_ratios,
)
from quantrial.stats.power.items import MarginQuestion


@pytest.mark.parametrize("question", ["non_inferior", "equivalent"])
@pytest.mark.parametrize(("harmful", "beneficial"), [(8, 8), (20, 14), (3, 9)])
def test_items_for_score_property_the_exact_power_is_reached(
    question: MarginQuestion, harmful: int, beneficial: int
) -> None:
    n, margin = 500, 0.04
    items = items_for_score(score_flips(harmful, beneficial, n=n), margin, question=question)
    assert items is not None
    exact = flip_power(harmful / n, beneficial / n, items, question=question, margin=margin)
    assert exact.method == "exact"
    assert 0.74 < exact.power < 0.88


def spans(n: int, changed: int, seed: int) -> tuple[Any, Any]:
    """Numerators and denominators of micro-F1, of which few items changed, and by one span."""
    rng = np.random.default_rng(seed)
    gold = rng.poisson(1.0, n)
    hits = np.where(rng.random(n) < 0.3, np.maximum(gold - 1, 0), gold)
    new, invented = hits.copy(), np.zeros(n)
    at = rng.choice(n, changed, replace=False)
    new[at[::2]] = np.maximum(new[at[::2]] - 1, 0)
    invented[at[1::2]] = 1
    return np.stack([2.0 * hits, 2.0 * new], 1), np.stack([hits + gold, new + invented + gold], 1)


@pytest.mark.parametrize(("changed", "margin"), [(4, 0.02), (30, 0.05)])
@pytest.mark.parametrize("question", ["non_inferior", "equivalent"])
def test_items_for_score_against_simulation_micro_f1_reaches_its_power(
    changed: int, margin: float, question: Literal["non_inferior", "equivalent"]
) -> None:
    # the sample is the truth here: studies of the planned size are drawn from it
    top, bottom = spans(400, changed, seed=changed)
    items = items_for_score(score_ratios(top, bottom), margin, question=question)
    assert items is not None
    rng, shown, studies = np.random.default_rng(1), 0, 250
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticsWarning)
        for _ in range(studies):
            drawn = rng.integers(0, len(top), items)
            test = score_ratios(top[drawn], bottom[drawn]).equivalence(margin)
            shown += test.equivalent if question == "equivalent" else test.non_inferior
    # a normal approximation: within eight points and the error of 250 draws
    assert abs(shown / studies - 0.8) < 0.08 + 0.05


def test_where_no_number_will_do() -> None:
    lost = score_flips(30, 10, n=500)  # four points
    assert items_for_score(lost, 0.04, question="non_inferior") is None
    assert items_for_score(lost, 0.02, question="equivalent") is None
    gained = score_flips(10, 30, n=500)
    assert items_for_score(gained, 0.04, question="equivalent") is None
    assert items_for_score(gained, 0.04, question="non_inferior") is not None
    equal = np.ones((20, 2))  # a ratio in which nothing changed carries no test
    assert items_for_score(score_ratios(equal, equal), 0.04, question="non_inferior") is None


def test_items_for_score_property_more_power_or_a_smaller_margin_take_more() -> None:
    score = score_flips(9, 6, n=300)

    def items(margin: float = 0.04, **options: Any) -> int:
        found = items_for_score(score, margin, question="non_inferior", **options)
        assert found is not None
        return found

    assert items(power=0.9) > items() < items(0.03)
    assert items(alpha=0.01) > items()


def test_what_is_refused() -> None:
    score, question = score_flips(1, 1, n=30), "non_inferior"
    bad: Any = "better"
    with pytest.raises(StatisticsError, match="question is 'better'"):
        items_for_score(score, 0.02, question=bad)
    for options in ({"margin": 0.0}, {"power": 1.0}, {"alpha": 0.5}):
        with pytest.raises(StatisticsError):
            items_for_score(score, question=question, **{"margin": 0.1, **options})  # type: ignore[arg-type]


# Of 8 losses and 8 gains in 400 the spread is sqrt(.04). With the difference held at -.04 the
# likeliest share of losses is (35.2 + 48) / 1600 = .052, which leaves a spread of sqrt(.0624).
EVEN = score_flips(8, 8, n=400)


def test_score_power_by_hand() -> None:
    # ((.04 - .15 / 400) * 20 - 1.644854 * sqrt(.0624)) / .2 = 1.908
    shown = score_power(EVEN, 400, 0.04, question="non_inferior")
    assert shown == pytest.approx(0.97181, abs=2e-5)
    both = score_power(EVEN, 400, 0.04, question="equivalent")
    assert both == pytest.approx(2 * 0.97181 - 1, abs=4e-5)


def test_items_for_score_by_hand() -> None:
    # 192: (7.68 - .15) / 13.8564 = .54343 less .41088 is .13255, short of .84162 * .2 = .16832;
    # 208: (8.32 - .15) / 14.4222 = .56649, less .41088 is .15561; 217: .57908, .16820; 218: .16958
    assert items_for_score(EVEN, 0.04, question="non_inferior") == 218
    # without a flip nothing is left to chance: 298 * .01 - .15 > 1.644854 sqrt(298 * .01 * .99)
    assert items_for_score(score_flips(0, 0, n=60), 0.01, question="non_inferior") == 298
    assert items_for_score(score_flips(0, 0, n=60), 0.01, question="equivalent") == 298


def powers_by_scipy(harmful: int, beneficial: int, margin: float, items: int) -> dict[str, float]:
    """Of 500 items' flips: the chances of a claim in a study of so many, from scipy alone."""
    from scipy.optimize import minimize_scalar
    from scipy.stats import norm

    n = 500
    rest, true = n - harmful - beneficial, (beneficial - harmful) / n

    def variance_at(mean: float) -> float:
        """Of one difference, from the likeliest chance q of a loss where gains have q + mean."""

        def against(q: float) -> float:
            shares = np.array([q, q + mean, 1 - 2 * q - mean])
            return -float(np.array([harmful, beneficial, rest]) @ np.log(shares))

        bounds = (max(0.0, -mean) + 1e-12, (1 - mean) / 2 - 1e-12)
        q = minimize_scalar(against, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
        return float(2 * q + mean - mean**2)

    error = np.sqrt(variance_at(true) / items)
    below, above = (norm.ppf(0.95) * np.sqrt(variance_at(m) / items) for m in (-margin, margin))
    low, high = below - margin + 0.15 / items, margin - 0.15 / items - above
    alone = float(norm.sf(low, true, error))
    both = float(alone - norm.sf(high, true, error))
    return {"non_inferior": alone, "equivalent": max(0.0, both)}


@pytest.mark.parametrize(("harmful", "beneficial"), [(8, 8), (20, 14), (3, 9)])
@pytest.mark.parametrize("question", ["non_inferior", "equivalent"])
def test_score_power_against_reference_scipy(
    harmful: int, beneficial: int, question: MarginQuestion
) -> None:
    ours = score_power(score_flips(harmful, beneficial, n=500), 350, 0.04, question=question)
    expected = powers_by_scipy(harmful, beneficial, 0.04, 350)[question]
    assert ours == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("harmful", "beneficial"), [(8, 8), (20, 14), (3, 9)])
@pytest.mark.parametrize("question", ["non_inferior", "equivalent"])
def test_items_for_score_against_reference_scipy(
    harmful: int, beneficial: int, question: MarginQuestion
) -> None:
    items = items_for_score(score_flips(harmful, beneficial, n=500), 0.04, question=question)
    assert items is not None
    at, before = (
        powers_by_scipy(harmful, beneficial, 0.04, n)[question] for n in (items, items - 1)
    )
    assert before < 0.8 <= at


@pytest.mark.parametrize("question", ["non_inferior", "equivalent"])
def test_score_power_against_simulation_answers_yes_that_often(question: MarginQuestion) -> None:
    pilot, n, margin, runs = score_flips(30, 24, n=600), 500, 0.05, 10_000
    drawn = np.random.default_rng(15).multinomial(n, [0.05, 0.04, 0.91], size=runs)
    outcomes, counts = np.unique(drawn[:, :2], axis=0, return_counts=True)
    yes = 0
    for (losses, gains), count in zip(outcomes.tolist(), counts.tolist(), strict=True):
        test = score_flips(losses, gains, n=n).equivalence(margin)
        yes += count * (test.equivalent if question == "equivalent" else test.non_inferior)
    # a normal approximation; three standard errors of 10,000 draws are .015
    assert score_power(pilot, n, margin, question=question) == pytest.approx(yes / runs, abs=0.03)


@pytest.mark.parametrize(
    "score", [EVEN, score_flips(20, 14, n=500), score_ratios(*spans(90, 9, 1))]
)
def test_score_power_property_grows_and_is_reached_by_the_planned_items(score: Any) -> None:
    sizes = [20, 60, 200, 600, 2000]
    one = [score_power(score, n, 0.06, question="non_inferior") for n in sizes]
    both = [score_power(score, n, 0.06, question="equivalent") for n in sizes]
    assert one == sorted(one)
    assert both == sorted(both)
    assert all(0.0 <= two <= alone <= 1.0 for alone, two in zip(one, both, strict=True))
    items = items_for_score(score, 0.06, question="equivalent", power=0.7)
    assert items is not None
    assert score_power(score, items, 0.06, question="equivalent") >= 0.7
    assert score_power(score, items - 1, 0.06, question="equivalent") < 0.7
