"""What a request asks for beyond plain text, held against what an engine can do."""

from __future__ import annotations

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


def refusal(message: str) -> EngineError:
    """Make an error that asking again cannot help."""
    error = EngineError(message)
    error.retryable = False
    return error
