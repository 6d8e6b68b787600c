"""How a contrast is said in a table: its arms, difference, interval and verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quantrial.words import (
    UNKNOWN,
    VERDICT_WORDS,
    count,
    listed,
    points,
    points_interval,
    signed,
    signed_interval,
    verdict,
)

Document = Mapping[str, Any]


def declared_note(declared: bool | None) -> tuple[str, ...]:
    """Say of a failure mode whether the study named it beforehand; endpoints do not ask."""
    if declared is None:
        return ()
    if declared:
        return ("Declared: the study named this failure mode before its answers were seen.",)
    return ("Exploratory: the study did not name this failure mode. Read it as a hint.",)


_OVER_CLUSTERS = "score-clusters"
# over what the p of everything but primary endpoints is adjusted
WITH_ALL = "adjusted with all else in this report that is no primary endpoint"


def judged(one: Document) -> str:
    """Write a contrast's verdict and what holds beside it; without a verdict, what is shown."""
    if one["verdict"] is None:
        return str(one.get("shown") or "not shown")
    also = one.get("also")
    said = verdict(one["verdict"])
    return f"{said}, and {VERDICT_WORDS.get(also, also)}" if also else said


_OF_WHAT_WAS_READ = ("no_spurious", "spurious_per_sentence")
_QUESTIONS = {
    "equivalence": "equivalence",
    "non_inferiority": "non-inferiority",
    "difference": "a difference",
}


def new_study(one: Document) -> tuple[str, str]:
    """Say how large a new study would have to be to settle a contrast, and what it would show."""
    settled = one.get("settled_by")
    if settled is None:
        return UNKNOWN, ""
    items, groups = _size(one)
    said = items if groups is None else f"{items} in {groups} clusters"
    return said, _QUESTIONS[settled["question"]]


def _size(one: Document) -> tuple[str, str | None]:
    """Write the items of a new study and their clusters, where whole clusters are counted.

    A count below what there is says that another study of this size would do.
    """
    settled = one["settled_by"]
    items, groups = max(settled["items"], one["n"]), settled.get("clusters")
    return count(items), None if groups is None else count(groups)


def approximate(contrasts: Sequence[Document]) -> tuple[str, ...]:
    """Say that claims over clusters are approximate."""
    if not any(one.get("ci_method") == _OVER_CLUSTERS for one in contrasts):
        return ()
    return (
        "Over clusters: intervals, and claims of non-inferiority and equivalence, are approximate.",
    )


def open_questions(contrasts: Sequence[Document]) -> Iterator[str]:
    """Say of each undecided contrast how large a new study would settle it."""
    for one in contrasts:
        if one["verdict"] != "inconclusive":
            continue
        _, what = new_study(one)
        if not what:
            yield f"{pair(one)} is undecided; what was seen does not tell how many items it takes."
            continue
        items, groups = _size(one)
        size = f"{items} items" + ("" if groups is None else f" in {groups} clusters like these")
        truth = "the truth is as seen"
        if one["sd_paired"] == 0:
            truth = f"one answer in {count(one['n'])} turns, of which none did here"
        yield (
            f"{pair(one)} is undecided; a new study of {size} would show {what} with an 80 % "
            f"chance, if {truth}."
        )


def units(contrasts: Sequence[Document]) -> tuple[str, ...]:
    """Say in what a difference is that is no share."""
    unit = contrasts[0].get("unit") if contrasts else None
    if unit is None:
        return ()
    if contrasts[0]["verdict"] is None:
        return (f"In {unit}. Longer is neither better nor worse: no margin, no verdict.",)
    return (f"In {unit}, fewer being better: negative is a loss. Tested without a margin.",)


def estimate(one: Document) -> str:
    """Write a difference in points, or in a unit of its own."""
    return signed(one["estimate"]) if one.get("unit") else points(one["estimate"])


def interval(one: Document, ends: Sequence[float | None]) -> str:
    """Write an interval of a difference in the unit of the difference."""
    return signed_interval(ends) if one.get("unit") else points_interval(ends)


def pair(one: Document) -> str:
    """Name the arms of a contrast."""
    return f"{one['candidate']} vs {one['reference']}"


def failure_endpoints(part: Document) -> Mapping[str, Document]:
    """Group a task's contrasts of failure modes by their endpoint, in the shape of endpoints."""
    grouped: dict[str, dict[str, Any]] = {}
    for one in part.get("failure_contrasts", ()):
        results = grouped.setdefault(one["endpoint"], {"contrasts": [], "equivalence": []})
        results["contrasts"].append(one)
        results["equivalence"].append(one["equivalence"])
    return grouped


def of_what_was_read(part: Document, named: Sequence[tuple[str, Document]]) -> tuple[str, ...]:
    """Say of what is invented on how few texts it is compared, and whom that flatters.

    Args:
        part: the task's summary.
        named: contrasts with the names of their endpoints; those not on inventions are passed over.
    """
    answered = {pair(one): one["n"] for one in part["endpoints"][part["primary"]]["contrasts"]}
    fewer = dict.fromkeys(  # the two endpoints on inventions are of the same texts
        f"{pair(one)} on {count(one['n'])} of {count(answered[pair(one)])}"
        for name, one in named
        if name in _OF_WHAT_WAS_READ and one["n"] < answered.get(pair(one), 0)
    )
    if not fewer:
        return ()
    return (
        "What is invented is compared only on texts of which both answers could be read: "
        f"{listed(list(fewer))}. An arm that often cannot be read may look better there than it "
        "is.",
    )
