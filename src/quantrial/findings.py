"""What counts as a finding: one place for the rule, for the summary's readers of every kind.

A summary asks many questions. Contrasts on primary endpoints are adjusted over the pairs of arms of
their task; everything else that can raise an alarm is one family over the whole report
(`quantrial.analysis.alarms`), and its entries carry `p_alarm`, their p adjusted in it. Only what is
a finding may be cited in a sentence or marked; the rest is an estimate with its interval.
"""

from __future__ import annotations

from quantrial.documents.base import Part

FAMILY = "alarms"  # as contrasts that belong to it state it


def adjusted_p(entry: Part) -> float | None:
    """Return the p that a claim about an entry of a summary rests on; None where there is none.

    That is `p_adjusted`; but `p_alarm` where an entry has nothing else, or where its `p_adjusted`
    is of a family of its own, as published practice (`classic`) has them.
    """
    alarm: float | None = getattr(entry, "p_alarm", None)
    adjusted: float | None = getattr(entry, "p_adjusted", alarm)
    published = getattr(entry, "family", FAMILY) != FAMILY
    return alarm if published and alarm is not None else adjusted


def is_finding(entry: Part, alpha: float) -> bool:
    """Whether what an entry of a summary tests is shown, after adjustment."""
    p = adjusted_p(entry)
    return p is not None and p < alpha
