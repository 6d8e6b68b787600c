from __future__ import annotations

from typing import Any

import orjson
import pytest

from decision.fabricated import (
    ARMS,
    OPEN,
    contrast,
    decide_from,
    entries,
    make_arm,
    make_summary,
    make_task,
)
from decision.tables import choose
from quantrial.decision import DECISION_SCHEMA, Constraints

HOLDS = ("equivalent", "non_inferior", "better")


def one_task(q8: Any, q4: Any, **options: Any) -> dict[str, Any]:
    return make_summary({"mmlu": make_task("mmlu", {"q8_0": q8, "q4_K_M": q4})}, **options)


def two_tasks(
    reasoning: dict[str, Any], extraction: dict[str, Any], **secondary: Any
) -> dict[str, Any]:
    return make_summary(
        {
            "mmlu": make_task("mmlu", reasoning),
            "conll": make_task(
                "conll", extraction, workload="extraction", kind="spans", secondary=secondary
            ),
        }
    )


TYPICAL = two_tasks(
    {"q8_0": "equivalent", "q4_K_M": "inconclusive"},
    {"q8_0": "non_inferior", "q4_K_M": "worse"},
    precision={"q8_0": "equivalent", "q4_K_M": "worse"},
    recall={"q8_0": "equivalent", "q4_K_M": "inconclusive"},
    parse_rate={"q8_0": "equivalent", "q4_K_M": "worse"},
)


def test_keys_of_the_document() -> None:
    decision = decide_from(TYPICAL)
    assert decision["schema"] == DECISION_SCHEMA == "quantrial.decision/1"
    assert {"default", "pick_when", "avoid_for", "stay_when", "findings"} <= decision.keys()
    assert (decision["reference"], decision["methods"]) == ("fp16", "classic")
    assert "constrained" not in decision
    assert decision["ordered_by"] == "memory"
    assert orjson.loads(orjson.dumps(decision)) == decision


@pytest.mark.parametrize("q8", HOLDS)
@pytest.mark.parametrize("q4", HOLDS)
def test_default_is_the_cheapest_arm_that_holds(q8: str, q4: str) -> None:
    decision = decide_from(one_task(q8, q4))
    assert decision["default"]["arm"] == "q4_K_M"
    assert decision["default"]["because"] == ["mmlu.accuracy.q4_K_M.vs.fp16"]
    assert decision["pick_when"] == []  # nothing is cheaper
    assert decision["default"]["text"].startswith(
        "Ship q4_K_M. It needs 31 % of the memory of fp16 and decodes 2.50 times as fast. It is "
        "shown to lose less than 1 pp on reasoning"
    )


def test_better_alone_does_not_rule_a_loss_of_the_margin_out() -> None:
    # six changed answers: p of a difference .03, and an interval that reaches to -2.5 points
    open_ = ("better", {"test_non_inferior": False, "test_ci": [-0.025, 0.12]})
    decision = decide_from(make_summary({"mmlu": make_task("mmlu", {"q4_K_M": open_})}))
    assert decision["default"]["arm"] == "fp16"
    assert (
        "q4_K_M did better than fp16, yet it could lose as much as 2.5 pp on reasoning; the margin "
        "is 1 pp." in decision["default"]["text"]
    )
    assert not decision["picker"]["tasks"]["mmlu"]["arms"]["q4_K_M"]["holds"]
    assert choose(decision["picker"], {})["pick"] == "fp16"


@pytest.mark.parametrize("q4", ["worse", "inconclusive"])
def test_an_arm_that_does_not_hold_is_passed_over(q4: str) -> None:
    decision = decide_from(one_task("non_inferior", q4))
    assert decision["default"]["arm"] == "q8_0"
    assert [entry["arm"] for entry in decision["pick_when"]] == ["q4_K_M"]


def test_default_holds_on_every_task() -> None:
    held = {"q8_0": "equivalent", "q4_K_M": "equivalent"}
    for verdict in ("worse", "inconclusive"):
        decision = decide_from(two_tasks(held, held | {"q4_K_M": verdict}))
        assert decision["default"]["arm"] == "q8_0"
        assert decision["default"]["because"] == [
            "mmlu.accuracy.q8_0.vs.fp16",
            "conll.micro_f1.q8_0.vs.fp16",
        ]
    assert decide_from(two_tasks(held, held))["default"]["arm"] == "q4_K_M"


def test_default_needs_a_comparison_on_every_task() -> None:
    decision = decide_from(
        two_tasks({"q8_0": "equivalent", "q4_K_M": "equivalent"}, {"q8_0": "equivalent"})
    )
    assert decision["default"]["arm"] == "q8_0"
    text = decision["pick_when"][0]["text"]
    assert "a possible loss of unknown size on extraction" in text
    assert any(
        c["text"]
        == "No answer of q4_K_M on extraction could be used, so this study says nothing about it "
        "there."
        for c in decision["cautions"]
    )


def test_secondary_endpoints_do_not_choose_the_default() -> None:
    assert decide_from(TYPICAL)["default"]["arm"] == "q8_0"


