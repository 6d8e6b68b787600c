"""Speeds, and quality against cost, as `summary.json` holds them; times are seconds."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from quantrial.documents.base import Estimate, Interval, Number, Part


class SpeedInterval(Part, frozen=True, kw_only=True):
    """The interval of a pooled speed over `n` of a `unit`: `stretches` or `answers`."""

    ci: Interval
    confidence: Number | None
    method: str
    n: int
    unit: str


class LinearDrift(Part, frozen=True, kw_only=True):
    """The change in seconds a token from the first call to the last, the same for all arms."""

    change: Number | None
    ci: Interval
    confidence: Number | None
    method: str


class AnswerDrift(Part, frozen=True, kw_only=True):
    """What a drift of the machine could do to an arm's ratio of speeds, as fractions of it.

    Biases are None of the reference; what stretches tell is None where there is one.
    """

    calls: int
    stretches: int
    linear: LinearDrift
    stretch_range: Number | None
    bias_linear: Number | None
    bias_linear_bound: Number | None
    bias_blocks: Number | None


class AnswerSpeed(Part, frozen=True, kw_only=True):
    """How fast an arm answered a task; None where the engine does not say."""

    n: int
    completion_tokens: int
    prompt_tokens: int
    tokens_per_second: Number | None
    tokens_per_second_interval: SpeedInterval | None
    mean_tokens_per_second: Number | None
    prompt_tokens_per_second: Number | None
    seconds_per_answer: Number | None
    median_seconds_per_answer: Number | None
    drift: AnswerDrift | None


class Window(Part, frozen=True, kw_only=True):
    """An arm's calls in one window of the order of calls, places `first` to `last` (both counted).

    `pace` is the speed relative to the arm's own mean, 1.0 as usual; None where nothing was timed.
    """

    arm: str
    first: int = msgspec.field(name="from")
    last: int = msgspec.field(name="to")
    started_at: str
    n: int
    pace: Number | None
    loads: int
    load_seconds: Number


class Timeline(Part, frozen=True, kw_only=True):
    """The run from its first call to its last."""

    calls: int
    windows: tuple[Window, ...]


class MeasureUnit(Part, frozen=True, kw_only=True):
    """What a measure of speed is in, and which side of it is better."""

    unit: str
    higher_is_better: bool


class PhaseArm(Part, frozen=True, kw_only=True):
    """One arm in the speed phase. Peaks of memory are bytes, one for each start of its process."""

    calls: int
    faulted: int
    exact_length: int
    asked_exact_length: int
    asked_fresh: int
    decode: Estimate | None
    prompt: Estimate | None
    first_token: Estimate | None
    call: Estimate | None
    energy: Estimate | None
    load: Estimate | None
    memory_peak_bytes: Number | None
    memory_peaks_bytes: tuple[Number, ...]


class SpeedRatio(Part, frozen=True, kw_only=True):
    """Candidate to reference: above 1, the candidate's rate is higher, or its seconds are more.

    Loads and memory are not tested, and have no p; decoding alone can raise an alarm.
    """

    id: str
    measure: str
    reference: str
    candidate: str
    estimate: Number | None
    ci: Interval
    confidence: Number | None
    method: str
    n: int
    p_value: Number | None = None
    p_alarm: Number | None = None


class LengthArm(Part, frozen=True, kw_only=True):
    """One arm at one length of prompt and answer, with its ratios to the reference by measure."""

    prompt_tokens: Number | None
    completion_tokens: Number | None
    decode: Estimate | None
    prompt: Estimate | None
    first_token: Estimate | None
    ratios: Mapping[str, Estimate | None]


class PhaseLength(Part, frozen=True, kw_only=True):
    """Every arm at one length, in tokens."""

    prompt_length: int
    output_length: int
    arms: Mapping[str, LengthArm]


class PhaseChange(Part, frozen=True, kw_only=True):
    """By how much something changed from the first block to the last, as a fraction of it."""

    change: Number | None
    ci: Interval


class RatioChange(PhaseChange, frozen=True, kw_only=True):
    """By how much the ratio to the reference changed, and whether that is more than chance."""

    p_value: Number | None
    p_alarm: Number | None


class PhaseDrift(Part, frozen=True, kw_only=True):
    """Changes of a `measure` over the blocks; None where there were too few."""

    measure: str
    arms: Mapping[str, PhaseChange | None]
    ratios: Mapping[str, RatioChange | None]


class BlockSpeed(Part, frozen=True, kw_only=True):
    """One arm in one block; `pace` above 1 is faster than its usual."""

    arm: str
    block: int
    started_at: str
    pace: Number | None
    load_seconds: Number
    paused_seconds: Number


class Conditions(Part, frozen=True, kw_only=True):
    """What the machine did during the measured calls; None where the system does not say."""

    calls: int
    others_share: Number | None
    others_share_by_arm: Mapping[str, Number | None]
    others_share_before: Number | None
    busy_calls: int
    swapped_pages: Number | None
    throttled: Number | None
    battery_calls: Number | None
    paused_seconds: Number


class SpeedMark(Part, frozen=True, kw_only=True):
    """What a reader has to know before trusting the figures; which keys it has goes by `mark`."""

    mark: str
    arm: str | None = None
    others_share: Number | None = None
    calls: int | None = None
    pages: Number | None = None
    events: Number | None = None
    widest: Number | None = None
    change: Number | None = None
    prompt_length: int | None = None
    tokens: Mapping[str, Number | None] | None = None
    output_length: int | None = None


class SpeedPhase(Part, frozen=True, kw_only=True):
    """The phase of the run that measured speed alone.

    `status`: `narrow`, `time_limit`, `no_length` or `unfinished`; `widest` is the half-width of the
    widest interval, relative; `prompts` names the form of prompts where it is not the usual one.
    """

    status: str
    precision: Number
    time_limit: Number
    seconds: Number
    blocks: int
    calls: int
    widest: Number | None
    reference: str
    measures: Mapping[str, MeasureUnit]
    arms: Mapping[str, PhaseArm]
    ratios: tuple[SpeedRatio, ...]
    lengths: tuple[PhaseLength, ...]
    too_long: tuple[tuple[int, int], ...]
    drift: PhaseDrift
    blocks_in_turn: tuple[BlockSpeed, ...]
    conditions: Conditions
    prompts: str | None = None
    marks: tuple[SpeedMark, ...]


class CostValue(Part, frozen=True, kw_only=True):
    """An arm's cost. Of memory `ci` is the least and the most over starts, and there is no more."""

    estimate: Number | None
    ci: Interval
    confidence: Number | None = None
    method: str | None = None
    n: int | None
    unit: str | None = None


class Dominated(Part, frozen=True, kw_only=True):
    """An arm that another is at least as good as on quality and cost, and better on one.

    `cheaper` and `kept` say what of it is shown beyond chance; `contrast` is the id that `kept`
    rests on; both are None where the two were not compared.
    """

    arm: str
    by: str
    cheaper: bool
    contrast: str | None
    kept: bool | None


class TaskTradeoff(Part, frozen=True, kw_only=True):
    """The costs of a task's arms; those on the `frontier` are dominated by none, cheapest first."""

    arms: Mapping[str, CostValue]
    frontier: tuple[str, ...]
    dominated: tuple[Dominated, ...]


class Tradeoff(Part, frozen=True, kw_only=True):
    """Quality against one cost, known by its `source`: `speed_phase`, `answers`, `peak`, `file`."""

    source: str | None
    unit: str
    higher_is_better: bool
    tasks: Mapping[str, TaskTradeoff]
