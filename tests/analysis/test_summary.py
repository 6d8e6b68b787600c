from __future__ import annotations

import random
import warnings
from typing import Any

import orjson
import pytest

from analysis.fabricated import (
    FAULT,
    NAMES,
    QUIZ,
    Outputs,
    answered,
    make_study,
    pair,
    quiz,
    right_on,
    said,
    sentences,
    summary_of,
)
from quantrial.analysis import pairs_of, score_task
from quantrial.analysis.methods.classic import Classic
from quantrial.errors import StudyError
from quantrial.tasks import make_task
from summaries import summarise

ADA, BO = ("Ada", "PER"), ("Bo", "PER")
TASKS = {"quiz": QUIZ | {"stratify": "subject"}, "names": NAMES | {"margin": 0.2}}
RECORDS = {
    arm: {"bytes_on_disk": size, "sha256": arm * 8, "quantization": arm.upper()}
    for arm, size in {"ref": 200, "new": 100, "old": None}.items()
}


def responses(arms: tuple[str, ...] = ("ref", "new", "old")) -> dict[str, Any]:
    questions = quiz(24, subject=[f"s{i % 3}" for i in range(24)])
    texts = sentences([[ADA, BO], [ADA], [], [BO]] * 4)
    quizzed = {arm: right_on(questions, range(k, 16 + 2 * k)) for k, arm in enumerate(arms)}
    named = {
        arm: [said(ADA, BO) if i % (k + 3) else "[]" for i in range(16)]
        for k, arm in enumerate(arms)
    }
    quizzed[arms[1]][3] = FAULT
    return {
        "quiz": (questions, {a: answered(questions, a, quizzed[a]) for a in arms}),
        "names": (texts, {a: answered(texts, a, named[a]) for a in arms}),
    }


def summarised(study: Any, given: dict[str, Any], **options: Any) -> dict[str, Any]:
    outcomes = {
        name: score_task(make_task(name, study.tasks[name]), items, by_arm)
        for name, (items, by_arm) in given.items()
    }
    records = {arm: RECORDS[arm] for arm in study.arms}
    return summarise(study, outcomes, **{"arms": records, "methods": "classic", **options})


@pytest.fixture(scope="module")
def study() -> Any:
    return make_study(tasks=TASKS, arms=("ref", "new", "old"))


@pytest.fixture(scope="module")
def summary(study: Any) -> dict[str, Any]:
    return summarised(study, responses())


def test_keys_that_other_tools_rely_on(summary: dict[str, Any], study: Any) -> None:
    assert summary["schema"] == "quantrial.summary/1"
    assert summary["study"] == {"name": "fabricated", "hash": study.hash, "seed": 7}
    assert (summary["methods"], summary["reference"]) == ("classic", "ref")
    assert summary["arms"]["new"] == {
        "memory_bytes": 100,
        "artifact_sha256": "new" * 8,
        "quantization": "NEW",
        "quantized_before": None,
        "control": None,
    }
    assert set(summary["speed"]) == set(summary["tasks"]) == {"quiz", "names"}
    for name, task in summary["tasks"].items():
        keys = {"kind", "workload", "primary", "flow", "endpoints", "flips", "failure_modes",
                "strata", "power"}  # fmt: skip
        assert keys <= task.keys()
        assert {"planned", "answered", "faulted", "duplicates", "analysed_items"} <= task[
            "flow"
        ].keys()
        for endpoint, found in task["endpoints"].items():
            assert found["arms"]["ref"].keys() == {"estimate", "ci", "confidence", "method", "n"}
            for contrast, test in zip(found["contrasts"], found["equivalence"], strict=True):
                assert {"id", "reference", "candidate", "estimate", "ci", "confidence",
                        "ci_method", "p_value", "p_method", "p_adjusted", "family", "n",
                        "verdict"} <= contrast.keys()  # fmt: skip
                assert {"id", "reference", "candidate", "margin", "estimate", "ci", "p_value",
                        "confidence", "method", "equivalent",
                        "non_inferior"} <= test.keys()  # fmt: skip
                pair = f"{contrast['candidate']}.vs.{contrast['reference']}"
                assert contrast["id"] == f"{name}.{endpoint}.{pair}"
                assert test["id"] == f"{contrast['id']}.equivalence"
        assert {"reference", "candidate", "harmful", "beneficial", "churn", "n"} <= task["flips"][
            0
        ].keys()
        assert {"sd_paired", "n", "detectable_difference", "power", "alpha"} <= task["power"].keys()
        assert {"tokens_per_second", "mean_tokens_per_second"} <= summary["speed"][name][
            "new"
        ].keys()
    modes = {name: task["failure_modes"]["new"] for name, task in summary["tasks"].items()}
    assert {"unparsed_rate", "letters"} <= modes["quiz"].keys()
    assert {"tp", "fp", "fn", "precision", "recall", "parse_rate"} <= modes["names"].keys()
    assert {"n", "correct", "rate", "ci"} <= modes["names"]["entity_free"].keys()
    stratum = summary["tasks"]["quiz"]["strata"]["subject"]["s0"]
    assert {"n", "arms", "contrasts"} <= stratum.keys()
    assert summary["tasks"]["names"]["strata"] == {}