def test_an_arm_that_costs_more_is_never_the_default() -> None:
    arms = {"fp16": make_arm(16, "F16"), "fp32": make_arm(32, "F32")}
    summary = make_summary({"mmlu": make_task("mmlu", {"fp32": "better"})}, arms=arms)
    decision = decide_from(summary)
    assert decision["default"]["arm"] == "fp16"
    assert decision["default"]["text"] == ("Stay with fp16. No other arm is known to cost less.")
    assert decision["pick_when"] == decision["stay_when"] == []
    assert list(decision["costs"]) == ["fp16", "fp32"]


def test_an_arm_of_equal_cost_is_not_cheaper() -> None:
    arms = {"twin": make_arm(16, "F16"), "fp16": make_arm(16, "F16")}
    tasks = {"mmlu": make_task("mmlu", {"twin": "equivalent"})}
    decision = decide_from(make_summary(tasks, arms=arms, speeds={}))
    assert decision["default"]["arm"] == "fp16"
    # of two that need the same memory the faster one costs less
    faster = make_summary(tasks, arms=arms, speeds={"twin": 30.0, "fp16": 20.0})
    assert decide_from(faster)["default"]["arm"] == "twin"


def test_a_costlier_arm_is_still_warned_of() -> None:
    arms = {"fp16": make_arm(16, "F16"), "fp32": make_arm(32, "F32")}
    summary = make_summary({"mmlu": make_task("mmlu", {"fp32": "worse"})}, arms=arms)
    assert [e["arm"] for e in decide_from(summary)["avoid_for"]] == ["fp32"]


def test_reference_says_what_is_missing_and_how_many_items() -> None:
    decision = decide_from(one_task("inconclusive", "worse"))
    default = decision["default"]
    assert default["arm"] == "fp16"
    assert default["text"] == (
        "Stay with fp16. Every cheaper arm could lose 1 pp or more on reasoning. "
        "q4_K_M is worse: it lost 6.2 pp on reasoning, more than the margin of 1 pp. "
        "q8_0 is undecided: it could lose as much as 2.6 pp on reasoning; the margin is 1 pp. "
        "A new study of about 2,500 items would probably (80 %) rule that out, if the true "
        "difference is what was seen."
    )
    assert [(m["arm"], m["task"], m["items_needed"]) for m in default["missing"]] == [
        ("q4_K_M", "mmlu", None),
        ("q8_0", "mmlu", 2500),
    ]
    assert default["because"] == ["mmlu.accuracy.q4_K_M.vs.fp16", "mmlu.accuracy.q8_0.vs.fp16"]


NOTHING = dict.fromkeys(OPEN)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n": 2499}, "A new study of about 2,500 items would probably (80 %) rule that out"),
        ({"n": 2500}, "A new study of the same size would probably (80 %) rule that out"),
        ({"items_needed": OPEN | {"non_inferiority": None}}, "about 3,000 items would"),
        (
            {"items_needed": NOTHING},
            "How many items would rule that out is not known.",
        ),
        ({"items_needed": None}, "How many items would rule that out is not known."),
        (
            {"estimate": -0.02, "items_needed": NOTHING | {"difference": 1700}},
            "it lost 2.0 pp on reasoning, more than the margin of 1 pp, but that is not proven. A "
            "new study of about 1,700 items would probably (80 %) prove it",
        ),
        (
            {"estimate": -0.01, "items_needed": NOTHING},
            "undecided: it lost exactly 1 pp on reasoning, the margin, but that is not proven.",
        ),
        # nothing could be scored on either side
        (
            {"estimate": None, "ci": [None, None], "test_ci": [None, None], "p_value": None,
             "p_adjusted": None, "test_p_non_inferior": None, "items_needed": NOTHING},
            "cannot be compared with fp16 on reasoning: one of the two has no accuracy.",
        ),
    ],
)  # fmt: skip
def test_what_would_settle_it(changes: dict[str, Any], said: str) -> None:
    decision = decide_from(one_task(("inconclusive", changes), "worse"))
    assert said in decision["default"]["text"]


def test_nothing_shared_is_missing_too() -> None:
    tasks = {"mmlu": make_task("mmlu", {"q8_0": "inconclusive"})}
    decision = decide_from(make_summary(tasks))
    assert (
        "q4_K_M has no answered item in common with fp16 on reasoning."
        in decision["default"]["text"]
    )
    assert decision["default"]["because"] == ["mmlu.accuracy.q8_0.vs.fp16"]


def test_margins_are_told_by_task() -> None:
    tasks = {
        "mmlu": make_task("mmlu", {"q8_0": "equivalent", "q4_K_M": "worse"}),
        "conll": make_task(
            "conll",
            {"q8_0": ("equivalent", {"test_margin": 0.03}), "q4_K_M": "worse"},
            workload="extraction",
            margin=0.03,
        ),
    }
    text = decide_from(make_summary(tasks))["default"]["text"]
    assert text.endswith(
        "shown to lose less than 1 pp on reasoning (equivalent) and 3 pp on extraction "
        "(equivalent), p = .008 among 2 candidates."
    )
    arms = {name: ARMS[name] for name in ("fp16", "q4_K_M")}
    text = decide_from(make_summary(tasks, arms=arms))["default"]["text"]
    assert text.startswith(
        "Stay with fp16. The cheaper arm q4_K_M could lose the margin or more on at least one "
        "workload (1 pp on reasoning and 3 pp on extraction). q4_K_M is worse"
    )


