"""From an attempt to the line that is recorded of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantrial.records import Response

if TYPE_CHECKING:
    from quantrial.design.schedule import Call
    from quantrial.running.asking import Attempt


@dataclass(frozen=True, slots=True)
class Asked:
    """What is recorded of a question beside its call: the study, which attempt, what, when."""

    study: str
    attempt: int
    prompt_sha256: str
    started_at: str


def response_of(
    call: Call, found: Attempt, asked: Asked, timing: Mapping[str, float | None]
) -> Response:
    """Return the record of one attempt; `timing` is in seconds."""
    reply = found.reply
    return Response(
        study=asked.study,
        task=call.task,
        arm=call.arm,
        item=call.item,
        replicate=call.replicate,
        attempt=asked.attempt,
        order=call.order,
        block=call.block,
        status=found.status,
        error=found.error,
        output=reply.output,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        cached_tokens=reply.cached_tokens,
        completion_tokens=reply.completion_tokens,
        decoded_tokens=reply.decoded_tokens,
        logprobs=None if reply.logprobs is None else [dict(one) for one in reply.logprobs],
        timing=timing,
        started_at=asked.started_at,
        prompt_sha256=asked.prompt_sha256,
        final=found.final and found.status != "ok",
        thought=reply.thought,
        tool_calls=None if reply.tool_calls is None else [dict(one) for one in reply.tool_calls],
        host=reply.host,
        at_limit=reply.at_limit,
        uncounted=found.uncounted,
    )
