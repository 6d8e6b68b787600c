"""Sizes, times and the end of a speed phase as the terminal shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantrial.running.progress import SpeedResult


def size(value: float | None) -> str:
    """Write bytes in MB or GB."""
    if value is None:
        return "unknown"
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def sizes(*values: float | None) -> list[str]:
    """Write sizes that are read beside each other, all in the largest one's unit."""
    if max((value for value in values if value is not None), default=0) < 1e9:
        return [size(value) for value in values]
    return ["unknown" if value is None else f"{value / 1e9:.2f} GB" for value in values]


def duration(seconds: float | None) -> str:
    """Write seconds as a person would say them."""
    if seconds is None:
        return "not probed"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


_ENDINGS = {
    "narrow": "every ratio is within ±{aim:g} %",
    "time_limit": "time was up before every ratio was within ±{aim:g} %",
    "no_length": "no length of prompt and answer fits the context of every arm",
    "unfinished": "not finished",
}


def ended(result: SpeedResult, took: str) -> str:
    """Say how the phase ended; `took` is its time in words."""
    ending = _ENDINGS[result.status].format(aim=100 * result.precision)
    at = "" if result.widest is None else f"; the widest is ±{100 * result.widest:.1f} %"
    if result.widest is not None and result.widest >= 1:
        at = (
            f"; {result.blocks} are too few to tell any ratio"  # beyond ±100 % a width says nothing
        )
    blocks = f"{result.blocks} block{'' if result.blocks == 1 else 's'}"
    return f"Speed: {blocks} measured in {took}: {ending}{at}"
