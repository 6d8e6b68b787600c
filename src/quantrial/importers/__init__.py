"""Importers: answers that another program collected, to a run folder. A format is one module."""

from quantrial.importers._reference_items import ScoreDifference
from quantrial.importers._reference_names import NamedTask, parse_named_task
from quantrial.importers.reference import ImportOptions, ImportReport, import_reference

__all__ = [
    "ImportOptions",
    "ImportReport",
    "NamedTask",
    "ScoreDifference",
    "import_reference",
    "parse_named_task",
]
