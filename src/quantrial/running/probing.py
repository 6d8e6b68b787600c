"""A short timed probe of an arm: how long it takes to load, and to answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.engines.sharing import Sharing
from quantrial.running.asking import answer, request_for

if TYPE_CHECKING:
    from quantrial.engines.base import Engine, Request
    from quantrial.records import Item
    from quantrial.running.prepare import Prepared
    from quantrial.study import Study

PROBE_ITEMS = 3
ROUNDS = 2  # calls for each slot, where several are asked at once
# Bytes of weights to load for a probe that was not asked for: seconds from a disk of today.
AFFORDABLE = 4e9


@dataclass(frozen=True, slots=True)
class Probe:
    """What one arm took: seconds to load, and by task what all its items would take.

    `load_seconds` is None where nothing was loaded; `was_loaded`: since the server happened to have
    the model in memory. `gain` says how many times as fast calls are answered at once, as many as
    the study has slots, as one at a time; None where the study asks one at a time.
    """

    load_seconds: float | None
    seconds: Mapping[str, float]
    gain: float | None = None
    was_loaded: bool = False


def affordable(engines: Mapping[str, Engine], records: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a probe costs nobody money, and little time: all arms near, and not large.

    Args:
        engines: by arm; those that answer on this machine say so by their attribute `local`.
        records: the manifest's record of each arm.
    """
    near = all(getattr(engine, "local", False) for engine in engines.values())
    loading = [one for one in records.values() if not one.get("resident")]
    return near and sum(one.get("bytes_on_disk") or 0 for one in loading) <= AFFORDABLE


_ON_SERVERS = ("ollama", "openai")  # engines whose models are loaded elsewhere

Tell = Callable[[str], None]


def probe(
    study: Study,
    prepared: Prepared,
    engine: Engine,
    *,
    alone: bool = False,
    tell: Tell | None = None,
) -> Probe:
    """Time a load and a few calls a task, after one that warms up, scaled to the whole task.

    Where the study has several slots, other calls are asked as many at once, and these are scaled.

    Args:
        study: the study.
        prepared: its items and tasks.
        engine: the arm's.
        alone: the arm leaves the memory again afterwards.
        tell: told in a few words what is done next.
    """
    tell = tell or _silently
    tell("loading on the server" if engine.name in _ON_SERVERS else "loading")
    load, slots = engine.start(), study.design.slots
    single, spent = 0.0, {}
    try:
        for number, (name, task) in enumerate(prepared.tasks.items()):
            items = prepared.items[name]
            few, others = _drawn(items, slots)
            calls = [request_for(task.prompt(item), study, name) for item in few]
            if number == 0:
                tell("the first call")
                answer(engine, calls[0])
            tell(f"{len(calls)} calls of {name}, one at a time")
            a_call = _one_by_one(engine, calls)
            single += a_call * len(items)
            if slots > 1:
                more = [request_for(task.prompt(item), study, name) for item in others]
                tell(f"{len(more)} calls of {name}, {slots} at once")
                a_call = _at_once(engine, more, slots)
            spent[name] = a_call * len(items)
    finally:
        if alone:
            engine.close()
    gain = single / sum(spent.values()) if slots > 1 and any(spent.values()) else None
    return Probe(load or None, spent, gain, not load and isinstance(engine, Sharing))


def _silently(_: str) -> None:
    pass


def _drawn(items: Sequence[Item], slots: int) -> tuple[list[Item], list[Item]]:
    """Draw items from all over a task: to be asked one by one, and others for several at once.

    They are not the same ones, since an engine may keep what it read of a prompt; only a task with
    too few items lends some of them twice.
    """
    wanted = PROBE_ITEMS + (ROUNDS * slots if slots > 1 else 0)
    drawn = list(items[:: max(1, len(items) // wanted)][:wanted])
    few = drawn[:: max(1, len(drawn) // PROBE_ITEMS)][:PROBE_ITEMS]
    others = [item for item in drawn if item not in few] or few
    return few, others


def _one_by_one(engine: Engine, calls: Sequence[Request]) -> float:
    """Return seconds a call."""
    clock = time.monotonic()
    for call in calls:
        answer(engine, call)
    return (time.monotonic() - clock) / len(calls)


def _at_once(engine: Engine, calls: Sequence[Request], slots: int) -> float:
    """Return seconds a call, several at once: of all together, over how many there were."""
    clock = time.monotonic()
    with ThreadPoolExecutor(max_workers=slots) as pool:
        for answered in [pool.submit(answer, engine, call) for call in calls]:
            answered.result()
    return (time.monotonic() - clock) / len(calls)
