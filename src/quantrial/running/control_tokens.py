"""Items that hold a token which a model reads as a command, and not as text."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from quantrial.errors import DataWarning
from quantrial.tasks.sources import is_known_control_token, texts_of

if TYPE_CHECKING:
    from quantrial.engines import Engine
    from quantrial.records import Item
    from quantrial.running.prepare import Prepared

_SHORTEST = 3  # characters; what is shorter stands in any text


def control_token_warnings(
    prepared: Prepared,
    engines: Mapping[str, Engine],
    records: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """Say which items hold a control token of a model's own vocabulary, where it is known.

    Those that stand in the templates of common models were told of when the items were read.

    Args:
        prepared: the items and solved examples.
        engines: by arm; those that know their vocabulary have a method `special_tokens`.
        records: the manifest's record of each arm: one vocabulary is looked at once.
    """
    looked_at: set[str | None] = set()  # vocabularies by their hash, and what was looked for
    for arm, engine in engines.items():
        vocabulary = records[arm].get("tokenizer_sha256")
        if vocabulary is not None and vocabulary in looked_at:
            continue
        pattern = _pattern(engine)
        if pattern is None or pattern.pattern in looked_at:
            continue
        looked_at |= {vocabulary, pattern.pattern}
        for task in prepared.tasks:
            shots = getattr(prepared.tasks[task], "shots", ())
            found = [
                (item, match[0])
                for item in (*prepared.items[task], *shots)
                if (match := _first(pattern, item))
            ]
            if found:
                item, token = found[0]
                many = len(found) > 1
                yield (
                    f"tasks.{task}: {len(found)} item{'s hold' if many else ' holds'} what the "
                    f"model of {arm} reads as a control token, not as text (first: {item.source}, "
                    f"{token!r}); take it out, or write it otherwise"
                )


def warn_of_control_tokens(
    prepared: Prepared,
    engines: Mapping[str, Engine],
    records: Mapping[str, Mapping[str, Any]],
) -> None:
    """Warn of what `control_token_warnings` says."""
    for said in control_token_warnings(prepared, engines, records):
        warnings.warn(said, DataWarning, stacklevel=3)


def _pattern(engine: Engine) -> re.Pattern[str] | None:
    told = getattr(engine, "special_tokens", None)
    tokens = {
        token
        for token in (told() if told is not None else ())
        if len(token) >= _SHORTEST and not is_known_control_token(token)
    }
    ordered = sorted(tokens, key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def _first(pattern: re.Pattern[str], item: Item) -> re.Match[str] | None:
    return next(filter(None, map(pattern.search, texts_of(item.content))), None)
