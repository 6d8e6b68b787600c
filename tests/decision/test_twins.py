"""Arms that nothing tells from another one: said first, and never picked for being the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from analysis.fabricated import QUIZ, make_study, quiz, right_on, scored
from decision.fabricated import decide_from
from quantrial.analysis.statements import identical_arms
from quantrial.decision import Constraints
from quantrial.documents.decision import load_decision
from quantrial.records import ArmRecord
from quantrial.reporting.view import alarms
from summaries import completed, summarise

N = 400


def summary(
    hashes: Mapping[str, str | None],
    answers: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Summarise three arms that all cost less than the one before; all alike but `answers`."""
    items = quiz(N)
    given = {arm: range(300) for arm in hashes} | (answers or {})
    study = make_study(arms=tuple(hashes))
    records = {
        arm: {
            "bytes_on_disk": 1000 - 100 * i,
            "sha256": digest,
            "quantization": arm.upper(),
            "options": (options or {}).get(arm, {}),
        }
        for i, (arm, digest) in enumerate(hashes.items())
    }
    outcomes = scored(study, {"quiz": (items, {a: right_on(items, r) for a, r in given.items()})})
    return summarise(study, outcomes, arms=records, methods="calibrated")


def picks(decision: dict[str, Any]) -> str:
    """Put together every sentence that tells to take an arm."""
    told = [decision["default"]["text"], *(one["text"] for one in decision["pick_when"])]
    told += [one["text"] for one in decision["sensitivity"]["changes"]]
    told += [one["text"] for one in decision["sensitivity"]["settle"]]
    told += [one["text"] for one in decision["risk"]]
    if "constrained" in decision:
        told.append(decision["constrained"]["text"])
    return " ".join(told)


def taken(decision: dict[str, Any], arm: str) -> bool:
    """Whether any sentence ships or picks an arm."""
    words = rf"(?:[Ss]hip|Pick|pick is) {arm}\b"
    return bool(re.search(words, picks(decision))) or decision["default"]["arm"] == arm


@pytest.mark.parametrize(
    ("hashes", "said"),
    [
        ({"f16": "a", "q8_0": "a", "q4_0": "c"}, "They are the same file. Most likely one model"),
        (
            {"f16": None, "q8_0": None, "q4_0": None},
            "Nothing shows that their weights differ. Either one model answered for both",
        ),
        (
            {"f16": "a", "q8_0": None, "q4_0": "c"},
            "Nothing shows that their weights differ. Either one model answered for both",
        ),
    ],
)
def test_an_arm_that_answered_as_the_reference_is_not_picked_by_hand(
    hashes: dict[str, str | None], said: str
) -> None:
    # q4_0 loses 40 of 300: only q8_0, the twin, would keep the margin
    found = summary(hashes, {"q4_0": range(40, 300)})
    (pair,) = found["twins"]
    assert (pair["arms"], pair["answers"], pair["items"]) == (["f16", "q8_0"], True, N)
    for limits in (None, Constraints(max_memory=950), Constraints(tolerate=0.2)):
        decision = decide_from(found, limits)
        assert decision["default"]["arm"] == "f16"
        assert decision["default"]["text"].startswith(
            "Stay with f16. Every cheaper arm that differs from the others could lose 5 pp or more "
            "on reasoning. "
        )
        assert not taken(decision, "q8_0"), picks(decision)
        first = decision["cautions"][0]["text"]
        assert first.startswith(
            "q8_0 and f16 gave the same answers, to the byte, on all 400 items that both answered."
        )
        assert said in first
        assert "one file under two names, a wrong path, or a server" in first
        assert first.endswith("So this study says nothing about q8_0, and does not pick it.")
        # that it is said before anything else, and once
        assert alarms(load_decision(decision))[0] == first
        assert sum("same file" in one["text"] for one in decision["cautions"]) <= 1
    limited = decide_from(found, Constraints(max_memory=950))["constrained"]
    assert limited["pick"] is None
    (twin,) = [one for one in limited["rejected"] if one["arm"] == "q8_0"]
    assert [one["constraint"] for one in twin["breaks"]] == ["identity"]
    assert twin["breaks"][0]["text"] == (
        "q8_0 looks identical to f16, so this study says nothing about it."
    )


