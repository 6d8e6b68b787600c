"""How far the reference strays from itself: the noise that differences between arms are held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quantrial.analysis.told import told_interval
from quantrial.findings import is_finding
from quantrial.stats import mcnemar, wilson

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes

KINDS = ("score", "text")
_Pairs = Sequence[tuple[bool, bool]]


def repeats(scored: TaskOutcomes, reference: str, *, alpha: float) -> dict[str, Any] | None:
    """Compare the two answers of the reference to the items it was asked twice.

    Same weights, same prompt, same seed: whatever differs is noise of the machinery (the shape of
    batches, the order of sums), and differences between arms cannot be told from it below that.
    Whether a candidate differs from the reference more or less often than the reference from itself
    is tested on the items asked twice, paired: McNemar's mid-p, one-sided to either side. What of
    it is shown follows once the family that it belongs to is adjusted (`tell`).

    Returns:
        `n` items answered both times; `text` and `score`, each with how many `differ`, the `rate`
        and its Wilson interval; `candidates` with their rates of difference from the reference over
        all items both answered and, of those asked twice, how many differ in `score` and `text` and
        what the test told of it (`same_items`); `strays_more` names those that are shown to
        differ from the reference less than it differs from itself, in score or in text. None where
        nothing was answered twice.
    """
    first, again = scored.responses[reference], scored.again.get(reference, {})
    before = scored.outcomes[reference]
    own: dict[int, tuple[bool, bool]] = {}
    for i, (response, outcome) in enumerate(zip(first, before, strict=True)):
        if response is not None and outcome is not None and i in again:
            second, rescored = again[i]
            own[i] = (outcome.values != rescored.values, response.output != second.output)
    if not own:
        return None
    candidates = [
        found
        for arm in scored.arms
        if arm != reference and (found := _against(scored, reference, arm, own)) is not None
    ]
    return {
        "arm": reference,
        "n": len(own),
        "alpha": alpha,
        "method": "mcnemar-midp",
        "text": _rate([text for _, text in own.values()], alpha),
        "score": _rate([score for score, _ in own.values()], alpha),
        "candidates": candidates,
        "strays_more": [],
    }


def two_sided(tested: Mapping[str, Any]) -> float:
    """Return the p of "neither happens more often", of one kind of `same_items`."""
    return min(1.0, 2.0 * min(float(tested["p_more"]), float(tested["p_less"])))


def tell(found: dict[str, Any], alpha: float) -> None:
    """Write what is shown, once each kind of `same_items` has its `p_alarm`."""
    for one in found["candidates"]:
        for tested in (one["same_items"][kind] for kind in KINDS):
            if is_finding(tested, alpha):
                tested["told"] = "more" if tested["p_more"] < tested["p_less"] else "less"
    found["strays_more"] = [
        one["candidate"]
        for one in found["candidates"]
        if any(one["same_items"][kind]["told"] == "less" for kind in KINDS)
    ]


def _rate(differ: Sequence[bool], alpha: float) -> dict[str, Any]:
    count = sum(differ)
    found = wilson(count, len(differ), confidence=1.0 - alpha)
    return {
        "differ": count,
        "rate": found.estimate,
        **told_interval(found.interval),
    }


def _against(
    scored: TaskOutcomes,
    reference: str,
    arm: str,
    own: dict[int, tuple[bool, bool]],
) -> dict[str, Any] | None:
    """Say how often a candidate differs from the reference: everywhere, and where that had two."""
    rows = {
        i: (was.values != now.values, one.output != other.output)
        for i, (one, other, was, now) in enumerate(
            zip(
                scored.responses[reference],
                scored.responses[arm],
                scored.outcomes[reference],
                scored.outcomes[arm],
                strict=True,
            )
        )
        if one is not None and other is not None and was is not None and now is not None
    }
    if not rows:
        return None
    both = [(rows[i], mine) for i, mine in own.items() if i in rows]
    return {
        "candidate": arm,
        "n": len(rows),
        "text": sum(text for _, text in rows.values()) / len(rows),
        "score": sum(score for score, _ in rows.values()) / len(rows),
        "same_items": {
            "n": len(both),
            **{
                kind: _tested([(differs[at], strays[at]) for differs, strays in both])
                for at, kind in enumerate(KINDS)
            },
        },
    }


def _tested(pairs: _Pairs) -> dict[str, Any]:
    """Ask of pairs (candidate differs, reference strays) which of the two happens more often.

    `p_more`: the candidate differs more often than the reference strays; `p_less`: less often.
    `told` is `open` until the family is adjusted.
    """
    more = sum(differs and not strays for differs, strays in pairs)
    less = sum(strays and not differs for differs, strays in pairs)
    p = mcnemar(less, more, n=len(pairs), method="midp").p_value if pairs else 1.0
    half = p / 2.0  # one-sided, towards what was seen
    p_more = half if more > less else 1.0 - half
    p_less = half if less > more else 1.0 - half
    return {
        "differ": sum(differs for differs, _ in pairs),
        "strayed": sum(strays for _, strays in pairs),
        "p_more": p_more,
        "p_less": p_less,
        "told": "open",
    }
