"""How a contrast is said in a table: its arms, difference, interval and verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from quantrial.documents import Contrast, FailureContrast, Interval, LetterShift, TaskSummary
from quantrial.reporting.glossary import note
from quantrial.words import (
    UNKNOWN,
    count,
    difference,
    difference_interval,
    listed,
    signed,
    signed_interval,
    verdict,
    verdict_word,
)

_OVER_CLUSTERS = "score-clusters"
# over what the p of everything but primary endpoints is adjusted
WITH_ALL = "adjusted with all else in this report that is no primary endpoint"
_OF_WHAT_WAS_READ = ("no_spurious", "spurious_per_sentence")
_QUESTIONS = {
    "equivalence": "equivalence",
    "non_inferiority": "non-inferiority",
    "difference": "a difference",
}


class TwoArms(Protocol):
    """What compares a candidate with a reference."""

    @property
    def reference(self) -> str:
        """The arm that is compared with."""

    @property
    def candidate(self) -> str:
        """The arm that is compared."""


def declared_note(found: Sequence[Contrast | LetterShift]) -> tuple[str, ...]:
    """Say of a failure mode whether the study named it beforehand; endpoints do not ask."""
    if not found or not isinstance(found[0], (FailureContrast, LetterShift)):
        return ()
    if found[0].declared:
        return ("Declared: the study named this failure mode before its answers were seen.",)
    return ("Exploratory: the study did not name this failure mode. Read it as a hint.",)


def judged(one: Contrast) -> str:
    """Write a contrast's verdict and what holds beside it; without a verdict, what is shown."""
    if one.verdict is None:
        return (isinstance(one, FailureContrast) and one.shown) or "not shown"
    said = verdict(one.verdict, one.against)
    return f"{said}, and {verdict_word(one.also, one.against)}" if one.also else said


def new_study(one: Contrast) -> tuple[str, str]:
    """Say how large a new study would have to be to settle a contrast, and what it would show.

    A count below what there is says that another study of this size would do.
    """
    settled = one.settled_by
    if settled is None:
        return UNKNOWN, ""
    items = count(max(settled.items, one.n))
    if settled.clusters is not None:
        items = f"{items} in {count(settled.clusters)} clusters"
    return items, _QUESTIONS[settled.question]


def approximate(contrasts: Sequence[Contrast]) -> tuple[str, ...]:
    """Say that claims over clusters are approximate."""
    if not any(one.ci_method == _OVER_CLUSTERS for one in contrasts):
        return ()
    return (note("over_clusters"),)


def open_questions(contrasts: Sequence[Contrast]) -> Iterator[str]:
    """Say of each undecided contrast how large a new study would settle it."""
    for one in contrasts:
        if one.verdict != "inconclusive":
            continue
        settled = one.settled_by
        if settled is None:
            yield f"{pair(one)} is undecided. What was seen does not say how many items it takes."
            continue
        size = f"{count(max(settled.items, one.n))} items"
        if settled.clusters is not None:
            size += f" in {count(settled.clusters)} clusters like these"
        truth = "the true difference is the one seen here"
        if one.sd_paired == 0:
            truth = f"one answer in {count(one.n)} turns; none did here"
        yield (
            f"{pair(one)} is undecided. A new study of {size} would show "
            f"{_QUESTIONS[settled.question]} with an 80 % chance, if {truth}."
        )


def units(contrasts: Sequence[Contrast]) -> tuple[str, ...]:
    """Say in what a difference is that is no share, and which side of it is a loss."""
    if not contrasts:
        return ()
    one, unit = contrasts[0], contrasts[0].unit
    if not isinstance(one, FailureContrast):
        return (*_lower_is_better(one), *_without_margin(one))
    if unit is None:
        return ()
    if one.verdict is None:
        return (f"In {unit}. Longer is neither better nor worse: no margin, no verdict.",)
    return (f"In {unit}, fewer being better: negative is a loss. Tested without a margin.",)


def _lower_is_better(one: Contrast) -> Iterator[str]:
    if one.direction == "lower":
        yield "Lower values are better: a positive difference is a loss."


def _without_margin(one: Contrast) -> Iterator[str]:
    if one.equivalence is None and one.unit is not None:
        yield f"The study states no margin in {one.unit}: tested for a difference alone."


def estimate(one: Contrast) -> str:
    """Write a difference in points, or in a unit of its own."""
    if isinstance(one, FailureContrast) and one.unit:  # which stands in a note
        return signed(one.estimate)
    return difference(one.estimate, one.unit)


def interval(one: Contrast, ends: Interval) -> str:
    """Write an interval of a difference in the unit of the difference."""
    if isinstance(one, FailureContrast) and one.unit:
        return signed_interval(ends)
    return difference_interval(ends, one.unit)


def pair(one: TwoArms) -> str:
    """Name the arms of a contrast."""
    return f"{one.candidate} vs {one.reference}"


def failures_by_endpoint(part: TaskSummary) -> Mapping[str, Sequence[FailureContrast]]:
    """Group a task's contrasts of failure modes by their endpoint."""
    grouped: dict[str, list[FailureContrast]] = {}
    for one in part.failure_contrasts:
        grouped.setdefault(one.endpoint, []).append(one)
    return grouped


def by_endpoint(part: TaskSummary) -> Iterator[tuple[str, Sequence[Contrast]]]:
    """Yield a task's contrasts of all items by endpoint: endpoints first, then failure modes."""
    for name, results in part.endpoints.items():
        yield name, results.contrasts
    yield from failures_by_endpoint(part).items()


def of_what_was_read(part: TaskSummary, named: Sequence[tuple[str, Contrast]]) -> tuple[str, ...]:
    """Say of what is invented on how few texts it is compared, and whom that flatters.

    Args:
        part: the task's summary.
        named: contrasts with the names of their endpoints; those not on inventions are passed over.
    """
    answered = {pair(one): one.n for one in part.main.contrasts}
    fewer = dict.fromkeys(  # the two endpoints on inventions are of the same texts
        f"{pair(one)} on {count(one.n)} of {count(answered[pair(one)])}"
        for name, one in named
        if name in _OF_WHAT_WAS_READ and one.n < answered.get(pair(one), 0)
    )
    if not fewer:
        return ()
    return (
        "Invented entities are compared only on texts where both answers could be read: "
        f"{listed(list(fewer))}. An arm that often cannot be read may look better there than it "
        "is.",
    )
