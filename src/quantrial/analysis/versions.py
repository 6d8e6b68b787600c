"""The version of the methods: which rules made a summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Raise it by one, and say in CHANGES what changed, whenever the same run folder may give another
# number or another verdict than before: a rule of reading or scoring answers, a test, an interval,
# an adjustment, a rule of the decision. Once is enough between two releases. A run folder that
# another version analysed is then told from one that was edited.
METHODS_VERSION = 2

# what changed with each version, as people read it: "since then ..."
CHANGES: Mapping[int, str] = {
    2: "what of a text counts as its answer is decided in one place, missing answers are tested "
    "against the candidate, and alarms besides the primary endpoints are one family",
}


def methods_version(summary: Mapping[str, Any]) -> int:
    """Return the version of the methods that made a summary; 1 before it was written.

    What is no version counts as this one's, so that it is found where the two are compared.
    """
    found = summary.get("methods_version", 1)
    sound = isinstance(found, int) and not isinstance(found, bool) and found >= 1
    return found if sound else METHODS_VERSION


def changes_since(version: int) -> list[str]:
    """List what changed after a version of the methods."""
    return [said for number, said in sorted(CHANGES.items()) if number > version]
