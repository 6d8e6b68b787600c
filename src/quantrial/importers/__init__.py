"""Importers: answers that another program collected, to a run folder. A format is one module."""

from quantrial.importers._reference_items import ScoreDifference
from quantrial.importers.reference import ImportOptions, ImportReport, import_reference

__all__ = ["ImportOptions", "ImportReport", "ScoreDifference", "import_reference"]
