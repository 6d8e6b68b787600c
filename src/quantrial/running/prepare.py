"""From a study to what will be asked: items drawn, tasks made. Nothing is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.design.sampling import draw
from quantrial.errors import DataError
from quantrial.tasks import Task, make_task
from quantrial.tasks.sources import load_items

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.study import Study


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that is decided before the first call."""

    tasks: Mapping[str, Task]
    items: Mapping[str, tuple[Item, ...]]
    provenance: Mapping[str, Mapping[str, Any]]

    @property
    def ids(self) -> dict[str, list[str]]:
        """The ids of each task's items, in the order they are asked."""
        return {name: [item.id for item in drawn] for name, drawn in self.items.items()}


def prepare(study: Study, *, base: Path) -> Prepared:
    """Load and draw the items of every task.

    Args:
        study: the study.
        base: the folder that its relative paths start from.

    Raises:
        DataError: a source cannot be read, or holds fewer items than the sample asks for.
    """
    tasks: dict[str, Task] = {}
    items: dict[str, tuple[Item, ...]] = {}
    provenance: dict[str, Mapping[str, Any]] = {}
    for name, spec in study.tasks.items():
        try:
            loaded = load_items(name, spec, base=base)
            items[name] = draw(
                loaded.items, seed=study.seed, size=spec.sample, stratify=spec.stratify
            )
            _check_cluster(items[name], spec.cluster)
        except DataError as exc:
            raise DataError(f"{exc} (task {name!r})") from exc
        tasks[name] = make_task(name, spec, shots=loaded.shots, items=loaded.items)
        provenance[name] = {**loaded.provenance, "available": len(loaded.items)}
    return Prepared(tasks, items, provenance)


def _check_cluster(items: Sequence[Item], cluster: str | None) -> None:
    """Refuse a cluster that the items do not name, before anything is asked."""
    for item in items if cluster else ():
        if cluster not in item.metadata:
            there = ", ".join(sorted(item.metadata)) or "none"
            raise DataError(
                f"cannot cluster: {item.source or item.id} has no {cluster!r}; keys there: {there}"
            )