@pytest.mark.parametrize("text", ["", 26 * "x"])
@pytest.mark.parametrize("digest", [None, "a"])
def test_what_equal_answers_mean_depends_on_how_much_was_written_by_hand(
    digest: str | None, text: str
) -> None:
    # with 26 characters after each of 400 letters: 27 x 400 = 10,800, against a limit of 10,000
    items = quiz(N)
    answers = [letter + (text and f"\n{text[1:]}") for letter in right_on(items, range(300))]
    study = make_study(arms=("f16", "q8_0"))
    records = {arm: {"bytes_on_disk": 9, "sha256": digest} for arm in study.arms}
    by_arm = dict.fromkeys(study.arms, answers)
    found = summarise(
        study, scored(study, {"quiz": (items, by_arm)}), arms=records, methods="calibrated"
    )
    first = decide_from(found)["cautions"][0]["text"]
    doubtful = digest is None and not text
    assert (
        "Most likely one model answered for both: one file under two names" in first
    ) is not doubtful
    either = (
        "Or two models agree on answers as short and few as these (400 characters in all). To find "
        "out, record the hashes of their files, or ask for longer answers or more items. So this "
        "study says nothing about q8_0"
    )
    assert (either in first) is doubtful
    # of an arm whose failure modes were not counted no length is known
    del found["tasks"]["quiz"]["failure_modes"]["q8_0"]
    first = decide_from(found)["cautions"][0]["text"]
    assert ("answers as short and few as these. To find out" in first) is (digest is None)


def test_with_other_arms_than_the_twin_the_trial_still_decides_by_hand() -> None:
    # q4_0 loses 4 of 400 and gains 4: within 5 pp
    found = summary({"f16": "a", "q8_0": "a", "q4_0": "c"}, {"q4_0": range(4, 304)})
    decision = decide_from(found)
    assert decision["default"]["arm"] == "q4_0"
    assert not taken(decision, "q8_0")


def test_two_candidates_that_are_one_file_are_both_left_by_hand() -> None:
    same = {"q8_0": range(4, 304), "q4_0": range(4, 304)}
    found = summary({"f16": "a", "q8_0": "b", "q4_0": "b"}, same)
    decision = decide_from(found)
    assert decision["default"]["arm"] == "f16"
    assert decision["default"]["text"].startswith(
        "Stay with f16. q4_0 and q8_0 look identical to another arm of this study."
    )
    assert not taken(decision, "q8_0")
    assert not taken(decision, "q4_0")
    assert decision["cautions"][0]["text"].endswith(
        "So this study says nothing about either, and picks neither."
    )


def test_one_file_whose_answers_differ_is_noise_by_hand() -> None:
    found = summary({"f16": "a", "q8_0": "a", "q4_0": "c"}, {"q8_0": range(2, 302)})
    decision = decide_from(found)
    assert decision["cautions"][0]["text"].startswith(
        "q8_0 and f16 are one file, run in one way. Any difference is chance."
    )
    assert not taken(decision, "q8_0")


def test_one_file_asked_in_two_ways_is_no_twin_by_hand() -> None:
    hashes = {"f16": "a", "kv8": "a", "q4_0": "c"}
    ways = {"kv8": {"cache_type": "q8_0"}}
    assert summary(hashes, {"kv8": range(2, 302)}, ways)["twins"] == [
        {"arms": ["f16", "q4_0"], "weights": "other", "answers": True, "items": N}
    ]
    # unless nothing of it shows
    pairs = [one["arms"] for one in summary(hashes, options=ways)["twins"]]
    assert ["f16", "kv8"] in pairs


def test_files_that_differ_may_answer_alike_and_are_picked_by_hand() -> None:
    found = summary({"f16": "a", "q8_0": "b", "q4_0": "c"}, {"q4_0": range(40, 300)})
    decision = decide_from(found)
    assert decision["default"]["arm"] == "q8_0"
    (told,) = [one for one in decision["cautions"] if "to the byte" in one["text"]]
    assert "Their files differ." in told["text"]
    assert "kind" not in told


def test_words_that_change_or_one_task_that_differs_make_no_twin_by_hand() -> None:
    def row(n: int, churn: int) -> dict[str, Any]:
        pair = {"reference": "f16", "candidate": "q8_0"}
        return {**pair, "harmful": 0, "beneficial": 0, "churn": churn, "n": n}

    def typed(parts: Any) -> Any:
        return completed({"tasks": parts}).tasks

    arms = {"f16": ArmRecord(), "q8_0": ArmRecord()}
    quiet, loud = {"flips": [row(40, 0)]}, {"flips": [row(40, 1)]}
    assert list(identical_arms(arms, typed({"quiz": quiet, "people": loud}))) == []
    assert [one.items for one in identical_arms(arms, typed({"quiz": quiet, "people": quiet}))] == [
        80
    ]
    # nothing that both answered shows nothing
    assert list(identical_arms(arms, typed({"quiz": {"flips": [row(0, 0)]}}))) == []


def test_the_study_without_twins_says_nothing_of_them() -> None:
    found = summary({"f16": None, "q8_0": None}, {"q8_0": range(1, 301)})
    assert found["twins"] == []
    assert QUIZ["kind"] == "choice"
    assert not any("to the byte" in one["text"] for one in decide_from(found)["cautions"])
