"""Before a run: whether a gate can pass with so many items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from quantrial.decision.margin_tests import POWER, fewest_items
from quantrial.errors import StudyError
from quantrial.registry import hint_of
from quantrial.words import margin, plural

if TYPE_CHECKING:
    from quantrial.design.plan import TaskPlan
    from quantrial.study import GatePart

_CHANGED = 0.02  # share of answers that differ, half of them for the better: usual for 8 bits


def prospects(gate: GatePart, tasks: Sequence[TaskPlan], alpha: float) -> Iterator[str]:
    """Yield a sentence for each proof of a gate and each task: what it takes, and what is there.

    Raises:
        StudyError: a requirement is about a task that the study does not have.
    """
    from quantrial.stats import items_for_flips

    by_name = {task.name: task for task in tasks}
    for number, one in enumerate(gate.require):
        if one.task is not None and one.task not in by_name:
            raise StudyError(
                f"the study has no task {one.task!r}; {hint_of(one.task, by_name, 'there are ')}",
                key=f"gate.require.{number}.task",
            )
        loss = one.non_inferior
        if loss is None:
            continue
        for task in tasks if one.task is None else (by_name[one.task],):
            about = f"{task.name}: to rule out a loss of {margin(loss)}"
            if task.least_items is None or task.clusters is not None or one.endpoint is not None:
                yield f"{about}, the number of items is not known beforehand."
                continue
            least = fewest_items(loss, alpha)
            rate = _CHANGED / 2
            usual = items_for_flips(
                rate, rate, question="non_inferior", margin=loss, power=POWER, alpha=alpha
            )
            if task.items < least:
                end = "this gate cannot pass"
            elif usual is None or task.items < usual:
                end = "this gate may well end undecided"
            else:
                end = "enough"
            typical = "" if usual is None else f" and about {usual:,} if 2 % change"
            yield (
                f"{about} takes {plural(least, 'item')} if no answer changes{typical}; you have "
                f"{task.items:,}: {end}."
            )
