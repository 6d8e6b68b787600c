"""The sections of the report, below the decision: what each says, as text."""
