"""The plots, drawn with Vega-Lite and turned into SVG and PNG without a browser.

Vertical panels, one a task, narrow enough for a phone. Verdicts differ in shape and in words, so
that nothing rests on colour.
"""

from quantrial.reporting.charts.drawing import draw
from quantrial.reporting.charts.style import to_png

__all__ = ["draw", "to_png"]
