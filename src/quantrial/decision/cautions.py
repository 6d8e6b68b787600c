"""What to be careful of before acting on a decision."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from quantrial.agreement import fixed
from quantrial.assay import at_floor
from quantrial.decision.disagreements import SETS, recorded, why
from quantrial.decision.noise import noise, uneven_faults
from quantrial.decision.reading import cautions_of_reading
from quantrial.decision.speed import disturbances
from quantrial.decision.trial import Trial, keeps_margin
from quantrial.decision.twins import cautions_of_twins
from quantrial.decision.words import entry
from quantrial.words import listed, plural, verdict_word


def cautions(trial: Trial, cited: Collection[str] = ()) -> list[dict[str, Any]]:
    """List what the data could not show, what is missing, and where methods disagree.

    `cited` are the ids of findings on secondary endpoints that sentences of the decision rest on.
    """
    return [
        *cautions_of_twins(trial, ASSAY),
        *_assay(trial),
        *noise(trial),
        *cautions_of_reading(trial),
        *_cautions(trial),
        *uneven_faults(trial),
        *_approximate(trial),
        *_disagreements(trial, cited),
        *_disturbed(trial),
    ]


def blindness(trial: Trial) -> list[str]:
    """Say why the trial could not have seen harm; empty where it could."""
    said = []
    if unseen_controls(trial):
        said.append(
            f"{listed(trial.controls)}, damaged on purpose, was not found worse on any workload"
        )
    said += [
        f"{trial.reference} is not shown to be above its floor on {trial.named(task)}"
        for task, part in trial.tasks.items()
        if at_floor(part, trial.reference)
    ]
    return said


def unseen_controls(trial: Trial) -> bool:
    """Whether there are arms damaged on purpose, and not one of them was found worse anywhere."""
    return bool(trial.controls) and not any(map(trial.worse, trial.controls))


ASSAY = "assay"  # the kind of cautions that a report says before anything else

# what the checks of the assay say that nothing else here does
_ASSAYED = {
    "fail": (
        *("weights", "metadata", "tensors", "tokenizer", "template", "prompts", "sampling"),
        "identity",
    ),
    "warn": (
        *("origin", "metadata", "tensors", "precision", "setup"),
        *("prompts", "template", "date", "sampling", "repeats", "groups", "data", "weights"),
        *("identity", "cache"),
    ),
}
_FIRST = ("origin",)  # said before anything else though nothing fails: what all figures stand on


def _assay(trial: Trial) -> Iterator[dict[str, Any]]:
    """Say where the comparison is not the one it claims to be; then where it may not be."""
    # of one file under two names more is said where it is said that neither is picked
    one_file = any(pair["weights"] == "same" for pair in trial.summary.get("twins", ()))
    told = {"weights"} if one_file else set[str]()
    for status, known in _ASSAYED.items():
        for check in trial.summary.get("assay", ()):
            kind_of = check["id"].partition(".")[0]
            if check["status"] == status and kind_of in known and kind_of not in told:
                text = sentence_of(check["text"], trial.summary["arms"])
                first = status == "fail" or check["id"] in _FIRST
                kind = {"kind": ASSAY} if first else {}
                yield entry(text, [], **kind)


def sentence_of(text: str, arms: Collection[str]) -> str:
    """Make a sentence of a check's words: a capital first, but never in the name of an arm."""
    named = any(re.match(rf"{re.escape(arm)}(?![\w.-])", text) for arm in arms)
    return f"{text if named else text[0].upper() + text[1:]}."