def test_pick_when_lists_what_is_worse_what_is_open_and_the_guards() -> None:
    (entry,) = decide_from(TYPICAL)["pick_when"]
    assert entry["arm"] == "q4_K_M"
    assert (entry["worse_on"], entry["undecided_on"]) == (["extraction"], ["reasoning"])
    assert [guard["endpoint"] for guard in entry["guards"]] == ["precision", "parse_rate"]
    assert entry["because"] == [
        "mmlu.accuracy.q4_K_M.vs.fp16",
        "conll.micro_f1.q4_K_M.vs.fp16",
        "conll.precision.q4_K_M.vs.fp16",
        "conll.parse_rate.q4_K_M.vs.fp16",
    ]
    assert entry["text"].startswith(
        "Pick q4_K_M only when you need to save memory or time. Do not pick it for extraction. "
        "Then you accept a possible loss of up to 2.6 pp on reasoning. It needs 31 % of the memory "
        "of fp16 and decodes 2.50 times as fast. On extraction, the precision of q4_K_M"
    )
    assert "Schema validation does not find these." in entry["text"]
    assert "Validate the output and retry" in entry["text"]


def test_an_arm_worse_everywhere_has_no_workload_to_be_picked_for() -> None:
    entries_ = decide_from(one_task("worse", "worse"))["pick_when"]
    assert [entry["arm"] for entry in entries_] == ["q4_K_M", "q8_0"]
    assert entries_[0]["text"].startswith(
        "Pick q4_K_M only when you need to save memory or time. Then you accept a loss on "
        "reasoning. It needs"
    )


def test_a_slower_arm_is_not_picked_for_speed() -> None:
    summary = one_task("equivalent", "inconclusive", speeds={"fp16": 20.0, "q4_K_M": 15.0})
    decision = decide_from(summary)
    assert "only when you need to save memory." in decision["pick_when"][0]["text"]


def test_where_an_arm_keeps_the_margin_is_said_beside_what_is_open() -> None:
    decision = decide_from(two_tasks({"q8_0": "equivalent"}, {"q8_0": "inconclusive"}))
    (text,) = [one["text"] for one in decision["pick_when"] if one["arm"] == "q8_0"]
    assert text.startswith(
        "Pick q8_0 only when you need to save memory or time. Use it for reasoning alone, or "
        "accept a possible loss of up to 2.6 pp on extraction."
    )
    assert text.endswith("It keeps the margin on reasoning.")


def test_a_trial_that_is_not_what_it_claims_says_so_first() -> None:
    summary = one_task("equivalent", "worse")
    summary["assay"] = [
        {"id": "setup", "status": "warn", "text": "the arms differ in options"},
        {"id": "sizes", "status": "warn", "text": "fewer bits should take less room"},
        {"id": "tokenizer", "status": "fail", "text": "the arms split texts differently"},
        {"id": "weights", "status": "pass", "text": "every arm has weights of its own"},
        {"id": "weights", "status": "fail", "text": "fp16 and q8_0 are the same file"},
        {"id": "prompts", "status": "fail", "text": "fp16s differ"},
    ]
    said = [(one["text"], one.get("kind")) for one in decide_from(summary)["cautions"]]
    assert said == [
        ("The arms split texts differently.", "assay"),
        ("fp16 and q8_0 are the same file.", "assay"),  # an arm keeps its name
        ("Fp16s differ.", "assay"),
        ("The arms differ in options.", None),
    ]


def test_a_bound_above_the_margin_is_not_told_as_a_small_loss() -> None:
    # the bootstrap's interval and its test may disagree; the sentence follows the verdict
    gain = ("inconclusive", {"test_ci": [0.001, 0.04]})
    text = decide_from(one_task("equivalent", gain))["pick_when"][0]["text"]
    assert "Then you accept a possible loss of 1 pp on reasoning. It needs" in text


def test_avoid_for_every_workload_where_it_is_worse() -> None:
    decision = decide_from(
        two_tasks(
            {"q8_0": "worse", "q4_K_M": "worse"},
            {"q8_0": "inconclusive", "q4_K_M": "worse"},
            precision={"q4_K_M": "worse"},
        )
    )
    assert [(e["arm"], e["workload"], e["because"]) for e in decision["avoid_for"]] == [
        ("q4_K_M", "reasoning", ["mmlu.accuracy.q4_K_M.vs.fp16"]),
        (
            "q4_K_M",
            "extraction",
            ["conll.micro_f1.q4_K_M.vs.fp16", "conll.precision.q4_K_M.vs.fp16"],
        ),
        ("q8_0", "reasoning", ["mmlu.accuracy.q8_0.vs.fp16"]),
    ]
    # the reasons to stay with the reference say how much it lost
    assert "q4_K_M is worse: it lost 6.2 pp on reasoning" in decision["default"]["text"]
    assert decision["avoid_for"][0]["text"] == "Avoid q4_K_M for reasoning."
    stay = {one["instead_of"]: one["text"] for one in decision["stay_when"]}
    assert stay["q4_K_M"] == "Stay with fp16 instead of q4_K_M when quality matters most."
    # where another arm is shipped, nothing has said it
    shipped = decide_from(one_task("equivalent", "worse"))
    assert shipped["default"]["arm"] == "q8_0"
    assert [one["text"] for one in shipped["avoid_for"]] == [
        "Avoid q4_K_M for reasoning: it loses 6.2 pp there (estimated)."
    ]


