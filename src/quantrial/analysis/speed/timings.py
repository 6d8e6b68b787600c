"""How fast each arm answered, by the timings of its answers, and whether the machine drifted."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial import documents
from quantrial.analysis.values import ends
from quantrial.documents.codec import number
from quantrial.errors import InsufficientDataError
from quantrial.stats import Calls, block_paces, common_drift, pooled_rate

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.records import Response


# Blocks of one item are taken together to about this many, as for drifts; from fewer than this many
# blocks an interval says little.
_STRETCHES, _FEWEST = 24, 6


@dataclass(frozen=True, slots=True)
class Sums:
    """What was done and how long it took, by `unit` (`blocks`, `stretches`, `answers`).

    Each of shape (units,), or (units, arms) where several arms did it side by side.
    """

    amounts: Sequence[Any]
    seconds: Sequence[Any]
    unit: str


def speed(
    responses: Sequence[Response | None],
    *,
    alpha: float = 0.05,
    drift: documents.AnswerDrift | None = None,
) -> documents.AnswerSpeed:
    """Summarise the answers of one arm to one task.

    `tokens_per_second` is pooled: all decoded tokens over all decode seconds, where an engine says
    that its clock misses the first token, without that one. The mean of the
    per-item ratios stands beside it for comparison with published work; it overweighs short
    answers. `prompt_tokens_per_second` is pooled, too. `tokens_per_second_interval` is over
    stretches of the run (runs of blocks), or over single answers where there are few blocks: its
    `unit` says which. Times are seconds; None where the engine does not say.
    """
    answered = [r for r in responses if r is not None]
    timed = _timed(answered)
    decoded = [(tokens, seconds) for _, tokens, seconds in timed]
    read = [
        (tokens, seconds)
        for r in answered
        if (tokens := _read_anew(r)) and (seconds := r.timing.get("prompt"))
    ]
    walls = [w for r in answered if (w := r.timing.get("wall")) is not None]
    return documents.AnswerSpeed(
        n=len(answered),
        completion_tokens=sum(r.completion_tokens or 0 for r in answered),
        prompt_tokens=sum(r.prompt_tokens or 0 for r in answered),
        tokens_per_second=_pooled(decoded),
        tokens_per_second_interval=_interval(answer_sums(answered), alpha),
        mean_tokens_per_second=statistics.fmean(t / s for t, s in decoded) if decoded else None,
        prompt_tokens_per_second=_pooled(read),
        seconds_per_answer=statistics.fmean(walls) if walls else None,
        median_seconds_per_answer=statistics.median(walls) if walls else None,
        drift=drift,
    )


def _read_anew(answer: Response) -> int:
    """Count the prompt tokens that came from no cache; some servers count these alone."""
    counted, cached = answer.prompt_tokens or 0, answer.cached_tokens or 0
    return counted if cached > counted else counted - cached


def _pooled(pairs: Sequence[tuple[int, float]]) -> float | None:
    seconds = sum(s for _, s in pairs)
    return sum(t for t, _ in pairs) / seconds if seconds else None


def answer_sums(responses: Sequence[Response | None]) -> Sums | None:
    """Add up decoded tokens and seconds of an arm's answers, None where no decoding was timed.

    By stretches of the run (runs of blocks), or one by one where there are few blocks.
    """
    timed = _timed([r for r in responses if r is not None])
    if not timed:
        return None
    blocks = sorted({block for block, _, _ in timed})
    several = len(blocks) >= _FEWEST
    at = {block: i * min(_STRETCHES, len(blocks)) // len(blocks) for i, block in enumerate(blocks)}
    tokens, seconds = defaultdict[int, float](float), defaultdict[int, float](float)
    for i, (block, done, took) in enumerate(timed):
        tokens[at[block] if several else i] += done
        seconds[at[block] if several else i] += took
    unit = "stretches" if several else "answers"
    return Sums(list(tokens.values()), list(seconds.values()), unit)


def _timed(answered: Sequence[Response]) -> list[tuple[int, int, float]]:
    """List block, decoded tokens and seconds of the answers whose decoding was timed."""
    return [
        (r.block, tokens, seconds)
        for r in answered
        if (tokens := r.completion_tokens if r.decoded_tokens is None else r.decoded_tokens)
        and (seconds := r.timing.get("decode"))
    ]


def _interval(sums: Sums | None, alpha: float) -> documents.SpeedInterval | None:
    if sums is None:
        return None
    found = pooled_rate(sums.amounts, sums.seconds, confidence=1.0 - alpha)
    return documents.SpeedInterval(
        ci=ends(found.interval),
        confidence=found.interval.confidence,
        method=found.interval.method,
        n=found.n,
        unit=sums.unit,
    )


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
