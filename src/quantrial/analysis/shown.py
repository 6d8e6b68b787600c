"""Whether all arms were shown the same, item by item: the bytes sent, and the tokens read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from quantrial.analysis.prompt_tokens import TokenCheck, ceilings, check_tokens

if TYPE_CHECKING:
    from quantrial.records import Response
    from quantrial.tasks import Outcome


def leave_out_unlike(
    rows: Mapping[str, list[Response | None]],
    again: Mapping[str, dict[int, tuple[Response, Outcome]]],
) -> tuple[set[int], int]:
    """Take out the answers to items that were not shown to all arms as the same bytes.

    An item may look otherwise after a run went on with another version of the program. Which arm
    saw the right bytes nobody can say, so its answers of all arms are set to None, in place. Second
    answers go where they were given to other bytes than the first.

    Args:
        rows: the answers of each arm, in the order of the items.
        again: second answers, by arm and item.

    Returns:
        Which items were left out, and on how many of the others some arm's answer does not say what
        was shown.
    """
    unlike, unhashed = set[int](), 0
    for at, answers in enumerate(zip(*rows.values(), strict=True)):
        shown = {answer.prompt_sha256 for answer in answers if answer is not None}
        if len(shown - {None}) > 1:
            unlike.add(at)
        elif None in shown:
            unhashed += 1
    for arm, row in rows.items():
        for at in unlike:
            row[at] = None
        seconds = again.get(arm, {})
        for at in list(seconds):
            first = row[at]
            if at in unlike or (
                first is not None and first.prompt_sha256 != seconds[at][0].prompt_sha256
            ):
                del seconds[at]
    return unlike, unhashed


def leave_out_unlike_tokens(
    rows: Mapping[str, list[Response | None]],
    again: Mapping[str, dict[int, tuple[Response, Outcome]]],
    reference: str | None,
    length: Callable[[int], tuple[int, int]],
) -> TokenCheck:
    """Take out, in place, an arm's answers to prompts of which it read other tokens.

    Here the arm is known: the one whose count is not the reference's. Its second answers to these
    items go too.

    Args:
        rows: the answers of each arm, in the order of the items.
        again: second answers, by arm and item.
        reference: the arm that the others are held against.
        length: of the item of an index, in bytes: its first text, and all its texts.
    """
    found = replace(check_tokens(rows, again, reference), ceilings=ceilings(rows, length))
    for arm, items in found.left_out.items():
        for at in items:
            rows[arm][at] = None
            again.get(arm, {}).pop(at, None)
    return found
