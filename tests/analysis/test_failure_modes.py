"""How arms fail, by kind of task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.fabricated import (
    ADA,
    BO,
    FAULT,
    NAMES,
    ROME,
    make_response,
    make_study,
    named,
    quiz,
    quizzed,
    said,
    sentences,
    summary_of,
)
from quantrial.analysis import score_task
from quantrial.analysis.answers.failures import failure_modes, failure_panels
from quantrial.tasks import make_task


def test_choice_by_hand() -> None:
    outputs = {
        "ref": ["A", "B", "C", "D", "A", "B"],
        "new": ["A", "A", "no idea", "A", FAULT, ""],
    }
    task = summary_of(make_study(), {"quiz": (quiz(6), outputs)})["tasks"]["quiz"]
    modes = task["failure_modes"]["new"]
    assert modes.pop("texts")["empty"] == {"n": 5, "count": 1, "rate": 1 / 5}
    assert modes.pop("by_letter")["A"] == {"n": 1, "correct": 1}
    assert modes == {
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


def test_failure_panels_of_spans_by_hand() -> None:
    golds = [[ADA], [], [], [BO]]
    outcomes = named(
        golds,
        {
            "ref": [said(ADA), "[]", "[]", said(("Bo", "ORG"))],
            "new": [said(ADA, ROME), said(ROME), "", FAULT],
        },
    )
    panels = {panel.endpoints[0].name: panel for panel in failure_panels(outcomes)}
    assert list(panels) == ["entity_free_correct", "no_spurious", "not_empty", "answered"]
    free = panels["entity_free_correct"]
    assert free.numerators[:, :, 0].tolist() == [[1, 0], [1, 0]]
    spurious = panels["no_spurious"]
    # a wrong type is not spurious; what a malformed answer invents is not known
    assert spurious.answered.tolist() == [[True, True], [True, True], [True, False], [True, False]]
    assert spurious.numerators[:2, :, 0].tolist() == [[1, 0], [1, 0]]
    assert spurious.unscorable is not None
    assert spurious.unscorable.tolist() == [
        [False, False],
        [False, False],
        [False, True],
        [False] * 2,
    ]


def test_failure_panels_leave_out_what_nobody_shows() -> None:
    assert failure_panels(quizzed({"ref": ["A"], "new": ["B"]})) == []
    invents = named([[ADA]], {"ref": [said(ADA)], "new": [said(BO)]})
    assert [panel.endpoints[0].name for panel in failure_panels(invents)] == ["no_spurious"]
    assert failure_panels(named([[ADA]], {"ref": [said(ADA)], "new": [said()]})) == []


def test_failure_panels_keep_the_groups_of_their_items() -> None:
    outcomes = named([[ADA], [], [BO]], {"ref": ["[]"] * 3, "new": [said(ROME)] * 3})
    groups = np.array(["x", "y", "z"])
    grouped = replace(outcomes, panel=replace(outcomes.panel, clusters=groups, strata=groups))
    free, spurious = failure_panels(grouped)
    assert free.clusters is not None
    assert free.strata is not None
    assert spurious.clusters is not None
    assert (free.clusters.tolist(), free.strata.tolist()) == (["y"], ["y"])
    assert spurious.clusters.tolist() == ["x", "y", "z"]
