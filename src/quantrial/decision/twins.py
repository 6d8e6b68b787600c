"""Arms that the trial cannot tell from another one: what is said of them, and who is not picked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quantrial.decision.trial import Trial
from quantrial.decision.words import counted, entry

_LIKELY = (
    "Most likely they are one model: one file under two names, a wrong path, or a server that "
    "answers with one model whatever it is asked for; at temperature 0 the same weights give the "
    "same answers."
)


def cautions_of_twins(trial: Trial, kind: str) -> Iterator[dict[str, Any]]:
    """Say which arms answered as one, and what that most likely means.

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
            said = f"{everywhere}, and nothing tells that it has other weights. {_LIKELY}"
        if one == trial.reference:
            so = f"So this trial shows nothing of {other} as an arm of its own: it is not picked."
        else:
            so = "So this trial shows nothing of either as an arm of its own: neither is picked."
        yield entry(f"{said} {so}", [], kind=kind)


def _items(count: int) -> str:
    return f"all {counted(count, 'item')} that both answered" if count > 1 else "the only item"
