from __future__ import annotations

import math

import pytest

from quantrial.analysis import VERDICTS, verdict
from quantrial.stats import EquivalenceResult, Interval


def tost(*, equivalent: bool = False, non_inferior: bool = False) -> EquivalenceResult:
    nan = math.nan
    return EquivalenceResult(
        estimate=0.0,
        margin=0.01,
        interval=Interval(nan, nan, 0.9, "made"),
        p_lower=nan,
        p_upper=nan,
        p_value=nan,
        alpha=0.05,
        equivalent=equivalent,
        non_inferior=equivalent or non_inferior,
        method="made",
        n=10,
    )


@pytest.mark.parametrize(
    ("estimate", "p", "test", "said"),
    [
        (-0.02, 0.2, tost(), "inconclusive"),
        (-0.02, 0.04, tost(), "worse"),
        (0.02, 0.04, tost(), "better"),
        (0.02, 0.2, tost(non_inferior=True), "non_inferior"),
        (0.001, 0.2, tost(equivalent=True), "equivalent"),
        # precedence: a difference within the margin is practically none; a gain says more than
        # the absence of a loss
        (-0.002, 0.001, tost(equivalent=True), "equivalent"),
        (0.002, 0.001, tost(equivalent=True), "equivalent"),
        (0.02, 0.04, tost(non_inferior=True), "better"),
        (-0.005, 0.04, tost(non_inferior=True), "worse"),
        # at the level is not below it
        (-0.02, 0.05, tost(), "inconclusive"),
        # what could not be tested shows nothing
        (-0.02, math.nan, tost(), "inconclusive"),
        (math.nan, math.nan, tost(), "inconclusive"),
        (0.02, math.nan, tost(non_inferior=True), "non_inferior"),
    ],
)
def test_verdict(estimate: float, p: float, test: EquivalenceResult, said: str) -> None:
    assert verdict(estimate, p, test, alpha=0.05) == said
    assert said in VERDICTS


def test_verdict_follows_the_level() -> None:
    assert verdict(-0.02, 0.04, tost(), alpha=0.01) == "inconclusive"
