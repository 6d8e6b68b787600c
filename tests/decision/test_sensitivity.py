"""What would change the answer, what more items would settle, and risk in the user's units."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from decision.fabricated import GB, decide_from, make_arm, make_summary, make_task
from decision.tables import choose, picker_of, settings_of
from decision.test_constraints import SUMMARY, limits, summaries
from quantrial.decision import Constraints, pick
from quantrial.decision.sensitivity import _constraints
from quantrial.documents.decision import Change

if TYPE_CHECKING:
    from quantrial.decision.evidence import Evidence


def changes(summary: dict[str, Any] = SUMMARY, **stated: Any) -> dict[tuple[str, Any, Any], Any]:
    """Return where to, by kind, what it is of, and the pick it would give."""
    found = decide_from(summary, Constraints(**stated))["sensitivity"]
    return {(one["kind"], one["of"], one["pick"]): one["to"] for one in found["changes"]}


# SUMMARY: q4_K_M 4.9 GB, 2.5 times, equivalent on reasoning, -6.2 pp (bound -8.5) on extraction;
# q8_0 8.5 GB, 1.6 times, equivalent on both (bound -0.6); fp16 16 GB. The margin is 1 pp.


def test_constraints_that_flip_the_pick_by_hand() -> None:
    found = changes()
    assert found["max_memory", None, None] == 8499 * 10**6  # the first whole MB below q8_0
    assert found["min_speedup", None, None] == 1.61  # a hundredth above q8_0's 1.6
    # -8.5 pp must lie above what is tolerated: a tenth of a point more
    assert found["tolerate", "conll", "q4_K_M"] == 0.086
    # one of two candidates: 1.1916 as far below +0.1 pp as -0.6 is, at -0.73 pp
    assert found["tolerate", "conll", "fp16"] == 0.007
    assert found["workloads", "extraction", "q4_K_M"] == ["reasoning"]


def test_what_another_answer_would_rest_on_is_named_by_hand() -> None:
    told = decide_from(SUMMARY)["sensitivity"]["changes"]
    found = {(one["kind"], one["of"], one["pick"]): one["because"] for one in told}
    # what the arm keeps on the workloads that matter then; for fp16, what the nearest one breaks
    q4, q8 = (f"{{}}.{arm}.vs.fp16" for arm in ("q4_K_M", "q8_0"))
    reasoning, extraction = "mmlu.accuracy", "conll.micro_f1"
    assert found["tolerate", "conll", "q4_K_M"] == [q4.format(reasoning), q4.format(extraction)]
    assert found["workloads", "extraction", "q4_K_M"] == [q4.format(reasoning)]
    assert found["tolerate", "conll", "fp16"] == [q8.format(extraction)]
    assert found["max_memory", None, None] == []  # a matter of its size alone


def test_a_stated_constraint_can_be_loosened_or_tightened_by_hand() -> None:
    found = changes(max_memory=6 * GB)  # nothing fits: q8_0 needs 8.5 GB
    assert found["max_memory", None, "q8_0"] == 8500 * 10**6
    found = changes(min_speedup=2.0)
    assert found["min_speedup", None, "q8_0"] == 1.6
    assert ("min_speedup", None, None) not in found  # nothing is picked as it is
    found = changes(tolerate=0.09)
    assert found["tolerate", "conll", "q8_0"] == 0.085  # -8.5 pp is no longer ruled out


def test_an_estimate_within_its_interval_by_hand() -> None:
    # q8_0 on reasoning: +0.1, bound -0.6, as one of two candidates -0.734 (1.1916 as far below);
    # 0.266 lower that meets the margin, and -0.166 lies within -0.7 to 0.9
    told = decide_from(SUMMARY)["sensitivity"]["changes"]
    moved = [one for one in told if one["kind"] == "estimate"]
    assert {(one["of"], one["arm"], one["pick"]) for one in moved} == {
        ("mmlu", "q8_0", "fp16"),
        ("conll", "q8_0", "fp16"),
    }
    assert all(one["to"] == pytest.approx(-0.00166, abs=1e-5) for one in moved)
    # q4_K_M on extraction would have to gain 7.5 pp, to +1.3: beyond its interval, -9 to -3
    assert moved[0]["text"] == (
        "If the true difference of q8_0 on reasoning is −0.2 pp, the pick is fp16. Its interval "
        "includes that; the estimate is +0.1 pp. That is a change of 0.3 pp, the smallest of a "
        "loss or an estimate."
    )


def test_sizes_compare_in_a_common_unit_by_hand() -> None:
    told = decide_from(SUMMARY, Constraints(max_memory=10 * GB, min_speedup=1.5))["sensitivity"]
    sizes = {(one["kind"], one["of"], one["pick"]): one for one in told["changes"]}
    # 10 GB down to 8,499 MB; 1.5 up to 1.61 times
    assert sizes["max_memory", None, None]["size"] == pytest.approx(0.1501)
    assert sizes["min_speedup", None, None]["size"] == pytest.approx(0.11 / 1.5)
    assert sizes["min_speedup", None, None]["smallest"]
    assert not sizes["max_memory", None, None]["smallest"]
    # the margin of 1 pp down to 0.7, and up to 8.6; an estimate of +0.1 pp down to -0.166
    assert sizes["tolerate", "conll", None]["size"] == pytest.approx(0.003)
    assert sizes["tolerate", "conll", "q4_K_M"]["size"] == pytest.approx(0.076)
    assert sizes["estimate", "conll", None]["size"] == pytest.approx(0.00266, abs=1e-5)
    assert sizes["estimate", "conll", None]["smallest"]
    assert sizes["workloads", "extraction", "q4_K_M"]["size"] is None
    # what was not stated before has no size
    assert [one["unit"] for one in decide_from(SUMMARY)["sensitivity"]["changes"]
            if one["kind"] == "max_memory"] == [None]  # fmt: skip


@given(summaries(), limits())
def test_the_smallest_is_marked_property(summary: dict[str, Any], constraints: Constraints) -> None:
    told = decide_from(summary, constraints)["sensitivity"]["changes"]
    for unit in ("points", "share"):
        own = [one for one in told if one["unit"] == unit]
        for one in own:
            least = min(other["size"] for other in own)
            assert one["smallest"] == (one["size"] == pytest.approx(least, abs=1e-12))
    assert all((one["size"] is None) == (one["unit"] is None) for one in told)


@given(summaries(), limits())
def test_each_change_gives_the_pick_it_names_property(
    summary: dict[str, Any], constraints: Constraints
) -> None:
    decision = decide_from(summary, constraints)
    table, stated, told = decision["picker"], constraints.document(), decision["sensitivity"]
    assert told["pick"] == choose(table, stated)["pick"]
    for one in told["changes"]:
        assert one["pick"] != told["pick"]
        if one["kind"] in ("max_memory", "min_speedup", "max_latency", "workloads"):
            assert choose(table, stated | {one["kind"]: one["to"]})["pick"] == one["pick"]
        elif one["kind"] == "tolerate":
            tasks = [one["of"]] if one["of"] else list(table["tasks"])
            by = stated["tolerate_by"] | dict.fromkeys(tasks, one["to"])
            assert choose(table, stated | {"tolerate_by": by})["pick"] == one["pick"]
        else:
            (identity,) = one["because"]
            low, high = decision["findings"][identity]["ci"]
            assert low <= one["to"] <= high


@given(summaries())
def test_without_constraints_the_pick_is_the_default_property(summary: dict[str, Any]) -> None:
    decision = decide_from(summary)
    assert choose(decision["picker"], {})["pick"] == decision["default"]["arm"]


def test_a_loss_for_one_of_two_candidates_names_the_smaller_one_of_a_test_alone_by_hand() -> None:
    # -2.6 pp at the level of a test alone, -3.1 pp at half of it: a tenth of a point more is stated
    two = ("inconclusive", {"lower_bounds": [-0.026, -0.031]})
    task = make_task("mmlu", {"q8_0": two, "q4_K_M": two})
    texts = [
        one["text"]
        for one in decide_from(make_summary({"mmlu": task}))["sensitivity"]["changes"]
        if one["kind"] == "tolerate"
    ]
    assert texts == [
        "If you accept a loss of up to 3.2 pp on reasoning, the pick is q4_K_M. This holds for one "
        "of 2 candidates. Tested alone, q4_K_M could lose as much as 2.6 pp on reasoning."
    ]
    lone = make_summary({"mmlu": make_task("mmlu", {"q8_0": two})})
    assert "candidates" not in str(decide_from(lone)["sensitivity"]["changes"])


def test_items_for_a_tolerated_loss_by_hand() -> None:
    open_ = ("inconclusive", {"estimate": -0.004, "test_ci": [-0.026, 0.018]})
    summary = make_summary({"mmlu": make_task("mmlu", {"q8_0": "equivalent", "q4_K_M": open_})})
    (one,) = decide_from(summary, Constraints(tolerate=0.02))["sensitivity"]["settle"]
    # the bound lies 2.2 points, 1.645 standard errors, below; (1.645 + 0.842) of them must fit
    # into the 1.6 points between -0.4 and -2
    z = stats.norm.ppf
    error = 0.022 / z(0.95)
    expected = math.ceil(500 * ((z(0.95) + z(0.8)) * error / 0.016) ** 2)
    assert one["items_needed"] == expected
    assert "could lose as much as 2.6 pp on reasoning; you accept less than 2 pp." in one["text"]
    assert f"{expected:,} items would probably (80 %) rule that out" in one["text"]
    # against the margin the summary's own count holds
    (one,) = decide_from(summary)["sensitivity"]["settle"]
    assert one["items_needed"] == 2500


def test_what_is_settled_asks_for_no_items() -> None:
    assert decide_from(SUMMARY)["sensitivity"]["settle"] == []  # q4_K_M is worse


def priced(estimate: float, ci: list[float | None], **stated: Any) -> dict[str, Any]:
    said = ("inconclusive", {"estimate": estimate, "ci": ci})
    arms = {"fp16": make_arm(16, "F16"), "q8_0": make_arm(8, "Q8_0")}
    summary = make_summary({"mmlu": make_task("mmlu", {"q8_0": said})}, arms=arms)
    for arm, seconds in (("fp16", 1.8), ("q8_0", 1.44)):
        summary["speed"]["mmlu"][arm]["seconds_per_answer"] = seconds
    (one,) = decide_from(summary, Constraints(**stated))["risk"]
    return dict(one)


def test_extra_errors_by_hand() -> None:
    one = priced(-0.012, [-0.03, 0.005])
    assert one["extra_errors_per_1000"] == {
        "estimate": pytest.approx(12),
        "low": pytest.approx(-5),
        "high": pytest.approx(30),
    }
    assert one["per_million"] is None
    assert one["text"] == (
        "Of 1,000 requests of reasoning, q8_0 may get up to 30 more or 5.0 fewer wrong than fp16 "
        "(95 % interval)."
    )
    assert priced(0.02, [0.01, 0.03])["text"] == (
        "Of 1,000 requests of reasoning, q8_0 gets about 20 fewer wrong than fp16 (95 % interval: "
        "10 to 30 fewer)."
    )
    assert "up to 10 more or fewer wrong than fp16" in priced(0.0, [-0.01, 0.01])["text"]
    assert priced(0.0, [None, None])["text"] == (
        "Of 1,000 requests of reasoning, q8_0 gets as many wrong as fp16. Too little differs for "
        "an interval."
    )


def test_risk_says_which_answers_it_is_not_of() -> None:
    worst = {"bound": -0.1, "n": 500, "missing_reference": 2, "missing_candidate": 40}
    task = make_task("mmlu", {"q8_0": ("equivalent", {"worst_case": worst})})
    (one,) = decide_from(make_summary({"mmlu": task}))["risk"]
    assert one["text"].endswith(" 42 answers are missing and not counted.")


def test_money_by_hand() -> None:
    # 12 more errors in 1,000 are 12,000 in a million, at 0.05: 600. The machine: 1,800,000 against
    # 1,440,000 s are 500 and 400 h, at 2.50: 250 less
    one = priced(-0.012, [-0.03, 0.005], error_cost=0.05, cost_per_hour=2.5)
    money = one["per_million"]
    assert money["errors"]["estimate"] == pytest.approx(600)
    assert money["machine"] == pytest.approx(-250)
    assert [money["net"][key] for key in ("estimate", "low", "high")] == pytest.approx(
        [350, -500, 1250]
    )
    assert one["text"].endswith(
        "A million such requests cost 350 more in all (interval: 500 less to 1,250 more): 600 more "
        "for wrong answers and 250 less for the machine."
    )
    # the candidate on a machine of 1.25 an hour: 500 less than the reference's 1,250
    cheaper = priced(-0.012, [-0.03, 0.005], cost_per_hour=2.5, cost_per_hour_by={"q8_0": 1.25})
    assert cheaper["per_million"]["machine"] == pytest.approx(-750)
    assert cheaper["per_million"]["errors"] is None
    assert cheaper["text"].endswith("A million such requests cost 750 less for the machine.")
    unknown = priced(-0.012, [-0.03, 0.005], cost_per_hour_by={"q8_0": 1.25})
    assert unknown["per_million"] is None  # the reference's machine has no price


# --- the smallest change, against every step of a grid -----------------------------------------

ROWS = st.tuples(
    st.integers(-40, 30),  # the estimate, in tenths of a point
    st.integers(0, 25),  # how far the bound lies below it
    st.booleans(),  # whether the verdict's own test holds: it may disagree with the bound
)
SIZES = st.lists(st.integers(1, 12), min_size=2, max_size=3)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a table of a pick, its values on the grid of steps a person would type or off it."""
    sizes = draw(SIZES)
    names = [f"a{i}" for i in range(len(sizes))]
    off = draw(st.sampled_from([0.0, 0.4]))
    margin = draw(st.sampled_from([0.01, 0.02, 0.0125]))
    arms = {
        name: {
            "rank": i,
            "control": False,
            "memory": round((10 * size + off) * 1e6),
            "speedup": (draw(st.integers(50, 300)) + off) / 100,
        }
        for i, (name, size) in enumerate(zip(names, sizes, strict=True))
    }
    tasks = {}
    for task in ("s", "t")[: draw(st.integers(1, 2))]:
        rows = {}
        for name in names:
            estimate, below, holds = draw(ROWS)
            latency = draw(st.integers(1, 30)) / 1000
            rows[name] = {
                "finding": None if name == names[-1] else f"{task}.{name}",
                "estimate": estimate / 1000,
                "bound": (estimate - below) / 1000 + off / 1000,
                "margin": margin,
                "holds": holds,
                "worse": False,
                "latency": latency,
            }
        tasks[task] = {"workload": task, "margin": margin, "at_floor": False, "arms": rows}
    return {"reference": names[-1], "insensitive": False, "arms": arms, "tasks": tasks}


