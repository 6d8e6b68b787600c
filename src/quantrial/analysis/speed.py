"""How fast each arm answered, from the timings beside its answers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantrial.records import Response


def speed(responses: Sequence[Response | None]) -> dict[str, Any]:
    """Summarise the answers of one arm to one task.

    `tokens_per_second` is pooled: all decoded tokens over all decode seconds, where an engine says
    that its clock misses the first token, without that one. The mean of the
    per-item ratios stands beside it for comparison with published work; it overweighs short
    answers. `prompt_tokens_per_second` likewise. Times are seconds; None where the engine does not
    say.
    """
    answered = [r for r in responses if r is not None]
    decoded = [
        (tokens, seconds)
        for r in answered
        if (tokens := r.completion_tokens if r.decoded_tokens is None else r.decoded_tokens)
        and (seconds := r.timing.get("decode"))
    ]
    read = [
        (tokens, seconds)
        for r in answered
        if (tokens := r.prompt_tokens) and (seconds := r.timing.get("prompt"))
    ]
    walls = [w for r in answered if (w := r.timing.get("wall")) is not None]
    return {
        "n": len(answered),
        "completion_tokens": sum(r.completion_tokens or 0 for r in answered),
        "prompt_tokens": sum(r.prompt_tokens or 0 for r in answered),
        "tokens_per_second": _pooled(decoded),
        "mean_tokens_per_second": statistics.fmean(t / s for t, s in decoded) if decoded else None,
        "prompt_tokens_per_second": _pooled(read),
        "seconds_per_answer": statistics.fmean(walls) if walls else None,
        "median_seconds_per_answer": statistics.median(walls) if walls else None,
    }


def _pooled(pairs: Sequence[tuple[int, float]]) -> float | None:
    seconds = sum(s for _, s in pairs)
    return sum(t for t, _ in pairs) / seconds if seconds else None
