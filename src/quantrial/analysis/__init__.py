"""Analysis: from responses to the summary document."""

from quantrial.analysis.comparison import pairs_of
from quantrial.analysis.methods import VERDICTS, Contrast, Methods, verdict
from quantrial.analysis.outcomes import Panel, TaskOutcomes, score_task
from quantrial.analysis.question import Question, question_of
from quantrial.analysis.speed.phase import Standing, decode_sums, standing
from quantrial.analysis.speed.timings import Sums, answer_sums
from quantrial.analysis.summary import SUMMARY_SCHEMA, TaskContrasts, contrasts_of, summarise

__all__ = [
    "SUMMARY_SCHEMA",
    "VERDICTS",
    "Contrast",
    "Methods",
    "Panel",
    "Question",
    "Standing",
    "Sums",
    "TaskContrasts",
    "TaskOutcomes",
    "answer_sums",
    "contrasts_of",
    "decode_sums",
    "pairs_of",
    "question_of",
    "score_task",
    "standing",
    "summarise",
    "verdict",
]
