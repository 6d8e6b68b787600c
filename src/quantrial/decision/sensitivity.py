"""What would change the answer: the smallest change of one constraint, or of one estimate.

Everything is found by asking the pick again (`decision/pick.py`) at the places where something can
change: the memory, speed and latency of the arms, the bounds of their losses.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantrial.agreement import fixed
from quantrial.decision.pick import choose, matter, tolerance
from quantrial.decision.settle import missing
from quantrial.decision.shifts import moved, shifts
from quantrial.decision.shipping import LOSSES
from quantrial.decision.trial import Trial
from quantrial.decision.words import Document, entry, said_once
from quantrial.words import listed, margin, points, short_seconds, times
from quantrial.words import size as size_of

# Constraints are stepped in units a person would type: 1 MB, 0.01 times, 1 ms, 0.1 points.
_MEMORY, _SPEEDUP, _LATENCY, _LOSS = 1e6, 0.01, 0.001, 0.001
_EQUAL = 1e-12  # differences of sums of the same decimals


def sensitivity(trial: Trial, table: Document, settings: Document) -> dict[str, Any]:
    """Say what would change the pick, and which open questions more items would settle.

    Returns:
        `pick`; `changes`: each a `kind` (a constraint, or `estimate`), `to`, the `pick` it would
        give, a `text`, its `size` in a `unit` that it shares with others (`points` of a loss or an
        estimate of quality, `share` of a limit or a speed; None where nothing was stated before),
        and `smallest`: whether none in that unit is smaller; `settle`: by arm and task,
        `items_needed` and a `text`.
    """
    answer = choose(table, settings)
    changes = said_once(
        [
            *_constraints(trial, table, settings),
            *_estimates(trial, table, settings),
            *_paces(trial, table, settings),
        ]
    )
    _mark_smallest(changes)
    return {
        "pick": answer["pick"],
        "changes": changes,
        "settle": said_once(list(_settle(trial, table, settings, answer))),
    }


def _constraints(trial: Trial, table: Document, settings: Document) -> Iterator[dict[str, Any]]:
    for scale in _scales(table, settings):
        unset = math.inf if scale.most else 0.0
        now = settings.get(scale.key)
        for looser in (True, False):

            def changed(place: float, key: str = scale.key) -> dict[str, Any]:
                return {**settings, key: place}

            start = unset if now is None else now
            found = _first(table, settings, scale, [start], changed, looser=looser)
            if found:
                to, pick = found
                text = f"With {scale.say(to)}, {_answer(pick)}."
                grounds = _grounds(trial, table, changed(to))
                size = None if now is None else abs(to / now - 1.0)
                yield _change(scale.key, None, to, pick, text, grounds, size=size, unit="share")
    yield from _tolerances(trial, table, settings)
    yield from _workloads(trial, table, settings)


@dataclass(frozen=True, slots=True)
class _Scale:
    """A constraint, and the values of the arms at which it can change something.

    An arm keeps it where its value is at most the limit (`most`; `strictly` below it), else where
    it is at least the limit. At `switches`, and a step to either side, an arm may come or go by
    another rule than its value.
    """

    key: str
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
    table: Document,
    settings: Document,
    scale: _Scale,
    now: Sequence[float],
    changed: Callable[[float], Document],
    *,
    looser: bool,
) -> tuple[float, str | None] | None:
    """Return the nearest limit beyond all present ones that gives another pick, and that pick."""
    pick, upwards = choose(table, settings)["pick"], looser == scale.most
    for place in sorted(set(scale.places(looser=looser)), reverse=not upwards):
        if place > max(now) if upwards else 0 < place < min(now):
            other = choose(table, changed(place))["pick"]
            if other != pick:
                return place, other
    return None


_HELD = {"peak": "at the peak", "stated": "for the weights, as stated"}


def _scales(table: Document, settings: Document) -> Iterator[_Scale]:
    arms = [own for own in table["arms"].values() if not own["control"]]
    memory = [own["memory"] for own in arms if own["memory"] is not None]
    unit, name = (1.0, "bytes") if min(memory, default=0) < 10 * _MEMORY else (_MEMORY, "MB")
    held = _HELD.get(table.get("memory_source") or "", "for the weights")
    yield _Scale(
        "max_memory",
        memory,
        unit,
        lambda to: f"at most {fixed(to / unit, 0, ',')} {name} allowed {held}",
    )
    yield _Scale(
        "min_speedup",
        [own["speedup"] for own in arms if own["speedup"] is not None],
        _SPEEDUP,
        lambda to: f"at least {times(to)} the reference's speed asked for",
        most=False,
    )
    latencies = [
        row["latency"]
        for task in matter(table, settings)
        for arm, row in table["tasks"][task]["arms"].items()
        if row["latency"] is not None and not table["arms"][arm]["control"]
    ]
    yield _Scale(
        "max_latency",
        latencies,
        _LATENCY,
        lambda to: f"at most {short_seconds(to)} an answer allowed",
    )


def _tolerances(trial: Trial, table: Document, settings: Document) -> Iterator[dict[str, Any]]:
    """Change the loss tolerated on one task; on all at once where that alone gives an arm."""
    tasks = matter(table, settings)
    seen = set[str | None]()
    for some in [*([task] for task in tasks), *([tasks] if len(tasks) > 1 else [])]:
        where = listed(map(trial.named, some))
        bounds = [
            -level["bound"]
            for task in some
            for arm, row in table["tasks"][task]["arms"].items()
            if row["finding"] and not table["arms"][arm]["control"]
            for level in (row, *row.get("among", ()))
            if level["bound"] is not None
        ]
        scale = _Scale(
            "tolerate",
            bounds,
            _LOSS,
            functools.partial(_tolerated, where),
            strictly=True,
            # at the margin it is the test that counts, beyond it the bound too: they may disagree
            switches=[table["tasks"][task]["margin"] for task in some],
        )

        def changed(place: float, some: Sequence[str] = some) -> dict[str, Any]:
            by = {**(settings.get("tolerate_by") or {}), **dict.fromkeys(some, place)}
            return {**settings, "tolerate_by": by}

        now = [_bar(table, settings, task) for task in some]
        for looser in (True, False):
            found = _first(table, settings, scale, now, changed, looser=looser)
            if found and found[0] < 1 and (len(some) == 1 or found[1] not in seen):
                to, pick = found
                of = some[0] if len(some) == 1 else None
                text = f"With {scale.say(to)}, {_answer(pick)}."
                grounds = _grounds(trial, table, changed(to))
                size = max(abs(to - one) for one in now)
                yield _change("tolerate", of, to, pick, text, grounds, size=size)
                seen.add(pick)


def _tolerated(where: str, to: float) -> str:
    return f"a loss of up to {margin(to)} tolerated on {where}"


def _bar(table: Document, settings: Document, task: str) -> float:
    """Return the loss that is ruled out or not: what is tolerated, else the margin."""
    tolerated = tolerance(table, settings, task)
    bar: float = table["tasks"][task]["margin"] if tolerated is None else tolerated
    return bar


def _workloads(trial: Trial, table: Document, settings: Document) -> Iterator[dict[str, Any]]:
    known = list(dict.fromkeys(task["workload"] for task in table["tasks"].values()))
    now = list(settings.get("workloads") or known)
    pick = choose(table, settings)["pick"]
    for workload in known:
        dropped = workload in now
        wanted = [w for w in known if (w in now) != (w == workload)]
        if not wanted:
            continue
        changed = {**settings, "workloads": wanted}
        other = choose(table, changed)["pick"]
        if other != pick:
            said = f"did {'not matter' if dropped else 'matter too'}"
            text = f"If {workload} {said}, {_answer(other)}."
            grounds = _grounds(trial, table, changed)
            yield _change("workloads", workload, wanted, other, text, grounds)


def _estimates(trial: Trial, table: Document, settings: Document) -> Iterator[dict[str, Any]]:
    """Move one estimate, its bounds along with it, just across what is tolerated.

    As little as changes the pick: among several candidates that may be at a stricter level.
    """
    pick = choose(table, settings)["pick"]
    for task in matter(table, settings):
        for arm, row in table["tasks"][task]["arms"].items():
            if row["finding"] is None or row["estimate"] is None or table["arms"][arm]["control"]:
                continue
            finding = trial.findings[row["finding"]]
            low, high = finding["ci"]
            for by in shifts(row, tolerance(table, settings, task)):
                to = row["estimate"] + by
                if low is None or high is None or not low <= to <= high:
                    continue
                changed = _with_row(table, task, arm, moved(row, by))
                other = choose(changed, settings)["pick"]
                if other == pick:
                    continue
                seen, work = points(row["estimate"]), trial.named(task)
                text = f"If the difference of {arm} on {work} were {points(to)} in place of {seen}"
                if points(to) == seen:
                    side = "better" if by > 0 else "worse"
                    text = f"If {arm} did {size_of(by)} {side} on {work} than seen ({seen})"
                text += f", which is within its interval, {_answer(other)}."
                change = _change("estimate", task, to, other, text, [finding], size=abs(by))
                yield {**change, "arm": arm}
                break


def _paces(trial: Trial, table: Document, settings: Document) -> Iterator[dict[str, Any]]:
    """Move one measured speed-up just across the least that is asked for, within its interval."""
    if settings.get("min_speedup") is None:
        return
    least, pick = float(settings["min_speedup"]), choose(table, settings)["pick"]
    for arm, own in table["arms"].items():
        found = None if own["control"] else trial.pace(arm)
        if found is None or own["speedup"] is None:
            continue
        to = math.nextafter(least, 0.0) if own["speedup"] >= least else least
        low, high = found["ci"]
        if not low <= to <= high:
            continue
        arms = {**table["arms"], arm: {**own, "speedup": to}}
        other = choose({**table, "arms": arms}, settings)["pick"]
        if other != pick:
            slower, seen = own["speedup"] >= least, times(own["speedup"])
            where = f"below {times(least)}" if slower else times(least)
            text = f"If {arm} decoded at {where} the reference's speed in place of {seen}"
            if times(least) == seen:
                side = "slower" if slower else "faster"
                text = f"If {arm} decoded less than 0.01 times {side} than seen ({seen})"
            text += f", which is within its interval, {_answer(other)}."
            size = abs(to / own["speedup"] - 1.0)
            change = _change("estimate", None, to, other, text, [found], size=size, unit="share")
            yield {**change, "arm": arm}


def _mark_smallest(changes: Sequence[dict[str, Any]]) -> None:
    """Mark the smallest change of each unit, and say so where there are several to choose from."""
    for unit, said in (("points", "a loss or an estimate"), ("share", "a limit or a speed")):
        sizes = [one["size"] for one in changes if one["unit"] == unit]
        for one in changes:
            if one["unit"] == unit and one["size"] <= min(sizes) + _EQUAL:
                one["smallest"] = True
                if len(sizes) > 1:
                    percent = f"{fixed(100 * one['size'], 1)} %"
                    by = size_of(one["size"]) if unit == "points" else percent
                    one["text"] += f" Of {said}, this is the smallest change that does it: {by}."


def _with_row(table: Document, task: str, arm: str, row: Document) -> dict[str, Any]:
    arms: Mapping[str, Any] = {**table["tasks"][task]["arms"], arm: row}
    return {**table, "tasks": {**table["tasks"], task: {**table["tasks"][task], "arms": arms}}}


def _grounds(trial: Trial, table: Document, settings: Document) -> list[Document]:
    """List the findings an answer rests on: what its arm keeps, or what the nearest one breaks."""
    answer = choose(table, settings)
    arm = answer["pick"]
    if arm is not None and arm != trial.reference:
        found = [trial.primary(task, arm) for task in matter(table, settings)]
        return [one for one in found if one]
    other = answer["alternative"]
    broken = answer["breaks"][other] if other else ()
    found = [
        trial.pace(other)
        if one["constraint"] == "min_speedup"
        else trial.primary(one["task"], other)
        for one in broken
        if one["constraint"] in {*LOSSES, "choice", "min_speedup"}
    ]
    return [one for one in found if one]


def _change(
    kind: str,
    of: str | None,
    to: Any,
    pick: str | None,
    text: str,
    found: Sequence[Document],
    *,
    size: float | None = None,
    unit: str = "points",
) -> dict[str, Any]:
    told = {"size": size, "unit": None if size is None else unit, "smallest": False}
    return entry(text, found, kind=kind, of=of, to=to, pick=pick, **told)


def _answer(pick: str | None) -> str:
    return "no arm would keep all constraints" if pick is None else f"the pick would be {pick}"


def _settle(
    trial: Trial, table: Document, settings: Document, answer: Document
) -> Iterator[dict[str, Any]]:
    """Say what more items would settle, of the arms that would be picked were it settled well."""
    pick, order = answer["pick"], answer["order"]
    for arm in order if pick is None else order[: order.index(pick)]:
        broken = answer["breaks"][arm]
        if not all(one["constraint"] in LOSSES for one in broken):
            continue
        for one in broken:
            row = table["tasks"][one["task"]]["arms"][arm]
            if row["worse"] and row["estimate"] <= -one["limit"]:
                continue  # settled already
            yield missing(
                trial,
                one["task"],
                arm,
                tolerance(table, settings, one["task"]),
                unanswered=one["constraint"] == "missing",
            )
