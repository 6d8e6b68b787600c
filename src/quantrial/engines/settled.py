"""What of a reply is believed: the answer always, a number only where it can be true.

Every engine's replies pass here, a third party's too, before they are recorded. A count that
contradicts the answer, or a number that is not finite, is left out (None); the answer stays.
"""

from __future__ import annotations

import json
import math
import operator
from dataclasses import fields, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

from quantrial.engines.abilities import refusal
from quantrial.engines.base import Timing
from quantrial.probabilities import known_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quantrial.engines.base import Reply, Request

_MOST = 2**53  # beyond it, JSON numbers of some programs are no whole numbers any more
_TIMES = fields(Timing)
_SHOWN = 40  # characters of a count that is no number


def settled(reply: Reply, request: Request) -> Reply:
    """Leave out of a reply what cannot be true, and say how its length stands to the limit.

    A text with a finish reason is an answer whatever was counted. Without one it ended at the limit
    where as many tokens were counted as were allowed. More tokens than allowed, or none for an
    answer that is not empty, is a count nobody can use; so is what is no whole number. `doubts` of
    the reply says what was left out. A reply that is settled already stays as it is.

    Raises:
        EngineError: the answer is no text that can be written down.
    """
    output = _writable(reply.output)
    limit, counted = request.max_tokens, count_of(reply.completion_tokens)
    finish = reply.finish_reason or None
    if finish is None and counted is not None and counted >= limit:
        finish = "length"
    spoken = bool(output.strip() or reply.thought or reply.tool_calls)
    if counted is not None and (counted > limit or (spoken and not counted)):
        counted = None
    read = count_of(reply.prompt_tokens) or None  # no prompt has none
    decoded = count_of(reply.decoded_tokens)
    doubts = list(reply.doubts)
    if counted is None and reply.completion_tokens is not None:
        decoded = None  # of the same count
        doubts.append(
            f"{_shown(reply.completion_tokens)} tokens were counted in an answer of "
            f"{len(output):,} characters, where at most {limit:,} were allowed"
        )
    if read is None and reply.prompt_tokens is not None:
        doubts.append(f"{_shown(reply.prompt_tokens)} tokens were counted in a prompt")
    return replace(
        reply,
        output=output,
        finish_reason=finish,
        prompt_tokens=read,
        cached_tokens=count_of(reply.cached_tokens),
        completion_tokens=counted,
        decoded_tokens=None if decoded is None or decoded > limit else decoded,
        logprobs=None if reply.logprobs is None else tuple(known_tokens(reply.logprobs)),
        timing=Timing(**{one.name: seconds_of(getattr(reply.timing, one.name)) for one in _TIMES}),
        thought=_thought(reply.thought),
        tool_calls=_tool_calls(reply.tool_calls),
        at_limit=finish == "stop" and counted == limit,
        doubts=tuple(doubts),
    )


def count_of(value: Any) -> int | None:
    """Return a count of tokens as a whole number of at least 0; None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    try:
        count = operator.index(value)
    except TypeError:
        return None
    return count if 0 <= count < _MOST else None


def seconds_of(value: Any, *, per: float = 1.0) -> float | None:
    """Return a time in seconds, finite and at least 0; None where it is none.

    Args:
        value: in units of which `per` make a second.
        per: 1,000 where `value` is in milliseconds.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        seconds = float(value) / per
    except OverflowError:  # a whole number of more than 308 digits
        return None
    return seconds if 0 <= seconds < math.inf else None


def _writable(output: Any) -> str:
    if not isinstance(output, str):
        raise refusal(f"the answer is no text but {output!r:.80}")
    try:
        output.encode()
    except UnicodeEncodeError as exc:  # half of a pair, escaped in JSON
        raise refusal(f"the answer is no text that can be written down: {exc}") from exc
    return output


def readable(text: str) -> str:
    """Replace what cannot be written as UTF-8 (halves of pairs) by question marks."""
    return text.encode("utf-8", "replace").decode()


def _thought(thought: Any) -> str | None:
    return readable(str(thought)) if thought else None


def _tool_calls(calls: Any) -> tuple[Mapping[str, Any], ...] | None:
    """Return calls as plain JSON values."""
    if not calls:
        return None
    text = json.dumps(list(calls), ensure_ascii=False, default=str)
    plain = json.loads(readable(text), parse_constant=lambda _: None)
    return tuple(one if isinstance(one, dict) else {"call": one} for one in plain)


def _shown(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