def test_a_loss_that_rounds_to_nothing_keeps_its_words() -> None:
    tiny = ("worse", {"estimate": -0.0004})
    decision = decide_from(one_task("equivalent", tiny))
    assert "it loses less than 0.1 pp there (estimated)." in decision["avoid_for"][0]["text"]


def test_nothing_undecided_is_called_worse() -> None:
    decision = decide_from(one_task("inconclusive", "inconclusive"))
    assert decision["avoid_for"] == []
    for entry in entries(decision):
        assert "is worse" not in entry["text"]


def test_stay_when_quality_matters_and_it_is_not_equivalent() -> None:
    decision = decide_from(TYPICAL)
    told = {entry["instead_of"]: entry for entry in decision["stay_when"]}
    assert told["q4_K_M"]["arm"] == "fp16"
    assert told["q4_K_M"]["text"] == (
        "Stay with fp16 instead of q4_K_M when quality matters most: q4_K_M is worse on extraction "
        "and could lose the margin or more on reasoning."
    )
    assert told["q4_K_M"]["because"] == [
        "conll.micro_f1.q4_K_M.vs.fp16",
        "mmlu.accuracy.q4_K_M.vs.fp16",
    ]
    # non-inferior rules out the loss: accuracy does not bind, only sameness does
    assert told["q8_0"]["text"] == (
        "Stay with fp16 instead of q8_0 when any change of quality matters, even a gain: q8_0 "
        "could gain the margin or more on extraction."
    )


@pytest.mark.parametrize("verdict", ["equivalent", "better"])
def test_nothing_speaks_for_staying_where_it_is_as_good(verdict: str) -> None:
    assert decide_from(one_task(verdict, verdict))["stay_when"] == []


def test_stay_when_there_is_no_speed_to_gain() -> None:
    speeds = {"fp16": 20.0, "q8_0": 18.0, "q4_K_M": 24.0}
    summary = one_task("equivalent", "equivalent", speeds=speeds)
    (entry,) = decide_from(summary)["stay_when"]
    assert entry["text"] == (
        "Stay with fp16 instead of q8_0 when speed is the reason to change: q8_0 decodes 0.90 "
        "times as fast as fp16."
    )
    assert entry["because"] == []
    # a stated bar takes the place of 1
    raised = decide_from(summary, Constraints(min_speedup=1.5))["stay_when"]
    assert [one["instead_of"] for one in raised] == ["q4_K_M", "q8_0"]
    assert raised[0]["text"].endswith(
        "q4_K_M decodes 1.20 times as fast as fp16; you ask for 1.50 times."
    )
    close = decide_from(summary, Constraints(min_speedup=1.2001))["stay_when"]
    assert close[0]["text"].endswith(
        "q4_K_M decodes 1.20 times as fast as fp16, slightly less than you ask for."
    )


def with_control(control: str, **options: Any) -> dict[str, Any]:
    arms = ARMS | {"broken": make_arm(1, "Q2_K", "positive")}
    verdicts = {"q8_0": "equivalent", "q4_K_M": "worse", "broken": control}
    return make_summary({"mmlu": make_task("mmlu", verdicts)}, arms=arms, **options)


@pytest.mark.parametrize("verdict", ["equivalent", "better", "worse", "inconclusive"])
def test_controls_are_never_recommended(verdict: str) -> None:
    decision = decide_from(with_control(verdict), Constraints(max_memory=2 * 10**9))
    # a trial that does not see the damage shows nothing of the others either
    seen = verdict == "worse"
    assert decision["default"]["arm"] == ("q8_0" if seen else "fp16")
    assert decision["default"]["conclusive"] is seen
    assert decision["constrained"]["pick"] is None
    assert "broken" not in decision["costs"]
    rejected = [one["arm"] for one in decision["constrained"]["rejected"]]
    advised = [decision["constrained"]["nearest"], *rejected]
    for part in ("pick_when", "avoid_for"):
        advised += [entry["arm"] for entry in decision[part]]
    advised += [entry["instead_of"] for entry in decision["stay_when"]]
    assert "broken" not in advised


def test_a_control_found_worse_shows_that_the_trial_can_see() -> None:
    (entry,) = decide_from(with_control("worse"))["controls"]
    assert entry["found_worse"] is True
    assert entry["text"] == (
        "This study can see harm: broken is damaged on purpose, and was found worse on reasoning."
    )
    assert entry["because"] == ["mmlu.accuracy.broken.vs.fp16"]


@pytest.mark.parametrize("verdict", ["equivalent", "better", "inconclusive", "non_inferior"])
def test_a_control_not_found_worse_is_a_caution(verdict: str) -> None:
    (entry,) = decide_from(with_control(verdict))["controls"]
    assert entry["found_worse"] is False
    assert entry["text"].startswith(
        "This study can miss real harm: broken is damaged on purpose, and was found worse nowhere."
    )
    assert entry["because"] == ["mmlu.accuracy.broken.vs.fp16"]


def cautions(task: dict[str, Any]) -> list[str]:
    return [entry["text"] for entry in decide_from(make_summary({"mmlu": task}))["cautions"]]


HELD = {"q8_0": "equivalent", "q4_K_M": "equivalent"}


def test_no_caution_without_cause() -> None:
    assert cautions(make_task("mmlu", HELD)) == []


