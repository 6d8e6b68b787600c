"""How far a run has come, where there is no terminal."""

from __future__ import annotations

import pytest

from quantrial.cli import progress
from quantrial.running import Progress


class Hand:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def at(done: int, seconds_left: float | None) -> Progress:
    return Progress(
        phase="asking",
        done={"f16": done, "q8_0": 0},
        total={"f16": 2000, "q8_0": 2000},
        rate=2.0,
        seconds_left=seconds_left,
        faults=0,
        last=None,
        said=None,
    )


def test_by_hand_a_line_every_half_minute_whether_or_not_it_moves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hand = Hand()
    lines = progress._Lines(hand)
    for second in range(100):
        hand.now = float(second)
        if second in (10, 40):
            lines.listen(at(1000 + second, 1800.0))
        lines.tick()
    assert capsys.readouterr().err.splitlines() == [
        "1,010 of 4,000 calls; 2.0 calls/s, 30:00 left",
        "1,040 of 4,000 calls; 2.0 calls/s, 30:00 left",
        "1,040 of 4,000 calls; 2.0 calls/s, 30:00 left",
    ]


def test_a_run_that_has_not_begun_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    hand = Hand()
    lines = progress._Lines(hand)
    hand.now = 31.0
    lines.tick()
    assert capsys.readouterr().err == "starting\n"
