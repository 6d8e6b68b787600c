"""Which items turned between two arms: from right to wrong, back, or only in their words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from quantrial import documents
from quantrial.analysis.outcomes import labels

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes

Turn = tuple[str, str | None, bool]  # item, how its answer turned, whether it is churn


def right(outcomes: TaskOutcomes, arm: str, index: int) -> bool | None:
    """Whether an arm's answer to an item is wholly right; None without an answer."""
    outcome = outcomes.outcomes[arm][index]
    return None if outcome is None else outcomes.task.is_right(outcome)


def flips(
    outcomes: TaskOutcomes, reference: str, candidate: str, key: str | None = None
) -> documents.Flips:
    """Count the items whose answer turned, between two arms, among those both answered.

    `harmful`: reference wholly right, candidate not; `beneficial`: the reverse; `churn`: the raw
    text changed and every score stayed. With a `key` of the items' metadata, in each of its values
    too.

    Raises:
        DataError: an item has no such key.
    """
    turns = list(_turns(outcomes, reference, candidate))
    strata: dict[str, dict[str, documents.FlipCounts]] = {}
    if key:
        values = labels(outcomes.items, key).tolist() if outcomes.items else []
        by_value: dict[str, list[Turn | None]] = {value: [] for value in sorted(set(values))}
        for value, turn in zip(values, turns, strict=True):
            by_value[value].append(turn)
        strata[key] = {value: _counted(inside) for value, inside in by_value.items()}
    found = _counted(turns)
    return documents.Flips(
        reference=reference,
        candidate=candidate,
        harmful=found.harmful,
        beneficial=found.beneficial,
        churn=found.churn,
        n=found.n,
        items=found.items,
        strata=strata,
    )


def _counted(turns: Sequence[Turn | None]) -> documents.FlipCounts:
    known = [turn for turn in turns if turn is not None]
    harmful, beneficial = (
        tuple(item for item, turned, _ in known if turned == kind)
        for kind in ("harmful", "beneficial")
    )
    return documents.FlipCounts(
        harmful=len(harmful),
        beneficial=len(beneficial),
        churn=sum(churn for _, _, churn in known),
        n=len(known),
        items=documents.FlippedItems(harmful=harmful, beneficial=beneficial),
    )


def _turns(outcomes: TaskOutcomes, reference: str, candidate: str) -> Iterator[Turn | None]:
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
