"""Importers: answers that another program collected, to a run folder. A format is one module."""

from quantrial.importers._reference_items import NamedTask, ScoreDifference, parse_named_task
from quantrial.importers.auto import guess, two_arms
from quantrial.importers.base import Imported, ImportReport, import_answers
from quantrial.importers.log_rows import LogOptions
from quantrial.importers.reference import ImportOptions
from quantrial.importers.table_columns import TableOptions, table_options

__all__ = [
    "ImportOptions",
    "ImportReport",
    "Imported",
    "LogOptions",
    "NamedTask",
    "ScoreDifference",
    "TableOptions",
    "guess",
    "import_answers",
    "parse_named_task",
    "table_options",
    "two_arms",
]
