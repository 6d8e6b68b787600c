"""What is not settled: answers that are missing, and how large a study would settle a question.

Each missing answer is held against the candidate: its own counts as wrong, the reference's as
right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from quantrial.decision.evidence import Evidence, MarginTest, keeps_margin
from quantrial.decision.margin_tests import flips_of, items_to_rule_out
from quantrial.decision.words import seen, undecided
from quantrial.documents import WorstCase
from quantrial.documents.decision import Finding, Missing
from quantrial.words import listed, margin, plural, size


def what_is_missing(
    evidence: Evidence,
    task: str,
    arm: str,
    tolerated: float | None = None,
    *,
    unanswered: bool | None = None,
) -> Missing:
    """Say what an arm lacks on a task, and how large a study would rule out a loss of the margin.

    That is the decision's question; the summary's `settled_by` counts the items to the verdict that
    takes the fewest, which may be a difference. Against the margin (`tolerated` is None) the count
    is the summary's own; against another loss it is counted by `margin_tests`. `unanswered`:
    whether nothing but missing answers leaves the question open, which more items would not
    settle; by default whether the margin is kept without them.
    """
    finding, work = evidence.primary(task, arm), evidence.named(task)

    def lacks(text: str, items: int | None = None) -> Missing:
        because = "" if finding is None else finding.id
        return Missing(arm=arm, task=task, because=because, items_needed=items, text=text)

    if why := evidence.why_other_prompts(arm):
        return Missing(arm=arm, task=task, because="", items_needed=None, text=f"{why}.")
    if finding is None:
        return lacks(f"{arm} and {evidence.reference} share no answered item on {work}.")
    if finding.estimate is None:
        name = finding.named.replace("_", "-")
        why = f"one of the two has no {name}: nothing to find, or nothing found"
        return lacks(f"{arm} cannot be compared with {evidence.reference} on {work}: {why}.")
    if finding.verdict == "worse" and tolerated is None:
        return lacks(f"{arm} is worse on {work} ({seen(finding)}).")
    if starved := evidence.starved(task, arm):
        whose = listed(f"{name}'s" for name in starved)
        why = f"many of {whose} answers are empty for want of tokens, and no items make up for that"
        return lacks(f"{arm} is undecided on {work}: {why}.")
    bar = finding.margin if tolerated is None else tolerated
    if unanswered if unanswered is not None else keeps_margin(finding):
        return lacks(f"{arm} is {left_open(evidence, finding, bar)}.")
    beyond = (finding.gain.estimate or 0.0) <= -bar
    if tolerated is None or tolerated == finding.margin:
        items, needed = None, finding.items_needed
        if needed is not None:
            counts = [n for n in (needed.equivalence, needed.non_inferiority) if n]
            items = needed.difference if beyond else min(counts, default=None)
        bar_words = "the margin"
    else:
        items = items_to_rule_out(evidence, finding, bar)
        bar_words = f"the {margin(bar, finding.unit)} tolerated"
    what = "show it worse" if beyond else f"rule out a loss of {bar_words}"
    settle = _settled_by(items, evidence, finding, what)
    if beyond:
        loss = f"the loss seen ({seen(finding)}) is itself not below {bar_words}"
        settle = f"{loss}; {settle}" if settle else loss
    verdict = "undecided"
    if finding.verdict == "better":
        verdict = f"better, but a loss of {margin(finding.margin, finding.unit)} is not ruled out"
    settle = settle or f"what was seen does not tell how many items would {what}"
    return lacks(f"{arm} is {verdict} on {work}{_besides(finding)}: {settle}.", items)


def _settled_by(needed: int | None, evidence: Evidence, finding: Finding, what: str) -> str:
    """Say how large a new study would have to be.

    New, since what was seen cannot be added to: to look again and again until a verdict falls is
    another procedure, with another error rate.
    """
    if needed is None:
        return ""
    n = finding.n
    size = "the same size" if needed <= n else f"about {plural(needed, 'item')}"
    counted_so = finding.settled_by
    if needed > n and counted_so and counted_so.clusters:  # more clusters of the same mean size
        groups = max(1, round(needed * counted_so.clusters / counted_so.items))
        size += f" in {plural(groups, 'cluster')} like these"
    flips = flips_of(evidence, finding)
    truth = "the truth is as seen"
    if flips is not None and not flips.turned:
        truth = f"one answer in {n:,} turns, of which none did here"
    return f"a new study of {size} would probably (80 %) {what}, if {truth}"


def answers_missing(finding: Finding) -> str:
    """Count what keeps a contrast open: `undecided: 50 answers missing`."""
    return undecided(MarginTest.of(finding).missing)


def left_open(evidence: Evidence, finding: Finding, loss: float) -> str:
    """Say that missing answers leave open whether so much is lost: a sentence without its end."""
    worst, least = _worst(finding), MarginTest.of(finding).ci[0]
    said = f"{answers_missing(finding)} on {evidence.named(finding.task)} ({_whose(finding)})"
    if worst.bound is None:
        return f"{said}; what the difference would be with them is not defined"
    if worst.bound <= -loss:
        return (
            f"{said}; {_held_against(finding)}, the loss would be {size(worst.bound, finding.unit)}"
        )
    if least is None:
        return f"{said}; {_held_against(finding)}, nothing tells what it could lose"
    return f"{said}; {_held_against(finding)}, it could lose as much as {size(least, finding.unit)}"


def _besides(finding: Finding) -> str:
    """Say of a contrast that is open without them that answers are missing too; else nothing."""
    count = MarginTest.of(finding).missing
    return f" ({plural(count, 'answer')} missing besides: {_whose(finding)})" if count else ""


def not_counted(finding: Finding) -> str:
    """Say of an estimate which answers it is not of; else nothing."""
    count = MarginTest.of(finding).missing
    are = "is" if count == 1 else "are"
    return f" {plural(count, 'answer')} {are} missing and not counted." if count else ""


def kept_all_the_same(evidence: Evidence, losses: Mapping[str, float], arm: str) -> Iterator[str]:
    """Say of a pick that its claim holds with missing answers held against it, by task."""
    for task, loss in losses.items():
        finding = evidence.primary(task, arm)
        if finding is not None and (count := MarginTest.of(finding).missing):
            are = "is" if count == 1 else "are"
            yield (
                f"On {evidence.named(task)}, {plural(count, 'answer')} {are} missing "
                f"({_whose(finding)}): {_held_against(finding)}, a loss of "
                f"{margin(loss, finding.unit)} is still ruled out."
            )


def _whose(finding: Finding) -> str:
    """Say whose answers are missing: `40 of q4_0 and 3 of f16`."""
    worst = _worst(finding)
    sides = (
        (finding.candidate, worst.missing_candidate),
        (finding.reference, worst.missing_reference),
    )
    return listed(f"{count:,} of {name}" for name, count in sides if count)


def _held_against(finding: Finding) -> str:
    """Say how they are counted, and what is assumed of them where no bound is known."""
    arm, invents = finding.candidate, _worst(finding).taken_to_invent
    if invents is None:
        return f"held against {arm}"
    entities = "entity" if invents == 1 else "entities"
    return (
        f"held against {arm}, its own taken to find nothing and to invent {invents:g} {entities} "
        "each"
    )


def _worst(finding: Finding) -> WorstCase:
    """Return the worst case of a finding of which answers are missing."""
    worst = finding.gain.worst_case
    assert worst is not None
    return worst
