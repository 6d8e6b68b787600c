"""What would change the answer: the smallest change of one constraint, or of one estimate.

Everything is found by asking the pick again (`decision/pick.py`) at the places where something can
change: the memory, speed and latency of the arms, the bounds of their losses.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from msgspec.structs import replace as with_fields

from quantrial.agreement import fixed
from quantrial.decision.evidence import Evidence, cited
from quantrial.decision.open_questions import what_is_missing
from quantrial.decision.pick import (
    Answer,
    choose,
    chosen_among,
    levels,
    loss_ruled_out,
    tasks_that_matter,
    tolerance,
)
from quantrial.decision.shipping import LOSSES
from quantrial.documents import Number
from quantrial.documents.decision import (
    Change,
    ChangeKind,
    ChangeUnit,
    Constraints,
    Finding,
    Missing,
    Pace,
    Picker,
    PickerLevel,
    PickerRow,
    Sensitivity,
)
from quantrial.words import difference, limit_words, listed, margin, short_seconds, times
from quantrial.words import size as size_of

# Constraints are stepped in units a person would type: 1 MB, 0.01 times, 1 ms, 0.1 points.
_MEMORY, _SPEEDUP, _LATENCY, _LOSS = 1e6, 0.01, 0.001, 0.001
_EQUAL = 1e-12  # differences of sums of the same decimals


def sensitivity(evidence: Evidence, table: Picker, settings: Constraints) -> Sensitivity:
    """Say what would change the pick, and which open questions more items would settle."""
    answer = choose(table, settings)
    changes = without_repeats(
        [
            *_constraints(evidence, table, settings),
            *_estimates(evidence, table, settings),
            *_paces(evidence, table, settings),
        ]
    )
    settle = without_repeats(_settle(evidence, table, settings, answer))
    return Sensitivity(pick=answer.pick, changes=_smallest_marked(changes), settle=tuple(settle))


_Worded = TypeVar("_Worded", Change, Missing)


def without_repeats(entries: Iterable[_Worded]) -> list[_Worded]:
    """Leave out what reads the same as an entry before it: figures that round alike are one."""
    found: dict[str, _Worded] = {}
    for one in entries:
        found.setdefault(one.text, one)
    return list(found.values())


def _constraints(evidence: Evidence, table: Picker, settings: Constraints) -> Iterator[Change]:
    for scale in _scales(table, settings):
        now: float | None = getattr(settings, scale.key)
        unset = math.inf if scale.most else 0.0
        for looser in (True, False):

            def changed(place: float, key: str = scale.key) -> Constraints:
                stated: dict[str, Any] = {key: place}
                return replace(settings, **stated)

            start = unset if now is None else now
            found = _first(table, settings, scale, [start], changed, looser=looser)
            if found:
                to, pick = found
                text = f"If you {scale.say(to)}, {_answer(pick)}."
                grounds = _grounds(evidence, table, changed(to))
                size = None if now is None else abs(to / now - 1.0)
                yield _change(scale.key, None, to, pick, text, grounds, size=size, unit="share")
    yield from _tolerances(evidence, table, settings)
    yield from _workloads(evidence, table, settings)


@dataclass(frozen=True, slots=True)
class _Scale:
    """A constraint, and the values of the arms at which it can change something.

    An arm keeps it where its value is at most the limit (`most`; `strictly` below it), else where
    it is at least the limit. At `switches`, and a step to either side, an arm may come or go by
    another rule than its value.
    """

    key: ChangeKind
    values: Sequence[float]
    unit: float
    say: Callable[[float], str]
    most: bool = True
    strictly: bool = False
    switches: Sequence[float] = ()

    def places(self, *, looser: bool) -> list[float]:
        """List the limits, in steps a person would type, at which arms begin or end to keep it."""
        upwards = self.strictly or not self.most  # a value on a step counts as below it
        to_whole = math.floor if upwards else math.ceil
        more = (looser == self.most) if upwards else (0 if looser else -1)
        at = [round(value / self.unit, 9) for value in self.switches]
        steps = {
            *(to_whole(round(value / self.unit, 9)) + more for value in self.values),
            *(math.floor(one) + 1 for one in at),
            *(math.ceil(one) - 1 for one in at),
            *(int(one) for one in at if one == int(one)),
        }
        return [_stepped(one, self.unit) for one in steps]


def _stepped(steps: int, unit: float) -> float:
    # 1273 * 0.001 is 1.2730000000000001; 1273 / 1000 is what a person would type
    return round(steps * unit) if unit >= 1 else steps / round(1 / unit)


def _first(
    table: Picker,
    settings: Constraints,
    scale: _Scale,
    now: Sequence[float],
    changed: Callable[[float], Constraints],
    *,
    looser: bool,
) -> tuple[float, str | None] | None:
    """Return the nearest limit beyond all present ones that gives another pick, and that pick."""
    pick, upwards = choose(table, settings).pick, looser == scale.most
    for place in sorted(set(scale.places(looser=looser)), reverse=not upwards):
        if place > max(now) if upwards else 0 < place < min(now):
            other = choose(table, changed(place)).pick
            if other != pick:
                return place, other
    return None


_HELD = {"peak": "at the peak", "stated": "for the weights, as stated"}


def _scales(table: Picker, settings: Constraints) -> Iterator[_Scale]:
    arms = [own for own in table.arms.values() if not own.control]
    memory = [own.memory for own in arms if own.memory is not None]
    unit, name = (1.0, "bytes") if min(memory, default=0) < 10 * _MEMORY else (_MEMORY, "MB")
    held = _HELD.get(table.memory_source or "", "for the weights")
    yield _Scale(
        "max_memory",
        memory,
        unit,
        lambda to: f"allow at most {fixed(to / unit, 0, ',')} {name} {held}",
    )
    yield _Scale(
        "min_speedup",
        [own.speedup for own in arms if own.speedup is not None],
        _SPEEDUP,
        lambda to: f"ask for at least {times(to)} the speed of {table.reference}",
        most=False,
    )
    latencies = [
        row.latency
        for task in tasks_that_matter(table, settings)
        for arm, row in table.tasks[task].arms.items()
        if row.latency is not None and not table.arms[arm].control
    ]
    yield _Scale(
        "max_latency",
        latencies,
        _LATENCY,
        lambda to: f"allow at most {short_seconds(to)} an answer",
    )


def _tolerances(evidence: Evidence, table: Picker, settings: Constraints) -> Iterator[Change]:
    """Change the loss tolerated on one task; on all at once where that alone gives an arm."""
    # what is tolerated is a share
    tasks = [one for one in tasks_that_matter(table, settings) if table.tasks[one].unit is None]
    seen = set[str | None]()
    for some in [*([task] for task in tasks), *([tasks] if len(tasks) > 1 else [])]:
        where = listed(map(evidence.named, some))
        bounds = [
            -level.bound
            for task in some
            for arm, row in table.tasks[task].arms.items()
            if row.finding and not table.arms[arm].control
            for level in levels(row)
            if level.bound is not None
        ]
        changes = all(table.tasks[task].against == "reference" for task in some)
        scale = _Scale(
            "tolerate",
            bounds,
            _LOSS,
            functools.partial(_tolerated, where, changes),
            strictly=True,
            # at the margin it is the test that counts, beyond it the bound too: they may disagree
            switches=[table.tasks[task].margin for task in some],
        )

        def changed(place: float, some: Sequence[str] = some) -> Constraints:
            return replace(
                settings, tolerate_by={**settings.tolerate_by, **dict.fromkeys(some, place)}
            )

        now = [_bar(table, settings, task) for task in some]
        for looser in (True, False):
            found = _first(table, settings, scale, now, changed, looser=looser)
            if found and found[0] < 1 and (len(some) == 1 or found[1] not in seen):
                to, pick = found
                of = some[0] if len(some) == 1 else None
                text = f"If you {scale.say(to)}, {_answer(pick)}."
                text += _when_alone(evidence, table, changed(to), some, pick)
                grounds = _grounds(evidence, table, changed(to))
                size = max(abs(to - one) for one in now)
                yield _change("tolerate", of, to, pick, text, grounds, size=size)
                seen.add(pick)


def _when_alone(
    evidence: Evidence, table: Picker, settings: Constraints, tasks: Sequence[str], pick: str | None
) -> str:
    """Say what a pick could lose by a test of its own, where it is one of several candidates.

    That is the bound on its card; the loss to accept is larger, as the pick is a choice.
    """
    among = chosen_among(table, settings, tasks_that_matter(table, settings)).get(pick or "", 1)
    if pick is None or among == 1:
        return ""
    rows = {task: table.tasks[task].arms[pick] for task in tasks}
    losses = {t: -row.bound for t, row in rows.items() if row.bound and row.bound <= -row.margin}
    if not losses:
        return ""
    worst = max(losses, key=lambda task: losses[task])
    alone = limit_words(
        "could_lose",
        again=table.reference if table.tasks[worst].against == "reference" else None,
        value=size_of(losses[worst]),
        work=evidence.named(worst),
    )
    return f" This holds for one of {among} candidates. Tested alone, {pick} {alone}."


def _tolerated(where: str, changes: bool, to: float) -> str:
    if changes:
        return f"accept that up to {margin(to)} more answers change on {where}"
    return f"accept a loss of up to {margin(to)} on {where}"


def _bar(table: Picker, settings: Constraints, task: str) -> float:
    """Return the loss that is ruled out or not: what is tolerated, else the margin."""
    tolerated = tolerance(table, settings, task)
    return table.tasks[task].margin if tolerated is None else tolerated


def _workloads(evidence: Evidence, table: Picker, settings: Constraints) -> Iterator[Change]:
    known = list(dict.fromkeys(task.workload for task in table.tasks.values()))
    now = settings.workloads or known
    pick = choose(table, settings).pick
    for workload in known:
        dropped = workload in now
        wanted = tuple(w for w in known if (w in now) != (w == workload))
        if not wanted:
            continue
        changed = replace(settings, workloads=wanted)
        other = choose(table, changed).pick
        if other != pick:
            said = "does not matter" if dropped else "matters too"
            text = f"If {workload} {said}, {_answer(other)}."
            grounds = _grounds(evidence, table, changed)
            yield _change("workloads", workload, wanted, other, text, grounds)


def _estimates(evidence: Evidence, table: Picker, settings: Constraints) -> Iterator[Change]:
    """Move one estimate, its bounds along with it, just across what is tolerated.

    As little as changes the pick: among several candidates that may be at a stricter level.
    """
    pick = choose(table, settings).pick
    for task in tasks_that_matter(table, settings):
        for arm, row in table.tasks[task].arms.items():
            if row.finding is None or row.estimate is None or table.arms[arm].control:
                continue
            finding = evidence.findings[row.finding]
            unit, (low, high) = finding.unit, finding.gain.ci

            def shown(value: float, finding: Finding = finding) -> str:
                lower = finding.direction == "lower"
                return difference(-value if lower else value, finding.unit)

            for by in _shifts(row, tolerance(table, settings, task)):
                to = row.estimate + by
                if low is None or high is None or not low <= to <= high:
                    continue
                changed = _with_row(table, task, arm, _moved(row, row.estimate, by))
                other = choose(changed, settings).pick
                if other == pick:
                    continue
                seen, work = shown(row.estimate), evidence.named(task)
                said = f"If the true difference of {arm} on {work} is {shown(to)}"
                if shown(to) == seen:
                    side = "better" if by > 0 else "worse"
                    said = f"If {arm} is {side} on {work} than its estimate by {size_of(by, unit)}"
                text = (
                    f"{said}, {_answer(other)}. Its interval includes that; the estimate is {seen}."
                )
                # changes in different units are not held against each other
                size = abs(by) if unit is None else None
                change = _change("estimate", task, to, other, text, [finding], size=size)
                yield with_fields(change, arm=arm)
                break


def _paces(evidence: Evidence, table: Picker, settings: Constraints) -> Iterator[Change]:
    """Move one measured speed-up just across the least that is asked for, within its interval."""
    if settings.min_speedup is None:
        return
    least, pick = float(settings.min_speedup), choose(table, settings).pick
    for arm, own in table.arms.items():
        found = None if own.control else evidence.pace(arm)
        if found is None or own.speedup is None:
            continue
        to = math.nextafter(least, 0.0) if own.speedup >= least else least
        low, high = found.ci
        if not low <= to <= high:
            continue
        arms = {**table.arms, arm: with_fields(own, speedup=to)}
        other = choose(with_fields(table, arms=arms), settings).pick
        if other != pick:
            slower, seen = own.speedup >= least, times(own.speedup)
            where = f"less than {times(least)}" if slower else times(least)
            said = f"If {arm} really decodes {where} as fast as {table.reference}"
            if times(least) == seen:
                side = "slower" if slower else "faster"
                said = f"If {arm} really is {side} than measured by less than 0.01 times"
            text = f"{said}, {_answer(other)}. Its interval includes that; measured was {seen}."
            size = abs(to / own.speedup - 1.0)
            change = _change("estimate", None, to, other, text, [found], size=size, unit="share")
            yield with_fields(change, arm=arm)


def _shifts(row: PickerRow, tolerated: float | None) -> list[float]:
    """List by how much an estimate must move for a bound to pass what is tolerated, least first.

    Where test and bound disagree, how far the estimate is from it is not known.
    """
    bar = row.margin if tolerated is None else tolerated
    found = []
    for among, level in enumerate(levels(row), 1):
        kept = loss_ruled_out(row, tolerated, among)
        if level.bound is not None and kept == (level.bound > -bar):
            bound = -bar if kept else math.nextafter(-bar, 0.0)
            found.append(bound - level.bound)
    return sorted(found, key=abs)


def _moved(row: PickerRow, estimate: float, by: float) -> PickerRow:
    """Return a row as it would be were its estimate, and its bounds with it, another by so much."""

    def moved(level: PickerRow | PickerLevel) -> PickerLevel:
        if level.bound is None:
            return PickerLevel(bound=None, holds=level.holds)
        bound = level.bound + by
        return PickerLevel(bound=bound, holds=bound > -row.margin)

    own = moved(row)
    return with_fields(
        row,
        bound=own.bound,
        holds=own.holds,
        estimate=estimate + by,
        among=tuple(map(moved, row.among)),
    )


def _smallest_marked(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Mark the smallest change of each unit, and say so where there are several to choose from."""
    found = []
    for one in changes:
        sizes = [c.size for c in changes if c.unit == one.unit and c.size is not None]
        if one.size is not None and one.size <= min(sizes) + _EQUAL:
            text = one.text
            if len(sizes) > 1:
                share = one.unit == "share"
                by = f"{fixed(100 * one.size, 1)} %" if share else size_of(one.size)
                said = "a limit or a speed" if share else "a loss or an estimate"
                text += f" That is a change of {by}, the smallest of {said}."
            one = with_fields(one, smallest=True, text=text)  # noqa: PLW2901
        found.append(one)
    return tuple(found)