@pytest.mark.parametrize(
    ("estimate", "ci", "floor"),
    [
        (0.26, [0.22, 0.3], "25"),
        (0.2, [0.15, 0.24], "25"),
        (0.24, [None, None], "25"),
        (0.0, [None, None], "0"),
    ],
)
def test_caution_of_a_reference_at_its_floor(estimate: float, ci: list[Any], floor: str) -> None:
    task = make_task("mmlu", HELD, chance=None if floor == "0" else 0.25)
    task["endpoints"]["accuracy"]["arms"]["fp16"] |= {"estimate": estimate, "ci": ci}
    least = "guessing (25 %)" if floor == "25" else "an arm that answers nothing"
    assert cautions(task) == [
        f"On reasoning even fp16 does no better than {least}, so this test cannot show a loss."
    ]


def test_what_may_be_picked_says_that_harm_could_not_have_shown() -> None:
    task = make_task("mmlu", HELD, chance=0.25)
    task["endpoints"]["accuracy"]["arms"]["fp16"] |= {"estimate": 0.26, "ci": [0.22, 0.3]}
    for one in decide_from(make_summary({"mmlu": task}))["pick_when"]:
        assert (
            "It keeps the margin on reasoning. This study cannot show a loss of it." in one["text"]
        )


def test_caution_of_a_reference_without_answers_or_value() -> None:
    task = make_task("mmlu", HELD)
    del task["endpoints"]["accuracy"]["arms"]["fp16"]
    assert cautions(task) == [  # all was answered, as where a scorer fails on every answer
        "No answer of fp16 on reasoning could be used, so this study says nothing about it there."
    ]
    task["flow"]["faults"] = {"fp16": 3}
    assert cautions(task) == [
        "fp16 answered nothing on reasoning, so this study says nothing about it there."
    ]
    task = make_task("mmlu", HELD)
    task["endpoints"]["accuracy"]["arms"]["fp16"] |= {"estimate": None, "ci": [None, None]}
    assert cautions(task) == [
        "On reasoning there was nothing to find and fp16 found nothing, so its accuracy has no "
        "value."
    ]


def test_cautions_of_the_flow_count_in_singular_and_plural() -> None:
    task = make_task("mmlu", HELD)
    task["flow"] |= {"faulted": 1, "missing": 1}
    assert cautions(task) == [
        "On reasoning, 1 of 1,500 planned calls was not asked yet: the run is unfinished.",
        "On reasoning, 1 of 1,500 calls ended in a fault. Estimates leave these out. The test "
        "behind shipping counts missing answers against the arm.",
    ]
    task["flow"] |= {"faulted": 7, "missing": 1200}
    assert [text.partition(".")[0] for text in cautions(task)] == [
        "On reasoning, 1,200 of 1,500 planned calls were not asked yet: the run is unfinished",
        "On reasoning, 7 of 1,500 calls ended in a fault",
    ]


def test_an_approximate_claim_about_f1_tells_what_the_bounded_score_shows() -> None:
    few = ("non_inferior", {"test_approximate": True})
    told = two_tasks(
        {"q8_0": "equivalent", "q4_K_M": "equivalent"},
        {"q8_0": few, "q4_K_M": "worse"},
        macro_f1={"q8_0": "inconclusive", "q4_K_M": "worse"},
    )
    (entry,) = [one for one in decide_from(told)["cautions"] if "approximate" in one["text"]]
    assert entry["text"].endswith("By the mean F1 of items, with known bounds, it is undecided.")
    assert entry["because"] == ["conll.micro_f1.q8_0.vs.fp16", "conll.macro_f1.q8_0.vs.fp16"]


def passing(p: float, **changes: Any) -> tuple[str, dict[str, Any]]:
    """Make a verdict whose test at the margin has this p; bounds of 1, 2, 3 candidates."""
    bounds = [-0.006, -0.0074, -0.0081]
    return "equivalent", {"test_p_non_inferior": p, "lower_bounds": bounds} | changes


def test_an_arm_is_shipped_where_holm_shows_it_among_the_candidates_by_hand() -> None:
    # alone .03 would do; of two, both above .025, neither is shown
    decision = decide_from(one_task(passing(0.03), passing(0.03)))
    default = decision["default"]
    assert (default["arm"], default["conclusive"]) == ("fp16", True)
    assert default["text"].startswith(
        "Stay with fp16. Every cheaper arm could lose 1 pp or more on reasoning. q4_K_M keeps the "
        "margin when tested alone (p = .030), but not as one of 2 candidates (p = .060). Use more "
        "items or fewer candidates."
    )
    assert [one["arm"] for one in default["missing"]] == ["q4_K_M", "q8_0"]
    assert decision["pick_when"][0]["text"].startswith("Pick q4_K_M only when")
    assert "It keeps the margin when tested alone (p = .030), but not as one of 2" in str(
        decision["pick_when"]
    )
    assert "keeps the margin only when tested alone on" in decision["stay_when"][0]["text"]
    told = {one["arm"]: (one["p_value"], one["p_adjusted"], one["among"], one["shown"])
            for one in decision["ship"]}  # fmt: skip
    assert told == {"q4_K_M": (0.03, 0.06, 2, False), "q8_0": (0.03, 0.06, 2, False)}
    assert {b["constraint"] for b in choose(decision["picker"], {})["breaks"]["q8_0"]} == {"choice"}
    # a smaller p of the other leaves the whole level to it: Holm's second step
    decision = decide_from(one_task(passing(0.02), passing(0.03)))
    assert decision["default"]["arm"] == "q4_K_M"
    assert decision["default"]["p_value"] == 0.04 == decision["ship"][1]["p_adjusted"]
    assert decision["default"]["text"].endswith("(equivalent), p = .040 among 2 candidates.")
    # and the first of two may be shipped where the second is not shown
    decision = decide_from(one_task(passing(0.02), "inconclusive"))
    assert (decision["default"]["arm"], decision["default"]["p_value"]) == ("q8_0", 0.04)
    # one that is the only candidate needs no adjustment
    lone = make_summary({"mmlu": make_task("mmlu", {"q8_0": passing(0.03)})})
    assert decide_from(lone)["default"]["text"].endswith("(equivalent), p = .030.")


