"""How large a new study would have to be to settle an open question, and in which words."""

from __future__ import annotations

from typing import Any

from quantrial.decision.margin_tests import flips_of, items_to_rule_out
from quantrial.decision.reading import starved_arms
from quantrial.decision.trial import Trial, keeps_margin
from quantrial.decision.unanswered import besides, left_open
from quantrial.decision.words import Document
from quantrial.words import listed, margin, plural, points


def missing(
    trial: Trial,
    task: str,
    arm: str,
    tolerated: float | None = None,
    *,
    unanswered: bool | None = None,
) -> dict[str, Any]:
    """Say what an arm lacks on a task, and how large a study would rule out a loss of the margin.

    That is the decision's question; the summary's `settled_by` counts the items to the verdict that
    takes the fewest, which may be a difference. Against the margin (`tolerated` is None) the count
    is the summary's own; against another loss it is counted by `margin_tests`. `unanswered`:
    whether nothing but missing answers leaves the question open, which more items would not
    settle; by default whether the margin is kept without them.
    """
    finding, work = trial.primary(task, arm), trial.named(task)
    said: dict[str, Any] = {"arm": arm, "task": task, "because": "", "items_needed": None}
    if why := trial.said_of_prompts(arm):
        return said | {"text": f"{why}."}
    if finding is None:
        return said | {"text": f"{arm} and {trial.reference} share no answered item on {work}."}
    said["because"] = finding["id"]
    if finding["estimate"] is None:
        name = finding["endpoint"].replace("_", "-")
        why = f"one of the two has no {name}: nothing to find, or nothing found"
        return said | {"text": f"{arm} cannot be compared with {trial.reference} on {work}: {why}."}
    if finding["verdict"] == "worse" and tolerated is None:
        return said | {"text": f"{arm} is worse on {work} ({points(finding['estimate'])})."}
    if starved := starved_arms(trial, task, arm):
        whose = listed(f"{name}'s" for name in starved)
        why = f"many of {whose} answers are empty for want of tokens, and no items make up for that"
        return said | {"text": f"{arm} is undecided on {work}: {why}."}
    bar = finding["margin"] if tolerated is None else tolerated
    if unanswered if unanswered is not None else keeps_margin(finding):
        return said | {"text": f"{arm} is {left_open(trial, finding, bar)}."}
    beyond = finding["estimate"] <= -bar
    if tolerated is None or tolerated == finding["margin"]:
        needed = finding["items_needed"] or {}
        counts = [n for name in ("equivalence", "non_inferiority") if (n := needed.get(name))]
        said["items_needed"] = needed.get("difference") if beyond else min(counts, default=None)
        bar_words = "the margin"
    else:
        said["items_needed"] = items_to_rule_out(trial, finding, bar)
        bar_words = f"the {margin(bar)} tolerated"
    what = "show it worse" if beyond else f"rule out a loss of {bar_words}"
    settle = _settled_by(said["items_needed"], trial, finding, what)
    if beyond:
        seen = f"the loss seen ({points(finding['estimate'])}) is itself not below {bar_words}"
        settle = f"{seen}; {settle}" if settle else seen
    verdict = "undecided"
    if finding["verdict"] == "better":
        verdict = f"better, but a loss of {margin(finding['margin'])} is not ruled out"
    return said | {
        "text": f"{arm} is {verdict} on {work}{besides(finding)}: "
        f"{settle or f'what was seen does not tell how many items would {what}'}."
    }


def _settled_by(needed: int | None, trial: Trial, finding: Document, what: str) -> str:
    """Say how large a new study would have to be.

    New, since what was seen cannot be added to: to look again and again until a verdict falls is
    another procedure, with another error rate.
    """
    if needed is None:
        return ""
    n: int = finding["n"]
    size = "the same size" if needed <= n else f"about {plural(needed, 'item')}"
    counted_so = finding.get("settled_by") or {}
    if needed > n and counted_so.get("clusters"):  # more clusters of the same mean size
        groups = max(1, round(needed * counted_so["clusters"] / counted_so["items"]))
        size += f" in {plural(groups, 'cluster')} like these"
    flips = flips_of(trial, finding)
    truth = "the truth is as seen"
    if flips is not None and not flips.turned:
        truth = f"one answer in {n:,} turns, of which none did here"
    return f"a new study of {size} would probably (80 %) {what}, if {truth}"
