"""What an arm is really shown, where its engine can tell: the template applied, and what of it.

An engine that can says so by a method `render(requests) -> list[str]`, and by `render_key(request)`
where the same key always means the same text.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import orjson

from quantrial.engines.cache import cache_dir, replace_atomically
from quantrial.engines.templates import holds_day

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantrial.engines.base import Engine, Request


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template makes of one request: its hash, and how it ends.

    `ending` is what stands behind the last message: where a template opens a thought, it ends in
    that tag. `day_written` says whether the day that the template is told, or today, stands in the
    text and not in the messages.
    """

    sha256: str
    ending: str
    day_written: bool


def render(engine: Engine, requests: Sequence[Request]) -> list[str] | None:
    """Return the text that a model reads of each request; None where the engine cannot tell.

    Raises:
        EngineError: it can, and failed.
    """
    if all(request.text is not None for request in requests):
        return [request.text or "" for request in requests]  # no template stands around a text
    how = getattr(engine, "render", None)
    if how is None:
        return None
    texts: list[str] | None = how(requests)
    return texts


def rendered(engine: Engine, request: Request, *, held: str | None) -> Rendered | None:
    """Say what a template makes of a request; None where the engine cannot tell.

    What an engine has a key of is remembered without its text: that is the user's.

    Args:
        engine: the arm's.
        request: what is asked.
        held: the day that the template is told; today where nobody tells it one.

    Raises:
        EngineError: the template could not be applied.
    """
    key_of = getattr(engine, "render_key", None)
    key = None if key_of is None else key_of(request)
    record = cache_dir() / "templates" / f"{key}.json"
    if key is not None:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Rendered(**orjson.loads(record.read_bytes()))
    texts = render(engine, [request])
    if texts is None:
        return None
    own = "\n".join(message.content for message in request.messages)
    last = request.messages[-1].content.strip() if request.messages else ""
    _, found_last, behind = texts[0].rpartition(last) if last else ("", "", "")
    found = Rendered(
        hashlib.sha256(texts[0].encode("utf-8", "surrogatepass")).hexdigest(),
        (behind if found_last else texts[0]) if request.messages else "",
        _holds(texts[0], held) and not _holds(own, held),
    )
    if key is not None and found_last:  # else the ending would hold what is the user's
        with contextlib.suppress(OSError):
            replace_atomically(record, orjson.dumps(asdict(found)))
    return found


def _holds(text: str, held: str | None) -> bool:
    """Whether a text holds the day that a template is told, or today where it is told none."""
    if held is None:
        return holds_day(text, datetime.now(UTC).astimezone().date())
    try:
        return holds_day(text, date.fromisoformat(held))
    except ValueError:  # a user's own words for it
        return held in text
