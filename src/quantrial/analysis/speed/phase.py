"""The speed phase: how fast each arm is, by how much faster than the reference, and how surely.

Every rate is a sum over a sum (tokens over seconds), every ratio one of two such rates, over the
blocks in which both arms answered every length; a block is the unit of the intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from quantrial import documents
from quantrial.analysis.speed.conditions import arm_marks, conditions, length_marks, machine_marks
from quantrial.analysis.speed.timings import Sums
from quantrial.analysis.values import ends, estimate_of
from quantrial.documents.codec import nan, number
from quantrial.stats import drift, pooled_rate, rate_ratio
from quantrial.stats.rates import p_of_none

if TYPE_CHECKING:
    from quantrial.analysis.alarms import AlarmFamily, Asked
    from quantrial.analysis.question import SpeedQuestion
    from quantrial.records import SpeedRecord
    from quantrial.stats import Estimate

Cells = dict[str, dict[int, dict[tuple[int, int], "SpeedRecord"]]]  # arm -> block -> shape -> call

_BY_LENGTH = ("decode", "prompt", "first_token")

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured: `pair` takes numerator and divisor from a call, None where unknown."""

    name: str
    unit: str
    higher_is_better: bool
    pair: Callable[[SpeedRecord], Pair | None]


def _decode(call: SpeedRecord) -> Pair | None:
    # the clock of an engine may miss the first token
    tokens = call.completion_tokens if call.decoded_tokens is None else call.decoded_tokens
    if call.decoded_tokens == 0:
        return 0.0, 0.0  # an answer of one token, from an engine that cannot be held to more
    return _over(tokens, call.timing.get("decode"))


def _prompt(call: SpeedRecord) -> Pair | None:
    return _over(call.prompt_tokens, call.timing.get("prompt"))


def _first_token(call: SpeedRecord) -> Pair | None:
    seconds, wall = call.timing.get("first_token"), call.timing.get("wall")
    decode = call.timing.get("decode")
    if seconds is None and wall is not None and decode is not None:
        seconds = wall - decode  # the decoding clock starts when the first token is there
    return _over(seconds, 1)


def _call(call: SpeedRecord) -> Pair | None:
    return _over(call.timing.get("wall"), 1)


def _energy(call: SpeedRecord) -> Pair | None:
    return _over(call.machine.get("energy_joules"), call.completion_tokens)


def _over(top: float | None, bottom: float | None) -> Pair | None:
    return (float(top), float(bottom)) if top and bottom and top > 0 else None


