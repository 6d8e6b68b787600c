"""The view model: everything the report says, as text. Templates only put it in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quantrial.reporting import behaviour, constrained, failures, provenance, quality, strata
from quantrial.reporting.blocks import (
    Advice,
    Card,
    Cell,
    Column,
    Fact,
    Plot,
    Row,
    Standing,
    Table,
    View,
    cells,
)
from quantrial.reporting.formatting import (
    file_size,
    listed,
    percent,
    plural,
    points,
    points_interval,
    ratio,
    size_of_points,
)
from quantrial.reporting.sentences import evidence, sentence, without_opening
from quantrial.reporting.words import VERDICT_WORDS, WORDS, endpoint, verdict

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
    warnings: Sequence[str] = (),
) -> View:
    """Put everything the report says into words and tables."""
    findings = decision["findings"]
    default, given = decision["default"], decision.get("constrained")
    reference = summary["reference"]
    headline = _headline(default, reference)
    said = without_opening(sentence(default, findings), headline)
    if given:
        headline = constrained.headline(given, reference)
        said = constrained.answer(given, findings)
    sections = [
        quality.arms_section(summary),
        quality.contrasts_section(summary),
        quality.equivalence_section(summary),
        failures.failures_section(summary),
        strata.strata_section(summary),
        behaviour.flips_section(summary),
        behaviour.speed_section(summary),
        behaviour.power_section(summary),
        behaviour.flow_section(summary),
        provenance.provenance_section(manifest, warnings),
        provenance.limits_section(study, summary, manifest),
        provenance.reproduce_section(study, summary, decision),
    ]
    cards = tuple(_card(summary, decision, arm) for arm in summary["arms"])
    return View(
        title=study.study,
        subtitle=_subtitle(summary),
        headline=headline,
        summary=said,
        constraints=constrained.in_words(given, reference) if given else (),
        unconstrained=constrained.unconstrained(default, findings) if given else (),
        rejected=constrained.rejected(given, findings) if given else None,
        advice=tuple(_advice(decision)),
        evidence=evidence(_entries(decision), findings),
        cards=cards,
        costs=_costs(cards),
        standings=_standings(cards, reference),
        plots=_plots(summary),
        sections=tuple(section for section in sections if section is not None),
        words=WORDS,
    )


def contrast_headings(summary: Document) -> dict[str, str]:
    """Map the id of each finding to the heading its row stands under."""
    return {
        one["id"]: quality.contrast_group_title(task, name)
        for task, part in summary["tasks"].items()
        for name, results in (
            *part["endpoints"].items(),
            *quality.failure_endpoints(part).items(),
        )
        for one in results["contrasts"]
    }


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
    ("controls", "controls", "Could this trial see harm?"),
)


def _entries(decision: Document) -> list[Document]:
    """List every entry of the decision that makes a claim."""
    given = decision.get("constrained")
    claims = [given] if given else []
    claims += [broken for one in (given or {}).get("rejected", ()) for broken in one["breaks"]]
    claims.append(decision["default"])
    for key, _, _ in _ADVICE:
        claims += decision.get(key) or ()
    return claims


def _advice(decision: Document) -> list[Advice]:
    findings = decision["findings"]
    found = []
    for key, anchor, title in _ADVICE:
        sentences = tuple(sentence(entry, findings) for entry in decision.get(key) or ())
        if sentences:
            found.append(Advice(anchor, title, sentences))
    return found


def _card(summary: Document, decision: Document, arm: str) -> Card:
    record, reference = summary["arms"][arm], summary["reference"]
    cost = decision["costs"].get(arm, {})
    given = decision.get("constrained")
    chosen = arm == (given["pick"] if given else decision["default"]["arm"])
    badges = []
    if chosen:
        badges.append("recommended")
    if arm == reference:
        badges.append("reference")
    if record.get("control"):
        badges.append("positive control")
    facts = [
        Fact("weights", file_size(record["memory_bytes"])),
        Fact("memory", _share(cost.get("memory_ratio"), reference)),
        Fact("speed", _speed(cost.get("speedup"), reference)),
    ]
    if arm == reference or arm not in decision["costs"]:
        facts = facts[:1]
    standings = tuple(_standing(summary, task, arm) for task in summary["tasks"])
    return Card(
        arm=arm,
        badges=tuple(badges),
        facts=(Fact("type", record["quantization"] or "unknown"), *facts),
        standings=standings,
        chosen=chosen,
    )


def _share(value: float | None, reference: str) -> str:
    return "unknown" if value is None else f"{percent(value, 0)} of {reference}"


def _speed(value: float | None, reference: str) -> str:
    return "unknown" if value is None else f"{ratio(value)} {reference}"


def _standing(summary: Document, task: str, arm: str) -> Standing:
    part, reference = summary["tasks"][task], summary["reference"]
    workload = part["workload"]
    if sum(other["workload"] == workload for other in summary["tasks"].values()) > 1:
        workload = f"{workload} ({task})"
    results = part["endpoints"][part["primary"]]
    own = results["arms"].get(arm)
    quality_text = f"{endpoint(part['primary'])} " + percent(own["estimate"] if own else None)
    against = [
        one
        for one in results["contrasts"]
        if one["candidate"] == arm and one["reference"] == reference
    ]
    if not against:
        word = "reference" if arm == reference else "not compared"
        return Standing(workload, quality_text, "", word, "", "")
    one = against[0]
    return Standing(
        workload=workload,
        quality=quality_text,
        tone=one["verdict"],
        verdict=verdict(one["verdict"]),
        difference=points(one["estimate"]),
        target=one["id"],
    )


def _costs(cards: Sequence[Card]) -> Table:
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


def _standings(cards: Sequence[Card], reference: str) -> Table:
    workloads = [one.workload for one in cards[0].standings] if cards else []
    return Table(
        f"each arm against {reference}, by workload",
        (Column("arm", numeric=False), *(Column(w, numeric=False) for w in workloads)),
        tuple(
            Row(
                (
                    Cell(card.arm),
                    *(
                        Cell(f"{one.verdict} {one.difference}".strip(), tone=one.tone)
                        for one in card.standings
                    ),
                )
            )
            for card in cards
        ),
    )


def _plots(summary: Document) -> tuple[Plot, ...]:
    reference = summary["reference"]
    return (
        Plot(
            "pareto",
            "Quality against speed",
            "Up is better, right is faster. Bars are intervals; a larger dot is a larger file.",
            " ".join(_pareto_words(summary)),
        ),
        Plot(
            "forest",
            f"Differences from {reference}",
            "Thin bars are the intervals of the difference, thick bars those of the equivalence "
            "test; the band is the margin. Left of it is a loss that matters.",
            " ".join(_forest_words(summary)),
        ),
    )


def _pareto_words(summary: Document) -> list[str]:
    return [
        f"{part['workload']}: "
        + "; ".join(
            f"{arm} {percent(one['estimate'])}"
            for arm, one in part["endpoints"][part["primary"]]["arms"].items()
        )
        + "."
        for part in summary["tasks"].values()
    ]


def _forest_words(summary: Document) -> list[str]:
    said = []
    for part in summary["tasks"].values():
        found = [
            f"{one['candidate']} {points(one['estimate'])}, interval {points_interval(one['ci'])}, "
            + VERDICT_WORDS.get(one["verdict"], one["verdict"])
            for one in part["endpoints"][part["primary"]]["contrasts"]
            if one["reference"] == summary["reference"]
        ]
        said.append(f"{part['workload']}: " + "; ".join(found) + ".")
    return said
