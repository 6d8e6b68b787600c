"""Numbers in a Markdown file that are marked by comments: checked against a run, and refreshed.

<!-- q: KEY | FORMAT -->number<!-- /q --> ── parse ──▶ key in the run's documents ──▶ number
"""

from quantrial.marking.document import DocumentCheck, MarkProblem, check_document
from quantrial.marking.formats import FORMATS, written
from quantrial.marking.keys import find

__all__ = ["FORMATS", "DocumentCheck", "MarkProblem", "check_document", "find", "written"]
