"""The pick under constraints: a pure function of a compact table, so that any language can hold it.

`decision.picker` is the table (`docs/decision.md` tells its shape key by key). The report's "What
would you pick?" is a port of this file, and is tested against it.

    arms in order of cost ── each: which constraints does it break? ──▶ the first that breaks none

One arm is chosen among several, so a loss counts as ruled out where it is after Holm: candidates
are held against it at the level of so many as are left, see `chosen_among`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from quantrial.documents import Number
from quantrial.documents.decision import (
    ConstraintName,
    Constraints,
    Picker,
    PickerLevel,
    PickerRow,
)


@dataclass(frozen=True, slots=True)
class Break:
    """A constraint that an arm breaks; the fields are those of `Broken`, before it is worded."""

    constraint: ConstraintName
    task: str | None
    value: Number | None
    limit: Number | None
    excess: Number


@dataclass(frozen=True, slots=True)
class Answer:
    """What is picked under some constraints.

    `pick` is the arm, or None; `order` the arms that can be picked, the cheapest first; `breaks`
    what each of them breaks (empty lists too); `alternative` the nearest other answer (see
    `_alternative`), or None.
    """

    pick: str | None
    order: list[str]
    breaks: dict[str, list[Break]]
    alternative: str | None


def choose(table: Picker, settings: Constraints) -> Answer:
    """Pick the cheapest arm that breaks no constraint."""
    tasks = tasks_that_matter(table, settings)
    order = ordered(table, settings)
    among = chosen_among(table, settings, tasks)
    breaks = {arm: list(_breaks(table, settings, tasks, arm, among.get(arm, 1))) for arm in order}
    pick = next((arm for arm in order if not breaks[arm]), None)
    return Answer(pick, order, breaks, _alternative(order, breaks, pick))


def tasks_that_matter(table: Picker, settings: Constraints) -> list[str]:
    """List the tasks whose workload matters; all of them where none is named."""
    wanted = settings.workloads
    return [name for name, task in table.tasks.items() if not wanted or task.workload in wanted]


def ordered(table: Picker, settings: Constraints) -> list[str]:
    """List the arms that can be picked, the cheapest first.

    By the table's rank; by the price of a request where machine hours have a price and the seconds
    an answer are known for all of them. Controls are never among them.
    """
    arms = sorted(
        (arm for arm, own in table.arms.items() if not own.control),
        key=lambda arm: table.arms[arm].rank,
    )
    prices = {arm: price(table, settings, arm) for arm in arms}
    if any(one is None for one in prices.values()):
        return arms
    # sorted is stable: equal prices keep the order of the ranks
    return sorted(arms, key=lambda arm: prices[arm] or 0.0)


def price(table: Picker, settings: Constraints, arm: str) -> float | None:
    """Return what the machine costs for a request to each task that matters; None: not known."""
    hour = settings.cost_per_hour_by.get(arm, settings.cost_per_hour)
    if hour is None:
        return None
    total = 0.0
    for task in tasks_that_matter(table, settings):
        seconds = table.tasks[task].arms[arm].latency
        if seconds is None:
            return None
        total += hour * seconds / 3600.0
    return total


def costs_more(table: Picker, settings: Constraints, arm: str, than: str) -> bool:
    """Whether an arm is known to cost more than another: by price where all have one, else by tier.

    False too where it is not known.
    """
    prices = {one: price(table, settings, one) for one in ordered(table, settings)}
    own, other = prices.get(arm), prices.get(than)
    if own is not None and other is not None and None not in prices.values():
        return own > other
    tier, others = table.arms[arm].tier, table.arms[than].tier
    return tier is not None and others is not None and tier > others


def tolerance(table: Picker, settings: Constraints, task: str) -> float | None:
    """Return the loss tolerated on a task: its own, its workload's, the common one; else None.

    It is a share, and says nothing of a task whose endpoint has a unit of its own.
    """
    if table.tasks[task].unit is not None:
        return None
    by = settings.tolerate_by
    return by.get(task, by.get(table.tasks[task].workload, settings.tolerate))


def loss_ruled_out(row: PickerRow, tolerated: float | None, among: int = 1) -> bool:
    """Say whether an arm is shown to lose less than is tolerated (the margin where nothing is).

    A loss smaller than the margin is the verdict's own claim, which a laxer or stricter tolerance
    must not contradict: centred tests and intervals may disagree at the bound. `among`: of how many
    candidates one is chosen; each is then held against the loss at that part of the level.
    """
    return _ruled_out(at_level(row, among), row.margin, tolerated)


def _ruled_out(held: PickerLevel | PickerRow, margin: float, tolerated: float | None) -> bool:
    if tolerated is None or tolerated == margin:
        return held.holds
    within = held.bound is not None and held.bound > -tolerated
    return held.holds or within if tolerated > margin else held.holds and within


def levels(row: PickerRow) -> list[PickerLevel | PickerRow]:
    """List what is ruled out where the arm is one of 1, 2, 3, ... candidates."""
    return [row, *row.among]


def at_level(row: PickerRow, among: int) -> PickerLevel | PickerRow:
    """Return the `bound` and `holds` of a row at the level of a choice among so many candidates."""
    levels = row.among
    return levels[min(among - 2, len(levels) - 1)] if among > 1 and levels else row


def candidates(table: Picker) -> list[str]:
    """List the arms that one is chosen among: all that were compared and that could be picked."""
    return [
        arm
        for arm, own in table.arms.items()
        if not own.control
        and arm != table.reference
        and own.twin is None
        and not own.other_prompts
        and any(task.arms[arm].finding is not None for task in table.tasks.values())
    ]


def chosen_among(table: Picker, settings: Constraints, tasks: Sequence[str]) -> dict[str, int]:
    """Say for each candidate at the level of how many it is held against a loss, by Holm's method.

    All of them first; those that are shown to lose less than is tolerated on every task (that needs
    no adjustment) leave the others with a level of their own, until none more is shown. So an arm
    that loses what is tolerated on some task is picked in at most alpha of studies.
    """
    found: dict[str, int] = {}
    left = candidates(table)
    while left:
        among = len(left)
        found |= dict.fromkeys(left, among)
        left = [arm for arm in left if not _kept(table, settings, tasks, arm, among)]
        if len(left) == among:
            break
    return found


def _kept(table: Picker, settings: Constraints, tasks: Sequence[str], arm: str, among: int) -> bool:
    return all(
        loss_ruled_out(table.tasks[task].arms[arm], tolerance(table, settings, task), among)
        for task in tasks
    )


def _breaks(
    table: Picker, settings: Constraints, tasks: list[str], arm: str, among: int
) -> Iterator[Break]:
    own = table.arms[arm]
    memory, least = settings.max_memory, settings.min_speedup
    if memory is not None and not (own.memory is not None and own.memory <= memory):
        yield _over("max_memory", None, own.memory, memory)
    if least is not None and not (own.speedup is not None and own.speedup >= least):
        excess = 1.0 if own.speedup is None else least / own.speedup - 1.0
        yield Break("min_speedup", None, own.speedup, least, excess)
    slowest = settings.max_latency
    for task in tasks:
        seconds = table.tasks[task].arms[arm].latency
        if slowest is not None and not (seconds is not None and seconds <= slowest):
            yield _over("max_latency", task, seconds, slowest)
    if arm == table.reference:
        return
    if table.insensitive:
        yield Break("evidence", None, None, None, 1.0)
    if own.twin is not None:
        yield Break("identity", None, None, None, 1.0)
    lost = False
    for task in tasks:
        if table.tasks[task].at_floor:
            yield Break("evidence", task, None, None, 1.0)
        row, tolerated = table.tasks[task].arms[arm], tolerance(table, settings, task)
        if loss_ruled_out(row, tolerated):
            continue
        lost = True
        name: ConstraintName = "quality" if tolerated is None else "tolerate"
        if row.answered is not None and _ruled_out(row.answered, row.margin, tolerated):
            name = "missing"
        yield _loss(name, task, row.bound, row.margin if tolerated is None else tolerated)
    for task in () if lost else tasks:
        row, tolerated = table.tasks[task].arms[arm], tolerance(table, settings, task)
        if not loss_ruled_out(row, tolerated, among):
            limit = row.margin if tolerated is None else tolerated
            yield _loss("choice", task, at_level(row, among).bound, limit)


def _loss(constraint: ConstraintName, task: str, bound: float | None, limit: float) -> Break:
    excess = 1.0 if bound is None else max(-bound / limit - 1.0, 0.0)
    return Break(constraint, task, bound, limit, excess)


def _over(
    constraint: ConstraintName, task: str | None, value: Number | None, limit: Number
) -> Break:
    return Break(constraint, task, value, limit, 1.0 if value is None else value / limit - 1.0)


def _alternative(
    order: list[str], breaks: Mapping[str, Sequence[Break]], pick: str | None
) -> str | None:
    """Name the nearest other answer.

    Without a pick, the arm that misses by least. With one, the cheaper arm that misses by least;
    where nothing is cheaper, the next arm that breaks nothing. Among equals the cheaper one.
    """
    cheaper = order if pick is None else order[: order.index(pick)]
    if cheaper:
        return min(cheaper, key=lambda arm: _missed_by(breaks[arm]))
    return next((arm for arm in order if arm != pick and not breaks[arm]), None)


def _missed_by(broken: Sequence[Break]) -> float:
    """Add up by how far an arm misses; one by one, since `sum` compensates in some versions."""
    total = 0.0
    for one in broken:
        total += one.excess
    return total
