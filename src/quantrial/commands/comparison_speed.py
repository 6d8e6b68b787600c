"""How much faster an arm is in another run, and whether its lead on the reference changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.words import times, times_interval

if TYPE_CHECKING:
    from quantrial.analysis import Sums
    from quantrial.records import Response, SpeedRecord
    from quantrial.study import Study


@dataclass(frozen=True, slots=True)
class Timed:
    """A run's calls of the speed phase, and the study that asked for them."""

    label: str
    study: Study
    records: Sequence[SpeedRecord]

    def lengths(self) -> tuple[tuple[int, int], ...]:
        """Return the lengths that were asked for; none without a speed phase."""
        return () if self.study.speed is None else self.study.speed.shapes

    def sums(self, *arms: str) -> Sums | None:
        """Return decoded tokens and seconds by block, in a column for each arm."""
        from quantrial.analysis import decode_sums

        return decode_sums(self.study, self.records, arms)


def phase_speeds(arm: str, first: Timed, later: Sequence[Timed]) -> dict[str, Any]:
    """Compare the decoding speed of an arm in later runs with that in the first, by speed phases.

    Returns:
        By run `rate`, the ratio of its speeds (later over first), and `lead`, the ratio of its
        ratios to the reference's; each None where it is not known: without a speed phase of the
        same lengths in both runs, for an engine that does not time decoding, or, of `lead`, for
        the reference itself and where the runs have different references.
    """
    found = {}
    for run in later:
        if not first.lengths() or run.lengths() != first.lengths():
            continue
        reference = first.study.reference
        same = run.study.reference == reference != arm
        rate = _between(first.sums(arm), run.sums(arm), first.study.alpha)
        lead = _between(first.sums(reference, arm), run.sums(reference, arm), first.study.alpha)
        if rate is not None:
            found[run.label] = {"rate": rate, "lead": lead if same else None}
    return found


def answer_speeds(
    responses: Mapping[str, Sequence[Response | None]], *, alpha: float
) -> dict[str, Any]:
    """Compare the decoding speed of the answers in later runs with that in the first."""
    from quantrial.analysis import answer_sums

    sums = {label: answer_sums(answers) for label, answers in responses.items()}
    first = next(iter(sums))
    return {
        label: _between(sums[first], own, alpha) for label, own in sums.items() if label != first
    }


def _between(first: Sums | None, second: Sums | None, alpha: float) -> dict[str, Any] | None:
    from quantrial.analysis import plain
    from quantrial.analysis.told import told_estimate
    from quantrial.stats import ratio_between

    if first is None or second is None:
        return None
    found = ratio_between(
        (first.amounts, first.seconds), (second.amounts, second.seconds), confidence=1.0 - alpha
    )
    units = dict.fromkeys((first.unit, second.unit))
    told: dict[str, Any] = plain(told_estimate(found) | {"unit": " and ".join(units)})
    return told


def told_with_interval(one: Mapping[str, Any]) -> str:
    """Write a ratio with its interval: `1.30 times (1.25 to 1.36)`."""
    reach = "no interval" if None in one["ci"] else times_interval(one["ci"])
    return f"{times(one['estimate'])} ({reach})"


def changes(first: Timed, speeds: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Say how fast each arm decodes in other runs, and whether its lead changed."""
    for arm, runs in speeds.items():
        for label, one in runs.items():
            text = (
                f"{arm} in {label} decodes at {told_with_interval(one['rate'])} its speed in "
                f"{first.label}, by their speed phases"
            )
            if (lead := one["lead"]) is not None:
                text += (
                    f"; its speed relative to {first.study.reference} is "
                    f"{told_with_interval(lead)} what it was: {_verdict(lead)}"
                )
            yield {"kind": "speed", "arm": arm, "run": label, "text": f"{text}."}


def _verdict(lead: Mapping[str, Any]) -> str:
    low, high = lead["ci"]
    if low is None or low <= 1.0 <= high:
        return "no change is shown"
    return "it gained" if low > 1.0 else "it lost"
