"""What is not settled: answers that are missing, and how large a study would settle a question.

Each missing answer is held against the candidate: its own counts as wrong, the reference's as
right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from quantrial.decision.evidence import Evidence, MarginTest, keeps_margin
from quantrial.decision.margin_tests import flips_of, items_to_rule_out
from quantrial.documents import WorstCase
from quantrial.documents.decision import Finding, Missing
from quantrial.words import (
    by_margin,
    endpoint,
    limit_words,
    listed,
    margin,
    plural,
    possible_loss,
    seen_loss,
    size,
    undecided,
)


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
        return Missing(arm=arm, task=task, because="", items_needed=None, text=why)
    if finding is None:
        none = limit_words("nothing_in_common", reference=evidence.reference, work=work)
        return lacks(f"{arm} {none}.")
    if finding.estimate is None:
        return lacks(
            f"{arm} cannot be compared with {evidence.reference} on {work}: one of the two has no "
            f"{endpoint(finding.named)}. There was nothing to find, or it found nothing."
        )
    accepted, bar = tolerated is not None, finding.margin if tolerated is None else tolerated
    if finding.verdict == "worse" and not accepted:
        return lacks(loss_in_words(evidence, finding, bar, accepted=False))
    if starved := evidence.starved(task, arm):
        return lacks(
            f"{arm} is undecided on {work}. Many answers of {listed(starved)} are empty because "
            "their tokens ran out. More items do not make up for that."
        )
    if unanswered if unanswered is not None else keeps_margin(finding):
        return lacks(left_open(evidence, finding, bar))
    beyond = (finding.gain.estimate or 0.0) <= -bar
    if tolerated is None or tolerated == finding.margin:
        items, needed = None, finding.items_needed
        if needed is not None:
            counts = [n for n in (needed.equivalence, needed.non_inferiority) if n]
            items = needed.difference if beyond else min(counts, default=None)
    else:
        items = items_to_rule_out(evidence, finding, bar)
    said = loss_in_words(evidence, finding, bar, accepted=accepted)
    more = _items_in_words(items, evidence, finding, "prove it" if beyond else "rule that out")
    return lacks(f"{said}{_besides(finding)} {more}", items)


def loss_in_words(evidence: Evidence, finding: Finding, bar: float, *, accepted: bool) -> str:
    """Say how much an arm lost or could lose on a task, beside the loss that is too large.

    `accepted`: whether the user stated that loss; else it is the margin.
    """
    arm, work, unit = finding.candidate, evidence.named(finding.task), finding.unit
    seen = finding.gain.estimate or 0.0
    worse = "differs more" if finding.again else "is worse"
    if seen <= -bar:
        lost = seen_loss(-seen, bar, work, unit=unit, accepted=accepted, again=finding.again)
        lost = f"it {lost}"
        if finding.verdict == "worse":
            return f"{arm} {worse}: {lost}."
        return f"{arm} is undecided: {lost}, but that is not proven."
    bound = MarginTest.of(finding).ci[0]
    open_loss = possible_loss(bound, bar, work, unit=unit, accepted=accepted, again=finding.again)
    if finding.verdict == "worse" and finding.non_inferior and not accepted:
        loss = f"a loss of {size(seen, unit)}" if not finding.again else size(seen, unit)
        return f"{arm} {worse} on {work}: {loss} is proven, within the margin."
    if finding.verdict == "worse":
        return f"{arm} {worse}: it {open_loss}."
    if finding.verdict == "better":
        did = "differs less than" if finding.again else "did better than"
        return f"{arm} {did} {evidence.reference}, yet it {open_loss}."
    return f"{arm} is undecided: it {open_loss}."


def _items_in_words(needed: int | None, evidence: Evidence, finding: Finding, what: str) -> str:
    """Say how large a new study would have to be.

    New, since what was seen cannot be added to: to look again and again until a verdict falls is
    another procedure, with another error rate.
    """
    if needed is None:
        return f"How many items would {what} is not known."
    n = finding.n
    size = "the same size" if needed <= n else f"about {plural(needed, 'item')}"
    counted_so = finding.settled_by
    if needed > n and counted_so and counted_so.clusters:  # more clusters of the same mean size
        groups = max(1, round(needed * counted_so.clusters / counted_so.items))
        size += f" in {plural(groups, 'cluster')} like these"
    flips = flips_of(evidence, finding)
    truth = "the true difference is what was seen"
    if flips is not None and not flips.turned:
        truth = f"one answer in {n:,} changes (none did here)"
    return f"A new study of {size} would probably (80 %) {what}, if {truth}."


def answers_missing(finding: Finding) -> str:
    """Count what keeps a contrast open: `undecided: 50 answers missing`."""
    return undecided(MarginTest.of(finding).missing)


def left_open(evidence: Evidence, finding: Finding, loss: float) -> str:
    """Say that missing answers leave open whether so much is lost: sentences."""
    worst, least, arm = _worst(finding), MarginTest.of(finding).ci[0], finding.candidate
    count, work = MarginTest.of(finding).missing, evidence.named(finding.task)
    loses, lose = ("changes", "change") if finding.again else ("loses", "lose")
    if worst.bound is None:
        then = "With them the difference has no value"
        if finding.unit is not None:
            then = "Nothing limits how far they could lie from the others"
    elif worst.bound <= -loss:
        then = f"{_held_against(finding)}, it {loses} {size(worst.bound, finding.unit)}"
    elif least is None:
        then = f"{_held_against(finding)}, nothing tells how much it could {lose}"
    else:
        then = f"{_held_against(finding)}, it could {lose} as much as {size(least, finding.unit)}"
    answers = f"{plural(count, 'answer')} {'is' if count == 1 else 'are'}"
    undecided_on = limit_words("missing", work=work, answers=answers)
    return f"{arm} {undecided_on} ({_whose(finding)}). {then}."


def _are_missing(count: int, finding: Finding) -> str:
    are = "is" if count == 1 else "are"
    return f"{plural(count, 'answer')} {are} missing ({_whose(finding)})"


def _besides(finding: Finding) -> str:
    """Say of a contrast that is open without them that answers are missing too; else nothing."""
    count = MarginTest.of(finding).missing
    return f" Besides, {_are_missing(count, finding)}." if count else ""


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
            yield (
                f"On {evidence.named(task)}, {_are_missing(count, finding)}. "
                f"{_held_against(finding)}, it still {'changes' if finding.again else 'loses'} "
                f"less than {margin(loss, finding.unit)}."
            )


def kept_in_words(
    evidence: Evidence, kept: Sequence[tuple[Finding, float, str]], p: str
) -> Iterator[str]:
    """Say of a pick how much less it is shown to lose: sentences, one for tasks without gold.

    Args:
        evidence: what was found.
        kept: findings, each with the loss that is ruled out and what it is called.
        p: that of the claim, to stand after it.
    """
    sides = {
        again: [row for row in kept if (row[0].again is not None) is again]
        for again in (False, True)
    }
    for again, rows in sides.items():
        if not rows:
            continue
        where = by_margin((margin(loss, f.unit), name) for f, loss, name in rows)
        if not again:
            yield f"It is shown to lose less than {where}{p}."
            continue
        bar, _, on = where.partition(" on ")
        works = listed(dict.fromkeys(evidence.named(f.task) for f, _, _ in rows))
        yield (
            f"It is shown to change at most {bar} more answers than {evidence.reference} itself on "
            f"{on}{p}. No right answers are known for {works}: whether changed answers are worse "
            "is not known."
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
        return f"If all count against {arm}"
    entities = "entity" if invents == 1 else "entities"
    return f"If its own invent {invents:g} {entities} each, and all count against {arm}"


def _worst(finding: Finding) -> WorstCase:
    """Return the worst case of a finding of which answers are missing."""
    worst = finding.gain.worst_case
    assert worst is not None
    return worst
