"""Whether the study is the experiment it claims to be: the checks, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.inert import clean
from quantrial.reporting.blocks import Group, Section

_TITLES = {
    "fail": "✗ Does not hold",
    "warn": "! Deserves a look",
    "unknown": "? Cannot be told",
    "pass": "✓ Holds",
}
_LEAD = (
    "Is it the experiment it claims to be? Precision should be all that differs, and the work "
    "should show harm."
)


def assay_section(summary: Mapping[str, Any]) -> Section:
    """List the checks by what they found, those that do not hold first."""
    groups = []
    for status, title in _TITLES.items():
        said = tuple(
            f"{clean(one['id'])}: {clean(one['text'])}"
            for one in summary["assay"]
            if one["status"] == status
        )
        if said:
            groups.append(Group(title, items=said, folded=status == "pass"))
    return Section("assay", "Validity checks", _LEAD, tuple(groups))
