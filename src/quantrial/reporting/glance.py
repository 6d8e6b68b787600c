"""Each arm at a glance: what it costs, how good it is, how it stands on every workload.

With the small drawings of its card: where a difference may lie, beside the margin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from quantrial.agreement import fixed
from quantrial.decision.pick import costs_more
from quantrial.decision.words import left_open
from quantrial.documents import Contrast, Interval, Summary
from quantrial.documents.decision import Constraints, Decision
from quantrial.precision import stated_size, weights_in_words
from quantrial.reporting.blocks import (
    Card,
    Cell,
    Column,
    Fact,
    Meter,
    Part,
    Row,
    Standing,
    Table,
    cells,
)
from quantrial.reporting.glossary import KEYS
from quantrial.words import (
    UNKNOWN,
    VERDICT_SIGNS,
    VERDICT_WORDS,
    endpoint,
    file_size,
    listed,
    percent,
    points,
    ratio,
    share,
    span_in_words,
)

KEPT = ("equivalent", "non_inferior", "better")  # verdicts of arms that keep the margin
_OPEN, _MISSING = "better, margin open", "answers missing"


def cards(summary: Summary, decision: Decision) -> tuple[Card, ...]:
    """Describe every arm, in the study's order."""
    return tuple(_card(summary, decision, arm) for arm in summary.arms)


def _card(summary: Summary, decision: Decision, arm: str) -> Card:
    own, reference = summary.arms[arm], summary.reference
    cost = decision.costs.get(arm)
    given = decision.constrained
    chosen = arm == (given.pick if given else decision.default.arm)
    badges = []
    if chosen:
        badges.append("recommended")
    if arm == reference:
        badges.append("reference")
    if own.control:
        badges.append("positive control")
    standings = tuple(_standing(summary, decision, task, arm) for task in summary.tasks)
    facts = [
        Fact("weights", stated_size(own, file_size(own.memory_bytes))),
    ]
    if arm != reference and cost is not None:
        facts += [
            Fact("memory", _share(cost.memory_ratio, reference, _how_known(decision))),
            Fact("speed", _speed(cost.speedup, reference)),
        ]
    weights = weights_in_words(own)
    return Card(
        arm=arm,
        badges=tuple(badges),
        facts=(Fact("type", weights), *facts),
        meters=tuple(_meters(summary, decision, arm)),
        standings=standings,
        chosen=chosen,
        advice=_advice(decision, arm, _kinds(summary, decision, arm, standings)),
        origin=f"{weights}: its weights had been quantized before." if own.quantized_before else "",
    )


def _advice(decision: Decision, arm: str, verdicts: Mapping[str, str]) -> str:
    """Say in a few words what to do with an arm: what the sections below say at length."""
    default, given = decision.default, decision.constrained
    reference = decision.reference
    if arm not in decision.costs:
        return "Damaged on purpose, to see whether this trial finds harm. Not for shipping."
    own = decision.picker.arms[arm]
    if own.twin is not None or own.other_prompts:
        why = "Nothing tells it from another arm" if own.twin else "Was shown other prompts"
        return f"{why}: not picked."
    if given and given.pick != arm:
        if any(one.arm == arm for one in given.rejected):
            return "Breaks your constraints."
        return f"Keeps your constraints{_and_costs_more(decision, arm, given.pick)}."
    if arm == (given.pick if given else default.arm):
        return "Stay with this one." if arm == reference else "Ship this one."
    if not default.conclusive:
        return "This trial cannot tell."
    if arm == reference:
        more = "Costs more; better" if _costs_more(decision, arm, default.arm) else "Better"
        return f"{more} by less than the margin, if at all."
    return _shown_of(decision, arm, verdicts)


def _costs_more(decision: Decision, arm: str, than: str | None) -> bool:
    """Whether an arm is known to cost more than another."""
    settings = decision.constrained.constraints if decision.constrained else Constraints()
    return than is not None and costs_more(decision.picker, settings, arm, than)


def _and_costs_more(decision: Decision, arm: str, than: str | None) -> str:
    return ", costs more" if _costs_more(decision, arm, than) else ""


