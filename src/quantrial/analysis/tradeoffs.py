"""Quality against what it costs: which arms no other arm beats on both, task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantrial import documents
from quantrial.documents.codec import nan

Value = documents.CostValue
Task = documents.TaskSummary
Phase = documents.SpeedPhase
Speeds = Mapping[str, Mapping[str, documents.AnswerSpeed]]


@dataclass(frozen=True, slots=True)
class Axis:
    """What a cost is measured by, and each arm's value of it for each task, None where unknown.

    `source`: `speed_phase`, `answers`, `peak` or `file`; None where nothing is known.
    """

    cost: str
    source: str | None
    unit: str
    higher_is_better: bool
    values: Mapping[str, Mapping[str, Value]]

    def better(self, one: Value, other: Value) -> bool:
        """Say whether one value is better than the other."""
        return self.sign(one.estimate) > self.sign(other.estimate)

    def shown_better(self, one: Value, other: Value) -> bool:
        """Say whether one value is better by more than both their intervals reach."""
        ends = [[self.sign(end) for end in known(each)] for each in (one, other)]
        return min(ends[0]) > max(ends[1])

    def sign(self, value: float | None) -> float:
        """Turn a value so that more is better."""
        known = nan(value)
        return known if self.higher_is_better else -known


def known(value: Value) -> list[float]:
    """Return the ends of a value's interval or range; of none, the value itself."""
    return [end for end in value.ci if end is not None] or [nan(value.estimate)]


def tradeoffs(
    arms: Mapping[str, documents.ArmSummary],
    tasks: Mapping[str, Task],
    speed: Speeds,
    phase: Phase | None,
) -> dict[str, documents.Tradeoff]:
    """Set quality against throughput and against memory, for each task.

    Throughput is the speed phase's where there was one, the same for every task, else that of the
    task's answers. Memory is the most that an arm's process held, else the size of its file; its
    `ci` is no interval of sampling but the least and the most over starts.

    Args:
        arms: `memory_bytes` and `control` of every arm; controls are no choice and left out.
        tasks: the tasks of the summary.
        speed: the speed of the answers, by task and arm.
        phase: the speed phase of the summary.

    Returns:
        By cost. The values of the arms, which of them none dominates (the fastest or smallest
        first), and those that are dominated (as good on both and better on one, by the estimates),
        with what of it is shown beyond chance: `cheaper` (the intervals do not meet) and `kept` (a
        loss of the margin is ruled out by the paired contrast).
    """
    choices = [arm for arm, record in arms.items() if not record.control]
    axes = (_throughput(choices, tasks, speed, phase), _memory(choices, arms, tasks, phase))
    return {
        axis.cost: documents.Tradeoff(
            source=axis.source,
            unit=axis.unit,
            higher_is_better=axis.higher_is_better,
            tasks={name: _task(axis, name, part) for name, part in tasks.items()},
        )
        for axis in axes
    }


def _throughput(
    arms: Sequence[str],
    tasks: Mapping[str, Task],
    speed: Speeds,
    phase: Phase | None,
) -> Axis:
    if values := _phase(arms, phase, "decode"):
        by_task = dict.fromkeys(tasks, values)
        return Axis("throughput", "speed_phase", "tokens_per_second", True, by_task)
    answers = _answered(arms, tasks, speed)
    if not answers and (values := _phase(arms, phase, "call")):
        return Axis("throughput", "speed_phase", "seconds", False, dict.fromkeys(tasks, values))
    source = "answers" if answers else None
    return Axis("throughput", source, "tokens_per_second", True, answers)


def _phase(arms: Sequence[str], phase: Phase | None, measure: str) -> dict[str, Value]:
    """Return what the speed phase measured; nothing where it does not know it of every arm."""
    timed: Mapping[str, documents.PhaseArm] = phase.arms if phase else {}
    found = {arm: own.decode if measure == "decode" else own.call for arm, own in timed.items()}
    values = {}
    for arm in arms:
        one = found.get(arm)
        if one is None:
            return {}
        values[arm] = Value(
            estimate=one.estimate, ci=one.ci, confidence=one.confidence, method=one.method, n=one.n
        )
    return values


