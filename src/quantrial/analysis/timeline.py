"""The run from its first call to its last: how fast each arm was, when models were loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from quantrial import documents

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.records import Response

_WINDOWS = 40
# what a resident model takes to answer "I am loaded" is no load
_LOAD = 0.05


def timeline(outcomes: Mapping[str, TaskOutcomes]) -> documents.Timeline:
    """Follow the speed of each arm over the order of calls.

    The run is cut into at most 40 windows of equally many places in the order. `pace` is the time
    that the arm's answers in a window would take at the arm's own mean speed on each task, over the
    time they took: 1.0 is as usual, 0.5 is half as fast. A drift shows as a slope common to all
    arms. Times are of decoding where the engine tells them, else whole calls without loading.
    """
    calls = [
        (task, arm, response)
        for task, scored in outcomes.items()
        for arm, all_of in scored.responses.items()
        for response in all_of
        if response is not None
    ]
    if not calls:
        return documents.Timeline(calls=0, windows=())
    usual = _usual(calls)
    last = max(response.order for _, _, response in calls)
    size = max(1, -(-(last + 1) // _WINDOWS))
    grouped: defaultdict[tuple[int, str], list[tuple[str, Response]]] = defaultdict(list)
    for task, arm, response in calls:
        grouped[response.order // size, arm].append((task, response))
    arms = list(dict.fromkeys(arm for _, arm, _ in calls))
    windows = [
        documents.Window(
            arm=arm,
            first=window * size,
            last=min((window + 1) * size - 1, last),
            started_at=min(response.started_at for _, response in inside),
            n=len(inside),
            pace=_pace(inside, arm, usual),
            loads=sum(_load(response) > _LOAD for _, response in inside),
            load_seconds=sum(_load(response) for _, response in inside),
        )
        for (window, arm), inside in sorted(
            grouped.items(), key=lambda one: (one[0][0], arms.index(one[0][1]))
        )
    ]
    return documents.Timeline(calls=last + 1, windows=tuple(windows))


def _load(response: Response) -> float:
    return response.timing.get("load") or 0.0


def _work(response: Response) -> tuple[float, float] | None:
    """Return how much was done and how long it took: tokens where decoding is timed, else calls."""
    decode, wall = response.timing.get("decode"), response.timing.get("wall")
    tokens = response.decoded_tokens or response.completion_tokens
    if decode and tokens:
        return float(tokens), decode
    return (1.0, wall - _load(response)) if wall and wall > _load(response) else None


def _usual(calls: list[tuple[str, str, Response]]) -> dict[tuple[str, str], float]:
    """Return each arm's mean seconds a unit of work, by task."""
    done, taken = (
        defaultdict[tuple[str, str], float](float),
        defaultdict[tuple[str, str], float](float),
    )
    for task, arm, response in calls:
        work = _work(response)
        if work is not None:
            done[task, arm] += work[0]
            taken[task, arm] += work[1]
    return {key: taken[key] / done[key] for key in done}


def _pace(
    inside: list[tuple[str, Response]], arm: str, usual: Mapping[tuple[str, str], float]
) -> float | None:
    expected = seconds = 0.0
    for task, response in inside:
        work = _work(response)
        if work is not None:
            expected += work[0] * usual[task, arm]
            seconds += work[1]
    return expected / seconds if seconds else None
