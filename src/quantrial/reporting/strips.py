"""Small drawings for the cards: where a difference may lie, beside the margin.

Hand-written SVG without colours of its own: the page's style gives them, in light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantrial.agreement import fixed
from quantrial.reporting.glance import verdict_interval

Document = Mapping[str, Any]

_WIDTH, _HEIGHT = 240.0, 18.0
_EDGE = 6.0


def strips(summary: Document) -> dict[str, str]:
    """Draw the interval of each primary contrast with the reference; SVG texts by finding.

    All arms of a task share one scale, so that strips on neighbouring cards can be compared.
    """
    drawn = {}
    for part in summary["tasks"].values():
        contrasts = [
            one
            for one in part["endpoints"][part["primary"]]["contrasts"]
            if one["reference"] == summary["reference"] and one["estimate"] is not None
        ]
        margin = part["margin"]
        tests = part["endpoints"][part["primary"]]["equivalence"]
        spans = {one["id"]: verdict_interval(one, tests)[0] for one in contrasts}
        ends = [
            value
            for one in contrasts
            for value in (*spans[one["id"]], one["estimate"])
            if value is not None
        ]
        low, high = min([-1.5 * margin, *ends]), max([1.5 * margin, *ends])
        for one in contrasts:
            drawn[one["id"]] = _strip(one["estimate"], spans[one["id"]], margin, low, high)
    return drawn


def _strip(
    estimate: float, span: Sequence[float | None], margin: float, low: float, high: float
) -> str:
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
