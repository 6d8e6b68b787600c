"""The order of a run's calls: decided once, written into the manifest, used ever after."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantrial.design.schedule import Order, calls_of, decide
from quantrial.engines.sharing import Sharing
from quantrial.errors import EngineError, EngineStartError, RecordError
from quantrial.running.arms import naming
from quantrial.running.memory import memory_of
from quantrial.running.probing import probe
from quantrial.system import available_memory

if TYPE_CHECKING:
    from pathlib import Path

    from quantrial.design.schedule import Call
    from quantrial.engines.base import Engine
    from quantrial.records import Manifest
    from quantrial.running.prepare import Prepared
    from quantrial.running.probing import Probe
    from quantrial.study import Study

# Of the free memory, what arms may take: buffers of the computation and other programs need some.
USABLE = 0.9


def fit_together(records: Mapping[str, Mapping[str, Any]]) -> bool:
    """Say whether all arms can be held in memory at once; true where nothing speaks against it.

    An arm that does not say how large it is, such as one on another machine, takes nothing here.
    Where a server decides it (`server_decides`), it is not known, and taken as no.
    """
    free = available_memory()
    said = {name: one for name, one in records.items() if one.get("bytes_on_disk") is not None}
    usable = None if free is None else int(free * USABLE)
    own = any(one.get("one_at_a_time", False) is not False for one in records.values())
    return not own and memory_of(said, usable).together is not False


def server_decides(records: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether it is for a server to say if all arms stay in memory: nothing else is against it."""
    unsaid = [name for name, one in records.items() if one.get("one_at_a_time", False) is None]
    theirs = {"one_at_a_time": False, "resident": True}
    return bool(unsaid) and fit_together(
        {name: {**one, **theirs} if name in unsaid else one for name, one in records.items()}
    )


def all_stayed(engines: Mapping[str, Engine]) -> bool:
    """Ask the servers, once every arm was loaded, whether all are still in memory."""
    return all(one.in_memory() for one in engines.values() if isinstance(one, Sharing))


def choose_order(
    study: Study,
    prepared: Prepared,
    *,
    together: bool,
    probes: Mapping[str, Probe] | None = None,
) -> Order:
    """Decide on the order of calls, from whether the arms fit and, if probed, how long they take.

    Args:
        study: the study.
        prepared: its items.
        together: whether all arms can be held in memory at once.
        probes: what loading and answering took, by arm; None or empty where nothing was timed.
    """
    probes = probes or {}
    return decide(
        study.design,
        [len(items) for items in prepared.items.values()],
        {arm: probes[arm].load_seconds if arm in probes else None for arm in study.arms},
        seed=study.seed,
        together=together,
        answer_seconds=sum(sum(one.seconds.values()) for one in probes.values()) or None,
    )


def settle_order(
    study: Study,
    prepared: Prepared,
    engines: Mapping[str, Engine],
    records: Mapping[str, Mapping[str, Any]],
) -> Order:
    """Decide on the order of a new run.

    Where it depends on how long loading takes, each arm is loaded once and timed; an arm that
    cannot answer just then leaves it at the least number of blocks. A server that decides by itself
    how many models it holds is asked once all were loaded.

    Raises:
        EngineStartError: an arm cannot be loaded.
    """
    design, together = study.design, fit_together(records)
    asked = not together and server_decides(records)
    timed = not together and design.schedule == "auto" and design.blocks is None
    probes: dict[str, Probe] = {}
    if timed:
        probes = _timed(study, prepared, engines, alone=not asked)
    if asked:
        for name, engine in engines.items() if not probes else ():
            with naming(name, engine):
                engine.start()
        together = all_stayed(engines)
    if not together and probes:
        probes = with_loads(engines, probes)
    return choose_order(study, prepared, together=together, probes=probes)


def _timed(
    study: Study, prepared: Prepared, engines: Mapping[str, Engine], *, alone: bool
) -> dict[str, Probe]:
    """Time every arm; none where one cannot answer just now.

    Raises:
        EngineStartError: an arm cannot be loaded.
    """
    probes: dict[str, Probe] = {}
    try:
        for name, engine in engines.items():
            with naming(name, engine):
                probes[name] = probe(study, prepared, engine, alone=alone)
    except EngineStartError:
        raise
    except EngineError:
        return {}
    return probes


def with_loads(engines: Mapping[str, Engine], probes: Mapping[str, Probe]) -> dict[str, Probe]:
    """Time the loads of arms that happened to be in memory: they will be loaded again and again."""
    found = dict(probes)
    for name, one in probes.items():
        engine = engines[name]
        if one.was_loaded and isinstance(engine, Sharing):
            with naming(name, engine):
                load = engine.reload()
            found[name] = dataclasses.replace(one, load_seconds=load, was_loaded=False)
    return found


def design_record(order: Order, study: Study) -> dict[str, Any]:
    """Write the order down for the manifest."""
    return {**dataclasses.asdict(order), "slots": study.design.slots}


def recorded_order(manifest: Manifest, items: int, *, path: Path) -> Order:
    """Read the order of a run from its manifest.

    Runs from before the order was written down asked blocks of one item, the arms rotated.

    Raises:
        RecordError: the manifest's `design` is not what it should be.
    """
    if not manifest.design:
        return Order("round_robin", items, together=True)
    said = {key: value for key, value in manifest.design.items() if key != "slots"}
    try:
        order = Order(**said)
        sound = order.schedule in ("blocked", "round_robin", "sequential") and order.blocks >= 1
    except TypeError as exc:
        raise RecordError(f"`design` is not an order of calls ({exc})", path=path) from exc
    if not sound or order.blocks > max(items, 1):
        raise RecordError(
            f"`design` says {order.blocks!r} blocks of schedule {order.schedule!r}, for "
            f"{items} items",
            path=path,
        )
    return order


def planned_calls(order: Order, items: Mapping[str, list[str]], study: Study) -> tuple[Call, ...]:
    """List the calls of a study in their order."""
    return calls_of(order, items, list(study.arms), reference=study.reference, seed=study.seed)
