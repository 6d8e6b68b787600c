"""The report: recommendation first, every claim beside its evidence. It computes no statistic.

summary, decision, manifest ── view ──▶ text ── templates ──▶ report.md, report.html
                       └──── charts ──▶ plots/*.svg, plots/*.png
"""

from quantrial.reporting.documents import render_documents
from quantrial.reporting.files import SUMS, ReportFiles, render_plots, write_report

__all__ = ["SUMS", "ReportFiles", "render_documents", "render_plots", "write_report"]
