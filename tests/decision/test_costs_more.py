"""That an arm costs more is said only where it is known; what reads the same is said once."""

from __future__ import annotations

from typing import Any

import pytest

from decision.fabricated import decide_from, make_arm, make_summary, make_task
from decision.tables import costs_more
from quantrial.decision import Constraints
from quantrial.decision.sensitivity import without_repeats
from quantrial.documents.decision import Missing, load_decision
from quantrial.reporting.glance import _advice

BOTH = {"one": "equivalent", "two": "equivalent"}


def decided(
    arms: dict[str, Any], speeds: dict[str, float], verdicts: Any = None, **limits: Any
) -> dict[str, Any]:
    summary = make_summary(
        {"mmlu": make_task("mmlu", verdicts or BOTH)},
        arms={"fp16": make_arm(*arms["fp16"]), **{a: make_arm(*arms[a]) for a in ("one", "two")}},
        speeds=speeds,
    )
    return decide_from(summary, Constraints(**limits))


def tiers(decision: dict[str, Any]) -> dict[str, int]:
    return {arm: own["tier"] for arm, own in decision["picker"]["arms"].items()}


@pytest.mark.parametrize(
    ("arms", "speeds", "expected"),
    [
        # memory tells all three apart
        ({"fp16": (16, None), "one": (8, None), "two": (4, None)}, {}, (2, 1, 0)),
        # two of one size: their speeds tell, where all are known
        (
            {"fp16": (16, None), "one": (8, None), "two": (8, None)},
            {"fp16": 10.0, "one": 30.0, "two": 20.0},
            (2, 0, 1),
        ),
        # ... and nothing does where one is not
        (
            {"fp16": (16, None), "one": (8, None), "two": (8, None)},
            {"fp16": 10.0, "one": 30.0},
            (1, 0, 0),
        ),
        # neither memory nor bits, and one speed is unknown: nothing is known to cost more
        (
            {"fp16": (None, None), "one": (None, None), "two": (None, None)},
            {"fp16": 10.0, "one": 30.0},
            (0, 0, 0),
        ),
        (
            {"fp16": (None, None), "one": (None, None), "two": (None, None)},
            {"fp16": 10.0, "one": 30.0, "two": 20.0},
            (2, 0, 1),
        ),
        # bits by the type of the weights
        ({"fp16": (None, "F16"), "one": (None, "Q8_0"), "two": (None, "Q4_0")}, {}, (2, 1, 0)),
    ],
)
def test_who_is_known_to_cost_more(
    arms: dict[str, Any], speeds: dict[str, float], expected: tuple[int, ...]
) -> None:
    decision = decided(arms, speeds)
    assert tuple(tiers(decision)[arm] for arm in ("fp16", "one", "two")) == expected
    table = decision["picker"]
    for arm in tiers(decision):
        for other in tiers(decision):
            more = tiers(decision)[arm] > tiers(decision)[other]
            assert costs_more(table, {}, arm, other) is more


def everything(decision: dict[str, Any]) -> str:
    given = decision["constrained"]
    verdicts = dict.fromkeys(["reasoning"], "equivalent")
    advice = [_advice(load_decision(decision), arm, verdicts) for arm in decision["costs"]]
    return " ".join([*advice, given["text"], (given["alternative"] or {"text": ""})["text"]])


def test_an_unknown_cost_is_not_said_to_be_more() -> None:
    unknown = {"fp16": (None, None), "one": (None, None), "two": (None, None)}
    said = everything(decided(unknown, {"fp16": 10.0, "one": 30.0}, tolerate=0.05))
    assert "more" not in said.replace("more items", "")
    known = {"fp16": (16, None), "one": (8, None), "two": (4, None)}
    said = everything(decided(known, {}, tolerate=0.05))
    assert "costs more" in said


def test_a_price_goes_before_the_order_of_memory() -> None:
    arms = {"fp16": (16, None), "one": (8, None), "two": (4, None)}
    table = decided(arms, {})["picker"]
    for arm, seconds in (("fp16", 1.0), ("one", 2.0), ("two", 3.0)):
        table["tasks"]["mmlu"]["arms"][arm]["latency"] = seconds
    prices = {"cost_per_hour": 1.0}
    assert costs_more(table, prices, "two", "fp16")
    assert not costs_more(table, prices, "fp16", "two")
    assert costs_more(table, {}, "fp16", "two")
    assert not costs_more(table, {"cost_per_hour_by": {"two": 1.0}}, "two", "fp16")


@pytest.mark.parametrize("estimate", [-0.00995, -0.0102])
def test_a_change_that_rounds_to_what_was_seen_says_less_than_a_tenth(estimate: float) -> None:
    # the bound lies .0004 on the wrong side of the margin: moved by that, the pick changes
    said = (
        "inconclusive",
        {
            "estimate": estimate,
            "ci": [estimate - 0.03, estimate + 0.03],
            "test_ci": [-0.0504, estimate + 0.02],
            "test_margin": 0.05,
        },
    )
    task = make_task("mmlu", {"q8_0": said}, margin=0.05)
    arms = {"fp16": make_arm(16, "F16"), "q8_0": make_arm(8, "Q8_0")}
    decision = decide_from(make_summary({"mmlu": task}, arms=arms))
    found = [one for one in decision["sensitivity"]["changes"] if one["kind"] == "estimate"]
    assert found
    for one in found:
        assert one["text"].count("−1.0 pp") == 1
        assert one["text"].startswith(
            "If q8_0 is better on reasoning than its estimate by less than 0.1 pp, the pick is "
        )


def test_what_reads_the_same_is_said_once() -> None:
    first, other, again = (
        Missing(arm=arm, task="mmlu", because="", items_needed=None, text=text)
        for arm, text in (("one", "a"), ("one", "b"), ("two", "a"))
    )
    assert without_repeats([first, other, again]) == [first, other]
