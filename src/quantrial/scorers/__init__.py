"""Scorers of free text: one file each. `base` is the contract; the registry knows them by name."""
