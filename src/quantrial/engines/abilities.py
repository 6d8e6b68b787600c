"""What a request asks for beyond plain text, held against what an engine can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from quantrial.errors import EngineError

if TYPE_CHECKING:
    from quantrial.engines.base import Engine, Request

_ASKED = {
    "grammar": "decode under a grammar",
    "schema": "hold an answer to a JSON schema",
    "logprobs": "report probabilities of tokens",
    "exact_length": "write on past the end of an answer",
    "fresh": "read a prompt without its cache",
}


def refuse_unable(request: Request, engine: Engine) -> None:
    """Refuse a request that asks for an ability the engine lacks; asking again cannot help."""
    for ability, shown in _ASKED.items():
        if getattr(request, ability) and ability not in engine.abilities:
            raise refusal(f"the engine {engine.name!r} cannot {shown}")


def refuse_unheld(request: Request, output: str, finish_reason: str | None) -> None:
    """Refuse an answer that shows that the schema was not held to: some servers pass it over.

    An answer that ended by itself is JSON; one that was cut off begins as its schema's type does.
    """
    if request.schema is None or not output:
        return
    if finish_reason == "stop" and not request.stop:
        try:
            json.loads(output)
        except (ValueError, RecursionError) as exc:
            raise refusal(f"the schema was not held to: the answer is {output!r:.80}") from exc
    opens = {"array": "[", "object": "{"}.get(str(request.schema.get("type")))
    if opens is not None and (begun := output.lstrip()) and not begun.startswith(opens):
        raise refusal(f"the schema was not held to: the answer is {output!r:.80}")


def refusal(message: str) -> EngineError:
    """Make an error that asking again cannot help."""
    error = EngineError(message)
    error.retryable = False
    return error
