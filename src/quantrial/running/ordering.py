"""The order of a run's calls: probed for, decided once, written down, used ever after."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantrial.design.schedule import Order, calls_of, decide
from quantrial.engines.abilities import Sharing
from quantrial.errors import EngineError, EngineStartError, RecordError
from quantrial.running.arms import naming
from quantrial.running.asking import answer, request_for
from quantrial.system import available_memory

if TYPE_CHECKING:
    from pathlib import Path

    from quantrial.design.schedule import Call
    from quantrial.engines.base import Engine, Request
    from quantrial.records import ArmRecord, Item, Manifest
    from quantrial.running.prepare import Prepared
    from quantrial.study import Study


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that each arm takes (weights and KV cache), and what the machine has left.

    An arm that a server holds already takes nothing.
    None stands for what is not known. `one_at_a_time` says that the engine of some arm holds one
    model only, whatever there is room for.
    """

    each: Mapping[str, int | None]
    available: int | None
    one_at_a_time: bool

    @property
    def needed(self) -> int | None:
        """Bytes that are needed at once: of all arms, or of the largest where one is held."""
        sizes = [size for size in self.each.values() if size is not None]
        if len(sizes) < len(self.each):
            return None
        return max(sizes, default=0) if self.one_at_a_time else sum(sizes)

    @property
    def together(self) -> bool | None:
        """Whether all arms can be in memory at once; None where that is not known."""
        if self.one_at_a_time:
            return False
        if self.needed is None or self.available is None:
            return None
        return self.needed <= self.available

    @property
    def too_large(self) -> tuple[str, ...]:
        """The arms that do not fit even alone."""
        if self.available is None:
            return ()
        return tuple(
            arm for arm, size in self.each.items() if size is not None and size > self.available
        )


def memory_of(arms: Mapping[str, ArmRecord], available: int | None) -> Memory:
    """Add up what arms take in memory.

    Args:
        arms: the manifest's record of each arm.
        available: bytes that are free for them; None where that is not known.
    """
    return Memory(
        each={name: _bytes(arm) for name, arm in arms.items()},
        available=available,
        one_at_a_time=any(arm.one_at_a_time for arm in arms.values()),
    )


def _bytes(arm: ArmRecord) -> int | None:
    if arm.resident:
        return 0
    return None if arm.bytes_on_disk is None else arm.bytes_on_disk + (arm.kv_bytes or 0)


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


def affordable(engines: Mapping[str, Engine], records: Mapping[str, ArmRecord]) -> bool:
    """Whether a probe costs nobody money, and little time: all arms near, and not large.

    Args:
        engines: by arm; those that answer on this machine say so by their attribute `local`.
        records: the manifest's record of each arm.
    """
    near = all(getattr(engine, "local", False) for engine in engines.values())
    loading = [one for one in records.values() if not one.resident]
    return near and sum(one.bytes_on_disk or 0 for one in loading) <= AFFORDABLE


_ON_SERVERS = ("ollama", "openai")  # engines whose models are loaded elsewhere

Tell = Callable[[str], None]


def silently(_: str) -> None:
    """Tell nobody what is done."""


def probe(
    study: Study,
    prepared: Prepared,
    engine: Engine,
    *,
    alone: bool = False,
    tell: Tell = silently,
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
            a_call = _seconds_a_call(engine, calls, 1)
            single += a_call * len(items)
            if slots > 1:
                more = [request_for(task.prompt(item), study, name) for item in others]
                tell(f"{len(more)} calls of {name}, {slots} at once")
                a_call = _seconds_a_call(engine, more, slots)
            spent[name] = a_call * len(items)
    finally:
        if alone:
            engine.close()
    gain = single / sum(spent.values()) if slots > 1 and any(spent.values()) else None
    return Probe(load or None, spent, gain, not load and isinstance(engine, Sharing))


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


def _seconds_a_call(engine: Engine, calls: Sequence[Request], slots: int) -> float:
    """Return the seconds of all calls together, over how many there were."""
    clock = time.monotonic()
    if slots == 1:  # in this thread, so that an interrupt reaches the engine
        for call in calls:
            answer(engine, call)
    else:
        with ThreadPoolExecutor(max_workers=slots) as pool:
            for answered in [pool.submit(answer, engine, call) for call in calls]:
                answered.result()
    return (time.monotonic() - clock) / len(calls)


# Of the free memory, what arms may take: buffers of the computation and other programs need some.
USABLE = 0.9


def fit_together(records: Mapping[str, ArmRecord]) -> bool:
    """Say whether all arms can be held in memory at once; true where nothing speaks against it.

    An arm that does not say how large it is, such as one on another machine, takes nothing here.
    Where a server decides it (`server_decides`), it is not known, and taken as no.
    """
    free = available_memory()
    said = {name: one for name, one in records.items() if one.bytes_on_disk is not None}
    usable = None if free is None else int(free * USABLE)
    own = any(one.one_at_a_time is not False for one in records.values())
    return not own and memory_of(said, usable).together is not False


def server_decides(records: Mapping[str, ArmRecord]) -> bool:
    """Whether it is for a server to say if all arms stay in memory: nothing else is against it."""
    unsaid = {
        name: dataclasses.replace(one, one_at_a_time=False, resident=True)
        for name, one in records.items()
        if one.one_at_a_time is None
    }
    return bool(unsaid) and fit_together({**records, **unsaid})


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
        whole=[name for name, part in study.tasks.items() if not part.has_gold],
    )


def settle_order(
    study: Study,
    prepared: Prepared,
    engines: Mapping[str, Engine],
    records: Mapping[str, ArmRecord],
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
    probes: dict[str, Probe] = {}
    if not together and design.schedule == "auto" and design.blocks is None:
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
