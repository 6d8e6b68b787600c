"""The report: recommendation first, every claim beside its evidence. It computes no statistic.

summary, decision, manifest ── view ──▶ text ── templates ──▶ report.md, report.html
                       └──── charts ──▶ plots/*.svg, plots/*.png
"""

from quantrial.reporting.pictures import SUMS
from quantrial.reporting.rendering import (
    Rendered,
    ReportFiles,
    Results,
    made_of,
    named_origin,
    render,
    write_report,
)

__all__ = [
    "SUMS",
    "Rendered",
    "ReportFiles",
    "Results",
    "made_of",
    "named_origin",
    "render",
    "write_report",
]
