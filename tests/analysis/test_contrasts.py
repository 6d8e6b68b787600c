"""Families of contrasts: the order of questions, what would settle them, bounds, intervals."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.fabricated import (
    ADA,
    BO,
    FAULT,
    NAMES,
    QUIZ,
    ROME,
    make_response,
    make_study,
    quiz,
    right_on,
    said,
    scored,
    sentences,
)
from quantrial.analysis import score_task
from quantrial.analysis.methods import settled_by, verdict
from quantrial.analysis.methods.calibrated import Calibrated
from quantrial.analysis.outcomes import Panel
from quantrial.documents import SettledBy
from quantrial.stats import flip_power, holm, score_flips
from quantrial.tasks import Endpoint, make_task
from summaries import summarise


def calibrated_summary(study: Any, data: Any) -> Any:
    records = {arm: {"bytes_on_disk": 1} for arm in study.arms}
    return summarise(study, scored(study, data), arms=records, methods="calibrated")["tasks"]


# --- verdicts and their order ------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 900), st.floats(0.005, 0.2))
def test_property_equivalent_only_where_non_inferior(
    harmful: int, beneficial: int, rest: int, margin: float
) -> None:
    # the fixed sequence: the second question is answered yes only where the first one was
    n = harmful + beneficial + rest + 1
    test = score_flips(harmful, beneficial, n=n).equivalence(margin)
    assert test.p_value >= test.p_lower
    assert test.non_inferior or not test.equivalent
    said = verdict(test.estimate, 1.0, test, alpha=0.05)
    expected = "equivalent" if test.equivalent else "non_inferior"
    assert said == (expected if test.non_inferior else "inconclusive")


def test_each_question_at_the_margin_is_adjusted_by_itself() -> None:
    items = quiz(100)
    by_arm = {
        "ref": right_on(items, range(60)),
        "new": right_on(items, range(1, 66)),
        "old": right_on(items, range(2, 61)),
    }
    study = make_study(arms=tuple(by_arm), margin=0.1)
    tests = calibrated_summary(study, {"quiz": (items, by_arm)})["quiz"]["endpoints"]["accuracy"][
        "equivalence"
    ]
    for p, adjusted in (
        ("p_value", "p_adjusted"),
        ("p_non_inferior", "p_non_inferior_adjusted"),
    ):
        assert [one[adjusted] for one in tests] == pytest.approx(holm([one[p] for one in tests]))
    for one in tests:
        assert one["p_value"] >= one["p_non_inferior"]
        assert one["p_adjusted"] >= one["p_non_inferior_adjusted"]
    # a gain of 5 points: the second question is the harder one
    assert tests[0]["p_value"] > tests[0]["p_non_inferior"]


def test_what_settles_an_open_contrast_by_hand() -> None:
    needed = {"equivalence": 900, "non_inferiority": 700, "difference": None}
    assert settled_by(needed, 500) == SettledBy(question="non_inferiority", items=700, further=200)
    # what a trial of this size would show four times in five it may still have missed
    assert settled_by(needed | {"difference": 400}, 500) == SettledBy(
        question="difference", items=400, further=0
    )
    assert settled_by(dict.fromkeys(needed), 500) is None


def test_every_inconclusive_contrast_says_what_would_settle_it() -> None:
    items = quiz(60)
    by_arm = {
        "ref": right_on(items, range(40)),
        "new": right_on(items, range(3, 42)),
        "old": right_on(items, range(1, 40)),
    }
    study = make_study(arms=tuple(by_arm))
    found = calibrated_summary(study, {"quiz": (items, by_arm)})["quiz"]
    contrasts = found["endpoints"]["accuracy"]["contrasts"]
    assert {one["verdict"] for one in contrasts} == {"inconclusive"}
    for one in contrasts:
        settled = one["settled_by"]
        assert settled["further"] == settled["items"] - 60 > 0
    # by hand: new loses 3 and wins 2 of 60; with a third of alpha for a difference of three pairs
    new = contrasts[0]
    assert new["items_needed"]["non_inferiority"] == new["settled_by"]["items"]
    power = flip_power(3 / 60, 2 / 60, new["settled_by"]["items"], question="non_inferior",
                       margin=0.05).power  # fmt: skip
    assert power >= 0.8
    power = flip_power(3 / 60, 2 / 60, new["items_needed"]["difference"], question="difference",
                       alpha=0.05 / 3).power  # fmt: skip
    assert power >= 0.8 - 1e-3  # very many items: the normal approximation


# --- simultaneous intervals --------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)), min_size=1, max_size=4))
def test_property_simultaneous_intervals_match_the_adjusted_decisions(
    flips: list[tuple[int, int]],
) -> None:
    n, columns = 300, [np.ones(300)]
    columns[0][150:] = 0.0
    for harmful, beneficial in flips:
        column = columns[0].copy()
        column[:harmful] = 0.0
        column[150 : 150 + beneficial] = 1.0
        columns.append(column)
    top = np.stack(columns).T[:, :, None]
    arms = tuple(f"a{i}" for i in range(len(columns)))
    panel = Panel(
        arms,
        (Endpoint("accuracy", "proportion", {"correct": 1.0}),),
        top,
        np.ones_like(top),
        np.ones(top.shape[:2], dtype=np.bool_),
    )
    methods = Calibrated(panel, seed=1, label="t", resamples=500, alpha=0.05)
    found = [methods.contrast("a0", arm, "accuracy") for arm in arms[1:]]
    intervals = methods.simultaneous(found, "accuracy")
    rejected = holm([one.p_value for one in found]) < 0.05
    for one, interval, shown in zip(found, intervals, rejected, strict=True):
        assert interval.low < one.estimate < interval.high
        # an interval of the whole family states that level; a narrowed one leaves 0 out, and none
        narrowed = math.isnan(interval.confidence)
        assert narrowed or interval.confidence == pytest.approx(1 - 0.05 / len(found))
        assert not narrowed or not interval.low <= 0.0 <= interval.high
        excludes = not interval.low <= 0.0 <= interval.high
        if excludes:
            assert shown
        elif shown:
            # mid-p rejects where not even the interval of one contrast alone does
            alone = score_flips(*flips[found.index(one)], n=n).interval(0.95)
            assert alone.low <= 0.0 <= alone.high


def test_where_mid_p_rejects_a_narrower_interval_leaves_out_0_by_hand() -> None:
    # 6 flips all one way: mid-p is .5**6, adjusted for three contrasts 3 / 64 < .05; the score
    # interval of 98.3 % just holds 0, that of 97.5 % does not
    n, columns = 300, np.ones((300, 4))
    columns[:6, 1] = 0.0
    top = columns[:, :, None]
    panel = Panel(
        ("a0", "a1", "a2", "a3"),
        (Endpoint("accuracy", "proportion", {"correct": 1.0}),),
        top,
        np.ones_like(top),
        np.ones(top.shape[:2], dtype=np.bool_),
    )
    methods = Calibrated(panel, seed=1, label="t", resamples=500, alpha=0.05)
    found = [methods.contrast("a0", arm, "accuracy") for arm in panel.arms[1:]]
    assert score_flips(6, 0, n=n).interval(1 - 0.05 / 3).high > 0
    first, *others = methods.simultaneous(found, "accuracy")
    assert first.high < 0
    assert first.high == pytest.approx(score_flips(6, 0, n=n).interval(1 - 0.05 / 2).high)
    assert math.isnan(first.confidence)
    assert [one.confidence for one in others] == pytest.approx([1 - 0.05 / 3] * 2)


def test_the_summary_holds_simultaneous_intervals_and_classic_has_none() -> None:
    items = quiz(40)
    by_arm = {
        "ref": right_on(items, range(30)),
        "new": right_on(items, range(12, 30)),
        "old": right_on(items, range(30)),
    }
    study = make_study(arms=tuple(by_arm))
    (new, old, between) = calibrated_summary(study, {"quiz": (items, by_arm)})["quiz"]["endpoints"][
        "accuracy"
    ]["contrasts"]
    third = score_flips(12, 0, n=40).interval(1 - 0.05 / 3)
    assert new["simultaneous"]["ci"] == pytest.approx([third.low, third.high])
    assert new["simultaneous"]["confidence"] == pytest.approx(1 - 0.05 / 3)
    assert old["simultaneous"]["ci"][0] < 0 < old["simultaneous"]["ci"][1]
    assert between["verdict"] == "better"
    records = {arm: {"bytes_on_disk": 1} for arm in study.arms}
    classic = summarise(
        study, scored(study, {"quiz": (items, by_arm)}), arms=records, methods="classic"
    )
    for one in classic["tasks"]["quiz"]["endpoints"]["accuracy"]["contrasts"]:
        assert one["simultaneous"] is None


# --- missing answers ---------------------------------------------------------------------------


def bounded(worst: dict[str, Any]) -> dict[str, Any]:
    """Keep what bounds the difference; what tests it is looked at elsewhere."""
    kept = ("bound", "taken_to_invent", "n", "missing_reference", "missing_candidate")
    return {key: worst[key] for key in kept}


def test_the_worst_case_of_a_pooled_ratio_by_hand() -> None:
    golds = [[ADA, BO], [ADA], [], [ROME]]
    outputs = {
        "ref": [said(ADA, BO), FAULT, "[]", said(ROME)],
        "new": [FAULT, said(ADA), said(BO), said(ROME)],
    }
    study = make_study(tasks={"names": NAMES})
    found = calibrated_summary(study, {"names": (sentences(golds), outputs)})["names"]["endpoints"]
    gone = {"n": 4, "missing_reference": 1, "missing_candidate": 1}
    # the reference's missing answer is perfect: 4 of 4 found. The candidate's finds nothing and
    # invents 2, as many as the longest answer names: 2 of 4 found, 1 + 2 invented, 2 missed
    worst = {name: bounded(found[name]["contrasts"][0]["worst_case"]) for name in found}
    assumed, bound = gone | {"taken_to_invent": 2}, gone | {"taken_to_invent": None}
    assert worst["micro_f1"] == {"bound": pytest.approx(4 / (4 + 3 + 2) - 1), **assumed}
    assert worst["precision"] == {"bound": pytest.approx(2 / (2 + 3) - 1), **assumed}
    # what is missing cannot lower these further, whatever it would have been
    assert worst["recall"] == {"bound": pytest.approx(-1 / 2), **bound}
    # means: candidate 0, 1, 0, 1, reference 1 throughout
    assert worst["macro_f1"] == {"bound": pytest.approx(-1 / 2), **bound}
    assert worst["parse_rate"] == {"bound": pytest.approx(-1 / 4), **bound}


def test_missing_on_entity_free_sentences_is_never_a_difference_of_nothing() -> None:
    # faults on entity-free sentences only: all that the missing answers could do is invent
    golds = [[ADA], [], [ADA], []]
    outputs = {"ref": [said(ADA), "[]"] * 2, "new": [said(ADA), FAULT] * 2}
    study = make_study(tasks={"names": NAMES})
    data = {"names": (sentences(golds), outputs)}
    found = calibrated_summary(study, data)["names"]["endpoints"]
    worst = {name: found[name]["contrasts"][0]["worst_case"] for name in found}
    assert worst["micro_f1"]["bound"] == pytest.approx(4 / (4 + 2) - 1)
    assert worst["precision"]["bound"] == pytest.approx(2 / (2 + 2) - 1)
    assert (worst["micro_f1"]["taken_to_invent"], worst["recall"]["bound"]) == (1, 0.0)
    # where only the reference's answers are missing, nothing need be assumed of inventions
    swapped = {"ref": outputs["new"], "new": [said(ADA), said(BO)] * 2}
    found = calibrated_summary(study, {"names": (sentences(golds), swapped)})["names"]["endpoints"]
    worst = {name: found[name]["contrasts"][0]["worst_case"] for name in found}
    assert worst["micro_f1"]["bound"] == pytest.approx(4 / (4 + 2) - 1)
    assert worst["micro_f1"]["taken_to_invent"] is None


def test_without_a_missing_answer_there_is_no_worst_case() -> None:
    items = quiz(4)
    data = {"quiz": (items, {"ref": "ABCD", "new": "ABCA"})}
    (one,) = calibrated_summary(make_study(), data)["quiz"]["endpoints"]["accuracy"]["contrasts"]
    assert one["worst_case"] is None


def test_the_worst_case_within_a_stratum_is_of_its_items() -> None:
    items = quiz(8, subject=["a", "b"] * 4)
    outputs = {"ref": right_on(items, range(8)), "new": right_on(items, range(8))}
    outputs["new"][0] = FAULT
    study = make_study(tasks={"quiz": QUIZ | {"stratify": "subject"}})
    strata = calibrated_summary(study, {"quiz": (items, outputs)})["quiz"]["strata"]["subject"]
    worst = {value: one["contrasts"][0]["worst_case"] for value, one in strata.items()}
    assert worst == {
        "a": {
            "bound": -1 / 4,
            "taken_to_invent": None,
            "n": 4,
            "missing_reference": 0,
            "missing_candidate": 1,
        },
        "b": None,
    }


# --- strata and failure modes ------------------------------------------------------------------


def test_strata_are_adjusted_together() -> None:
    # to name one stratum of many is to have looked at all of them
    items = quiz(80, subject=[f"s{i % 4}" for i in range(80)])
    lost = {i for i in range(80) if i % 4 == 0 and i < 28}
    outputs = {
        "ref": right_on(items, range(80)),
        "new": right_on(items, set(range(80)) - lost),
    }
    lost |= {1, 2, 3}  # one answer of each other stratum
    outputs["new"] = right_on(items, set(range(80)) - lost)
    study = make_study(tasks={"quiz": QUIZ | {"stratify": "subject"}})
    found = calibrated_summary(study, {"quiz": (items, outputs)})["quiz"]
    strata, (varies,) = found["strata"]["subject"], found["heterogeneity"]
    ones = [stratum["contrasts"][0] for stratum in strata.values()]
    assert {one["family"] for one in ones} == {"alarms"}
    # by hand: 7 flips of one stratum all one way, mid-p 2 * .5**7 - .5**7; four strata, which share
    # alpha with the shift of letters, and are asked once the difference is shown to vary
    assert ones[0]["p_value"] == pytest.approx(0.5**7)
    assert ones[0]["id"] == "quiz.accuracy.subject=s0.new.vs.ref"
    assert varies["p_alarm"] == varies["p_adjusted"] == pytest.approx(2 * varies["p_value"])
    for one, within in zip(ones, (4 * 0.5**7, 1.0, 1.0, 1.0), strict=True):
        alarm = min(1.0, 2 * max(varies["p_value"], within))
        assert one["p_adjusted"] == one["p_alarm"] == pytest.approx(alarm)


def test_by_hand_a_stratum_is_non_inferior_by_the_adjusted_p_only() -> None:
    # four strata of 80 answers, none of which changed: p at a margin of .05 is that of
    # (.05 - .15 / 80) / sqrt(.05 * .95 / 80) = 1.975, and four times as much after Holm
    items = quiz(320, subject=[f"s{i % 4}" for i in range(320)])
    outputs = dict.fromkeys(("ref", "new"), right_on(items, range(320)))
    study = make_study(tasks={"quiz": QUIZ | {"stratify": "subject", "margin": 0.05}})
    found = calibrated_summary(study, {"quiz": (items, outputs)})["quiz"]
    assert found["endpoints"]["accuracy"]["contrasts"][0]["verdict"] == "equivalent"
    for stratum in found["strata"]["subject"].values():
        one = stratum["equivalence"][0]
        assert one["p_non_inferior"] == pytest.approx(0.0241, abs=2e-4)
        assert one["p_non_inferior_adjusted"] == pytest.approx(4 * one["p_non_inferior"])
        assert not one["non_inferior"]
        assert not one["equivalent"]
        assert stratum["contrasts"][0]["verdict"] == "inconclusive"
        # planned at a quarter of alpha, and as if half an answer in 80 turned each way
        settled = stratum["contrasts"][0]["settled_by"]
        assert settled["question"] == "non_inferiority"
        assert settled["further"] == settled["items"] - 80
        for n, enough in ((settled["items"], True), (settled["items"] - 1, False)):
            found = flip_power(
                0.5 / 80, 0.5 / 80, n, question="non_inferior", margin=0.05, alpha=0.0125
            )
            assert (found.power >= 0.8) is enough


def test_a_stratum_is_planned_at_the_level_its_verdict_follows() -> None:
    # two strata of which three answers in 100 changed; either margin test is judged at .025 first
    items = quiz(200, subject=[f"s{i % 2}" for i in range(200)])
    outputs = {
        "ref": right_on(items, set(range(200)) - {0, 1}),
        "new": right_on(items, set(range(200)) - {2, 3, 4, 5}),
    }
    study = make_study(tasks={"quiz": QUIZ | {"stratify": "subject", "margin": 0.05}})
    found = calibrated_summary(study, {"quiz": (items, outputs)})["quiz"]
    for stratum in found["strata"]["subject"].values():
        needed = stratum["contrasts"][0]["items_needed"]["non_inferiority"]
        chance = {
            alpha: flip_power(0.02, 0.01, needed, question="non_inferior", margin=0.05, alpha=alpha)
            for alpha in (0.025, 0.05)
        }
        assert 0.8 <= chance[0.025].power < 0.83
        assert chance[0.05].power > 0.87


def test_strata_are_over_clusters_where_both_are_named() -> None:
    books, per = 24, 10
    items = quiz(
        books * per,
        book=[f"b{i // per}" for i in range(books * per)],
        genre=["rare" if i // per >= 20 else f"g{i // per % 2}" for i in range(books * per)],
    )
    lost = {i for i in range(books * per) if i // per in (0, 2)}  # two whole books of one genre
    outputs = {
        "ref": right_on(items, range(books * per)),
        "new": right_on(items, set(range(books * per)) - lost),
    }
    study = make_study(tasks={"quiz": QUIZ | {"cluster": "book", "stratify": "genre"}})
    found = calibrated_summary(study, {"quiz": (items, outputs)})["quiz"]
    by_genre = {name: one["contrasts"][0] for name, one in found["strata"]["genre"].items()}
    assert by_genre["g0"]["ci_method"] == "score-clusters"
    assert by_genre["g0"]["verdict"] == "inconclusive"  # two books of ten; 20 items of 100 would do
    assert by_genre["rare"]["ci_method"] == "refused"  # four books
    # twenty books of two genres, of which one loses two whole books: it may be the books
    assert found["heterogeneity"][0]["method"] == "interaction-clusters"
    assert found["heterogeneity"][0]["p_value"] > 0.1
    assert set(found["heterogeneity"][0]["shrunken"].values()) == {None}
    said_ = " ".join(found["warnings"])
    assert "strata beside clusters (book)" in said_
    assert "1 of 3 strata is left out: their items came in fewer than 5 clusters" in said_
    assert "4 cluster(s) were given" in said_


def test_whether_strata_differ_is_asked_over_clusters_and_not_of_fewer_than_five() -> None:
    def asked(books: int) -> tuple[dict[str, Any], str]:
        items = quiz(
            books * 20,
            book=[f"b{i % books}" for i in range(books * 20)],
            genre=[f"g{i // books % 2}" for i in range(books * 20)],
        )
        lost = {i for i in range(books * 20) if i // books % 2 == 0 and i % 3 == 0}
        outputs = {
            "ref": right_on(items, range(books * 20)),
            "new": right_on(items, set(range(books * 20)) - lost),
        }
        study = make_study(tasks={"quiz": QUIZ | {"cluster": "book", "stratify": "genre"}})
        found = calibrated_summary(study, {"quiz": (items, outputs)})["quiz"]
        return found["heterogeneity"][0], " ".join(found["warnings"])

    # a third of one genre is lost and nothing of the other, in every book
    test, _ = asked(16)
    assert test["p_value"] < 0.001
    few, said_ = asked(4)
    assert (few["p_value"], few["method"]) == (None, "refused")
    assert "Whether strata differ is not tested" in said_


def test_failure_modes_of_choice_are_tested() -> None:
    items = quiz(40)
    new = ["I would rather not." if i < 10 else str(item.gold) for i, item in enumerate(items)]
    data = {"quiz": (items, {"ref": [str(item.gold) for item in items], "new": new})}
    declared = {"resamples": 400, "declared_failure_modes": ["parse_rate", "letter_shift"]}
    found = calibrated_summary(make_study(analysis=declared), data)["quiz"]
    by_name = {one["endpoint"]: one for one in found["failure_contrasts"]}
    assert by_name["parse_rate"]["estimate"] == -1 / 4
    assert by_name["parse_rate"]["p_value"] == pytest.approx(0.5**10)  # mid-p, ten of ten
    assert by_name["parse_rate"]["verdict"] == "worse"
    assert by_name["parse_rate"]["declared"]
    assert not by_name["output_length"]["declared"]
    assert found["letter_shifts"][0]["declared"]


def test_counts_are_told_in_their_own_unit_and_without_a_margin() -> None:
    golds = [[ADA] if i % 2 else [] for i in range(30)]
    outputs = {
        "ref": [said(*gold) for gold in golds],
        "new": [said(*gold, BO, ROME) if i < 12 else said(*gold) for i, gold in enumerate(golds)],
    }
    study = make_study(tasks={"names": NAMES})
    found = calibrated_summary(study, {"names": (sentences(golds), outputs)})["names"]
    by_name = {one["endpoint"]: one for one in found["failure_contrasts"]}
    spurious = by_name["spurious_per_sentence"]
    assert spurious["estimate"] == pytest.approx(-24 / 30)  # two more in each of twelve
    assert spurious["p_value"] == pytest.approx(2 * 0.5**12)  # all signs alike, either way
    assert (spurious["unit"], spurious["verdict"]) == ("entities a sentence", "worse")
    assert spurious["equivalence"] is None
    assert found["failure_modes"]["new"]["spurious"]["per_sentence"] == pytest.approx(0.8)
    # 4 tokens each: longer is neither better nor worse
    length = by_name["output_length"]
    assert (length["unit"], length["estimate"]) == ("tokens an answer", 0)
    assert (length["verdict"], length["shown"]) == (None, None)


def test_a_difference_in_length_is_shown_by_its_direction() -> None:
    items, study = quiz(40), make_study()
    long = [f"The answer is {item.gold}." for item in items]
    data = {"quiz": (items, {"ref": [str(item.gold) for item in items], "new": long})}
    outcomes = scored(study, data)["quiz"]
    untold = {
        arm: tuple(one and replace(one, completion_tokens=None) for one in row)
        for arm, row in outcomes.responses.items()
    }
    outcomes = replace(outcomes, responses=untold)
    records = {arm: {"bytes_on_disk": 1} for arm in study.arms}
    summary = summarise(study, {"quiz": outcomes}, arms=records, methods="calibrated")
    (one,) = summary["tasks"]["quiz"]["failure_contrasts"]
    # "The answer is X." has 15 characters more than "X"
    assert (one["unit"], one["estimate"], one["shown"]) == ("characters an answer", 15, "longer")
    assert one["verdict"] is None


def test_what_an_unreadable_answer_invents_is_no_merit() -> None:
    # the reference invents on every third empty sentence, the candidate says nothing readable
    items = sentences([[ADA] if i % 2 else [] for i in range(60)])
    ref = [said(ADA) if i % 2 else said(BO) if i % 6 == 0 else said() for i in range(60)]
    study = make_study(tasks={"names": NAMES})
    for readable in (0, 40):
        new = [ref[i] if i < readable else "garbage" for i in range(60)]
        task = calibrated_summary(study, {"names": (items, {"ref": ref, "new": new})})["names"]
        found = {one["endpoint"]: one for one in task["failure_contrasts"]}
        for name in ("no_spurious", "spurious_per_sentence"):
            assert (name in found) == (readable > 0)
            if readable:
                assert (found[name]["n"], found[name]["estimate"]) == (readable, 0)
                assert found[name]["worst_case"] is None  # no answer is missing
        assert task["failure_modes"]["new"]["spurious"]["n"] == readable
        assert any(
            f"{60 - readable} of 60 answers could not be read" in w for w in task["warnings"]
        )


def test_an_engine_that_does_not_tell_is_no_missing_answer() -> None:
    items = quiz(40)
    study = make_study()
    told: dict[str, list[str | None]] = {
        "ref": [*([None] * 35), *(["stop"] * 5)],
        "new": [*(["length", "stop"] * 20)],
    }
    responses = {
        arm: [make_response(i, arm, "A", finish_reason=r) for i, r in zip(items, why, strict=True)]
        for arm, why in told.items()
    }
    outcomes = {"quiz": score_task(make_task("quiz", study.tasks["quiz"]), items, responses)}
    records = {arm: {"bytes_on_disk": 1} for arm in study.arms}
    task = summarise(study, outcomes, arms=records, methods="calibrated")["tasks"]["quiz"]
    (cut,) = [one for one in task["failure_contrasts"] if one["endpoint"] == "not_truncated"]
    assert (cut["n"], cut["worst_case"]) == (5, None)
    # one that is missing is still held against the candidate, among the items that tell
    responses["new"] = responses["new"][:-1]
    outcomes = {"quiz": score_task(make_task("quiz", study.tasks["quiz"]), items, responses)}
    task = summarise(study, outcomes, arms=records, methods="calibrated")["tasks"]["quiz"]
    (cut,) = [one for one in task["failure_contrasts"] if one["endpoint"] == "not_truncated"]
    assert cut["worst_case"]["missing_candidate"] == 1
    assert (cut["worst_case"]["n"], cut["worst_case"]["missing_reference"]) == (5, 0)


def test_where_p_and_the_interval_of_one_contrast_disagree_a_remark_says_so() -> None:
    # 28 harmful against 15: mid-p is .0488, and the interval ends just above 0
    items = quiz(300)
    by_arm = {"ref": right_on(items, range(200)), "new": right_on(items, range(28, 215))}
    task = calibrated_summary(make_study(), {"quiz": (items, by_arm)})["quiz"]
    (one,) = task["endpoints"]["accuracy"]["contrasts"]
    assert one["p_value"] < 0.05
    assert one["ci"][1] > 0
    assert any(
        "the interval holds 0 and p (not adjusted) says otherwise" in w for w in task["warnings"]
    )
