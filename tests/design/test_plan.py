from __future__ import annotations

import dataclasses
import math

import pytest

from quantrial.design.plan import DISCORDANCES, TaskPlan, least_for_margin, prospects
from quantrial.stats import flip_power, score_flips


def task(items: int, margin: float, *, proportion: bool = True) -> TaskPlan:
    return TaskPlan(
        name="quiz",
        workload="reasoning",
        items=items,
        available=items,
        calls=2 * items,
        margin=margin,
        prospects=prospects(items, margin, alpha=0.05, proportion=proportion),
        duplicates=0,
        least_items=least_for_margin(margin, alpha=0.05, proportion=proportion),
    )


def test_too_few_items_for_the_margin_are_said() -> None:
    assert task(120, 0.01).out_of_reach == (
        "quiz: equivalence within 1 pp takes at least 298 items, even if no answer changes. "
        "You have 120."
    )
    assert task(297, 0.01).out_of_reach is not None
    assert task(298, 0.01).out_of_reach is None


def test_a_plan_ends_in_how_many_items_a_decision_takes() -> None:
    """830 items at 5 % of flips and 2 pp: see the power of the same test on either side."""
    few = task(60, 0.02)
    assert few.advice == (
        "quiz: plan for 830 items if 5 % of answers flip; you have 60: this study cannot show that "
        "the loss is less than 2 pp."
    )
    assert few.too_small
    for n, enough in ((829, False), (830, True)):
        found = flip_power(0.025, 0.025, n, question="non_inferior", margin=0.02).power
        assert (found >= 0.8) == enough
        assert task(n, 0.02).too_small != enough
    assert task(900, 0.02).advice == (
        "quiz: plan for 830 items if 5 % of answers flip; you have 900: this study can show that "
        "the loss is less than 2 pp."
    )
    assert task(1, 0.02).advice is None


def test_by_hand_how_many_items_other_scores_take() -> None:
    """(1.6449 + 0.8416)^2 x 0.05 / 0.02^2 = 772.8"""
    assert "plan for 773 items" in str(task(60, 0.02, proportion=False).advice)


def test_of_other_scores_nothing_is_claimed() -> None:
    spans = task(20, 0.01, proportion=False)
    assert (spans.least_items, spans.out_of_reach) == (None, None)


def test_by_hand_the_warning_is_right_at_its_edge() -> None:
    assert not score_flips(0, 0, n=297).equivalence(0.01).equivalent
    assert score_flips(0, 0, n=298).equivalence(0.01).equivalent
    # a clear gain is non-inferior with far fewer: the warning speaks of equivalence alone
    assert score_flips(0, 12, n=120).equivalence(0.01).non_inferior


def test_proportions_are_enumerated() -> None:
    found = {one.discordance: one for one in prospects(400, 0.03, alpha=0.05, proportion=True)}
    assert tuple(found) == DISCORDANCES
    for share, one in found.items():
        for question, power in (
            ("non_inferior", one.power_non_inferior),
            ("equivalent", one.power_equivalent),
        ):
            again = flip_power(share / 2, share / 2, 400, question=question, margin=0.03)  # type: ignore[arg-type]
            assert power == again.power
        assert one.items_for_margin is not None
        assert (one.method, one.items_method) == ("exact", "exact")
        assert one.power_equivalent < one.power_non_inferior
        assert (one.power_equivalent >= 0.8) == (one.items_for_margin <= 400)
    # 1 % of 400 items is four flips; six on one side are needed
    assert found[0.01].detectable is None
    assert found[0.15].detectable == pytest.approx(2.801585 * math.sqrt(0.15 / 400), rel=0.05)


def test_exact_and_approximate_prospects_come_together_where_many_items_flip() -> None:
    exact = prospects(6000, 0.03, alpha=0.05, proportion=True)[-1]
    rough = prospects(6000, 0.03, alpha=0.05)[-1]
    assert rough.method == "normal-approximation"
    assert exact.detectable == pytest.approx(rough.detectable, rel=0.02)
    assert exact.items_for_margin == pytest.approx(rough.items_for_margin, rel=0.05)
    assert exact.power_equivalent == pytest.approx(rough.power_equivalent, abs=0.01)


def test_more_items_than_can_be_enumerated_are_said_to_be_approximate() -> None:
    far = prospects(120, 0.003, alpha=0.05, proportion=True)[-1]
    assert far.items_for_margin is not None
    assert far.items_for_margin > 10**5
    assert (far.method, far.items_method) == ("exact", "normal-approximation")


def test_a_tighter_level_takes_more() -> None:
    strict, loose = (prospects(400, 0.03, alpha=a, proportion=True)[1] for a in (0.01, 0.1))
    assert strict.power_equivalent < loose.power_equivalent
    assert strict.items_for_margin is not None
    assert loose.items_for_margin is not None
    assert strict.items_for_margin > loose.items_for_margin
    assert strict.detectable is not None
    assert loose.detectable is not None
    assert strict.detectable > loose.detectable


def test_one_item_promises_nothing() -> None:
    assert prospects(1, 0.03, alpha=0.05, proportion=True) == ()


def test_the_keys_of_the_document() -> None:
    document = dataclasses.asdict(task(120, 0.01))
    assert document["least_items"] == 298
    assert set(document["prospects"][0]) >= {"discordance", "detectable", "items_for_margin"}
