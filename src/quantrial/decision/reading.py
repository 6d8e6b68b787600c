"""Where answers say less of an arm than of how they were asked for, or may have been misread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quantrial.decision.trial import Trial
from quantrial.decision.words import Document, entry
from quantrial.words import listed, plural


def cautions_of_reading(trial: Trial) -> Iterator[dict[str, Any]]:
    """Name empty answers that cost tokens, cut ones that may be thoughts, and unknown tags."""
    for task, part in trial.tasks.items():
        told = {arm: one for arm in trial.by_cost if (one := _reading(part).get(arm))}
        work = trial.named(task)
        for text in (*_spent(work, told), *_doubtful(work, told), *_strange(work, told)):
            yield entry(text, [], task=task)


def starved_arms(trial: Trial, task: str, arm: str) -> list[str]:
    """List those of the reference and an arm that empty answers keep at the floor of a task."""
    told = _reading(trial.tasks[task])
    return [one for one in (trial.reference, arm) if told.get(one, {}).get("starved")]


def _reading(part: Document) -> Document:
    found: Document = part.get("reading") or {}
    return found


def _spent(work: str, told: Document) -> Iterator[str]:
    spent = {arm: one for arm, one in told.items() if one["spent"]}
    if not spent:
        return
    counts = []
    for arm, one in spent.items():
        said = f"{one['spent']:,} of {plural(one['n'], 'answer')} of {arm}"
        if one["unfinished"]:
            said += f" ({one['unfinished']:,} inside a thought)"
        counts.append(said)
    limits = {one["max_tokens"] for one in spent.values()} - {None}
    now = f" (now {limits.pop():,})" if len(limits) == 1 else ""
    yield (
        f"On {work}, {listed(counts)} end without an answer although tokens were spent: that is a "
        f"setting, not a quality. Raise `max_tokens`{now} or turn reasoning off, and run again."
    )


def _doubtful(work: str, told: Document) -> Iterator[str]:
    counts = [
        f"{one['doubtful']:,} of {plural(one['n'], 'answer')} of {arm}"
        for arm, one in told.items()
        if one["doubtful"]
    ]
    if counts:
        yield (
            f"On {work}, {listed(counts)} end at the limit of tokens without a tag, and whether "
            "the chat template opens a thought is not known: if it does, what was scored there are "
            "thoughts. Raise `max_tokens` until answers end by themselves."
        )


def _strange(work: str, told: Document) -> Iterator[str]:
    arms: dict[str, list[str]] = {}
    for arm, one in told.items():
        for tag, count in one["unknown_tags"].items():
            arms.setdefault(tag, []).append(f"{plural(count, 'answer')} of {arm}")
    for tag, counts in arms.items():
        yield (
            f"On {work}, {tag} in {listed(counts)} looks like a tag of a thought and is not known "
            "as one: what stands there was read as part of the answer. If models think there, name "
            "the pair in the task's `thought_tags`."
        )
