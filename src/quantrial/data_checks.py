"""What was odd about the items, as the manifest keeps it: contradictions, control tokens.

Pure: everything is read from the manifest's record of each task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_LISTED = 20  # places of one kind that a manifest keeps; so many may be more


def data_findings(sources: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Say what deserves a look among the rows of each task's source.

    Args:
        sources: the manifest's record of where the items of a task come from, by task. Runs of
            older versions and imports may have nothing in it.

    Yields:
        What names the finding (`task.kind`), and its words.
    """
    for task, source in sources.items():
        of_rows = f"of the rows that {task} is drawn from"
        if pairs := source.get("contradictions"):
            first = " and ".join(map(str, pairs[0]))
            have = "has" if len(pairs) == 1 else "have"
            yield (
                f"{task}.contradictions",
                f"{of_rows}, {_number(pairs)} {have} another answer than an earlier one that asks "
                f"the same, so one of the two is wrong (first: {first})",
            )
        if places := source.get("control_tokens"):
            yield (
                f"{task}.control_tokens",
                f"{of_rows}, {_number(places)} {_hold(places)} a control token, which a model "
                "reads as the end of a turn or a change of speaker, not as text "
                f"(first: {_place(places[0])}); take it out, or write it otherwise",
            )
        for arm, places in (source.get("control_tokens_of") or {}).items():
            yield (
                f"{task}.control_tokens.{arm}",
                f"of the items of {task}, {_number(places)} {_hold(places)} what the model of "
                f"{arm} reads as a control token, not as text (first: {_place(places[0])}); take "
                "it out, or write it otherwise",
            )


def _number(places: Sequence[Any]) -> str:
    return f"{len(places)} or more" if len(places) >= _LISTED else str(len(places))


def _hold(places: Sequence[Any]) -> str:
    return "holds" if len(places) == 1 else "hold"


def _place(found: Sequence[Any]) -> str:
    where, token = found
    return f"{where}, {token!r}"
