"""Failure modes that are shown for an arm, and what catches each in production."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quantrial.decision.trial import Trial
from quantrial.words import size

# What a fall in a secondary endpoint means, and what catches it.
_GUARDS = {
    "precision": "It returns entities that are not there, or mislabels them: schema validation "
    "will not see that; check that every text it returns stands in the input, and sample inputs "
    "without entities.",
    "entity_free_correct": "It invents entities where there are none: schema validation will not "
    "see that; sample inputs without entities.",
    "not_truncated": "It runs into the limit of tokens: raise it, or reject what was cut off.",
    "not_repeating": "It gets caught in loops: cap the length and reject repeated text.",
    "not_refused": "It declines to answer: detect refusals and route them to the reference.",
    "answered": "It leaves calls without an answer (faults, timeouts): retry them, raise the time "
    "limit, or route them to the reference.",
    "not_empty": "It answers nothing: reject empty answers and retry.",
    "recall": "It misses entities: no validator sees what is absent; audit a sample by hand.",
    "parse_rate": "It breaks the output format: validate it and retry, or constrain decoding.",
}


def guards_of(trial: Trial, arm: str) -> Iterator[dict[str, Any]]:
    """Name the failure modes that are shown for an arm, each with what guards against it."""
    for task in trial.tasks:
        for endpoint, words in _GUARDS.items():
            finding = trial.secondary(task, endpoint, arm)
            if finding and finding["verdict"] == "worse" and trial.is_shown(finding):
                loss = size(finding["estimate"])
                name = endpoint.replace("_", "-")
                hint = "" if finding["declared"] else " (exploratory: not declared beforehand)"
                yield {
                    "task": task,
                    "endpoint": endpoint,
                    "because": finding["id"],
                    "text": f"On {trial.named(task)}, {name} falls by an estimated {loss}{hint}: "
                    f"{words[0].lower()}{words[1:]}",
                }
