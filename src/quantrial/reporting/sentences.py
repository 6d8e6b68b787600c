"""Sentences of the decision, with the findings they name turned into links."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from quantrial.reporting.blocks import Part, Sentence


def sentence(entry: Mapping[str, Any], findings: Collection[str]) -> Sentence:
    """Link an entry of the decision: ids in its text, and those in `because` that the text leaves out."""
    parts = list(_split(str(entry["text"]), findings))
    named = {part.target for part in parts}
    rest = [one for one in _ids(entry.get("because")) if one in findings and one not in named]
    for one in dict.fromkeys(rest):
        parts += [Part(" "), Part(one, target=one)]
    return tuple(parts)


def without_opening(words: Sentence, opening: str) -> Sentence:
    """Drop the words a sentence opens with, where a heading above it says them already."""
    if not words or not words[0].text.startswith(f"{opening}. "):
        return words
    return (Part(words[0].text.removeprefix(f"{opening}. ")), *words[1:])


def _split(text: str, findings: Collection[str]) -> Iterable[Part]:
    if not findings:
        yield Part(text)
        return
    # the longest first: an id may be the beginning of another
    ids = "|".join(re.escape(one) for one in sorted(findings, key=lambda i: (-len(i), i)))
    named = re.compile(rf"\[({ids})\]|(?<![\w.])({ids})(?![\w=-]|\.\w)")
    at = 0
    for match in named.finditer(text):
        if match.start() > at:
            yield Part(text[at : match.start()])
        one = match[1] or match[2]
        yield Part(one, target=one)
        at = match.end()
    if at < len(text):
        yield Part(text[at:])


def _ids(because: Any) -> list[str]:
    if because is None:
        return []
    return [because] if isinstance(because, str) else [str(one) for one in because]
