"""The view model: everything the report says, as text. Templates only put it in its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from quantrial.documents import Summary, load_summary
from quantrial.documents.decision import load_decision
from quantrial.inert import clean
from quantrial.reporting import contrasts, glance, sentences
from quantrial.reporting.blocks import Advice, View
from quantrial.reporting.figures import figures
from quantrial.reporting.glossary import WORDS, explained
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
from quantrial.reporting.sentences import claim, evidence, shortened
from quantrial.words import (
    listed,
    plural,
    size_of_points,
)

if TYPE_CHECKING:
    from quantrial.records import Manifest
    from quantrial.study import Study

Document = Mapping[str, Any]


def build_view(
    study: Study,
    summary: Document,
    decision: Document,
    manifest: Manifest,
    *,
    drawn: Collection[str] = (),
) -> View:
    """Put everything the report says into words and tables; `drawn` are the plots there are."""
    findings = decision["findings"]
    default, given = decision["default"], decision.get("constrained")
    reference = summary["reference"]
    headline = _headline(default, reference)
    said = shortened(claim(default, findings), headline)
    if given:
        headline = sentences.headline(given, reference)
        said = sentences.answer(given, findings)
    whole, decided = load_summary(summary), load_decision(decision)
    sections = [
        quality.arms_section(whole),
        quality.contrasts_section(whole),
        quality.equivalence_section(whole),
        failures.failures_section(whole),
        strata.strata_section(whole),
        flips.flips_section(whole),
        speed.speed_section(whole),
        flow.power_section(whole),
        flow.flow_section(whole),
        methodology.methods_section(whole),
        flips.fidelity_section(whole),
        methodology.assay_section(whole),
        methodology.checks_section(whole, decided),
        provenance.provenance_section(manifest),
        provenance.limits_section(study, whole, manifest),
        provenance.reproduce_section(study, whole, decided, manifest.software.get("quantrial")),
    ]
    cards, seen = glance.cards(summary, decision), set[str]()
    return View(
        title=study.study,
        subtitle=_subtitle(summary),
        alarms=alarms(decision),
        headline=headline,
        summary=explained(said, seen),
        constraints=sentences.in_words(decision) if given else (),
        unconstrained=sentences.unconstrained(default, findings) if given else (),
        rejected=sentences.rejected(given, findings) if given else None,
        advice=tuple(_advice(decision, seen)),
        evidence=evidence(_entries(decision), findings),
        cards=cards,
        costs=glance.costs(cards),
        standings=glance.standings(cards, reference),
        plots=figures(summary, drawn),
        sections=tuple(section for section in sections if section is not None),
        words=WORDS,
    )


def contrast_headings(summary: Summary) -> dict[str, str]:
    """Map the id of each finding to the heading its row stands under."""
    return {
        one.id: quality.contrast_group_title(task, name)
        for task, part in summary.tasks.items()
        for name, found in contrasts.by_endpoint(part)
        for one in found
        if contrasts.unit_of(one) is None  # what is counted is no finding of the decision
    } | speed.speed_headings(summary)


def alarms(decision: Document) -> tuple[str, ...]:
    """List what must be known before anything else is read: the trial itself is in doubt."""
    return tuple(clean(one["text"]) for one in decision.get("cautions") or () if one.get("kind"))


def _headline(default: Document, reference: str) -> str:
    arm = default["arm"]
    if not default.get("conclusive", True):
        return f"Not enough evidence: stay with {arm}"
    return f"Stay with {arm}" if arm == reference else f"Ship {arm}"


def _subtitle(summary: Document) -> str:
    tasks = summary["tasks"].values()
    items = " and ".join(
        f"{plural(part['flow']['analysed_items'], 'item')} of {part['workload']}" for part in tasks
    )
    margins = listed([size_of_points(part["margin"]) for part in tasks])
    return (
        f"{plural(len(summary['arms']), 'arm')}, compared on the same {items}; reference "
        f"{summary['reference']}; margin {margins}; {summary['methods']} methods"
    )


_ADVICE = (
    ("pick_when", "pick-when", "Pick only when"),
    ("avoid_for", "avoid-for", "Avoid for"),
    ("stay_when", "stay-when", "Stay when"),
    ("cautions", "cautions", "Cautions"),
    ("risk", "risk", "What to expect"),
    ("sensitivity", "sensitivity", "What would change this"),
    ("controls", "controls", "Could this trial see harm?"),
)


def _entries(decision: Document) -> list[Document]:
    """List every entry of the decision that makes a claim."""
    given = decision.get("constrained")
    claims = [given] if given else []
    claims += [broken for one in (given or {}).get("rejected", ()) for broken in one["breaks"]]
    claims.append(decision["default"])
    for key, _, _ in _ADVICE:
        claims += _said(decision, key)
    return claims


def _said(decision: Document, key: str) -> list[Document]:
    """List what the decision says under a key; of the risks, those that concern a candidate."""
    found = decision.get(key) or ()
    if key == "sensitivity":
        return list(found["changes"]) if found else []
    controls = {one["arm"] for one in decision.get("controls") or ()}
    return [one for one in found if key != "risk" or one["arm"] not in controls]


def _advice(decision: Document, seen: set[str]) -> list[Advice]:
    findings = decision["findings"]
    found = []
    for key, anchor, title in _ADVICE:
        claims = tuple(explained(claim(entry, findings), seen) for entry in _said(decision, key))
        if claims:
            found.append(Advice(anchor, title, claims))
    return found