def test_the_choice_is_among_arms_that_could_be_picked_by_hand() -> None:
    # a control and an arm that was compared nowhere cost the others nothing
    arms = {**ARMS, "bad": make_arm(1, "Q2_K", "positive"), "gone": make_arm(2, "Q2_K")}
    task = make_task("mmlu", {"q8_0": passing(0.02), "q4_K_M": "inconclusive", "bad": "worse"})
    decision = decide_from(make_summary({"mmlu": task}, arms=arms))
    assert [one["among"] for one in decision["ship"]] == [2, 2]
    assert decision["default"]["arm"] == "q8_0"
    # nor do twins, of which neither is picked
    summary = make_summary({"mmlu": make_task("mmlu", {"q8_0": passing(0.03), "q4_K_M": "worse"})})
    summary["twins"] = [
        {"arms": ["fp16", "q4_K_M"], "weights": "same", "answers": True, "items": 500}
    ]
    assert decide_from(summary)["default"]["p_value"] == 0.03
    del summary["twins"]
    assert decide_from(summary)["default"]["arm"] == "fp16"


def test_every_task_counts_and_the_largest_p_is_the_arms() -> None:
    first, second = {"q8_0": passing(0.001)}, {"q8_0": passing(0.04)}
    decision = decide_from(two_tasks(first, second))
    assert (decision["default"]["arm"], decision["default"]["p_value"]) == ("q8_0", 0.04)
    second["q8_0"] = passing(0.06, verdict="inconclusive", test_equivalent=False)
    assert decide_from(two_tasks(first, second))["default"]["arm"] == "fp16"


def lacking(p: float, low: float, **changes: Any) -> tuple[str, dict[str, Any]]:
    """Make a verdict of the items answered, and what 40 missing answers make of it."""
    worst = {
        "bound": -0.08, "n": 500, "missing_reference": 0, "missing_candidate": 40,
        "taken_to_invent": None, "p_non_inferior": p, "non_inferior": p < 0.05,
        "ci": [low, 0.01], "confidence": 0.9,
    }  # fmt: skip
    return "equivalent", {"worst_case": worst | changes}


def test_missing_answers_that_could_turn_the_verdict_leave_an_arm_undecided() -> None:
    decision = decide_from(one_task("equivalent", lacking(0.9, -0.12)))
    assert decision["default"]["arm"] == "q8_0"
    decision = decide_from(one_task("worse", lacking(0.9, -0.12)))
    assert decision["default"]["arm"] == "fp16"
    said = (
        "q4_K_M is undecided on reasoning: 40 answers are missing (40 of q4_K_M). If all count "
        "against q4_K_M, it loses 8.0 pp."
    )
    assert said in decision["default"]["text"]
    assert "a possible loss of up to 12.0 pp on reasoning (undecided: 40 answers missing)" in str(
        decision["pick_when"]
    )
    assert "lacks too many answers on reasoning" in str(decision["stay_when"])
    row = decision["picker"]["tasks"]["mmlu"]["arms"]["q4_K_M"]
    assert (row["holds"], row["bound"], row["missing"]) == (False, -0.12, 40)
    assert row["answered"] == {"bound": -0.006, "holds": True}
    assert {b["constraint"] for b in choose(decision["picker"], {})["breaks"]["q4_K_M"]} == {
        "missing"
    }
    assert decision["ship"][0] == {
        "arm": "q4_K_M", "p_value": 0.9, "p_adjusted": 1.0, "among": 2, "shown": False,
        "missing": 40,
    }  # fmt: skip
    # the point within the margin is not enough: the test has to rule the margin out
    decision = decide_from(one_task("worse", lacking(0.2, -0.018, bound=-0.004)))
    assert decision["default"]["arm"] == "fp16"
    assert (
        "If all count against q4_K_M, it could lose as much as 1.8 pp."
        in decision["default"]["text"]
    )
    # nor does a bound that nobody tested show anything
    untested = {"bound": -0.001, "n": 500, "missing_reference": 0, "missing_candidate": 1}
    decision = decide_from(one_task("worse", ("equivalent", {"worst_case": untested})))
    assert decision["default"]["arm"] == "fp16"
    assert (
        "undecided on reasoning: 1 answer is missing (1 of q4_K_M). If all count against q4_K_M, "
        "nothing tells how much it could lose." in decision["default"]["text"]
    )


