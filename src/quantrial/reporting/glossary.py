"""What a report says in the same words every time, and where in a sentence its terms stand."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from quantrial.documents import Summary, TaskSummary
from quantrial.registry import kind_of
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
    written = prose("written")
    general = (
        Word(key, name, said, written.get(key)) for key, (name, said) in prose("words").items()
    )
    return (*general, *own.values())


def meanings(part: TaskSummary) -> dict[str, Word]:
    """Explain a task's endpoints and failure modes, as far as its kind of task says how."""
    kind, tested = kind_of(part), {one.endpoint for one in part.failure_contrasts}
    named = [one for one in kind.endpoints if one.name in part.endpoints]
    named += [one for one in kind.failure_modes if one.name in tested]
    names = ((one, one.label or endpoint(one.name).replace(" ", "-")) for one in named)
    return {
        one.name: Word(one.name, name, one.meaning, one.written)
        for one, name in names
        if one.meaning
    }


class Terms:
    """The terms that words explain: finds each in sentences, and marks its first mention."""

    def __init__(self, words: Iterable[Word]):
        # a group's name must not begin with a digit
        written = "|".join(f"(?P<_{one.key}>{one.written})" for one in words if one.written)
        self._term = re.compile(rf"(?<![\w-])(?:{written})(?![\w-])")
        self._seen: set[str] = set()

    def explained(self, claim: Claim) -> Claim:
        """Mark the first mention of each term, so that it can be explained where it stands."""
        return Claim(self._marked(claim.words), tuple(map(self._marked, claim.details)))

    def _marked(self, sentence: Sentence) -> Sentence:
        return tuple(piece for part in sentence for piece in self._pieces(part))

    def _pieces(self, part: Part) -> Iterator[Part]:
        if part.target or part.term:
            yield part
            return
        at = 0
        for match in self._term.finditer(part.text):
            key = (match.lastgroup or "")[1:]
            if key in self._seen:
                continue
            self._seen.add(key)
            if match.start() > at:
                yield replace(part, text=part.text[at : match.start()])
            yield replace(part, text=match[0], term=key)
            at = match.end()
        if at < len(part.text):
            yield replace(part, text=part.text[at:])
