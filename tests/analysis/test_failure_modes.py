from __future__ import annotations

from typing import Any

import pytest

from analysis.fabricated import (
    FAULT,
    NAMES,
    QUIZ,
    make_response,
    make_study,
    quiz,
    said,
    sentences,
    summary_of,
)
from quantrial.analysis import score_task
from quantrial.analysis.failure_modes import failure_modes, right
from quantrial.analysis.speed import speed
from quantrial.tasks import make_task

ADA, ROME, BO = ("Ada", "PER"), ("Rome", "LOC"), ("Bo", "PER")


def test_choice_by_hand() -> None:
    outputs = {
        "ref": ["A", "B", "C", "D", "A", "B"],
        "new": ["A", "A", "no idea", "A", FAULT, ""],
    }
    task = summary_of(make_study(), {"quiz": (quiz(6), outputs)})["tasks"]["quiz"]
    assert task["failure_modes"]["new"] == {
        "n": 5,
        "unparsed": 2,
        "unparsed_rate": 2 / 5,
        "letters": {"A": 3},
        "gold_letters": {"A": 1, "B": 2, "C": 1, "D": 1},
        "truncated": 0,
    }
    assert task["failure_modes"]["ref"]["unparsed_rate"] == 0
    assert task["failure_modes"]["ref"]["letters"] == {"A": 2, "B": 2, "C": 1, "D": 1}


def test_spans_by_hand() -> None:
    study = make_study(tasks={"names": NAMES})
    items = sentences([[ADA, ROME], [], [], [], [BO]])
    outputs = {
        "ref": [said(ADA, ROME), "[]", "[]", "[]", said(BO)],
        # one missed, one invented, an entity-free one malformed, a fault, a wrong type
        "new": [said(ADA), said(BO), "none here", FAULT, said(("Bo", "ORG"))],
    }
    modes = summary_of(study, {"names": (items, outputs)})["tasks"]["names"]["failure_modes"]
    new = modes["new"]
    assert {key: new[key] for key in ("n", "tp", "fp", "fn", "parsed", "parse_rate")} == {
        "n": 4,
        "tp": 1,
        "fp": 2,
        "fn": 2,
        "parsed": 3,
        "parse_rate": 3 / 4,
    }
    assert (new["precision"], new["recall"]) == (1 / 3, 1 / 3)
    free = new["entity_free"]
    assert (free["n"], free["correct"], free["rate"]) == (2, 0, 0)
    # Wilson without a success: 0 to z^2 / (n + z^2)
    z2 = 1.959963984540054**2
    assert free["ci"] == pytest.approx([0, z2 / (2 + z2)], abs=1e-12)
    assert (modes["ref"]["entity_free"]["n"], modes["ref"]["entity_free"]["rate"]) == (3, 1)
    assert (modes["ref"]["precision"], modes["ref"]["recall"]) == (1, 1)


def test_truncated_answers_are_counted() -> None:
    study, items = make_study(), quiz(3)
    given = [
        make_response(items[0], "new", "A", finish_reason="length"),
        make_response(items[1], "new", "B"),
        make_response(items[2], "new", FAULT, finish_reason="length"),
    ]
    found = score_task(make_task("quiz", study.tasks["quiz"]), items, {"new": given})
    assert failure_modes(found, "new", alpha=0.05)["truncated"] == 1


def test_flips_by_hand() -> None:
    outputs = {
        "ref": ["A", "B", "A", "A", "C", "D", "A"],
        # still right in other words, broken, mended, wrong otherwise, same wrong text, fault, right
        "new": ["(A)", "C", "C", "B", "C", FAULT, "C"],
    }
    task = summary_of(make_study(), {"quiz": (quiz(7), outputs)})["tasks"]["quiz"]
    assert task["flips"] == [
        {
            "reference": "ref",
            "candidate": "new",
            "harmful": 1,
            "beneficial": 2,
            "churn": 2,
            "n": 6,
            "items": {"harmful": ["i1"], "beneficial": ["i2", "i6"]},
        }
    ]


def test_flips_of_spans_ask_for_the_whole_item() -> None:
    study = make_study(tasks={"names": NAMES})
    items = sentences([[ADA, ROME], [ADA, ROME], [ADA]])
    outputs = {
        # partly right is not right: no flip from half to half, nor from half to nothing
        "ref": [said(ADA, ROME), said(ADA), said(ADA)],
        "new": [said(ADA), said(ROME), said(("ada ", "per"))],
    }
    flips = summary_of(study, {"names": (items, outputs)})["tasks"]["names"]["flips"][0]
    assert (flips["harmful"], flips["beneficial"]) == (1, 0)
    assert flips["churn"] == 2  # half for another half, and the same entity written otherwise


def test_right_is_unknown_without_an_answer() -> None:
    study, items = make_study(tasks={"quiz": QUIZ}), quiz(2)
    task = make_task("quiz", study.tasks["quiz"])
    found = score_task(task, items, {"new": [make_response(items[0], "new", "B")]})
    assert [right(found, "new", i) for i in range(2)] == [False, None]


def timed(tokens: int | None, decode: float | None, **timing: float | None) -> Any:
    values = {"load": None, "prompt": None, "decode": decode, "wall": None, **timing}
    return make_response(quiz(1)[0], "new", "A", completion_tokens=tokens, timing=values)


def test_speed_pools_tokens_over_seconds_by_hand() -> None:
    found = speed([timed(10, 1.0), None, timed(90, 3.0), timed(None, 5.0), timed(7, None)])
    assert found["tokens_per_second"] == 100 / 4
    assert found["mean_tokens_per_second"] == (10 / 1 + 90 / 3) / 2
    assert found["n"] == 4
    assert found["completion_tokens"] == 107
    assert found["prompt_tokens_per_second"] is None
    assert found["seconds_per_answer"] is None


def test_speed_of_reading_and_waiting_by_hand() -> None:
    given = [timed(1, 1.0, prompt=p, wall=w) for p, w in ((0.5, 1.0), (2.0, 2.0), (None, 9.0))]
    found = speed(given)
    assert found["prompt_tokens"] == 150
    assert found["prompt_tokens_per_second"] == 100 / 2.5  # 50 tokens each, two timed
    assert found["seconds_per_answer"] == 4
    assert found["median_seconds_per_answer"] == 2


@pytest.mark.parametrize("responses", [[], [None], [timed(0, 0.0)], [timed(5, 0.0)]])
def test_speed_is_unknown_rather_than_infinite(responses: list[Any]) -> None:
    found = speed(responses)
    assert found["tokens_per_second"] is None
    assert found["mean_tokens_per_second"] is None
