"""Each arm at a glance: what it costs, how good it is, how it stands on every workload.

With the small drawings of its card: where a difference may lie, beside the margin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from quantrial.agreement import fixed
from quantrial.decision.pick import costs_more
from quantrial.documents import (
    ChoiceFailures,
    Contrast,
    FailureModes,
    Interval,
    SpanFailures,
    Summary,
)
from quantrial.documents.decision import Broken, Constraints, Decision
from quantrial.precision import stated_size, weights_in_words
from quantrial.registry import kind_of
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
from quantrial.reporting.contrasts import by_endpoint
from quantrial.reporting.glossary import meanings
from quantrial.words import (
    UNKNOWN,
    VERDICT_SIGNS,
    amount,
    difference,
    endpoint,
    file_size,
    left_open,
    listed,
    out_of,
    percent,
    points,
    ratio,
    share,
    size,
    size_of_points,
    span_in_words,
    verdict_word,
)

KEPT = ("equivalent", "non_inferior", "better")  # verdicts of arms that keep the margin
_OPEN, _MISSING, _CHANGED = "better, margin open", "answers missing", "differs more"
_COSTS = ("max_memory", "min_speedup", "max_latency")
_UNREAD = "could not be read"
_PEAK = "The most memory that the arm's process held, pages of its file included."
_WEIGHTS = "The model's file: what must fit into memory before anything runs."
_SPEED = "Tokens written a second, beside the reference's."
_SMALL = {"worse": ", small loss", "better": ", small gain"}  # shown beside a margin that is kept


def cards(summary: Summary, decision: Decision) -> tuple[Card, ...]:
    """Describe every arm, in the study's order."""
    return tuple(_card(summary, decision, arm) for arm in summary.arms)


def _card(summary: Summary, decision: Decision, arm: str) -> Card:
    own, reference = summary.arms[arm], summary.reference
    cost = decision.costs.get(arm)
    given = decision.constrained
    chosen = arm == (given.pick if given else decision.default.arm)
    badges = []
    if chosen and (given or decision.default.conclusive):  # else nothing was shown to recommend it
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
        worst=worst(summary, arm),
        origin=f"{weights}: its weights had been quantized before." if own.quantized_before else "",
    )


def _advice(decision: Decision, arm: str, verdicts: Mapping[str, str]) -> str:
    """Say in a few words what to do with an arm: what the sections below say at length."""
    default, given = decision.default, decision.constrained
    reference = decision.reference
    if arm not in decision.costs:
        return "Damaged on purpose, to see whether this study finds harm. Not for shipping."
    own = decision.picker.arms[arm]
    if own.twin is not None or own.other_prompts:
        why = "Looks identical to another arm" if own.twin else "Was shown other prompts"
        return f"{why}: not picked."
    if given and given.pick != arm:
        breaks = [one.breaks for one in given.rejected if one.arm == arm]
        if breaks:
            return _breaks(decision, arm, breaks[0])
        return f"Keeps your constraints{_and_costs_more(decision, arm, given.pick)}."
    if arm == (given.pick if given else default.arm):
        return "Stay with this one." if arm == reference else "Ship this one."
    if not default.conclusive:
        return "This study cannot tell."
    if arm == reference:
        more = "Costs more; better" if _costs_more(decision, arm, default.arm) else "Better"
        return f"{more} by less than the margin, if at all."
    return _shown_of(decision, arm, verdicts)


def _breaks(decision: Decision, arm: str, breaks: Sequence[Broken]) -> str:
    """Say whether an arm breaks the constraints, or is only not shown to keep them."""
    for one in breaks:
        row = None if one.task is None else decision.picker.tasks[one.task].arms.get(arm)
        finding = decision.findings.get(row.finding or "") if row is not None else None
        if one.constraint in _COSTS or (finding is not None and finding.verdict == "worse"):
            return "Breaks your constraints."
    return "Not shown to keep your constraints."


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
            ("Changes more answers on", (_CHANGED,)),
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
        elif one.tone == "worse" and decision.picker.tasks[task].against == "reference":
            found[one.workload] = _CHANGED
        elif one.tone == "better" and row is not None and not row.holds:
            found[one.workload] = _OPEN
    return found


class CardInterval(NamedTuple):
    """The interval that a card shows, and its level."""

    ci: Interval
    confidence: float | None


