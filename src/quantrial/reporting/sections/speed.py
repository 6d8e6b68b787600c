"""How fast each arm is, how surely and under which conditions, and how large it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from quantrial.documents import (
    AnswerSpeed,
    Estimate,
    PhaseChange,
    SpeedMark,
    SpeedPhase,
    Summary,
)
from quantrial.precision import stated_size, weights_in_words
from quantrial.reporting.blocks import (
    Cell,
    Column,
    Fact,
    Group,
    Row,
    Section,
    Table,
    by_name,
    cells,
)
from quantrial.reporting.glossary import note, prose, section
from quantrial.words import (
    UNKNOWN,
    count,
    decimal,
    file_size,
    percent,
    percent_interval,
    plural,
    rate,
    ratio,
    ratio_interval,
    seconds,
    signed_percent,
    signed_percent_interval,
)

_ARM = Column("arm", numeric=False)
_RATIOS = "Speed against the reference"
_UNITS: dict[str, Callable[[float | None], str]] = {
    "tokens_per_second": lambda value: UNKNOWN if value is None else f"{rate(value)} tokens/s",
    "seconds": seconds,
    "joules_per_token": lambda value: UNKNOWN if value is None else f"{decimal(value)} J",
    "bytes": file_size,
}


def speed_section(summary: Summary) -> Section:
    """How fast each arm answered, and how large it is."""
    sizes = [one.memory_bytes for one in summary.arms.values()]
    memory = by_name(
        "size of each arm",
        _ARM,
        summary.arms,
        (
            Column("weights", hint="size of the weight file"),
            lambda one: stated_size(one, file_size(one.memory_bytes, sizes)),
        ),
        (Column("type", numeric=False), weights_in_words),
    )
    groups = [*_phase_groups(summary), Group("Memory", tables=(memory,))]
    for task, arms in summary.speed.items():
        table = by_name(
            f"speed of each arm on {task}",
            _ARM,
            arms,
            (
                Column("tokens/s", hint="pooled: all generated tokens over all decode seconds"),
                lambda one: rate(one.tokens_per_second),
            ),
            (
                Column(
                    "mean of ratios", hint="mean of the tokens/s of each answer, as often published"
                ),
                lambda one: rate(one.mean_tokens_per_second),
            ),
            (
                Column("prompt tokens/s", hint="pooled: all prompt tokens over all prompt seconds"),
                lambda one: rate(one.prompt_tokens_per_second),
            ),
            (
                Column("per answer", hint="mean seconds from question to answer"),
                lambda one: seconds(one.seconds_per_answer),
            ),
            (
                Column("median", hint="median seconds from question to answer"),
                lambda one: seconds(one.median_seconds_per_answer),
            ),
        )
        groups.append(Group(f"Speed in the answers: {task}", tables=(table,)))
        groups += _drift(task, arms)
    return section("speed", "Speed and memory", groups)


def _drift(task: str, arms: Mapping[str, AnswerSpeed]) -> Iterator[Group]:
    """Show how far a drift of the machine could bias the ratios of speeds of a task."""
    drifts = {arm: one.drift for arm, one in arms.items() if one.drift}
    biased = {arm: one for arm, one in drifts.items() if one.bias_linear is not None}
    if not biased:
        return
    found = next(iter(drifts.values()))
    line = found.linear
    change = line.change or 0.0
    direction = "less" if change < 0 else "longer"
    said = (
        f"A token took {percent(abs(change))} {direction} at the last answer than at the "
        f"first (change {percent_interval(line.ci)}); the slowest of {found.stretches} "
        f"stretches of the run was {percent(found.stretch_range)} slower than the fastest. What "
        "that does to a ratio of speeds depends on when each arm was asked."
    )
    table = by_name(
        f"bias of the ratio of decoding speeds on {task} from a drift of the machine",
        _ARM,
        biased,
        (
            Column("by a line", hint="negative: the ratio to the reference is that much too low"),
            lambda one: _bias(one.bias_linear),
        ),
        (
            Column("at most", hint="at the far end of the interval of the line"),
            lambda one: _bias(one.bias_linear_bound),
        ),
        (
            Column("by stretches", hint="from the pace of each stretch, whatever its course"),
            lambda one: _bias(one.bias_blocks),
        ),
    )
    yield Group(f"Drift: {task}", notes=(said,), tables=(table,), folded=True)


def _bias(value: float | None) -> str:
    return percent(None if value is None else round(value, 4) + 0.0, 2)


def _phase_groups(summary: Summary) -> list[Group]:
    """Describe the speed phase; one group that says so where there was none."""
    phase = summary.speed_phase
    if phase is None or not phase.calls:
        absent = "no_speed_phase" if phase is None else "speed_not_run"
        return [Group("Speed phase", notes=(note(absent),))]
    groups = [_against(phase), _absolute(phase), *_lengths(phase), _phase_drift(phase), _how(phase)]
    if said := tuple(_sentence(one, phase) for one in phase.marks):
        groups.insert(1, Group("What to know of these figures", items=said))
    return groups


def speed_headings(summary: Summary) -> dict[str, str]:
    """Map the id of each finding of the speed phase to the heading its row stands under."""
    ratios = summary.speed_phase.ratios if summary.speed_phase else ()
    return {one.id: _RATIOS for one in ratios if one.measure == "decode"}


def _against(phase: SpeedPhase) -> Group:
    """Every ratio to the reference with its interval; decoding is what decisions rest on."""
    rows = []
    for one in phase.ratios:
        name, hint = prose("measures")[one.measure]
        decode = one.measure == "decode"
        rows.append(
            Row(
                (
                    Cell(one.candidate),
                    Cell(name, title=hint),
                    Cell(ratio(one.estimate)),
                    Cell(ratio_interval(one.ci)),
                    Cell("above 1" if phase.measures[one.measure].higher_is_better else "below 1"),
                ),
                finding=one.id if decode and one.ci[0] is not None else "",
            )
        )
    table = Table(
        f"speed of each arm against {phase.reference}",
        (
            _ARM,
            Column("what", numeric=False),
            Column("ratio", hint=f"to {phase.reference}'s"),
            Column("interval", hint="Student's t over blocks, on the logarithm of the ratio"),
            Column("better", numeric=False),
        ),
        tuple(rows),
    )
    said = (
        f"Measured in {plural(phase.blocks, 'block')} of fixed prompts, one call at a time, the "
        "arms in turn. A ratio is one of sums: all tokens over all seconds, never a mean of ratios."
    )
    chosen = prose("prompts").get(phase.prompts or "")
    return Group(_RATIOS, notes=(said, chosen) if chosen else (said,), tables=(table,))


def _absolute(phase: SpeedPhase) -> Group:
    peaks = [own.memory_peak_bytes for own in phase.arms.values()]
    table = by_name(
        "speed of each arm, on its own",
        _ARM,
        phase.arms,
        (_head("decode"), lambda own: _value(own.decode, phase, "decode")),
        (_head("prompt"), lambda own: _value(own.prompt, phase, "prompt")),
        (_head("first_token"), lambda own: _value(own.first_token, phase, "first_token")),
        (_head("load"), lambda own: _value(own.load, phase, "load")),
        (_head("energy"), lambda own: _value(own.energy, phase, "energy")),
        (_head("memory"), lambda own: file_size(own.memory_peak_bytes, peaks)),
    )
    return Group("Speed of each arm", tables=(table,))


def _head(measure: str) -> Column:
    name, hint = prose("measures")[measure]
    return Column(name, hint=hint)


def _value(one: Estimate | None, phase: SpeedPhase, name: str) -> str:
    unit = phase.measures[name].unit
    return _UNITS[unit](None if one is None else one.estimate)


def _lengths(phase: SpeedPhase) -> Iterator[Group]:
    rows = []
    for one in phase.lengths:
        for arm, at in one.arms.items():
            rows.append(
                Row(
                    cells(
                        _tokens(at.prompt_tokens, one.prompt_length),
                        _tokens(at.completion_tokens, one.output_length),
                        arm,
                        _value(at.decode, phase, "decode"),
                        _value(at.prompt, phase, "prompt"),
                        _value(at.first_token, phase, "first_token"),
                        *(_with_interval(at.ratios.get(name)) for name in ("decode", "prompt")),
                    )
                )
            )
    table = Table(
        "speed of each arm by length of prompt and answer",
        (
            Column("prompt", hint="tokens, as the engine counts them"),
            Column("answer", hint="tokens"),
            _ARM,
            *map(_head, ("decode", "prompt", "first_token")),
            Column("decoding, ratio"),
            Column("reading, ratio"),
        ),
        tuple(rows),
    )
    if rows:
        yield Group("Speed by length", tables=(table,), folded=True)


def _tokens(mean: float | None, aimed: int) -> str:
    return f"about {count(aimed)}" if mean is None else count(round(mean))


def _with_interval(one: Estimate | None) -> str:
    return "" if one is None else f"{ratio(one.estimate)} ({ratio_interval(one.ci)})"


def _phase_drift(phase: SpeedPhase) -> Group:
    found = phase.drift
    rows = [Row(cells(arm, *_changed(one))) for arm, one in found.arms.items()]
    reference = phase.reference
    rows += [
        Row(cells(f"{arm} against {reference}", *_changed(one)))
        for arm, one in found.ratios.items()
    ]
    name = prose("measures")[found.measure][0]
    table = Table(
        f"change of {name} from the first block to the last",
        (_ARM, Column("change"), Column("interval", hint="of a straight line over the blocks")),
        tuple(rows),
    )
    return Group("Drift", notes=(note("phase_drift"),), tables=(table,), folded=True)


def _changed(one: PhaseChange | None) -> tuple[str, str]:
    if one is None:
        return UNKNOWN, UNKNOWN
    return signed_percent(one.change), signed_percent_interval(one.ci)


def _how(phase: SpeedPhase) -> Group:
    seen = phase.conditions
    facts = (
        Fact("blocks", count(phase.blocks)),
        Fact("calls", count(phase.calls)),
        Fact("time", seconds(phase.seconds)),
        Fact("aim", f"±{percent(phase.precision, 0)}"),
        Fact("widest interval", _plus_minus(phase.widest)),
        Fact("CPU time of others", percent(seen.others_share)),
        Fact("waited for a quiet machine", seconds(seen.paused_seconds)),
        Fact("pages swapped", count(seen.swapped_pages)),
        Fact("slowed down for heat", count(seen.throttled)),
    )
    return Group("How speed was measured", facts=facts, folded=True)


def _plus_minus(value: float | None) -> str:
    return UNKNOWN if value is None else f"±{percent(value)}"


def _sentence(mark: SpeedMark, phase: SpeedPhase) -> str:
    calls, prompt = mark.calls, mark.prompt_length
    text: str = prose("marks")[mark.mark]
    return text.format(
        share=percent(mark.others_share),
        calls=UNKNOWN if calls is None else plural(calls, "call"),
        pages=count(mark.pages),
        events=count(mark.events),
        aim=percent(phase.precision, 0),
        widest=_plus_minus(mark.widest),
        arm=mark.arm or "",
        change=signed_percent(mark.change),
        length=UNKNOWN if prompt is None else count(prompt),
        output=count(mark.output_length),
    )