def test_an_arm_is_never_shipped_without_telling_what_is_missing() -> None:
    few = lacking(0.002, -0.007, bound=-0.001, missing_candidate=1, missing_reference=2)
    decision = decide_from(one_task("equivalent", few))
    assert decision["default"]["arm"] == "q4_K_M"
    assert decision["default"]["text"].endswith(
        "(equivalent), p = .004 among 2 candidates. On reasoning, 3 answers are missing (1 of "
        "q4_K_M and 2 of fp16). If all count against q4_K_M, it still loses less than 1 pp."
    )
    assert decision["ship"][0]["missing"] == 3


def test_more_items_are_not_asked_for_where_answers_are_missing() -> None:
    open_ = ("inconclusive", lacking(0.9, -0.12)[1])
    decision = decide_from(one_task("worse", open_))
    assert decision["default"]["text"].endswith(
        "Besides, 40 answers are missing (40 of q4_K_M). A new study of about 2,500 items would "
        "probably (80 %) rule that out, if the true difference is what was seen. q8_0 is worse: it "
        "lost 6.2 pp on reasoning, more than the margin of 1 pp."
    )
    (one, _) = decide_from(one_task("worse", lacking(0.9, -0.12)))["default"]["missing"]
    assert one["items_needed"] is None


def test_the_default_tells_its_own_failure_modes() -> None:
    told = two_tasks(
        {"q8_0": "equivalent", "q4_K_M": "worse"},
        {"q8_0": "equivalent", "q4_K_M": "worse"},
        parse_rate={"q8_0": "worse", "q4_K_M": "worse"},
    )
    default = decide_from(told)["default"]
    assert default["arm"] == "q8_0"
    assert (
        "On extraction, q8_0 breaks the output format on 6.2 pp more of its answers than fp16. "
        "Validate the output and retry" in default["text"]
    )
    assert "conll.parse_rate.q8_0.vs.fp16" in default["because"]
    assert [guard["endpoint"] for guard in default["guards"]] == ["parse_rate"]


def test_a_failure_mode_that_was_not_declared_is_called_exploratory() -> None:
    for declared, hint in ((False, " (exploratory: not planned before the run)"), (True, "")):
        one, test = contrast("mmlu", "not_empty", "q4_K_M", "worse")
        failing = {**one, "endpoint": "not_empty", "declared": declared, "equivalence": test}
        task = make_task("mmlu", {"q4_K_M": "worse"}, failure_contrasts=[failing])
        (avoid,) = decide_from(make_summary({"mmlu": task}))["avoid_for"]
        (pick,) = decide_from(make_summary({"mmlu": task}))["pick_when"][:1]
        said = f"q4_K_M answers nothing on 6.2 pp more of the requests than fp16{hint}. Reject"
        assert said in pick["text"]
        assert "mmlu.not_empty.q4_K_M.vs.fp16" in avoid["because"]


def test_a_better_arm_whose_margin_is_kept_approximately_says_so() -> None:
    shown = ("better", {"test_approximate": True})
    decision = decide_from(one_task("equivalent", shown))
    assert decision["default"]["arm"] == "q4_K_M"
    (entry,) = decision["cautions"]
    assert "is approximate. Fewer than ten equal changes make" in entry["text"]


def test_a_claim_over_clusters_is_called_approximate() -> None:
    shown = ("equivalent", {"test_approximate": True, "ci_method": "score-clusters"})
    (entry,) = decide_from(one_task("equivalent", shown))["cautions"]
    assert entry["text"] == (
        "That q4_K_M keeps the margin on reasoning is approximate. It speaks for other clusters "
        "like these, and how these lean is not known. Sample more clusters; more items in these "
        "help less."
    )


def test_a_margin_kept_by_few_changes_is_called_approximate() -> None:
    few = ("non_inferior", {"test_approximate": True})
    decision = decide_from(one_task(("inconclusive", {"test_approximate": True}), few))
    assert decision["default"]["arm"] == "q4_K_M"
    (entry,) = [one for one in decision["cautions"] if "approximate" in one["text"]]
    assert entry["text"].startswith("That q4_K_M keeps the margin on reasoning is approximate. ")
    assert entry["because"] == ["mmlu.accuracy.q4_K_M.vs.fp16"]
    assert not any(
        "approx" in c["text"] for c in decide_from(one_task("equivalent", "equivalent"))["cautions"]
    )


@pytest.mark.parametrize("arms", [
    {"q4_K_M": (None, "Q4_K_M"), "fp16": (None, "F16"), "q8_0": (None, "Q8_0")},
    {"q4_K_M": (None, None), "fp16": (16, None), "q8_0": (8.5, None)},  # the arms' names say it
    {"q4_K_M": (None, "IQ4_XS"), "fp16": (1, "BF16"), "q8_0": (None, "int8")},
    {"q4_K_M": (None, "AWQ-4bit"), "fp16": (None, "fp16"), "q8_0": (99, "FP8")},
])  # fmt: skip
def test_unknown_memory_leaves_the_bits_of_the_quantization(arms: dict[str, Any]) -> None:
    summary = one_task(
        "equivalent", "inconclusive", arms={a: make_arm(*v) for a, v in arms.items()}, speeds={}
    )
    decision = decide_from(summary)
    assert decision["ordered_by"] == "bits"
    assert list(decision["costs"]) == ["q4_K_M", "q8_0", "fp16"]
    assert decision["default"]["arm"] == "q8_0"


