"""A badge for a README: what a run shows of an arm, never without its condition.

The picture is a plain SVG: no script, no style sheet, nothing from elsewhere. It says of which run
it is, so that `verify --document badge.svg` can hold it against that run.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from quantrial.inert import clean
from quantrial.words import listed, margin, verdict_word

if TYPE_CHECKING:
    from quantrial.documents import Summary
    from quantrial.documents.decision import Decision, Finding
    from quantrial.records import Manifest
    from quantrial.study import Study

# White letters on each have a contrast of at least 4.5 (WCAG AA).
_LABEL, _PROVEN, _WORSE, _UNDECIDED = "#3c4043", "#1e7033", "#a8201a", "#5f6368"
_NAME = "quantrial"
_SHIPPED = "non_inferior"
_MOST = 60  # characters of a name
_HEIGHT, _PAD, _FONT = 20, 7, 11
_LETTER = {"narrow": 3.6, "usual": 6.6, "broad": 9.5, "wide": 11.5}  # pixels, in Verdana of 11
_NARROW, _BROAD = "iIjl1.,:;'|!()[] ft", "mwMWQO@%"


def badge(study: Study, summary: Summary, decision: Decision, manifest: Manifest) -> str:
    """Draw the badge of a run; its sentence is `claim`."""
    del manifest
    said, colour = claim(summary, decision)
    left, right = _width(_NAME), _width(said)
    title = f"{_NAME}: {said}"
    size = f'width="{left + right}" height="{_HEIGHT}"'
    letters = f'fill="#fff" font-family="Verdana, DejaVu Sans, sans-serif" font-size="{_FONT}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"'
            f" aria-label={quoteattr(title)}>",
            f"<title>{_escaped(title)}</title>",
            f"<desc>study {study.hash}</desc>",
            f'<rect {size} rx="3" fill="{colour}"/>',
            f'<path d="M3 0h{left - 3}v{_HEIGHT}h-{left - 3}a3 3 0 0 1-3-3v-{_HEIGHT - 6}'
            f'a3 3 0 0 1 3-3z" fill="{_LABEL}"/>',
            f"<g {letters}>",
            *_text(_NAME, 0, left),
            *_text(said, left, right),
            "</g>",
            "</svg>\n",
        ]
    )


def claim(summary: Summary, decision: Decision) -> tuple[str, str]:
    """Say what a run shows, with margin, task and number of items, and the colour for it.

    Of the arm that is recommended; where that is the reference, of the others.
    """
    arm = decision.default.arm
    if arm != summary.reference:
        proven = decision.default.conclusive
        said = f"{_name(arm)} {_conditions(summary, decision, arm)}"
        return said if proven else f"{said}; in doubt", _PROVEN if proven else _UNDECIDED
    others = [name for name, own in summary.arms.items() if name != arm and own.control is None]
    standing = {name: _worst(summary, decision, name) for name in others}
    if len(others) == 1:
        said = f"{_name(others[0])} {_conditions(summary, decision, others[0])}"
        return said, _WORSE if standing[others[0]] == "worse" else _UNDECIDED
    arms = listed(
        f"{_name(name)} {verdict_word(verdict, _against(summary, decision))}"
        for name, verdict in standing.items()
    )
    first = others[0] if others else None
    under = _condition(list(_findings(summary, decision, first))) if first else ""
    return f"{_name(arm)} stays: {arms or 'no other arm'}{under}", _UNDECIDED


def _conditions(summary: Summary, decision: Decision, arm: str) -> str:
    """Write an arm's verdict on each task, tasks of one verdict together."""
    kept: dict[str, list[tuple[str, Finding]]] = {}
    for task, finding, holds in _rows(summary, decision, arm):
        word = verdict_word(_SHIPPED if holds else _verdict(finding), finding.against)
        kept.setdefault(word, []).append((task, finding))
    return "; ".join(f"{word}{_condition(own)}" for word, own in kept.items()) or "not compared"


def _condition(findings: Sequence[tuple[str, Finding]]) -> str:
    """Write ` at 1 pp on tickets, n = 830`; of several tasks with their numbers in brackets."""
    by_margin: dict[str, list[tuple[str, int]]] = {}
    for task, finding in findings:
        limit = margin(finding.margin, finding.unit)
        by_margin.setdefault(limit, []).append((task, finding.n))
    if len(findings) == 1:
        return "".join(f" at {m} on {own[0][0]}, n = {own[0][1]:,}" for m, own in by_margin.items())
    return " and".join(
        f" at {limit} on {listed(f'{task} (n = {n:,})' for task, n in own)}"
        for limit, own in by_margin.items()
    )


def _rows(summary: Summary, decision: Decision, arm: str) -> Iterator[tuple[str, Finding, bool]]:
    for task in summary.tasks:
        row = decision.picker.tasks[task].arms[arm]
        if row.finding is not None:
            yield _name(summary.named(task)), decision.findings[row.finding], row.holds


def _findings(summary: Summary, decision: Decision, arm: str) -> Iterator[tuple[str, Finding]]:
    return ((task, finding) for task, finding, _ in _rows(summary, decision, arm))


def _worst(summary: Summary, decision: Decision, arm: str) -> str:
    found = [
        _SHIPPED if holds else _verdict(finding)
        for _, finding, holds in _rows(summary, decision, arm)
    ]
    return next((word for word in ("worse", "inconclusive") if word in found), _SHIPPED)


def _verdict(finding: Finding) -> str:
    """Return the verdict of what is not shown to keep the margin."""
    return "worse" if finding.verdict == "worse" else "inconclusive"


def _against(summary: Summary, decision: Decision) -> str:
    said = {decision.picker.tasks[task].against for task in summary.tasks}
    return said.pop() if len(said) == 1 else "gold"


def _name(text: str) -> str:
    said = clean(text)
    return said if len(said) <= _MOST else f"{said[: _MOST - 1]}…"


def _text(said: str, start: int, width: int) -> Iterator[str]:
    # the length is said, so that it fits whatever fonts there are
    length = width - 2 * _PAD
    yield (
        f'<text x="{start + _PAD}" y="14" textLength="{length}" '
        f'lengthAdjust="spacingAndGlyphs">{_escaped(said)}</text>'
    )


def _width(said: str) -> int:
    return round(sum(_LETTER[_kind(letter)] for letter in said)) + 2 * _PAD


def _kind(letter: str) -> str:
    if unicodedata.combining(letter):
        return "narrow"
    if unicodedata.east_asian_width(letter) in "WF":
        return "wide"
    return "narrow" if letter in _NARROW else "broad" if letter in _BROAD else "usual"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
