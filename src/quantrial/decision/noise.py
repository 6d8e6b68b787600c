"""What the machinery adds: a reference that strays from itself, faults that differ by arm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quantrial.agreement import fixed
from quantrial.decision.trial import Trial
from quantrial.decision.words import Document, entry
from quantrial.findings import adjusted_p
from quantrial.words import listed, p_value_in_sentence, plural

NOISE = "noise"  # the kind of cautions that a report says before anything else


def noise(trial: Trial) -> Iterator[dict[str, Any]]:
    """Say where the reference is shown to disagree with itself more than a candidate with it."""
    for task, part in trial.tasks.items():
        found = part.get("repeats") or {}
        if not found.get("strays_more"):
            continue
        for kind, changed in (("score", "scored differently"), ("text", "worded differently")):
            tests = {one["candidate"]: one["same_items"][kind] for one in found["candidates"]}
            less = {arm: one for arm, one in tests.items() if one["told"] == "less"}
            if not less:
                continue
            own = found[kind]
            low, high = own["ci"]
            rates = listed(
                f"{arm} differs from it on {one['differ']:,} "
                f"(adjusted p {p_value_in_sentence(adjusted_p(one))})"
                for arm, one in less.items()
            )
            text = (
                f"{found['arm']} disagrees with itself more than {listed(less)} "
                f"{'disagrees' if len(less) == 1 else 'disagree'} with it on {trial.named(task)}: "
                f"asked twice, {own['differ']} of {plural(found['n'], 'answer')} "
                f"{'was' if own['differ'] == 1 else 'were'} {changed} the second time "
                f"({_share(own['rate'])}, {_share(own['confidence'], 0)} interval "
                f"{fixed(100 * low, 1)} to {_share(high)}); on the same items {rates}, by "
                "McNemar's mid-p. Differences of this size can be noise of the machinery."
            )
            yield entry(text, [], task=task, kind=NOISE)
            break  # scores say more than texts


def uneven_faults(trial: Trial) -> Iterator[dict[str, Any]]:
    """Say where arms were asked again unequally often: their answers may be a selection."""
    for task, part in trial.tasks.items():
        retries: Document = part["flow"].get("retries") or {}
        if len(set(retries.values())) > 1:
            shown = listed(f"{arm} {n:,}" for arm, n in retries.items())
            text = (
                f"Calls on {trial.named(task)} were asked again unequally often ({shown}): the "
                "arms did not answer under the same conditions."
            )
            yield entry(text, [], task=task)


def _share(value: float, digits: int = 1) -> str:
    return f"{fixed(100 * value, digits)} %"
