"""The study: one experiment, described by one file.

    study.yaml ── reading ──▶ Study: arms, tasks (sources), design, analysis, speed, decision

Every key is a field of a model here; `docs/study-file.md` and `docs/study.schema.json` are
generated from them, so the help an editor gives is the help you read here.
"""

from quantrial.study.code import Code, code_in
from quantrial.study.model import Analysis, Arm, Study, Weights
from quantrial.study.parts import DecisionPart, Design, GatePart, Part, Requirement, Speed
from quantrial.study.reading import (
    load_study,
    parse_gate,
    parse_study,
    read_gate,
    read_study_text,
    with_inputs,
)
from quantrial.study.sources import (
    BundledSource,
    ConllSource,
    GeneratedSource,
    HubSource,
    ImportedSource,
    JsonlSource,
    MmluSource,
    RowsSource,
    Source,
    SourcePart,
)
from quantrial.study.tasks import ChoiceTask, SpansTask, Task, TaskPart, TextTask

__all__ = [
    "Analysis",
    "Arm",
    "BundledSource",
    "ChoiceTask",
    "Code",
    "ConllSource",
    "DecisionPart",
    "Design",
    "GatePart",
    "GeneratedSource",
    "HubSource",
    "ImportedSource",
    "JsonlSource",
    "MmluSource",
    "Part",
    "Requirement",
    "RowsSource",
    "Source",
    "SourcePart",
    "SpansTask",
    "Speed",
    "Study",
    "Task",
    "TaskPart",
    "TextTask",
    "Weights",
    "code_in",
    "load_study",
    "parse_gate",
    "parse_study",
    "read_gate",
    "read_study_text",
    "with_inputs",
]
