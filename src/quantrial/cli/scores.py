"""Interim scores while a run goes on, for those who asked to see them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantrial.records import Item, Response
    from quantrial.tasks import Task


class InterimScores:
    """Scores every answer of a run as it comes; what earlier sessions recorded counts too."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._tasks: dict[str, Task] = {}
        self._items: dict[tuple[str, str], Item] = {}
        self._sums: dict[tuple[str, str], list[float]] = {}
        self._counted: set[tuple[str, str, str]] = set()

    def __call__(self, response: Response) -> dict[str, str]:
        """Score one answer; say how its arm stands on each task's primary endpoint so far."""
        if not self._tasks:
            self._open()
        self._count(response)
        arm = response.arm
        told = [
            f"{task} {100 * top / bottom:.0f} %"
            for (task, name), (top, bottom) in self._sums.items()
            if name == arm and bottom
        ]
        return {arm: ", ".join(told)}

    def _open(self) -> None:
        from quantrial.runfolder import RunFolder
        from quantrial.study import load_study
        from quantrial.tasks import make_task

        folder = RunFolder(self._folder)
        study = load_study(folder.study_path)
        items = folder.read_items()
        self._tasks = {name: make_task(name, spec) for name, spec in study.tasks.items()}
        self._items = {(task, one.id): one for task, found in items.items() for one in found}
        for task, found in items.items():
            known = {one.id for one in found}
            for arm in study.arms:
                for response in folder.read_responses(task, arm, known=known):
                    if response.status == "ok":
                        self._count(response)

    def _count(self, response: Response) -> None:
        from quantrial.analysis.reading import read_response

        key = (response.task, response.item, response.arm)
        if response.replicate or key in self._counted:
            return
        self._counted.add(key)
        task = self._tasks[response.task]
        endpoint = task.endpoints[0]
        item = self._items[response.task, response.item]
        # what other answers tell of the template is known only in the end
        values = task.score(item, read_response(task, item, response, opened=None)).values
        sums = self._sums.setdefault((response.task, response.arm), [0.0, 0.0])
        sums[0] += sum(weight * values[name] for name, weight in endpoint.numerator.items())
        sums[1] += (
            sum(weight * values[name] for name, weight in endpoint.denominator.items())
            if endpoint.denominator
            else 1.0
        )
