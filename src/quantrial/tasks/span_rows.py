"""The rules of a row with named entities, the same for every reader: tagged tokens, or pairs.

Tags are read as IOB1, BIO, BIOES, BILOU or BMES; which of them, each tag says by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from quantrial.tasks.rows import Row, Where

_TAG = re.compile(r"O|[BIELMSUW]-\S+")
_OPENS, _ENDS = "BSUW", "ELSUW"  # S, U and W do both: a span of one token
_BLANK = " \t\r\n"  # a token of real text may well be another white space


def check_token(token: Any, where: Where, *, number: int | None = None) -> str:
    """Return a token that is a text; `number` says which one it is in its row, from 1."""
    which = "the token" if number is None else f"token {number}"
    if not isinstance(token, str):
        raise where.error(f"{which} is {token!r:.40}; expected a text")
    if not token.strip(_BLANK):
        raise where.error(f"{which} is empty")
    return token


def check_tag(tag: Any, where: Where, *, number: int | None = None) -> str:
    """Return a tag that is O, or a type after a letter of BIO, BIOES, BILOU or BMES."""
    if not isinstance(tag, str) or not _TAG.fullmatch(tag):
        which = "the tag" if number is None else f"tag {number}"
        raise where.error(
            f"{which} is {tag!r:.40}; expected O, or a type after a letter of BIO, BIOES, BILOU "
            "or BMES: B-TYPE, I-TYPE, ..."
        )
    return tag


def named_tags(tags: Any, names: Sequence[str], where: Where) -> list[str]:
    """Turn the ids of tags into their names.

    Raises:
        DataError: an id that names no tag, such as -1 or -100, which stand for "no tag".
    """
    named = []
    for number, tag in enumerate(_listed(tags, "tags", where), start=1):
        whole = isinstance(tag, int) and not isinstance(tag, bool)
        if not whole or not 0 <= tag < len(names):
            missing = " (-1 and -100 stand for no tag at all)" if tag in (-1, -100) else ""
            raise where.error(
                f"tag {number} is {tag!r:.40}, which names none of the {len(names)} tags{missing}; "
                f"0 to {len(names) - 1} do"
            )
        named.append(names[tag])
    return named


def tagged_row(tokens: Any, tags: Any, metadata: Mapping[str, str], where: Where) -> Row:
    """Make the row of one tagged sentence: tokens joined by one space, spans likewise.

    Raises:
        DataError: there is no token, one is empty or no text, a tag is none, or there are more of
            one than of the other.
    """
    words, marks = _listed(tokens, "tokens", where), _listed(tags, "tags", where)
    if not words:
        raise where.error("the sentence has no tokens")
    if len(words) != len(marks):
        raise where.error(f"{len(words)} tokens and {len(marks)} tags")
    for number, (token, tag) in enumerate(zip(words, marks, strict=True), start=1):
        check_token(token, where, number=number)
        check_tag(tag, where, number=number)
    pairs = [[surface, label] for surface, label in spans_from_tags(words, marks)]
    return entity_row(" ".join(words), pairs, metadata, where)


def entity_row(text: str, entities: Any, metadata: Mapping[str, str], where: Where) -> Row:
    """Make the row of a text and its entities, pairs of a text that occurs in it and a type."""
    if not text.strip(_BLANK):
        raise where.error("the text is empty")
    gold = []
    for entity in _listed(entities, "entities", where):
        if (
            not isinstance(entity, list)
            or len(entity) != 2
            or not all(isinstance(part, str) and part.strip(_BLANK) for part in entity)
        ):
            raise where.error(f'the entity {entity!r:.60} is not a pair such as ["Lisbon", "LOC"]')
        if entity[0] not in text:
            raise where.error(f"the entity {entity[0]!r:.60} does not occur in the text")
        gold.append(entity)
    return Row({"text": text}, gold, metadata, where)


def _listed(value: Any, name: str, where: Where) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise where.error(f"{name!r} is {value!r:.40}; expected a list")
    return list(value)


def spans_from_tags(tokens: Sequence[str], tags: Sequence[str]) -> list[tuple[str, str]]:
    """Join tags of BIO, IOB1, BIOES, BILOU or BMES to spans.

    B, S, U and W open one, and so does a change of type; E, L, S, U and W end one. The texts of its
    tokens are joined by one space.
    """
    spans: list[tuple[list[str], str]] = []
    current: str | None = None
    for token, tag in zip(tokens, tags, strict=True):
        prefix, _, label = tag.partition("-")
        if not label:
            current = None
            continue
        if prefix in _OPENS or label != current:
            spans.append(([token], label))
        else:
            spans[-1][0].append(token)
        current = None if prefix in _ENDS else label
    return [(" ".join(words), label) for words, label in spans]
