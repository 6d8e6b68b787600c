"""Who is missing: every missing answer held against the candidate, and tested as if it were so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.fabricated import (
    ADA,
    BO,
    FAULT,
    NAMES,
    QUIZ,
    ROME,
    answered,
    make_response,
    make_study,
    quiz,
    right_on,
    said,
    scored,
    sentences,
)
from quantrial.analysis import score_task
from quantrial.analysis.bounds import Bounds
from quantrial.analysis.contrasts import Judgement, Notes, draft, measure, write
from quantrial.analysis.methods import ContrastResult
from quantrial.analysis.methods.calibrated import Calibrated
from quantrial.analysis.outcomes import Panel
from quantrial.decision import decide_from
from quantrial.stats import holm, mcnemar, score_flips
from quantrial.tasks import Endpoint, make_task
from summaries import summarise


def summary_of(study: Any, data: Any, methods: str = "calibrated") -> Any:
    records = {
        arm: {"bytes_on_disk": 100 - k, "sha256": f"file {k}"} for k, arm in enumerate(study.arms)
    }
    return summarise(study, scored(study, data), arms=records, methods=methods)


def contrast(summary: Any, task: str, endpoint: str) -> tuple[dict[str, Any], dict[str, Any]]:
    results = summary["tasks"][task]["endpoints"][endpoint]
    return results["contrasts"][0], results["equivalence"][0]


def without(outputs: list[str], gone: set[int]) -> list[str]:
    return [FAULT if i in gone else one for i, one in enumerate(outputs)]


def test_the_test_of_missing_answers_by_hand() -> None:
    # 300 items, the reference right on 200 of them; the candidate alike, but for 12 timeouts, 9 of
    # them where the reference is right, and an answer that is better
    items, right = quiz(300), set(range(200))
    gone = {*range(9), *range(290, 293)}
    outputs = {
        "ref": right_on(items, right),
        "new": without(right_on(items, right | {250}), gone),
    }
    study = make_study(margin=0.05)
    one, test = contrast(summary_of(study, {"quiz": (items, outputs)}), "quiz", "accuracy")
    worst = one["worst_case"]
    assert (worst["harmful"], worst["beneficial"], worst["n"]) == (9, 1, 300)
    assert (worst["missing_candidate"], worst["missing_reference"]) == (12, 0)
    assert worst["bound"] == pytest.approx(-8 / 300)
    expected = score_flips(9, 1, n=300)
    assert worst["p_non_inferior"] == expected.test(-0.05, "greater").p_value
    assert worst["ci"] == [expected.interval(0.9).low, expected.interval(0.9).high]
    assert (worst["confidence"], worst["margin"]) == (0.9, 0.05)
    assert worst["non_inferior"] is True
    # what is said of the answers that both gave stays as it is
    assert (one["n"], one["verdict"], test["p_non_inferior"]) == (
        288,
        "equivalent",
        score_flips(0, 1, n=288).test(-0.05, "greater").p_value,
    )
    # at a margin of 4 pp the pairs show it, the missing answers leave it open
    tighter = summary_of(make_study(margin=0.04), {"quiz": (items, outputs)})
    one, test = contrast(tighter, "quiz", "accuracy")
    assert (test["non_inferior"], one["worst_case"]["non_inferior"]) == (True, False)
    assert decide_from(tighter)["default"]["arm"] == "ref"
    said = decide_from(tighter)["default"]["text"]
    assert "undecided on reasoning: 12 answers are missing" in said


def test_a_missing_answer_of_the_reference_counts_as_right_by_hand() -> None:
    # the reference lacks 10 answers, the candidate is wrong on 4 of these: 4 harmful flips
    items = quiz(200)
    outputs = {
        "ref": without(right_on(items, range(150)), set(range(140, 150))),
        "new": right_on(items, set(range(150)) - {140, 141, 142, 143}),
    }
    one, _ = contrast(summary_of(make_study(), {"quiz": (items, outputs)}), "quiz", "accuracy")
    worst = one["worst_case"]
    assert (worst["harmful"], worst["beneficial"]) == (4, 0)
    assert (worst["missing_reference"], worst["missing_candidate"]) == (10, 0)
    assert (one["n"], worst["n"]) == (190, 200)


def test_what_both_lost_is_held_against_the_candidate_and_what_none_was_asked_is_not() -> None:
    items = quiz(100)
    outputs: dict[str, Any] = {arm: right_on(items, range(80)) for arm in ("ref", "new")}
    for i in (3, 90):  # both faulted: one that is right there may be wrong here
        outputs["ref"][i] = outputs["new"][i] = FAULT
    for i in (5, 6, 7):  # of an unfinished run, neither was asked yet
        outputs["ref"][i] = outputs["new"][i] = None
    outputs["new"][8] = None  # the reference was, and is right
    one, _ = contrast(summary_of(make_study(), {"quiz": (items, outputs)}), "quiz", "accuracy")
    worst = one["worst_case"]
    assert (worst["n"], worst["harmful"], worst["beneficial"]) == (97, 3, 0)
    assert (worst["missing_candidate"], worst["missing_reference"]) == (3, 2)


def test_of_what_was_imported_nobody_knows_what_was_asked() -> None:
    items, study = quiz(60), make_study()
    task = make_task("quiz", study.tasks["quiz"])
    rows = {arm: answered(items[:50], arm, right_on(items[:50], range(40))) for arm in study.arms}
    records = {arm: {"bytes_on_disk": 1} for arm in study.arms}
    counts = []
    for recorded in (True, False):
        outcomes = {"quiz": score_task(task, items, rows, recorded=recorded)}
        summary = summarise(study, outcomes, arms=records, methods="calibrated")
        worst = contrast(summary, "quiz", "accuracy")[0]["worst_case"]
        counts.append(None if worst is None else (worst["n"], worst["harmful"]))
        # where nobody knows that it was asked, no fault of an arm is made of it
        names = [one["endpoint"] for one in summary["tasks"]["quiz"]["failure_contrasts"]]
        assert "answered" not in names
    assert counts == [None, (60, 10)]


def test_items_left_out_for_what_was_shown_are_not_missing() -> None:
    # an item whose prompt differed between the arms speaks for neither; nothing else is lost
    items, study = quiz(40), make_study()
    task = make_task("quiz", study.tasks["quiz"])
    rows = {arm: answered(items, arm, right_on(items, range(30))) for arm in study.arms}
    rows["new"][4] = replace(rows["new"][4], prompt_sha256="other bytes")
    outcomes = {"quiz": score_task(task, items, rows)}
    records = {arm: {"bytes_on_disk": 1} for arm in study.arms}
    summary = summarise(study, outcomes, arms=records, methods="calibrated")
    one, _ = contrast(summary, "quiz", "accuracy")
    assert (one["n"], one["worst_case"]) == (39, None)
    for failing in summary["tasks"]["quiz"]["failure_contrasts"]:
        assert failing.get("worst_case") is None
    # a fault beside it is
    rows["new"][5] = make_response(items[5], "new", FAULT)
    outcomes = {"quiz": score_task(task, items, rows)}
    summary = summarise(study, outcomes, arms=records, methods="calibrated")
    worst = contrast(summary, "quiz", "accuracy")[0]["worst_case"]
    assert (worst["n"], worst["missing_candidate"]) == (39, 1)


@pytest.mark.parametrize("methods", ["calibrated", "classic"])
@pytest.mark.parametrize("groups", [{}, {"cluster": "subject"}, {"stratify": "subject"}])
def test_the_test_is_that_of_a_study_whose_missing_answers_were_so_property(
    methods: str, groups: dict[str, str]
) -> None:
    rng, n = np.random.default_rng(8), 240
    items = quiz(n, subject=[f"s{i % 12}" for i in range(n)])
    study = make_study(tasks={"quiz": QUIZ | groups}, margin=0.1)
    for _ in range(3):
        right = {
            arm: {i for i in range(n) if rng.random() < 0.7 + 0.2 * (i % 12 == 0)}
            for arm in ("ref", "new")
        }
        gone = {arm: {i for i in range(n) if rng.random() < 0.05} for arm in ("ref", "new")}
        lacking = {arm: without(right_on(items, right[arm]), gone[arm]) for arm in right}
        filled = {
            "ref": right_on(items, right["ref"] | gone["ref"]),
            "new": right_on(items, right["new"] - gone["new"]),
        }
        one, _ = contrast(
            summary_of(study, {"quiz": (items, lacking)}, methods), "quiz", "accuracy"
        )
        other, test = contrast(
            summary_of(study, {"quiz": (items, filled)}, methods), "quiz", "accuracy"
        )
        worst = one["worst_case"]
        assert other["worst_case"] is None
        assert worst["bound"] == pytest.approx(other["estimate"])
        assert worst["p_non_inferior"] == pytest.approx(test["p_non_inferior"], rel=1e-9)
        assert worst["ci"] == pytest.approx(test["ci"], rel=1e-9)
        assert worst["method"] == test["method"]
        assert one["lower_bounds"] == pytest.approx(other["lower_bounds"], rel=1e-9)


@pytest.mark.parametrize("methods", ["calibrated", "classic"])
def test_spans_are_filled_with_nothing_found_and_as_much_invented_property(methods: str) -> None:
    rng, n = np.random.default_rng(9), 120
    golds = [[[ADA], [ADA, BO], [ROME]][i % 3] for i in range(n)]
    items, study = sentences(golds), make_study(tasks={"names": NAMES}, margin=0.1)
    invented = [(f"Nobody {k}", "PER") for k in range(4)]
    answers = {
        arm: [said(*gold) if rng.random() < 0.8 else said(BO) for gold in golds]
        for arm in ("ref", "new")
    }
    answers["ref"][0] = said(*golds[0], *invented[:3])  # the longest answer names four
    gone = {"ref": {10, 50}, "new": {0, 7, 50, 90}}
    lacking = {arm: without(answers[arm], gone[arm]) for arm in gone}
    perfect = [said(*golds[i]) if i in gone["ref"] else one for i, one in enumerate(answers["ref"])]
    for endpoint, worst_answer in (
        ("micro_f1", said(*invented)),
        ("precision", said(*invented)),
        ("recall", "[]"),
        ("macro_f1", "[]"),
        ("exact_match", "[]"),
    ):
        poor = [worst_answer if i in gone["new"] else one for i, one in enumerate(answers["new"])]
        one, _ = contrast(
            summary_of(study, {"names": (items, lacking)}, methods), "names", endpoint
        )
        filled = {"names": (items, {"ref": perfect, "new": poor})}
        other, test = contrast(summary_of(study, filled, methods), "names", endpoint)
        worst = one["worst_case"]
        assert worst["taken_to_invent"] == (4 if endpoint in ("micro_f1", "precision") else None)
        assert worst["bound"] == pytest.approx(other["estimate"]), endpoint
        if methods == "calibrated":
            assert worst["p_non_inferior"] == pytest.approx(test["p_non_inferior"], rel=1e-6)


def test_what_a_control_names_is_no_measure_of_what_an_arm_invents() -> None:
    arms = {
        "ref": {"engine": "scripted", "model": "ref"},
        "new": {"engine": "scripted", "model": "new"},
        "bad": {"engine": "scripted", "model": "bad", "control": "positive"},
    }
    items = sentences([[ADA], [BO], [ROME]])
    babble = said(*[(f"Thing {k}", "PER") for k in range(40)])
    outputs = {
        "ref": [said(ADA), said(BO), said(ROME)],
        "new": [said(ADA), FAULT, said(ROME, BO)],
        "bad": [babble] * 3,
    }
    study = make_study(arms=arms, tasks={"names": NAMES})
    one, _ = contrast(summary_of(study, {"names": (items, outputs)}), "names", "micro_f1")
    assert one["worst_case"]["taken_to_invent"] == 2


def test_bounds_of_a_choice_are_those_of_a_stricter_level_by_hand() -> None:
    # the k-th bound leaves out alpha / k below: an interval of confidence 1 - 2 alpha / k
    items = quiz(300)
    by_arm = {
        "ref": right_on(items, range(200)),
        "new": right_on(items, range(4, 201)),
        "old": right_on(items, range(9, 203)),
        "bad": right_on(items, range(100)),
    }
    arms: dict[str, Any] = {arm: {"engine": "scripted", "model": arm} for arm in by_arm}
    arms["bad"]["control"] = "positive"
    study = make_study(arms=arms, margin=0.05)
    found = summary_of(study, {"quiz": (items, by_arm)})
    contrasts = found["tasks"]["quiz"]["endpoints"]["accuracy"]["contrasts"]
    against = {one["candidate"]: one for one in contrasts if one["reference"] == "ref"}
    score = score_flips(4, 1, n=300)
    assert against["new"]["lower_bounds"] == [
        score.interval(0.9).low,
        score.interval(0.95).low,
    ]  # of two candidates: the control is none
    assert "lower_bounds" not in against["bad"]
    assert all("lower_bounds" not in one for one in contrasts if one["reference"] != "ref")
    # p below alpha / k and a bound above the margin say the same
    for one in (against["new"], against["old"]):
        (test,) = [
            t
            for t in found["tasks"]["quiz"]["endpoints"]["accuracy"]["equivalence"]
            if t["id"] == f"{one['id']}.equivalence"
        ]
        for k, bound in enumerate(one["lower_bounds"], 1):
            assert (bound > -0.05) is (test["p_non_inferior"] < 0.05 / k)


def test_what_ship_rests_on_by_hand() -> None:
    # two tasks; `new` lacks answers on one, `old` is whole: the largest p of each, then Holm
    items, others = quiz(300), quiz(300, task="other")
    study = make_study(arms=("ref", "new", "old"), tasks={"quiz": QUIZ, "other": QUIZ}, margin=0.05)
    right = right_on(items, range(200))
    first = {
        "ref": right,
        "new": without(right_on(items, range(200)), set(range(5))),
        "old": right_on(items, range(3, 200)),
    }
    second = {
        "ref": right_on(others, range(200)),
        "new": right_on(others, range(2, 200)),
        "old": right_on(others, range(6, 200)),
    }
    found = summary_of(study, {"quiz": (items, first), "other": (others, second)})
    p = {
        "new": max(p_of(5, 0), p_of(2, 0)),
        "old": max(p_of(3, 0), p_of(6, 0)),
    }
    new, old = found["statements"]
    expected = holm([p["new"], p["old"]])
    assert new["ship"] == {
        "p_value": p["new"], "p_adjusted": expected[0], "among": 2, "missing": 5, "holds": True,
    }  # fmt: skip
    assert old["ship"] == {
        "p_value": p["old"], "p_adjusted": expected[1], "among": 2, "missing": 0, "holds": True,
    }  # fmt: skip
    # what is said of the pairs that were answered stays beside it
    assert new["margin_kept_on_all"]["p_value"] == max(
        score_flips(0, 0, n=295).test(-0.05, "greater").p_value, p_of(2, 0)
    )
    decision = decide_from(found)
    assert (decision["default"]["arm"], decision["default"]["p_value"]) == ("old", expected[1])
    assert [one["p_adjusted"] for one in decision["ship"]] == [expected[1], expected[0]]


def p_of(harmful: int, beneficial: int) -> float:
    return score_flips(harmful, beneficial, n=300).test(-0.05, "greater").p_value


def test_faults_are_a_failure_mode_by_hand() -> None:
    # 50 calls of 500 without an answer against none: 50 flips one way
    items = quiz(500)
    right = right_on(items, range(400))
    outputs = {"ref": right, "new": without(right, set(range(0, 500, 10)))}
    found = summary_of(make_study(), {"quiz": (items, outputs)})["tasks"]["quiz"]
    (one,) = [one for one in found["failure_contrasts"] if one["endpoint"] == "answered"]
    assert (one["estimate"], one["n"], one["verdict"]) == (-0.1, 500, "worse")
    assert one["p_value"] == mcnemar(50, 0, n=500, method="midp").p_value
    assert (one["worst_case"], one["declared"]) == (None, False)
    # alike on both sides it is no difference; without a fault there is nothing to test
    both = summary_of(make_study(), {"quiz": (items, {"ref": outputs["new"]} | {"new": right})})
    (one,) = [
        one for one in both["tasks"]["quiz"]["failure_contrasts"] if one["endpoint"] == "answered"
    ]
    assert one["verdict"] == "better"
    none = summary_of(make_study(), {"quiz": (items, {"ref": right, "new": right})})
    names = [one["endpoint"] for one in none["tasks"]["quiz"]["failure_contrasts"]]
    assert "answered" not in names


def test_an_arm_that_answered_nothing_is_worse_at_answering() -> None:
    # it shares no answered item with the reference, and is compared as far as that goes
    items = quiz(30)
    outputs = {"ref": right_on(items, range(20)), "new": [FAULT] * 30}
    found = summary_of(make_study(), {"quiz": (items, outputs)})
    (one,) = [
        one for one in found["tasks"]["quiz"]["failure_contrasts"] if one["endpoint"] == "answered"
    ]
    assert (one["estimate"], one["verdict"]) == (-1.0, "worse")
    assert decide_from(found)["default"]["arm"] == "ref"


def test_faults_of_spans_and_declared_ones() -> None:
    items = sentences([[ADA]] * 80)
    outputs = {"ref": [said(ADA)] * 80, "new": without([said(ADA)] * 80, set(range(8)))}
    study = make_study(
        tasks={"names": NAMES}, analysis={"declared_failure_modes": ["answered"], "resamples": 400}
    )
    found = summary_of(study, {"names": (items, outputs)})["tasks"]["names"]
    (one,) = [one for one in found["failure_contrasts"] if one["endpoint"] == "answered"]
    assert (one["estimate"], one["verdict"], one["declared"]) == (-0.1, "worse", True)
    # published practice tests no failure modes; missing answers keep its default too
    classic = summary_of(study, {"names": (items, outputs)}, "classic")
    assert classic["tasks"]["names"]["failure_contrasts"] == []
    assert decide_from(classic)["default"]["arm"] == "ref"


def _edits(high: float | None) -> ContrastResult:
    """Compare two arms on eight items; each lacks one answer: the first, or the last."""
    edits = Endpoint("edits", "mean", {"n": 1.0}, unit="edits", direction="lower", high=high)
    top = np.array([[0, 1, 2, 1, 0, 3, 2, 1], [1, 1, 2, 2, 0, 3, 2, 0]], dtype=np.float64).T
    answered = np.ones_like(top, dtype=np.bool_)
    answered[0, 0] = answered[7, 1] = False
    scores = top[:, :, None], answered.astype(np.float64)[:, :, None]
    panel = Panel(("ref", "new"), (edits,), *scores, answered)
    methods = Calibrated(panel, seed=1, label="t", resamples=500, alpha=0.05)
    asked: dict[str, Any] = {"endpoint": "edits", "label": "t", "margin": 2.0, "notes": Notes()}
    (one,) = measure(methods, [("ref", "new")], **asked)
    return one


def test_fewer_is_better_held_against_the_candidate_by_hand() -> None:
    one = _edits(high=10.0)
    assert one.one.estimate == pytest.approx(-1 / 6)  # one edit more on one of six: a loss
    found = Bounds(None).tested(one, among=1)
    worst = found.worst_case
    # the reference's missing answer takes no edit, the candidate's all ten
    assert worst is not None
    assert worst.bound == pytest.approx(-(1 + 1 + 9) / 8)
    assert (worst.missing_reference, worst.missing_candidate, worst.n) == (1, 1, 8)
    assert worst.non_inferior is False
    assert found.lower_bounds[0] < -2.0
    written = write(draft([one], family="t", bounds=Bounds(None))[0], Judgement(), p_adjusted=1.0)
    assert written.estimate == pytest.approx(1 / 6)
    assert written.direction == "lower"
    assert written.worst_case is not None
    assert written.worst_case.bound == pytest.approx(11 / 8)
    assert written.gain.worst_case == worst


def test_what_a_missing_answer_would_have_scored_is_unknown_without_a_largest_value() -> None:
    one = _edits(high=None)
    found = Bounds(None).tested(one, among=2)
    worst = found.worst_case
    assert worst is not None
    assert (worst.bound, worst.non_inferior, worst.missing_candidate) == (None, None, 1)
    assert np.isnan(found.lower_bounds).all()  # so that nothing is ruled out, and nothing shipped
