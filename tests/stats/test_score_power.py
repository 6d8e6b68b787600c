"""Items for the score tests at the margin: against the tests themselves, and against simulation."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import pytest

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats import flip_power, items_for_score, score_flips, score_ratios
from quantrial.stats.score_power import MarginQuestion


@pytest.mark.parametrize("question", ["non_inferior", "equivalent"])
@pytest.mark.parametrize(("harmful", "beneficial"), [(8, 8), (20, 14), (3, 9)])
def test_against_reference_of_proportions_the_exact_power_is_reached(
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
def test_against_simulation_micro_f1_reaches_its_power(
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


def test_property_more_power_or_a_smaller_margin_take_more() -> None:
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
