"""Whether the machine drifted while it answered, and how far that could bias ratios of speeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial import documents
from quantrial.analysis.values import ends, number
from quantrial.errors import InsufficientDataError
from quantrial.stats import Calls, block_paces, common_drift

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.records import Response

# Blocks of one item are taken together to about this many: enough to see a drift, few enough that
# each holds many calls.
STRETCHES = 24


def drift(
    scored: TaskOutcomes, reference: str, *, alpha: float
) -> dict[str, documents.AnswerDrift]:
    """Say, for each arm of a task, what a drift of the machine could do to its ratio of speeds.

    Decoding alone is looked at, in calls that did not follow a load. Positions are those in the
    order of calls, and not times of day: these may be set, and stand still while a machine sleeps.

    Returns:
        By arm: `calls`; `stretches` of the run that were told apart; `linear`, the change in
        seconds a token from the first call to the last, the same for all arms (`change`, `ci`);
        `stretch_range`, by how much the slowest stretch was slower than the fastest. For
        candidates, as fractions of the ratio of speeds to the reference, negative where that is too
        low: `bias_linear` with its `bias_linear_bound` (at the far end of the interval), and
        `bias_blocks`, from the pace of each stretch instead of a line. None where it cannot be
        said. Without timings, no arm.
    """
    rows = [
        (arm, response, tokens, float(seconds))
        for arm in scored.arms
        for response in scored.responses[arm]
        if response is not None
        and response.timing.get("load") is None
        and (tokens := _tokens(response))
        and (seconds := response.timing.get("decode"))
    ]
    orders = [response.order for _, response, _, _ in rows]
    timed = [arm for arm in scored.arms if any(row[0] == arm for row in rows)]
    if not rows or min(orders) == max(orders) or reference not in timed:
        return {}
    span = max(orders) - min(orders)
    calls = Calls(
        amounts=np.array([tokens for _, _, tokens, _ in rows], np.float64),
        seconds=np.array([seconds for _, _, _, seconds in rows]),
        positions=(np.array(orders, np.float64) - min(orders)) / span,
        arms=np.array([timed.index(arm) for arm, _, _, _ in rows]),
        blocks=_stretches([response.block for _, response, _, _ in rows]),
    )
    return _by_arm(calls, timed, timed.index(reference), alpha)


def _tokens(response: Response) -> int:
    found = response.decoded_tokens
    return (response.completion_tokens or 0) if found is None else found


def _stretches(blocks: Sequence[int]) -> Any:
    """Number the stretches that calls fall in: blocks, or runs of blocks where there are many."""
    _, place = np.unique(np.array(blocks), return_inverse=True)
    count = int(place.max()) + 1
    return place * min(STRETCHES, count) // count


def _by_arm(
    calls: Calls, arms: Sequence[str], reference: int, alpha: float
) -> dict[str, documents.AnswerDrift]:
    amounts, seconds = np.asarray(calls.amounts), np.asarray(calls.seconds)
    positions = np.asarray(calls.positions)
    member, stretch = np.asarray(calls.arms), np.asarray(calls.blocks)
    shape = (int(stretch.max()) + 1, len(arms))
    done, took = np.zeros(shape), np.zeros(shape)
    np.add.at(done, (stretch, member), amounts)
    np.add.at(took, (stretch, member), seconds)
    try:
        line = common_drift(calls, confidence=1.0 - alpha)
    except InsufficientDataError:
        return {}
    rates, paces = block_paces(done, took)
    pooled = took.sum(axis=0) / done.sum(axis=0)
    middle = [
        float(np.average(positions[member == a], weights=amounts[member == a]))
        for a in range(len(arms))
    ]
    far = max(abs(line.interval.low), abs(line.interval.high))
    several = shape[0] > 1
    found = {}
    for a, arm in enumerate(arms):
        later = middle[a] - middle[reference]
        candidate = a != reference
        found[arm] = documents.AnswerDrift(
            calls=int((member == a).sum()),
            stretches=shape[0],
            linear=documents.LinearDrift(
                change=number(line.estimate),
                ci=ends(line.interval),
                confidence=line.interval.confidence,
                method=line.interval.method,
            ),
            stretch_range=float(paces.max() / paces.min() - 1.0) if several else None,
            bias_linear=number(-line.estimate * later) if candidate else None,
            bias_linear_bound=number(far * abs(later)) if candidate else None,
            bias_blocks=(
                float(pooled[reference] / pooled[a] / (rates[reference] / rates[a]) - 1.0)
                if candidate and several
                else None
            ),
        )
    return found
