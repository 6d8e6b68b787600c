"""Items that hold a token which a model reads as a command, and not as text."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.errors import DataWarning
from quantrial.tasks.sources import is_known_control_token, texts_of

if TYPE_CHECKING:
    from quantrial.engines import Engine
    from quantrial.records import Item
    from quantrial.running.prepare import Prepared

_LISTED = 20  # places that a manifest keeps
_SHORTEST = 3  # characters; what is shorter stands in any text


@dataclass(frozen=True, slots=True)
class Held:
    """What a task's items hold that an arm's model reads as control tokens.

    `places`: where each such item stands, and its first token.
    """

    task: str
    arm: str
    places: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        count, (where, token) = len(self.places), self.places[0]
        return (
            f"tasks.{self.task}: {count} item{'s hold' if count > 1 else ' holds'} what the "
            f"model of {self.arm} reads as a control token, not as text (first: {where}, "
            f"{token!r}); take it out, or write it otherwise"
        )


def held_control_tokens(
    prepared: Prepared,
    engines: Mapping[str, Engine],
    records: Mapping[str, Mapping[str, Any]],
) -> Iterator[Held]:
    """Find items that hold a control token of a model's own vocabulary, where it is known.

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
            places = tuple(
                (str(item.source), match[0])
                for item in (*prepared.items[task], *shots)
                if (match := _first(pattern, item))
            )
            if places:
                yield Held(task, arm, places)


def control_token_warnings(
    prepared: Prepared,
    engines: Mapping[str, Engine],
    records: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """Say what `held_control_tokens` finds."""
    yield from map(str, held_control_tokens(prepared, engines, records))


def warn_of_control_tokens(
    prepared: Prepared,
    engines: Mapping[str, Engine],
    records: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, list[list[str]]]]:
    """Warn of what `held_control_tokens` finds; return it as a manifest keeps it, by task and arm.

    Warns:
        DataWarning: an item holds such a token.
    """
    kept: dict[str, dict[str, list[list[str]]]] = {}
    for held in held_control_tokens(prepared, engines, records):
        warnings.warn(str(held), DataWarning, stacklevel=3)
        places = [list(place) for place in held.places[:_LISTED]]
        kept.setdefault(held.task, {})[held.arm] = places
    return kept


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