class Asked:
    """A trial that only names its tasks and findings."""

    def __init__(self, table: dict[str, Any]):
        self.reference = table["reference"]

    def named(self, task: str) -> str:
        return task

    def primary(self, task: str, arm: str) -> None:
        return None

    def primaries(self, arm: str, tasks: list[str]) -> list[Any]:
        return []

    def pace(self, arm: str) -> None:
        return None


def constraints(table: dict[str, Any], stated: dict[str, Any]) -> list[Change]:
    asked = cast("Evidence", Asked(table))
    return list(_constraints(asked, picker_of(table), settings_of(stated)))


def steps_until_another_pick(
    table: dict[str, Any], stated: dict[str, Any], changed: Any, now: int, *, up: bool
) -> int | None:
    """Step a constraint from where it is, one step at a time; return where the pick changes."""
    read = picker_of(table)
    now_picked = pick.choose(read, settings_of(stated)).pick
    for step in range(now + 1, 500) if up else range(now - 1, 0, -1):
        if pick.choose(read, settings_of(changed(step))).pick != now_picked:
            return step
    return None


@given(tables(), st.integers(1, 60), st.sampled_from(["tolerate", "none"]))
def test_no_smaller_step_of_a_tolerance_changes_the_pick_property(
    table: dict[str, Any], tenths: int, how: str
) -> None:
    stated = {"tolerate": tenths / 1000} if how == "tolerate" else {}
    found = constraints(table, stated)
    for task in table["tasks"]:
        now = round(stated.get("tolerate", table["tasks"][task]["margin"]) * 1000 + 1e-9)
        on_grid = "tolerate" in stated or table["tasks"][task]["margin"] != 0.0125
        own = [one.to for one in found if (one.kind, one.of) == ("tolerate", task)]

        def changed(step: int, task: str = task) -> dict[str, Any]:
            return {**stated, "tolerate_by": {task: step / 1000}}

        expected = {
            steps_until_another_pick(table, stated, changed, now if on_grid else 12, up=True),
            steps_until_another_pick(table, stated, changed, now if on_grid else 13, up=False),
        }
        assert {round(cast(float, to) * 1000) for to in own} == expected - {None}


@given(tables(), st.sampled_from(["max_memory", "min_speedup", "max_latency"]), st.data())
def test_no_smaller_step_of_a_limit_changes_the_pick_property(
    table: dict[str, Any], key: str, data: st.DataObject
) -> None:
    unit = {"max_memory": 1e6, "min_speedup": 0.01, "max_latency": 0.001}[key]
    most = {"max_memory": 130, "min_speedup": 310, "max_latency": 32}[key]
    now = data.draw(st.integers(2, most))
    stated = {key: round(now * unit) if unit > 1 else now / round(1 / unit)}
    found = constraints(table, stated)
    own = [one.to for one in found if one.kind == key]

    def changed(step: int) -> dict[str, Any]:
        return {**stated, key: round(step * unit) if unit > 1 else step / round(1 / unit)}

    expected = {
        steps_until_another_pick(table, stated, changed, now, up=up) for up in (True, False)
    }
    assert {round(cast(float, to) / unit) for to in own} == expected - {None}