def card_interval(one: Contrast) -> CardInterval:
    """Return the interval of the test against the margin: one level on every card.

    It is the narrower one, and no verdict contradicts it: it lies within the margins where an arm
    is equivalent, and leaves out zero where a difference is shown.
    """
    test = one.equivalence or one
    return CardInterval(test.ci, test.confidence)


# how an answer can be spoilt: the count of an arm's answers, and what is said of them
_SIGNS = (
    ("truncated", "hit the token limit"),
    ("refused", "are refusals"),
    ("repeating", "repeat themselves"),
    ("empty", "are empty"),
)
_MANY = 0.1  # share of answers, above the reference's, that is said of an arm without a test


def worst(summary: Summary, arm: str) -> str:
    """Say the worst that is known of an arm, of any endpoint or way to fail; empty for nothing.

    Against the reference it is the largest loss that is shown, or the largest surplus of answers
    that are spoilt; of the reference the latter alone.
    """
    facts = [
        fact
        for task in summary.tasks
        for found in (_spoilt(summary, task, arm), _losses(summary, task, arm))
        for fact in found
    ]
    return max(facts, default=(0.0, ""), key=_badness)[1]


def _badness(fact: tuple[float, str]) -> float:
    return round(fact[0], 3)  # of two that are as bad the first one, a count, is said


def _losses(summary: Summary, task: str, arm: str) -> Iterator[tuple[float, str]]:
    part = summary.tasks[task]
    meant = kind_of(part).mitigations()
    for name, contrasts in by_endpoint(part):
        for one in contrasts:
            against = (one.reference, one.candidate) == (summary.reference, arm)
            loss, test = one.gain.estimate, one.equivalence
            if not against or one.verdict != "worse" or loss is None or test is None:
                continue
            # in a unit of its own, a loss of the margin counts as much as a point
            weight = -loss if one.unit is None else -loss / test.margin * 0.01
            lost, work = size(loss, one.unit), summary.named(task)
            turned = "higher" if one.direction == "lower" else "lower"
            said = f"{lost} {turned} {endpoint(part.label(name))} on {work}."
            means = meant.get(name, "").removeprefix("It ").partition(". ")[0]
            if "{loss}" in means:
                means = means.replace("{loss}", lost).replace("{reference}", one.reference)
                said = f"{means[0].upper()}{means[1:]}, on {work}."
            yield weight, said


def _spoilt(summary: Summary, task: str, arm: str) -> Iterator[tuple[float, str]]:
    """Yield what spoils many more of an arm's answers than of the reference's."""
    counts = {one: _counts(modes) for one, modes in summary.tasks[task].failure_modes.items()}
    usual = {} if arm == summary.reference else counts.get(summary.reference, {})
    for said, (count, of) in counts.get(arm, {}).items():
        before, before_of = usual.get(said, (0, 0))
        surplus = count / of - (before / before_of if before_of else 0.0)
        if surplus >= _MANY:
            beside = f" ({summary.reference}: {out_of(before, before_of)})" if before_of else ""
            yield surplus, f"{out_of(count, of)} answers on {summary.named(task)} {said}{beside}."