def test_bits_are_not_read_from_sizes_and_versions() -> None:
    arms = {
        "fp16": make_arm(None, "F16"),
        "llama3.1-8b-q6_K": make_arm(None, None),
        "llama3.1-70b-q4_0": make_arm(None, None),
    }
    verdicts = dict.fromkeys(("llama3.1-8b-q6_K", "llama3.1-70b-q4_0"), "inconclusive")
    summary = make_summary({"mmlu": make_task("mmlu", verdicts)}, arms=arms, speeds={})
    assert list(decide_from(summary)["costs"]) == ["llama3.1-70b-q4_0", "llama3.1-8b-q6_K", "fp16"]


def test_without_memory_and_bits_speed_is_the_cost() -> None:
    arms = {"fp16": make_arm(None, "GPTQ"), "awq": make_arm(None, "AWQ")}  # no bits of awq
    tasks = {"mmlu": make_task("mmlu", {"awq": "equivalent"})}
    fast = decide_from(make_summary(tasks, arms=arms, speeds={"fp16": 20.0, "awq": 30.0}))
    assert (fast["ordered_by"], fast["default"]["arm"]) == ("speed", "awq")
    slow = decide_from(make_summary(tasks, arms=arms, speeds={"fp16": 20.0, "awq": 10.0}))
    assert slow["default"]["arm"] == "fp16"
    # of an arm whose cost is not known at all nothing says that it is cheaper
    assert decide_from(make_summary(tasks, arms=arms, speeds={}))["default"]["arm"] == "fp16"


def test_an_unmeasured_saving_is_said_to_be_unmeasured() -> None:
    arms = {name: make_arm(None, ARMS[name]["quantization"]) for name in ARMS}
    decision = decide_from(one_task("equivalent", "inconclusive", arms=arms, speeds={}))
    assert decision["default"]["text"].startswith(
        "Ship q8_0. It has fewer bits a weight than fp16; its memory and speed were not measured. "
    )
    assert decision["costs"]["q8_0"] == {
        "memory_bytes": None,
        "memory_ratio": None,
        "speedup": None,
        "speedup_ci": None,
        "speedup_finding": None,
    }


def test_a_saving_that_only_a_name_tells_is_called_so() -> None:
    arms = {name: make_arm(None, None) for name in ARMS}
    decision = decide_from(one_task("equivalent", "inconclusive", arms=arms, speeds={}))
    assert decision["default"]["text"].startswith(
        "Ship q8_0. By its name it has fewer bits a weight than fp16; its size, memory and speed "
        "are not known. "
    )


def test_speedup_is_the_geometric_mean_over_tasks() -> None:
    summary = two_tasks(HELD, HELD)
    summary["speed"]["mmlu"]["q8_0"] = {"tokens_per_second": 20.0 * 4}
    summary["speed"]["conll"]["q8_0"] = {"tokens_per_second": 20.0}
    summary["speed"]["mmlu"]["q4_K_M"] = {"tokens_per_second": None}
    del summary["speed"]["conll"]["q4_K_M"]
    costs = decide_from(summary)["costs"]
    assert costs["q8_0"]["speedup"] == pytest.approx(2)
    assert costs["q4_K_M"]["speedup"] is None
    assert costs["fp16"]["speedup"] == 1


def test_tasks_of_one_workload_are_told_apart() -> None:
    tasks = {
        "mmlu": make_task("mmlu", {"q8_0": "equivalent", "q4_K_M": "worse"}),
        "arc": make_task("arc", {"q8_0": "equivalent", "q4_K_M": "equivalent"}),
    }
    decision = decide_from(make_summary(tasks))
    assert "Avoid q4_K_M for reasoning (mmlu):" in decision["avoid_for"][0]["text"]
    assert "Do not pick it for reasoning (mmlu)." in decision["pick_when"][0]["text"]
    assert decision["avoid_for"][0]["workload"] == "reasoning"


def test_only_a_reference_and_a_control() -> None:
    arms = {"fp16": ARMS["fp16"], "broken": make_arm(1, "Q2_K", "positive")}
    summary = make_summary({"mmlu": make_task("mmlu", {"broken": "worse"})}, arms=arms)
    default = decide_from(summary)["default"]
    assert default["text"] == "Stay with fp16. This study has no other arm to ship."


def test_same_summary_same_bytes_and_nothing_is_changed_in_it() -> None:
    before = orjson.dumps(TYPICAL)
    first = orjson.dumps(decide_from(TYPICAL, Constraints(tolerate=0.02)))
    assert orjson.dumps(decide_from(orjson.loads(before), Constraints(tolerate=0.02))) == first
    assert orjson.dumps(TYPICAL) == before


def test_every_finding_stands_in_the_document_with_both_tests() -> None:
    findings = decide_from(TYPICAL)["findings"]
    assert len(findings) == 10
    one = findings["conll.micro_f1.q8_0.vs.fp16"]
    assert (one["kind"], one["workload"], one["verdict"]) == (
        "primary", "extraction", "non_inferior",
    )  # fmt: skip
    assert one["non_inferiority_p_adjusted"] == 0.03
    assert findings["conll.recall.q8_0.vs.fp16"]["kind"] == "secondary"
