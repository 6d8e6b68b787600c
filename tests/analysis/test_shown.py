"""Arms that were not shown the same bytes on an item are not compared on it."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.fabricated import make_response, make_study, quiz
from quantrial.analysis import score_task
from quantrial.tasks import make_task
from summaries import summarise


def summary_where(**shown: dict[int, str | None]) -> dict[str, Any]:
    """Analyse six questions of which `new` gets the first two wrong; `shown` changes hashes."""
    study, items = make_study(), quiz(6)
    outputs = {"ref": "ABCDAB", "new": "BACDAB"}
    responses = {
        arm: [
            make_response(
                item,
                arm,
                outputs[arm][i],
                prompt_sha256=shown.get(arm, {}).get(i, f"shown {item.id}"),
            )
            for i, item in enumerate(items)
        ]
        for arm in outputs
    }
    seen = shown.get("again", {}).get(5, "shown i5")
    again = [
        make_response(
            items[5],
            "ref",
            "B",
            replicate=1,
            prompt_sha256=seen,
        )
    ]
    responses["ref"] += again
    scored = score_task(make_task("quiz", study.tasks["quiz"]), items, responses)
    arms = {arm: {"sha256": arm} for arm in outputs}
    return summarise(study, {"quiz": scored}, arms=arms, methods="classic")


def check(summary: dict[str, Any]) -> tuple[str, str]:
    one = next(one for one in summary["assay"] if one["id"] == "prompts")
    return one["status"], one["text"]


def test_an_item_shown_otherwise_to_one_arm_is_left_out_of_everything_and_counted() -> None:
    summary = summary_where(new={0: "other bytes"})
    task = summary["tasks"]["quiz"]
    flow = task["flow"]
    assert (flow["planned"], flow["answered"], flow["missing"], flow["faulted"]) == (12, 12, 0, 0)
    assert (flow["analysed_items"], flow["unlike_items"]) == (5, 1)
    contrast = task["endpoints"]["accuracy"]["contrasts"][0]
    # of the other five, `ref` has all right and `new` one wrong
    assert contrast["n"] == 5
    assert contrast["estimate"] == pytest.approx(-1 / 5)
    assert task["endpoints"]["accuracy"]["arms"]["ref"]["n"] == 5
    assert task["flips"][0]["harmful"] == 1
    status, text = check(summary)
    assert status == "fail"
    assert "1 item of quiz" in text


def test_the_same_bytes_are_compared() -> None:
    summary = summary_where()
    flow = summary["tasks"]["quiz"]["flow"]
    assert (flow["analysed_items"], flow["unlike_items"], flow["unhashed_items"]) == (6, 0, 0)
    assert check(summary)[0] == "pass"


def test_a_hash_that_is_missing_says_nothing_and_is_said() -> None:
    summary = summary_where(new={3: None})
    flow = summary["tasks"]["quiz"]["flow"]
    assert (flow["analysed_items"], flow["unlike_items"], flow["unhashed_items"]) == (6, 0, 1)
    assert check(summary)[0] == "unknown"


def test_a_second_answer_to_other_bytes_says_nothing_of_noise() -> None:
    assert summary_where()["tasks"]["quiz"]["repeats"]["n"] == 1
    repeats = summary_where(again={5: "other bytes"})["tasks"]["quiz"]["repeats"]
    assert repeats is None or repeats["n"] == 0
