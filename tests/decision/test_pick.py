"""The pure function under every pick, on tables written by hand and on random ones."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given

from decision.fabricated import GB, decide_from, make_arm, make_summary, make_task
from decision.tables import (
    candidates,
    choose,
    chosen_among,
    loss_ruled_out,
    ordered,
    tolerance,
)
from decision.test_constraints import limits, summaries
from quantrial.decision import Constraints


def row(bound: float | None, *, holds: bool = False, latency: float | None = 1.0) -> dict[str, Any]:
    return {
        "finding": "id",
        "estimate": None if bound is None else bound / 2,
        "bound": bound,
        "margin": 0.01,
        "holds": holds,
        "worse": False,
        "latency": latency,
    }


def table(**changes: Any) -> dict[str, Any]:
    """Write three arms: q4 (4 GB, loses up to 5 and 3 pp), q8 (8 GB, keeps 1 pp), full (16 GB)."""
    q4 = {"rank": 0, "control": False, "memory": 4 * GB, "speedup": 2.0}
    q8 = {"rank": 1, "control": False, "memory": 8 * GB, "speedup": 1.5}
    full = {"rank": 2, "control": False, "memory": 16 * GB, "speedup": 1.0}
    broken = {"rank": 3, "control": True, "memory": GB, "speedup": 9.0}
    none = row(0.0, holds=True, latency=3.0)
    return {
        "reference": "full",
        "insensitive": False,
        "arms": {"q4": q4, "q8": q8, "full": full, "broken": broken},
        "tasks": {
            "quiz": {
                "workload": "reasoning",
                "margin": 0.01,
                "at_floor": False,
                "arms": {
                    "q4": row(-0.05, latency=1.0),
                    "q8": row(-0.006, holds=True, latency=2.0),
                    "full": none,
                    "broken": row(-0.5),
                },
            },
            "people": {
                "workload": "extraction",
                "margin": 0.01,
                "at_floor": False,
                "arms": {
                    "q4": row(-0.03, latency=2.0),
                    "q8": row(-0.008, holds=True, latency=4.0),
                    "full": none,
                    "broken": row(-0.5),
                },
            },
        },
    } | changes


def broken(answer: dict[str, Any], arm: str) -> list[tuple[str, str | None]]:
    return [(one["constraint"], one["task"]) for one in answer["breaks"][arm]]


def test_nothing_stated_by_hand() -> None:
    answer = choose(table(), {})
    assert answer["order"] == ["q4", "q8", "full"]
    assert answer["pick"] == "q8"
    assert broken(answer, "q4") == [("quality", "quiz"), ("quality", "people")]
    # 5 of 1 pp is 4 too much, 3 of 1 pp is 2
    assert [one["excess"] for one in answer["breaks"]["q4"]] == pytest.approx([4.0, 2.0])
    assert answer["alternative"] == "q4"


def test_a_tolerance_for_a_task_goes_before_its_workload_and_the_common_one() -> None:
    stated = {"tolerate": 0.02, "tolerate_by": {"reasoning": 0.04, "quiz": 0.06}}
    assert tolerance(table(), stated, "quiz") == 0.06
    assert tolerance(table(), stated, "people") == 0.02
    assert tolerance(table(), {"tolerate_by": {"reasoning": 0.04}}, "quiz") == 0.04
    assert tolerance(table(), {"tolerate_by": {"reasoning": 0.04}}, "people") is None
    assert choose(table(), stated)["pick"] == "q8"
    assert choose(table(), stated | {"tolerate": 0.04})["pick"] == "q4"
    assert choose(table(), {"tolerate_by": {"quiz": 0.06}, "workloads": ["reasoning"]})["pick"] == (
        "q4"
    )


def test_latency_counts_on_the_workloads_that_matter() -> None:
    answer = choose(table(), {"max_latency": 2.5, "tolerate": 0.2})
    assert answer["pick"] == "q4"
    assert broken(answer, "q8") == [("max_latency", "people")]
    assert broken(answer, "full") == [("max_latency", "quiz"), ("max_latency", "people")]
    answer = choose(table(), {"max_latency": 2.5, "workloads": ["reasoning"]})
    assert answer["pick"] == "q8"
    assert choose(table(), {"max_latency": 0.5})["pick"] is None


def test_order_by_price_where_machine_hours_have_one() -> None:
    # 3600 s of work: q4 1 + 2, q8 2 + 4, full 3 + 3 seconds for a request to each task
    priced = {"cost_per_hour": 3600.0}
    assert ordered(table(), priced) == ["q4", "q8", "full"]  # 3, 6, 6: equal ones by rank
    assert ordered(table(), priced | {"workloads": ["extraction"]}) == ["q4", "full", "q8"]
    assert choose(table(), priced | {"workloads": ["extraction"]})["pick"] == "full"
    cheap = priced | {"cost_per_hour_by": {"q8": 900.0}}
    assert ordered(table(), cheap) == ["q8", "q4", "full"]
    # what is priced for one arm alone orders nothing
    assert ordered(table(), {"cost_per_hour_by": {"full": 1.0}}) == ["q4", "q8", "full"]


def test_an_unknown_latency_leaves_the_order_to_the_ranks() -> None:
    unknown = table()
    unknown["tasks"]["people"]["arms"]["q4"]["latency"] = None
    assert ordered(unknown, {"cost_per_hour": 1.0, "workloads": ["extraction"]}) == [
        "q4",
        "q8",
        "full",
    ]


def test_a_trial_that_cannot_see_harm_ships_the_reference_alone() -> None:
    answer = choose(table(insensitive=True), {"tolerate": 0.5})
    assert answer["pick"] == "full"
    assert broken(answer, "q4") == [("evidence", None)]
    floor = table()
    floor["tasks"]["people"]["at_floor"] = True
    answer = choose(floor, {})
    assert answer["pick"] == "full"
    assert broken(answer, "q8") == [("evidence", "people")]
    assert choose(floor, {"workloads": ["reasoning"]})["pick"] == "q8"


def test_alternatives_by_hand() -> None:
    # without a pick: q4 misses by nothing but quality (6.0), q8 by 8 of 2 GB (3.0), full by 7.0
    answer = choose(table(), {"max_memory": 2 * GB})
    assert (answer["pick"], answer["alternative"]) == (None, "q8")
    # the cheapest arm picked: the next that keeps everything
    answer = choose(table(), {"tolerate": 0.5})
    assert (answer["pick"], answer["alternative"]) == ("q4", "q8")
    answer = choose(table(), {"tolerate": 0.5, "min_speedup": 1.9})
    assert (answer["pick"], answer["alternative"]) == ("q4", None)


def among(bound: float, *levels: tuple[float, bool], holds: bool = False) -> dict[str, Any]:
    """Write a row with what is ruled out where the arm is one of 2, 3, ... candidates."""
    return row(bound, holds=holds) | {
        "among": [{"bound": lower, "holds": kept} for lower, kept in levels]
    }


def of_three(q2: dict[str, Any], q4: dict[str, Any], q8: dict[str, Any]) -> dict[str, Any]:
    """Write one task and three candidates, q2 the cheapest."""
    own = {"control": False, "memory": None, "speedup": None}
    names = ("q2", "q4", "q8", "full")
    rows = dict(zip(names, (q2, q4, q8, row(0.0, holds=True) | {"finding": None}), strict=True))
    task = {"workload": "reasoning", "margin": 0.01, "at_floor": False, "arms": rows}
    arms = {name: {"rank": rank, **own} for rank, name in enumerate(names)}
    return {"reference": "full", "insensitive": False, "arms": arms, "tasks": {"quiz": task}}


def test_holms_steps_by_hand() -> None:
    sure = among(-0.002, (-0.003, True), (-0.004, True), holds=True)  # p below alpha / 3
    half = among(-0.007, (-0.009, True), (-0.011, False), holds=True)  # below alpha / 2
    bare = among(-0.009, (-0.012, False), (-0.013, False), holds=True)  # below alpha
    lost = among(-0.05, (-0.06, False), (-0.07, False))
    assert chosen_among(of_three(bare, half, sure), {}, ["quiz"]) == {"q8": 3, "q4": 2, "q2": 1}
    assert choose(of_three(bare, half, sure), {})["pick"] == "q2"
    # without the step before it, none is shown
    assert choose(of_three(bare, half, half), {})["pick"] == "full"
    assert choose(of_three(bare, bare, sure), {})["pick"] == "q8"
    answer = choose(of_three(bare, lost, sure), {})
    assert answer["pick"] == "q8"
    assert [(one["constraint"], one["value"]) for one in answer["breaks"]["q2"]] == [
        ("choice", -0.012)
    ]
    assert broken(answer, "q4") == [("quality", "quiz")]
    assert answer["breaks"]["q2"][0]["excess"] == pytest.approx(0.2)  # 1.2 of 1 pp
    assert answer["alternative"] == "q2"


def test_a_tolerated_loss_is_held_against_the_bound_of_each_step_by_hand() -> None:
    sure = among(-0.02, (-0.025, False), (-0.028, False))
    wide = among(-0.027, (-0.033, False), (-0.036, False))
    # -2.8 pp of three, then -3.3 of two: beyond 3 pp, though alone -2.7 would do
    assert choose(of_three(wide, wide, sure), {"tolerate": 0.03})["pick"] == "q8"
    # -3.6 is not above 3.5 pp; of the two that are left -3.3 is
    assert choose(of_three(wide, wide, sure), {"tolerate": 0.035})["pick"] == "q2"
    # an arm that breaks a limit of cost is one of the candidates all the same
    table = of_three(wide, wide, sure)
    table["arms"]["q8"]["memory"] = 9 * GB
    table["arms"]["q4"]["memory"] = table["arms"]["q2"]["memory"] = GB
    table["arms"]["full"]["memory"] = 16 * GB
    assert choose(table, {"tolerate": 0.03, "max_memory": 2 * GB})["pick"] is None


def test_who_is_chosen_among_by_hand() -> None:
    bare = among(-0.009, (-0.012, False), (-0.013, False), holds=True)
    table = of_three(bare, bare, bare)
    assert candidates(table) == ["q2", "q4", "q8"]
    table["arms"]["q2"]["twin"] = "q4"
    table["arms"]["q8"]["control"] = True
    assert candidates(table) == ["q4"]
    assert choose(table, {})["pick"] == "q4"  # alone, its own level is enough
    table = of_three(bare, row(None) | {"finding": None}, bare | {"finding": None})
    assert candidates(table) == ["q2"]


def test_a_table_of_an_earlier_version_knows_one_level() -> None:
    old = of_three(row(-0.009, holds=True), row(-0.05), row(-0.009, holds=True))
    assert choose(old, {})["pick"] == "q2"


def test_what_missing_answers_alone_leave_open_is_named_so_by_hand() -> None:
    gaps = among(-0.06, (-0.07, False), (-0.08, False)) | {
        "missing": 20,
        "answered": {"bound": -0.006, "holds": True},
    }
    answer = choose(of_three(gaps, row(-0.05), row(-0.05)), {})
    assert broken(answer, "q2") == [("missing", "quiz")]
    assert answer["breaks"]["q2"][0]["value"] == -0.06
    # of a stricter tolerance the answered items leave it open too
    answer = choose(of_three(gaps, row(-0.05), row(-0.05)), {"tolerate": 0.005})
    assert broken(answer, "q2") == [("tolerate", "quiz")]


def test_a_loss_without_bound_or_finding_is_never_ruled_out() -> None:
    assert not loss_ruled_out(row(None), 0.9)
    assert loss_ruled_out(row(None, holds=True), 0.9)
    assert not loss_ruled_out(row(None, holds=True), 0.001)


@given(summaries(), limits())
def test_the_table_in_the_document_gives_the_documents_answer_property(
    summary: dict[str, Any], constraints: Constraints
) -> None:
    decision = orjson.loads(orjson.dumps(decide_from(summary, constraints)))
    if not constraints.stated:
        return
    given_ = decision["constrained"]
    answer = choose(decision["picker"], given_["constraints"])
    assert answer["pick"] == given_["pick"]
    assert answer["alternative"] == (given_["alternative"] or {}).get("arm")
    told = {one["arm"]: one["breaks"] for one in given_["rejected"]}
    for arm, breaks in answer["breaks"].items():
        told_breaks = [
            {k: v for k, v in one.items() if k in breaks[0]} for one in told.get(arm, [])
        ]
        assert told_breaks == breaks


SHARED = {"control": False, "twin": None}


def test_the_table_of_a_summary_by_hand() -> None:
    arms = {"fp16": make_arm(16, "F16"), "q8_0": make_arm(8, "Q8_0"), "bad": make_arm(1, "Q2_K")}
    arms["bad"]["control"] = "positive"
    summary = make_summary(
        {"mmlu": make_task("mmlu", {"q8_0": "non_inferior", "bad": "worse"})},
        arms=arms,
        speeds={"fp16": 20.0, "q8_0": 30.0},
    )
    summary["speed"]["mmlu"]["q8_0"]["seconds_per_answer"] = 0.4
    found = decide_from(summary)["picker"]
    assert found["arms"] == {
        "q8_0": {**SHARED, "rank": 0, "tier": 0, "memory": 8 * GB, "speedup": 1.5},
        "fp16": {**SHARED, "rank": 1, "tier": 1, "memory": 16 * GB, "speedup": 1.0},
        "bad": {**SHARED, "rank": 2, "tier": None, "memory": GB, "speedup": None, "control": True},
    }
    assert (found["insensitive"], found["tasks"]["mmlu"]["at_floor"]) == (False, False)
    assert found["tasks"]["mmlu"]["arms"]["q8_0"] == {
        "finding": "mmlu.accuracy.q8_0.vs.fp16",
        "estimate": 0.008,
        "bound": -0.002,
        "margin": 0.01,
        "holds": True,
        "worse": False,
        "latency": 0.4,
    }
