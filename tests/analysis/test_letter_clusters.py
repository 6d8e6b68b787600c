"""Shifts of answer letters over clusters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.fabricated import QUIZ, make_study, quiz, scored
from quantrial.analysis import summarise
from quantrial.analysis.letter_clusters import shift_over_clusters


def test_by_hand_six_clusters_that_all_lean_one_way() -> None:
    # one more B and one less A in each: only all signs alike lie as far, 2 of 2^6
    steps = np.tile([-1.0, 1.0], (6, 1))
    found = shift_over_clusters(steps, np.array(list("abcdef")), alpha=0.05, seed=1)
    assert found["p_value"] == 2 / 64
    assert found["statistic"] == pytest.approx(6**2 / 6)
    assert (found["df"], found["method"]) == (1, "stuart-maxwell-clusters-exact")


def test_by_hand_five_clusters_cannot_reject_and_are_refused() -> None:
    steps = np.tile([-1.0, 1.0], (10, 1))
    found = shift_over_clusters(steps, np.array(list("abcde") * 2), alpha=0.05, seed=1)
    assert (found["p_value"], found["method"]) == (None, "refused")


def test_property_a_slow_twin_flips_whole_clusters() -> None:
    generator = np.random.default_rng(3)
    clusters = np.repeat([f"g{i}" for i in range(7)], 4)
    moves = np.eye(3)[generator.integers(0, 3, 28)] - np.eye(3)[generator.integers(0, 3, 28)]
    found = shift_over_clusters(moves, clusters, alpha=0.05, seed=1)
    sums = np.array([moves[clusters == name].sum(axis=0) for name in np.unique(clusters)])
    inverse = np.linalg.pinv(sums.T @ sums)

    def distance(signs: tuple[int, ...]) -> float:
        total = np.array(signs) @ sums
        return float(total @ inverse @ total)

    every = [distance(signs) for signs in itertools.product((-1, 1), repeat=7)]
    assert found["p_value"] == np.mean(np.array(every) >= distance((1,) * 7) - 1e-9)


def test_against_simulation_clusters_that_lean_at_random_err_in_five_of_a_hundred() -> None:
    generator = np.random.default_rng(4)
    clusters = np.repeat(np.arange(12).astype(str), 20)
    wrong = 0
    for _ in range(300):
        lean = np.repeat(generator.choice([-1.0, 1.0], 12), 20)
        moved = (generator.random(240) < 0.3)[:, None] * lean[:, None] * np.array([1.0, -1.0])
        wrong += shift_over_clusters(moved, clusters, alpha=0.05, seed=1)["p_value"] < 0.05
    assert wrong / 300 < 0.09  # items taken as independent err in most


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
