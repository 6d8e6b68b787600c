"""How many more items would settle an open question, and in which words."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

from quantrial.decision.trial import Trial
from quantrial.decision.words import Document, counted, margin, points

_NORMAL = NormalDist()
_POWER = 0.8  # the chance at which a question counts as settled, as everywhere in a summary


def missing(trial: Trial, task: str, arm: str, tolerated: float | None = None) -> dict[str, Any]:
    """Say what an arm lacks on a task, and how many items would rule out a loss of the margin.

    That is the decision's question; the summary's `settled_by` counts the items to the verdict that
    takes the fewest, which may be a difference. Against the margin (`tolerated` is None) the count
    is the summary's own; against another loss it follows from the width of the interval, by the
    normal approximation.
    """
    finding, work = trial.primary(task, arm), trial.named(task)
    said: dict[str, Any] = {"arm": arm, "task": task, "because": "", "items_needed": None}
    if finding is None:
        return said | {"text": f"{arm} and {trial.reference} share no answered item on {work}."}
    said["because"] = finding["id"]
    if finding["estimate"] is None:
        name = finding["endpoint"].replace("_", "-")
        why = f"one of the two has no {name}: nothing to find, or nothing found"
        return said | {"text": f"{arm} cannot be compared with {trial.reference} on {work}: {why}."}
    if finding["verdict"] == "worse" and tolerated is None:
        return said | {"text": f"{arm} is worse on {work} ({points(finding['estimate'])})."}
    bar = finding["margin"] if tolerated is None else tolerated
    beyond = finding["estimate"] <= -bar
    if tolerated is None or tolerated == finding["margin"]:
        needed = finding["items_needed"] or {}
        counts = [n for name in ("equivalence", "non_inferiority") if (n := needed.get(name))]
        said["items_needed"] = needed.get("difference") if beyond else min(counts, default=None)
        bar_words = "the margin"
    else:
        said["items_needed"] = None if beyond else _approximately(finding, bar)
        bar_words = f"the {margin(bar)} tolerated"
    what = "show it worse" if beyond else f"rule out a loss of {bar_words}"
    settle = _settled_by(said["items_needed"], finding, what)
    if beyond:
        seen = f"the loss seen ({points(finding['estimate'])}) is itself not below {bar_words}"
        settle = f"{seen}; {settle}" if settle else seen
    verdict = "undecided"
    if finding["verdict"] == "better":
        verdict = f"better, but a loss of {margin(finding['margin'])} is not ruled out"
    return said | {
        "text": f"{arm} is {verdict} on {work}: "
        f"{settle or f'what was seen does not tell how many items would {what}'}."
    }


def _approximately(finding: Document, tolerated: float) -> int | None:
    """Count the items at which a loss as tolerated would be ruled out with 80 % chance.

    The standard error that the one-sided bound implies shrinks with the root of the number of
    items; (z_alpha + z_power) of them must fit between the estimate and the tolerated loss.
    """
    error, n = implied_error(finding), int(finding["n"])
    if error is None:
        return None
    widths: float = (
        (_reach(finding) + _NORMAL.inv_cdf(_POWER)) * error / (finding["estimate"] + tolerated)
    )
    return math.ceil(n * widths * widths)


def implied_error(finding: Document) -> float | None:
    """Return the standard error that the one-sided bound implies; None where there is none."""
    estimate, bound = finding["estimate"], finding["equivalence_ci"][0]
    if estimate is None or bound is None or not bound < estimate:
        return None
    return float((estimate - bound) / _reach(finding))


def _reach(finding: Document) -> float:
    """Return how many standard errors below the estimate the one-sided bound lies."""
    return _NORMAL.inv_cdf((1.0 + finding["equivalence_confidence"]) / 2.0)


def p_of_less(finding: Document, loss: float) -> float | None:
    """Return the one-sided p of "loses less than this", by the normal approximation."""
    error = implied_error(finding)
    return None if error is None else _NORMAL.cdf(-(finding["estimate"] + loss) / error)


def _settled_by(needed: int | None, finding: Document, what: str) -> str:
    if needed is None:
        return ""
    n: int = finding["n"]
    chance = f"would {what} with 80 % chance, if the truth is as seen"
    if needed <= n:
        return f"repeating a trial of this size {chance}"
    more = counted(needed - n, "more item")
    counted_so = finding.get("settled_by") or {}
    if counted_so.get("clusters"):  # more clusters of the same mean size
        groups = (needed - n) * counted_so["clusters"] / counted_so["items"]
        more += f" in {counted(max(1, round(groups)), 'more cluster')}"
    return f"about {more} {chance}"
