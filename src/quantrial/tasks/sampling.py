"""Several answers to one item, each drawn with a seed of its own: what a task measures of them.

The item stays the unit. Its score is the mean over its answers; beside it stand whether any of them
is right (pass@k), and whether the answer that most of them give is (majority).
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import variance
from typing import Any

from quantrial.records import canonical_json
from quantrial.tasks.base import Endpoint, Outcome, Task


@functools.lru_cache(maxsize=64)
def sampled(kind: type[Task], samples: int) -> type[Task]:
    """Return the kind of task whose items are answered so many times by each arm."""
    endpoints = [_mean(one, samples) for one in kind.endpoints]
    if kind.right is not None:
        endpoints += _of_all(samples)
    marked: dict[str, Any] = {
        "__module__": kind.__module__,
        "endpoints": tuple(endpoints),
        "samples": samples,
        "measures": ({"samples": samples}, *(kind.measures or ())),
        "right": "majority" if kind.right is not None else None,
        "is_right": _is_right,
        "one_is_right": kind.is_right,
    }
    return type(kind.__name__, (kind,), marked)


def _mean(endpoint: Endpoint, samples: int) -> Endpoint:
    if endpoint.type != "proportion":
        return endpoint
    meaning = f"The mean over items of the share of their {samples} answers for which it holds."
    return replace(
        endpoint,
        type="mean",
        label=f"{endpoint.label or endpoint.name.replace('_', ' ')}, mean of {samples}",
        hub_metric=None,
        written=None,
        meaning=f"{endpoint.meaning or ''} {meaning}".strip(),
    )


def _of_all(samples: int) -> list[Endpoint]:
    return [
        Endpoint(
            "pass_at_k",
            "proportion",
            {"any_right": 1.0},
            label=f"pass@{samples}",
            meaning=f"The share of items to which at least one of the {samples} answers is right.",
            mitigation="It finds no right answer in all its tries on {loss} more of the items than "
            "{reference}. More tries do not make up for that.",
        ),
        Endpoint(
            "majority",
            "proportion",
            {"majority": 1.0},
            label=f"majority of {samples}",
            meaning=f"The share of items on which the answer that most of the {samples} give is "
            "right. Of several that are as frequent, the first one given counts.",
            mitigation="Its most frequent answer is wrong on {loss} more of the items than that of "
            "{reference}. Voting does not make up for that.",
        ),
    ]


def _is_right(_task: Task, outcome: Outcome) -> bool:
    return outcome.values.get("majority", 0.0) == 1.0


def combined(task: Any, outcomes: Sequence[Outcome]) -> Outcome:
    """Return what several answers to one item come to: the mean of each column, and the votes.

    Whether it could be read, and what was read, is the first answer's. `task` is of a kind that
    `sampled` made.
    """
    first, k = outcomes[0], len(outcomes)
    values = {name: sum(one.values[name] for one in outcomes) / k for name in first.values}
    right = [task.one_is_right(one) for one in outcomes]
    votes = [canonical_json(one.answer) for one in outcomes if one.parsed]
    values["any_right"] = float(any(right))
    primary = task.endpoints[0].numerator.items()
    drawn = [sum(weight * one.values[name] for name, weight in primary) for one in outcomes]
    values["within"] = variance(drawn)  # of one answer around its item's mean
    values["majority"] = 0.0
    if votes:
        counts = Counter(votes)  # of equal counts, the first one given comes first
        winner = counts.most_common(1)[0][0]
        voters = [
            own
            for one, own in zip(outcomes, right, strict=True)
            if one.parsed and canonical_json(one.answer) == winner
        ]
        values["majority"] = float(voters[0])
    return replace(first, values=values)
