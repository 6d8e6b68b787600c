"""Under which conditions speed was measured, and what the figures are marked with for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from quantrial import documents
from quantrial.documents import SpeedMark as Mark

if TYPE_CHECKING:
    from quantrial.records import SpeedRecord

# A machine that was busy during one call in ten was busy.
_BUSY_CALLS = 0.1
# Clocks of processes tick 100 times a second; less of a stranger's time than this may be rounding.
_LEAST_SECONDS = 0.05


def conditions(records: Sequence[SpeedRecord], *, busy_share: float) -> documents.Conditions:
    """Sum up what the machine did during the measured calls.

    `others_share` is the share of all CPU time that other processes took, pooled; where an engine
    does not name its process, `others_share_before`, seen between blocks, has to do. None where
    the system does not say.
    """
    calls = [r for r in records if r.kind == "measured" and r.status == "ok"]
    before = [b for r in calls if (b := r.machine.get("others_before")) is not None]
    return documents.Conditions(
        calls=len(calls),
        others_share=_share(calls),
        others_share_by_arm={
            arm: _share([r for r in calls if r.arm == arm])
            for arm in dict.fromkeys(r.arm for r in calls)
        },
        others_share_before=max(before, default=None),
        busy_calls=sum(_busy(r, busy_share) for r in calls),
        swapped_pages=_total(calls, "swapped_pages"),
        throttled=_total(calls, "throttled"),
        battery_calls=_total(calls, "on_battery"),
        paused_seconds=sum(r.machine.get("paused_seconds") or 0.0 for r in records),
    )


def _others(call: SpeedRecord) -> tuple[float, float] | None:
    """Return CPU seconds that others took, and those there were, over all CPUs."""
    state = call.machine
    cpu, busy, own = (state.get(f"{name}_seconds") for name in ("cpu", "busy", "own"))
    if not cpu or busy is None or own is None:
        return None
    return busy - own, cpu


def _share(calls: Sequence[SpeedRecord]) -> float | None:
    known = [others for call in calls if (others := _others(call)) is not None]
    cpu = sum(there for _, there in known)
    return min(max(sum(took for took, _ in known), 0.0) / cpu, 1.0) if cpu else None


def _busy(call: SpeedRecord, busy_share: float) -> bool:
    others = _others(call)
    if others is None:
        return (call.machine.get("others_before") or 0.0) > busy_share
    took, there = others
    return took > _LEAST_SECONDS and took / there > busy_share


def _total(calls: Sequence[SpeedRecord], name: str) -> float | None:
    known = [value for call in calls if (value := call.machine.get(name)) is not None]
    return sum(known) if known else None


def machine_marks(seen: documents.Conditions, busy_share: float) -> Iterator[Mark]:
    """List what of the machine a reader has to know before trusting the figures; none is good.

    Args:
        seen: what the machine did.
        busy_share: the share of others from which on the machine counts as busy.
    """
    share = seen.others_share or 0.0
    if share > busy_share or (seen.calls and seen.busy_calls / seen.calls > _BUSY_CALLS):
        yield Mark(mark="busy", others_share=seen.others_share, calls=seen.busy_calls)
    if seen.swapped_pages:
        yield Mark(mark="swap", pages=seen.swapped_pages)
    if seen.throttled:
        yield Mark(mark="throttled", events=seen.throttled)
    if seen.battery_calls:
        yield Mark(mark="battery", calls=int(seen.battery_calls))
    if seen.others_share is None and seen.others_share_before is None and seen.calls:
        yield Mark(mark="unwatched")


def arm_marks(arms: Mapping[str, documents.PhaseArm]) -> Iterator[Mark]:
    """List which arms were not asked, or did not answer, as they should have."""
    for arm, own in arms.items():
        if short := own.calls - own.exact_length:
            held = own.asked_exact_length == own.calls
            yield Mark(mark="other_length" if held else "own_length", arm=arm, calls=short)
        if own.asked_fresh < own.calls:
            yield Mark(mark="cache", arm=arm)
        if own.faulted:
            yield Mark(mark="faults", arm=arm, calls=own.faulted)


def length_marks(
    lengths: Sequence[documents.PhaseLength], too_long: Sequence[tuple[int, int]]
) -> Iterator[Mark]:
    """List the lengths that were not the same for all arms, and those that did not fit."""
    for one in lengths:
        read = {arm: at.prompt_tokens for arm, at in one.arms.items()}
        if len(set(read.values())) > 1:
            yield Mark(mark="tokenizer", prompt_length=one.prompt_length, tokens=read)
    for prompt, output in too_long:
        yield Mark(mark="too_long", prompt_length=prompt, output_length=output)