def _shown_of(decision: Decision, arm: str, verdicts: Mapping[str, str]) -> str:
    """Say on which workloads an arm is fine that is not recommended."""
    by = {
        words: [work for work, verdict in verdicts.items() if (verdict or "inconclusive") in kinds]
        for words, kinds in (
            ("Fine for", KEPT),
            ("Better, but a loss of the margin is not ruled out, for", (_OPEN,)),
            ("Not settled, for want of answers, for", (_MISSING,)),
            ("Not settled for", ("inconclusive",)),
            ("Avoid for", ("worse",)),
        )
    }
    if by["Fine for"] == list(verdicts):
        if any(one.arm == arm and not one.shown for one in decision.ship):
            return "Keeps the margin by itself; not shown to as one of several candidates."
        return f"Keeps the margin too{_and_costs_more(decision, arm, decision.default.arm)}."
    return " ".join(f"{words} {listed(works)}." for words, works in by.items() if works)


def _kinds(
    summary: Summary, decision: Decision, arm: str, standings: Sequence[Standing]
) -> dict[str, str]:
    """Name what is shown of an arm by workload.

    Apart: `better` that may yet lose the margin, and what missing answers could turn.
    """
    found = {}
    for task, one in zip(summary.tasks, standings, strict=True):
        row = decision.picker.tasks[task].arms.get(arm)
        found[one.workload] = one.tone
        if row is not None and left_open(row):
            found[one.workload] = _MISSING
        elif one.tone == "better" and row is not None and not row.holds:
            found[one.workload] = _OPEN
    return found


class VerdictInterval(NamedTuple):
    """The interval that a verdict rests on, and its level."""

    ci: Interval
    confidence: float | None


def verdict_interval(one: Contrast) -> VerdictInterval:
    """Return the interval that a contrast's verdict rests on.

    Equivalence and non-inferiority are shown by tests whose interval is the narrower one.
    """
    if one.equivalence is not None and one.verdict in KEPT[:2]:
        return VerdictInterval(one.equivalence.ci, one.equivalence.confidence)
    return VerdictInterval(one.ci, one.confidence)


def _meters(summary: Summary, decision: Decision, arm: str) -> Iterator[Meter]:
    """Show what an arm costs as shares of the largest, so that arms can be compared by eye."""
    reference, peak = summary.reference, decision.picker.memory_source == "peak"
    own = {name: one.memory for name, one in decision.picker.arms.items()}
    memory, sizes = own.get(arm), [one or 0 for one in own.values()]
    cost = decision.costs.get(arm)
    ratio_of = None if cost is None else cost.memory_ratio
    yield Meter(
        "Peak memory" if peak else "Memory",
        file_size(memory, sizes),
        "" if arm == reference or ratio_of is None else f"{percent(ratio_of, 0)} of {reference}",
        share(memory, max(sizes)),
        "peak" if peak else "weights",
    )
    if cost is not None:
        fastest = max(one.speedup or 0.0 for one in decision.costs.values())
        note = "" if arm == reference or cost.speedup is None else f"{reference}'s"
        yield Meter("Speed", ratio(cost.speedup), note, share(cost.speedup, fastest), "speedup")


def _how_known(decision: Decision) -> str:
    """Return what to say beside memory that was measured or stated; nothing beside files."""
    source = decision.picker.memory_source or ""
    return {"peak": ", at the peak", "stated": ", as stated"}.get(source, "")


def _share(value: float | None, reference: str, how: str) -> str:
    return UNKNOWN if value is None else f"{percent(value, 0)} of {reference}{how}"


def _speed(value: float | None, reference: str) -> str:
    return UNKNOWN if value is None else f"{ratio(value)} {reference}"


def _standing(summary: Summary, decision: Decision, task: str, arm: str) -> Standing:
    part, reference, workload = summary.tasks[task], summary.reference, summary.named(task)
    own = part.main.arms.get(arm)
    measure = endpoint(part.primary)
    is_reference = arm == reference
    alone = Standing(
        workload=workload,
        quality=percent(own.estimate if own else None),
        measure=(Part(measure, term=part.primary if part.primary in KEYS else ""),),
        tone="",
        sign="",
        verdict="reference" if is_reference else "not compared",
        term="reference" if is_reference else "",
        difference="",
        range="",
        target="",
    )
    contrast = next(
        (one for one in part.main.contrasts if (one.reference, one.candidate) == (reference, arm)),
        None,
    )
    if contrast is None:
        return alone
    row = decision.picker.tasks[task].arms.get(arm)
    unanswered = "" if row is None else left_open(row)
    verdict = "inconclusive" if unanswered or contrast.verdict is None else contrast.verdict
    interval = verdict_interval(contrast)
    return replace(
        alone,
        tone=verdict,
        sign=VERDICT_SIGNS[verdict],
        verdict=unanswered or VERDICT_WORDS[verdict],
        term=verdict,
        difference=points(contrast.estimate),
        range=span_in_words(interval.ci),
        level="" if None in interval.ci else percent(interval.confidence, 0),
        target=contrast.id,
        strip="" if contrast.estimate is None else contrast.id,
    )


