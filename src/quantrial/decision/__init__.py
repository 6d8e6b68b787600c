"""The decision, `quantrial.decision/1`: computed from the summary by rules, never by hand."""

from quantrial.decision.constraints import Constraints, constraints_of
from quantrial.decision.rules import DECISION_SCHEMA, decide_from

__all__ = ["DECISION_SCHEMA", "Constraints", "constraints_of", "decide_from"]
