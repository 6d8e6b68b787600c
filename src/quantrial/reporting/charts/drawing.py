"""Every plot of a summary, each of them a file here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.reporting.charts import flow, forest, groups, paired, run, tradeoff
from quantrial.reporting.charts.style import to_svg

Document = Mapping[str, Any]


def draw(summary: Document) -> dict[str, str]:
    """Draw every plot; returns SVG texts by name, the same for the same summary.

    A plot of something that this study does not have (strata, spans) is left out.
    """
    tasks = summary["tasks"]
    panels = {
        "pareto": [tradeoff.tradeoff(summary, task, "throughput") for task in tasks],
        "pareto-memory": [tradeoff.tradeoff(summary, task, "memory") for task in tasks],
        "forest": [forest.forest(summary, task) for task in tasks],
        "equivalence": [paired.equivalence(summary, task) for task in tasks],
        "flips": [paired.flips(summary, task) for task in tasks],
        "strata": groups.strata(summary),
        "errors": groups.errors(summary),
        "timeline": run.timeline(summary),
        "flow": [flow.flow(summary, task) for task in tasks],
    }
    return {name: to_svg(parts) for name, parts in panels.items() if parts}
