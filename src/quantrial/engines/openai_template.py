"""The chat template of a llama-server: what it makes of messages, and the day it is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from quantrial.engines.openai_served import ask_beside
from quantrial.engines.openai_wire import call_of
from quantrial.engines.templates import arguments_for, as_string, holds_day
from quantrial.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from openai import OpenAI

    from quantrial.engines.base import Request
    from quantrial.engines.openai_served import Served
    from quantrial.engines.openai_wire import Dialect

_ARGUMENTS = "chat_template_kwargs"


def told_day(dialect: Dialect, served: Served | None, day: date) -> Dialect:
    """Return the dialect that tells the server's template a day, where it asks for one by name.

    What the study's `extra_body` tells the template goes before it.
    """
    ours = arguments_for(served.dates or (), day) if served is not None else {}
    said = dialect.extra_body.get(_ARGUMENTS)
    if not ours or not (said is None or isinstance(said, dict)):
        return dialect
    return replace(dialect, extra_body={**dialect.extra_body, _ARGUMENTS: ours | (said or {})})


def render(client: OpenAI, url: str, dialect: Dialect, requests: Sequence[Request]) -> list[str]:
    """Return what the server's template makes of each request; a text stays as it is.

    Raises:
        EngineError: it refuses the messages, cannot be reached, or is too old to say.
    """
    return [
        _applied(client, url, call_of(request, dialect)[1])
        if request.text is None
        else request.text
        for request in requests
    ]


def date_record(
    client: OpenAI, url: str, dialect: Dialect, served: Served, day: date
) -> dict[str, Any] | None:
    """Say by which names the template asks for the date, and which day it is told.

    Args:
        client: of the server at `url`.
        url: where it is.
        dialect: with what the template is told, see `told_day`.
        served: what the server said of its template.
        day: that it should be told.

    Returns:
        As `Artifact.template_date`: `held` is None where today is written all the same.
    """
    if not served.dates:
        return None if served.dates is None else {}
    told = dialect.extra_body.get(_ARGUMENTS) or {}
    known = [str(told[name]) for name in served.dates if name in told]
    held: str | None = None
    if known:
        held = day.isoformat() if told.get("date_string") == as_string(day) else known[0]
        body = {"messages": [{"role": "user", "content": "x"}], _ARGUMENTS: dict(told)}
        try:
            if holds_day(_applied(client, url, body), datetime.now(UTC).astimezone().date()):
                held = None
        except EngineError:
            held = None
    return {"by": list(served.dates), "held": held}


def _applied(client: OpenAI, url: str, body: Mapping[str, Any]) -> str:
    said = ask_beside(client, url, f"{url.removesuffix('/v1')}/apply-template", body=body)
    if said is None or not isinstance(said.get("prompt"), str):
        raise EngineError(f"{url} does not say what its chat template makes of messages")
    return str(said["prompt"])
