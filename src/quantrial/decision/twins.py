"""Arms that the trial cannot tell from another one: what is said of them, and who is not picked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from quantrial.decision.trial import Trial
from quantrial.decision.words import entry
from quantrial.words import plural

_ONE_MODEL = (
    "one file under two names, a wrong path, or a server that answers with one model whatever it "
    "is asked for"
)
_LIKELY = (
    f"Most likely they are one model: {_ONE_MODEL}; at temperature 0 the same weights give the "
    "same answers."
)
# Rounded weights turned an answer every 130 characters in the example. Were it one in 2,000 only,
# two models would still agree on this many in less than 1 % of trials (exp(-5)).
_TELLING = 10_000


def cautions_of_twins(trial: Trial, kind: str) -> Iterator[dict[str, Any]]:
    """Say which arms answered as one, and what that may mean.

    `kind` is that of cautions that come first: where nothing shows that two models were compared.
    """
    for pair in trial.summary.get("twins", ()):
        one, other = sorted(pair["arms"], key=lambda arm: arm != trial.reference)
        everywhere = f"{other} answered exactly as {one} on {_items(pair['items'])}, to the byte"
        if pair["weights"] == "other":
            yield entry(
                f"{everywhere}, though their files differ by their hashes. Answers as short as a "
                f"letter may well agree; with longer ones, look at what {other} loaded.",
                [],
            )
            continue
        if not pair["answers"]:
            said = f"{other} and {one} are one file, asked in one way. What differs is noise."
        elif pair["weights"] == "same":
            said = f"{everywhere}, and is the same file. {_LIKELY}"
        else:
            meaning = _meaning(_characters(trial, pair["arms"]))
            said = f"{everywhere}, and nothing tells that it has other weights. {meaning}"
        if one == trial.reference:
            so = f"So this trial shows nothing of {other} as an arm of its own: it is not picked."
        else:
            so = "So this trial shows nothing of either as an arm of its own: neither is picked."
        yield entry(f"{said} {so}", [], kind=kind)


def _meaning(characters: float | None) -> str:
    """Say what equal answers mean where no hash tells two files: that depends on how many."""
    if characters is not None and characters >= _TELLING:
        return _LIKELY
    written = "" if characters is None else f" ({characters:,.0f} characters in all)"
    return (
        f"Either they are one model ({_ONE_MODEL}), or two that agree on answers as short and few "
        f"as these{written}. Hashes of their files, longer answers or more items would tell."
    )


def _characters(trial: Trial, arms: Sequence[str]) -> float | None:
    """Return how much the arm that wrote less wrote in all; None where no length is known."""
    written = []
    for arm in arms:
        modes = [part.get("failure_modes", {}).get(arm, {}) for part in trial.tasks.values()]
        lengths = [one["texts"]["characters"] for one in modes if one.get("texts")]
        written.append(sum(one["n"] * (one["mean"] or 0.0) for one in lengths) if lengths else None)
    known = [one for one in written if one is not None]
    return min(known) if len(known) == len(written) else None


def _items(count: int) -> str:
    return f"all {plural(count, 'item')} that both answered" if count > 1 else "the only item"
