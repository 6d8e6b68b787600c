"""How a speed phase ended, in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantrial.running.progress import SpeedResult

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