def _answered(
    arms: Sequence[str], tasks: Mapping[str, Task], speed: Speeds
) -> dict[str, dict[str, Value]]:
    """Return the speeds of the answers, where any was timed."""
    found = {
        task: {
            arm: _answer_value(one)
            for arm in arms
            if (one := speed.get(task, {}).get(arm)) and one.tokens_per_second is not None
        }
        for task in tasks
    }
    return {task: values for task, values in found.items() if values}


def _answer_value(one: documents.AnswerSpeed) -> Value:
    own = one.tokens_per_second_interval
    if own is None:
        return Value(estimate=one.tokens_per_second, ci=(None, None), n=None)
    return Value(
        estimate=one.tokens_per_second,
        ci=own.ci,
        confidence=own.confidence,
        method=own.method,
        n=own.n,
        unit=own.unit,
    )


def _memory(
    arms: Sequence[str],
    records: Mapping[str, documents.ArmSummary],
    tasks: Mapping[str, Task],
    phase: Phase | None,
) -> Axis:
    timed: Mapping[str, documents.PhaseArm] = phase.arms if phase else {}
    peaks = {arm: own.memory_peaks_bytes for arm, own in timed.items()}
    values: dict[str, Value] = {}
    source: str | None = None
    if arms and all(peaks.get(arm) for arm in arms):
        source = "peak"
        for arm in arms:
            low, high = min(peaks[arm]), max(peaks[arm])
            values[arm] = Value(estimate=high, ci=(low, high), n=len(peaks[arm]))
    else:
        for arm in arms:
            if size := records[arm].memory_bytes:
                source = "file"
                values[arm] = Value(estimate=size, ci=(None, None), n=1)
    return Axis("memory", source, "bytes", False, dict.fromkeys(tasks, values))


def _task(axis: Axis, task: str, part: Task) -> documents.TaskTradeoff:
    values = axis.values.get(task, {})
    better = -1.0 if part.main.direction == "lower" else 1.0
    quality = {
        arm: better * one.estimate
        for arm, one in part.main.arms.items()
        if arm in values and one.estimate is not None
    }
    beaten = {
        arm: [by for by in quality if _dominates(axis, values, quality, by, arm)] for arm in quality
    }
    frontier = [arm for arm in quality if not beaten[arm]]
    frontier.sort(key=lambda arm: -axis.sign(values[arm].estimate))
    dominated = [
        max(
            (_dominance(axis, values, part, by, arm) for by in found if by in frontier),
            key=lambda one: (bool(one.kept) + one.cheaper, quality[one.by]),
        )
        for arm, found in beaten.items()
        if found
    ]
    return documents.TaskTradeoff(
        arms={arm: values[arm] for arm in quality},
        frontier=tuple(frontier),
        dominated=tuple(dominated),
    )


def _dominates(
    axis: Axis, values: Mapping[str, Value], quality: Mapping[str, float], one: str, other: str
) -> bool:
    """Say whether an arm is as good as another on both, and better on one, by the estimates."""
    if axis.better(values[other], values[one]) or quality[other] > quality[one]:
        return False
    return axis.better(values[one], values[other]) or quality[one] > quality[other]


def _dominance(
    axis: Axis, values: Mapping[str, Value], part: Task, by: str, arm: str
) -> documents.Dominated:
    contrast, kept = _kept(part, by, arm)
    cheaper = axis.shown_better(values[by], values[arm])
    return documents.Dominated(arm=arm, by=by, cheaper=cheaper, contrast=contrast, kept=kept)


def _kept(part: Task, by: str, arm: str) -> tuple[str | None, bool | None]:
    """Say whether the paired contrast of two arms rules out that `by` loses the margin to `arm`."""
    for one in part.main.contrasts:
        if (test := one.equivalence) is None:
            continue
        if (one.reference, one.candidate) == (arm, by):
            return one.id, one.verdict == "better" or test.non_inferior
        if (one.reference, one.candidate) == (by, arm):
            return one.id, one.verdict == "worse" or test.equivalent
    return None, None
