"""How fast each arm answered, from the timings beside its answers."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial import documents
from quantrial.analysis.values import ends
from quantrial.stats import pooled_rate

if TYPE_CHECKING:
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
