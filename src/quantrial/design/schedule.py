"""In which order the arms are asked: pure, and decided before the first call.

`decide` turns what a study asks for, and what its arms weigh, into an `Order`; that is written down
with the run. `calls_of` turns an order into calls, always the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from quantrial.design.orders import Draws, balanced_orders

if TYPE_CHECKING:
    from quantrial.study import Design

Schedule = Literal["blocked", "round_robin", "sequential"]

LEAST_BLOCKS = 8  # an arm: fewer would leave a drift of the machine to chance
LOAD_SHARE = 0.05  # of a run's time, the most that loading may take for the sake of more blocks
TURN = 8  # calls in a row for each slot, so that the slots are busy for most of an arm's turn


@dataclass(frozen=True, slots=True)
class Call:
    """One planned question: `order` is its global position, `block` its run of items.

    `replicate` is 1 where the reference is asked an item for the second time; where arms give
    several answers, it counts them from 0.
    """

    order: int
    block: int
    task: str
    item: str
    arm: str
    replicate: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a run's calls, as it was decided.

    `blocks` is how many there are; as many as items means blocks of one. `repeats` is how many
    items of each task the reference answers twice; of the tasks in `whole` all. `samples` is how
    many answers each arm gives to each item; above 1, none is asked twice beside. `together`: all
    arms are held in memory at once; else one at a time. `load_seconds` is what loading is expected
    to take in all, None where that is not known. `because` says why.
    """

    schedule: Schedule
    blocks: int
    repeats: int = 0
    together: bool = True
    load_seconds: float | None = None
    because: str = ""
    whole: Sequence[str] = ()
    samples: int = 1


