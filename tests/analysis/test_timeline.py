from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from quantrial.analysis.speed.timings import timeline
from quantrial.documents import to_dict
from quantrial.records import Response


def call(order: int, *, tokens: int | None = 10, seconds: float | None = 1.0, **more: Any) -> Any:
    timing = {
        "load": more.pop("load", None),
        "prompt": 0.1,
        "decode": seconds,
        "wall": more.pop("wall", None),
    }
    return Response(
        *("s", "t", "a", f"i{order}", 0, 1, order, 0, "ok", None, "x", "stop"),
        prompt_tokens=5,
        completion_tokens=tokens,
        timing=timing,
        started_at=f"2026-01-01T00:00:{order:02d}.000Z",
        **more,
    )


def followed(**arms: list[Any]) -> dict[str, Any]:
    outcomes = {
        "t": SimpleNamespace(responses={arm: tuple(all_of) for arm, all_of in arms.items()})
    }
    return to_dict(timeline(cast(Any, outcomes)))


def test_pace_by_hand() -> None:
    # 80 places make windows of two; 40 tokens in 4 s, 40 in 12 s: 5 tokens a second on the whole,
    # so the first two calls ran at 10 / 5 = 2 times, the last two at 3.33 / 5 = 2 / 3
    calls = [call(0, tokens=20, seconds=2.0), call(1, tokens=20, seconds=2.0)]
    calls += [call(78, tokens=20, seconds=6.0), call(79, tokens=20, seconds=6.0)]
    found = followed(a=calls)
    assert found["calls"] == 80
    assert [(one["from"], one["to"], one["n"]) for one in found["windows"]] == [
        (0, 1, 2),
        (78, 79, 2),
    ]
    assert [one["pace"] for one in found["windows"]] == pytest.approx([2.0, 2 / 3])
    assert found["windows"][0]["started_at"] == "2026-01-01T00:00:00.000Z"


def test_arms_are_each_held_against_their_own_mean_by_hand() -> None:
    slow = [call(0, seconds=4.0), call(2, seconds=4.0)]
    fast = [call(1, seconds=1.0), call(3, seconds=1.0)]
    found = followed(slow=slow, fast=fast)
    assert [one["pace"] for one in found["windows"]] == [1.0, 1.0, 1.0, 1.0]
    assert [one["arm"] for one in found["windows"]] == ["slow", "fast", "slow", "fast"]


def test_loads_are_counted_and_are_no_slowness_by_hand() -> None:
    # no decode times: whole calls count, less their loads
    calls = [call(0, seconds=None, wall=6.0, load=5.0), call(1, seconds=None, wall=1.0, load=0.001)]
    found = followed(a=calls)
    assert [one["loads"] for one in found["windows"]] == [1, 0]
    assert found["windows"][0]["load_seconds"] == 5.0
    assert [one["pace"] for one in found["windows"]] == pytest.approx([0.9995, 1.0005], abs=1e-4)


def test_nothing_timed_and_nothing_answered() -> None:
    found = followed(a=[call(0, seconds=None), None])
    assert [one["pace"] for one in found["windows"]] == [None]
    assert followed(a=[None]) == {"calls": 0, "windows": []}


def test_a_long_run_is_at_most_forty_windows_an_arm() -> None:
    found = followed(a=[call(i) for i in range(59)])
    assert len(found["windows"]) <= 40
    assert sum(one["n"] for one in found["windows"]) == 59
