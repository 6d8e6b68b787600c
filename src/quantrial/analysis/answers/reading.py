"""Recorded responses read as answers, and what of that a reader of the decision should know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from quantrial import documents
from quantrial.tasks.answer import (
    Answer,
    read_answer,
    starts_in_thought,
    was_cut,
    with_thought,
)

if TYPE_CHECKING:
    from quantrial.records import Item, Response
    from quantrial.tasks import Task

_LENGTH, _STOP = "length", "stop"
_MANY = 5  # so many answers that were cut leave a doubt that one which ended by itself does not end


@dataclass(frozen=True, slots=True)
class Given:
    """One response with what was read from it.

    `parsed`: whether the task could read it; `limit`: the most tokens it might have. Both are None
    where that is not known.
    """

    response: Response
    answer: Answer
    parsed: bool | None = None
    limit: int | None = None


def given(one: Given | Response) -> Given:
    """Read a response of which nothing else is known."""
    if isinstance(one, Given):
        return one
    answer = read_answer(one.output, finish_reason=one.finish_reason)
    return Given(one, _with_what_came_apart(answer, one))


def ended_at_limit(response: Response, limit: int | None) -> bool:
    """Whether an answer ended by itself with exactly as many tokens as it might have."""
    if was_cut(response.finish_reason) is not False:
        return False
    counted = limit is not None and response.completion_tokens == limit
    return response.at_limit or counted  # response/1 had no mark


def why_ended(response: Response, limit: int | None) -> str | None:
    """Return why an answer ended; where no engine says so, what its number of tokens tells."""
    tokens = response.completion_tokens
    if response.finish_reason is not None or limit is None or tokens is None:
        return response.finish_reason
    return _LENGTH if tokens >= limit else _STOP


def read_response(task: Task, item: Item, response: Response, *, opened: bool | None) -> Answer:
    """Read the answer in a response.

    Args:
        task: names further tags, and the limit.
        item: what was asked.
        response: what came.
        opened: whether the template of its arm opens a thought; None: not known.
    """
    limit = task.limit(item)
    reason = why_ended(response, limit)
    if opened and ended_at_limit(response, limit):
        reason = _LENGTH  # inside a thought the text breaks off, whatever the engine calls it
    answer = read_answer(
        response.output,
        finish_reason=reason,
        opened=bool(opened) and not response.thought,
        tags=task.thought_tags,
    )
    return with_thought(_with_what_came_apart(answer, response), response.thought, reason)


def _with_what_came_apart(answer: Answer, response: Response) -> Answer:
    """Add calls of tools, beside which the text is no unfinished thought, and recorded scores."""
    calls = tuple(response.tool_calls or ())
    answer = replace(answer, calls=calls, unfinished=False) if calls else answer
    return replace(answer, scores=response.scores) if response.scores else answer


def opens_thought(
    task: Task, items: Mapping[str, Item], responses: Iterable[Response]
) -> bool | None:
    """Say whether the answers of one arm begin inside a thought, which its template opened.

    True where one of them closes a thought that it did not open. False where one opens its own, or
    where answers ended by themselves without any tag: a template does the same to every prompt.
    None where no answer tells, or where those that ended so are few beside those that a limit cut:
    a model may also give up within a thought.
    """
    opens, ended, cut = False, 0, 0
    for response in responses:
        if response.status != "ok" or response.thought:
            continue  # what was thought stands apart
        begins = starts_in_thought(response.output, task.thought_tags)
        if begins:
            return True
        limit = task.limit(items[response.item])
        whole = was_cut(why_ended(response, limit)) is False and not ended_at_limit(response, limit)
        opens = opens or begins is False
        ended += whole and bool(response.output.strip())
        cut += not whole
    return False if opens or _MANY * ended > cut else None


def together(known_by_task: Iterable[bool | None]) -> bool | None:
    """Join what several tasks tell of one arm: a thought that was seen to be opened counts."""
    known = {one for one in known_by_task if one is not None}
    return None if not known else True in known


def reading(
    answers: Iterable[Given | None], opened: bool | None, *, floor: bool
) -> documents.Reading | None:
    """Count what may be no quality of an arm but a matter of how its answers were asked and read.

    `unfinished` answers end inside a thought; `spent` are empty although tokens were spent on them;
    `doubtful` were cut at the limit without any tag, where nothing tells whether the template opens
    a thought. `unknown_tags` counts answers by what looks like a tag of a thought in them. `opened`
    says whether the template opens a thought, `max_tokens` the limit. An arm at its `floor` with
    spent answers is `starved`. None where there is nothing to tell.
    """
    found = [one for one in answers if one is not None]
    strange = Counter(tag for one in found if (tag := one.answer.unknown_tag) is not None)
    unfinished = sum(one.answer.unfinished for one in found)
    spent = sum(map(_spent, found))
    doubtful = sum(map(_doubtful, found)) if opened is None else 0
    if not strange and not any((unfinished, spent, doubtful)):
        return None
    limits = {one.limit for one in found} - {None}
    return documents.Reading(
        n=len(found),
        unfinished=unfinished,
        spent=spent,
        doubtful=doubtful,
        unknown_tags=dict(sorted(strange.items(), key=lambda one: (-one[1], one[0]))),
        opened=opened,
        max_tokens=limits.pop() if len(limits) == 1 else None,
        starved=bool(spent) and floor,
    )


def _spent(one: Given) -> bool:
    """Whether an empty answer cost tokens that are not to be seen in it."""
    if not one.answer.is_empty:
        return False
    # white space to the limit is seen: that is how a model fails, not how it was asked
    hidden = (one.response.completion_tokens or 0) - len(one.response.output)
    return one.answer.unfinished or bool(one.answer.thought) or hidden > 1


def _doubtful(one: Given) -> bool:
    """Whether a text may be a thought from its first word on, as far as it tells itself."""
    if not was_cut(why_ended(one.response, one.limit)) or one.answer.thought:
        return False
    # a letter alone begins no thought
    words = one.answer.text == one.response.output and sum(map(str.isalnum, one.answer.text)) > 1
    return words and not one.answer.is_empty


def read_all(
    task: Task,
    items: Sequence[Item],
    row: Sequence[Response | None],
    *,
    opened: bool | None,
) -> tuple[Answer | None, ...]:
    """Read one arm's responses, in the order of the items."""
    return tuple(
        None if response is None else read_response(task, item, response, opened=opened)
        for item, response in zip(items, row, strict=True)
    )
