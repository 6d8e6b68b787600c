"""Sentences of the decision, with the findings they name turned into links."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from quantrial.findings import adjusted_p
from quantrial.reporting.blocks import Claim, Part, Sentence
from quantrial.words import (
    VERDICT_SIGNS,
    VERDICT_WORDS,
    endpoint,
    p_value,
    points,
    points_interval,
    ratio,
    ratio_interval,
)

Document = Mapping[str, Any]


def sentence(entry: Document, findings: Document) -> Sentence:
    """Link an entry of the decision: the ids in its text, then those only in its `because`."""
    parts = list(_linked(str(entry["text"]), findings))
    named = {part.target for part in parts}
    rest = [one for one in _ids(entry.get("because")) if one in findings and one not in named]
    for one in dict.fromkeys(rest):
        parts += [Part(" "), _link(one, findings)]
    return tuple(parts)


def claim(entry: Document, findings: Document) -> Claim:
    """Take an entry apart: each detail that rests on a finding of its own stands beside it."""
    details = [
        one
        for one in (*(entry.get("missing") or ()), *(entry.get("guards") or ()))
        if f" {one['text']}" in str(entry["text"])
    ]
    text, apart = str(entry["text"]), set[str]()
    for one in details:
        text = text.replace(f" {one['text']}", "", 1)
        apart |= set(_ids(one["because"]))
    rest = [one for one in _ids(entry.get("because")) if one not in apart]
    return Claim(
        sentence({"text": text, "because": rest}, findings),
        tuple(sentence(one, findings) for one in details),
    )


def shortened(said: Claim, opening: str) -> Claim:
    """Drop the words a claim opens with, where a heading above it says them already."""
    return Claim(without_opening(said.words, opening), said.details)


def evidence(entries: Iterable[Document], findings: Document) -> tuple[Sentence, ...]:
    """List the lines of evidence of all entries, each once."""
    lines = [str(line) for entry in entries for line in entry.get("evidence") or ()]
    return tuple(tuple(_linked(line, findings)) for line in dict.fromkeys(lines))


def without_opening(words: Sentence, opening: str) -> Sentence:
    """Drop the words a sentence opens with, where a heading above it says them already."""
    first = words[0].text if words else ""
    match = re.match(rf"{re.escape(opening)}[.:] +", first)
    if match is None or not (rest := first[match.end() :]):
        return words
    return (Part(rest[0].upper() + rest[1:]), *words[1:])


def _linked(text: str, findings: Document) -> Iterator[Part]:
    at = 0
    for match in _named(findings).finditer(text) if findings else ():
        if match.start() > at:
            yield Part(text[at : match.start()])
        yield _link(match[1] or match[2], findings)
        at = match.end()
    if at < len(text):
        yield Part(text[at:])


def _named(findings: Collection[str]) -> re.Pattern[str]:
    """Match the id of any finding, in brackets or plain."""
    # the longest first: an id may be the beginning of another
    ids = "|".join(re.escape(one) for one in sorted(findings, key=lambda i: (-len(i), i)))
    return re.compile(rf"\[({ids})\]|(?<![\w.])({ids})(?![\w=-]|\.\w)")


def _link(one: str, findings: Document) -> Part:
    finding = findings[one]
    if finding["kind"] == "speed":
        value = ratio(finding["estimate"])
        return Part(
            text=one,
            target=one,
            label=f"{finding['candidate']} {value}",
            title=f"{one}: {finding['endpoint']} {value}, {ratio_interval(finding['ci'])}",
        )
    said = finding["verdict"]
    name = endpoint(finding["endpoint"])
    about = finding["workload"] if finding["kind"] == "primary" else name
    return Part(
        text=one,
        target=one,
        label=f"{finding['candidate']} {about} {VERDICT_SIGNS.get(said, '')}".strip(),
        title=(
            f"{one}: {name} {points(finding['estimate'])}, interval "
            f"{points_interval(finding['ci'])}, adjusted p {p_value(adjusted_p(finding))}: "
            f"{VERDICT_WORDS.get(said, said)}"
        ),
        tone=said,
    )


def _ids(because: Any) -> list[str]:
    if because is None:
        return []
    return [because] if isinstance(because, str) else [str(one) for one in because]
