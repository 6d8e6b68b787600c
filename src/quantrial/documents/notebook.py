"""How results of one endpoint print: a line of text, and a table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from quantrial import words

if TYPE_CHECKING:
    from quantrial.documents.contrasts import Contrast
    from quantrial.documents.summary import EndpointSummary


def contrast_line(one: Contrast) -> str:
    """Write what a contrast shows: the difference, its interval, and the verdict."""
    said = f"{one.candidate} − {one.reference}: {words.difference(one.estimate, one.unit)}"
    if None not in one.ci:
        interval = words.difference_interval(one.ci, one.unit)
        said += f" ({words.level(one.confidence)} interval {interval})"
    said += f", p {words.equals(one.p_value)}, {words.plural(one.n, 'item')}"
    if one.verdict is None:
        return said
    test = one.equivalence
    at = "" if test is None else f" at a margin of {words.margin(test.margin, one.unit)}"
    return f"{said}: {words.verdict_word(one.verdict)}{at}"


def endpoint_html(one: EndpointSummary, caption: str, after: Sequence[str] = ()) -> str:
    """Write the arms and contrasts of an endpoint as two tables of HTML, with lines after them."""
    arms = [
        (
            name,
            words.amount(arm.estimate, one.unit),
            words.amount_interval(arm.ci, one.unit),
            f"{arm.n:,}",
        )
        for name, arm in one.arms.items()
    ]
    contrasts = [
        (
            f"{each.candidate} − {each.reference}",
            words.difference(each.estimate, each.unit),
            words.difference_interval(each.ci, each.unit),
            words.p_value(each.p_adjusted),
            "" if each.verdict is None else words.verdict(each.verdict),
        )
        for each in one.contrasts
    ]
    return (
        f"<p><b>{escape(caption)}</b></p>"
        + _table(("arm", "score", "interval", "items"), arms)
        + _table(("contrast", "difference", "interval", "p, adjusted", "verdict"), contrasts)
        + "".join(f"<p>{escape(line)}</p>" for line in after)
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"
