"""The report: recommendation first, every claim beside its evidence. It computes no statistic.

summary, decision, manifest ── view ──▶ text ── templates ──▶ report.md, report.html
                       └──── charts ──▶ plots/*.svg, plots/*.png
"""

from quantrial.reporting.documents import made_of, named_origin, render_documents
from quantrial.reporting.files import ReportFiles, render_all, render_plots, write_report
from quantrial.reporting.pictures import SUMS

__all__ = [
    "SUMS",
    "ReportFiles",
    "made_of",
    "named_origin",
    "render_all",
    "render_documents",
    "render_plots",
    "write_report",
]