def test_kinds_margins_and_chance(summary: dict[str, Any]) -> None:
    told = {
        name: (task["kind"], task["workload"], task["primary"], task["margin"], task["chance"])
        for name, task in summary["tasks"].items()
    }
    assert told == {
        "quiz": ("choice", "reasoning", "accuracy", 0.05, 0.25),
        "names": ("spans", "extraction", "micro_f1", 0.2, None),
    }
    for task in summary["tasks"].values():
        for endpoint in task["endpoints"].values():
            assert {test["margin"] for test in endpoint["equivalence"]} == {task["margin"]}


def test_an_endpoint_may_have_a_margin_of_its_own() -> None:
    spec = NAMES | {"margin": 0.2, "margins": {"recall": 0.45, "micro_f1": 0.3}}
    study = make_study(tasks={"names": spec}, arms=("ref", "new", "old"))
    task = summarised(study, {"names": responses()["names"]})["tasks"]["names"]
    margins = {name: found["equivalence"][0]["margin"] for name, found in task["endpoints"].items()}
    assert margins == {"micro_f1": 0.3, "macro_f1": 0.2, "precision": 0.2, "recall": 0.45,
                       "parse_rate": 0.2, "exact_match": 0.2}  # fmt: skip
    assert task["margin"] == 0.3  # the primary endpoint's


def test_chance_is_the_mean_over_items() -> None:
    items = [*quiz(3, options=2), *quiz(4, options=4)[3:]]
    task = summary_of(make_study(), {"quiz": (items, {"ref": "AAAA", "new": "AAAA"})})
    assert task["tasks"]["quiz"]["chance"] == (3 / 2 + 1 / 4) / 4


def test_pairs_have_the_reference_first() -> None:
    assert pairs_of(["a", "b", "ref", "c"], "ref") == [
        ("ref", "a"), ("ref", "b"), ("ref", "c"), ("a", "b"), ("a", "c"), ("b", "c"),
    ]  # fmt: skip


def test_speed_is_of_the_answers_that_count(study: Any) -> None:
    found = summarised(study, responses())["speed"]["quiz"]
    assert {arm: one["n"] for arm, one in found.items()} == {"ref": 24, "new": 23, "old": 24}
    assert found["ref"]["tokens_per_second"] == pytest.approx(40)


def test_same_input_gives_the_same_bytes(study: Any, summary: dict[str, Any]) -> None:
    assert orjson.dumps(summarised(study, responses())) == orjson.dumps(summary)


def test_order_of_the_responses_is_irrelevant(study: Any, summary: dict[str, Any]) -> None:
    given = responses()
    for _, by_arm in given.values():
        for answers in by_arm.values():
            random.Random(1).shuffle(answers)
    assert orjson.dumps(summarised(study, given)) == orjson.dumps(summary)


def test_seed_moves_the_bootstrap_and_nothing_else(summary: dict[str, Any]) -> None:
    other = summarised(make_study(tasks=TASKS, arms=("ref", "new", "old"), seed=8), responses())
    mine, its = (pair(one["tasks"]["names"], "new", "ref")[0] for one in (summary, other))
    assert mine["ci"] != its["ci"]
    assert (mine["estimate"], mine["n"]) == (its["estimate"], its["n"])
    assert other["tasks"]["quiz"]["flips"] == summary["tasks"]["quiz"]["flips"]


def test_other_tasks_leave_a_primary_contrast_as_it_is(summary: dict[str, Any]) -> None:
    study = make_study(tasks={"names": TASKS["names"]}, arms=("ref", "new", "old"))
    alone = summarised(study, {"names": responses()["names"]})["tasks"]["names"]
    beside = summary["tasks"]["names"]
    for key in ("flow", "flips", "failure_modes", "error_loss", "power"):
        assert alone[key] == beside[key]
    assert alone["endpoints"]["micro_f1"] == beside["endpoints"]["micro_f1"]
    for name, results in alone["endpoints"].items():
        assert results["arms"] == beside["endpoints"][name]["arms"]
        assert results["equivalence"] == beside["endpoints"][name]["equivalence"]
        for one, other in zip(
            results["contrasts"], beside["endpoints"][name]["contrasts"], strict=True
        ):
            # what is adjusted with all else in the report is adjusted for the other task too
            assert (one["estimate"], one["ci"], one["p_value"], one["p_adjusted"]) == (
                other["estimate"], other["ci"], other["p_value"], other["p_adjusted"],
            )  # fmt: skip
            assert "p_alarm" not in one or one["p_alarm"] <= other["p_alarm"]


