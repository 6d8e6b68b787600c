"""Answers that are missing, in words: whose they are, and what they leave open.

Each is held against the candidate: its own count as wrong, the reference's as right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from quantrial.decision.trial import Held, Trial
from quantrial.decision.words import Document, undecided
from quantrial.words import listed, margin, plural, size


def answers_missing(finding: Document) -> str:
    """Count what keeps a contrast open: `undecided: 50 answers missing`."""
    return undecided(Held.of(finding).missing)


def left_open(trial: Trial, finding: Document, loss: float) -> str:
    """Say that missing answers leave open whether so much is lost: a sentence without its end."""
    worst, least = finding["worst_case"], Held.of(finding).ci[0]
    said = f"{answers_missing(finding)} on {trial.named(finding['task'])} ({_whose(finding)})"
    if worst["bound"] is None:
        return f"{said}; what the difference would be with them is not defined"
    if worst["bound"] <= -loss:
        return f"{said}; {_held_against(finding)}, the loss would be {size(worst['bound'])}"
    if least is None:
        return f"{said}; {_held_against(finding)}, nothing tells what it could lose"
    return f"{said}; {_held_against(finding)}, it could lose as much as {size(least)}"


def besides(finding: Document) -> str:
    """Say of a contrast that is open without them that answers are missing too; else nothing."""
    count = Held.of(finding).missing
    return f" ({plural(count, 'answer')} missing besides: {_whose(finding)})" if count else ""


def not_counted(finding: Document) -> str:
    """Say of an estimate which answers it is not of; else nothing."""
    count = Held.of(finding).missing
    are = "is" if count == 1 else "are"
    return f" {plural(count, 'answer')} {are} missing and not counted." if count else ""


def kept_all_the_same(trial: Trial, losses: Mapping[str, float], arm: str) -> Iterator[str]:
    """Say of a pick that its claim holds with missing answers held against it, by task."""
    for task, loss in losses.items():
        finding = trial.primary(task, arm)
        if finding is not None and (count := Held.of(finding).missing):
            are = "is" if count == 1 else "are"
            yield (
                f"On {trial.named(task)}, {plural(count, 'answer')} {are} missing "
                f"({_whose(finding)}): {_held_against(finding)}, a loss of {margin(loss)} is still "
                "ruled out."
            )


def _whose(finding: Document) -> str:
    """Say whose answers are missing: `40 of q4_0 and 3 of f16`."""
    worst = finding["worst_case"]
    sides = (
        (finding["candidate"], worst["missing_candidate"]),
        (finding["reference"], worst["missing_reference"]),
    )
    return listed(f"{count:,} of {name}" for name, count in sides if count)


def _held_against(finding: Document) -> str:
    """Say how they are counted, and what is assumed of them where no bound is known."""
    arm, worst = finding["candidate"], finding["worst_case"]
    invents = worst.get("taken_to_invent")
    if invents is None:
        return f"held against {arm}"
    entities = "entity" if invents == 1 else "entities"
    return (
        f"held against {arm}, its own taken to find nothing and to invent {invents:g} {entities} "
        "each"
    )
