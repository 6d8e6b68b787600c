"""A loss other than the margin: the score test on the flips, and the items of a new study."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import optimize, stats

from decision.fabricated import decide_from, make_arm, make_summary, make_task
from quantrial.decision import Constraints
from quantrial.decision.evidence import Evidence
from quantrial.decision.margin_tests import flips_of, items_to_rule_out, p_of_less
from quantrial.documents import to_dict
from quantrial.documents.decision import Finding
from summaries import completed

ARMS = {"fp16": make_arm(16, "F16"), "q8_0": make_arm(8, "Q8_0")}
CORRECTION = 0.15  # pairs, as the methods state


def trial_of(
    harmful: int, beneficial: int, n: int, *, strata: Any = None, **changes: Any
) -> tuple[Evidence, Finding]:
    """A study of right and wrong answers of which so many turned, and its finding."""
    estimate = (beneficial - harmful) / n
    numbers = {
        "estimate": estimate,
        "n": n,
        "ci_method": "score" if strata is None else "score-strata",
        "p_method": "mcnemar-midp",
        "test_ci": [estimate - 0.02, estimate + 0.02],
        **changes,
    }
    flips: dict[str, Any] = {
        "reference": "fp16",
        "candidate": "q8_0",
        "harmful": harmful,
        "beneficial": beneficial,
        "n": n,
    }
    if strata is not None:
        flips["strata"] = {
            "subject": {
                name: {"harmful": h, "beneficial": b, "n": m} for name, (h, b, m) in strata.items()
            }
        }
    task = make_task("mmlu", {"q8_0": ("inconclusive", numbers)}, flips=[flips])
    summary = make_summary({"mmlu": task}, arms=ARMS) | {"methods": "calibrated"}
    trial = Evidence(completed(summary))
    finding = trial.primary("mmlu", "q8_0")
    assert finding is not None
    return trial, finding


def tango(harmful: int, beneficial: int, n: int, loss: float) -> float:
    """p of "loses less than this": the likelihood maximised by a search, Tango's statistic."""

    def minus_log(harm: float) -> float:
        gain = harm - loss
        cells = ((harmful, harm), (beneficial, gain), (n - harmful - beneficial, 1 - harm - gain))
        return -sum(count * math.log(max(share, 1e-300)) for count, share in cells if count)

    found = optimize.minimize_scalar(
        minus_log, bounds=(loss, (1 + loss) / 2), method="bounded", options={"xatol": 1e-12}
    )
    harm = float(found.x)
    spread = math.sqrt(n * (2 * harm - loss - loss**2))
    return float(stats.norm.sf((beneficial - harmful + n * loss - CORRECTION) / spread))


@pytest.mark.parametrize("flips", [(4, 2, 400), (1, 0, 300), (9, 12, 250), (0, 3, 200)])
@pytest.mark.parametrize("loss", [0.02, 0.035])
def test_the_p_of_a_tolerated_loss_is_that_of_the_score_test(
    flips: tuple[int, int, int], loss: float
) -> None:
    trial, finding = trial_of(*flips)
    assert p_of_less(trial, finding, loss) == pytest.approx(tango(*flips, loss), rel=1e-4)


def test_no_flip_at_all_has_a_p_too() -> None:
    # without a flip the likeliest rates at a loss of .02 are .02 and 0, and
    # (300 * .02 - .15) / sqrt(300 * .02 * .98) = 2.4125
    trial, finding = trial_of(0, 0, 300)
    assert p_of_less(trial, finding, 0.02) == pytest.approx(stats.norm.sf(2.41250), rel=1e-4)


def test_strata_are_those_of_the_analysis() -> None:
    from quantrial.stats import score_ratios

    strata = {"a": (6, 0, 40), "b": (0, 1, 60), "none": (0, 0, 0), "c": (2, 2, 100)}
    trial, finding = trial_of(8, 3, 200, strata=strata)
    flips = flips_of(trial, finding)
    assert flips is not None
    assert flips.n == (40, 60, 100)  # no item, no stratum
    rows = [*[[1, 0]] * 6, *[[1, 1]] * 34, [0, 1], *[[0, 0]] * 59]
    rows += [*[[0, 1]] * 2, *[[1, 0]] * 2, *[[1, 1]] * 96]
    expected = score_ratios(
        np.array(rows, dtype=float),
        np.ones((200, 2)),
        strata=["a"] * 40 + ["b"] * 60 + ["c"] * 100,
        support=1.0,
    ).test(-0.06, "greater")
    assert p_of_less(trial, finding, 0.06) == pytest.approx(expected.p_value, rel=1e-9)
    # published practice takes all items together
    classic = Evidence(replace(trial.summary, methods="classic"))
    assert p_of_less(classic, finding, 0.06) == pytest.approx(tango(8, 3, 200, 0.06), rel=1e-4)