MEASURES = (
    Measure("decode", "tokens_per_second", True, _decode),
    Measure("prompt", "tokens_per_second", True, _prompt),
    Measure("first_token", "seconds", False, _first_token),
    Measure("call", "seconds", False, _call),
    Measure("energy", "joules_per_token", False, _energy),
)
BY_NAME = {measure.name: measure for measure in MEASURES}
UNITS = {
    **{
        m.name: documents.MeasureUnit(unit=m.unit, higher_is_better=m.higher_is_better)
        for m in MEASURES
    },
    "load": documents.MeasureUnit(unit="seconds", higher_is_better=False),
    "memory": documents.MeasureUnit(unit="bytes", higher_is_better=False),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the phase is: complete blocks, seconds spent, half-width of the widest interval.

    `status`: `narrow`, `time_limit`, `no_length`, `unfinished`; `forecast` is how many blocks it
    will take in all, as far as can be told.
    """

    status: str
    blocks: int
    seconds: float
    widest: float | None
    forecast: int


def standing(question: SpeedQuestion, records: Sequence[SpeedRecord]) -> Standing:
    """Say how the speed phase stands, and whether it is over.

    It is over once there are enough blocks, an even number of them (blocks come in pairs of an
    order of arms and its reverse), and the interval of every ratio of decode and prompt rates is
    narrow enough; or when its time is up.
    """
    phase = Phase(question, records)
    widths = [width for one in phase.aims() if (width := half_width(one)) is not None]
    blocks = len(phase.complete(question.arms))
    expected = (len(question.arms) - 1) * len(phase.aimed_at)
    widest = max(widths) if widths and len(widths) == expected else None
    narrow = expected == 0 or (widest is not None and widest <= question.precision)
    forecast = question.blocks
    if widest is not None and not narrow:
        forecast = max(forecast, blocks + 1, math.ceil(blocks * (widest / question.precision) ** 2))
    if blocks >= question.blocks and blocks % 2 == 0 and narrow:
        status = "narrow"
    elif phase.seconds >= question.time_limit or phase.cut:
        status = "time_limit"
    elif not phase.shapes:
        status = "no_length"
    else:
        status = "unfinished"
    return Standing(status, blocks, phase.seconds, widest, forecast)


def half_width(one: Estimate) -> float | None:
    """Return how far an interval reaches from its estimate, relative; None where there is none."""
    reach = max(one.interval.high / one.estimate - 1.0, 1.0 - one.interval.low / one.estimate)
    return None if math.isnan(reach) else reach


def measure_phase(
    question: SpeedQuestion, records: Sequence[SpeedRecord], family: AlarmFamily | None = None
) -> MeasuredPhase:
    """Measure the speed phase.

    Args:
        question: says its lengths and the level.
        records: every call.
        family: is asked of what can raise an alarm: another speed of decoding, a drift of ratios.
            Without one a drift is shown by its own p, and not within all that a report asks.
    """
    phase, candidates = Phase(question, records), question.arms[1:]
    ratios = [one for arm in candidates for one in phase.ratios(arm)]
    drifts = {arm: phase.ratio_drift(arm) for arm in candidates}
    asked: dict[str, Asked] = {}
    if family is not None:
        for one in ratios:
            if one.measure == "decode":
                asked[one.id] = family.ask("speed", one.id, one.p_value)
        for arm, found in drifts.items():
            if found is not None:
                asked[arm] = family.ask("drift", f"speed.drift.{arm}", found.p_value)
    return MeasuredPhase(phase, ratios, drifts, asked)


@dataclass(frozen=True, slots=True)
class MeasuredPhase:
    """The speed phase, before the family that was asked (by the ids of ratios, by arm) is closed.

    Ratios are candidate to reference: above 1, the candidate's rate is higher, or its seconds,
    bytes or joules are more. Their ids are `speed.<measure>.<candidate>.vs.<reference>`.
    """

    phase: Phase
    ratios: list[documents.SpeedRatio]
    drifts: Mapping[str, documents.RatioChange | None]
    asked: Mapping[str, Asked]

    def written(self) -> documents.SpeedPhase:
        """Write the phase, once the family is closed."""
        phase, question, records = self.phase, self.phase.question, self.phase.records
        state = standing(question, records)
        lengths = tuple(phase.length(shape) for shape in phase.shapes)
        too_long = tuple(shape for shape in question.shapes if shape in phase.too_long)
        arms = {arm: phase.arm(arm) for arm in question.arms}
        seen = conditions(records, busy_share=question.busy_share)
        return documents.SpeedPhase(
            status=state.status,
            precision=question.precision,
            time_limit=question.time_limit,
            seconds=phase.seconds,
            blocks=state.blocks,
            calls=sum(r.kind == "measured" and r.status == "ok" for r in records),
            widest=state.widest,
            reference=question.reference,
            measures=UNITS,
            arms=arms,
            ratios=tuple(replace(one, p_alarm=self._p_alarm(one.id)) for one in self.ratios),
            lengths=lengths,
            too_long=too_long,
            drift=documents.PhaseDrift(
                measure=phase.aimed_at[0],
                arms={arm: phase.drift_of(arm) for arm in question.arms},
                ratios={
                    arm: None if one is None else replace(one, p_alarm=self._p_alarm(arm))
                    for arm, one in self.drifts.items()
                },
            ),
            blocks_in_turn=tuple(phase.course()),
            conditions=seen,
            prompts=phase.form,
            marks=(
                *machine_marks(seen, question.busy_share),
                *self._marks(state),
                *arm_marks(arms),
                *length_marks(lengths, too_long),
            ),
        )

    def _p_alarm(self, key: str) -> float | None:
        return number(self.asked[key].p_alarm) if key in self.asked else None

    def _marks(self, state: Standing) -> Iterator[documents.SpeedMark]:
        if state.status != "narrow":
            yield documents.SpeedMark(mark=state.status, widest=state.widest)
        for arm, found in self.drifts.items():
            if found is None or not abs(found.change or 0.0) > self.phase.question.precision:
                continue
            # within a report after adjustment, of a phase alone by its own p
            p = self.asked[arm].p_alarm if arm in self.asked else nan(found.p_value)
            if p < self.phase.question.alpha:
                yield documents.SpeedMark(mark="drift", arm=arm, change=found.change)


def decode_sums(
    question: SpeedQuestion, records: Sequence[SpeedRecord], arms: Sequence[str]
) -> Sums | None:
    """Add up decoded tokens and seconds by block, a column an arm; None where not all is known."""
    if not set(arms) <= set(question.arms):
        return None
    found = Phase(question, records).sums("decode", arms)
    if found is None:
        return None
    single = len(arms) == 1
    amounts, seconds = ([row[0] for row in side] if single else side for side in found)
    return Sums(amounts, seconds, "blocks")


class Phase:
    """The records, sorted: the last good call of every arm, block and length."""

    def __init__(self, question: SpeedQuestion, records: Sequence[SpeedRecord]):
        self.question = question
        self.level = 1.0 - question.alpha
        self.records = records
        self.seconds = sum(r.seconds for r in records)
        self.cut = any(r.kind == "cut" for r in records)
        measured = [r for r in records if r.kind == "measured"]
        # of prompts, where it was chosen so that answers reach their length; None: the usual one
        self.form = next((r.form for r in measured if r.form != "words"), None)
        self.too_long = {r.shape for r in measured if r.status == "context_overflow"}
        self.shapes = [shape for shape in question.shapes if shape not in self.too_long]
        self.cells: Cells = {arm: {} for arm in question.arms}
        for record in measured:
            if record.status == "ok" and record.shape in self.shapes:
                self.cells[record.arm].setdefault(record.block, {})[record.shape] = record
        self.aimed_at = [n for n in ("decode", "prompt") if self._known(n)] or ["call"]

    def _known(self, measure: str) -> bool:
        """Whether every call gives a measure; where an engine does not tell, nothing is made up."""
        blocks = [list(cells.values()) for by in self.cells.values() for cells in by.values()]
        pairs = [[BY_NAME[measure].pair(call) for call in calls] for calls in blocks]
        return bool(pairs) and all(
            None not in block and any(top for top, _ in filter(None, block)) for block in pairs
        )

    def complete(self, arms: Sequence[str]) -> list[int]:
        """List the blocks in which every one of these arms answered at every length."""
        blocks = set.intersection(*(set(self.cells[arm]) for arm in arms))
        return [
            block
            for block in sorted(blocks)
            if all(len(self.cells[arm][block]) == len(self.shapes) for arm in arms)
        ]

    def sums(
        self, measure: str, arms: Sequence[str], shape: tuple[int, int] | None = None
    ) -> tuple[list[list[float]], list[list[float]]] | None:
        """Add up numerators and divisors by block, a column an arm; None where not all is known."""
        tops, bottoms = [], []
        for block in self.complete(arms):
            row = []
            for arm in arms:
                cells = self.cells[arm][block]
                calls = list(cells.values()) if shape is None else [cells[shape]]
                pairs = [BY_NAME[measure].pair(call) for call in calls]
                known = [pair for pair in pairs if pair is not None]
                if len(known) < len(calls):
                    return None
                total = (sum(t for t, _ in known), sum(b for _, b in known))
                if not all(total):
                    return None  # a block in which nothing of it happened has no rate
                row.append(total)
            tops.append([t for t, _ in row])
            bottoms.append([b for _, b in row])
        return (tops, bottoms) if tops else None

    def rate(self, measure: str, arm: str, shape: tuple[int, int] | None = None) -> Estimate | None:
        """Return a measure of one arm, over its complete blocks."""
        sums = self.sums(measure, [arm], shape)
        if sums is None:
            return None
        tops, bottoms = ([row[0] for row in side] for side in sums)
        return pooled_rate(tops, bottoms, confidence=self.level)

    def ratio(
        self, measure: str, arm: str, shape: tuple[int, int] | None = None
    ) -> Estimate | None:
        """Return the ratio of an arm's measure to the reference's."""
        sums = self.sums(measure, [self.question.reference, arm], shape)
        return None if sums is None else rate_ratio(*sums, confidence=self.level)

    def aims(self) -> list[Estimate]:
        """Return the ratios whose intervals have to be narrow."""
        found = [
            self.ratio(measure, arm) for measure in self.aimed_at for arm in self.question.arms[1:]
        ]
        return [one for one in found if one is not None]

    def loads(self, arm: str) -> list[float]:
        """List the load times of an arm, in the order they came."""
        return [
            seconds
            for r in self.records
            if r.arm == arm and r.kind == "warm_up" and (seconds := r.timing.get("load"))
        ]

    def peaks(self, arm: str) -> list[float]:
        """List the most bytes that an arm's process held, from each of its starts to the next.

        The system counts from the start of a process on, so the last count before the next start is
        the peak. Starts that answered fewer calls than the others had less time to get there.
        """
        found: list[float] = []
        for r in self.records:
            held = r.machine.get("memory_peak_bytes")
            if r.arm != arm or not held:
                continue
            if not found or (r.kind != "measured" and r.timing.get("load")):
                found.append(held)
            found[-1] = max(found[-1], held)
        return found

    def peak(self, arm: str) -> float | None:
        """Return the most bytes that an arm's process held."""
        return max(self.peaks(arm), default=None)

    def arm(self, arm: str) -> documents.PhaseArm:
        """Say everything about one arm."""
        calls = [r for r in self.records if r.arm == arm and r.kind == "measured"]
        answered = [r for r in calls if r.status == "ok"]
        loads = self.loads(arm)
        load = pooled_rate(loads, [1.0] * len(loads), confidence=self.level) if loads else None
        return documents.PhaseArm(
            calls=len(answered),
            faulted=len(calls) - len(answered),
            exact_length=sum(r.completion_tokens == r.output_length for r in answered),
            asked_exact_length=sum("exact_length" in r.asked for r in answered),
            asked_fresh=sum("fresh" in r.asked for r in answered),
            decode=_estimate(self.rate("decode", arm)),
            prompt=_estimate(self.rate("prompt", arm)),
            first_token=_estimate(self.rate("first_token", arm)),
            call=_estimate(self.rate("call", arm)),
            energy=_estimate(self.rate("energy", arm)),
            load=_estimate(load),
            memory_peak_bytes=self.peak(arm),
            memory_peaks_bytes=tuple(self.peaks(arm)),
        )

    def ratios(self, arm: str) -> Iterator[documents.SpeedRatio]:
        """Yield an arm's ratios to the reference, where they are known."""
        for m in MEASURES:
            if (one := self.ratio(m.name, arm)) is not None:
                p = p_of_none(one, df=one.n - 1, ratio=True)
                yield self._named(m.name, arm, estimate_of(one), p)
        own, base = self.loads(arm), self.loads(self.question.reference)
        both = min(len(own), len(base))
        if both:
            pairs = list(zip(base[:both], own[:both], strict=True))
            one = rate_ratio(pairs, [[1.0, 1.0]] * both, confidence=self.level)
            yield self._named("load", arm, estimate_of(one))
        peak, least = self.peak(arm), self.peak(self.question.reference)
        if peak and least:
            of_peaks = documents.Estimate(
                estimate=peak / least,
                ci=(None, None),
                confidence=None,
                method="ratio of peaks",
                n=1,
            )
            yield self._named("memory", arm, of_peaks)

    def _named(
        self, measure: str, arm: str, one: documents.Estimate, p: float | None = None
    ) -> documents.SpeedRatio:
        return documents.SpeedRatio(
            id=f"speed.{measure}.{arm}.vs.{self.question.reference}",
            measure=measure,
            reference=self.question.reference,
            candidate=arm,
            estimate=one.estimate,
            ci=one.ci,
            confidence=one.confidence,
            method=one.method,
            n=one.n,
            p_value=number(p),
        )

    def length(self, shape: tuple[int, int]) -> documents.PhaseLength:
        """Say how fast every arm is at one length."""
        return documents.PhaseLength(
            prompt_length=shape[0],
            output_length=shape[1],
            arms={arm: self._at(arm, shape) for arm in self.question.arms},
        )

    def _at(self, arm: str, shape: tuple[int, int]) -> documents.LengthArm:
        calls = [by[shape] for by in self.cells[arm].values() if shape in by]
        compared = _BY_LENGTH if arm != self.question.reference else ()
        return documents.LengthArm(
            prompt_tokens=_mean([r.prompt_tokens for r in calls]),
            completion_tokens=_mean([r.completion_tokens for r in calls]),
            decode=_estimate(self.rate("decode", arm, shape)),
            prompt=_estimate(self.rate("prompt", arm, shape)),
            first_token=_estimate(self.rate("first_token", arm, shape)),
            ratios={name: _estimate(self.ratio(name, arm, shape)) for name in compared},
        )

    def drift_of(self, arm: str) -> documents.PhaseChange | None:
        """Say by how much an arm's rate changed from the first block to the last, relative."""
        sums = self.sums(self.aimed_at[0], [arm])
        if sums is None or len(sums[0]) < 3:
            return None
        return _relative(
            drift(
                [math.log(top[0] / bottom[0]) for top, bottom in zip(*sums, strict=True)],
                confidence=self.level,
            )
        )

    def course(self) -> list[documents.BlockSpeed]:
        """Follow each arm over its complete blocks.

        `pace` is the arm's rate in a block over its rate in all of them; where whole calls are what
        is timed, its mean seconds over those of the block. Above 1 is faster than usual.
        """
        found = []
        measure = BY_NAME[self.aimed_at[0]]
        for arm in self.question.arms:
            sums = self.sums(measure.name, [arm])
            if sums is None:
                continue
            tops, bottoms = ([row[0] for row in side] for side in sums)
            usual = sum(tops) / sum(bottoms)
            for block, top, bottom in zip(self.complete([arm]), tops, bottoms, strict=True):
                own = [
                    r
                    for r in self.records
                    if (r.arm, r.block) == (arm, block) and r.kind != "rehearsal"
                ]
                pace = top / bottom / usual
                found.append(
                    documents.BlockSpeed(
                        arm=arm,
                        block=block,
                        started_at=min(r.started_at for r in own),
                        pace=pace if measure.higher_is_better else 1.0 / pace,
                        load_seconds=sum(r.timing.get("load") or 0.0 for r in own),
                        paused_seconds=sum(r.machine.get("paused_seconds") or 0.0 for r in own),
                    )
                )
        return found

    def ratio_drift(self, arm: str) -> documents.RatioChange | None:
        """Say by how much the ratio to the reference changed over the blocks, relative."""
        sums = self.sums(self.aimed_at[0], [self.question.reference, arm])
        if sums is None or len(sums[0]) < 3:
            return None
        logs = [
            math.log(top[1] / bottom[1] / (top[0] / bottom[0]))
            for top, bottom in zip(*sums, strict=True)
        ]
        change = drift(logs, confidence=self.level)
        p = p_of_none(change, df=len(logs) - 2, ratio=False)
        found = _relative(change)
        return documents.RatioChange(
            change=found.change, ci=found.ci, p_value=number(p), p_alarm=None
        )


def _relative(change: Estimate) -> documents.PhaseChange:
    """Turn a change of logarithms into a relative one."""
    low, high = (None if end is None else math.expm1(end) for end in ends(change.interval))
    return documents.PhaseChange(change=number(math.expm1(change.estimate)), ci=(low, high))


def _estimate(one: Estimate | None) -> documents.Estimate | None:
    return None if one is None else estimate_of(one)


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
