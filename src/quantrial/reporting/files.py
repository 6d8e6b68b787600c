"""The report on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.errors import RunFolderError
from quantrial.reporting import charts
from quantrial.reporting.answers import DATA_FILE, Outcomes
from quantrial.reporting.documents import REPORT_HTML, REPORT_MD, render_with

if TYPE_CHECKING:
    from quantrial.records import Manifest
    from quantrial.study import Study

PLOTS = "plots"
SUMS = f"{PLOTS}/SHA256SUMS"


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where the parts of a report lie. `images` holds each plot as SVG and as PNG."""

    markdown: Path
    html: Path
    plots: Path
    images: tuple[Path, ...]


def render_plots(summary: Mapping[str, Any]) -> dict[str, str]:
    """Draw every plot; SVG texts by their path in the run folder, the same for the same summary."""
    return {f"{PLOTS}/{name}.svg": svg for name, svg in charts.draw(summary).items()}


def write_report(
    folder: Path,
    study: Study,
    summary: Mapping[str, Any],
    decision: Mapping[str, Any],
    manifest: Manifest,
    *,
    outcomes: Outcomes | None = None,
) -> ReportFiles:
    """Write `report.md`, `report.html` and `plots/` into a run folder.

    Args:
        folder: the run folder.
        study: the study of the run.
        summary: `quantrial.summary/1`.
        decision: `quantrial.decision/1`.
        manifest: what ran.
        outcomes: the scored answers, which the page lets its reader look through.

    Raises:
        RunFolderError: the folder is read-only or full; each file there is the old or the new one.
    """
    plots = charts.draw(summary)
    documents = render_with(plots, study, summary, decision, manifest, outcomes=outcomes)
    images = []
    for name, svg in plots.items():
        for path, data in (
            (folder / PLOTS / f"{name}.svg", svg.encode()),
            (folder / PLOTS / f"{name}.png", charts.to_png(svg)),
        ):
            _replace(path, data)
            images.append(path)
    # pixels depend on the machine's fonts, so a PNG is not drawn again to be checked
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in images
        if path.suffix == ".png"
    ]
    _replace(folder / SUMS, "".join(sums).encode())
    for name, text in documents.items():
        _replace(folder / name, text.encode())
    if DATA_FILE not in documents:
        # an earlier report of more answers left one; this page does not read it
        with contextlib.suppress(OSError):
            (folder / DATA_FILE).unlink(missing_ok=True)
    return ReportFiles(
        markdown=folder / REPORT_MD,
        html=folder / REPORT_HTML,
        plots=folder / PLOTS,
        images=tuple(images),
    )


def _replace(path: Path, data: bytes) -> None:
    """Replace a whole file: a reader sees the old one or the new one, never a part."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as exc:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise RunFolderError(f"cannot be written ({exc.strerror})", path=path) from exc
