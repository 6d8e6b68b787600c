"""A short timed probe of an arm: how long it takes to load, and to answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantrial.running.asking import request_for

if TYPE_CHECKING:
    from quantrial.engines.base import Engine
    from quantrial.running.prepare import Prepared
    from quantrial.study import Study

PROBE_ITEMS = 3


@dataclass(frozen=True, slots=True)
class Probe:
    """What one arm took: seconds to load, and by task what all its items would take."""

    load_seconds: float
    seconds: Mapping[str, float]


def probe(study: Study, prepared: Prepared, engine: Engine, *, alone: bool = False) -> Probe:
    """Time a load and a few calls a task, after one that warms up, scaled to the whole task.

    Args:
        study: the study.
        prepared: its items and tasks.
        engine: the arm's.
        alone: the arm leaves the memory again afterwards.
    """
    load = engine.start()
    spent = {}
    try:
        for name, task in prepared.tasks.items():
            items = prepared.items[name]
            few = items[:: max(1, len(items) // PROBE_ITEMS)][:PROBE_ITEMS]
            prompts = [request_for(task.prompt(item), study, name) for item in (few[0], *few)]
            engine.ask(prompts[0])
            clock = time.monotonic()
            for prompt in prompts[1:]:
                engine.ask(prompt)
            spent[name] = (time.monotonic() - clock) / len(few) * len(items)
    finally:
        if alone:
            engine.close()
    return Probe(load, spent)