def test_an_unknown_set_of_methods_is_refused(study: Any) -> None:
    # numbers of one set under the name of another would be worse than none
    with pytest.raises(StudyError, match="no set of methods 'bayes'; there is calibrated, classic"):
        summarised(study, responses(), methods="bayes")


# Studies that can say little: never an exception, never a number made up, always a remark.

GAPS = [None] * 6
NONSENSE = ["I would rather not."] * 6
GOLDS = [[ADA], [BO], [ADA, BO], [], [ADA], []]
PERFECT = [said(*gold) for gold in GOLDS]

DEGENERATE: dict[str, tuple[Any, Any, dict[str, Outputs]]] = {
    "one item": (QUIZ, quiz(1), {"ref": "A", "new": "B"}),
    "one sentence": (NAMES, sentences([[ADA]]), {"ref": [said(ADA)], "new": ["[]"]}),
    "all right": (QUIZ, quiz(6), {"ref": "ABCDAB", "new": "ABCDAB"}),
    "all wrong": (QUIZ, quiz(6), {"ref": "BCDABC", "new": "CDABCD"}),
    "every item lost": (QUIZ, quiz(6), {"ref": "ABCDAB", "new": "BCDABC"}),
    "all spans equal": (NAMES, sentences(GOLDS), {"ref": PERFECT, "new": PERFECT}),
    "nothing shared": (
        QUIZ,
        quiz(6),
        {"ref": ["A", "B", "C", None, None, None], "new": [None, None, None, "D", "A", "B"]},
    ),
    "one silent arm": (QUIZ, quiz(6), {"ref": "ABCDAB", "new": GAPS}),
    "one broken arm": (QUIZ, quiz(6), {"ref": "ABCDAB", "new": [FAULT] * 6}),
    "silent reference": (QUIZ, quiz(6), {"ref": GAPS, "new": "ABCDAB"}),
    "nothing parses": (NAMES, sentences(GOLDS), {"ref": PERFECT, "new": NONSENSE}),
    "no letter at all": (QUIZ, quiz(6), {"ref": "ABCDAB", "new": NONSENSE}),
    "no gold": (NAMES, sentences([[]] * 6), {"ref": ["[]"] * 6, "new": [said(ADA)] * 6}),
    "no gold, all right": (NAMES, sentences([[]] * 6), {"ref": ["[]"] * 6, "new": ["[]"] * 6}),
    "no gold, nonsense": (NAMES, sentences([[]] * 6), {"ref": ["[]"] * 6, "new": NONSENSE}),
    "no answers": (NAMES, sentences(GOLDS), {"ref": GAPS, "new": GAPS}),
    "no items": (QUIZ, [], {"ref": [], "new": []}),
    "one cluster": (
        QUIZ | {"cluster": "book", "stratify": "book"},
        quiz(6, book=["x"] * 6),
        {"ref": "ABCDAB", "new": "ABCAAB"},
    ),
    "loss of just the margin": (
        QUIZ,
        quiz(20),
        {"ref": right_on(quiz(20), range(10)), "new": right_on(quiz(20), range(2, 11))},
    ),
}


def degenerate(name: str) -> dict[str, Any]:
    spec, items, outputs = DEGENERATE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = summary_of(make_study(tasks={"task": spec}), {"task": (items, outputs)})
    # NaN becomes null in JSON whatever one does, so look before it is written
    assert orjson.loads(orjson.dumps(found)) == found
    task: dict[str, Any] = found["tasks"]["task"]
    return task


@pytest.mark.parametrize("name", DEGENERATE)
def test_a_degenerate_study_claims_nothing(name: str) -> None:
    task = degenerate(name)
    for endpoint in task["endpoints"].values():
        for contrast, test in zip(endpoint["contrasts"], endpoint["equivalence"], strict=True):
            low, high = contrast["ci"]
            assert (low is None) == (high is None)
            assert low is None or high > low  # no interval of zero width
            if low is None:
                assert not test["equivalent"]
                assert not test["non_inferior"]
                assert contrast["verdict"] in ("inconclusive", "worse")
        for own in endpoint["arms"].values():
            assert own["ci"][0] is None or own["ci"][1] > own["ci"][0]
    # `loss of just the margin` has enough items to speak; the others must say what they lack
    assert task["warnings"] or name == "loss of just the margin"


@pytest.mark.parametrize("name", ["nothing shared", "one silent arm", "one broken arm",
                                  "silent reference", "no answers", "no items"])  # fmt: skip