def costs(cards: Sequence[Card]) -> Table:
    """Set the costs of all arms side by side."""

    def fact(card: Card, name: str) -> str:
        return next((one.value for one in card.facts if one.name == name), "")

    return Table(
        "what each arm costs",
        (
            Column("arm", numeric=False),
            Column("type", numeric=False),
            Column("weights"),
            Column("memory"),
            Column("speed"),
            Column("", numeric=False),
        ),
        tuple(
            Row(
                cells(
                    card.arm,
                    *(fact(card, name) for name in ("type", "weights", "memory", "speed")),
                    ", ".join(card.badges),
                )
            )
            for card in cards
        ),
    )


def standings(cards: Sequence[Card], reference: str) -> Table:
    """Set the verdicts of all arms side by side."""
    workloads = [one.workload for one in cards[0].standings] if cards else []
    return Table(
        f"each arm against {reference}, by workload",
        (Column("arm", numeric=False), *(Column(w, numeric=False) for w in workloads)),
        tuple(
            Row(
                (
                    Cell(card.arm),
                    *(
                        Cell(f"{one.sign} {one.verdict} {one.difference}".strip(), tone=one.tone)
                        for one in card.standings
                    ),
                )
            )
            for card in cards
        ),
    )


# hand-written SVG without colours of its own: the page's style gives them, in light and dark
_WIDTH, _HEIGHT = 240.0, 18.0
_EDGE = 6.0


def strips(summary: Summary) -> dict[str, str]:
    """Draw the interval of each primary contrast with the reference; SVG texts by finding.

    All arms of a task share one scale, so that strips on neighbouring cards can be compared.
    """
    drawn = {}
    for part in summary.tasks.values():
        contrasts = [
            (one.id, one.estimate, verdict_interval(one).ci)
            for one in part.main.contrasts
            if one.reference == summary.reference and one.estimate is not None
        ]
        ends = [
            value
            for _, estimate, span in contrasts
            for value in (*span, estimate)
            if value is not None
        ]
        margin = part.margin
        low, high = min([-1.5 * margin, *ends]), max([1.5 * margin, *ends])
        for identity, estimate, span in contrasts:
            drawn[identity] = _strip(estimate, span, margin, low, high)
    return drawn


def _strip(estimate: float, span: Interval, margin: float, low: float, high: float) -> str:
    def at(value: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * (value - low) / (high - low)

    def x(value: float) -> str:
        return fixed(at(value), 1)

    middle = _HEIGHT / 2
    parts = [
        f'<rect class="band" x="{x(-margin)}" y="0" '
        f'width="{fixed(at(margin) - at(-margin), 1)}" height="{_HEIGHT:.0f}" rx="2"/>',
        f'<line class="axis" x1="0" x2="{_WIDTH:.0f}" y1="{middle:.0f}" y2="{middle:.0f}"/>',
        f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="0" y2="{_HEIGHT:.0f}"/>',
    ]
    left, right = span
    if left is not None and right is not None:
        parts.append(
            f'<line class="span" x1="{x(left)}" x2="{x(right)}" '
            f'y1="{middle:.0f}" y2="{middle:.0f}"/>'
        )
    parts.append(  # a line of no length with round ends: a circle would be stretched with the card
        f'<line class="dot" x1="{x(estimate)}" x2="{x(estimate)}" '
        f'y1="{middle:.0f}" y2="{middle:.0f}"/>'
    )
    return (
        f'<svg class="strip" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" aria-hidden="true" '
        f'preserveAspectRatio="none">{"".join(parts)}</svg>'
    )
