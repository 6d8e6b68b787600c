"""Speeds pooled over the answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from analysis.fabricated import (
    make_response,
    quiz,
)
from quantrial.analysis.speed.timings import speed


def timed(tokens: int | None, decode: float | None, **timing: float | None) -> Any:
    values = {"load": None, "prompt": None, "decode": decode, "wall": None, **timing}
    return make_response(quiz(1)[0], "new", "A", completion_tokens=tokens, timing=values)


def test_speed_pools_tokens_over_seconds_by_hand() -> None:
    found = speed([timed(10, 1.0), None, timed(90, 3.0), timed(None, 5.0), timed(7, None)])
    assert found.tokens_per_second == 100 / 4
    assert found.mean_tokens_per_second == (10 / 1 + 90 / 3) / 2
    assert found.n == 4
    assert found.completion_tokens == 107
    assert found.prompt_tokens_per_second is None
    assert found.seconds_per_answer is None


def test_speed_of_reading_and_waiting_by_hand() -> None:
    given = [timed(1, 1.0, prompt=p, wall=w) for p, w in ((0.5, 1.0), (2.0, 2.0), (None, 9.0))]
    found = speed(given)
    assert found.prompt_tokens == 150
    assert found.prompt_tokens_per_second == 100 / 2.5  # 50 tokens each, two timed
    assert found.seconds_per_answer == 4
    assert found.median_seconds_per_answer == 2
    # 40 of the first prompt's 50 tokens came from a cache: 10 and 50 were read
    given[0] = dataclasses.replace(given[0], cached_tokens=40)
    assert speed(given).prompt_tokens_per_second == 60 / 2.5


@pytest.mark.parametrize("responses", [[], [None], [timed(0, 0.0)], [timed(5, 0.0)]])
def test_speed_is_unknown_rather_than_infinite(responses: list[Any]) -> None:
    found = speed(responses)
    assert found.tokens_per_second is None
    assert found.mean_tokens_per_second is None
