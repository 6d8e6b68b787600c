"""Tasks: where items come from, what is asked, how texts are scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quantrial.tasks.base import Endpoint, Outcome, Prompt, Task

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.study import ChoiceTask, SpansTask

__all__ = ["Endpoint", "Outcome", "Prompt", "Task", "make_task"]


def make_task(
    name: str,
    spec: ChoiceTask | SpansTask,
    *,
    shots: Sequence[Item] = (),
    types: Sequence[str] = (),
) -> Task:
    """Make the task a study declares.

    `shots` are all solved examples of the source (`LoadedItems.shots`); a task takes as many as
    its part of the study says, for MMLU those of the item's subject. `types` are the entity types
    of the source.
    """
    if spec.kind == "choice":
        from quantrial.tasks.choice import Choice

        return Choice(name, spec, shots)
    from quantrial.tasks.spans import Spans

    return Spans(name, spec, shots, types)