def _cautions(trial: Trial) -> Iterator[dict[str, Any]]:
    for task, part in trial.tasks.items():
        answered = part["endpoints"][part["primary"]]["arms"]
        own = answered.get(trial.reference)
        flow, floor = part["flow"], part.get("chance") or 0.0
        said = [
            f"{arm} answered nothing on {task}, so nothing is said of it there."
            for arm in trial.by_cost
            if arm not in answered and task not in trial.other_prompts.get(arm, ())
        ]
        if own is not None and own["estimate"] is None:
            said.append(
                f"On {task} there was nothing to find and {trial.reference} found nothing: its "
                f"{part['primary'].replace('_', '-')} has no value."
            )
        elif at_floor(part, trial.reference):
            said.append(
                f"On {task} the reference itself is not shown to be above its floor "
                f"({fixed(100 * floor, 0)} %): a loss could not show there."
            )
        results = part["endpoints"][part["primary"]]
        if any(one["ci_method"] == "refused" for one in results["contrasts"]):
            said.append(
                f"On {task} nothing is claimed: its clusters are too few to speak for others like "
                "them. Sample more of them, or ask about these alone (`stratify`)."
            )
        if flow["missing"]:
            were = "is" if flow["missing"] == 1 else "are"
            imported = trial.summary["study"].get("imported")
            why = (
                "missing in what was imported: its pairs are left out"
                if imported
                else "not asked yet: this is a look at an unfinished run"
            )
            said.append(
                f"{flow['missing']:,} of {plural(flow['planned'], 'planned call')} on {task} "
                f"{were} {why}."
            )
        if flow["faulted"]:
            by_arm = {arm: lost for arm, lost in flow.get("faults", {}).items() if lost}
            whose = f" ({listed(f'{lost:,} of {arm}' for arm, lost in by_arm.items())})"
            said.append(
                f"{flow['faulted']:,} of {plural(flow['planned'], 'call')} on {task} ended in a "
                f"fault{whose if by_arm else ''}. Estimates leave these out; where an arm is to be "
                "shipped, missing answers are held against it."
            )
        for text in said:
            yield entry(text, [], task=task)


def _disagreements(trial: Trial, cited: Collection[str]) -> Iterator[dict[str, Any]]:
    """Say where the other set of methods comes to another verdict that the decision rests on."""
    for task, part in trial.tasks.items():
        for one in recorded(part):
            candidate, endpoint = one["candidate"], one["endpoint"]
            primary = endpoint == part["primary"]
            if one["stratum"] is not None or not (primary or one["id"] in cited):
                continue
            if one["reference"] != trial.reference or candidate in trial.controls:
                continue
            said = " and ".join(f"{verdict_word(one[name])} by the {name}" for name in SETS)
            what = candidate if primary else f"{endpoint.replace('_', '-')} of {candidate}"
            text = (
                f"On {trial.named(task)}, {what} is {said} methods "
                f"({why([one], trial.summary['alpha'])})."
            )
            yield entry(text, [trial.findings[one["id"]]], task=task)


def _approximate(trial: Trial) -> Iterator[dict[str, Any]]:
    """Warn where the error rate of a claim about the margin is not known."""
    for task in trial.tasks:
        for arm in trial.candidates:
            finding = trial.primary(task, arm)
            if not (finding and keeps_margin(finding) and finding["approximate"]):
                continue
            text = f"That {arm} keeps the margin on {trial.named(task)} is approximate: "
            shown = [finding]
            if finding["over_clusters"]:
                text += (
                    "it speaks for clusters like these, whose chances of leaning one way are not "
                    "known. More clusters, not more items, make it surer."
                )
            else:
                text += (
                    "a loss of the margin would rest on fewer than ten equal changes, so the "
                    "chance of a wrong claim may be above 6 %. More items settle it."
                )
                bounded = trial.secondary(task, "macro_f1", arm)
                if bounded is not None and bounded is not finding:
                    verdict = verdict_word(bounded["verdict"])
                    text += f" By the mean F1 of items, whose bounds are known, it is {verdict}."
                    shown.append(bounded)
            yield entry(text, shown, task=task)


def _disturbed(trial: Trial) -> Iterator[dict[str, Any]]:
    """Warn of speeds that were not measured on a quiet machine."""
    if found := disturbances(trial.summary):
        text = (
            f"While speed was measured, {listed(found)}: on a quiet machine the speed-ups may be "
            "others. The same study run there measures them again."
        )
        yield entry(text, [pace for arm in trial.candidates if (pace := trial.pace(arm))])
