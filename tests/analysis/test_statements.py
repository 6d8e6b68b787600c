"""What is said over all tasks at once: no more than verdicts say, and wrong in 5 % at most."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from analysis.fabricated import QUIZ, make_study, quiz, right_on, scored
from quantrial.analysis import question_of
from quantrial.analysis.statements import statements
from quantrial.documents import Claim, Contrast, EndpointSummary, Equivalence, TaskSummary
from quantrial.stats import holm
from summaries import make, summarise

NAN = float("nan")


def task_of(rows: Sequence[tuple[str, str, float, float, float]]) -> TaskSummary:
    """Fabricate a task's summary: reference, candidate, estimate, adjusted p, p at the margin."""
    contrasts = [
        make(
            Contrast,
            reference=r,
            candidate=c,
            estimate=estimate,
            p_adjusted=p,
            equivalence=make(Equivalence, p_non_inferior=at_margin),
        )
        for r, c, estimate, p, at_margin in rows
    ]
    results = make(EndpointSummary, contrasts=tuple(contrasts))
    return make(TaskSummary, primary="accuracy", endpoints={"accuracy": results})


def test_statements_by_hand() -> None:
    study = make_study(arms=("ref", "new", "old"), tasks={"one": QUIZ, "two": QUIZ})
    tasks = {
        "one": task_of([("ref", "new", -0.02, 0.02, 0.01), ("ref", "old", 0.03, 0.001, 0.001)]),
        "two": task_of([("ref", "new", -0.01, 0.03, 0.04), ("ref", "old", -0.01, 0.4, 0.2)]),
    }
    new, old = statements(question_of(study), tasks)
    assert (new.candidate, new.tasks) == ("new", 2)
    # the smaller of two adjusted p-values, paid for twice; the larger p at the margin as it is
    assert new.loss_on_any == Claim(p_value=0.04, holds=True)
    # chosen among two candidates it would not hold: 2 x .04
    assert new.margin_kept_on_all == Claim(p_value=0.04, holds=True, p_adjusted=0.08)
    # a gain, however sure, is no sign of a loss
    assert old.loss_on_any == Claim(p_value=0.8, holds=False)
    assert old.margin_kept_on_all == Claim(p_value=0.2, holds=False, p_adjusted=0.2)


def test_statements_by_hand_of_what_could_not_be_tested() -> None:
    study = make_study(tasks={"one": QUIZ, "two": QUIZ})
    one = task_of([("ref", "new", -0.02, 0.02, 0.01)])
    (said,) = statements(
        question_of(study), {"one": one, "two": task_of([("ref", "new", NAN, NAN, NAN)])}
    )
    # the task that tells nothing does not count towards a loss, and rules none out
    assert said.loss_on_any == Claim(p_value=0.02, holds=True)
    assert said.margin_kept_on_all.holds is False
    # a task that has no contrast of a candidate is not counted, and rules no loss out
    (said,) = statements(question_of(study), {"one": one, "two": task_of([])})
    assert said.tasks == 1
    assert said.loss_on_any == Claim(p_value=0.02, holds=True)
    assert said.margin_kept_on_all == Claim(p_value=None, holds=False, p_adjusted=None)
    # of a candidate that no task has a contrast of nothing is said
    assert list(statements(question_of(study), {"one": task_of([]), "two": task_of([])})) == []


def test_a_task_that_shares_no_item_hides_no_loss_on_another() -> None:
    # new answered nothing of the second task; on the first it loses 40 of 40 right of 80
    items, others = quiz(80), quiz(20, task="other")
    study = make_study(arms=("ref", "new", "old"), tasks={"quiz": QUIZ, "other": QUIZ})
    first = {
        "ref": right_on(items, range(40)),
        "new": right_on(items, ()),
        "old": right_on(items, range(0, 80, 2)),
    }
    second: dict[str, Any] = {
        "ref": right_on(others, range(20)),
        "new": [None] * 20,
        "old": right_on(others, range(0, 20, 2)),
    }
    summary = summarise(
        study,
        scored(study, {"quiz": (items, first), "other": (others, second)}),
        arms={arm: {"bytes_on_disk": 1} for arm in study.arms},
        methods="calibrated",
    )
    new, old = summary["statements"]
    assert (new["candidate"], new["tasks"]) == ("new", 1)
    assert new["loss_on_any"]["holds"]
    assert new["margin_kept_on_all"] == {"p_value": None, "holds": False, "p_adjusted": None}
    assert (old["candidate"], old["tasks"]) == ("old", 2)
    # what cannot be shown is not chosen among: it costs the other candidate nothing
    assert old["margin_kept_on_all"]["p_adjusted"] == old["margin_kept_on_all"]["p_value"]
    # one that could be chosen, had it answered, is counted where one is shipped, and never shown
    assert new["ship"] == {
        "p_value": None, "p_adjusted": None, "missing": 0, "among": 2, "holds": False,
    }  # fmt: skip
    assert old["ship"]["p_adjusted"] == min(1.0, 2 * old["ship"]["p_value"])


def test_a_loss_is_not_said_over_tasks_where_no_verdict_finds_one() -> None:
    # 9 lost and 2 gained, 7 lost and 1 gained: each below .05 one-sided, neither after Holm
    items = quiz(800)
    right = range(640)
    by_arm = {
        "ref": right_on(items, right),
        "new": right_on(items, [*range(9, 640), 700, 701]),
        "old": right_on(items, [*range(20), *range(27, 640), 702]),
    }
    study = make_study(arms=tuple(by_arm), margin=0.02)
    records = {arm: {"bytes_on_disk": 1} for arm in study.arms}
    summary = summarise(
        study, scored(study, {"quiz": (items, by_arm)}), arms=records, methods="calibrated"
    )
    contrasts = summary["tasks"]["quiz"]["endpoints"]["accuracy"]["contrasts"]
    by_candidate = {one["candidate"]: one for one in contrasts if one["reference"] == "ref"}
    for said in summary["statements"]:
        verdict = by_candidate[said["candidate"]]
        assert verdict["p_value"] / 2 < 0.05 < verdict["p_adjusted"]
        assert (verdict["verdict"], verdict["also"]) == ("equivalent", None)
        assert said["loss_on_any"] == {"p_value": verdict["p_adjusted"], "holds": False}
        assert said["margin_kept_on_all"]["holds"] is True


@pytest.mark.parametrize("candidates", [1, 2, 3, 5])
@pytest.mark.parametrize("tasks", [1, 3])
def test_statements_against_simulation_err_in_five_percent_over_all_candidates(
    candidates: int, tasks: int
) -> None:
    # no arm differs from another; z of every pair from arms' independent normal scores
    from scipy.stats import norm

    arms = ["ref", *(f"new{k}" for k in range(candidates))]
    pairs = list(itertools.combinations(range(len(arms)), 2))
    study = make_study(arms=tuple(arms), tasks={f"t{k}": QUIZ for k in range(tasks)})
    rng, studies = np.random.default_rng(11), 1500
    wrong = 0
    for _ in range(studies):
        found = {}
        for name in study.tasks:
            scores = rng.normal(size=len(arms))
            z = np.array([scores[c] - scores[r] for r, c in pairs]) / np.sqrt(2)
            p = holm(2 * norm.sf(np.abs(z)))
            found[name] = task_of(
                [(arms[r], arms[c], z[i], p[i], 0.5) for i, (r, c) in enumerate(pairs)]
            )
        wrong += any(one.loss_on_any.holds for one in statements(question_of(study), found))
    assert wrong / studies < 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