def test_missing_answers_are_held_against_a_tolerated_loss_by_the_score_test() -> None:
    # 2 flips against 1 among 290 answered; 10 more answers are missing, 7 of them right before
    worst: dict[str, Any] = {
        "bound": -8 / 300, "n": 300, "missing_reference": 0, "missing_candidate": 10,
        "harmful": 9, "beneficial": 1, "p_non_inferior": 0.5, "non_inferior": False,
        "ci": [-0.05, 0.0], "confidence": 0.9,
    }  # fmt: skip
    trial, finding = trial_of(2, 1, 290, worst_case=worst)
    assert p_of_less(trial, finding, 0.06) == pytest.approx(tango(9, 1, 300, 0.06), rel=1e-4)
    # of other scores by the interval of their test: an error of (5 - 2.667) / 1.6449 points
    other = worst | {"harmful": None, "beneficial": None}
    trial, finding = trial_of(2, 1, 290, worst_case=other)
    expected = stats.norm.cdf(-(0.06 - 8 / 300) / ((0.05 - 8 / 300) / 1.644854))
    assert p_of_less(trial, finding, 0.06) == pytest.approx(expected, rel=1e-4)


def power(harm: float, gain: float, n: int, loss: float) -> float:
    """The chance that the score test rules the loss out, outcome by outcome."""
    total = 0.0
    for losses in range(n + 1):
        chance = stats.binom.pmf(losses, n, harm)
        if chance < 1e-7:
            continue
        for gains in range(n - losses + 1):
            more = chance * stats.binom.pmf(gains, n - losses, gain / (1 - harm))
            if more > 1e-7 and tango(losses, gains, n, loss) < 0.05:
                total += more
    return total


def test_the_items_are_those_that_the_test_needs() -> None:
    # one loss in 60: at the true rate of 1 / 60 that many items have 80 % power, one fewer less
    trial, finding = trial_of(1, 0, 60)
    needed = items_to_rule_out(trial, finding, 0.1)
    assert needed is not None
    assert power(1 / 60, 0.0, needed, 0.1) >= 0.8 > power(1 / 60, 0.0, needed - 1, 0.1)


def test_after_no_flip_half_a_flip_each_way_is_planned_for() -> None:
    trial, finding = trial_of(0, 0, 50, test_ci=[-0.053, 0.053])
    needed = items_to_rule_out(trial, finding, 0.05)
    assert needed is not None
    assert power(0.01, 0.01, needed, 0.05) >= 0.8 > power(0.01, 0.01, needed - 1, 0.05)
    (one,) = decide_from(to_dict(trial.summary), Constraints(tolerate=0.05))["sensitivity"][
        "settle"
    ]
    assert one["text"] == (
        "q8_0 is undecided: it could lose as much as 5.3 pp on reasoning; you accept less than 5 "
        f"pp. A new study of about {needed} items would probably (80 %) rule that out, if one "
        "answer in 50 changes (none "
        "did here)."
    )


def test_a_loss_that_was_seen_is_not_ruled_out_by_more_items() -> None:
    trial, finding = trial_of(10, 0, 100)
    assert items_to_rule_out(trial, finding, 0.1) is None
    assert items_to_rule_out(trial, finding, 0.05) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"over_clusters": True},
        {"p_method": "sign-flip"},
        {"estimate": -0.02},  # not the flips that stand beside it
        {"kind": "secondary"},
        {"n": 399},
    ],
)
def test_what_is_not_of_flips_goes_by_the_bound(changes: dict[str, Any]) -> None:
    trial, finding = trial_of(4, 2, 400)
    assert flips_of(trial, finding) is not None
    finding = replace(finding, **changes)
    assert finding.estimate is not None
    assert flips_of(trial, finding) is None
    # the bound at -.025 lies 1.645 standard errors below the estimate
    error = (finding.estimate + 0.025) / stats.norm.ppf(0.95)
    expected = stats.norm.cdf(-(finding.estimate + 0.03) / error)
    assert p_of_less(trial, finding, 0.03) == pytest.approx(expected, rel=1e-9)
