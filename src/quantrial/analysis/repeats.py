"""How far the reference strays from itself: the noise that differences between arms are held to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantrial.stats import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantrial.analysis.outcomes import TaskOutcomes


def repeats(scored: TaskOutcomes, reference: str, *, alpha: float) -> dict[str, Any] | None:
    """Compare the two answers of the reference to the items it was asked twice.

    Same weights, same prompt, same seed: whatever differs is noise of the machinery (the shape of
    batches, the order of sums), and differences between arms cannot be told from it below that.

    Returns:
        `n` items answered both times; `text` and `score`, each with how many `differ`, the `rate`
        and its Wilson interval; `candidates` with their rates of difference from the reference over
        all items both answered; `strays_more` names those that differ from the reference less than
        it differs from itself, in score or in text. None where nothing was answered twice.
    """
    both = [
        (i, first, before)
        for i, (first, before) in enumerate(
            zip(scored.responses[reference], scored.outcomes[reference], strict=True)
        )
        if first is not None and before is not None and i in scored.again.get(reference, {})
    ]
    if not both:
        return None
    second = scored.again[reference]
    text = _rate([one.output != second[i][0].output for i, one, _ in both], alpha)
    score = _rate([was.values != second[i][1].values for i, _, was in both], alpha)
    candidates = [
        found
        for arm in scored.arms
        if arm != reference and (found := _against(scored, reference, arm)) is not None
    ]
    return {
        "arm": reference,
        "n": len(both),
        "text": text,
        "score": score,
        "candidates": candidates,
        "strays_more": [
            one["candidate"]
            for one in candidates
            if score["rate"] > one["score"] or text["rate"] > one["text"]
        ],
    }


def _rate(differ: Sequence[bool], alpha: float) -> dict[str, Any]:
    count = sum(differ)
    found = wilson(count, len(differ), confidence=1.0 - alpha)
    return {
        "differ": count,
        "rate": found.estimate,
        "ci": [found.interval.low, found.interval.high],
        "confidence": found.interval.confidence,
        "method": found.interval.method,
    }


def _against(scored: TaskOutcomes, reference: str, arm: str) -> dict[str, Any] | None:
    """Say on what share of the items a candidate differs from the reference."""
    rows = [
        (one.output != other.output, was.values != now.values)
        for one, other, was, now in zip(
            scored.responses[reference],
            scored.responses[arm],
            scored.outcomes[reference],
            scored.outcomes[arm],
            strict=True,
        )
        if one is not None and other is not None and was is not None and now is not None
    ]
    if not rows:
        return None
    return {
        "candidate": arm,
        "n": len(rows),
        "text": sum(text for text, _ in rows) / len(rows),
        "score": sum(score for _, score in rows) / len(rows),
    }