def _counts(modes: FailureModes) -> dict[str, tuple[int, int]]:
    """Count an arm's spoilt answers by what is said of them, each with how many tell."""
    signs = ((said, getattr(modes.texts, name)) for name, said in _SIGNS)
    found = {said: (sign.count, sign.n) for said, sign in signs if sign.n}
    unread = modes.n - modes.parsed if isinstance(modes, SpanFailures) else None
    if isinstance(modes, ChoiceFailures):
        unread = modes.unparsed
    return found if unread is None or not modes.n else {_UNREAD: (unread, modes.n), **found}


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
        _PEAK if peak else _WEIGHTS,
    )
    if cost is not None:
        fastest = max(one.speedup or 0.0 for one in decision.costs.values())
        note = "" if arm == reference or cost.speedup is None else f"{reference}'s"
        yield Meter("Speed", ratio(cost.speedup), note, share(cost.speedup, fastest), _SPEED)


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
    measure = endpoint(part.label(part.primary))
    is_reference = arm == reference
    alone = Standing(
        workload=workload,
        quality=amount(own.estimate if own else None, part.main.unit),
        measure=(Part(measure, term=part.primary if part.primary in meanings(part) else ""),),
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
    interval = card_interval(contrast)
    small = _SMALL.get(contrast.also or "", "")
    return replace(
        alone,
        tone=verdict,
        sign=VERDICT_SIGNS[verdict],
        verdict=unanswered or f"{verdict_word(verdict, contrast.against)}{small}",
        term=verdict,
        difference=difference(contrast.estimate, contrast.unit),
        range=span_in_words(
            card_interval(contrast.gain).ci, contrast.unit, against=contrast.against
        ),
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
_TICKS = 6  # at most so many beside the first


@dataclass(frozen=True, slots=True)
class Scale:
    """The one scale of all drawings on cards: from `low` to `high`, with round `ticks`."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return where a difference lies, in pixels of the drawing."""
        return _EDGE + (_WIDTH - 2 * _EDGE) * (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Round differences along the scale, zero among them."""
        exact = (self.high - self.low) / _TICKS
        decade = 10.0 ** math.floor(math.log10(exact))
        step = next(k * decade for k in (1, 2, 5, 10) if k * decade >= exact)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return tuple(step * i for i in range(first, last + 1))

    def labels(self, *, signed: bool = True) -> tuple[tuple[str, str], ...]:
        """Return each tick's place in percent of the width, and its text; zero names the unit.

        Without signs, words at the ends say which side is worse.
        """
        write, ticks = points if signed else size_of_points, self.ticks
        texts = [
            write(one).removesuffix(" pp").removesuffix(".0") if one else "0 pp" for one in ticks
        ]
        if not signed and ticks[0] < 0:
            texts[0] += " worse"
        if not signed and ticks[-1] > 0:
            texts[-1] += " better"
        places = (f"{fixed(100 * self.at(one) / _WIDTH, 1)}%" for one in ticks)
        return tuple(zip(places, texts, strict=True))


def _compared(summary: Summary) -> Iterator[tuple[Contrast, float, float]]:
    """Walk over what cards draw: primary contrasts with the reference, estimate and margin.

    A loss is on the left of each, whichever values are better.
    """
    for part in summary.tasks.values():
        for one in (each.gain for each in part.main.contrasts):
            if one.reference == summary.reference and one.estimate is not None:
                yield one, one.estimate, part.margin


def scale(summary: Summary, unit: str | None = None) -> Scale:
    """Return the scale that has room for every interval and margin in a unit; None: shares."""
    values = [
        value
        for one, estimate, margin in _compared(summary)
        for value in (*card_interval(one).ci, estimate, -1.5 * margin, 1.5 * margin)
        if value is not None and one.unit == unit
    ]
    return Scale(min(values, default=-1.0), max(values, default=1.0))


def tick_labels(summary: Summary) -> tuple[tuple[str, str], ...]:
    """Label the scale of shares, if any is drawn; without signs where lower is better for one."""
    shares = [one.main for one in summary.tasks.values() if one.main.unit is None]
    signed = all(one.direction == "higher" for one in shares)
    return scale(summary).labels(signed=signed) if shares else ()


def strips(summary: Summary) -> dict[str, str]:
    """Draw the interval of each primary contrast with the reference; SVG texts by finding."""
    scales = {one.unit: scale(summary, one.unit) for one, _, _ in _compared(summary)}
    return {
        one.id: _strip(estimate, card_interval(one).ci, margin, scales[one.unit])
        for one, estimate, margin in _compared(summary)
    }


def _strip(estimate: float, span: Interval, margin: float, common: Scale) -> str:
    def x(value: float) -> str:
        return fixed(common.at(value), 1)

    def line(name: str, left: float, right: float) -> str:
        middle = f"{_HEIGHT / 2:.0f}"
        return f'<line class="{name}" x1="{x(left)}" x2="{x(right)}" y1="{middle}" y2="{middle}"/>'

    parts = [
        f'<rect class="band" x="{x(-margin)}" y="0" '
        f'width="{fixed(common.at(margin) - common.at(-margin), 1)}" height="{_HEIGHT:.0f}"/>',
        line("axis", common.low, common.high),
        f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="0" y2="{_HEIGHT:.0f}"/>',
        *(
            f'<line class="tick" x1="{x(one)}" x2="{x(one)}" y1="{_HEIGHT - 5:.0f}" '
            f'y2="{_HEIGHT:.0f}"/>'
            for one in common.ticks
        ),
    ]
    left, right = span
    if left is not None and right is not None:
        parts.append(line("span", left, right))
    # a line of no length with round ends: a circle would be stretched with the card
    parts.append(line("dot", estimate, estimate))
    return (
        f'<svg class="strip" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" aria-hidden="true" '
        f'preserveAspectRatio="none">{"".join(parts)}</svg>'
    )
