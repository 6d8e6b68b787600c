"""Generated items: is reported damage found in them, and is the same in other words left alone?

An arm whose every answer is right against a control that damages 6 % of its items as reported, and
against a twin that words each answer otherwise; each study has items of its own.
"""

from pathlib import Path

import numpy as np

from characteristics.cells import Cell, Measured
from quantrial.analysis.outcomes import Panel
from quantrial.analysis.scores import compare_panel
from quantrial.generators.base import Generator, Row
from quantrial.records import Item
from quantrial.registry import GENERATORS
from quantrial.strict_yaml import write_yaml
from quantrial.study import parse_study
from quantrial.tasks import Task, make_task
from quantrial.tasks.sources import load_items


def generated(cell: Cell) -> Measured:
    """How often control and twin are found worse."""
    generator: Generator = GENERATORS.load(cell.kind)
    worse = {"control": 0, "twin": 0}
    for seed in range(cell.replications):
        rows, task, items = made(cell.kind, cell.n, seed)
        for arm in worse:
            said = [
                generator.control(row, seed=seed)
                if arm == "control"
                else generator.twin(row, seed=seed)
                for row in rows
            ]
            right = [generator.right(row) for row in rows]
            worse[arm] += _verdict(task, items, (right, said), generator.margin) == "worse"
    return Measured(
        {f"{arm} found worse": count / cell.replications for arm, count in worse.items()}
    )


def made(name: str, count: int, seed: int) -> tuple[list[Row], Task, list[Item]]:
    """Items of a generator as a study has them, in the order of the rows."""
    generator: Generator = GENERATORS.load(name)
    source = {"type": "generated", "items": name, "count": count, "seed": seed}
    part = {"kind": "text", "workload": name, "source": source, "id": "id", **generator.task}
    arms = {arm: {"engine": "scripted", "model": arm} for arm in ("a", "b")}
    study = parse_study(
        write_yaml({"study": "made", "reference": "a", "arms": arms, "tasks": {"made": part}})
    )
    spec = study.tasks["made"]
    items = {one.id: one for one in load_items("made", spec, base=Path()).items}
    rows = generator.rows(count, seed)
    task = make_task("made", spec, items=list(items.values()))
    return rows, task, [items[row["id"]] for row in rows]


def _verdict(
    task: Task, items: list[Item], answers: tuple[list[str], list[str]], margin: float
) -> str:
    endpoint = task.endpoints[0]
    top, bottom = np.zeros((len(items), 2, 1)), np.ones((len(items), 2, 1))
    for arm, said in enumerate(answers):
        for at, (item, text) in enumerate(zip(items, said, strict=True)):
            values = task.score(item, text).values
            top[at, arm, 0] = sum(w * values[c] for c, w in endpoint.numerator.items())
            if endpoint.denominator:
                bottom[at, arm, 0] = sum(w * values[c] for c, w in endpoint.denominator.items())
    answered = np.ones((len(items), 2), dtype=np.bool_)
    panel = Panel(("reference", "candidate"), (endpoint,), top, bottom, answered)
    found = compare_panel(panel, margin=margin, alpha=0.05, seed=1, resamples=200)
    return str(found.verdict)
