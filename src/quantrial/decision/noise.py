"""What the machinery adds: a reference that strays from itself, faults that differ by arm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quantrial.decision.trial import Trial
from quantrial.decision.words import Document, counted, entry, listed

NOISE = "noise"  # the kind of cautions that a report says before anything else


def noise(trial: Trial) -> Iterator[dict[str, Any]]:
    """Say where the reference disagrees with itself more than a candidate disagrees with it."""
    for task, part in trial.tasks.items():
        found = part.get("repeats") or {}
        if not found.get("strays_more"):
            continue
        against = {one["candidate"]: one for one in found["candidates"]}
        for kind, changed in (("score", "scored differently"), ("text", "worded differently")):
            own = found[kind]
            less = [arm for arm, one in against.items() if one[kind] < own["rate"]]
            if not less:
                continue
            rates = listed(f"{_share(against[arm][kind])} between {arm} and it" for arm in less)
            low, high = own["ci"]
            text = (
                f"{found['arm']} disagrees with itself more than {listed(less)} "
                f"{'disagrees' if len(less) == 1 else 'disagree'} with it on {trial.named(task)}: "
                f"asked twice, {own['differ']} of {counted(found['n'], 'answer')} "
                f"{'was' if own['differ'] == 1 else 'were'} {changed} the second time "
                f"({_share(own['rate'])}, {_share(own['confidence'], 0)} interval "
                f"{100 * low:.1f} to {_share(high)}), against {rates}. Differences of this size "
                "can be noise of the machinery."
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
    return f"{100 * value:.{digits}f} %"
