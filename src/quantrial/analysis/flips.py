"""Which items turned between two arms: from right to wrong, back, or only in their words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from quantrial.analysis.outcomes import labels

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes


def right(outcomes: TaskOutcomes, arm: str, index: int) -> bool | None:
    """Whether an arm's answer to an item is wholly right; None without an answer."""
    outcome = outcomes.outcomes[arm][index]
    return None if outcome is None else outcomes.task.is_right(outcome)


def flips(outcomes: TaskOutcomes, reference: str, candidate: str) -> dict[str, Any]:
    """Count the items whose answer turned, between two arms, among those both answered.

    `harmful`: reference wholly right, candidate not; `beneficial`: the reverse; `churn`: the raw
    text changed and every score stayed. `items` lists the flipped ids.
    """
    turns = [turn for turn in _turns(outcomes, reference, candidate) if turn is not None]
    ids = {
        kind: [item for item, turned, _ in turns if turned == kind]
        for kind in ("harmful", "beneficial")
    }
    return {
        "reference": reference,
        "candidate": candidate,
        "harmful": len(ids["harmful"]),
        "beneficial": len(ids["beneficial"]),
        "churn": sum(churn for _, _, churn in turns),
        "n": len(turns),
        "items": ids,
    }


def flips_by(
    outcomes: TaskOutcomes, reference: str, candidate: str, key: str
) -> dict[str, dict[str, Any]]:
    """Count flips, as `flips` does, in each value of a key of the items' metadata, with their ids.

    Raises:
        DataError: an item has no such key.
    """
    values = labels(outcomes.items, key).tolist() if outcomes.items else []
    table: dict[str, dict[str, Any]] = {
        value: {
            "harmful": 0,
            "beneficial": 0,
            "churn": 0,
            "n": 0,
            "items": {"harmful": [], "beneficial": []},
        }
        for value in sorted(set(values))
    }
    for value, turn in zip(values, _turns(outcomes, reference, candidate), strict=True):
        if turn is None:
            continue
        item, turned, churn = turn
        row = table[value]
        row["n"] += 1
        row["churn"] += churn
        if turned is not None:
            row[turned] += 1
            row["items"][turned].append(item)
    return table


def _turns(
    outcomes: TaskOutcomes, reference: str, candidate: str
) -> Iterator[tuple[str, str | None, bool] | None]:
    """Give, item by item, its id, how its answer turned, and whether it is churn.

    None where one of the arms gave no answer.
    """
    for i, item in enumerate(outcomes.items):
        before, after = outcomes.outcomes[reference][i], outcomes.outcomes[candidate][i]
        old, new = outcomes.responses[reference][i], outcomes.responses[candidate][i]
        if before is None or after is None or old is None or new is None:
            yield None
            continue
        was, now = right(outcomes, reference, i), right(outcomes, candidate, i)
        turned = None if was == now else "harmful" if was else "beneficial"
        yield item.id, turned, old.output != new.output and before.values == after.values
