"""What a report says in the same words every time, and where in a sentence its terms stand."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from quantrial.documents import Summary, TaskSummary
from quantrial.registry import TASKS
from quantrial.reporting.blocks import Claim, Group, Part, Section, Sentence, Word
from quantrial.words import endpoint


@functools.cache
def prose(part: str) -> Mapping[str, Any]:
    """Return a part of `templates/prose.toml`: what a report says in the same words every time."""
    import importlib.resources

    file = importlib.resources.files("quantrial.reporting") / "templates" / "prose.toml"
    found: Mapping[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))[part]
    return found


def note(name: str, **fields: str) -> str:
    """Write one of the notes that stand above tables."""
    text: str = prose("notes")[name]
    return text.format(**fields)


def section(anchor: str, title: str, groups: Iterable[Group], **fields: str) -> Section:
    """Make a section under the lead that is written for it."""
    return Section(anchor, title, prose("leads")[anchor].format(**fields), tuple(groups))


def words_of(summary: Summary) -> tuple[Word, ...]:
    """Return the words that a study's report needs: those of its own endpoints among them."""
    own = {key: word for part in summary.tasks.values() for key, word in meanings(part).items()}
    general = (Word(key, name, said) for key, (name, said) in prose("words").items())
    return (*general, *own.values())


def meanings(part: TaskSummary) -> dict[str, Word]:
    """Explain a task's endpoints and failure modes, as far as its kind of task says how."""
    kind, tested = TASKS.load(part.kind), {one.endpoint for one in part.failure_contrasts}
    named = [one for one in kind.endpoints if one.name in part.endpoints]
    named += [one for one in kind.failure_modes if one.name in tested]
    return {
        one.name: Word(one.name, one.label or endpoint(one.name).replace(" ", "-"), one.meaning)
        for one in named
        if one.meaning
    }


def unused(words: Collection[Word]) -> set[str]:
    """Return the keys of the terms that a report has no word for."""
    return set(prose("written")) - {word.key for word in words}


@functools.cache
def _term() -> re.Pattern[str]:
    """Return what finds every term in a sentence; the number of its group is that of the term."""
    written = "|".join(f"({one})" for one in prose("written").values())
    return re.compile(rf"(?<![\w-])(?:{written})(?![\w-])")


def explained(claim: Claim, seen: set[str]) -> Claim:
    """Mark the first mention of each term, so that it can be explained where it stands."""
    return Claim(
        _marked(claim.words, seen), tuple(_marked(detail, seen) for detail in claim.details)
    )


def _marked(sentence: Sentence, seen: set[str]) -> Sentence:
    return tuple(piece for part in sentence for piece in _pieces(part, seen))


def _pieces(part: Part, seen: set[str]) -> Iterator[Part]:
    if part.target or part.term:
        yield part
        return
    at = 0
    for match in _term().finditer(part.text):
        key = list(prose("written"))[(match.lastindex or 1) - 1]
        if key in seen:
            continue
        seen.add(key)
        if match.start() > at:
            yield replace(part, text=part.text[at : match.start()])
        yield replace(part, text=match[0], term=key)
        at = match.end()
    if at < len(part.text):
        yield replace(part, text=part.text[at:])
