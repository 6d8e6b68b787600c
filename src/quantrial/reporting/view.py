"""The view model: everything the report says, as text. Templates only put it in its place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from quantrial.documents.decision import (
    AvoidFor,
    Caution,
    Change,
    Control,
    Decision,
    Default,
    PickWhen,
    Risk,
    StayWhen,
)
from quantrial.inert import clean
from quantrial.reporting import contrasts, glance, sentences
from quantrial.reporting.blocks import Advice, View
from quantrial.reporting.figures import figures
from quantrial.reporting.glossary import Terms, words_of
from quantrial.reporting.sections import (
    failures,
    flips,
    flow,
    methodology,
    provenance,
    quality,
    speed,
    strata,
)
from quantrial.reporting.sections.serving import serving
from quantrial.words import (
    listed,
    plural,
    size_of_points,
)

if TYPE_CHECKING:
    from quantrial.documents import Summary
    from quantrial.records import Manifest
    from quantrial.study import Study


def opening(summary: Summary, decision: Decision, manifest: Manifest) -> View:
    """Put what a report says before its plots into words and tables: all that a terminal shows."""
    links = sentences.Links(decision)
    default, given = decision.default, decision.constrained
    headline = _headline(default, summary.reference)
    text = sentences.shortened(links.claim(default), headline, f"Stay with {default.arm}")
    if given:
        headline = sentences.headline(given, summary.reference)
        text = sentences.answer(given, links)
    cards, words = glance.cards(summary, decision), words_of(summary)
    terms = Terms(words)
    return View(
        title=summary.study.name,
        subtitle=_subtitle(summary),
        alarms=alarms(decision),
        headline=headline,
        summary=terms.explained(text),
        constraints=sentences.constraints_in_words(given, decision) if given else (),
        unconstrained=sentences.unconstrained(default, links) if given else (),
        rejected=sentences.rejected(given, links) if given else None,
        advice=tuple(_advice(decision, links, terms)),
        evidence=links.evidence(_evidence(decision)),
        cards=cards,
        costs=glance.costs(cards),
        standings=glance.standings(cards, summary.reference),
        plots=(),
        sections=(),
        words=words,
        serving=serving(decision, manifest),
    )


def build_view(
    study: Study,
    summary: Summary,
    decision: Decision,
    manifest: Manifest,
    *,
    drawn: Collection[str] = (),
) -> View:
    """Put everything the report says into words and tables; `drawn` are the plots there are."""
    sections = [
        quality.arms_section(summary, study.constrained_pairs),
        quality.contrasts_section(summary),
        quality.equivalence_section(summary),
        failures.failures_section(summary),
        strata.strata_section(summary),
        flips.flips_section(summary),
        speed.speed_section(summary),
        flow.power_section(summary),
        flow.flow_section(summary),
        methodology.methods_section(summary),
        flips.fidelity_section(summary),
        methodology.assay_section(summary),
        methodology.checks_section(summary, decision),
        provenance.provenance_section(manifest),
        provenance.limits_section(study, summary, manifest),
        provenance.reproduce_section(study, summary, decision, manifest.software.get("quantrial")),
    ]
    return replace(
        opening(summary, decision, manifest),
        title=study.study,
        plots=figures(summary, drawn),
        sections=tuple(section for section in sections if section is not None),
    )


def contrast_headings(summary: Summary) -> dict[str, str]:
    """Map the id of each finding to the heading its row stands under."""
    return {
        contrast.id: quality.contrast_group_title(task, name)
        for task, part in summary.tasks.items()
        for name, found in contrasts.by_endpoint(part)
        for contrast in found
        if contrast.equivalence is not None  # without a margin it is no finding of the decision
    } | speed.speed_headings(summary)


def alarms(decision: Decision) -> tuple[str, ...]:
    """List what must be known before anything else is read: the trial itself is in doubt."""
    return tuple(clean(caution.text) for caution in decision.cautions if caution.kind)


def _headline(default: Default, reference: str) -> str:
    if not default.conclusive:
        return f"Not enough evidence: stay with {default.arm}"
    return f"Stay with {default.arm}" if default.arm == reference else f"Ship {default.arm}"


def _subtitle(summary: Summary) -> str:
    tasks = summary.tasks.items()
    items = listed(
        f"{plural(part.flow.analysed_items, 'item')} of {summary.named(task)}"
        for task, part in tasks
    )
    margins = listed(size_of_points(part.margin, part.main.unit) for _, part in tasks)
    return (
        f"{plural(len(summary.arms), 'arm')}, compared on the same {items}; reference "
        f"{summary.reference}; margin {margins}; {summary.methods} methods"
    )


Claimed = PickWhen | AvoidFor | StayWhen | Caution | Risk | Change | Control


def _claims(decision: Decision) -> Iterator[tuple[str, str, Sequence[Claimed]]]:
    """Yield the parts of the decision by anchor and title, with what each claims."""
    yield "pick-when", "Pick only when", decision.pick_when
    yield "avoid-for", "Avoid for", decision.avoid_for
    yield "stay-when", "Stay when", decision.stay_when
    cautions = [caution for caution in decision.cautions if not caution.kind]  # else alarms
    yield "cautions", "Cautions", cautions
    # of the risks, those that concern a candidate
    controls = {control.arm for control in decision.controls}
    risks = [risk for risk in decision.risk if risk.arm not in controls]
    yield "risk", "What to expect", risks
    yield "sensitivity", "What would change this", decision.sensitivity.changes
    yield "controls", "Could this study see harm?", decision.controls


def _evidence(decision: Decision) -> Iterator[str]:
    """Yield the lines of evidence of everything that the decision claims."""
    if given := decision.constrained:
        yield from given.evidence
        for arm in given.rejected:
            for broken in arm.breaks:
                yield from broken.evidence
    yield from decision.default.evidence
    for _, _, claims in _claims(decision):
        for claim in claims:
            yield from claim.evidence


def _advice(decision: Decision, links: sentences.Links, terms: Terms) -> Iterator[Advice]:
    for anchor, title, claims in _claims(decision):
        if claims:
            texts = tuple(terms.explained(links.claim(claim)) for claim in claims)
            yield Advice(anchor, title, texts)
