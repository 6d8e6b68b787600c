"""Tasks: where items come from, what is asked, how texts are scored.

A kind of task is a class derived from `Task`; the registry knows it by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quantrial.registry import kind_of
from quantrial.tasks.base import (
    Endpoint,
    FailureCount,
    FailureMode,
    Outcome,
    Prompt,
    Task,
)
from quantrial.tasks.tables import FailureColumn, FailureTable

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.study import TaskPart

__all__ = [
    "Endpoint",
    "FailureColumn",
    "FailureCount",
    "FailureMode",
    "FailureTable",
    "Outcome",
    "Prompt",
    "Task",
    "make_task",
]


def make_task(
    name: str, spec: TaskPart, *, shots: Sequence[Item] = (), items: Sequence[Item] = ()
) -> Task:
    """Make the task a study declares.

    `shots` are all solved examples of the source (`LoadedItems.shots`); a task takes as many as
    its part of the study says, for MMLU those of the item's subject. `items` are all items of the
    source.
    """
    made: Task = kind_of(spec).made(name, spec, shots, items)
    return made