def test_what_cannot_be_compared_is_not_compared(name: str) -> None:
    task = degenerate(name)
    for endpoint in task["endpoints"].values():
        assert endpoint["contrasts"] == endpoint["equivalence"] == []
    assert task["power"] is None
    assert any("says nothing about it" in w or "not compared" in w for w in task["warnings"])


def test_one_item_has_no_spread() -> None:
    contrast, _ = pair(degenerate("one item"), "new", "ref")
    assert (contrast["estimate"], contrast["p_value"]) == (-1, 1)
    assert contrast["sd_paired"] is None
    assert contrast["items_needed"] == dict.fromkeys(
        ("equivalence", "non_inferiority", "difference")
    )
    contrast, _ = pair(degenerate("one sentence"), "new", "ref")
    assert (contrast["p_value"], contrast["p_adjusted"], contrast["sd_paired"]) == (None,) * 3
    assert contrast["verdict"] == "inconclusive"


def test_one_cluster_has_no_spread_though_items_have() -> None:
    task = degenerate("one cluster")
    contrast, _ = pair(task, "new", "ref")
    assert contrast["ci"] == [None, None]
    assert contrast["sd_paired"] is None
    assert task["power"] is None


def test_arms_that_are_equal_are_not_shown_equivalent() -> None:
    contrast, test = pair(degenerate("all right"), "new", "ref")
    assert (contrast["estimate"], contrast["p_value"], contrast["sd_paired"]) == (0, 1, 0)
    assert (test["p_value"], test["p_adjusted"], contrast["verdict"]) == (
        None,
        None,
        "inconclusive",
    )


def test_an_arm_that_never_parses_has_no_precision() -> None:
    # 0 of 0 found spans are right: that is no perfect precision, and no gain over the reference
    task = degenerate("nothing parses")
    assert task["endpoints"]["precision"]["arms"]["new"]["estimate"] is None
    contrast, _ = pair(task, "new", "ref", "precision")
    assert (contrast["estimate"], contrast["p_value"], contrast["verdict"]) == (
        None,
        None,
        "inconclusive",
    )
    assert task["endpoints"]["micro_f1"]["arms"]["new"]["estimate"] == 0
    assert task["failure_modes"]["new"]["precision"] is None
    assert task["failure_modes"]["new"]["parse_rate"] == 0


@pytest.mark.parametrize("name", ["no gold, all right", "no gold, nonsense"])
def test_a_pooled_f1_of_nothing_has_no_value(name: str) -> None:
    task = degenerate(name)
    assert task["endpoints"]["micro_f1"]["arms"]["new"]["estimate"] is None
    contrast, _ = pair(task, "new", "ref")
    assert contrast["verdict"] == "inconclusive"
    assert contrast["items_needed"]["equivalence"] is None
    # the mean over items does have one: nothing to find and nothing found is right
    means = task["endpoints"]["macro_f1"]["arms"]
    assert means["ref"]["estimate"] == 1
    assert means["new"]["estimate"] == (1 if name == "no gold, all right" else 0)


def test_numbers_of_items_stay_countable() -> None:
    contrast, _ = pair(degenerate("loss of just the margin"), "new", "ref")
    assert contrast["items_needed"]["non_inferiority"] is None
    assert contrast["items_needed"]["difference"] > 20


def test_remarks_name_their_place_and_are_gathered_over_strata() -> None:
    tasks = {"quiz": QUIZ | {"stratify": "subject"}}
    items = quiz(12, subject=[f"s{i % 6}" for i in range(12)])
    outputs = {"ref": right_on(items, range(8)), "new": right_on(items, range(1, 8))}
    remarks = summary_of(make_study(tasks=tasks), {"quiz": (items, outputs)})["tasks"]["quiz"][
        "warnings"
    ]
    assert all(
        remark.startswith("within s") and ": the resamples do not vary" in remark
        for remark in remarks
    )
    assert len(remarks) == 2  # no interval, no test
    places = degenerate("all spans equal")["warnings"]
    assert any(place.startswith("micro_f1, ref; micro_f1, new;") for place in places)
    assert any("micro_f1, new vs ref" in place for place in places)
    silent = degenerate("one silent arm")["warnings"]
    assert silent == ["new: no answer, so this study says nothing about it."]
    shared = degenerate("nothing shared")["warnings"]
    assert shared == ["new vs ref: no item was answered by both, so they are not compared."]


def test_warnings_of_others_are_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    from quantrial.analysis import comparison as module

    class Loud(Classic):
        def contrast(self, *args: Any, **more: Any) -> Any:
            warnings.warn("look here", DeprecationWarning, stacklevel=1)
            return super().contrast(*args, **more)

    monkeypatch.setitem(module.METHODS, "classic", Loud)
    with pytest.warns(DeprecationWarning, match="look here"):
        summary_of(make_study(), {"quiz": (quiz(4), {"ref": "ABCD", "new": "ABCA"})})
