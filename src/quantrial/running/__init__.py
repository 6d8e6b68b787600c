"""Running: prepare a study, ask, record, say what ran."""
