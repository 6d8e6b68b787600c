from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.analysis.speed.timings import speed
from quantrial.records import Response
from summaries import completed_dict, tradeoffs_of


def tradeoffs(arms: Any, tasks: Any, speed: Any, phase: Any) -> Any:
    """Set quality against costs, of a summary that is written in part."""
    parts = {"arms": arms, "tasks": tasks, "speed": speed, "speed_phase": phase}
    document = completed_dict(parts)
    return tradeoffs_of(document)


def task(qualities: dict[str, float], kept: dict[tuple[str, str], str] | None = None) -> Any:
    """Make a task of a summary; `kept` gives verdicts by (reference, candidate)."""
    verdicts = kept or {}
    contrasts = [
        {"reference": r, "candidate": c, "id": f"t.acc.{c}.vs.{r}", "verdict": verdict}
        for (r, c), verdict in verdicts.items()
    ]
    tests = [
        {"equivalent": v == "equivalent", "non_inferior": v in ("equivalent", "non_inferior")}
        for v in verdicts.values()
    ]
    arms = {arm: {"estimate": quality} for arm, quality in qualities.items()}
    results = {"arms": arms, "contrasts": contrasts, "equivalence": tests}
    return {"primary": "acc", "endpoints": {"acc": results}}


def phase(**rates: tuple[float, float, float]) -> Any:
    return {
        "arms": {
            arm: {
                "decode": {"estimate": at, "ci": [low, high]},
                "call": None,
                "memory_peaks_bytes": [],
            }
            for arm, (low, at, high) in rates.items()
        }
    }


def records(**sizes: int | None) -> Any:
    return {arm: {"memory_bytes": size, "control": None} for arm, size in sizes.items()}


def test_frontier_and_dominated_by_hand() -> None:
    # b is faster than a and as good; c is faster still and worse; d is beaten by b and by c
    tasks = {"t": task({"a": 0.8, "b": 0.8, "c": 0.5, "d": 0.4}, {("a", "b"): "non_inferior"})}
    found = tradeoffs(
        records(a=400, b=200, c=100, d=100),
        tasks,
        {},
        phase(a=(9, 10, 11), b=(19, 20, 21), c=(25, 30, 35), d=(5, 15, 22)),
    )
    speeds = found["throughput"]["tasks"]["t"]
    assert speeds["frontier"] == ["c", "b"]
    assert {(one["arm"], one["by"]) for one in speeds["dominated"]} == {("a", "b"), ("d", "c")}
    [a, d] = speeds["dominated"]
    assert a == {
        "arm": "a",
        "by": "b",
        "cheaper": True,
        "contrast": "t.acc.b.vs.a",
        "kept": True,
    }
    # 15 (5 to 22) against 30 (25 to 35): the intervals do not meet; the two were not compared
    assert (d["cheaper"], d["contrast"], d["kept"]) == (True, None, None)
    sizes = found["memory"]
    assert (sizes["source"], sizes["higher_is_better"]) == ("file", False)
    assert sizes["tasks"]["t"]["frontier"] == ["c", "b"]
    assert [one["by"] for one in sizes["tasks"]["t"]["dominated"]] == ["b", "c"]


@pytest.mark.parametrize(
    ("pair", "verdict", "kept"),
    [
        (("a", "b"), "better", True),
        (("a", "b"), "non_inferior", True),
        (("a", "b"), "inconclusive", False),
        # b is the reference here: that a loses nothing says nothing of what b loses
        (("b", "a"), "non_inferior", False),
        (("b", "a"), "equivalent", True),
        (("b", "a"), "worse", True),
    ],
)
def test_a_loss_is_ruled_out_from_either_side(
    pair: tuple[str, str], verdict: str, *, kept: bool
) -> None:
    tasks = {"t": task({"a": 0.7, "b": 0.8}, {pair: verdict})}
    found = tradeoffs(records(a=1, b=1), tasks, {}, phase(a=(9, 10, 11), b=(10, 12, 14)))
    [one] = found["throughput"]["tasks"]["t"]["dominated"]
    assert (one["arm"], one["by"], one["kept"]) == ("a", "b", kept)
    assert one["cheaper"] is False  # 9 to 11 and 10 to 14 meet