def decide(
    design: Design,
    counts: Sequence[int],
    load_seconds: Mapping[str, float | None],
    *,
    seed: int,
    together: bool,
    answer_seconds: float | None = None,
    whole: Sequence[str] = (),
) -> Order:
    """Decide on the order of calls.

    Args:
        design: what the study asks for.
        counts: items of each task.
        load_seconds: what loading each arm takes, in the study's order; None where not known.
        seed: the study's.
        together: whether all arms can be held in memory at once.
        answer_seconds: what all calls are expected to take without loading; None where not known.
        whole: the tasks of which the reference answers every item twice.
    """
    total = sum(counts)
    because = f"{'all arms' if together else 'the arms do not'} fit in memory together"
    schedule: Schedule = "blocked" if design.schedule == "auto" else design.schedule
    if schedule == "round_robin":
        blocks = total
    elif schedule == "sequential":
        blocks = 1
    elif design.blocks is not None:
        blocks, because = _usable(design.blocks, counts), "the study says how many blocks"
    elif design.schedule == "blocked":
        blocks = _usable(LEAST_BLOCKS, counts)
    elif together:
        # a turn of one call would leave all slots but one idle
        size = 1 if design.slots == 1 else TURN * design.slots
        blocks = _usable(max(LEAST_BLOCKS, -(-total // size)), counts)
    else:
        blocks = _affordable(load_seconds, counts, seed=seed, answer_seconds=answer_seconds)
        known = answer_seconds is not None and None not in load_seconds.values()
        because += f": {_why(blocks, _usable(LEAST_BLOCKS, counts), known=known)}"
    repeats = total if design.repeat_reference == "all" else design.repeat_reference
    samples = design.samples
    repeats = 0 if samples > 1 else repeats
    order = Order(schedule, blocks, repeats, together, None, because, tuple(whole), samples)
    if together or None in load_seconds.values():
        return order
    spent = sum(_loading(_turns(order, list(load_seconds), seed=seed), load_seconds))
    return replace(order, load_seconds=spent)


def _why(blocks: int, least: int, *, known: bool) -> str:
    """Say why there are so many blocks where one arm is held at a time."""
    share = f"{100 * LOAD_SHARE:g} % of the run"
    if blocks > least:
        return f"as many blocks as keep loading under {share}"
    if known:
        return f"the fewest blocks there may be; with more, loading would pass {share}"
    return "the fewest blocks there may be, as it is not known how long loading takes"


def _usable(blocks: int, counts: Sequence[int]) -> int:
    """Return the nearest number of blocks that leaves none of them empty."""
    total, longest = sum(counts), max(counts, default=0)
    return total if blocks >= total else min(blocks, longest)


def _affordable(
    load_seconds: Mapping[str, float | None],
    counts: Sequence[int],
    *,
    seed: int,
    answer_seconds: float | None,
) -> int:
    """Count the blocks whose loading stays under the share, and never fewer than the least."""
    least, most = _usable(LEAST_BLOCKS, counts), max(counts, default=0)
    if answer_seconds is None or None in load_seconds.values():
        return least
    budget = answer_seconds * LOAD_SHARE / (1 - LOAD_SHARE)  # loading is part of the run's time
    turns = _turns(Order("blocked", most), list(load_seconds), seed=seed)
    spent, blocks = 0.0, 0
    for seconds in _loading(turns, load_seconds):
        spent += seconds
        if spent > budget:
            break
        blocks += 1
    return max(least, blocks - blocks % 2)  # pairs of an order and its reverse stay whole


def _loading(
    turns: Sequence[Sequence[str]], load_seconds: Mapping[str, float | None]
) -> Iterator[float]:
    """Say how long each block's loading takes when one arm is held at a time."""
    loaded = None
    for turn in turns:
        seconds = 0.0
        for arm in turn:
            if arm != loaded:
                seconds += load_seconds[arm] or 0.0
            loaded = arm
        yield seconds


def calls_of(
    order: Order,
    items: Mapping[str, Sequence[str]],
    arms: Sequence[str],
    *,
    reference: str,
    seed: int,
) -> tuple[Call, ...]:
    """List the calls of an order.

    Every arm answers the items of a block before the next block begins. Where blocks are fewer than
    items, each holds its share of every task; else each is one item, and tasks follow one another.
    The items that the reference answers twice are drawn from the seed; the second time comes half
    a task later than the first, or earlier, so that the two lie as far apart as they can.

    Args:
        order: what was decided.
        items: item ids by task, in the order they are asked.
        arms: names of the arms, in the study's order.
        reference: the arm that is asked a second time.
        seed: the study's.
    """
    place = _places(order, items)
    first: list[list[tuple[str, str]]] = [[] for _ in range(order.blocks)]
    again: list[list[tuple[str, str]]] = [[] for _ in range(order.blocks)]
    for task, ids in items.items():
        repeats = len(ids) if task in order.whole else order.repeats
        drawn = _drawn(ids, repeats, seed=seed, task=task)
        for i, item in enumerate(ids):
            first[place[task][i]].append((task, item))
            later = (i + len(ids) // 2) % len(ids)
            if ids[later] in drawn:
                again[place[task][i]].append((task, ids[later]))
    calls: list[Call] = []
    for block, turn in enumerate(_turns(order, arms, seed=seed)):
        for arm in turn:
            asked = [(*key, k) for key in first[block] for k in range(order.samples)]
            if arm == reference:
                asked += [(*key, 1) for key in again[block]]
            for task, item, replicate in asked:
                calls.append(Call(len(calls), block, task, item, arm, replicate))
    return tuple(calls)


def _places(order: Order, items: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """Say in which block each item of each task is asked."""
    total, before = sum(map(len, items.values())), 0
    places = {}
    for task, ids in items.items():
        if order.blocks == total:
            places[task] = [before + i for i in range(len(ids))]
        else:
            places[task] = [i * order.blocks // len(ids) for i in range(len(ids))]
        before += len(ids)
    return places


def _drawn(ids: Sequence[str], size: int, *, seed: int, task: str) -> set[str]:
    def rank(item: str) -> bytes:
        return hashlib.sha256(f"{seed}\nrepeat\n{task}\n{item}".encode()).digest()

    return set(sorted(ids, key=rank)[:size])


def _turns(order: Order, arms: Sequence[str], *, seed: int) -> Sequence[Sequence[str]]:
    """Give each block its order of arms."""
    if order.schedule == "sequential":
        return [tuple(arms)]
    if order.schedule == "blocked":
        return balanced_orders(arms, order.blocks, rng=Draws(seed, "orders of arms"))
    first = sorted(arms, key=lambda arm: hashlib.sha256(f"{seed}\0{arm}".encode()).digest())
    turns = [block % len(first) for block in range(order.blocks)]
    return [(*first[turn:], *first[:turn]) for turn in turns]
