"""Letters of choice answers: how right each is, and whether they shifted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from analysis.fabricated import FAULT, QUIZ, make_study, quiz, quizzed, scored
from quantrial.analysis.answers.changes import accuracy_by_letter, letter_shift
from quantrial.documents import LetterCount, LetterShift
from summaries import summarise


def test_accuracy_by_letter_by_hand() -> None:
    outcomes = quizzed(
        {"ref": ["B", "B", "C", "D", "A", "B"], "new": ["A", "A", "", FAULT, "A", "B"]}
    )
    assert accuracy_by_letter(outcomes, "new") == {
        "A": LetterCount(n=2, correct=2),
        "B": LetterCount(n=2, correct=1),
        "C": LetterCount(n=1, correct=0),
    }


def shifted(pairs: Sequence[tuple[str, str]]) -> LetterShift:
    old, new = zip(*pairs, strict=True)
    return letter_shift(quizzed({"ref": old, "new": new}), "ref", "new")


def test_letter_shift_by_hand() -> None:
    # three letters on a ring would shift nothing; here C goes to A four times and back once
    found = shifted([("C", "A")] * 4 + [("A", "C"), ("B", "B"), ("D", "oh"), ("A", "A")])
    assert found == LetterShift(
        reference="ref",
        candidate="new",
        n=7,
        changed=5,
        shift={"A": 3, "B": 0, "C": -3},
        statistic=found.statistic,
        p_value=found.p_value,
        method="stuart-maxwell-exact",
        df=1,
        declared=False,
        p_adjusted=None,
        p_alarm=None,
    )
    assert found.statistic == pytest.approx((4 - 1) ** 2 / 5)
    assert found.p_value == pytest.approx(2 * (1 + 5) / 2**5)
    ring = shifted([("A", "B"), ("B", "C"), ("C", "A")])
    assert (ring.statistic, ring.p_value, ring.df) == (0, 1, 2)
    assert ring.shift == {"A": 0, "B": 0, "C": 0}


@pytest.mark.parametrize("outputs", [["A", "B", "C"], ["A", "", FAULT], ["", "", ""]])
def test_no_letter_shift_where_nothing_changed(outputs: list[str]) -> None:
    found = letter_shift(quizzed({"ref": ["A", "B", "C"], "new": outputs}), "ref", "new")
    assert (found.statistic, found.p_value, found.method) == (None, None, None)
    assert (found.changed, found.df) == (0, 0)


def booked(answers: list[str], books: list[str]) -> LetterShift:
    outcomes = quizzed({"ref": ["A"] * len(answers), "new": answers})
    return letter_shift(outcomes, "ref", "new", np.array(books), alpha=0.05, seed=1)


def test_letter_shift_over_clusters_by_hand() -> None:
    # in each of six books A lost an answer to B, and one answer stayed: 2 of 2^6 signs
    found = booked(["B", "A"] * 6, [book for book in "uvwxyz" for _ in range(2)])
    assert (found.p_value, found.method) == (2 / 64, "stuart-maxwell-clusters-exact")
    assert (found.n, found.changed, found.shift) == (12, 6, {"A": -6, "B": 6})
    # a book where no letter can be read from both speaks of none
    with_fault = booked(["B", "A"] * 6 + [FAULT], [*"uuvvwwxxyyzz", "t"])
    assert with_fault == found
    # of books in which the answers go back and forth nothing can be said
    back = booked(["B"] * 5 + ["A"] * 5, list("uvwxyzabcd"))
    assert (back.p_value, back.statistic, back.method) == (None, None, "refused")


def test_a_study_with_clusters_asks_over_them() -> None:
    items = quiz(60, book=[str(i % 6) for i in range(60)])
    spec = QUIZ | {"cluster": "book"}
    outputs = {"ref": ["A"] * 60, "new": ["B" if i % 6 == 0 else "A" for i in range(60)]}
    study = make_study(tasks={"quiz": spec})
    found = summarise(
        study,
        scored(study, {"quiz": (items, outputs)}),
        arms={arm: {"bytes_on_disk": 1} for arm in study.arms},
        methods="calibrated",
    )
    (shift,) = found["tasks"]["quiz"]["letter_shifts"]
    # ten letters moved, all in one book: of books nothing is known
    assert (shift["changed"], shift["p_value"], shift["method"]) == (10, None, "refused")
