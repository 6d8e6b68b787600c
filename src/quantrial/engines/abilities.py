"""What an engine can do beyond answering plain text; a request that asks for more is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from quantrial.errors import EngineError

if TYPE_CHECKING:
    from quantrial.engines.base import Engine, Request


@runtime_checkable
class Fetching(Protocol):
    """An engine whose model can be missing where it runs, and fetched from elsewhere."""

    model: str  # as a study writes it

    def missing(self) -> bool:
        """Whether the model would have to be fetched."""
        ...

    def fetch_bytes(self) -> int | None:
        """Say how much that is; None where it cannot be found out. Fetches nothing."""
        ...

    def pull(self) -> Iterator[tuple[str, int, int]]:
        """Fetch it; yields what is being done, bytes done and bytes in all (0 while unknown)."""
        ...


@runtime_checkable
class Sharing(Protocol):
    """An engine that can ask its server whether the model is in memory, and have it loaded anew."""

    def in_memory(self) -> bool:
        """Whether the model is in memory now; loads nothing."""
        ...

    def reload(self) -> float:
        """Have the model unloaded and loaded again; return the seconds that loading took."""
        ...


_ASKED = {
    "grammar": "decode under a grammar",
    "schema": "hold an answer to a JSON schema",
    "tools": "show a model the tools that it may call",
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
