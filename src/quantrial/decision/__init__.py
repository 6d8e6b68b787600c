"""The decision, `quantrial.decision/1`: computed from the summary by rules, never by hand."""

from quantrial.decision.rules import DECISION_SCHEMA, decide, decide_from
from quantrial.documents.decision import Constraints, load_constraints

__all__ = ["DECISION_SCHEMA", "Constraints", "decide", "decide_from", "load_constraints"]