def test_sources_in_their_order() -> None:
    tasks = {"t": task({"a": 0.7, "b": 0.8})}
    slow = {"tokens_per_second": 5.0, "tokens_per_second_interval": {"ci": [4.0, 6.0], "n": 30}}
    answers = {"t": {"a": slow, "b": slow}}
    arms = records(a=1, b=1)
    timed = phase(a=(9, 10, 11), b=(9, 10, 11))
    assert tradeoffs(arms, tasks, answers, timed)["throughput"]["source"] == "speed_phase"
    # where the phase does not know every arm, all speeds come from one source
    del timed["arms"]["b"]
    found = tradeoffs(arms, tasks, answers, timed)["throughput"]
    assert found["source"] == "answers"
    assert found["tasks"]["t"]["arms"]["a"]["ci"] == [4.0, 6.0]
    assert found["tasks"]["t"]["arms"]["a"]["n"] == 30
    # engines that time whole calls only: fewer seconds are better
    calls = phase(a=(9, 10, 11), b=(1, 2, 3))
    for own in calls["arms"].values():
        own["call"], own["decode"] = own["decode"], None
    found = tradeoffs(arms, tasks, {}, calls)["throughput"]
    assert (found["unit"], found["higher_is_better"]) == ("seconds", False)
    assert found["tasks"]["t"]["frontier"] == ["b"]
    nothing = tradeoffs(records(a=None, b=None), tasks, {}, None)
    assert nothing["throughput"]["source"] is nothing["memory"]["source"] is None
    assert nothing["memory"]["tasks"]["t"] == {"arms": {}, "frontier": [], "dominated": []}


def test_peaks_have_a_range_and_controls_are_no_choice() -> None:
    tasks = {"t": task({"a": 0.7, "b": 0.8, "bad": 0.9})}
    timed = phase(a=(9, 10, 11), b=(9, 10, 11))
    timed["arms"]["a"]["memory_peaks_bytes"] = [70, 90, 80]
    timed["arms"]["b"]["memory_peaks_bytes"] = [50]
    arms = records(a=1, b=1, bad=1)
    arms["bad"]["control"] = "positive"
    found = tradeoffs(arms, tasks, {}, timed)
    memory = found["memory"]
    assert memory["source"] == "peak"
    assert memory["tasks"]["t"]["arms"] == {
        "a": {"estimate": 90, "ci": [70, 90], "n": 3},
        "b": {"estimate": 50, "ci": [50, 50], "n": 1},
    }
    assert found["throughput"]["tasks"]["t"]["frontier"] == ["b"]


points = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=7)


@given(points)
def test_frontier_property_against_every_pair(given_points: list[tuple[int, int]]) -> None:
    arms = {f"a{i}": point for i, point in enumerate(given_points)}
    found = tradeoffs(
        {arm: {"memory_bytes": cost, "control": None} for arm, (cost, _) in arms.items()},
        {"t": task({arm: quality / 5 for arm, (_, quality) in arms.items()})},
        {},
        None,
    )["memory"]["tasks"]["t"]

    def beats(one: str, other: str) -> bool:
        (cost, good), (dear, bad) = arms[one], arms[other]
        return cost <= dear and good >= bad and (cost, good) != (dear, bad)

    best = {arm for arm in arms if not any(beats(one, arm) for one in arms)}
    assert set(found["frontier"]) == best
    assert {one["arm"] for one in found["dominated"]} == arms.keys() - best
    for one in found["dominated"]:
        assert beats(one["by"], one["arm"])
        assert one["by"] in best


def answer(block: int, tokens: int, seconds: float) -> Response:
    return Response(
        study="s", task="t", arm="a", item=f"i{block}", replicate=0, attempt=1, order=block,
        block=block, status="ok", error=None, output="", finish_reason="stop", prompt_tokens=1,
        completion_tokens=tokens, timing={"decode": seconds}, started_at="",
    )  # fmt: skip


def test_the_speed_of_answers_has_an_interval_by_hand() -> None:
    # the sums and the interval of tests/stats/test_rates.py: 10 in 2 s and 10 in 4 s
    found = speed([answer(0, 10, 2.0), answer(0, 10, 4.0)])
    interval = found.tokens_per_second_interval
    assert interval is not None
    assert found.tokens_per_second == pytest.approx(20 / 6)
    assert (interval.n, interval.unit) == (2, "answers")
    # shares 2/3 - 1 and 4/3 - 1: half-width t(1) * sqrt(2/9 / 1 / 2) on the logarithm
    half = 12.7062 * (1 / 9) ** 0.5
    assert interval.ci[1] == pytest.approx(20 / 6 * 2.718281828459045**half, rel=1e-4)


def test_answers_of_one_stretch_count_as_one() -> None:
    # six blocks of two answers each: what is measured twice in a block is one measurement
    answers = [answer(block, 10, 1.0 + block / 10) for block in range(6) for _ in range(2)]
    found = speed(answers).tokens_per_second_interval
    assert found is not None
    assert (found.n, found.unit) == (6, "stretches")
    many = [answer(block, 10, 1.0 + block / 1000) for block in range(240)]
    longer = speed(many).tokens_per_second_interval
    assert longer is not None
    assert longer.n == 24
    assert speed([]).tokens_per_second_interval is None
