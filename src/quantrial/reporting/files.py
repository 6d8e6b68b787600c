"""The report on disk."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantrial.paths import refuse_link
from quantrial.reporting import charts, pictures
from quantrial.reporting.answers import DATA_FILE, Outcomes
from quantrial.reporting.documents import REPORT_HTML, REPORT_MD, render_with
from quantrial.reporting.pictures import PLOTS, SUMS
from quantrial.runfolder import write_atomically

if TYPE_CHECKING:
    from quantrial.documents import Summary
    from quantrial.documents.decision import Decision
    from quantrial.records import Manifest
    from quantrial.study import Study


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where the parts of a report lie. `images` holds each plot as SVG and as PNG."""

    markdown: Path
    html: Path
    plots: Path
    images: tuple[Path, ...]


def render_plots(summary: Summary) -> dict[str, str]:
    """Draw every plot; SVG texts by their path in the run folder, the same for the same summary."""
    return {f"{PLOTS}/{name}.svg": svg for name, svg in charts.draw(summary).items()}


def render_all(
    study: Study,
    summary: Summary,
    decision: Decision,
    manifest: Manifest,
    *,
    outcomes: Outcomes | None = None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Render documents and plots of a report, each by its path in the run folder.

    Args:
        study: the study of the run.
        summary: what its answers show.
        decision: what follows from that.
        manifest: what ran.
        outcomes: the scored answers, which the page lets its reader look through.
    """
    plots = charts.draw(summary)
    documents = render_with(plots, study, summary, decision, manifest, outcomes=outcomes)
    return documents, {f"{PLOTS}/{name}.svg": svg for name, svg in plots.items()}


def write_report(
    folder: Path,
    study: Study,
    summary: Summary,
    decision: Decision,
    manifest: Manifest,
    *,
    outcomes: Outcomes | None = None,
) -> ReportFiles:
    """Write `report.md`, `report.html` and `plots/` into a run folder.

    Args:
        folder: the run folder.
        study: the study of the run.
        summary: what its answers show.
        decision: what follows from that.
        manifest: what ran.
        outcomes: the scored answers, which the page lets its reader look through.

    Raises:
        PathError: the folder of plots is a link.
        RunFolderError: the folder is read-only or full; each file there is the old or the new one.
    """
    plots = charts.draw(summary)
    documents = render_with(plots, study, summary, decision, manifest, outcomes=outcomes)
    images = {}
    for name, svg in plots.items():
        images[f"{name}.svg"], images[f"{name}.png"] = svg.encode(), pictures.draw_png(svg)
    digests = {name: pictures.sha256(data) for name, data in images.items()}
    refuse_link(folder / PLOTS)
    for name, data in images.items():
        write_atomically(folder / PLOTS / name, data, durable=False)
    sums = pictures.sums(digests, pictures.fonts_here(plots.values()))
    write_atomically(folder / SUMS, sums.encode(), durable=False)
    for name, text in documents.items():
        write_atomically(folder / name, text.encode(), durable=False)
    if DATA_FILE not in documents:
        # an earlier report of more answers left one; this page does not read it
        with contextlib.suppress(OSError):
            (folder / DATA_FILE).unlink(missing_ok=True)
    return ReportFiles(
        markdown=folder / REPORT_MD,
        html=folder / REPORT_HTML,
        plots=folder / PLOTS,
        images=tuple(folder / PLOTS / name for name in images),
    )
