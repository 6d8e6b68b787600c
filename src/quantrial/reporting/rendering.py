"""A report rendered, as Markdown and as one self-contained HTML page, and written to disk."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial._version import __version__
from quantrial.agreement import fingerprint
from quantrial.documents import to_dict as part_to_dict
from quantrial.documents.decision import to_dict
from quantrial.inert import clean
from quantrial.paths import refuse_link
from quantrial.reporting import charts, pictures
from quantrial.reporting.answers import DATA_FILE, Outcomes, answers, inert_json
from quantrial.reporting.glance import strips, tick_labels
from quantrial.reporting.markdown import Markdown, code, escape, slug, table
from quantrial.reporting.pictures import PLOTS, SUMS
from quantrial.reporting.view import build_view, contrast_headings
from quantrial.runfolder import write_atomically
from quantrial.words import LIMIT_WORDS

if TYPE_CHECKING:
    import jinja2

    from quantrial.documents import Summary
    from quantrial.documents.decision import Decision
    from quantrial.records import Manifest
    from quantrial.study import Study

REPORT_MD = "report.md"
REPORT_HTML = "report.html"
_ORIGIN = re.compile(
    r'(?:\[//\]: # \(|<meta name="generator" content=")'
    r'quantrial (\S+), decision ([0-9a-f]{32})(?:\)|">)'
)
SCRIPTS = (
    *("page.js", "text.js", "pick.js", "picker.js"),
    *("answers.js", "export.js", "start-answers.js"),
)


@dataclass(frozen=True, slots=True)
class Results:
    """What a report is made of; `outcomes` are the scored answers, which its page lets look up."""

    study: Study
    summary: Summary
    decision: Decision
    manifest: Manifest
    outcomes: Outcomes | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A report in memory: its texts and its drawings (SVG), by their path in the run folder.

    The texts are `report.md` and `report.html`; where there are too many answers for one page,
    `report-data.js` too.
    """

    documents: dict[str, str]
    drawings: dict[str, str]


def render(results: Results) -> Rendered:
    """Render a report; the same results give the same text, wherever and whenever."""
    drawn = charts.draw(results.summary)
    drawings = {f"{PLOTS}/{name}.svg": svg for name, svg in drawn.items()}
    return Rendered(_documents(results, drawn), drawings)


def _documents(results: Results, drawn: Mapping[str, str]) -> dict[str, str]:
    from markupsafe import Markup

    summary, decision, outcomes = results.summary, results.decision, results.outcomes
    view = build_view(results.study, summary, decision, results.manifest, drawn=tuple(drawn))
    headings = {one: slug(title) for one, title in contrast_headings(summary).items()}
    explorer = answers(outcomes, summary.reference) if outcomes else None
    apart = explorer is not None and explorer.apart
    markdown, html = _environments()
    origin = str(made_of(decision))
    text = markdown.get_template(f"{REPORT_MD}.j2").render(
        view=view, headings=headings, origin=origin
    )
    script = page_script()
    stated = decision.constrained.constraints.document() if decision.constrained else {}
    page = html.get_template(f"{REPORT_HTML}.j2").render(
        view=view,
        origin=origin,
        plots={name: Markup(inlined(svg)) for name, svg in drawn.items()},
        ticks=tick_labels(summary),
        strips={name: Markup(svg) for name, svg in strips(summary).items()},
        script=Markup(script),
        policy=policy(script, apart=apart),
        picker_table=Markup(inert_json(part_to_dict(decision.picker))),
        picker_stated=Markup(inert_json(stated)),
        picker_words=Markup(inert_json(LIMIT_WORDS)),
        answers=explorer,
        answers_file=DATA_FILE,
        answers_about=Markup(explorer.about) if explorer else "",
        answers_chunks=[Markup(chunk) for chunk in explorer.chunks]
        if explorer and not apart
        else (),
    )
    documents = {REPORT_MD: re.sub(r"\n{3,}", "\n\n", text), REPORT_HTML: page}
    return documents | ({DATA_FILE: explorer.file()} if explorer is not None and apart else {})


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where the parts of a report lie. `images` holds each plot as SVG and as PNG."""

    markdown: Path
    html: Path
    plots: Path
    images: tuple[Path, ...]


def write_report(folder: Path, results: Results) -> ReportFiles:
    """Write `report.md`, `report.html` and `plots/` into a run folder.

    Raises:
        PathError: the folder of plots is a link.
        RunFolderError: the folder is read-only or full; each file there is the old or the new one.
    """
    rendered = render(results)
    images = {}
    for name, svg in rendered.drawings.items():
        images[name], images[_png(name)] = svg.encode(), pictures.draw_png(svg)
    digests = {Path(name).name: pictures.sha256(data) for name, data in images.items()}
    refuse_link(folder / PLOTS)
    for name, data in images.items():
        write_atomically(folder / name, data, durable=False)
    sums = pictures.sums(digests, pictures.fonts_here(rendered.drawings.values()))
    write_atomically(folder / SUMS, sums.encode(), durable=False)
    for name, text in rendered.documents.items():
        write_atomically(folder / name, text.encode(), durable=False)
    if DATA_FILE not in rendered.documents:
        # an earlier report of more answers left one; this page does not read it
        with contextlib.suppress(OSError):
            (folder / DATA_FILE).unlink(missing_ok=True)
    return ReportFiles(
        markdown=folder / REPORT_MD,
        html=folder / REPORT_HTML,
        plots=folder / PLOTS,
        images=tuple(folder / name for name in images),
    )


def _png(drawing: str) -> str:
    return drawing.removesuffix(".svg") + ".png"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a report is made of: the version that writes it, the fingerprint of its decision."""

    version: str
    decision: str

    def __str__(self) -> str:
        return f"quantrial {self.version}, decision {self.decision}"


def made_of(decision: Decision) -> Origin:
    """Say what a report of a decision is made of."""
    return Origin(__version__, fingerprint(to_dict(decision)))


def named_origin(text: str) -> Origin | None:
    """Read what a report says it is made of; None where it does not say, as earlier versions'."""
    found = _ORIGIN.search(text)
    return Origin(found[1], found[2]) if found else None


@functools.cache
def page_script() -> str:
    """Return the page's own script: the files of `SCRIPTS`, one after the other."""
    import importlib.resources

    folder = importlib.resources.files("quantrial.reporting") / "templates"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)


def policy(script: str, *, apart: bool) -> str:
    """Allow the page its own style and this one script, and no request to anywhere.

    Where answers stand in a file of their own (`apart`), a script from beside the page as well.
    """
    beside = " 'self' file:" if apart else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'{beside}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


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
    import jinja2

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
