"""What an arm scores that does not try: by guessing, or by answering with nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes


def chance(scored: TaskOutcomes) -> float | None:
    """Accuracy of guessing blindly; None where nothing is guessed."""
    if scored.task.kind != "choice" or not scored.items:
        return None
    return sum(1 / len(item.content["options"]) for item in scored.items) / len(scored.items)


def always_empty(scored: TaskOutcomes) -> float | None:
    """Mean F1 of always answering with nothing: right where there is nothing; None elsewhere."""
    if scored.task.kind != "spans" or not scored.items:
        return None
    return sum(not item.gold for item in scored.items) / len(scored.items)
