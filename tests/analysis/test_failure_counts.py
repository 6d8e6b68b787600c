"""Failure modes that are counts: invented entities, lengths of answers."""

from __future__ import annotations

from collections.abc import Sequence
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
    ROME,
    named,
    quizzed,
    said,
)
from quantrial.analysis import TaskOutcomes
from quantrial.analysis.answers.failures import (
    count_panels,
    length_panel,
    spurious_per_sentence,
)
from quantrial.analysis.methods.calibrated import Calibrated
from quantrial.documents import Spurious
from quantrial.errors import StatisticsWarning


def invented(rows: Sequence[tuple[int, int]]) -> TaskOutcomes:
    """Let two arms invent so many entities on entity-free sentences."""
    texts = [
        [said(*[(f"name{i}", "PER") for i in range(count)]) for count in column]
        for column in zip(*rows, strict=True)
    ]
    return named([[]] * len(rows), {"ref": texts[0], "new": texts[1]})


def test_spurious_per_sentence_by_hand() -> None:
    outcomes = named(
        [[ADA], [], [BO], []],
        {
            "ref": [said(ADA), "[]", said(BO), None],
            "new": [said(ADA, ROME), said(ROME, BO), said(("Bo", "ORG")), FAULT],
        },
    )
    assert spurious_per_sentence(outcomes, "new") == Spurious(n=3, spurious=3, per_sentence=1.0)
    assert spurious_per_sentence(outcomes, "ref").per_sentence == 0
    empty = named([[ADA]], {"ref": [said(ADA)], "new": [FAULT]})
    assert spurious_per_sentence(empty, "new").per_sentence is None


def contrast(outcomes: TaskOutcomes, old: str = "ref", new: str = "new", **groups: Any) -> Any:
    (panel,) = count_panels(outcomes)
    assert panel.endpoints[0].unit == "entities a sentence"
    methods = Calibrated(replace(panel, **groups), seed=5, label="t", resamples=10_000, alpha=0.05)
    return methods.contrast(old, new, "spurious_per_sentence")


def test_spurious_contrast_by_hand() -> None:
    # six sentences where the candidate invents one more: all of 64 swaps but two are nearer
    found = contrast(invented([(0, 1)] * 6 + [(1, 1)] * 2 + [(0, 0)] * 4))
    assert found.estimate == -6 / 12
    assert found.p_value == pytest.approx(2 / 64)
    assert found.interval.low < -0.5 < found.interval.high < 0
    assert (found.n, found.interval.confidence) == (12, 0.95)
    assert (found.reference, found.candidate) == ("ref", "new")


@pytest.mark.filterwarnings("ignore::quantrial.errors.StatisticsWarning")
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=8))
def test_spurious_contrast_swapped_changes_sign_property(rows: list[tuple[int, int]]) -> None:
    outcomes = invented(rows)
    if not any(map(any, rows)):
        assert not list(count_panels(outcomes))
        return
    there, back = contrast(outcomes), contrast(outcomes, "new", "ref")
    counts = np.array(rows)
    assert there.estimate == pytest.approx((counts[:, 0] - counts[:, 1]).mean(), abs=1e-12)
    assert back.estimate == pytest.approx(-there.estimate, abs=1e-12)
    assert back.p_value == pytest.approx(there.p_value, abs=1e-12)
    mirrored = [-there.interval.high, -there.interval.low]
    assert [back.interval.low, back.interval.high] == pytest.approx(mirrored, abs=1e-9, nan_ok=True)


def test_spurious_contrast_asks_about_the_groups_of_the_panel() -> None:
    outcomes = invented([(0, 1)] * 5 + [(0, 0)] * 6 + [(0, 1)])
    with pytest.warns(StatisticsWarning, match="is claimed"):
        few = contrast(outcomes, clusters=np.array(list("aabbccddaabb")))
    assert np.isnan([few.interval.low, few.sd]).all()
    strata = np.array(list("aaaaaabbbbbb"))
    kept, plain = contrast(outcomes, strata=strata), contrast(outcomes)
    # most of the change is between the strata, which are fixed
    assert kept.interval.high - kept.interval.low < plain.interval.high - plain.interval.low


def test_spurious_contrast_of_nothing_makes_no_number_up() -> None:
    assert not list(count_panels(invented([(0, 0)] * 3)))
    assert not list(count_panels(quizzed({"ref": ["A"], "new": ["B"]})))
    with pytest.warns(StatisticsWarning, match="0 of 3 items changed"):
        found = contrast(invented([(1, 1), (0, 0), (2, 2)]))
    assert (found.estimate, found.p_value) == (0, 1)
    assert np.isnan([found.interval.low, found.interval.high]).all()


def test_lengths_are_tokens_where_all_are_told_by_hand() -> None:
    outcomes = quizzed({"ref": ["A", "B", None], "new": ["(A)", FAULT, "C"]})
    panel = length_panel(outcomes)
    assert panel is not None
    assert (
        panel.endpoints[0].unit == "tokens an answer"
    )  # 4 of each answer, as `make_response` says
    assert panel.numerators[:, :, 0].tolist() == [[4, 4], [4, 0], [0, 4]]
    assert panel.answered.tolist() == [[True, True], [True, False], [False, True]]
    first = outcomes.responses["ref"][0]
    assert first is not None
    untold = {"ref": (replace(first, completion_tokens=None), *outcomes.responses["ref"][1:])}
    panel = length_panel(replace(outcomes, responses={**outcomes.responses, **untold}))
    assert panel is not None
    assert panel.endpoints[0].unit == "characters an answer"
    assert panel.numerators[:, :, 0].tolist() == [[1, 3], [1, 0], [0, 1]]
    assert length_panel(quizzed({"ref": [None], "new": [FAULT]})) is None
