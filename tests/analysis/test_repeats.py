"""The reference against itself, from answers written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from analysis.fabricated import QUIZ, answered, make_response, make_study, quiz
from quantrial.analysis import score_task
from quantrial.decision import decide_from
from quantrial.documents import load_summary
from quantrial.documents.decision import load_decision
from quantrial.records import Response
from quantrial.reporting.sections.flips import against_itself
from quantrial.reporting.view import alarms
from quantrial.tasks import make_task
from summaries import summarise

ITEMS = quiz(20)
RIGHT = [str(item.gold) for item in ITEMS]


def wrong(item_number: int) -> str:
    return "ABCD"[("ABCD".index(RIGHT[item_number]) + 1) % 4]


def changed(*numbers: int) -> list[str]:
    return [wrong(i) if i in numbers else said for i, said in enumerate(RIGHT)]


def summary(
    new: list[str],
    again: dict[int, str],
    further: Sequence[Response] = (),
    arms: Sequence[str] = ("ref", "new", "old"),
) -> dict[str, Any]:
    study = make_study(tasks={"quiz": QUIZ}, arms=arms)
    every = {
        "ref": [
            *answered(ITEMS, "ref", RIGHT),
            *(make_response(ITEMS[i], "ref", said, replicate=1) for i, said in again.items()),
        ],
        "new": [*answered(ITEMS, "new", new), *further],
        "old": answered(ITEMS, "old", changed(*range(10))),
    }
    responses = {arm: every[arm] for arm in arms}
    scored = score_task(make_task("quiz", study.tasks["quiz"]), ITEMS, responses)
    records = {
        arm: {"bytes_on_disk": size, "sha256": arm, "quantization": arm}
        for arm, size in (("ref", 1000), ("new", 500), ("old", 100))
        if arm in arms
    }
    return summarise(study, {"quiz": scored}, arms=records, methods="calibrated")


def test_by_hand_second_answers_are_compared_with_the_first() -> None:
    # ten asked again: one scores differently, one more says the same letter in other words
    again = {i: RIGHT[i] for i in range(10)} | {3: wrong(3), 4: f"It is {RIGHT[4]}."}
    found = summary(changed(19), again)["tasks"]["quiz"]["repeats"]
    assert (found["arm"], found["n"]) == ("ref", 10)
    assert (found["score"]["differ"], found["text"]["differ"]) == (1, 2)
    assert (found["score"]["rate"], found["text"]["rate"]) == (0.1, 0.2)
    # Wilson by hand, 1 of 10: (1 + z2/2 -+ z sqrt(1 * 9 / 10 + z2/4)) / (10 + z2), z2 = 3.841459
    assert found["score"]["ci"] == pytest.approx([0.017876, 0.404150], abs=1e-6)
    rates = {one["candidate"]: (one["score"], one["text"]) for one in found["candidates"]}
    assert rates == {"new": (0.05, 0.05), "old": (0.5, 0.5)}
    # one item in ten is within chance of none, and of anything else
    assert found["strays_more"] == []
    assert found["candidates"][0]["same_items"]["score"] == {
        "differ": 0,
        "strayed": 1,
        "p_more": 0.75,  # P(X <= 0) + P(X = 0) / 2, X of one pair: 1/2 - 1/4 on the other side
        "p_less": 0.25,
        "told": "open",
        "p_alarm": 1.0,  # two-sided .5, with scores, texts and letters of two arms beside it
    }


@pytest.mark.parametrize(
    ("strays", "differs", "p_less", "told"),
    [
        # mid-p, one-sided: the chance of a split as uneven, less half that of the one seen; twice
        # that, two-sided, is adjusted for scores and texts (the same here), and for the shift of
        # letters where new has another one
        ((3,), (), 1 / 2 - 1 / 4, "open"),
        ((3, 5, 6), (), 1 / 8 - 1 / 16, "open"),
        ((3, 5, 6, 7, 8), (), 1 / 32 - 1 / 64, "open"),  # 2 * 2 / 64 = .0625
        ((3, 5, 6, 7, 8, 9), (), 1 / 64 - 1 / 128, "less"),  # 2 * 2 / 128 = .031
        ((3, 5, 6, 7, 8, 9), (3,), 1 / 32 - 1 / 64, "open"),  # item 3 is in both, and says nothing
        ((0, 1, 2, 3, 4, 5, 7, 8, 9), (6,), (10 + 1) / 1024 - 10 / 2048, "less"),  # 6 * 12 / 2048
        ((), (0, 1, 2, 3, 4, 5, 6), 1 - (1 / 128 - 1 / 256), "more"),  # 6 / 256
        ((), (0, 1, 2, 3, 4, 15), 1 - (1 / 32 - 1 / 64), "open"),  # item 15 was asked once
    ],
)
def test_by_hand_only_what_the_test_shows_is_told(
    strays: tuple[int, ...], differs: tuple[int, ...], p_less: float, told: str
) -> None:
    again = {i: wrong(i) if i in strays else RIGHT[i] for i in range(10)}
    two = summary(changed(*differs), again, arms=("ref", "new"))
    found = two["tasks"]["quiz"]["repeats"]
    new = found["candidates"][0]
    assert new["same_items"]["n"] == 10
    tested = new["same_items"]["score"]
    assert (tested["differ"], tested["strayed"]) == (
        len([i for i in differs if i < 10]),
        len(strays),
    )
    assert tested["p_less"] == pytest.approx(p_less)
    assert tested["p_more"] == pytest.approx(1 - p_less)
    assert tested["told"] == told
    assert ("new" in found["strays_more"]) == (told == "less")
    assert bool(alarms(load_decision(decide_from(two)))) == (told == "less")


def test_a_steady_reference_is_no_alarm() -> None:
    whole = summary(changed(19), {i: RIGHT[i] for i in range(10)})
    found = whole["tasks"]["quiz"]["repeats"]
    assert (found["score"]["rate"], found["strays_more"]) == (0.0, [])
    assert found["score"]["ci"][1] > 0.2, "ten steady answers do not prove that there is no noise"
    decision = decide_from(whole)
    assert alarms(load_decision(decision)) == ()
    assert not any("itself" in one["text"] for one in decision["cautions"])


def test_nothing_asked_twice_is_nothing_said() -> None:
    assert summary(changed(), {})["tasks"]["quiz"]["repeats"] is None


def test_a_reference_that_strays_more_is_the_first_caution_and_an_alarm() -> None:
    # ten of twenty stray, and new differs on one that does not: two-sided 2 * (12 - 11/2) / 2048,
    # the smallest with its like among six questions: scores and texts of two arms, their letters
    again = {i: RIGHT[i] for i in range(20)} | {i: wrong(i) for i in range(10)}
    decision = decide_from(summary(changed(19), again))
    first = decision["cautions"][0]
    assert first["kind"] == "noise"
    assert first["text"].startswith(
        "On reasoning, ref disagrees with itself more than with new. Asked twice, 10 of 20 answers "
        "were scored differently (50.0 %, 95 % interval 29.9 to 70.1 %). new differs from it on 1 "
        "of the same items (adjusted p = .038)."
    )
    assert alarms(load_decision(decision)) == (first["text"],)


def test_texts_that_stray_are_said_where_scores_do_not() -> None:
    again = {i: RIGHT[i] for i in range(20)} | {i: f"{RIGHT[i]}." for i in range(10)}
    first = decide_from(summary(changed(19), again))["cautions"][0]
    assert "10 of 20 answers were worded differently" in first["text"]


def test_one_flip_in_thirty_is_told_as_what_it_is_and_rings_no_alarm() -> None:
    whole = summary(changed(19), {i: RIGHT[i] for i in range(20)} | {3: wrong(3)})
    assert alarms(load_decision(decide_from(whole))) == ()
    [group] = against_itself("quiz", load_summary(whole).tasks["quiz"])
    # Wilson by hand, 1 of 20, as above
    assert (
        "1 of 20 scores changed. So the share that changes by itself lies between 0.9 % and 23.6 %."
        in group.notes[0]
    )
    [table] = group.tables
    said = {row.cells[0].text: row.cells[-1].text for row in table.rows}
    assert said["new vs ref"] == "1 against 1 of 20: not told apart from noise"
    # nine to none, two-sided 1 in 512, among six questions; the item that changed by itself is
    # among the ten
    assert said["old vs ref"] == "10 against 1 of 20: more than noise, adjusted p .012"


def test_second_answers_change_nothing_but_how_many_questions_are_asked() -> None:
    def rest(whole: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in whole["tasks"]["quiz"].items() if key != "repeats"}
        # what is adjusted with all else in the report is adjusted for more
        of_lengths = kept.pop("failure_contrasts")
        letters = kept.pop("letter_shifts")
        return kept | {
            "lengths": [{k: one[k] for k in ("estimate", "ci", "p_value")} for one in of_lengths],
            "letters": [one["p_value"] for one in letters],
        }

    again = dict.fromkeys(range(20), "A")
    once, twice = summary(changed(19), {}), summary(changed(19), again)
    assert rest(once) == rest(twice)
    assert (once["alarms"]["questions"], twice["alarms"]["questions"]) == (2, 6)


def test_by_hand_arms_that_were_asked_again_unequally_often_are_a_caution() -> None:
    retried = [make_response(ITEMS[0], "new", RIGHT[0], attempt=2)]
    whole = summary(changed(), {}, retried)
    assert whole["tasks"]["quiz"]["flow"]["retries"] == {"ref": 0, "new": 1, "old": 0}
    said = [one["text"] for one in decide_from(whole)["cautions"]]
    expected = "Calls on reasoning were asked again unequally often (ref 0, new 1 and old 0). "
    assert expected + "The arms did not answer under the same conditions." in said
