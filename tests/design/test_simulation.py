from __future__ import annotations

import numpy as np
import pytest

from quantrial.design.forecast import STUDIES, Pilot, PilotModel, PowerQuery, Spread, forecast
from quantrial.stats import Question, flip_power

ALL: tuple[Question, ...] = ("difference", "non_inferior", "equivalent")


def flips(n: int, harmful: int, beneficial: int, *, seed: int = 3) -> Pilot:
    scores = np.ones((n, 2))
    scores[:harmful, 1] = 0.0
    scores[harmful : harmful + beneficial, 0] = 0.0
    return Pilot(scores, np.ones_like(scores), 1.0, seed)


def drawn(pilot: Pilot, asked: PowerQuery) -> PilotModel:
    change = pilot.numerators[:, 1] - pilot.numerators[:, 0]
    return PilotModel(pilot, Spread(float(change.std(ddof=1)), float(change.mean())), asked)


@pytest.mark.parametrize(("harmful", "beneficial"), [(20, 4), (8, 8), (3, 1)])
def test_against_reference_right_and_wrong_answers_are_enumerated(
    harmful: int, beneficial: int
) -> None:
    # scores of 0 and 1 have a power that is known exactly; the sign-flip test is not mid-p, so a
    # difference is compared with more room
    n, asked = 300, PowerQuery(300, 0.8, 0.05, 0.05)
    model = drawn(flips(400, harmful, beneficial), asked)
    rates = (harmful / 400, beneficial / 400)
    for question in ALL:
        margin = None if question == "difference" else 0.05
        exact = flip_power(*rates, n, question=question, margin=margin).power
        room = 4 * (0.25 / STUDIES) ** 0.5 + (0.1 if question == "difference" else 0.0)
        power, method = model.at(question, n)
        assert method == "simulation"
        assert abs(power - exact) < room


def test_against_reference_the_items_reach_the_asked_power() -> None:
    asked = PowerQuery(None, 0.8, 0.05, 0.05)
    items = drawn(flips(400, 8, 8), asked).items("equivalent")
    assert items is not None
    exact = flip_power(8 / 400, 8 / 400, items, question="equivalent", margin=0.05).power
    assert 0.7 < exact < 0.9


def test_the_same_seed_draws_the_same_studies() -> None:
    asked = PowerQuery(100, 0.8, 0.05, 0.05)
    first, second = (drawn(flips(200, 9, 3), asked).at("non_inferior", 150) for _ in range(2))
    assert first == second
    # whatever else was asked before
    other = drawn(flips(200, 9, 3), asked)
    other.at("difference", 90)
    assert other.at("non_inferior", 150) == first


def test_very_many_items_and_curves_are_approximated() -> None:
    asked = PowerQuery(None, 0.8, 0.05, 0.05)
    model = drawn(flips(400, 8, 8), asked)
    assert model.at("equivalent", 50_000)[1] == "normal-approximation"
    found = forecast(Spread(model.sd, model.difference), asked, model)
    assert {point.method for point in found.curve} == {"normal-approximation"}
    by_question = {answer.question: answer for answer in found.answers}
    assert by_question["equivalent"].items_method == "simulation"
    assert by_question["difference"].items is None  # there is none to find
    # the curve runs close to what is enumerated
    gaps = [
        p.power - flip_power(8 / 400, 8 / 400, p.n, question=p.question, margin=0.05).power
        for p in found.curve
        if p.question != "difference"
    ]
    assert max(map(abs, gaps)) < 0.2


def test_a_pilot_that_carries_no_test_shows_nothing() -> None:
    same = np.ones((30, 2))
    model = PilotModel(
        Pilot(same, same, None, 1), Spread(0.1, 0.0), PowerQuery(50, 0.8, 0.05, 0.05)
    )
    for question in ALL:
        assert model.at(question, 50) == (0.0, "simulation")
    assert model.items("equivalent") is None
    assert model.rough("non_inferior", 50) == (0.0, "normal-approximation")
