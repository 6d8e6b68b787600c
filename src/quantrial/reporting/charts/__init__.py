"""The plots, drawn with Vega-Lite and turned into SVG and PNG without a browser.

Vertical panels, one a task, narrow enough for a phone. Verdicts differ in shape and in words, so
that nothing rests on colour.
"""

from __future__ import annotations

from collections.abc import Sequence

from quantrial.documents import Summary
from quantrial.reporting.charts import groups, paired, run, tradeoff
from quantrial.reporting.charts.style import to_png, to_svg
from quantrial.reporting.charts.vega import Spec

__all__ = ["draw", "to_png"]


def draw(summary: Summary) -> dict[str, str]:
    """Draw every plot; returns SVG texts by name, the same for the same summary.

    What this study does not have (strata, spans, a pair of arms on a task) is left out: its panel,
    and the whole plot where no panel has anything to show.
    """
    tasks = summary.tasks
    panels: dict[str, Sequence[Spec | None]] = {
        "pareto": [tradeoff.tradeoff(summary, task, "throughput") for task in tasks],
        "pareto-memory": [tradeoff.tradeoff(summary, task, "memory") for task in tasks],
        "forest": [paired.forest(summary, task) for task in tasks],
        "equivalence": [paired.equivalence(summary, task) for task in tasks],
        "flips": [paired.flips(summary, task) for task in tasks],
        "strata": groups.strata(summary),
        "errors": groups.errors(summary),
        "timeline": run.timeline(summary),
        "flow": [run.flow(summary, task) for task in tasks],
    }
    drawn = {name: [one for one in parts if one is not None] for name, parts in panels.items()}
    return {name: to_svg(parts) for name, parts in drawn.items() if parts}
