"""The gate of a pipeline: requirements held against a run, and what a pipeline is told of it.

    GatePart ──┐
    Evidence ──┴─ verdict ──▶ GateResult ── output ──▶ JUnit, Markdown

`verdict.py` judges, line by line, and says before a run whether a gate can pass with so many
items; `output.py` writes. `baseline.py` keeps the reference's answers to be committed.
"""

from quantrial.gate.output import junit, markdown
from quantrial.gate.verdict import GateResult, Line, MustPass, Outcome, judge, prospects

__all__ = ["GateResult", "Line", "MustPass", "Outcome", "judge", "junit", "markdown", "prospects"]
