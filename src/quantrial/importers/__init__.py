"""Importers: answers that another program collected, to a run folder. A format is one module."""

from quantrial.importers._reference_items import NamedTask, ScoreDifference, parse_named_task
from quantrial.importers.base import Imported, ImportReport, import_answers
from quantrial.importers.log_rows import LogOptions
from quantrial.importers.reference import ImportOptions
from quantrial.importers.table import TableOptions

__all__ = [
    "ImportOptions",
    "ImportReport",
    "Imported",
    "LogOptions",
    "NamedTask",
    "ScoreDifference",
    "TableOptions",
    "import_answers",
    "parse_named_task",
]