def _with_row(table: Picker, task: str, arm: str, row: PickerRow) -> Picker:
    own = table.tasks[task]
    changed = with_fields(own, arms={**own.arms, arm: row})
    return with_fields(table, tasks={**table.tasks, task: changed})


def _grounds(
    evidence: Evidence, table: Picker, settings: Constraints
) -> Sequence[Finding | Pace | None]:
    """List the findings an answer rests on: what its arm keeps, or what the nearest one breaks."""
    answer = choose(table, settings)
    arm, other = answer.pick, answer.alternative
    if arm is not None and arm != evidence.reference:
        return evidence.primaries(arm, tasks_that_matter(table, settings))
    if other is None:
        return []
    found: list[Finding | Pace | None] = []
    for one in answer.breaks[other]:
        if one.constraint == "min_speedup":
            found.append(evidence.pace(other))
        elif one.task is not None and one.constraint in {*LOSSES, "choice"}:
            found.append(evidence.primary(one.task, other))
    return found


def _change(
    kind: ChangeKind,
    of: str | None,
    to: Number | tuple[str, ...],
    pick: str | None,
    text: str,
    found: Sequence[Finding | Pace | None],
    *,
    size: float | None = None,
    unit: ChangeUnit = "points",
) -> Change:
    return Change(
        kind=kind,
        of=of,
        to=to,
        pick=pick,
        size=size,
        unit=None if size is None else unit,
        smallest=False,
        **cited(text, found),
    )


def _answer(pick: str | None) -> str:
    return "no arm keeps all constraints" if pick is None else f"the pick is {pick}"


def _settle(
    evidence: Evidence, table: Picker, settings: Constraints, answer: Answer
) -> Iterator[Missing]:
    """Say what more items would settle, of the arms that would be picked were it settled well."""
    pick, order = answer.pick, answer.order
    for arm in order if pick is None else order[: order.index(pick)]:
        broken = answer.breaks[arm]
        if not all(one.constraint in LOSSES for one in broken):
            continue
        for one in broken:
            if one.task is None or one.limit is None:
                continue
            row = table.tasks[one.task].arms[arm]
            if row.worse and row.estimate is not None and row.estimate <= -one.limit:
                continue  # settled already
            tolerated = tolerance(table, settings, one.task)
            unanswered = one.constraint == "missing"
            yield what_is_missing(evidence, one.task, arm, tolerated, unanswered=unanswered)
