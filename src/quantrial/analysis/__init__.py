"""Analysis: from responses to the summary document."""

from quantrial.analysis.methods import VERDICTS, Contrast, Methods, verdict
from quantrial.analysis.outcomes import Flow, Panel, TaskOutcomes, score_task
from quantrial.analysis.speed_phase import Standing, speed_phase, standing
from quantrial.analysis.summary import SUMMARY_SCHEMA, summarise
from quantrial.analysis.task_summary import pairs_of

__all__ = [
    "SUMMARY_SCHEMA",
    "VERDICTS",
    "Contrast",
    "Flow",
    "Methods",
    "Panel",
    "Standing",
    "TaskOutcomes",
    "pairs_of",
    "score_task",
    "speed_phase",
    "standing",
    "summarise",
    "verdict",
]
