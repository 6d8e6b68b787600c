"""The view put into templates: Markdown and one self-contained HTML file."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from quantrial.reporting import charts
from quantrial.reporting.formatting import clean
from quantrial.reporting.markdown import Markdown, code, escape, slug, table
from quantrial.reporting.view import build_view, contrast_headings

if TYPE_CHECKING:
    from quantrial.records import Manifest
    from quantrial.study import Study

REPORT_MD = "report.md"
REPORT_HTML = "report.html"


def render_documents(
    study: Study,
    summary: Mapping[str, Any],
    decision: Mapping[str, Any],
    manifest: Manifest,
    *,
    warnings: Sequence[str] = (),
) -> dict[str, str]:
    """Render the report; the same input gives the same text, wherever and whenever.

    Args:
        study: the study of the run.
        summary: `quantrial.summary/1`.
        decision: `quantrial.decision/1`.
        manifest: what ran.
        warnings: sentences on arms that differ in more than their weights.

    Returns:
        The texts of `report.md` and `report.html`.
    """
    plots = charts.draw(summary)
    return render_with(plots, study, summary, decision, manifest, warnings=warnings)


def render_with(
    plots: Mapping[str, str],
    study: Study,
    summary: Mapping[str, Any],
    decision: Mapping[str, Any],
    manifest: Manifest,
    *,
    warnings: Sequence[str] = (),
) -> dict[str, str]:
    """Render the report around plots that are drawn already."""
    view = build_view(study, summary, decision, manifest, warnings=warnings)
    headings = {one: slug(title) for one, title in contrast_headings(summary).items()}
    inline = {name: Markup(inlined(svg)) for name, svg in plots.items()}
    markdown, html = _environments()
    text = markdown.get_template(f"{REPORT_MD}.j2").render(view=view, headings=headings)
    return {
        REPORT_MD: re.sub(r"\n{3,}", "\n\n", text),
        REPORT_HTML: html.get_template(f"{REPORT_HTML}.j2").render(view=view, plots=inline),
    }


def anchor(finding: str) -> str:
    """Turn the id of a finding into the id of an HTML element: no spaces, no quotes."""
    return re.sub(r"[^\w.=-]", lambda match: f"~{ord(match[0]):x}", clean(finding))


def inlined(svg: str) -> str:
    """Make an SVG part of an HTML page: no namespace, and a size that gives way."""
    opening, rest = svg.split(">", 1)
    opening = re.sub(r' xmlns(:\w+)?="[^"]*"', "", opening)
    return f'{opening} role="presentation" aria-hidden="true">{rest}'


@functools.cache
def _environments() -> tuple[jinja2.Environment, jinja2.Environment]:
    loader = jinja2.PackageLoader("quantrial.reporting")
    shared: dict[str, Any] = {
        "loader": loader,
        "undefined": jinja2.StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
        "keep_trailing_newline": True,
    }
    # Jinja's autoescape is for HTML: here whatever is not Markdown yet is escaped on its way out
    markdown = jinja2.Environment(
        autoescape=False,
        finalize=lambda value: value if isinstance(value, Markdown) else escape(str(value)),
        **shared,
    )
    markdown.filters |= {"table": table, "code": code, "verbatim": Markdown}
    html = jinja2.Environment(
        autoescape=True,
        finalize=lambda value: value if hasattr(value, "__html__") else clean(str(value)),
        **shared,
    )
    html.filters["anchor"] = anchor
    return markdown, html
